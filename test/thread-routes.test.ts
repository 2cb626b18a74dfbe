import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect } from 'amqplib';
import type { RowDataPacket } from 'mysql2/promise';
import { makeNames } from '../host/amqp/names.js';
import { Topology } from '../host/amqp/topology.js';
import { planBrokers } from '../host/brokers/plan.js';
import type { Observations } from '../host/request/observations.js';
import type { Route } from '../host/template/registry.js';
import { ThreadHandle } from '../host/threads/handle.js';
import type { ThreadCommand, ThreadMessage } from '../host/threads/protocol.js';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { sourceOf } from './support/data-plane.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const COMMAND_MS = 10_000;

interface RoutedThread {
  readonly host: TestHost;
  readonly messages: readonly Exclude<ThreadMessage, { kind: 'answer' } | { kind: 'ready' }>[];
  command(command: ThreadCommand): Promise<unknown>;
  observe(): Promise<Observations>;
}

/** A broker thread of its own beside a host, which has made exchanges and database and serves nothing: generations 1, 2, … of `notes`. */
async function startThread(t: Teardown, ...bundles: readonly BundleOptions[]): Promise<RoutedThread> {
  const ending: (() => Promise<unknown>)[] = [];
  // Before the host's own end, which takes the database away.
  t.after(async () => {
    for (const end of ending.toReversed()) await end();
  });
  const host = await startTestHost(t, { services });
  const { config, prefix } = host;
  const messages: RoutedThread['messages'][number][] = [];
  const thread = new ThreadHandle({
    data: { thread: 'own-1', node: 'own', config, brokers: planBrokers(config) },
    heapMb: 128,
    onMessage: (message) => messages.push(message),
    onEnding: () => Promise.resolve(),
    onEnd: () => undefined,
  });
  ending.push(() => thread.stop(1_000));
  await thread.ready(COMMAND_MS);
  const command = (each: ThreadCommand): Promise<unknown> => thread.request(each, COMMAND_MS);
  const model = await connect(config.amqp.url);
  ending.push(() => model.close());
  const names = makeNames(prefix);
  const topology = new Topology({ names, settings: config.topology }, () => model);
  for (const [index, bundle] of bundles.entries()) {
    const source = await sourceOf(index + 1, { objects: {}, ...bundle });
    if (index === 0) await topology.assertDomain(source.manifest);
    await command({ kind: 'prepare', source });
  }
  for (const [broker, mode] of [
    ['rBroker', 'read'],
    ['wBroker', 'write'],
  ] as const) {
    await command({ kind: 'consume', broker, queue: names.queue('notes', mode) });
  }
  const observe = async (): Promise<Observations> => (await command({ kind: 'observe' })) as Observations;
  return { host, messages, command, observe };
}

const peek = (run: string): BundleOptions => ({ operations: { peek: { mode: 'read', run } } });

describe('a broker thread with routes', () => {
  it('shows no caller what a shadow does, and does not let it write', async (t) => {
    const own = await startThread(t, peek('return { from: VERSION };'), {
      ...peek(`await ctx.domain('notes').create({ text: 'by a shadow' }); return {};`),
      peers: ['notes'],
    });
    const candidate = { generation: 2, percent: 0, salt: 1, shadowPercent: 100 };
    await own.command({ kind: 'route', routes: [{ domain: 'notes', active: 1, candidate }] });
    const notes = (await own.host.connectClient({ name: 'web' })).domain('notes');
    for (let index = 0; index < 5; index += 1) assert.deepEqual(await notes.call('peek', {}), { from: '1.0.0' });
    const seen: Observations[] = [];
    const compared = (): number => seen.flatMap(({ shadows }) => shadows).reduce((sum, each) => sum + each.compared, 0);
    await eventually('the copies were compared', async () => {
      seen.push(await own.observe());
      return compared() === 5;
    });
    for (const { active, candidate: shape } of seen.flatMap(({ shadows }) =>
      shadows.flatMap((each) => each.differences),
    )) {
      assert.deepEqual([active, shape], ['{from: string}', 'BEDS_REQUEST_READ_ONLY']);
    }
    const [rows] = await own.host.dba.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM note');
    assert.equal(rows[0]?.['n'], 0);
    assert.deepEqual(seen[0]?.callers, [{ domain: 'notes', operation: 'peek', client: 'web', calls: 5 }]);
    assert.deepEqual(
      seen[0]?.tallies.map(({ generation, requests }) => [generation, requests]),
      [
        [1, 5],
        [2, 0],
      ],
    );
  });

  it('drains what no route names, answers for a withheld domain, and refuses a route to what it has not loaded', async (t) => {
    const own = await startThread(t, peek('return VERSION;'), peek('return VERSION;'));
    const route = (routed: Omit<Route, 'domain'>): Promise<unknown> =>
      own.command({ kind: 'route', routes: [{ domain: 'notes', ...routed }] });
    const notes = (await own.host.connectClient()).domain('notes');
    await route({ active: 1 });
    assert.equal(await notes.call('peek', {}), '1.0.0');
    await assert.rejects(route({ active: 9 }), { code: 'BEDS_THREAD_PREPARE_FAILED' });
    assert.equal(await notes.call('peek', {}), '1.0.0');
    await route({ active: 2 });
    assert.equal(await notes.call('peek', {}), '2.0.0');
    await route({ withheld: true });
    await assert.rejects(notes.call('peek', {}), { code: 'BEDS_REQUEST_WITHHELD' });
    const drained = (): number[] =>
      own.messages.flatMap((message) => (message.kind === 'drained' ? [message.generation] : []));
    await eventually('both drained', () => drained().length === 2);
    assert.deepEqual(drained(), [1, 2]);
  });

  it('is not waited for by a version that it could not prepare when it joined', async (t) => {
    const supervisor = { heartbeatMs: 50, stallTimeoutMs: 500, drainTimeoutMs: 1_000 };
    const host = await startTestHost(t, { services, config: { supervisor } });
    const setup = `if ((await ctx.view('fetch', {})).rows.length > 0) throw new Error('only while it is empty');`;
    const block = { mode: 'read', run: 'for (;;);' } as const;
    await writeBundle(host.pluginsDirectory, notesBundle({ body: { setup }, operations: { block } }));
    await host.active('notes', '1.0.0');
    const notes = (await host.connectClient({ defaultDeadlineMs: 5_000 })).domain('notes');
    await notes.create({ text: 'there' });
    await notes.call('block', {}).catch(() => undefined);
    await host.logged('another thread joined without it', ({ msg }) => msg.includes('preparation in thread'));
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0', operations: { block } }));
    await host.active('notes', '1.1.0');
    await eventually('the version before it is retired', () =>
      host.transitions().some(({ version, state }) => version === '1.0.0' && state === 'retired'),
    );
  });
});
