import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Manifest } from '@beds/sdk';
import type { ChannelModel } from 'amqplib';
import { EventPublisher } from '../host/amqp/event-publisher.js';
import { HandOver } from '../host/amqp/hand-over.js';
import { makeNames } from '../host/amqp/names.js';
import { ReplyPublisher } from '../host/amqp/reply-publisher.js';
import { ReplyTrials } from '../host/amqp/reply-trials.js';
import { Topology } from '../host/amqp/topology.js';
import { configSchema } from '../host/config/schema.js';

/** A connection whose channels cannot be opened while `isBroken`. */
class Connection extends EventEmitter {
  isBroken = false;
  attempts = 0;
  readonly channels: EventEmitter[] = [];

  readonly createChannel = (): Promise<EventEmitter> => {
    this.attempts += 1;
    if (this.isBroken) return Promise.reject(new Error('no channel'));
    const channel = new EventEmitter();
    this.channels.push(channel);
    return Promise.resolve(channel);
  };

  readonly createConfirmChannel = this.createChannel;
}

/** Who keeps channels on a connection, and which of its channels closes here. */
const keepers = [
  { what: 'for replies', make: () => new ReplyPublisher(), closes: 1 },
  { what: 'for what is handed over', make: () => new HandOver(), closes: 0 },
  { what: 'for events', make: () => new EventPublisher({ exchange: 'beds.event', node: 'a', userId: 'b' }), closes: 0 },
];

for (const { what, make, closes } of keepers) {
  it(`a channel ${what} that closed is opened again, however often that fails, while its connection is open`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const connection = new Connection();
    await make().attach(connection as unknown as ChannelModel);
    /** Longer than the longest pause between two attempts. */
    const seconds = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += 1) {
        t.mock.timers.tick(1_000);
        await turn();
      }
    };
    connection.isBroken = true;
    const before = connection.attempts;
    connection.channels[closes]?.emit('close');
    await seconds(30);
    assert.ok(connection.attempts - before >= 30, `${String(connection.attempts - before)} attempts in 30 s`);
    const opened = connection.channels.length;
    connection.isBroken = false;
    await seconds(2);
    assert.equal(connection.channels.length, opened + 1);

    connection.isBroken = true;
    connection.channels.at(-1)?.emit('close');
    await seconds(2);
    const attempts = connection.attempts;
    connection.emit('close');
    await seconds(5);
    assert.equal(connection.attempts, attempts, 'the next connection opens its own');
  });
}

it('what is asked of RabbitMQ about queues ends as "unavailable" where no answer comes, so that nobody waits with a lock', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { topology: settings } = configSchema.parse({});
  const silent = { createChannel: () => new Promise<never>(() => undefined) } as unknown as ChannelModel;
  const topology = new Topology({ names: makeNames('beds'), settings }, () => silent);
  const asked = [
    topology.assertBase(),
    topology.assertDomain({ domain: 'notes', operations: {} }),
    topology.unbind('notes', { create: { mode: 'write' } }),
    topology.status('notes'),
  ];
  const outcomes = Promise.allSettled(asked);
  t.mock.timers.tick(10_000);
  for (const outcome of await outcomes) {
    assert.equal(outcome.status, 'rejected');
    assert.equal((outcome.reason as { code?: unknown }).code, 'BEDS_AMQP_UNAVAILABLE');
  }
});

it('what RabbitMQ confirmed a moment ago of a domain is not asked for by its next version, unless that needs more or it may be gone', async () => {
  const asked: string[] = [];
  const channel = Object.assign(new EventEmitter(), {
    assertQueue: (name: string) => Promise.resolve(asked.push(name)),
    bindQueue: (_queue: string, _exchange: string, key: string) => Promise.resolve(asked.push(key)),
    unbindQueue: () => Promise.resolve(),
    sendToQueue: () => true,
    get: () => Promise.resolve(false),
    checkQueue: () => Promise.reject(Object.assign(new Error('gone'), { code: 404 })),
    close: () => Promise.resolve(),
  });
  const connectionOf = (): ChannelModel =>
    ({ createChannel: () => Promise.resolve(channel) }) as unknown as ChannelModel;
  const { topology: settings } = configSchema.parse({});
  let model: ChannelModel | undefined = connectionOf();
  const topology = new Topology({ names: makeNames('beds'), settings }, () => model);
  const notes = (...reads: readonly string[]): Pick<Manifest, 'domain' | 'operations'> => ({
    domain: 'notes',
    operations: Object.fromEntries(reads.map((name) => [name, { mode: 'read', idempotent: true }])),
  });
  const isAsked = async (...reads: readonly string[]): Promise<boolean> => {
    asked.length = 0;
    await topology.requireDomain(notes(...reads));
    return asked.length > 0;
  };
  assert.deepEqual([await isAsked('a', 'b'), await isAsked('a', 'b'), await isAsked('b')], [true, false, false]);
  assert.deepEqual([await isAsked('a', 'c'), await isAsked('a', 'c'), await isAsked('b')], [true, false, true]);
  await topology.unbind('notes', { z: { mode: 'read' } });
  assert.deepEqual([await isAsked('b'), await isAsked('b')], [true, false]);
  await topology.deleteIdle('notes');
  assert.deepEqual([await isAsked('b'), await isAsked('b')], [true, false]);
  const asserting = topology.assertDomain(notes('b'));
  await topology.unbind('notes', { b: { mode: 'read' } });
  await asserting;
  assert.ok(await isAsked('b'), 'it was taken away while it was asserted');
  model = connectionOf();
  assert.deepEqual([await isAsked('b'), await isAsked('b')], [true, false]);
  model = undefined;
  await assert.rejects(isAsked('b'), { code: 'BEDS_AMQP_UNAVAILABLE' });
  model = connectionOf();
  const forgetful = new Topology(
    { names: makeNames('beds'), settings: { ...settings, checkIntervalMs: 0 } },
    () => model,
  );
  for (let times = 0; times < 2; times += 1) {
    asked.length = 0;
    await forgetful.requireDomain(notes('b'));
    assert.ok(asked.includes('notes.b'));
  }
});

it('the connection for trials is closed only when none was needed for a while, whatever connections came before', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const confirms: ((error: unknown) => void)[] = [];
  let attach: (model: ChannelModel) => Promise<unknown> = () => Promise.resolve();
  let closed = 0;
  const trials = new ReplyTrials<string>({
    open: (setUp) => {
      attach = (model) => setUp(model, () => undefined);
      return { start: () => undefined, close: () => Promise.resolve(void (closed += 1)) };
    },
    onChannel: () => undefined,
    publish: (_channel, _item, onConfirm) => void confirms.push(onConfirm),
    isWanted: () => true,
    groupOf: () => undefined,
    bytesOf: () => 1,
    onDropped: () => undefined,
    onHandled: () => undefined,
    onNacked: () => undefined,
    onRefused: () => undefined,
  });
  trials.offer('first', true);
  for (let times = 0; times < 2; times += 1) {
    const connection = new Connection();
    await attach(connection as unknown as ChannelModel);
    confirms.pop()?.(null);
    await turn();
    t.mock.timers.tick(5_000);
    if (times === 0) {
      connection.emit('close');
      connection.channels[0]?.emit('close');
    }
  }
  trials.offer('second', true);
  t.mock.timers.tick(6_000);
  assert.equal(closed, 0, 'the second is on its way');
  confirms.pop()?.(null);
  await turn();
  t.mock.timers.tick(10_000);
  assert.equal(closed, 1);
});
