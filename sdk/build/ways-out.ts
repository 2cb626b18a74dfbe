import { SourceMap, type SourceMapPayload, type SourceMapping } from 'node:module';

/** What Node's `process` has that leads to modules, to native code, or to what other code holds. No template has it. */
export const WAYS_OUT: readonly string[] = [
  ...['getBuiltinModule', 'binding', '_linkedBinding', 'dlopen', 'mainModule', 'execve', 'report'],
  ...['_getActiveHandles', '_getActiveRequests', '_debugProcess'],
].map((member) => `process.${member}`);

const MARK = 'beds__way_out__';
const MARKED = new RegExp(`\\b${MARK}(\\d+)`, 'g');
const GLOBALS = ['globalThis', 'global'];

/** A name that was found where it must not be used. */
export interface FoundName {
  /** `process.binding` */
  readonly name: string;
  /** As the source map says; empty where it does not. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

/**
 * For esbuild's `define`, which knows a variable named `process` from the global one, and every way to write a member: puts
 * `value` in the place of each of these names of globals and of members of globals.
 */
export function defineNames(
  names: readonly string[],
  value: (name: string, index: number) => string,
): Record<string, string> {
  const all = names.map((name, index) => [name, value(name, index)] as const);
  return Object.fromEntries(
    all.flatMap(([name, to]) => [name, ...GLOBALS.map((root) => `${root}.${name}`)].map((each) => [each, to] as const)),
  );
}

/** Marks the use of names, so that `findNames` finds them in what esbuild makes. */
export function markNames(names: readonly string[]): Readonly<Record<string, string>> {
  return defineNames(names, (_, index) => `${MARK}${String(index)}`);
}

/** Each use of one of the names in code that esbuild has made with `markNames(names)`. `sourceMap`: JSON. */
export function findNames(names: readonly string[], code: string, sourceMap: string): readonly FoundName[] {
  if (!code.includes(MARK)) return [];
  const map = new SourceMap(JSON.parse(sourceMap) as SourceMapPayload);
  return code.split('\n').flatMap((text, row) =>
    [...text.matchAll(MARKED)].map(({ 1: mark, index: at }) => {
      // n.b. typed as always complete; it is empty where nothing is mapped.
      const entry: Partial<SourceMapping> = map.findEntry(row, at);
      const { originalSource: file = '', originalLine: line = -1, originalColumn: column = -1 } = entry;
      return { name: names[Number(mark)] ?? '', file, line: line + 1, column: column + 1 };
    }),
  );
}
