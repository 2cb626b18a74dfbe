import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BedsClient } from '@beds/sdk/client';
import { mergeMetrics } from '../host/cli/commands/metrics.js';
import type { Tally } from '../host/request/observations.js';
import { RequestTotals } from '../host/metrics/request-totals.js';
import { heldInMemory, type ThreadView } from '../host/admin/node-views.js';
import { readHistory } from '../host/deploy/history.js';
import { beds, type Ran } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const OPERATIONS = {
  late: { mode: 'read', run: `setTimeout(() => { throw new Error('thrown late'); }, 500); return 'set';` },
  fails: { mode: 'read', run: `throw new Error('it fails');` },
} as const;
/** Two threads. */
const FORGETS = { setup: 'setInterval(() => undefined, 60_000);' };

function run({ config }: TestHost, ...args: readonly string[]): Promise<Ran> {
  return beds(args, { env: { BEDS_AMQP_URL: config.amqp.url, BEDS_AMQP_PREFIX: config.amqp.prefix } });
}

/** Every sample by its name and labels, without the node's. */
async function metricsOf(host: TestHost): Promise<ReadonlyMap<string, number>> {
  const { code, stdout } = await run(host, 'metrics');
  assert.equal(code, 0);
  const samples = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    samples.map((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
      const others = labels.split(',').filter((label) => label !== `node="${host.config.node.name}"`);
      assert.ok(others.length < labels.split(',').length, `the node is named: ${line}`);
      return [`${name}{${others.sort().join(',')}}`, Number(value)] as const;
    }),
  );
}

function requests(metrics: ReadonlyMap<string, number>, version: string, outcome: string): number {
  return metrics.get(`beds_requests_total{domain="notes",outcome="${outcome}",version="${version}"}`) ?? 0;
}

async function ask(client: BedsClient, operation: string, times: number): Promise<void> {
  const calls = Array.from({ length: times }, () => client.domain('notes').call(operation, {}));
  await Promise.allSettled(calls);
}

describe('the metrics of a host', () => {
  it('count what happens to versions and requests, and never go back', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle({ operations: OPERATIONS }));
    await host.active('notes', '1.0.0');
    const client = await host.connectClient({ batching: false });
    await ask(client, 'version', 30);
    await ask(client, 'fails', 5);
    const first = await metricsOf(host);
    assert.equal(requests(first, '1.0.0', 'ok'), 30);
    assert.equal(requests(first, '1.0.0', 'fault'), 5);
    assert.equal(first.get('beds_threads{state="ready"}'), 2);
    assert.equal(first.get('beds_store_up{store="main"}'), 1);
    assert.equal(first.get('beds_degraded{domain="notes"}'), 0);
    assert.equal(first.get('beds_canary_percent{domain="notes"}'), 0);
    assert.equal(first.get('beds_quarantined{}'), 0);
    for (const state of ['received', 'verified', 'probed', 'prepared', 'active']) {
      assert.equal(first.get(`beds_lifecycle_transitions_total{domain="notes",state="${state}"}`), 1, state);
    }
    assert.ok((first.get('process_resident_memory_bytes{}') ?? 0) > 1e7);
    assert.equal([...first.keys()].filter((name) => name.startsWith('beds_thread_heap_bytes')).length, 2);

    await ask(client, 'late', 1);
    await host.logged('the end of the thread', ({ msg }) => msg.startsWith('broker thread ended'));
    await eventually('the thread is replaced', async () => {
      return (await metricsOf(host)).get('beds_threads{state="ready"}') === 2;
    });
    const second = await metricsOf(host);
    assert.equal(second.get('beds_thread_ends_total{reason="error"}'), 1);
    assert.ok(requests(second, '1.0.0', 'ok') >= 30);
  });

  it('follow a swap, to the last request of the version before', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const client = await host.connectClient({ batching: false });
    const slow = ask(client, 'slow', 3);
    await ask(client, 'version', 10);
    const { hash } = await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0' }));
    await host.logged('1.0.0 retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    await slow;
    const metrics = await metricsOf(host);
    assert.equal(requests(metrics, '1.0.0', 'ok'), 13);
    assert.equal(metrics.get(`beds_live_version_info{domain="notes",hash="${hash}",version="1.1.0"}`), 1);
    assert.equal(metrics.get('beds_swap_duration_seconds_count{cause="drop",domain="notes"}'), 2);
    assert.equal(metrics.get('beds_flip_duration_seconds_count{}'), 2);
  });
});

describe('what a retired version left behind', () => {
  it('is named with its count on all threads', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle({ body: FORGETS }));
    await host.active('notes', '1.0.0');
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0' }));
    const line = await host.logged('1.0.0 retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    assert.deepEqual(line['left'], { timers: 0, intervals: 2, immediates: 0 });
    assert.equal(line.level, 'warn');
    assert.match((await run(host, 'versions')).stdout, /1\.0\.0 \(generation 1\) left .*: 2 intervals$/m);
    assert.match((await run(host, 'history', 'notes')).stdout, /1\.0\.0 +retired +left 2 intervals/);
    assert.equal((await metricsOf(host)).get('beds_leftovers_total{domain="notes",kind="intervals"}'), 2);
    const entries = await readHistory(`${host.pluginsDirectory}/../${host.config.state.directory}`);
    assert.deepEqual(entries.find(({ state }) => state === 'retired')?.left?.intervals, 2);
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.2.0' }));
    const clean = await host.logged('1.1.0 retired', ({ msg }) => msg === 'notes 1.1.0 retired');
    assert.equal(clean['left'], undefined);
  });

  it('counts as held in memory only after a minute and two collections, once for all threads', () => {
    const one = { generation: 3, domain: 'notes', version: '1.0.0' };
    const thread = (...retiredInMemory: readonly object[]): ThreadView => ({
      ...{ thread: 'default-1', group: 'default', state: 'ready' },
      status: { retiredInMemory } as unknown as NonNullable<ThreadView['status']>,
    });
    const held = heldInMemory([
      thread({ ...one, sinceMs: 61_000, collections: 2 }, { ...one, generation: 4, sinceMs: 61_000, collections: 1 }),
      thread({ ...one, sinceMs: 70_000, collections: 9 }, { ...one, generation: 5, sinceMs: 59_000, collections: 9 }),
    ]);
    assert.deepEqual([...held], [['notes', [{ version: '1.0.0', generation: 3, threads: 2, sinceMs: 70_000 }]]]);
  });
});

describe('request totals', () => {
  const tally = (generation: number, all: number, fault = 0): Tally => {
    return { generation, requests: all, failures: fault === 0 ? {} : { fault }, latency: [] };
  };
  it('take what is new from each thread, and lose nothing with a thread', () => {
    const totals = new RequestTotals();
    assert.deepEqual(totals.add('a', [tally(1, 5, 2)]), [
      { generation: 1, outcome: 'ok', count: 3 },
      { generation: 1, outcome: 'fault', count: 2 },
    ]);
    assert.deepEqual(totals.add('a', [tally(1, 6, 2)]), [{ generation: 1, outcome: 'ok', count: 1 }]);
    totals.forget('a');
    assert.deepEqual(totals.add('b', [tally(1, 2)]), [{ generation: 1, outcome: 'ok', count: 2 }]);
    assert.deepEqual(totals.addLast('b', tally(1, 3)), [{ generation: 1, outcome: 'ok', count: 1 }]);
  });
});

describe('metrics of several nodes', () => {
  it('are one text in which each family comes once', () => {
    const text = (node: string): string =>
      `# HELP x X.\n# TYPE x gauge\nx{node="${node}"} 1\n\n# TYPE y counter\ny 2\n`;
    const merged = mergeMetrics([text('a'), text('b')]);
    assert.equal(merged, '# HELP x X.\n# TYPE x gauge\nx{node="a"} 1\nx{node="b"} 1\n# TYPE y counter\ny 2\ny 2');
  });
});
