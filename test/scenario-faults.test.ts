import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import type { BundleOptions } from './support/bundles.js';
import { writeBundle } from './support/bundles.js';
import { eventually, type LogLine, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const ENDED = 'broker thread ended; it is replaced';
const DEADLINE_MS = 20_000;
const MODULES = `\nimport crypto from 'node:crypto';\nimport stream from 'node:stream';`;

/** A host whose one version has these operations, and a client whose every call is a message of its own. */
async function serve(
  t: Teardown,
  operations: NonNullable<BundleOptions['operations']>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<{ host: TestHost; client: BedsClient; hash: string }> {
  const supervisor = { stallTimeoutMs: 1_000, drainTimeoutMs: 3_000, restartIntensity: 50 };
  const host = await startTestHost(t, { services, config: { supervisor, ...config } });
  const { hash } = await writeBundle(host.pluginsDirectory, notesBundle({ head: MODULES, operations }));
  await host.active('notes', '1.0.0');
  return { host, hash, client: await host.connectClient({ batching: false, defaultDeadlineMs: DEADLINE_MS }) };
}

function read(client: BedsClient, operation: string): Promise<unknown> {
  return client.domain('notes').call(operation, {});
}

function codeOf(error: unknown): string {
  return isBedsError(error) ? error.code : `untyped: ${String(error)}`;
}

/** What became of many requests, by answer or code. */
async function outcomes(requests: readonly Promise<unknown>[]): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const result of await Promise.allSettled(requests)) {
    const outcome = result.status === 'fulfilled' ? JSON.stringify(result.value) : codeOf(result.reason);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

function endings({ log }: TestHost): readonly LogLine[] {
  return log.filter(({ msg }) => msg === ENDED);
}

/** Every thread that ended has been replaced, and both threads answer. */
async function assertServes(host: TestHost, client: BedsClient): Promise<void> {
  const served = await outcomes(Array.from({ length: 50 }, () => read(client, 'version')));
  assert.deepEqual(served, { '"1.0.0"': 50 });
  await eventually('two threads consume', async () => {
    const channel = await host.plainChannel();
    return (await channel.checkQueue(`${host.prefix}.req.notes.read`)).consumerCount === 2;
  });
}

const LOOPS = {
  'at once': 'for (;;);',
  'after it waited for the database': `await ctx.view('fetch', { limit: 1 }); for (;;);`,
};

const BESIDE = {
  'a microtask': `queueMicrotask(() => { throw new Error('micro'); }); return VERSION;`,
  'a tick': `process.nextTick(() => { throw new Error('tick'); }); return VERSION;`,
  'an event': `Object.assign(new stream.Readable(), { read() {} }).destroy(new Error('gone')); return VERSION;`,
  'a callback': `crypto.pbkdf2('a', 'b', 1, 8, 'sha1', () => { throw new Error('callback'); }); return VERSION;`,
};

describe('a template that harms its thread', () => {
  for (const [when, run] of Object.entries(LOOPS)) {
    it(`costs nobody else an answer when it blocks ${when}, and is not run for ever`, async (t) => {
      const { host, client, hash } = await serve(t, { poison: { mode: 'read', run } });
      const requests = Array.from({ length: 100 }, (_, index) => read(client, index === 30 ? 'poison' : 'version'));
      assert.deepEqual(await outcomes(requests), { '"1.0.0"': 99, BEDS_REQUEST_POISON: 1 });
      await assertServes(host, client);
      const ends = endings(host);
      assert.ok(ends.length <= 3, `${ends.length} threads ended for one request`);
      for (const { domain, version, hash: blamed, reason } of ends) {
        assert.deepEqual({ domain, version, blamed }, { domain: 'notes', version: '1.0.0', blamed: hash });
        assert.match(String(reason), /no sign of life/);
      }
      const lost = host.log.filter(({ msg }) => msg === 'connection waiting');
      assert.deepEqual(lost, [], 'no other thread lost a connection');
    });
  }

  for (const [where, run] of Object.entries(BESIDE)) {
    it(`is not run for ever when it throws beside its request, in ${where}`, async (t) => {
      const { host, client } = await serve(t, { poison: { mode: 'read', run } });
      const requests = Array.from({ length: 20 }, (_, index) => read(client, index === 5 ? 'poison' : 'version'));
      const { BEDS_REQUEST_POISON: refused = 0, ...answered } = await outcomes(requests);
      assert.deepEqual(answered, { '"1.0.0"': 20 - refused });
      assert.ok(refused <= 1);
      await assertServes(host, client);
      const ends = endings(host);
      assert.ok(ends.length > 0 && ends.length <= 3, `${ends.length} threads ended for one request`);
    });
  }

  it('is not run again for a write that may have been carried out', async (t) => {
    const run = `await ctx.call('create', { text: 'once', mark: 'once' }); for (;;);`;
    const { host, client } = await serve(t, { poison: { mode: 'write', run } });
    await assert.rejects(client.domain('notes').call('poison', {}), { code: 'BEDS_REQUEST_INDETERMINATE' });
    await assertServes(host, client);
    assert.equal(endings(host).length, 1);
    const [rows] = await host.dba.query(`SELECT id FROM note WHERE mark = 'once'`);
    assert.equal((rows as unknown[]).length, 1);
  });

  it('is refused, and the version before it serves on, when its setup blocks a thread', async (t) => {
    const { host, client } = await serve(t, {});
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0', body: { setup: 'for (;;);' } }));
    const line = await host.logged('the refusal', ({ msg }) => msg === 'notes 1.1.0 rejected');
    assert.match(JSON.stringify(line['findings']), /BEDS_THREAD_PREPARE_FAILED/);
    await assertServes(host, client);
    assert.equal(endings(host).length, 1);
  });

  it('is replaced with its thread when it throws in a timer', async (t) => {
    const run = `setTimeout(() => { throw new Error('thrown late'); }, 500); return 'set';`;
    const { host, client, hash } = await serve(t, { late: { mode: 'read', run } });
    assert.equal(await read(client, 'late'), 'set');
    const line = await host.logged('the end of the thread', ({ msg }) => msg === ENDED);
    assert.match(String(line['reason']), /thrown late/);
    assert.equal(line['hash'], hash);
    await assertServes(host, client);
  });

  it('ends no thread with a promise that it forgot', async (t) => {
    const run = `void Promise.reject(new Error('forgotten')); return 'done';`;
    const { host, client } = await serve(t, { forget: { mode: 'read', run } });
    assert.equal(await read(client, 'forget'), 'done');
    const line = await host.logged('the fault', ({ msg }) => msg === 'fault in unhandled rejection');
    assert.equal(line['domain'], 'notes');
    assert.equal(line['version'], '1.0.0');
    assert.match(String(line['error']), /forgotten.*at Object\.run \(index\.mjs:\d+:\d+\)/s);
    await assertServes(host, client);
    assert.deepEqual(endings(host), []);
  });

  it('does not end the host with process.exit', async (t) => {
    const { host, client } = await serve(t, {
      exit: { mode: 'read', run: 'process.exit(3);' },
      forced: { mode: 'read', run: '(() => 0).constructor("return process")().exit(3);' },
    });
    await assert.rejects(read(client, 'exit'), { code: 'BEDS_REQUEST_PROCESS_FORBIDDEN' });
    await assert.rejects(read(client, 'forced'), { code: 'BEDS_REQUEST_TEMPLATE_FAULT' });
    assert.deepEqual(endings(host), []);
    await assertServes(host, client);
  });

  it('loses its thread, and no other, when it takes all the memory', async (t) => {
    const run = 'const all = []; for (;;) all.push(new Array(1000).fill(all.length));';
    const threads = { default: { count: 2, heapMb: 64 } };
    // n.b. a busy machine may take more than a second to fill it.
    const supervisor = { stallTimeoutMs: 10_000, drainTimeoutMs: 3_000, restartIntensity: 50 };
    const { host, client } = await serve(t, { greedy: { mode: 'read', run } }, { threads, supervisor });
    await assert.rejects(read(client, 'greedy'), { code: 'BEDS_REQUEST_POISON' });
    assert.match(String(endings(host)[0]?.['reason']), /memory/);
    await assertServes(host, client);
  });

  it('makes the host give up when threads end faster than restarting helps', async (t) => {
    const supervisor = { stallTimeoutMs: 1_000, drainTimeoutMs: 1_000, restartIntensity: 1 };
    const config = { supervisor, threads: { default: { count: 1 } } };
    const { host, client } = await serve(t, { poison: { mode: 'read', run: 'for (;;);' } }, config);
    const asked = outcomes([client.domain('notes').call('poison', {}, { deadlineMs: 5_000 })]);
    await assert.rejects(host.host.failed, { code: 'BEDS_THREAD_RESTARTS_EXCEEDED' });
    const startedAtMs = performance.now();
    await host.host.stop();
    assert.ok(performance.now() - startedAtMs < 5_000, 'stopping is bounded');
    const [code = ''] = Object.keys(await asked);
    assert.match(code, /^BEDS_(CLIENT_TIMEOUT|REQUEST_POISON)$/);
  });
});
