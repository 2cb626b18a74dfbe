import { SourceMap, type SourceMapPayload, type SourceMapping } from 'node:module';

/** What Node's `process` has that leads to modules, to native code, or to what other code holds. No template has it. */
const MEMBERS = [
  ...['getBuiltinModule', 'binding', '_linkedBinding', 'dlopen', 'mainModule', 'execve', 'report'],
  ...['_getActiveHandles', '_getActiveRequests', '_debugProcess'],
] as const;
const MARK = 'beds__way_out__';
const MARKED = new RegExp(`\\b${MARK}(\\w+)`, 'g');

/** For esbuild's `define`, which knows a variable named `process` from the global one, and every way to write a member. */
export const WAYS_OUT: Readonly<Record<string, string>> = Object.fromEntries(
  ['process', 'globalThis.process', 'global.process'].flatMap((process) =>
    MEMBERS.map((member) => [`${process}.${member}`, `${MARK}${member}`]),
  ),
);

export interface WayOut {
  /** `process.binding` */
  readonly name: string;
  /** `template.ts:12`; empty where the source map does not say. */
  readonly place: string;
}

/** Each use of one of them in code that esbuild has made with `WAYS_OUT`. `sourceMap`: JSON. */
export function findWaysOut(code: string, sourceMap: string): readonly WayOut[] {
  if (!code.includes(MARK)) return [];
  const map = new SourceMap(JSON.parse(sourceMap) as SourceMapPayload);
  return code.split('\n').flatMap((line, index) =>
    [...line.matchAll(MARKED)].map(({ 1: member = '', index: column }) => {
      // n.b. typed as always complete; it is empty where nothing is mapped.
      const entry: Partial<SourceMapping> = map.findEntry(index, column);
      const isKnown = entry.originalSource !== undefined && entry.originalLine !== undefined;
      return {
        name: `process.${member}`,
        place: isKnown ? `${String(entry.originalSource)}:${String(Number(entry.originalLine) + 1)}` : '',
      };
    }),
  );
}
