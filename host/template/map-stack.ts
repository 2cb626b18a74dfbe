import { SourceMap, type SourceMapPayload, type SourceMapping } from 'node:module';
import { textOf, wordsFor } from '../errors/thrown.js';
import type { GenerationSource } from './contract.js';
import { generationFile } from './compile.js';

/** Which file name in a stack belongs to which source map. */
export interface MappedFile {
  readonly file: string;
  /** JSON; empty where there is none. */
  readonly sourceMap: string;
}

const FRAME = /((?:beds|file):\/\/[^\s()]{1,1000}?):(\d+):(\d+)/g;

/**
 * The stack of an error with the author's file and line in place of the bundle's. Parses the map when an error is reported,
 * so that a generation that never fails never pays for it.
 */
export function mapStack(error: unknown, source: Pick<GenerationSource, 'manifest' | 'sourceMap'>): string {
  return mapFrames(stackOf(error), [{ file: generationFile(source.manifest), sourceMap: source.sourceMap }]);
}

function mapFrames(stack: string, files: readonly MappedFile[]): string {
  const maps = new Map<string, SourceMap | undefined>();
  return stack.replace(FRAME, (frame: string, ...[file, line, column]: [string, string, string]) => {
    const known = files.find((candidate) => candidate.file === file);
    if (known === undefined) return frame;
    if (!maps.has(file)) maps.set(file, parseMap(known.sourceMap));
    return place(maps.get(file), Number(line), Number(column)) ?? frame;
  });
}

/** `template.ts:12` of the innermost frame that is the author's; undefined when none is. */
export function firstPlace(stack: string, files: readonly MappedFile[]): string | undefined {
  for (const [, file, line, column] of stack.matchAll(FRAME)) {
    const known = files.find((candidate) => candidate.file === file);
    if (known === undefined) continue;
    const exact = place(parseMap(known.sourceMap), Number(line), Number(column));
    return (exact ?? `index.mjs:${line}:${column}`).replace(/:\d+$/, '');
  }
  return undefined;
}

export function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return wordsFor(error);
  return textOf(error, 'stack') ?? 'an object without a stack';
}

/** The frames of a stack without the message above them, which may quote another stack. */
export function framesOf(error: unknown): string {
  const stack = textOf(error, 'stack') ?? '';
  const message = wordsFor(error);
  const at = message === '' ? -1 : stack.indexOf(message);
  const rest = at < 0 ? stack : stack.slice(at + message.length);
  return rest
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}

function place(map: SourceMap | undefined, line: number, column: number): string | undefined {
  // n.b. typed as always complete; it is empty where nothing is mapped, and has no source where code was made up.
  const entry: Partial<SourceMapping> | undefined = map?.findEntry(line - 1, column - 1);
  if (entry?.originalSource === undefined) return undefined;
  return `${entry.originalSource}:${(entry.originalLine ?? 0) + 1}:${(entry.originalColumn ?? 0) + 1}`;
}

/** The last one that was parsed: code that fails does so again and again, and parsing takes longer than most requests. */
let last: { readonly json: string; readonly map: SourceMap | undefined } | undefined;

function parseMap(json: string): SourceMap | undefined {
  if (last?.json !== json) last = { json, map: makeMap(json) };
  return last.map;
}

function makeMap(json: string): SourceMap | undefined {
  try {
    return json === '' ? undefined : new SourceMap(JSON.parse(json) as SourceMapPayload);
  } catch {
    // A broken map must not hide the error that is being reported.
    return undefined;
  }
}
