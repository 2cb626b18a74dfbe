import type { ConvertedBundle } from './convert.js';

/** The folders of domains whose author stands beside with a debugger, as URLs. Empty in every host that serves. */
export const debuggedSources = new Map<string, string>();

/** The code with a source map that a debugger finds the author's files by, where one asks for this domain. */
export function forDebugger(domain: string, converted: ConvertedBundle): ConvertedBundle {
  const folder = debuggedSources.get(domain);
  if (folder === undefined) return converted;
  const map = JSON.parse(converted.sourceMap) as { readonly sources: readonly string[] };
  const sources = map.sources.map((source) => new URL(source, folder).href);
  const encoded = Buffer.from(JSON.stringify({ ...map, sources })).toString('base64');
  return { ...converted, code: `${converted.code}\n//# sourceMappingURL=data:application/json;base64,${encoded}\n` };
}
