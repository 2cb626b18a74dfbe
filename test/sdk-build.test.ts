import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { BedsError } from '@beds/sdk';
import { isTemplate, parseManifest, readSingleFile, splitSourceMap } from '#sdk/template';
import { buildTemplate } from '@beds/sdk/build';

const run = promisify(execFile);

const TEMPLATE = `
import { defineDomain, procedure, t, view } from '@beds/sdk';
import { createHash } from 'node:crypto';
import { shout } from './shout.js';

const city = t.row({ id: t.int(), name: t.string() });

export default defineDomain({
  name: 'cities', version: '1.2.0', store: 'main', key: 'id',
  create: procedure('city_create', city.omit('id')),
  fetch: view('city_list', city),
  update: procedure('city_update', city),
  delete: procedure('city_delete', city.pick('id')),
  operations: ({ query }) => ({
    shout: query({ input: { text: t.string() }, output: t.string() }, async ({ input }) =>
      shout(createHash('md5').update(input.text).digest('hex')),
    ),
  }),
});
`;

const SHOUT = `export interface Unused { readonly a: string }
export function shout(text: string): string {
  if (text === '') throw new Error('nothing to shout');
  return text.toUpperCase();
}
`;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'beds-build-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function project(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): Promise<{ entry: string; outDir: string }> {
  const root = await folder(t);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, 'src', name)), { recursive: true });
    await writeFile(join(root, 'src', name), text);
  }
  return { entry: join(root, 'src', 'template.ts'), outDir: join(root, 'out') };
}

const good = { 'template.ts': TEMPLATE, 'shout.ts': SHOUT };

async function buildError(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  loadTimeoutMs?: number,
): Promise<BedsError> {
  const { entry, outDir } = await project(t, files);
  try {
    await buildTemplate({ entry, outDir, ...(loadTimeoutMs === undefined ? {} : { loadTimeoutMs }) });
  } catch (error) {
    assert.deepEqual(await readdir(outDir).catch(() => []), [], 'nothing is left behind');
    return error as BedsError;
  }
  return assert.fail('was built');
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('a folder holds one module, its map and a manifest that covers both', async (t) => {
  const { entry, outDir } = await project(t, good);
  const bundle = await buildTemplate({ entry, outDir });
  assert.equal(bundle.path, join(outDir, 'cities-1.2.0'));
  assert.deepEqual(await readdir(outDir), ['cities-1.2.0']);
  assert.deepEqual((await readdir(bundle.path)).toSorted(), ['index.mjs', 'index.mjs.map', 'manifest.json']);
  const parsed = parseManifest(await readFile(join(bundle.path, 'manifest.json'), 'utf8'));
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.manifest, bundle.manifest);
  assert.equal(parsed.manifest.entry, 'index.mjs');
  for (const [name, { bytes, sha256: hash }] of Object.entries(parsed.manifest.files)) {
    const file = await readFile(join(bundle.path, name));
    assert.deepEqual([file.byteLength, sha256(file)], [bytes, hash]);
  }
  const module = (await import(pathToFileURL(join(bundle.path, 'index.mjs')).href)) as { default: unknown };
  assert.ok(isTemplate(module.default));
  assert.equal(
    await module.default.operations['shout']?.run({ text: 'a' }, undefined as never),
    '0CC175B9C0F1B6A831C399E269772661',
  );
});

test("the source map names the author's lines and carries their text", async (t) => {
  const { entry, outDir } = await project(t, good);
  for (const form of ['folder', 'file'] as const) {
    const { path } = await buildTemplate({ entry, outDir, form });
    const url = pathToFileURL(form === 'folder' ? join(path, 'index.mjs') : path).href;
    const script = `import(${JSON.stringify(url)}).then((m) => m.default.operations.shout.run({ text: '' }))`;
    const throwing = `const { createHash } = await import('node:crypto'); Object.getPrototypeOf(createHash('md5')).digest = () => '';`;
    const failed = await run(process.execPath, [
      '--enable-source-maps',
      '--input-type=module',
      '-e',
      `${throwing} await ${script}`,
    ]).then(
      () => assert.fail('did not throw'),
      (error: unknown) => error as { stderr: string },
    );
    assert.match(failed.stderr, /at shout \(.*shout\.ts:3:\d+\)/, form);
  }
});

test('the same sources give the same bytes', async (t) => {
  const { entry, outDir } = await project(t, good);
  for (const form of ['folder', 'file'] as const) {
    const first = await buildTemplate({ entry, outDir, form });
    const second = await buildTemplate({ entry, outDir: `${outDir}-again`, form });
    assert.deepEqual(second.manifest, first.manifest);
    const again = await buildTemplate({ entry, outDir, form });
    assert.equal(again.path, first.path);
    assert.deepEqual(
      (await readdir(outDir)).filter((name) => name.startsWith('.')),
      [],
    );
  }
});

test('a single file is recognised when complete, incomplete at any shorter length, and refused when changed', async (t) => {
  const { entry, outDir } = await project(t, good);
  const { path, manifest } = await buildTemplate({ entry, outDir, form: 'file' });
  assert.equal(path, join(outDir, 'cities-1.2.0.mjs'));
  const bytes = await readFile(path);
  const read = readSingleFile(bytes);
  assert.equal(read.state, 'complete');
  assert.deepEqual(read.state === 'complete' && read.manifest, manifest);
  for (let length = 0; length < bytes.length; length += 997) {
    assert.equal(readSingleFile(bytes.subarray(0, length)).state, 'incomplete', `${length} bytes`);
  }
  assert.equal(readSingleFile(bytes.subarray(0, -1)).state, 'incomplete');
  assert.equal(readSingleFile(Buffer.concat([bytes, Buffer.from(' ')])).state, 'invalid');
  const changed = Buffer.from(bytes);
  changed.write('X', bytes.length - 10);
  assert.equal(readSingleFile(changed).state, 'invalid');
  assert.equal(readSingleFile(Buffer.from('export default 7;\n')).state, 'invalid');
  assert.equal(readSingleFile(Buffer.from('//! beds-manifest {}\n')).state, 'invalid');
  const { code, sourceMap } = splitSourceMap(Buffer.from(read.state === 'complete' ? read.body : []).toString());
  assert.doesNotMatch(code, /sourceMappingURL/);
  const map = JSON.parse(sourceMap) as { readonly sources: string[]; readonly sourcesContent: (string | null)[] };
  const kept = map.sources.filter((_, place) => map.sourcesContent[place] !== null);
  assert.deepEqual(
    kept.toSorted(),
    ['shout.ts', 'template.ts'],
    'texts of the author are kept, those of packages are not',
  );
});

test('every forbidden import is reported at once, with its place and a hint', async (t) => {
  const error = await buildError(t, {
    'template.ts': `import { readFileSync } from 'node:fs';
import net from 'net';
import mysql from 'mysql2/promise';
import { connectBeds } from '@beds/sdk/client';
import { later } from './later.js';
const addon = require('./fast.node');
export default { readFileSync, net, mysql, connectBeds, later, addon };
`,
    'later.ts': `export async function later(name: string) {
  const [a, b] = await Promise.all([import(name), import('node:child_process')]);
  return [a, b, require(name), import.meta.url];
}
await Promise.resolve();
`,
  });
  assert.equal(error.code, 'BEDS_BUILD_REFUSED');
  const lines = error.message.split('\n').slice(1);
  for (const expected of [
    /template\.ts:1:\d+ "node:fs" may not be imported.*keep data in the database/,
    /template\.ts:2:\d+ "net" may not be imported.*no network/,
    /template\.ts:3:\d+ "mysql2\/promise" may not be imported.*objects of the DBA/,
    /template\.ts:4:\d+ "@beds\/sdk\/client" may not be imported/,
    /template\.ts:6:\d+ ".\/fast.node" is a native addon/,
    /later\.ts:2:\d+ "node:child_process" may not be imported/,
  ]) {
    assert.ok(
      lines.some((line) => expected.test(line)),
      `${String(expected)} in\n${error.message}`,
    );
  }
  const forms = await buildError(t, {
    'template.ts': `const name = String(Math.random());
export const a = () => import(name);
export const b = () => require(name);
export const c = () => import.meta.url;
await Promise.resolve();
`,
  });
  for (const line of [2, 3, 4, 5])
    assert.match(forms.message, new RegExp(`template\\.ts:${line}:\\d+ `), forms.message);
});

test('CommonJS dependencies may require the allowed modules of Node', async (t) => {
  const { entry, outDir } = await project(t, {
    ...good,
    'shout.ts': `import legacy from './legacy.cjs';\nexport const shout = (text: string): string => legacy(text);\n`,
    'legacy.cjs': `const assert = require('assert');
const Events = require('events');
const { inspect } = require('node:util');
class Legacy extends Events {}
module.exports = (text) => { assert(new Legacy() instanceof Events); return inspect(text); };
`,
  });
  const { path } = await buildTemplate({ entry, outDir });
  const module = (await import(pathToFileURL(join(path, 'index.mjs')).href)) as { default: unknown };
  assert.ok(isTemplate(module.default));
  assert.equal(
    await module.default.operations['shout']?.run({ text: 'a' }, undefined as never),
    "'0cc175b9c0f1b6a831c399e269772661'",
  );
});

test('what cannot be loaded, or is no template, is refused with its reason', async (t) => {
  const outcome = async (text: string): Promise<string> => {
    const error = await buildError(t, { 'template.ts': text });
    return `${error.code} ${error.message}`;
  };
  assert.match(await outcome('export default {'), /BEDS_BUILD_REFUSED [^]*template\.ts:1:\d+ /);
  assert.match(
    await outcome('throw new TypeError("early")'),
    /BEDS_BUILD_LOAD_FAILED [^]*TypeError: early[^]*template\.ts:1/,
  );
  assert.match(
    await outcome('(Reflect.get(globalThis, "process") as typeof process).exit(0)'),
    /BEDS_BUILD_LOAD_FAILED [^]*ended the process/,
  );
  assert.match(await outcome('export default { domain: "x" }'), /BEDS_BUILD_NO_TEMPLATE/);
  assert.match(await outcome('export const template = 1'), /BEDS_BUILD_NO_TEMPLATE/);
  assert.match(
    await outcome(`import { defineDomain } from '@beds/sdk'; export default defineDomain({ name: 'X' });`),
    /BEDS_TEMPLATE_INVALID [^]*- name must[^]*- version must/,
  );
});

test('a template that hangs or fills memory while loading is ended', async (t) => {
  const memory = await buildError(t, {
    'template.ts': 'const all = []; for (;;) all.push(new Array(1e5).fill(all.length));',
  });
  assert.equal(memory.code, 'BEDS_BUILD_LOAD_FAILED');
  const hanging = await buildError(t, { 'template.ts': 'for (;;) {}' }, 500);
  assert.match(hanging.message, /did not finish within 500 ms/);
});

test('ways out of a domain are refused, each with its file and line', async (t) => {
  const error = await buildError(t, {
    'template.ts': `import './later.js';\nexport const found = () => process.getBuiltinModule('fs');\nexport default 1;`,
    'later.ts': `\nconsole.log(globalThis.process?.binding);\nexport {};`,
  });
  assert.equal(error.code, 'BEDS_BUILD_REFUSED');
  assert.match(error.message, /template\.ts:2:28 process\.getBuiltinModule is not there for a template/);
  assert.match(error.message, /later\.ts:2:13 process\.binding is not there/);
  const evaluated = await buildError(t, { 'template.ts': `export default eval('1');` });
  assert.match(evaluated.message, /template\.ts:1:\d+ .*eval/);
});

test('what is no part of a process in a template is refused by name, with its place and what to do instead', async (t) => {
  const error = await buildError(t, {
    'template.ts': `export const a = process.env['TOKEN'];
export const b = () => process.cwd();
process.on('exit', () => undefined);
export const c = (url: string) => fetch(url);
export const d = () => __dirname;
import { env } from 'node:process';
export const e = () => globalThis.process.argv;
export const fine = [process.env.NODE_ENV, process.version, process.hrtime(), env];
export default 1;
`,
  });
  for (const expected of [
    /template\.ts:1:18 process\.env is not there for a template \(A template has no environment/,
    /template\.ts:2:24 process\.cwd is not there/,
    /template\.ts:3:1 process\.on is not there .*teardown/,
    /template\.ts:4:35 fetch is not there .*no network/,
    /template\.ts:5:24 __dirname is not there .*no files/,
    /template\.ts:6:21 "node:process" may not be imported/,
    /template\.ts:7:24 process\.argv is not there/,
  ]) {
    assert.match(error.message, expected);
  }
  assert.doesNotMatch(error.message, /template\.ts:8/);
});

test('what a module of its own cannot do is said in words of its own', async (t) => {
  const error = await buildError(t, {
    'template.ts': `await Promise.resolve();\nexport default import.meta.url;\nexport const mode = import.meta.env?.MODE;`,
  });
  assert.match(error.message, /template\.ts:1:1 await outside of a function \(.*setup\(\)/);
  assert.match(error.message, /template\.ts:2:16 import\.meta is not there for a template/);
  assert.doesNotMatch(error.message, /template\.ts:3/);
  const missing = await buildError(t, { 'template.ts': `import it from 'not-there';\nexport default it;` });
  assert.match(missing.message, /template\.ts:1:16 "not-there" is not installed \(npm install not-there\)/);
});

test('a missing entry and an output directory that cannot be made are said', async (t) => {
  const { entry, outDir } = await project(t, good);
  await assert.rejects(buildTemplate({ entry: `${entry}x`, outDir }), { code: 'BEDS_BUILD_REFUSED' });
  await assert.rejects(buildTemplate({ entry, outDir: join(entry, 'out') }), { code: 'BEDS_BUILD_WRITE_FAILED' });
});

test('a manifest is checked as a whole', async (t) => {
  const { entry, outDir } = await project(t, good);
  const { manifest } = await buildTemplate({ entry, outDir });
  const wrong = {
    ...manifest,
    manifestVersion: 1,
    domain: '../etc',
    contract: 'x',
    extra: 1,
    entry: 'other.mjs',
    files: { '../index.mjs': { sha256: 'x', bytes: -1 } },
    operations: { ...manifest.operations, fetch: { mode: 'write' }, odd: { mode: 'read' } },
  };
  const parsed = parseManifest(JSON.stringify(wrong));
  assert.ok(!parsed.ok);
  assert.deepEqual(parsed.problems.map(({ field }) => field).toSorted(), [
    'contract',
    'domain',
    'entry',
    'extra',
    'files.../index.mjs',
    'files.../index.mjs.bytes',
    'files.../index.mjs.sha256',
    'manifestVersion',
    'operations.fetch',
    'operations.fetch.idempotent',
    'operations.odd.idempotent',
    'operations.odd.input',
  ]);
  for (const text of ['', '7', 'null', '[]', '{}', '{"operations":{"fetch":null}}'])
    assert.equal(parseManifest(text).ok, false);
});
