import { createHash } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes bundles by hand, good and bad, in a millisecond: no compiler, no SDK inside. The hashes in the manifest are always
 * those of the bytes, unless `manifest.files` says otherwise.
 *
 *   await writeBundle(directory, { domain: 'notes', version: '1.0.0' })            a template that answers every operation
 *   await writeBundle(directory, { form: 'file' })                                 the same as a single file
 *   await writeBundle(directory, { code: 'export default 1' })                     other code; see `templateCode`
 *   await writeBundle(directory, { body: { selfTest: 'throw new Error("no")' } })  one method other than usual
 *   await writeBundle(directory, { manifest: { contract: 99 } })                   one field of the manifest other than usual
 *   await writeBundle(directory, { objects: { fetch: { … } }, store: 'main' })     what it asks of its database
 *
 * `describeBundle` gives the same files as text, for tests that write them in their own way (slowly, in part, twice).
 */
export interface BundleOptions {
  /** Default 'notes'. */
  readonly domain?: string;
  /** Default '1.0.0'. */
  readonly version?: string;
  /** Default 'folder'. */
  readonly form?: 'folder' | 'file';
  /** Default 'main'. */
  readonly store?: string;
  /** Default: one view `notes_all` with columns `id` and `text` as `fetch`. */
  readonly objects?: Readonly<Record<string, unknown>>;
  /** Other domains that the code calls. */
  readonly peers?: readonly string[];
  /** Custom operations: manifest and code agree. `run` is the body of `async run(input, ctx)`. */
  readonly operations?: Readonly<Record<string, BundleOperation>>;
  /** Who may call what, by operation: as a manifest says it, or the body of a function of `user` and `input`. */
  readonly access?: Readonly<Record<string, string | readonly string[]>>;
  /** Those of `peers` that it calls in its own name. */
  readonly asDomain?: readonly string[];
  /** Bodies of methods that differ from the usual ones: createRecord, fetchRecords, updateRecord, deleteRecord, setup, … */
  readonly body?: Readonly<Record<string, string>>;
  /** Text before the default export. */
  readonly head?: string;
  /** The whole code in place of `templateCode(options)`. */
  readonly code?: string;
  /** Source map (JSON); a folder gets it as a file, a single file inline. */
  readonly sourceMap?: string;
  /** Fields of the manifest that differ from what fits the code. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Name in the directory. Default `<domain>-<version>`, with `.mjs` for a single file. */
  readonly name?: string;
}

export interface BundleOperation {
  readonly mode: 'read' | 'write';
  /** Values that its payload may have, as a template declares them. Default none. */
  readonly args?: Readonly<Record<string, unknown>>;
  readonly run: string;
}

export interface BundleText {
  /** Name in the plugin directory. */
  readonly name: string;
  /** Content by file name; the manifest comes last. A single file has one, under `name`. */
  readonly files: ReadonlyMap<string, string>;
  readonly manifest: Readonly<Record<string, unknown>>;
  /** What the host calls the hash of this bundle. */
  readonly hash: string;
}

const MARK = '//! beds-manifest ';
const CORE = ['create', 'update', 'delete'] as const;
/** What an operation declares that code serves, whatever it takes. */
const CODED = { input: { type: 'schema' } };
const CODED_FETCH = { output: { type: 'list', items: { type: 'json' } } };
const NOTES = {
  fetch: { kind: 'view', name: 'notes_all', columns: { id: { type: 'integer' }, text: { type: 'string' } } },
};
const METHODS: Readonly<Record<string, readonly [parameters: string, body: string]>> = {
  createRecord: ['payload, ctx', 'return payload;'],
  fetchRecords: ['query, ctx', 'return { rows: [{ id: 1, text: VERSION }] };'],
  updateRecord: ['payload, ctx', 'return payload;'],
  deleteRecord: ['id, ctx', 'return { id };'],
  setup: ['ctx', ''],
  teardown: ['', ''],
  selfTest: ['', ''],
};

/** Writes a bundle so that it appears complete, by one rename. Returns its path and what is in it. */
export async function writeBundle(
  directory: string,
  options: BundleOptions = {},
): Promise<BundleText & { readonly path: string }> {
  const bundle = describeBundle(options);
  const path = join(directory, bundle.name);
  const draft = join(directory, `.draft-${process.pid}-${drafts++}`);
  const aside = `${draft}.old`;
  if (options.form === 'file') {
    await writeFile(draft, bundle.files.get(bundle.name) ?? '');
  } else {
    await mkdir(draft, { recursive: true });
    for (const [name, text] of bundle.files) await writeFile(join(draft, name), text);
    // A folder cannot be renamed over another.
    await rename(path, aside).catch(() => undefined);
  }
  await rename(draft, path);
  await rm(aside, { recursive: true, force: true });
  return { ...bundle, path };
}

let drafts = 0;

/** The files of a bundle as text. */
export function describeBundle(options: BundleOptions = {}): BundleText {
  const { domain = 'notes', version = '1.0.0', form = 'folder' } = options;
  const code = options.code ?? templateCode(options);
  const isFile = form === 'file';
  const inline =
    options.sourceMap === undefined
      ? ''
      : `\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(options.sourceMap).toString('base64')}\n`;
  const files = new Map([['index.mjs', isFile ? `\n${code}${inline}` : code]]);
  if (!isFile && options.sourceMap !== undefined) files.set('index.mjs.map', options.sourceMap);
  const described = [...files].map(([name, text]) => [name, { sha256: sha256(text), bytes: Buffer.byteLength(text) }]);
  const manifest = {
    ...definitionOf(options),
    entry: 'index.mjs',
    files: Object.fromEntries(described) as Record<string, unknown>,
    ...options.manifest,
  };
  const name = options.name ?? `${domain}-${version}${isFile ? '.mjs' : ''}`;
  const text = JSON.stringify(manifest);
  const hash = sha256(text);
  if (!isFile) return { name, files: files.set('manifest.json', text), manifest, hash };
  return { name, files: new Map([[name, `${MARK}${text}${files.get('index.mjs')}`]]), manifest, hash };
}

/** The code of a template that keeps the contract; `VERSION` and `DOMAIN` are in scope of every body. */
export function templateCode(options: BundleOptions = {}): string {
  const { domain = 'notes', version = '1.0.0', operations = {}, body = {}, head = '' } = options;
  const methods = Object.entries(METHODS).map(
    ([name, [parameters, usual]]) => `  async ${name}(${parameters}) { ${body[name] ?? usual} },`,
  );
  const custom = Object.entries(operations).map(
    ([name, { mode, args = {}, run }]) =>
      `    ${name}: { mode: '${mode}', idempotent: ${mode === 'read'}, input: ${JSON.stringify({ type: 'object', fields: args })}, async run(input, ctx) { ${run} } },`,
  );
  return [
    `const DOMAIN = '${domain}';`,
    `const VERSION = '${version}';`,
    head,
    'export default {',
    `  [Symbol.for('beds.template')]: true,`,
    `  definition: ${JSON.stringify(definitionOf(options))},`,
    '  operations: {',
    ...custom,
    '  },',
    '  access: {',
    ...Object.entries(options.access ?? {}).flatMap(([name, rule]) =>
      isCode(rule) ? [`    ${name}: (user, input) => { ${String(rule)} },`] : [],
    ),
    '  },',
    ...methods,
    '};',
    '',
  ].join('\n');
}

/** n.b. a body returns something. */
function isCode(rule: string | readonly string[]): boolean {
  return typeof rule === 'string' && rule.includes('return');
}

function definitionOf(options: BundleOptions): Record<string, unknown> {
  const { domain = 'notes', version = '1.0.0', store = 'main', objects = NOTES, operations = {} } = options;
  const core = CORE.map((name) => [name, { mode: 'write', idempotent: false, ...(!(name in objects) && CODED) }]);
  const fetch = { mode: 'read', idempotent: true, ...(!('fetch' in objects) && CODED_FETCH) };
  const custom = Object.entries(operations).map(([name, { mode, args = {} }]) => [
    name,
    { mode, input: { type: 'object', fields: args }, idempotent: mode === 'read' },
  ]);
  const all = Object.entries<Readonly<Record<string, unknown>>>(
    Object.fromEntries([...core, ['fetch', fetch], ...custom]) as Record<string, Readonly<Record<string, unknown>>>,
  ).map(([name, operation]) => {
    const rule = options.access?.[name];
    return [name, rule === undefined ? operation : { ...operation, access: isCode(rule) ? 'code' : rule }];
  });
  return {
    manifestVersion: 2,
    contract: 2,
    domain,
    version,
    store,
    key: 'id',
    operations: Object.fromEntries(all) as Record<string, unknown>,
    objects,
    peers: options.peers ?? [],
    ...(options.asDomain && { asDomain: options.asDomain }),
    sdk: '0.2.0',
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
