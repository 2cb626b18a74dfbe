import { access } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { build, type BuildFailure, type BuildOptions, type Message } from 'esbuild';
import { type BedsError, isBedsError } from '../template/errors.js';
import { buildErrors } from './build-errors.js';
import { importGuard } from './import-guard.js';
import { findWaysOut, type WayOut, WAYS_OUT } from './ways-out.js';

/** One module, and the map from it to the author's files. */
export interface BundledCode {
  readonly code: string;
  /** JSON. */
  readonly sourceMap: string;
}

/** What esbuild lets pass with less than an error, and the host cannot run. */
const REFUSED_FORMS: NonNullable<BuildOptions['logOverride']> = {
  'unsupported-dynamic-import': 'error',
  'unsupported-require-call': 'error',
  'indirect-require': 'error',
  'empty-import-meta': 'error',
  'commonjs-variable-in-esm': 'error',
  'direct-eval': 'error',
};

/** The file is never written under this name: it only makes paths in comments and source map relative to the entry. */
const OUTPUT_NAME = 'index.mjs';

function optionsFor(entry: string): BuildOptions & { readonly write: false } {
  const directory = dirname(entry);
  return {
    absWorkingDir: directory,
    entryPoints: [entry],
    outfile: join(directory, OUTPUT_NAME),
    write: false,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    treeShaking: true,
    charset: 'utf8',
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: true,
    supported: { 'top-level-await': false },
    logLevel: 'silent',
    logLimit: 0,
    logOverride: REFUSED_FORMS,
    define: WAYS_OUT,
    plugins: [importGuard],
  };
}

function describeMessage({ text, location, notes }: Message): string {
  const place = location === null ? '' : `${location.file}:${location.line}:${location.column + 1} `;
  const hints = notes.map((note) => note.text).filter((note) => note !== '');
  return `- ${place}${text}${hints.length > 0 ? ` (${hints.join(' ')})` : ''}`;
}

/** Makes BEDS_BUILD_REFUSED with all findings in the message. */
function refuse(lines: readonly string[], cause?: unknown): BedsError {
  return buildErrors.make('BEDS_BUILD_REFUSED', `The template cannot be built:\n${lines.join('\n')}`, { cause });
}

function describeWayOut({ name, place }: WayOut): string {
  return `- ${place} ${name} is not there for a template (It leads out of its domain; use what ctx offers.)`;
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return typeof error === 'object' && error !== null && Array.isArray((error as Partial<BuildFailure>).errors);
}

/** Bundles `entry` and all it imports. Throws BEDS_BUILD_REFUSED with all findings, each with its place and a hint. */
export async function bundleCode(entry: string): Promise<BundledCode> {
  const path = resolve(entry);
  await access(path).catch((cause: unknown) => {
    const name = relative(process.cwd(), path) || basename(path);
    throw buildErrors.make('BEDS_BUILD_REFUSED', `The template cannot be built:\n- ${name} cannot be read`, { cause });
  });
  try {
    // Hosts run the bundle as the body of a function: what does not survive that form is found by building it once.
    await build({ ...optionsFor(path), format: 'cjs', sourcemap: false });
    const { outputFiles } = await build(optionsFor(path));
    const text = (suffix: string): string => outputFiles.find((file) => file.path.endsWith(suffix))?.text ?? '';
    const built = { code: text(OUTPUT_NAME), sourceMap: text('.map') };
    const ways = findWaysOut(built.code, built.sourceMap);
    if (ways.length > 0) throw refuse(ways.map(describeWayOut));
    return built;
  } catch (error) {
    if (isBedsError(error)) throw error;
    if (isBuildFailure(error)) throw refuse(error.errors.map(describeMessage), error);
    throw buildErrors.make('BEDS_BUILD_REFUSED', undefined, { cause: error });
  }
}
