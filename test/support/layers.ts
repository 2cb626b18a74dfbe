import { dirname, join, normalize } from 'node:path/posix';
import type { SourceFile } from './source-files.js';
import { ts } from './typescript.js';

/**
 * The layers of the project, top to bottom. A file imports from its own layer or from one further down; type imports
 * count. Layers on one line know nothing of each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['test', 'bench'],
  ['host/cli'],
  ['host/dashboard/app'],
  ['host/author'],
  ['host/main.ts'],
  ['host/supervisor.ts', 'host/dashboard'],
  ['host/deploy', 'host/dev-servers', 'host/dba'],
  ['host/threads'],
  ['host/brokers'],
  ['host/request'],
  ['host/access'],
  ['host/template'],
  ['host/stores', 'host/amqp'],
  ['host/observe', 'host/process-identity.ts'],
  ['host/config'],
  ['broker definitions'],
  ['host/errors'],
  ['host/dashboard/contract.ts'],
  ['host/admin/shown.ts'],
  ['plugins'],
  ['sdk/cli'],
  ['sdk/testing'],
  ['sdk/build', 'sdk/client', 'sdk/generate'],
  ['sdk/spec'],
  ['sdk/amqp'],
  ['sdk/template', 'sdk/wire'],
  ['sdk/time.ts', 'sdk/nearest.ts'],
];

/** Layers that may use less than what lies below them. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'host/dashboard/app': ['host/dashboard/contract.ts'],
  'host/dev-servers': ['host/process-identity.ts', 'host/errors', 'sdk/template', 'sdk/time.ts'],
};

/** Folders that need words of each other: the two halves of what the SDK's main door shows, and the parts of the control plane. */
const ONE_LAYER: Readonly<Record<string, string>> = {
  'sdk/wire': 'sdk/template',
  'host/admin': 'host/deploy',
  'host/roles.ts': 'host/config',
  'host/metrics': 'host/deploy',
};

const DOORS: Readonly<Record<string, string>> = {
  '@beds/sdk': 'sdk/template/authors.ts',
  '@beds/sdk/build': 'sdk/build/index.ts',
  '@beds/sdk/client': 'sdk/client/index.ts',
  '@beds/sdk/testing': 'sdk/testing/index.ts',
  // Of this repository alone: its package.json names them, that of the package does not.
  '#sdk/amqp': 'sdk/amqp/index.ts',
  '#sdk/cli': 'sdk/cli/index.ts',
  '#sdk/template': 'sdk/template/index.ts',
  '#sdk/ways-out': 'sdk/build/ways-out.ts',
  '#sdk/spec': 'sdk/spec/index.ts',
  '#sdk/generate': 'sdk/generate/index.ts',
  '#sdk/nearest': 'sdk/nearest.ts',
  '#sdk/time': 'sdk/time.ts',
};

/** Everything about the files that breaks the order of the layers. Empty: all is well. */
export function layerFindings(files: readonly SourceFile[]): readonly string[] {
  const imports = new Map(files.map((file) => [file.path, importsOf(file).map((path) => DOORS[path] ?? path)]));
  return [...[...imports].flatMap(orderFindings), ...cycleFindings(imports)];
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

/** The configuration is made of them: what is known of a type of broker without running it. */
const BROKER_DEFINITION = /^host\/brokers\/(?:define|definitions|markdown|[^/]+\/definition)\.ts$/;

function layerOf(path: string): string | undefined {
  if (BROKER_DEFINITION.test(path)) return 'broker definitions';
  // The longest first: a file or a folder may have a layer of its own.
  const names = [...Object.keys(ONE_LAYER), ...LAYERS.flat()].sort((a, b) => b.length - a.length);
  const layer = names.find((name) => path === name || path.startsWith(`${name}/`));
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

/**
 * What a file imports: other files of the project by their path, packages by their name. Type imports count. n.b. the
 * scanner finds what a syntax tree would, in a quarter of the time.
 */
function importsOf({ path, text }: SourceFile): readonly string[] {
  const { importedFiles } = ts.preProcessFile(text, true, true);
  return [...new Set(importedFiles.map(({ fileName }) => resolveImport(path, fileName)))];
}

function resolveImport(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
}
