import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { ReplyPublisher } from '../host/amqp/reply-publisher.js';
import type { BrokerContext, OpenBroker, RunningBroker } from '../host/brokers/contract.js';
import { BrokerPool, type BrokerStatus } from '../host/brokers/pool.js';
import type { BrokerPlan } from '../host/roles.js';
import { eventually, quietFor } from './support/eventually.js';

const QUEUE = 'beds.own';

/** A connection whose channels remember what consumes, and whether they are closed. */
class FakeModel extends EventEmitter {
  readonly channels: FakeChannel[] = [];

  createChannel(): Promise<FakeChannel> {
    const channel = new FakeChannel();
    this.channels.push(channel);
    return Promise.resolve(channel);
  }

  /** Delivers a message to what consumes. */
  deliver(text: string): void {
    const take = this.channels.find((channel) => channel.take !== undefined && !channel.isClosed)?.take;
    assert.ok(take !== undefined, 'something consumes');
    take({ content: Buffer.from(text), fields: {}, properties: {} } as unknown as ConsumeMessage);
  }
}

class FakeChannel extends EventEmitter {
  take: ((message: ConsumeMessage) => void) | undefined;
  isClosed = false;

  prefetch(): Promise<void> {
    return Promise.resolve();
  }

  checkQueue(): Promise<void> {
    return Promise.resolve();
  }

  consume(_queue: string, take: (message: ConsumeMessage) => void): Promise<{ consumerTag: string }> {
    this.take = take;
    return Promise.resolve({ consumerTag: 'tag' });
  }

  cancel(): Promise<void> {
    this.take = undefined;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  ack(): void {
    // Nothing asks for it.
  }
}

const plan: BrokerPlan = {
  name: 'one',
  type: 'fake',
  count: 1,
  prefetch: 1,
  settings: {},
  domains: [],
  exceptDomains: [],
  domainQueues: [],
  ownQueues: [{ name: 'own' }],
  place: 'thread',
};

interface Running {
  readonly model: FakeModel;
  readonly contexts: readonly BrokerContext[];
  readonly status: () => BrokerStatus;
}

/** `open` makes the first, the second, … broker. */
async function run(t: TestContext, open: (index: number) => RunningBroker | Promise<RunningBroker>): Promise<Running> {
  const contexts: BrokerContext[] = [];
  const type: OpenBroker = (context) => {
    contexts.push(context);
    return open(contexts.length - 1);
  };
  const pool = new BrokerPool({
    node: 'node',
    prefix: 'beds',
    plans: [plan, { ...plan, name: 'other', type: 'calm' }],
    types: new Map([
      ['fake', type],
      ['calm', () => ({ handle: (delivery) => delivery.settle('ack') })],
    ]),
    serve: () => undefined,
    isFromHost: () => true,
    replies: new ReplyPublisher(),
    publishEvent: () => undefined,
    publishConfirmed: () => Promise.resolve('taken'),
    ask: () => Promise.resolve(null),
    onWrite: () => undefined,
  });
  t.after(async () => {
    await pool.stop();
    await pool.close();
  });
  const model = new FakeModel();
  await pool.attach(model as unknown as ChannelModel);
  await pool.consume('one', QUEUE);
  const status = (): BrokerStatus => {
    const [one, other] = pool.status;
    assert.ok(one !== undefined && other !== undefined);
    assert.deepEqual([other.state, other.restarts], ['idle', 0], 'the other one is left alone');
    return one;
  };
  return { model, contexts, status };
}

const calm: RunningBroker = { handle: (delivery) => delivery.settle('ack') };

const FAILURES: Readonly<Record<string, { broker: RunningBroker; cause: (running: Running) => void }>> = {
  'throws at a message': {
    broker: {
      handle: () => {
        throw new Error('no');
      },
    },
    cause: ({ model }) => model.deliver('a'),
  },
  'rejects later': {
    broker: { handle: () => Promise.reject(new Error('no')) },
    cause: ({ model }) => model.deliver('a'),
  },
  'says itself that it cannot go on': {
    broker: calm,
    cause: ({ contexts }) => contexts[0]?.fail(new Error('no')),
  },
};

describe('a broker that fails', () => {
  for (const [how, { broker, cause }] of Object.entries(FAILURES)) {
    it(`is replaced alone when it ${how}, and its channel is closed`, async (t) => {
      let closed = 0;
      const first = { ...broker, close: () => void (closed += 1) };
      const running = await run(t, (index) => (index === 0 ? first : calm));
      assert.equal(running.status().state, 'consuming');
      cause(running);
      await eventually('it failed', () => running.status().restarts === 1);
      assert.equal(running.status().lastError?.message, 'no');
      await eventually('the next one consumes', () => running.status().state === 'consuming');
      assert.equal(closed, 1);
      assert.equal(running.contexts.length, 2);
      const consuming = running.model.channels.filter(({ take, isClosed }) => take !== undefined && !isClosed);
      assert.equal(consuming.length, 1);
      running.model.deliver('b');
      assert.equal(running.status().inFlight, 0);
    });
  }

  it('fails once, whatever else it rejects after another has taken its place', async (t) => {
    const rejects: ((error: Error) => void)[] = [];
    const first: RunningBroker = { handle: () => new Promise<void>((_resolve, reject) => rejects.push(reject)) };
    const running = await run(t, (index) => (index === 0 ? first : calm));
    running.model.deliver('a');
    running.model.deliver('b');
    rejects[0]?.(new Error('no'));
    await eventually(
      'the next one consumes',
      () => running.contexts.length === 2 && running.status().state === 'consuming',
    );
    rejects[1]?.(new Error('late'));
    running.contexts[0]?.fail(new Error('late, too'));
    await quietFor(20);
    assert.deepEqual([running.status().state, running.status().restarts], ['consuming', 1]);
  });

  it('holds up no other one for longer than a bound when it never opens', async (t) => {
    const running = await run(t, (index) => (index === 0 ? new Promise<RunningBroker>(() => undefined) : calm));
    await eventually('the next one consumes', () => running.status().state === 'consuming');
    assert.match(running.status().lastError?.message ?? '', /not open after/);
  });

  it('is opened again when it could not be opened', async (t) => {
    const running = await run(t, (index) => {
      if (index < 2) throw new Error('not yet');
      return calm;
    });
    assert.equal(running.status().state, 'failed');
    await eventually('the third one consumes', () => running.status().state === 'consuming');
    assert.equal(running.status().restarts, 2);
    running.model.deliver('a');
    assert.equal(running.status().messages, 1);
  });
});
