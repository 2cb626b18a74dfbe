import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Json, Template, TemplateContext } from '@beds/sdk';
import { parseManifest } from '#sdk/template';
import { compileTemplate, disposeTemplate } from '../host/template/compile.js';
import { convertBundle } from '../host/template/convert.js';
import { addLeftovers, describeLeftovers, NO_LEFTOVERS } from '../host/template/template-timers.js';
import { openProber } from '../host/deploy/admit/probe.js';
import { describeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';

const ctx = {} as TemplateContext;

// What templates wait for keeps no process alive.
const alive = setInterval(() => undefined, 60_000);
after(() => clearInterval(alive));

/** A template whose operation create runs `body` with `note`, which appends to what fetch returns. */
async function compile(body: string, head = '', onEnter?: () => void): Promise<Template> {
  const { files } = describeBundle({
    head: `
      import { setTimeout as sleep, setInterval as ticks, setImmediate as turn, scheduler } from 'node:timers/promises';
      import { promisify } from 'node:util';
      const notes = [];
      const note = (word) => { notes.push(word); };
      ${head}
    `,
    body: {
      createRecord: `return await (async () => { ${body} })() ?? {};`,
      fetchRecords: 'return { rows: [...notes] };',
    },
  });
  const parsed = parseManifest(files.get('manifest.json') ?? '');
  assert.ok(parsed.ok);
  const converted = await convertBundle(files.get('index.mjs') ?? '');
  return compileTemplate({ ...converted, manifest: parsed.manifest }, onEnter);
}

const run = (template: Template): Promise<Json> => template.createRecord({}, ctx);
const notes = async (template: Template): Promise<unknown> => (await template.fetchRecords({}, ctx)).rows;

describe('a version whose code goes on after a timer', () => {
  const ways: readonly (readonly [string, string])[] = [
    ['a timer', `await new Promise((resolve) => { setTimeout(() => { note('on'); resolve(); }, 5); });`],
    [
      'an interval',
      `await new Promise((resolve) => { const t = setInterval(() => { note('on'); clearInterval(t); resolve(); }, 5); });`,
    ],
    ['an immediate', `await new Promise((resolve) => { setImmediate(() => { note('on'); resolve(); }); });`],
    ['a wait', `await sleep(5); note('on');`],
    ['a turn', `await turn(); note('on');`],
    ['a tick', `for await (const _ of ticks(5)) { note('on'); break; }`],
  ];
  for (const [what, body] of ways) {
    it(`is noted before it does, so that a thread which it blocks is blamed on it: ${what}`, async () => {
      const entered: number[] = [];
      let seen: unknown;
      const template = await compile(body, '', () => {
        entered.push(performance.now());
        seen ??= template.fetchRecords({}, ctx).then(({ rows }) => rows.length);
      });
      await run(template);
      assert.ok(entered.length > 0);
      assert.deepEqual(await notes(template), ['on']);
      assert.equal(await seen, 0, 'before the code');
      disposeTemplate(template);
    });
  }
});

describe('a version that has ended', () => {
  const forgotten: readonly (readonly [string, string, string])[] = [
    ['a timer', `setTimeout(note, 20, 'late');`, '1 timer'],
    ['intervals', `setInterval(note, 20, 'late'); setInterval(note, 20, 'late');`, '2 intervals'],
    [
      'a timer that is started again',
      `const t = setTimeout(note, 1, 'x'); await sleep(10); notes.pop(); t.refresh();`,
      '1 timer',
    ],
    ['a loop of immediates', `(function again() { setImmediate(again); })();`, '1 immediate'],
    ['a loop that waits', `(async () => { for (;;) { await sleep(15); note('late'); } })();`, '1 timer'],
    [
      'a loop that goes on after errors',
      `(async () => { for (;;) try { await sleep(15); note('late'); } catch {} })();`,
      '1 timer',
    ],
    ['a wait of the scheduler', `scheduler.wait(20).then(() => note('late'));`, '1 timer'],
    ['a wait made of setTimeout', `promisify(setTimeout)(20).then(() => note('late'));`, '1 timer'],
    ['ticks that nobody stops', `(async () => { for await (const _ of ticks(15)) note('late'); })();`, '1 interval'],
    [
      'timers found by way of globalThis',
      `globalThis.setTimeout(note, 20, 'late'); global.setInterval(note, 20, 'late');`,
      '1 interval, 1 timer',
    ],
    ['a signal that aborts in time', `AbortSignal.timeout(20).addEventListener('abort', () => note('late'));`, ''],
  ];
  for (const [what, body, expected] of forgotten) {
    it(`does nothing any more, and the host lists what it held: ${what}`, async () => {
      const template = await compile(body);
      await run(template);
      assert.equal(describeLeftovers(disposeTemplate(template)), expected);
      await quietFor(40);
      assert.deepEqual(await notes(template), []);
      assert.deepEqual(disposeTemplate(template), NO_LEFTOVERS);
    });
  }

  it('leaves nothing when everything ended by itself or was ended', async () => {
    const template = await compile(`
      const all = [setTimeout(note, 9e4), setInterval(note, 9e4), setImmediate(note)];
      clearInterval(all[0]); clearTimeout(all[1]); clearImmediate(all[2]);
      clearTimeout(+setTimeout(note, 9e4)); setTimeout(note, 9e4).close();
      clearTimeout(undefined); clearTimeout(null); clearTimeout(12345678);
      await sleep(1, 'x'); await turn(); await scheduler.yield(); await promisify(setImmediate)();
      await new Promise((done) => setTimeout(done, 1)); await new Promise((done) => setImmediate(done));
      for await (const _ of ticks(1)) break;
      const aborter = new AbortController();
      const waits = sleep(9e4, 'x', { signal: aborter.signal }).catch(({ name }) => note(name));
      aborter.abort(); await waits;
      await sleep(1, 'x', { signal: AbortSignal.abort() }).catch(({ name }) => note(name));
    `);
    await run(template);
    assert.deepEqual(await notes(template), ['AbortError', 'AbortError']);
    assert.deepEqual(disposeTemplate(template), NO_LEFTOVERS);
  });

  it('cannot start anything any more', async () => {
    const template = await compile(`
      setTimeout(note, 1, 'late'); setInterval(note, 1, 'late'); setImmediate(note, 'late');
      sleep(1).then(() => note('late')); (async () => { for await (const _ of ticks(1)) note('late'); })();
    `);
    disposeTemplate(template);
    await run(template);
    await quietFor(20);
    assert.deepEqual(await notes(template), []);
    assert.deepEqual(disposeTemplate(template), NO_LEFTOVERS);
  });

  it('has its timers ended also when it throws while it loads', async () => {
    const counted = 'globalThis.process.version; setInterval(() => { throw new Error("late"); }, 1);';
    await assert.rejects(compile('', `${counted} throw new Error('no');`), { message: 'no' });
    await quietFor(20);
  });

  it('are counted by kind, and summed up over threads', () => {
    const sum = addLeftovers({ timers: 1, intervals: 0, immediates: 2 }, { timers: 1, intervals: 3, immediates: 0 });
    assert.equal(describeLeftovers(sum), '3 intervals, 2 timers, 2 immediates');
  });
});

describe('the timers of a template', () => {
  it('behave as those of Node', async () => {
    const template = await compile(`
      const told = [];
      await new Promise((done) => setTimeout(function (...args) { told.push(args.join(), typeof this.refresh); done(); }, 1, 1, 2));
      const timer = setTimeout(() => {}, 1);
      told.push(typeof timer[Symbol.toPrimitive](), timer.hasRef(), timer.ref() === timer);
      clearTimeout(timer);
      told.push(await sleep(1, 'value'), await turn('turn'));
      const signal = AbortSignal.timeout(1);
      told.push(signal instanceof AbortSignal, AbortSignal.any([signal]) instanceof AbortSignal);
      await new Promise((done) => signal.addEventListener('abort', done));
      told.push(signal.reason.name);
      for (const wrong of [() => setTimeout('x'), () => setInterval(), () => setImmediate(1)]) {
        try { wrong(); } catch (error) { told.push(error.code); }
      }
      await sleep(1, 0, { signal: 1 }).catch((error) => told.push(error.code));
      return { told };
    `);
    const invalid = 'ERR_INVALID_ARG_TYPE';
    assert.deepEqual(await run(template), {
      told: [
        ...['1,2', 'function', 'number', false, true, 'value', 'turn', true, true, 'TimeoutError'],
        ...[invalid, invalid, invalid, invalid],
      ],
    });
    assert.deepEqual(disposeTemplate(template), NO_LEFTOVERS);
  });
});

describe('what a template finds around it', () => {
  it('is its own: what it stores globally, others do not see', async () => {
    const store = await compile(
      `globalThis.kept = 1; global.URL = 2; return { kept: globalThis.kept, own: globalThis.URL };`,
    );
    const look = await compile(
      `return { kept: typeof globalThis.kept, url: typeof globalThis.URL, self: globalThis === globalThis.globalThis };`,
    );
    assert.deepEqual(await run(store), { kept: 1, own: 2 });
    assert.deepEqual(await run(look), { kept: 'undefined', url: 'function', self: true });
    assert.ok(!('kept' in globalThis));
  });

  it('holds what computes and nothing that reaches out, by whatever name', async () => {
    const template = await compile(`
      const names = ['fetch', 'MessageChannel', 'BroadcastChannel', 'PerformanceObserver', 'localStorage'];
      const usual = [new URL('a:b').href, Buffer.from('a').length, typeof globalThis.crypto.subtle, structuredClone(1), atob('YQ==')];
      return { hidden: names.filter((name) => globalThis[name] !== undefined), usual, env: Object.keys(globalThis.process.env),
        later: performance.now() >= 0, log: typeof console.log, stream: typeof console._stdout };
    `);
    assert.deepEqual(await run(template), {
      ...{ hidden: [], usual: ['a:b', 1, 'object', 1, 'a'], env: [] },
      ...{ later: true, log: 'function', stream: 'undefined' },
    });
  });

  it('cannot be changed for everybody', async () => {
    for (const change of [
      `console.log = note`,
      `performance.now = note`,
      `process.nextTick = note`,
      `AbortSignal.any = note`,
    ]) {
      await assert.rejects(run(await compile(`${change};`)), TypeError, change);
    }
    await assert.rejects(run(await compile('util.format = note;', `import util from 'node:util';`)), TypeError);
    const named = await compile(
      `return { ok: createHash('md5').update('').digest('hex').length, own: webcrypto === crypto.webcrypto };`,
      `import crypto, { createHash, webcrypto } from 'node:crypto';`,
    );
    assert.deepEqual(await run(named), { ok: 32, own: true });
  });

  it('has no object URLs, which the process would keep for ever', async (t) => {
    const { files } = describeBundle({ head: `URL.createObjectURL(new Blob(['a']));` });
    const parsed = parseManifest(files.get('manifest.json') ?? '');
    assert.ok(parsed.ok);
    const prober = openProber({ timeoutMs: 5_000, memoryMb: 64 });
    t.after(() => prober.close());
    const converted = await convertBundle(files.get('index.mjs') ?? '');
    const [finding] = await prober.probe({ ...converted, manifest: parsed.manifest });
    assert.equal(finding?.code, 'BEDS_ADMISSION_LOAD_THROWS');
    assert.match(finding.message, /createObjectURL/);
  });
});
