import { importsOf } from './imports.js';
import type { SourceFile } from './source-files.js';

/**
 * The layers of the project, top to bottom. A file imports from its own layer or from one further down; type imports
 * count. Layers on one line know nothing of each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['test', 'bench'],
  ['host/cli'],
  ['host/main.ts'],
  ['host/supervisor', 'host/services', 'host/dba'],
  ['host/thread'],
  ['host/dispatch'],
  ['host/generation'],
  ['host/adapter', 'host/amqp', 'host/envelope'],
  ['host/observe'],
  ['host/config'],
  ['host/errors'],
  ['plugins'],
  ['sdk/testing'],
  ['sdk/build', 'sdk/client'],
  ['sdk/template', 'sdk/wire'],
];

/** Layers that may use less than what lies below them. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'host/services': ['host/errors', 'sdk/template'],
};

/** The two halves of what the SDK's main door shows; each needs words of the other. */
const ONE_LAYER: Readonly<Record<string, string>> = { 'sdk/wire': 'sdk/template' };

const DOORS: Readonly<Record<string, string>> = {
  '@beds/sdk': 'sdk/template/index.ts',
  '@beds/sdk/build': 'sdk/build/index.ts',
  '@beds/sdk/client': 'sdk/client/index.ts',
  '@beds/sdk/testing': 'sdk/testing/index.ts',
};

const MAX_LINES = 400;
const MAX_ROOT_LINES = 260;
/** The files that grow out of hand in every project like this one. */
const COMPOSITION_ROOTS = ['host/main.ts', 'host/supervisor/supervisor.ts', 'host/thread/thread.ts'];

/** Everything about the files that breaks the order of the layers, or the limits of size. Empty: all is well. */
export function layerFindings(files: readonly SourceFile[]): readonly string[] {
  const imports = new Map(files.map((file) => [file.path, importsOf(file).map((path) => DOORS[path] ?? path)]));
  return [...files.flatMap(sizeFindings), ...[...imports].flatMap(orderFindings), ...cycleFindings(imports)];
}

function sizeFindings({ path, text }: SourceFile): readonly string[] {
  // A test file is as long as its feature has cases.
  if (path.startsWith('test/')) return [];
  const lines = text.trimEnd().split('\n').length;
  const limit = COMPOSITION_ROOTS.includes(path) ? MAX_ROOT_LINES : MAX_LINES;
  return lines <= limit ? [] : [`${path} has ${lines} lines; ${limit} is the limit`];
}

function orderFindings([path, imported]: readonly [string, readonly string[]]): readonly string[] {
  const from = layerOf(path);
  if (from === undefined) return [`${path} belongs to no layer; name its folder in test/support/layers.ts`];
  return imported
    .filter((target) => isOfProject(target))
    .filter((target) => !isAllowed(from, layerOf(target)))
    .map((target) => `${path} may not import ${target}`);
}

function isOfProject(path: string): boolean {
  return /^(host|sdk|plugins|test|bench|\.\.)\//.test(path);
}

function isAllowed(from: string, to: string | undefined): boolean {
  if (to === undefined) return false;
  if (from === to) return true;
  const only = ONLY[from];
  return only === undefined ? heightOf(from) < heightOf(to) : only.includes(to);
}

function heightOf(layer: string): number {
  return LAYERS.findIndex((line) => line.includes(layer));
}

function layerOf(path: string): string | undefined {
  const layer = LAYERS.flat().find((name) => path === name || path.startsWith(`${name}/`));
  return layer === undefined ? undefined : (ONE_LAYER[layer] ?? layer);
}

/** One finding for each import that closes a circle. */
function cycleFindings(imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const findings: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) findings.push(`${[...trail.slice(start), path].join(' -> ')} is a circle`);
    if (start !== -1 || done.has(path)) return;
    for (const next of imports.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) walk(path, []);
  return findings;
}
