import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { parseManifest } from '#sdk/template';
import { buildTemplate } from '@beds/sdk/build';
import type { NamedObject } from '../host/stores/contract.js';
import type { Finding } from '../host/template/contract.js';
import { compileTemplate } from '../host/template/compile.js';
import { admit, type AdmissionDeps, type AdmissionResult } from '../host/deploy/admit/admit.js';
import { openProber, type Prober } from '../host/deploy/admit/probe.js';
import type { BundleBytes } from '../host/deploy/admit/stage.js';
import { eventually } from './support/eventually.js';
import { fakeStore, startWatching, temporaryDirectory } from './support/admission.js';
import { describeBundle, templateCode, writeBundle, type BundleOptions } from './support/bundles.js';

const prober = openProber({ timeoutMs: 20_000, memoryMb: 48 });
/** For bundles that hang. */
const impatient = openProber({ timeoutMs: 500, memoryMb: 48 });
after(() => Promise.all([prober.close(), impatient.close()]));

const notesAll: NamedObject = { kind: 'view', name: 'notes_all', columns: [], native: {} };
const notesAdd: NamedObject = {
  kind: 'procedure',
  name: 'notes_add',
  args: [{ name: 'text', type: 'string', nativeType: 'text' }],
  native: {},
};

async function depsFor(t: TestContext): Promise<AdmissionDeps> {
  const adapter = fakeStore([notesAll, notesAdd]);
  return {
    stageDirectory: join(await temporaryDirectory(t), 'stage'),
    keepVersions: 2,
    inUse: new Set(),
    prober,
    stores: new Map([['main', adapter]]),
  };
}

function bytesOf(options: BundleOptions): BundleBytes {
  const { files, hash } = describeBundle(options);
  const manifestText = files.get('manifest.json') ?? '';
  const parsed = parseManifest(manifestText);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const rest = [...files].filter(([name]) => name !== 'manifest.json');
  const contents = new Map(rest.map(([name, text]) => [name, Buffer.from(text)]));
  return { hash, manifest: parsed.manifest, manifestText, files: contents };
}

function findingsOf(result: AdmissionResult): readonly Finding[] {
  return result.ok ? [] : result.findings;
}

interface BadBundle {
  readonly what: string;
  readonly bundle: BundleOptions;
  readonly step: 'verify' | 'probe' | 'preflight';
  readonly codes: readonly string[];
  readonly says?: RegExp;
}

const routine = (name: string, args: object = {}): Readonly<Record<string, unknown>> => ({
  create: { kind: 'procedure', name, args },
  fetch: { kind: 'view', name: 'notes_all', columns: { id: { type: 'integer' } } },
});

const bad: readonly BadBundle[] = [
  { what: 'a syntax error', bundle: { head: 'let a = (;' }, step: 'verify', codes: ['SYNTAX'], says: /index\.mjs:3/ },
  {
    what: 'a throw on load',
    bundle: { head: `throw new TypeError('no luck');` },
    step: 'probe',
    codes: ['LOAD_THROWS'],
    says: /TypeError: no luck \(index\.mjs:3\)/,
  },
  { what: 'a hang on load', bundle: { head: 'for (;;);' }, step: 'probe', codes: ['LOAD_TIMEOUT'] },
  {
    what: 'process.exit',
    bundle: { head: 'process.exit(0);' },
    step: 'probe',
    codes: ['EXITED'],
    says: /index\.mjs:3/,
  },
  { what: 'no default export', bundle: { code: 'export const a = 1;' }, step: 'probe', codes: ['EXPORT_MISSING'] },
  {
    what: 'a missing operation',
    bundle: { code: templateCode().replace('async updateRecord', 'async other') },
    step: 'probe',
    codes: ['METHOD_MISSING'],
    says: /updateRecord/,
  },
  {
    what: 'another contract version',
    bundle: { manifest: { contract: 99 } },
    step: 'verify',
    codes: ['CONTRACT_UNSUPPORTED'],
    says: /99.*version 2/,
  },
  {
    what: 'an unknown object',
    bundle: { objects: routine('notes_ad') },
    step: 'preflight',
    codes: ['BEDS_PREFLIGHT_OBJECT_MISSING'],
  },
  {
    what: 'a wrong parameter',
    bundle: { objects: routine('notes_add', { txt: { type: 'string' } }) },
    step: 'preflight',
    codes: ['BEDS_PREFLIGHT_ARGUMENT_UNKNOWN'],
  },
  {
    what: 'forbidden imports',
    bundle: { head: `import 'node:fs'; import 'mysql2/promise'; import './other.mjs';` },
    step: 'verify',
    codes: ['IMPORT_FORBIDDEN', 'IMPORT_FORBIDDEN', 'IMPORT_FORBIDDEN'],
    says: /node:fs/,
  },
  {
    what: 'imports while it runs',
    bundle: { body: { setup: `const n = 'fs'; await import(n); require(n); await import('node:fs'); eval('1');` } },
    step: 'verify',
    codes: ['EVAL', 'IMPORT_DYNAMIC', 'IMPORT_DYNAMIC', 'IMPORT_DYNAMIC'],
  },
  { what: 'top-level await', bundle: { head: 'await 1;' }, step: 'verify', codes: ['TOP_LEVEL_AWAIT'] },
  {
    what: 'an unknown store',
    bundle: { store: 'mainn' },
    step: 'preflight',
    codes: ['STORE_UNKNOWN'],
    says: /Did you mean main\?/,
  },
  {
    what: 'a default export that is no template',
    bundle: { code: 'export default {};' },
    step: 'probe',
    codes: ['EXPORT_INVALID'],
  },
  {
    what: 'an unhandled rejection',
    bundle: { head: `Promise.reject(new Error('lost'));` },
    step: 'probe',
    codes: ['UNHANDLED_REJECTION'],
    says: /lost \(index\.mjs:3\)/,
  },
  {
    what: 'a throw from a timer',
    bundle: {
      head: `setTimeout(() => { throw new Error('late'); });`,
      body: { selfTest: 'await new Promise((r) => setTimeout(r, 100));' },
    },
    step: 'probe',
    codes: ['SELF_TEST_THROWS'],
    says: /late/,
  },
  {
    what: 'a failing self-test',
    bundle: { body: { selfTest: `throw new Error('two is not three');` } },
    step: 'probe',
    codes: ['SELF_TEST_THROWS'],
    says: /two is not three/,
  },
  {
    what: 'a hanging self-test',
    bundle: { body: { selfTest: 'await new Promise(() => {});' } },
    step: 'probe',
    codes: ['SELF_TEST_TIMEOUT'],
  },
  {
    what: 'an endless self-test',
    bundle: { body: { selfTest: 'for (;;);' } },
    step: 'probe',
    codes: ['SELF_TEST_TIMEOUT'],
  },
  {
    what: 'process.kill',
    bundle: { head: `process.kill(process.pid, 'SIGKILL');` },
    step: 'probe',
    codes: ['LOAD_THROWS'],
    says: /process\.kill/,
  },
  {
    what: 'too much heap',
    bundle: { head: `const a = []; for (;;) a.push(new Array(10_000).fill({}));` },
    step: 'probe',
    codes: ['MEMORY'],
  },
  {
    what: 'too many buffers',
    bundle: { head: 'const a = []; for (;;) a.push(Buffer.alloc(4_000_000, 1));' },
    step: 'probe',
    codes: ['MEMORY'],
  },
  {
    what: 'large buffers that are kept',
    bundle: { head: 'globalThis.kept = Buffer.alloc(80_000_000);' },
    step: 'probe',
    codes: ['MEMORY'],
    says: /MB in buffers/,
  },
];

describe('a bundle is refused for', () => {
  for (const { what, bundle, step, codes, says } of bad) {
    it(what, async (t) => {
      const hangs = codes.some((code) => code.endsWith('TIMEOUT'));
      const deps = { ...(await depsFor(t)), prober: hangs ? impatient : prober };
      const startedAt = performance.now();
      const result = await admit(bytesOf(bundle), deps);
      if (hangs) assert.ok(performance.now() - startedAt < 5_000);
      assert.equal(result.ok ? 'admitted' : result.step, step, JSON.stringify(findingsOf(result)));
      const found = findingsOf(result).map(({ code }) => code.replace('BEDS_ADMISSION_', ''));
      assert.deepEqual(found.sort(), codes);
      if (says !== undefined)
        assert.match(
          findingsOf(result)
            .map(({ message }) => message)
            .join(),
          says,
        );
      assert.ok(findingsOf(result).every(({ hint }) => hint !== undefined && hint !== ''));
      assert.doesNotMatch(JSON.stringify(findingsOf(result)), /probe-thread|node_modules|\/tmp\//);
    });
  }

  it('being truncated, or 50 MB of junk, before any of its code is looked at', async (t) => {
    const { directory, record } = await startWatching(t, { incompleteMs: 300, maxBundleBytes: 8_388_608 });
    const { name, files } = describeBundle({ form: 'file' });
    await writeFile(join(directory, name), (files.get(name) ?? '').slice(0, -1));
    await writeFile(join(directory, 'junk.mjs'), Buffer.alloc(50_000_000, 'x'));
    await record.at(1);
    const codes = Object.fromEntries(
      await Promise.all(record.seen.map(async ({ drop }, at) => [drop.entry, await record.codesAt(at)])),
    ) as Record<string, string[]>;
    assert.deepEqual(codes, { [name]: ['INCOMPLETE'], 'junk.mjs': ['TOO_LARGE'] });
  });

  it("a throw on load, naming the author's own file and line", async (t) => {
    const directory = await temporaryDirectory(t);
    const entry = join(directory, 'template.ts');
    await writeFile(
      entry,
      [
        `import { defineDomain, t, view } from '@beds/sdk';`,
        `interface Unused { readonly text: string }`,
        `export default defineDomain({`,
        `  name: 'notes', version: '1.0.0', store: 'main', key: 'id',`,
        `  fetch: view('notes_all', { id: t.int() }),`,
        `  operations: ({ unsupported }) => ({ create: unsupported(), update: unsupported(), delete: unsupported() }),`,
        `  selfTest(): void {`,
        `    const wanted: number = 3;`,
        `    if (1 + 1 !== wanted) throw new RangeError('two is not three');`,
        `  },`,
        `});`,
      ].join('\n'),
    );
    for (const form of ['file', 'folder'] as const) {
      const { directory: plugins, record } = await startWatching(t);
      await buildTemplate({ entry, outDir: plugins, form });
      const event = await record.at(0);
      assert.ok(event.what === 'complete', JSON.stringify(event));
      const result = await admit(event.drop, await depsFor(t));
      assert.match(findingsOf(result)[0]?.message ?? '', /two is not three \(.*template\.ts:9\)/);
    }
  });
});

describe('a good bundle', () => {
  it('is staged, verified, probed and preflighted, step by step, and then compiles anywhere', async (t) => {
    const states: string[] = [];
    const bytes = bytesOf({ objects: routine('notes_add', { text: { type: 'string' } }) });
    const result = await admit(bytes, await depsFor(t), { onProgress: (state) => states.push(state) });
    assert.ok(result.ok, JSON.stringify(result));
    assert.deepEqual(states, ['verified', 'probed']);
    // What the template says of an argument is kept with what the database says of it.
    const text = { name: 'text', type: 'string', nativeType: 'text', nullable: false, optional: false };
    assert.deepEqual(result.source.objects, { create: { ...notesAdd, args: [text] }, fetch: notesAll });
    assert.equal(result.source.hash, bytes.hash);
    assert.ok(result.source.codeCache !== undefined, 'broker threads need not read it again');
    const template = compileTemplate(structuredClone(result.source));
    assert.deepEqual(await template.deleteRecord(1, {} as never), { id: 1 });
  });

  it('that the database is not ready for can be preflighted again without another probe', async (t) => {
    const result = await admit(bytesOf({ objects: routine('notes_later') }), await depsFor(t));
    assert.ok(!result.ok && result.step === 'preflight');
    assert.equal(result.probed.manifest.domain, 'notes');
  });

  it('waits for its store when that does not answer', async (t) => {
    const deps = await depsFor(t);
    const { storeErrors } = await import('../host/errors/store.js');
    const down = {
      ...fakeStore([]),
      describe: () => Promise.reject(storeErrors.make('BEDS_STORE_UNAVAILABLE')),
    };
    const refused = { ...down, status: () => ({ ...down.status(), up: false, why: 'the account is locked (3118)' }) };
    const [finding] = findingsOf(await admit(bytesOf({}), { ...deps, stores: new Map([['main', refused]]) }));
    assert.match(finding?.message ?? '', /\(BEDS_STORE_UNAVAILABLE\): the account is locked \(3118\)\.$/);
    const result = await admit(bytesOf({}), { ...deps, stores: new Map([['main', down]]) });
    assert.deepEqual(
      findingsOf(result).map(({ code }) => code),
      ['BEDS_ADMISSION_STORE_UNAVAILABLE'],
    );
  });

  it('gives way to a newer one at any step', async (t) => {
    const deps = await depsFor(t);
    const slow = bytesOf({ body: { selfTest: 'await new Promise((r) => setTimeout(r, 500));' } });
    for (const at of ['verified', 'probed'] as const) {
      const abort = new AbortController();
      const onProgress = (state: string): void => {
        if (state === at) abort.abort();
      };
      const result = await admit(slow, deps, { signal: abort.signal, onProgress });
      assert.deepEqual(
        findingsOf(result).map(({ code }) => code),
        ['BEDS_ADMISSION_SUPERSEDED'],
        at,
      );
    }
    const abort = new AbortController();
    const verySlow = bytesOf({ body: { selfTest: 'await new Promise((r) => setTimeout(r, 20_000));' } });
    const result = admit(verySlow, deps, {
      signal: abort.signal,
      onProgress: () => setTimeout(() => abort.abort(), 50),
    });
    assert.deepEqual(
      findingsOf(await result).map(({ code }) => code),
      ['BEDS_ADMISSION_SUPERSEDED'],
    );
  });

  it("prints nothing into the host's output while it is probed", async (t) => {
    const written: unknown[] = [];
    t.mock.method(process.stdout, 'write', (text: unknown) => written.push(text) > 0);
    const result = await admit(bytesOf({ head: `console.log('chatty template');` }), await depsFor(t));
    t.mock.restoreAll();
    assert.ok(result.ok);
    assert.doesNotMatch(written.join(), /chatty/);
  });

  it('does not slow a swap down: the thread for the next probe is started ahead', async (t) => {
    const deps = await depsFor(t);
    const timeOf = async (version: string, by: Prober): Promise<number> => {
      const startedAt = performance.now();
      const result = await admit(bytesOf({ version }), { ...deps, prober: by });
      assert.ok(result.ok);
      return performance.now() - startedAt;
    };
    const starting = new Set<Worker>();
    const onWorker = (thread: Worker): void => {
      starting.add(thread);
      for (const event of ['online', 'exit']) thread.once(event, () => starting.delete(thread));
    };
    process.on('worker', onWorker);
    t.after(() => process.off('worker', onWorker));
    const [ahead, cold]: [number[], number[]] = [[], []];
    for (let round = 1; round <= 5; round += 1) {
      prober.expect();
      await eventually('the next thread runs', () => starting.size === 0);
      ahead.push(await timeOf(`1.0.${round}`, prober));
      const unprepared = openProber({ timeoutMs: 20_000, memoryMb: 48 });
      cold.push(await timeOf(`1.1.${round}`, unprepared));
      await unprepared.close();
    }
    // Beside each other on the same machine: how long either takes by itself says how busy that is.
    const [least, coldLeast] = [Math.min(...ahead), Math.min(...cold)];
    t.diagnostic(`${least.toFixed(1)} ms with a thread started ahead, ${coldLeast.toFixed(1)} ms without`);
    assert.ok(least < coldLeast, `${least} ms with a thread started ahead, ${coldLeast} ms without`);
  });
});

describe('a dropped bundle', () => {
  it('is admitted with exactly the bytes that were found complete', async (t) => {
    const { directory, record } = await startWatching(t);
    const { path } = await writeBundle(directory, { version: '1.0.0' });
    const event = await record.at(0);
    assert.ok(event.what === 'complete');
    await writeFile(join(path, 'index.mjs'), 'process.exit(1)');
    const deps = await depsFor(t);
    const result = await admit(event.drop, deps);
    assert.ok(result.ok);
    const staged = await readFile(join(deps.stageDirectory, event.drop.hash, 'index.mjs'), 'utf8');
    assert.equal(staged, templateCode());
  });
});
