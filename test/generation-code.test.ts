import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { JsonObject, Manifest, Template, TemplateContext } from '@beds/sdk';
import { parseManifest } from '#sdk/template';
import { buildTemplate } from '@beds/sdk/build';
import { checkTemplate } from '../host/template/check-contract.js';
import { compileTemplate, disposeTemplate, loadConverted, makeCodeCache } from '../host/template/compile.js';
import { convertBundle } from '../host/template/convert.js';
import { firstPlace, mapStack } from '../host/template/map-stack.js';
import { TemplateGlobals } from '../host/template/template-globals.js';
import { describeBundle, type BundleOptions } from './support/bundles.js';
import { eventually, quietFor } from './support/eventually.js';

const ctx = {} as TemplateContext;
const NONE = 'return [typeof process, typeof performance];';

interface Compiled {
  readonly template: Template;
  readonly manifest: Manifest;
  readonly code: string;
  readonly sourceMap: string;
}

async function compile(options: BundleOptions = {}): Promise<Compiled> {
  const { files } = describeBundle(options);
  const parsed = parseManifest(files.get('manifest.json') ?? '');
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const converted = await convertBundle(files.get('index.mjs') ?? '', files.get('index.mjs.map'));
  const source = { ...converted, manifest: parsed.manifest };
  return { ...source, template: compileTemplate(source) };
}

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'beds-generation-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe('a compiled bundle', () => {
  it('answers like the module it was made from', async () => {
    const { template } = await compile({ body: { createRecord: 'return { ...payload, VERSION };' } });
    assert.deepEqual(await template.createRecord({ a: 1 }, ctx), { a: 1, VERSION: '1.0.0' });
  });

  it('is strict code, as the module was', async () => {
    const { template } = await compile({
      body: { createRecord: 'return { isSloppy: (function () { return this })() !== undefined };' },
    });
    assert.deepEqual(await template.createRecord({}, ctx), { isSloppy: false });
  });

  it('may give names of its own to things that are called like globals', async () => {
    const { byName } = new TemplateGlobals();
    const names = Object.keys(byName).filter((name) => name !== 'require');
    const [first = '', second = '', ...others] = names;
    const head = `const ${first} = 1; class ${second} {} ${others.map((name) => `let ${name} = '${name}';`).join(' ')}`;
    const run = `return [${first}, typeof ${second}, ${others.join(', ')}];`;
    const { template } = await compile({ head, operations: { names: { mode: 'read', run } } });
    assert.deepEqual(await template.operations?.['names']?.run({}, ctx), [1, 'function', ...others]);
    // Without a value they have none, whatever the global is.
    const none = { head: 'let process; var performance;', operations: { names: { mode: 'read', run: NONE } } } as const;
    assert.deepEqual(await (await compile(none)).template.operations?.['names']?.run({}, ctx), [
      'undefined',
      'undefined',
    ]);
  });

  it('may use the modules of the allow-list, and no others', async () => {
    const head = `import { createHash } from 'node:crypto';`;
    const body = { createRecord: `return { hash: createHash('sha256').update('a').digest('hex').slice(0, 4) };` };
    const { template } = await compile({ head, body });
    assert.deepEqual(await template.createRecord({}, ctx), { hash: 'ca97' });
    await assert.rejects(compile({ head: `import 'node:fs';` }), { code: 'BEDS_ADMISSION_IMPORT_FORBIDDEN' });
  });

  it('cannot end the process, import while it runs, or reach the network by mistake', async () => {
    const calls = {
      createRecord: 'process.exit(3);',
      updateRecord: `return import('node:fs');`,
      deleteRecord: 'return { fetch: typeof fetch, socket: typeof WebSocket, env: Object.keys(process.env).length };',
    };
    const { template } = await compile({ body: calls });
    await assert.rejects(template.createRecord({}, ctx), { code: 'BEDS_REQUEST_PROCESS_FORBIDDEN' });
    await assert.rejects(template.updateRecord({}, ctx), { code: 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING' });
    assert.deepEqual(await template.deleteRecord(1, ctx), { fetch: 'undefined', socket: 'undefined', env: 0 });
  });

  it('cannot change the clock that others of its thread have', async () => {
    const bigint = 'try { process.hrtime.bigint = () => 7n; } catch {}';
    const hrtime = 'try { Object.assign(process.hrtime, { mark: 7 }); } catch {}';
    const operations = {
      change: {
        mode: 'read',
        run: `${bigint} ${hrtime} return typeof process.hrtime.bigint() + process.hrtime().length;`,
      },
    } as const;
    const { template } = await compile({ operations });
    assert.equal(await template.operations?.['change']?.run({}, ctx), 'bigint2');
    assert.notEqual(process.hrtime.bigint(), 7n);
    assert.ok(!('mark' in process.hrtime));
  });

  it('behaves the same when another thread has read its code before', async () => {
    const calls = { createRecord: 'throw new RangeError("x");', updateRecord: `return import('node:fs');` };
    const { manifest, code, sourceMap } = await compile({ body: calls });
    const codeCache = makeCodeCache({ manifest, code });
    assert.ok(codeCache !== undefined && codeCache.length > 0);
    const template = compileTemplate(structuredClone({ manifest, code, codeCache }));
    const error: unknown = await template.createRecord({}, ctx).catch((thrown: unknown) => thrown);
    assert.match(mapStack(error, { manifest, sourceMap }), /^RangeError: x\n/);
    await assert.rejects(template.updateRecord({}, ctx), { code: 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING' });
    assert.deepEqual(await template.deleteRecord(1, ctx), { id: 1 });
  });

  it('is read anew where what another thread made of it does not fit', async () => {
    const { manifest, code } = await compile();
    const template = compileTemplate({ manifest, code, codeCache: new Uint8Array(64) });
    assert.deepEqual(await template.deleteRecord(1, ctx), { id: 1 });
  });

  it('is refused when it awaits while it loads, asks for import.meta, or is no JavaScript', async () => {
    const refused = { 'await 1;': 'TOP_LEVEL_AWAIT', 'import.meta.url;': 'IMPORT_META', 'let 1;': 'SYNTAX' };
    for (const [code, reason] of Object.entries(refused)) {
      await assert.rejects(convertBundle(`${code}\nexport default 1;`), { code: `BEDS_ADMISSION_${reason}` });
    }
  });
});

describe('a version that has ended', () => {
  it('does nothing any more, even if its author forgot an interval', async () => {
    const head = 'let ticks = 0; const start = () => setInterval((by) => { ticks += by; }, 5, 1); start();';
    const body = { createRecord: 'start(); return { ticks };', deleteRecord: 'clearInterval(start()); return {};' };
    const { template } = await compile({ head, body });
    await template.deleteRecord(1, ctx);
    const ticks = async (): Promise<number> => Number((await template.createRecord({}, ctx))['ticks']);
    await eventually('two ticks', async () => (await ticks()) >= 2);
    disposeTemplate(template);
    const atEnd = await ticks();
    await quietFor(40);
    assert.equal(await ticks(), atEnd);
  });
});

describe('the conversion', () => {
  it(
    'goes on when the helper process of esbuild is killed',
    { skip: process.platform !== 'linux' && 'needs /proc' },
    async () => {
      await compile();
      for (let time = 0; time < 2; time += 1) {
        const pid = await esbuildPid();
        process.kill(pid, 'SIGKILL');
        await eventually('it is gone', () => !existsSync(`/proc/${String(pid)}`));
        await Promise.all([compile(), compile()]);
      }
    },
  );

  /** The child of this process that runs esbuild. */
  async function esbuildPid(): Promise<number> {
    const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
    for (const pid of children.trim().split(' ')) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (command.includes('esbuild') && command.includes('--service')) return Number(pid);
    }
    assert.fail('esbuild does not run');
  }
});

describe('a stack of a bundle that the SDK built', () => {
  const author = [
    `import { defineDomain, t, view } from '@beds/sdk';`,
    `interface Unused { readonly text: string }`,
    ``,
    `function fail(what: string): never {`,
    `  throw new RangeError(what);`,
    `}`,
    `export default defineDomain({`,
    `  name: 'notes', version: '1.0.0', store: 'main', key: 'id',`,
    `  fetch: view('notes_all', { id: t.int() }), operations: ({ mutation, unsupported }) => ({`,
    `  create: mutation({}, (): never => fail('too far')),`,
    `  update: unsupported(), delete: unsupported() }),`,
    `});`,
  ].join('\n');

  it('has its definition checked where it is probed, and not again by each thread that serves it', async (t) => {
    const directory = await temporaryDirectory(t);
    const entry = join(directory, 'template.ts');
    await writeFile(entry, author);
    const { path, manifest } = await buildTemplate({ entry, outDir: join(directory, 'out'), form: 'file' });
    const text = await readFile(path, 'utf8');
    const code = text.slice(text.indexOf('\n')).replaceAll('"1.0.0"', '"no version"');
    const source = { ...(await convertBundle(code)), manifest };
    assert.throws(() => loadConverted(source), { code: 'BEDS_TEMPLATE_INVALID' });
    assert.equal(compileTemplate(source).definition.version, 'no version');
  });

  for (const form of ['folder', 'file'] as const) {
    it(`names the author's file and line (${form})`, async (t) => {
      const directory = await temporaryDirectory(t);
      const entry = join(directory, 'template.ts');
      await writeFile(entry, author);
      const { path, manifest } = await buildTemplate({ entry, outDir: join(directory, 'out'), form });
      const text = await readFile(form === 'file' ? path : join(path, 'index.mjs'), 'utf8');
      const map = form === 'file' ? undefined : await readFile(join(path, 'index.mjs.map'), 'utf8');
      const converted = await convertBundle(text, map);
      const template = compileTemplate({ ...converted, manifest });
      const error: unknown = await template.createRecord({}, ctx).catch((thrown: unknown) => thrown);
      const stack = mapStack(error, { manifest, sourceMap: converted.sourceMap });
      assert.match(stack, /^RangeError: too far\n/);
      assert.match(stack, /template\.ts:5:\d+/);
      assert.match(stack, /template\.ts:10:\d+/);
      assert.doesNotMatch(stack, /beds:\/\//);
      const files = [{ file: 'beds://notes@1.0.0/index.js', sourceMap: converted.sourceMap }];
      assert.match(firstPlace((error as Error).stack ?? '', files) ?? '', /template\.ts:5$/);
    });
  }

  it('is left as it is where there is no map, a broken one, or no stack', async () => {
    const { template, manifest } = await compile({ body: { createRecord: 'throw new Error("x");' } });
    const error: unknown = await template.createRecord({}, ctx).catch((thrown: unknown) => thrown);
    for (const sourceMap of ['', '{', '{"version":3,"sources":[],"names":[],"mappings":""}']) {
      assert.match(mapStack(error, { manifest, sourceMap }), /beds:\/\/notes@1\.0\.0\/index\.js:\d+/);
    }
    assert.equal(mapStack('text', { manifest, sourceMap: '' }), 'text');
  });
});

describe('the contract of a template', () => {
  const codesOf = (value: unknown, manifest: Manifest): string[] =>
    checkTemplate(value, manifest).map(({ code }) => code.replace('BEDS_ADMISSION_', ''));

  it('is kept by a bundle whose code and manifest agree', async () => {
    const { template, manifest } = await compile({ operations: { count: { mode: 'read', run: 'return 1;' } } });
    assert.deepEqual(checkTemplate(template, manifest), []);
  });

  it('names everything that is missing or differs, at once', async () => {
    const { template, manifest } = await compile({ operations: { count: { mode: 'read', run: 'return 1;' } } });
    const rest = { ...template, fetchRecords: undefined, deleteRecord: undefined };
    const operations = { other: template.operations['count'] };
    const definition = { ...template.definition, version: '2.0.0', contract: 99 };
    const codes = codesOf({ ...rest, operations, definition }, manifest);
    const expected = ['METHOD_MISSING', 'METHOD_MISSING', 'OPERATION_MISMATCH', 'OPERATION_MISMATCH'];
    assert.deepEqual(codes, [...expected, 'CONTRACT_UNSUPPORTED', 'DEFINITION_MISMATCH']);
  });

  it('tells no export from a wrong one', async () => {
    const { template, manifest } = await compile();
    assert.deepEqual(codesOf(undefined, manifest), ['EXPORT_MISSING']);
    for (const value of [null, 1, {}, () => template]) assert.deepEqual(codesOf(value, manifest), ['EXPORT_INVALID']);
  });

  it('covers the mode and arguments of every operation', async () => {
    const { template, manifest } = await compile({ operations: { count: { mode: 'read', run: 'return 1;' } } });
    const operations: JsonObject = {
      ...(manifest.operations as unknown as JsonObject),
      count: { mode: 'write', input: { type: 'object', fields: {} } },
    };
    assert.deepEqual(codesOf(template, { ...manifest, operations } as unknown as Manifest), ['DEFINITION_MISMATCH']);
  });
});
