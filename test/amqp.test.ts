import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { QueueConsumer } from '../host/amqp/queue-consumer.js';
import { AmqpConnection } from '../host/amqp/connection.js';
import { connect } from '../host/amqp/guarded-amqplib.js';
import { askNode, parseReplyAddress } from '../host/amqp/reply-address.js';
import { type BrokerEvent, brokerChannel } from '../host/observe/channels.js';
import { type Reply, type ReplyOutcome, ReplyPublisher } from '../host/amqp/reply-publisher.js';
import { ChaosProxy } from './support/chaos-proxy.js';
import { eventually } from './support/eventually.js';
import { directReplyTo, poisonAddresses } from './support/poison-addresses.js';
import { lastFirst, privateServices, sharedServices, wholeFile } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);
assert.ok(rabbitmq);
const server = rabbitmq;
/** May be killed, and set otherwise. */
const { rabbitmq: ownServer } = await privateServices(wholeFile, ['rabbitmq']);
assert.ok(ownServer);
const own = ownServer;

const SETTINGS = { connectTimeoutMs: 3_000, heartbeatSeconds: 5, reconnectMinMs: 10, reconnectMaxMs: 100 } as const;

function supervised(t: TestContext, url: string, setup: (model: ChannelModel) => Promise<void>): AmqpConnection {
  const connection = new AmqpConnection({ ...SETTINGS, url, name: 'test' }, setup);
  lastFirst(t, () => connection.close(2_000));
  connection.start();
  return connection;
}

async function plainChannel(t: TestContext): Promise<Awaited<ReturnType<ChannelModel['createConfirmChannel']>>> {
  const model = await connect(server.url, { noDelay: true, timeout: 5_000 });
  lastFirst(t, () => model.close());
  return model.createConfirmChannel();
}

/** Consumes queues, and notes what came. */
function collector(name: string, bodies: string[]): QueueConsumer {
  return new QueueConsumer({
    name,
    prefetch: 10,
    onDelivery: (delivery) => {
      bodies.push(delivery.body.toString());
      delivery.settle('ack');
    },
  });
}

/** The different bodies that wait in a queue. */
async function bodiesIn(channel: Channel, queue: string): Promise<ReadonlySet<string>> {
  const bodies = new Set<string>();
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return bodies;
    bodies.add(message.content.toString());
  }
}

describe('a supervised connection', () => {
  it('survives being cut at every point of its set-up', async (t) => {
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    for (let bytes = 0; bytes < 1_500; bytes += 100) {
      proxy.misbehave({ cutAfterBytes: bytes });
      const connection = supervised(t, proxy.through(server.url), async (model) => {
        const channel = await model.createChannel();
        channel.on('error', () => undefined);
        await channel.assertQueue('', { exclusive: true });
        await channel.prefetch(10);
      });
      const before = proxy.connections;
      await eventually(
        'a second attempt or success',
        () => proxy.connections > before + 1 || connection.state === 'up',
      );
      proxy.misbehave({});
      await connection.ready(10_000);
      await connection.close(2_000);
    }
  });

  it('comes back after the connection is cut while it serves', async (t) => {
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    let setups = 0;
    const connection = supervised(t, proxy.through(server.url), () => {
      setups += 1;
      return Promise.resolve();
    });
    await connection.ready(5_000);
    for (let round = 2; round <= 4; round++) {
      proxy.cut();
      await eventually('set up again', () => setups === round && connection.state === 'up');
    }
  });

  it('gives up an attempt at a server that accepts and says nothing', async (t) => {
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    proxy.misbehave({ blackhole: true });
    const connection = supervised(t, proxy.through(server.url), () => Promise.resolve());
    await assert.rejects(connection.ready(500), { code: 'BEDS_AMQP_UNAVAILABLE' });
    proxy.misbehave({});
    await connection.ready(10_000);
  });

  it('ends a set-up that does not finish', async (t) => {
    let setups = 0;
    const connection = new AmqpConnection({ ...SETTINGS, connectTimeoutMs: 200, url: server.url, name: 'test' }, () => {
      setups += 1;
      return setups === 1 ? new Promise(() => undefined) : Promise.resolve();
    });
    t.after(() => connection.close(2_000));
    connection.start();
    await connection.ready(5_000);
    assert.equal(setups, 2);
  });

  it('closes once, however often close() is called, and stays closed', async (t) => {
    const connection = supervised(t, server.url, () => Promise.resolve());
    await connection.ready(5_000);
    await Promise.all([connection.close(2_000), connection.close(2_000)]);
    assert.equal(connection.state, 'closed');
    await assert.rejects(connection.ready(100), { code: 'BEDS_AMQP_UNAVAILABLE' });
  });

  it('closes in time while an attempt to connect is under way', async (t) => {
    const proxy = await ChaosProxy.start(server);
    t.after(() => proxy.close());
    proxy.misbehave({ blackhole: true });
    const connection = supervised(t, proxy.through(server.url), () => Promise.resolve());
    await eventually('an attempt is under way', () => proxy.connections > 0);
    const startedMs = performance.now();
    await connection.close(100);
    assert.ok(performance.now() - startedMs < 2_000);
    assert.equal(connection.state, 'closed');
  });

  it('is made again when its set-up gives it up later', async (t) => {
    const lose: ((reason: Error) => void)[] = [];
    const connection = new AmqpConnection({ ...SETTINGS, url: server.url, name: 'test' }, async (_model, giveUp) => {
      lose.push(giveUp);
    });
    t.after(() => connection.close(2_000));
    connection.start();
    await connection.ready(5_000);
    lose[0]?.(new Error('a channel was closed'));
    await eventually('set up again', () => lose.length === 2 && connection.state === 'up');
  });

  it('comes back after RabbitMQ itself was killed', { timeout: 240_000 }, async (t) => {
    const connection = supervised(t, own.url, () => Promise.resolve());
    await connection.ready(5_000);
    await own.kill();
    await eventually('the loss is noticed', () => connection.state !== 'up');
    await own.start();
    await connection.ready(15_000);
  });
});

describe('a consumer of queues', () => {
  it('consumes a queue that appears later, and again after it was deleted', async (t) => {
    const channel = await plainChannel(t);
    const queue = `test.later.${String(process.pid)}`;
    const bodies: string[] = [];
    const consumer = collector('test', bodies);
    const connection = supervised(t, server.url, (model) => consumer.attach(model));
    await connection.ready(5_000);
    await consumer.consume(queue);
    assert.deepEqual(consumer.queues, []);
    for (const round of ['one', 'two']) {
      await channel.assertQueue(queue, { durable: true, expires: 60_000 });
      await eventually('it consumes', () => consumer.queues.includes(queue));
      channel.sendToQueue(queue, Buffer.from(round));
      await eventually('the message arrives', () => bodies.includes(round));
      await channel.deleteQueue(queue);
      await eventually('the loss is noticed', () => !consumer.queues.includes(queue));
    }
  });

  it('settles a message once, and drops what belongs to a dead channel', async (t) => {
    const channel = await plainChannel(t);
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    const held: { settle(verdict: 'ack'): void; redelivered: boolean }[] = [];
    const consumer = new QueueConsumer({ name: 'test', prefetch: 10, onDelivery: (delivery) => held.push(delivery) });
    const connection = supervised(t, proxy.through(server.url), (model) => consumer.attach(model));
    await connection.ready(5_000);
    const kept = `test.settle.${String(process.pid)}`;
    await channel.assertQueue(kept, { expires: 60_000 });
    await consumer.consume(kept);
    channel.sendToQueue(kept, Buffer.from('x'));
    await eventually('delivered', () => held.length === 1);
    proxy.cut();
    await eventually('redelivered', () => held.length === 2);
    held[0]?.settle('ack');
    held[1]?.settle('ack');
    held[1]?.settle('ack');
    assert.equal(held[1]?.redelivered, true);
    await eventually('the queue is empty', async () => (await channel.checkQueue(kept)).messageCount === 0);
    await consumer.idle();
    assert.equal(connection.state, 'up');
  });

  it('keeps its connection when another queue is missing', async (t) => {
    const consumer = new QueueConsumer({ name: 'test', prefetch: 10, onDelivery: () => undefined });
    let setups = 0;
    const connection = supervised(t, server.url, (model) => {
      setups += 1;
      return consumer.attach(model);
    });
    await connection.ready(5_000);
    const missed: string[] = [];
    const note = (event: unknown): void => {
      const { broker: name, event: what, queue } = event as BrokerEvent;
      if (name === 'test' && what === 'queue-missing') missed.push(String(queue));
    };
    subscribe(brokerChannel.name, note);
    t.after(() => unsubscribe(brokerChannel.name, note));
    await consumer.consume('test.never.there');
    await eventually('it has asked for the queue three times', () => missed.length >= 3);
    assert.deepEqual(new Set(missed), new Set(['test.never.there']));
    assert.equal(setups, 1);
    assert.equal(connection.state, 'up');
    await consumer.stop();
  });
});

describe('a queue that RabbitMQ refuses', () => {
  it('costs the other queues of its consumer one channel, waits longer and longer, and is consumed when it may be', async (t) => {
    const channel = await plainChannel(t);
    const [good, locked] = [`test.good.${String(process.pid)}`, `test.locked.${String(process.pid)}`];
    for (const queue of [good, locked]) await channel.assertQueue(queue, { expires: 60_000 });
    // Nobody else may consume it: 403.
    const { consumerTag } = await channel.consume(locked, () => undefined, { exclusive: true });
    const bodies: string[] = [];
    const events: BrokerEvent[] = [];
    const note = (event: unknown): void => void events.push(event as BrokerEvent);
    subscribe(brokerChannel.name, note);
    t.after(() => unsubscribe(brokerChannel.name, note));
    const count = (what: BrokerEvent['event']): number =>
      events.filter(({ broker, event }) => broker === 'locked' && event === what).length;
    const consumer = collector('locked', bodies);
    const connection = supervised(t, server.url, (model) => consumer.attach(model));
    await connection.ready(5_000);
    await Promise.all([consumer.consume(locked), consumer.consume(good)]);
    await eventually('it was refused four times', () => count('queue-refused') >= 4);
    await eventually('the other one is consumed', () => consumer.queues.includes(good));
    channel.sendToQueue(good, Buffer.from('beside it'));
    await eventually('the other one is served', () => bodies.includes('beside it'));
    assert.equal(count('channel-lost'), 1);
    assert.ok(events.every(({ event, queue }) => event !== 'queue-refused' || queue === locked));

    await channel.cancel(consumerTag);
    channel.sendToQueue(locked, Buffer.from('at last'));
    await eventually('it is consumed', () => bodies.includes('at last'));
    await consumer.cancel(locked);
    assert.deepEqual(consumer.queues, [good]);
    await consumer.idle();
    assert.equal(connection.state, 'up');
    await consumer.close();
    assert.equal((await channel.checkQueue(locked)).consumerCount, 0);
  });
});

describe('the reply publisher', () => {
  async function publisher(
    t: TestContext,
    url: string,
  ): Promise<{ replies: ReplyPublisher; connection: AmqpConnection }> {
    const replies = publisherOn(url);
    lastFirst(t, () => replies.close(2_000));
    const connection = supervised(t, url, (model) => replies.attach(model));
    await connection.ready(5_000);
    return { replies, connection };
  }
  const publisherOn = (url: string, onTrial: (model: ChannelModel) => void = () => undefined): ReplyPublisher =>
    new ReplyPublisher(
      (setUp) =>
        new AmqpConnection({ ...SETTINGS, url, name: 'trial' }, (model, lose) => {
          onTrial(model);
          return setUp(model, lose);
        }),
    );
  const soon = (): number => performance.now() + 5_000;
  const publish = (replies: ReplyPublisher, reply: Reply): Promise<ReplyOutcome> =>
    new Promise((resolve) => {
      replies.publish(reply, resolve);
    });

  it('confirms what reached a queue and says what reached none', async (t) => {
    const channel = await plainChannel(t);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const { replies } = await publisher(t, server.url);
    const reply = { correlationId: 'c', body: Buffer.from('{}'), expiresAtMs: soon(), flushNow: false };
    const reached = publish(replies, { ...reply, address: { queue, mandatory: true } });
    const lost = publish(replies, { ...reply, address: { queue: 'amq.gen-gone-gone-gone-gone', mandatory: true } });
    assert.deepEqual(await Promise.all([reached, lost]), ['confirmed', 'unroutable']);
    assert.equal(replies.unroutable, 1);
    assert.equal(replies.pending, 0);
    assert.equal((await channel.checkQueue(queue)).messageCount, 1);
  });

  it('sends again what a lost connection left unconfirmed', async (t) => {
    const channel = await plainChannel(t);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    const { replies } = await publisher(t, proxy.through(server.url));
    const outcomes = Array.from({ length: 50 }, (_, index) => {
      if (index === 25) proxy.cut();
      const body = Buffer.from(String(index));
      return publish(replies, {
        correlationId: undefined,
        body,
        expiresAtMs: soon(),
        flushNow: index % 2 === 0,
        address: { queue, mandatory: false },
      });
    });
    assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['confirmed']));
    assert.equal((await bodiesIn(channel, queue)).size, 50);
  });

  it('blames no reply for a lost connection, however many were under way', async (t) => {
    const channel = await plainChannel(t);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    const { replies } = await publisher(t, proxy.through(server.url));
    const address = { queue, mandatory: true };
    const outcomes = Array.from({ length: 1_500 }, () =>
      publish(replies, { correlationId: 'c', body: Buffer.from('{}'), expiresAtMs: soon(), flushNow: false, address }),
    );
    proxy.cut();
    assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['confirmed']));
    assert.equal(replies.unroutable, 0);
  });

  it('blames no address for a connection for trials that was lost', async (t) => {
    const good = await directReplyTo(await plainChannel(t));
    const proxy = await ChaosProxy.start(server);
    lastFirst(t, () => proxy.close());
    const cuts: (() => void)[] = [() => proxy.cut(), () => proxy.cut()];
    const replies = publisherOn(proxy.through(server.url), (model) => {
      const make = model.createConfirmChannel.bind(model);
      model.createConfirmChannel = async () => {
        const made = await make();
        const send = made.publish.bind(made);
        made.publish = (...args) => {
          const cut = cuts.pop();
          if (cut === undefined) return send(...args);
          cut();
          return true;
        };
        return made;
      };
    });
    lastFirst(t, () => replies.close(2_000));
    const address = parseReplyAddress(good.replyTo, 'beds');
    assert.ok(address);
    const reply = { address, correlationId: 'c', body: Buffer.from('{}'), expiresAtMs: soon(), flushNow: false };
    assert.equal(await publish(replies, reply), 'confirmed');
    assert.equal(cuts.length, 0);
  });

  it('knows the node that it is connected to, so a new caller there waits for no trial', async (t) => {
    const good = await directReplyTo(await plainChannel(t));
    let trials = 0;
    const replies = publisherOn(server.url, () => (trials += 1));
    lastFirst(t, () => replies.close(2_000));
    const asked: Promise<unknown>[] = [];
    const connection = supervised(t, server.url, async (model) => {
      await replies.attach(model);
      asked.push(askNode(model));
    });
    await connection.ready(5_000);
    await Promise.all(asked);
    // It asked first, and has a few steps more to go.
    await nextTurn();
    const address = parseReplyAddress(good.replyTo, 'beds');
    assert.ok(address);
    const reply = { address, correlationId: 'c', body: Buffer.from('{}'), expiresAtMs: soon(), flushNow: false };
    assert.equal(await publish(replies, reply), 'confirmed');
    assert.equal(trials, 0);
  });

  it('goes on with another channel when RabbitMQ closed the one it had', async (t) => {
    const channel = await plainChannel(t);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const replies = publisherOn(server.url);
    const channels: ConfirmChannel[] = [];
    const connection = supervised(t, server.url, async (model) => {
      const make = model.createConfirmChannel.bind(model);
      model.createConfirmChannel = async () => {
        const made = await make();
        channels.push(made);
        return made;
      };
      await replies.attach(model);
    });
    await connection.ready(5_000);
    // The publisher's own is the first; the question after the node's name opens one as well, at some time.
    const [own] = channels;
    assert.ok(own);
    const closed = new Promise((resolve) => own.once('close', resolve));
    own.publish('no.such.exchange', 'x', Buffer.alloc(0));
    await closed;
    const address = { queue, mandatory: false };
    const reply = { correlationId: 'c', body: Buffer.from('{}'), expiresAtMs: soon(), flushNow: false, address };
    assert.equal(await publish(replies, reply), 'confirmed');
    assert.equal(connection.state, 'up');
  });

  it('sends again, one by one confirmed, what was under way on a channel without confirms that RabbitMQ closed', async (t) => {
    const channel = await plainChannel(t);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const replies = publisherOn(server.url);
    lastFirst(t, () => replies.close(2_000));
    const direct: Channel[] = [];
    const connection = supervised(t, server.url, async (model) => {
      const make = model.createChannel.bind(model);
      model.createChannel = async () => {
        const made = await make();
        direct.push(made);
        return made;
      };
      await replies.attach(model);
    });
    await connection.ready(5_000);
    const outcomes = Array.from({ length: 20 }, (_, index) => {
      // RabbitMQ closes the channel over this, with half of the replies behind it.
      if (index === 10) direct[0]?.publish('no.such.exchange', 'x', Buffer.alloc(0));
      const address = { queue, mandatory: false };
      const body = Buffer.from(String(index));
      return publish(replies, { correlationId: 'c', body, expiresAtMs: soon(), flushNow: false, address });
    });
    assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['confirmed']));
    assert.equal((await bodiesIn(channel, queue)).size, 20);
    await eventually('there is such a channel again', () => direct.length === 2);
    assert.equal(connection.state, 'up');
  });

  it('drops the reply that is larger than RabbitMQ takes, and none beside it', { timeout: 240_000 }, async (t) => {
    // RabbitMQ 4 reads the setting once, and asks the second place.
    const places = [
      'application:set_env(rabbit, max_message_size, Size)',
      'persistent_term:put(max_message_size, Size)',
    ];
    await own.control(['eval', `Size = 100000, ${places.join(', ')}.`]);
    const model = await connect(own.url);
    lastFirst(t, () => model.close());
    const { queue } = await (await model.createChannel()).assertQueue('', { exclusive: true });
    const { replyTo } = await directReplyTo(await model.createChannel());
    const { replies } = await publisher(t, own.url);
    for (const address of [
      { queue, mandatory: true },
      { queue: replyTo, mandatory: false },
    ]) {
      const outcomes = Array.from({ length: 100 }, (_, index) => {
        const body = Buffer.alloc(index % 50 === 20 ? 200_000 : 2);
        return publish(replies, { address, correlationId: 'c', body, expiresAtMs: soon(), flushNow: false });
      });
      const expected = outcomes.map((_, index) => (index % 50 === 20 ? 'refused' : 'confirmed'));
      assert.deepEqual(await Promise.all(outcomes), expected);
    }
  });

  it('spends one connection of its own on each address that RabbitMQ closes it over, and loses no other reply', async (t) => {
    const channel = await plainChannel(t);
    const good = await directReplyTo(channel);
    const trials: number[] = [];
    const replies = publisherOn(server.url, () => trials.push(performance.now()));
    lastFirst(t, () => replies.close(2_000));
    const states: string[] = [];
    const connection = supervised(t, server.url, async (model) => {
      states.push('up');
      await replies.attach(model);
    });
    await connection.ready(5_000);
    const to = (replyTo: string): Promise<ReplyOutcome> => {
      const address = parseReplyAddress(replyTo, 'beds');
      assert.ok(address, replyTo);
      const body = Buffer.from('{}');
      return publish(replies, {
        ...{ address, body, correlationId: 'c', expiresAtMs: performance.now() + 20_000, flushNow: false },
      });
    };
    const forged = poisonAddresses(good.replyTo);
    const outcomes = await Promise.all(
      forged.flatMap((replyTo) => [to(good.replyTo), to(replyTo), to(good.replyTo), to(good.replyTo)]),
    );
    assert.deepEqual(
      outcomes.filter((_, index) => index % 4 !== 1),
      forged.flatMap(() => ['confirmed', 'confirmed', 'confirmed']),
    );
    await eventually('every good reply has arrived', () => good.received() === forged.length * 3);
    const refused = outcomes.filter((outcome) => outcome === 'refused').length;
    assert.ok(trials.length <= refused + 1, `${trials.length} connections for ${refused} refused replies`);
    assert.deepEqual(states, ['up'], 'the connection of the others was never lost');

    const again = await Promise.all([...forged.map(to), to(good.replyTo)]);
    assert.deepEqual(again, [...outcomes.filter((_, index) => index % 4 === 1), 'confirmed']);
    assert.ok(trials.length <= refused + 1, 'what is known to be bad costs nothing more');
    // From 4.2 on RabbitMQ survives them all.
    if (server.version.startsWith('3.')) assert.ok(refused >= 10, `${refused} of ${forged.length} were refused`);
  });

  it('lets go of a reply at its deadline when there is no connection', async () => {
    const replies = publisherOn(server.url);
    const outcome = await publish(replies, {
      correlationId: undefined,
      body: Buffer.alloc(0),
      expiresAtMs: performance.now() + 50,
      flushNow: false,
      address: { queue: 'x', mandatory: false },
    });
    assert.equal(outcome, 'expired');
  });
});

describe('reply addresses', () => {
  const good = [
    'amq.rabbitmq.reply-to.g1h2AA5yZXBseUAx.MTIz+/==',
    'amq.rabbitmq.reply-to.g1h2AA5yZXBseUA0NzU1NTQ0NAAAAroAAAAAawvzJw==.LqYSXPqgNTd6Y4J26jEK8g==',
    'amq.gen-JzTY20BRgKO-HjmUJj0wLg',
    'beds.reply.billing',
  ];
  const bad = [
    'beds.req.cities.write',
    'amq.rabbitmq.reply-to',
    'amq.rabbitmq.reply-to.x y',
    'beds.reply.',
    'beds.reply.a/b',
    'x',
  ];
  it('are direct reply-to, server-named queues and reply queues of our own', () => {
    for (const address of good) assert.ok(parseReplyAddress(address, 'beds'), address);
  });
  it('of direct reply-to are distinguished by the process that they name', () => {
    const [form, known] = good.map((address) => parseReplyAddress(address, 'beds')?.direct);
    assert.deepEqual(form, { node: undefined, isOrdinary: false });
    assert.deepEqual(known, { node: 'reply@47555444', isOrdinary: true });
  });
  it('are also queues whose names begin as the operator allows', () => {
    const allowed = ['spring.gen-', 'my-replies'];
    for (const address of ['spring.gen-1a_B', 'my-replies-7']) {
      assert.deepEqual(parseReplyAddress(address, 'beds', allowed), { queue: address, mandatory: true });
    }
    for (const address of ['spring.gen-', 'spring.gen-a b', 'my-replie', ...bad]) {
      assert.equal(parseReplyAddress(address, 'beds', allowed), undefined, address);
    }
  });
  it('are never a request queue or anything else', () => {
    for (const address of bad) assert.equal(parseReplyAddress(address, 'beds'), undefined, address);
  });
});
