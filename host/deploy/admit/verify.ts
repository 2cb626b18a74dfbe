import { forDebugger } from '../../template/debugged-sources.js';
import { isBuiltin } from 'node:module';
import { isBedsError, type Manifest } from '@beds/sdk';
import { CONTRACT_VERSION, splitSourceMap, ALLOWED_IMPORTS } from '#sdk/template';
import { findNames, markNames, WAYS_OUT } from '#sdk/ways-out';
import { build, type BuildFailure, type BuildOptions, type BuildResult, type Message, type Plugin } from 'esbuild';
import type { AdmissionCode } from '../../errors/admission.js';
import { contractMessage } from '../../template/check-contract.js';
import { type Finding, makeFinding } from '../../template/contract.js';
import {
  convertBundle,
  type ConvertedBundle,
  CLOSING,
  CONVERSION,
  OPENING,
  withInlineMap,
  withEsbuild,
} from '../../template/convert.js';
import type { BundleBytes } from './stage.js';

export type Verification =
  | { readonly ok: true; readonly converted: ConvertedBundle }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** Judges the bytes without running any of them, and reports everything that is wrong at once. */
export async function verifyBundle(bundle: BundleBytes): Promise<Verification> {
  const { manifest, files } = bundle;
  const { code, sourceMap } = splitSourceMap(files.get(manifest.entry)?.toString('utf8') ?? '');
  const entryMap = files.get(`${manifest.entry}.map`)?.toString('utf8') ?? sourceMap;
  const scanned = await scanAndConvert(code, entryMap);
  if (scanned !== undefined) {
    const { converted } = scanned;
    const found = [...checkContract(manifest), ...scanned.findings];
    return found.length === 0
      ? { ok: true, converted: forDebugger(manifest.domain, converted) }
      : { ok: false, findings: found };
  }
  return explain(manifest, code, entryMap);
}

/** Everything that is wrong with code that esbuild refuses to scan or to convert. */
async function explain(manifest: Manifest, code: string, entryMap: string): Promise<Verification> {
  const [imports, conversion] = await Promise.all([scanImports(code), convert(code, entryMap)]);
  const findings = [...checkContract(manifest), ...imports];
  if (conversion.ok && findings.length === 0) return { ok: true, converted: conversion.converted };
  // n.b. a syntax error stops both; the scan names all of them, so it is not said again.
  const isKnown = imports.some((finding) => !conversion.ok && finding.code === conversion.finding.code);
  return { ok: false, findings: conversion.ok || isKnown ? findings : [...findings, conversion.finding] };
}

type Conversion =
  { readonly ok: true; readonly converted: ConvertedBundle } | { readonly ok: false; readonly finding: Finding };

async function convert(code: string, entryMap: string): Promise<Conversion> {
  try {
    return { ok: true, converted: await convertBundle(code, entryMap === '' ? undefined : entryMap) };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    return { ok: false, finding: makeFinding(error.code as AdmissionCode, error.message) };
  }
}

function checkContract({ contract, entry }: Manifest): Finding[] {
  const findings: Finding[] = [];
  if (contract !== CONTRACT_VERSION) {
    findings.push(makeFinding('BEDS_ADMISSION_CONTRACT_UNSUPPORTED', contractMessage(contract)));
  }
  if (!entry.endsWith('.mjs')) {
    findings.push(makeFinding('BEDS_ADMISSION_MANIFEST_INVALID', 'Manifest: entry must be an .mjs file.'));
  }
  return findings;
}

/** Most findings of one kind that are reported; a bundle of the wrong kind has hundreds. */
const MAX_FINDINGS = 20;

const WARNINGS: Readonly<Record<string, (place: string) => Finding>> = {
  'unsupported-dynamic-import': (place) =>
    makeFinding('BEDS_ADMISSION_IMPORT_DYNAMIC', `import() of a computed name${place}.`),
  'unsupported-require-call': (place) =>
    makeFinding('BEDS_ADMISSION_IMPORT_DYNAMIC', `require() of a computed name${place}.`),
  'direct-eval': (place) => makeFinding('BEDS_ADMISSION_EVAL', `The bundle calls eval${place}.`),
};

const OPTIONS = {
  bundle: true,
  write: false,
  treeShaking: false,
  format: 'esm',
  platform: 'neutral',
  logLevel: 'silent',
  logOverride: Object.fromEntries(Object.keys(WARNINGS).map((id) => [id, 'warning'])),
} as const satisfies BuildOptions;

/**
 * Everything in the text of a bundle that would reach for a module it may not have, and its syntax errors. Reads the
 * syntax tree, not the text, and runs nothing.
 */
async function scanImports(code: string): Promise<readonly Finding[]> {
  const imports = new Map<string, string>();
  try {
    const stdin = { contents: code, sourcefile: 'index.mjs', loader: 'js' } as const;
    const plugins = [collectInto(imports)];
    const result: BuildResult = await withEsbuild(() => build({ ...OPTIONS, stdin, plugins }));
    return judge(imports, result);
  } catch (error) {
    const { errors } = error as Partial<BuildFailure>;
    if (errors === undefined) throw error;
    return errors.slice(0, MAX_FINDINGS).map((message) => {
      const text = `The bundle is not valid JavaScript: ${message.text}${placeOf(message)}.`;
      return makeFinding('BEDS_ADMISSION_SYNTAX', text);
    });
  }
}

export interface Scanned {
  readonly findings: readonly Finding[];
  readonly converted: ConvertedBundle;
}

/**
 * Scans and converts a sound bundle in one go, because reading it twice takes twice as long. Undefined when esbuild refuses
 * it: then `scanImports` and `convertBundle` say all that is wrong. `map`: source map (JSON), empty where there is none.
 */
async function scanAndConvert(code: string, map: string): Promise<Scanned | undefined> {
  const imports = new Map<string, string>();
  const contents = map === '' ? code : withInlineMap(code, map);
  const options = {
    ...{ ...OPTIONS, ...CONVERSION, platform: OPTIONS.platform, outfile: 'index.js' },
    ...{ banner: { js: OPENING }, footer: { js: CLOSING } },
    logOverride: { ...OPTIONS.logOverride, ...CONVERSION.logOverride },
    stdin: { contents, sourcefile: 'index.mjs', loader: 'js' },
    plugins: [collectInto(imports)],
    define: markNames(WAYS_OUT),
  } as const satisfies BuildOptions;
  try {
    const result = await withEsbuild(() => build(options));
    const textOf = (end: string): string => result.outputFiles.find(({ path }) => path.endsWith(end))?.text ?? '';
    const converted = { code: textOf('.js'), sourceMap: textOf('.js.map') };
    return { findings: [...judge(imports, result), ...judgeWaysOut(converted)], converted };
  } catch (error) {
    if ((error as Partial<BuildFailure>).errors === undefined) throw error;
    return undefined;
  }
}

function collectInto(imports: Map<string, string>): Plugin {
  return {
    name: 'collect-imports',
    setup(builder) {
      builder.onResolve({ filter: /.*/ }, ({ path, kind }) => {
        if (kind === 'entry-point') return undefined;
        imports.set(`${kind} ${path}`, path);
        return { path, external: true };
      });
    },
  };
}

function judge(imports: ReadonlyMap<string, string>, { warnings }: Pick<BuildResult, 'warnings'>): readonly Finding[] {
  return [...judgeImports(imports), ...judgeWarnings(warnings)].slice(0, MAX_FINDINGS);
}

function judgeImports(imports: ReadonlyMap<string, string>): Finding[] {
  return [...imports].flatMap(([key, path]) => {
    if (key.startsWith('dynamic-import')) {
      const message = `import('${path.slice(0, 100)}') is loaded while the code runs.`;
      return [makeFinding('BEDS_ADMISSION_IMPORT_DYNAMIC', message)];
    }
    if (isAllowed(path)) return [];
    return [
      makeFinding(
        'BEDS_ADMISSION_IMPORT_FORBIDDEN',
        `Templates may not import '${path.slice(0, 100)}'.`,
        hintFor(path),
      ),
    ];
  });
}

function isAllowed(path: string): boolean {
  return ALLOWED_IMPORTS.includes(path.startsWith('node:') ? path : `node:${path}`);
}

function hintFor(path: string): string {
  const usable = `Allowed are ${ALLOWED_IMPORTS.join(', ')}.`;
  if (isBuiltin(path)) return `Use what ctx offers instead. ${usable}`;
  return `A bundle carries its packages inside itself: build it with \`beds build\`. Drivers are replaced by ctx. ${usable}`;
}

function judgeWarnings(warnings: readonly Message[]): Finding[] {
  return warnings.flatMap((warning) => {
    const find = WARNINGS[warning.id];
    return find === undefined ? [] : [find(placeOf(warning))];
  });
}

function judgeWaysOut({ code, sourceMap }: ConvertedBundle): readonly Finding[] {
  return findNames(WAYS_OUT, code, sourceMap)
    .slice(0, MAX_FINDINGS)
    .map(({ name, file, line }) => {
      const message = `The bundle uses ${name}${file === '' ? '' : ` (${file}:${String(line)})`}.`;
      return makeFinding(
        'BEDS_ADMISSION_PROCESS_FORBIDDEN',
        message,
        'It is not there for templates: use what ctx offers.',
      );
    });
}

function placeOf({ location }: Message): string {
  return location === null ? '' : ` (index.mjs:${location.line})`;
}
