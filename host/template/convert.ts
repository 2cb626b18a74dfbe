import { transform, type TransformFailure, type TransformOptions, stop } from 'esbuild';
import { admissionErrors } from '../errors/admission.js';
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { lowerPriority } from './low-priority.js';

/** A bundle as the body of a CommonJS function. */
export interface ConvertedBundle {
  readonly code: string;
  /** Source map (JSON) from `code` to the author's files, without their text. */
  readonly sourceMap: string;
}

/** What makes an ES module the body of a CommonJS function, whichever way esbuild is asked. */
export const CONVERSION = {
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  sourcemap: 'external',
  sourcesContent: false,
  logLevel: 'silent',
  logOverride: { 'empty-import-meta': 'error' },
} as const satisfies TransformOptions;

// n.b. ES modules are strict, function bodies are not. A name of a module's own may be that of a global, which is a parameter
// here: only in a function of their own do all names begin without a value. A banner is accounted for in the map.
export const OPENING = '"use strict";(function () {';
export const CLOSING = '})();';

const MAP_COMMENT = /^\/\/# sourceMappingURL=.*$/gm;

/**
 * Turns an ES module into the body of a CommonJS function, because code compiled from a function body can be reclaimed and
 * an imported module cannot. `map` is the bundle's source map (JSON); without it an inline map of `esm` is used. Throws
 * `BEDS_ADMISSION_TOP_LEVEL_AWAIT`, `BEDS_ADMISSION_IMPORT_META` or `BEDS_ADMISSION_SYNTAX`.
 */
export async function convertBundle(esm: string, map?: string): Promise<ConvertedBundle> {
  try {
    const input = map === undefined ? esm : withInlineMap(esm, map);
    const result = await withEsbuild(() =>
      transform(input, { ...CONVERSION, banner: OPENING, footer: CLOSING, sourcefile: 'index.mjs' }),
    );
    return { code: result.code, sourceMap: result.map };
  } catch (error) {
    throw explain(error);
  }
}

/** The code with its source map at the end, as esbuild takes both. */
export function withInlineMap(esm: string, map: string): string {
  const encoded = Buffer.from(map).toString('base64');
  return `${esm.replace(MAP_COMMENT, '')}\n//# sourceMappingURL=data:application/json;base64,${encoded}\n`;
}

function explain(error: unknown): unknown {
  const first = (error as Partial<TransformFailure>).errors?.[0];
  if (first === undefined) return error;
  const place = first.location === null ? '' : ` (index.mjs:${first.location.line})`;
  if (first.id === 'empty-import-meta') {
    return admissionErrors.make('BEDS_ADMISSION_IMPORT_META', `The bundle uses import.meta${place}.`);
  }
  if (/top-level await/i.test(first.text)) {
    return admissionErrors.make('BEDS_ADMISSION_TOP_LEVEL_AWAIT', `The bundle awaits while it loads${place}.`);
  }
  return admissionErrors.make('BEDS_ADMISSION_SYNTAX', `The bundle is not valid JavaScript: ${first.text}${place}.`);
}

/** Rises each time the helper process was found dead and given up. */
let epoch = 0;

/**
 * Runs work that uses esbuild, once more if its helper process died. n.b. esbuild starts that process once and never again
 * by itself: without this a host whose helper was killed could not admit another bundle.
 */
export async function withEsbuild<T>(work: () => Promise<T>): Promise<T> {
  const begun = epoch;
  try {
    return await watched(work);
  } catch (error) {
    if (!isServiceGone(error)) throw error;
    // Of several calls that failed together, one gives the old process up; the others must not stop the new one.
    if (begun === epoch) {
      epoch += 1;
      await stop();
    }
    return await watched(work);
  }
}

/** The helper starts with the first work, takes all processors that it can get, and must not take them from requests. */
async function watched<T>(work: () => Promise<T>): Promise<T> {
  let helper: ChildProcess | undefined;
  const note = (message: unknown): void => {
    helper = (message as { readonly process: ChildProcess }).process;
  };
  subscribe('child_process', note);
  let working: Promise<T>;
  try {
    // n.b. esbuild starts the process before this returns.
    working = work();
  } finally {
    unsubscribe('child_process', note);
  }
  const result = await working;
  // Only now, when it has all its threads.
  if (helper?.pid !== undefined) lowerPriority(helper.pid);
  return result;
}

function isServiceGone(error: unknown): boolean {
  return error instanceof Error && /^The service (?:was stopped|is no longer running)/.test(error.message);
}
