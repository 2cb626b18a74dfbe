import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import { connect, type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { isBedsError, type Json } from '@beds/sdk';
import type { CallMode, ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import { connectBeds, type BedsClient, type ConnectOptions } from '@beds/sdk/client';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq']);
const url = services.rabbitmq?.url ?? assert.fail('RabbitMQ was asked for');

/** One message as a host receives it. */
interface Received {
  readonly message: ConsumeMessage;
  readonly envelopes: readonly RequestEnvelope[];
  readonly isBatch: boolean;
}

type Answer = (received: Received, reply: (body: unknown) => void) => void;

interface Responder {
  readonly exchange: string;
  readonly received: Received[];
  readonly model: ChannelModel;
  readonly channel: Channel;
}

function ok(request: RequestEnvelope, data: Json = null, mode?: CallMode): ReplyEnvelope {
  const said = mode === undefined ? {} : { mode };
  const by = { node: 'n', domain: request.domain, version: '1.0.0', generation: 1, ...said };
  return { v: 1, id: request.id, ok: true, data, by };
}

const echo: Answer = ({ envelopes, isBatch }, reply) => {
  const replies = envelopes.map((envelope) => ok(envelope, envelope.payload ?? null));
  reply(isBatch ? replies : replies[0]);
};

/** Stands in for a host: an exchange and one queue, answered by `answer`. */
async function responder(t: TestContext, answer: Answer, durableReads = false): Promise<Responder> {
  const model = await connect(url, { noDelay: true });
  t.after(() => model.close().catch(() => undefined));
  model.on('error', () => undefined);
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  const exchange = `test.${randomUUID()}`;
  await channel.assertExchange(exchange, 'topic', { autoDelete: true });
  const { queue } = await channel.assertQueue('', durableReads ? { autoDelete: true } : { exclusive: true });
  await channel.bindQueue(queue, exchange, 'cities.*');
  const received: Received[] = [];
  await channel.consume(queue, (message) => {
    if (message === null) return;
    const body = JSON.parse(message.content.toString()) as RequestEnvelope | readonly RequestEnvelope[];
    const one: Received = { message, envelopes: [body].flat(), isBatch: Array.isArray(body) };
    received.push(one);
    channel.ack(message);
    answer(one, (reply) => {
      const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string };
      channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(reply)), { correlationId });
    });
  });
  return { exchange, received, model, channel };
}

async function client(
  t: TestContext,
  options: Partial<ConnectOptions> & { readonly exchange: string },
): Promise<BedsClient> {
  const made = await connectBeds({ url, name: 'test', defaultDeadlineMs: 5_000, ...options });
  t.after(() => made.close({ drainTimeoutMs: 100 }));
  return made;
}

/** A port in front of RabbitMQ whose connections can be cut, or made to swallow what RabbitMQ sends. */
async function proxy(t: TestContext): Promise<{ readonly url: string; cut(): void; refuse: boolean }> {
  const target = new URL(url);
  const [brokerPort, brokerHost] = [Number(target.port), target.hostname];
  const sockets = new Set<Socket>();
  const state = { url: '', refuse: false, cut: (): void => sockets.forEach((socket) => socket.destroy()) };
  const server = createServer((near) => {
    if (state.refuse) {
      near.destroy();
      return;
    }
    const far = connectSocket(brokerPort, brokerHost);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    state.cut();
    server.close();
  });
  const { port } = server.address() as { port: number };
  target.hostname = '127.0.0.1';
  target.port = String(port);
  state.url = target.href;
  return state;
}

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isBedsError(error) ? error.code : String(error);
  }
  return 'resolved';
}

test('every method sends its envelope and gives back the data', async (t) => {
  const host = await responder(t, ({ envelopes }, reply) => {
    const [envelope] = envelopes as [RequestEnvelope];
    if (envelope.op !== 'fetch') reply(ok(envelope, { id: 1 }));
    else if (envelope.query?.cursor === 'two') reply(ok(envelope, [{ id: 3 }]));
    else reply({ ...ok(envelope, [{ id: 1 }, { id: 2 }]), page: { cursor: 'two' } });
  });
  const cities = (await client(t, { exchange: host.exchange })).domain('cities');
  assert.deepEqual(await cities.create({ name: 'Zug' }, { idempotencyKey: 'k', session: 's', traceparent: 't' }), {
    id: 1,
  });
  assert.deepEqual(await cities.update(7, { name: 'Zug' }), { id: 1 });
  assert.deepEqual(await cities.delete(7), { id: 1 });
  assert.deepEqual(await cities.call('totals', { country: 'CH' }, { deadlineMs: 900 }), { id: 1 });
  assert.deepEqual(await cities.fetch({ key: 7 }), { rows: [{ id: 1 }, { id: 2 }], cursor: 'two' });
  const pages = [];
  for await (const page of cities.fetchAll({ where: { country: 'CH' }, limit: 2 })) pages.push(page.rows.length);
  assert.deepEqual(pages, [2, 1]);

  const sent = host.received.map(({ envelopes: [envelope] }) => envelope as RequestEnvelope);
  assert.deepEqual(
    sent.map(({ op, payload, query, key }) => [op, payload, query, key]),
    [
      ['create', { name: 'Zug' }, undefined, undefined],
      ['update', { name: 'Zug' }, undefined, 7],
      ['delete', undefined, undefined, 7],
      ['totals', { country: 'CH' }, undefined, undefined],
      ['fetch', undefined, undefined, 7],
      ['fetch', undefined, { where: { country: 'CH' }, limit: 2 }, undefined],
      ['fetch', undefined, { where: { country: 'CH' }, limit: 2, cursor: 'two' }, undefined],
    ],
  );
  assert.deepEqual(
    { ...sent[0]?.meta, deadlineMs: 0, sentAt: 0 },
    {
      client: 'test',
      session: 's',
      traceparent: 't',
      idempotencyKey: 'k',
      deadlineMs: 0,
      sentAt: 0,
    },
  );
  assert.equal(sent[4]?.meta?.idempotencyKey, undefined);
  assert.ok((sent[3]?.meta?.deadlineMs ?? 0) <= 900 && (sent[3]?.meta?.deadlineMs ?? 0) > 500);
});

test('messages carry the properties that a host needs', async (t) => {
  const host = await responder(t, echo);
  const cities = (await client(t, { exchange: host.exchange })).domain('cities');
  await cities.create({ name: 'Zug' }, { deadlineMs: 1_000 });
  await cities.fetch({});
  const [write, read] = host.received.map(({ message }) => message);
  assert.equal(write?.fields.routingKey, 'cities.create');
  const { contentType, type, correlationId, messageId, deliveryMode, expiration, replyTo } = {
    ...write.properties,
  } as Readonly<Record<string, unknown>>;
  assert.deepEqual([contentType, type, deliveryMode], ['application/json', 'beds.request', 2]);
  assert.equal(correlationId, messageId);
  assert.equal(correlationId, host.received[0]?.envelopes[0]?.id);
  assert.match(String(replyTo), /^amq\.rabbitmq\.reply-to\./);
  assert.ok(Number(expiration) > 500 && Number(expiration) <= 1_000);
  assert.equal(read?.properties.deliveryMode, 1);
});

test('an error reply becomes an error with the code, field, hint and class of the host', async (t) => {
  const error = {
    code: 'BEDS_REQUEST_INVALID',
    message: 'No.',
    retryable: false,
    status: 'invalid',
    field: 'payload.a',
    hint: 'Mend it.',
  };
  const host = await responder(t, ({ envelopes: [envelope] }, reply) =>
    reply({ ...ok(envelope as RequestEnvelope), ok: false, error }),
  );
  const beds = await client(t, { exchange: host.exchange });
  await assert.rejects(beds.domain('cities').create({}), (thrown: unknown) => {
    assert.ok(isBedsError(thrown));
    const { code: of, message, retryable, status, field, hint, operation } = thrown;
    assert.equal(operation, 'cities.create');
    assert.deepEqual({ code: of, message, retryable, status, field, hint }, error);
    return true;
  });
  const reply = await beds.request({ v: 1, id: 'mine', domain: 'cities', op: 'create', payload: {} });
  assert.ok(!reply.ok);
  assert.equal(reply.id, 'mine');
  assert.equal(reply.by.version, '1.0.0');
});

test('calls of one turn travel in one message, bounded by count and bytes', async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange, batching: { maxCount: 10, maxBytes: 2_000 } });
  const cities = beds.domain('cities');
  const answers = await Promise.all(Array.from({ length: 25 }, (_, n) => cities.create({ n })));
  assert.deepEqual(
    answers,
    Array.from({ length: 25 }, (_, n) => ({ n })),
  );
  assert.ok(host.received.every(({ envelopes }) => envelopes.length <= 10));
  assert.ok(host.received.length < 10, `${host.received.length} messages`);
  assert.ok(host.received.every(({ message }) => message.content.byteLength <= 2_000));
  host.received.length = 0;
  const large = 'x'.repeat(3_000);
  assert.deepEqual(await Promise.all([cities.create({ large }), cities.create({ n: 1 })]), [{ large }, { n: 1 }]);
  assert.deepEqual(
    host.received.map(({ isBatch }) => isBatch),
    [false, false],
  );
  const single = await client(t, { exchange: host.exchange, batching: false });
  host.received.length = 0;
  await Promise.all([single.domain('cities').create({}), single.domain('cities').create({})]);
  assert.deepEqual(
    host.received.map(({ isBatch }) => isBatch),
    [false, false],
  );
});

test('the replies to a batch may come in any order and in several messages', async (t) => {
  const host = await responder(t, ({ envelopes }, reply) => {
    const replies = envelopes.map((envelope) => ok(envelope, envelope.payload ?? null)).toReversed();
    reply(replies[0]);
    reply(replies.slice(1, 3));
    reply('nonsense');
    reply([null, { id: 'unknown' }, ...replies.slice(3)]);
  });
  const cities = (await client(t, { exchange: host.exchange })).domain('cities');
  const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => cities.create({ n })));
  assert.deepEqual(
    answers,
    Array.from({ length: 6 }, (_, n) => ({ n })),
  );
});

test('of a batch that is refused as a whole each call is sent alone, once, and only the wrong one fails', async (t) => {
  const error = { code: 'BEDS_REQUEST_FORBIDDEN_KEY', message: 'No.', retryable: false };
  const host = await responder(t, (received, reply) => {
    const { message, envelopes } = received;
    if (envelopes.every(({ payload }) => payload?.['n'] !== 2)) echo(received, reply);
    else
      reply({ v: 1, id: message.properties.correlationId as string, ok: false, error, by: { node: 'n', domain: '' } });
  });
  const beds = await client(t, { exchange: host.exchange });
  const cities = beds.domain('cities');
  const calls = [cities.create({ n: 1 }), cities.create({ n: 2 }), cities.create({ n: 3 })];
  assert.deepEqual(await Promise.all(calls.map(code)), ['resolved', 'BEDS_REQUEST_FORBIDDEN_KEY', 'resolved']);
  assert.deepEqual(
    host.received.map(({ envelopes }) => envelopes.map(({ payload }) => payload?.['n'])),
    [[1, 2, 3], [1], [2], [3]],
  );
  assert.equal(beds.pending, 0);
});

test('what AMQP cannot carry fails at once, and holds nothing up', { timeout: 60_000 }, async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange });
  const long = 'x'.repeat(300);
  const envelope = { v: 1, id: long, domain: 'cities', op: 'fetch', query: {} } as const;
  const calls = [beds.domain(long).fetch({}), beds.domain(long).create({}), beds.request(envelope)];
  assert.deepEqual(await Promise.all(calls.map(code)), Array(3).fill('BEDS_CLIENT_REQUEST_INVALID'));
  assert.deepEqual(await beds.domain('cities').create({ n: 1 }), { n: 1 });
  assert.equal(beds.pending, 0);
});

test('names in meta are data, whatever they look like', async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange });
  const meta = { client: 'me', 'session":"victim","traceparent': 'x' };
  await beds.request({ v: 1, id: 'a', domain: 'cities', op: 'create', payload: {}, meta });
  const sent = host.received[0]?.envelopes[0]?.meta as unknown as Record<string, unknown>;
  assert.deepEqual([sent['session'], sent['session":"victim","traceparent']], [undefined, 'x']);
});

test('a domain that no queue takes is unroutable, at once', async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange });
  const started = performance.now();
  const calls = [
    beds.domain('planets').create({}),
    beds.domain('planets').create({}),
    beds.domain('planets').fetch({}),
  ];
  assert.deepEqual(await Promise.all(calls.map(code)), Array(3).fill('BEDS_CLIENT_UNROUTABLE'));
  assert.ok(performance.now() - started < 2_000);
  assert.deepEqual(await beds.domain('cities').create({ n: 1 }), { n: 1 });
  assert.equal(beds.pending, 0);
});

test('a call ends at its deadline, and a late reply is ignored', async (t) => {
  const late: (() => void)[] = [];
  const host = await responder(t, (received, reply) => late.push(() => echo(received, reply)));
  const beds = await client(t, { exchange: host.exchange });
  const started = performance.now();
  const tooLate = beds.domain('cities').create({ n: 1 }, { deadlineMs: 200 });
  await assert.rejects(tooLate, { code: 'BEDS_CLIENT_TIMEOUT', operation: 'cities.create' });
  const took = performance.now() - started;
  assert.ok(took >= 200 && took < 1_500, `${took} ms`);
  late.forEach((answer) => answer());
  const next = beds.domain('cities').create({ n: 2 });
  await once(host.channel, 'delivery');
  late.at(-1)?.();
  assert.deepEqual(await next, { n: 2 });
});

test('a call can be aborted, before and after it was sent', async (t) => {
  const host = await responder(t, () => undefined);
  const beds = await client(t, { exchange: host.exchange });
  const cities = beds.domain('cities');
  assert.equal(await code(cities.create({}, { signal: AbortSignal.abort() })), 'BEDS_CLIENT_ABORTED');
  const abort = new AbortController();
  const call = code(cities.create({}, { signal: abort.signal }));
  await once(host.channel, 'delivery');
  abort.abort();
  assert.equal(await call, 'BEDS_CLIENT_ABORTED');
  assert.equal(beds.pending, 0);
});

/** What each operation is to the host of these tests, which says so in its answers. */
const MODES: Readonly<Record<string, CallMode>> = {
  fetch: 'read',
  totals: 'read',
  update: 'idempotent',
  create: 'write',
};

/** Answers in the name of a version with those operations; `describes`: also what they are, when it is asked. */
function versioned(describes: boolean): Answer {
  return ({ envelopes, isBatch }, reply) => {
    const replies = envelopes.flatMap((envelope) => {
      if (envelope.op !== 'describe') return [ok(envelope, envelope.payload ?? null, MODES[envelope.op])];
      const operations = Object.fromEntries(Object.entries(MODES).map(([name, mode]) => [name, { mode }]));
      return describes ? [ok(envelope, { operations })] : [];
    });
    if (replies.length > 0) reply(isBatch ? replies : replies[0]);
  };
}

for (const { how, knows, describes } of [
  { how: 'what they are was said with an answer before', knows: true, describes: false },
  { how: 'no answer has said it yet, and the domain is asked', knows: false, describes: true },
]) {
  test(`reads and idempotent writes are sent again with the same id after a lost connection: ${how}`, async (t) => {
    let isSilent = false;
    const answer = versioned(describes);
    const host = await responder(t, (received, reply) => {
      if (!isSilent) answer(received, reply);
    });
    const way = await proxy(t);
    const beds = await client(t, { url: way.url, exchange: host.exchange });
    const cities = beds.domain('cities');
    if (knows) await Promise.all([cities.call('totals', {}), cities.update(3, {}), cities.create({})]);
    host.received.length = 0;
    isSilent = true;
    const read = cities.call('totals', { n: 1 });
    const repeatable = cities.update(3, { n: 2 });
    const plain = code(cities.create({ n: 3 }));
    while (host.received.length < 3) await once(host.channel, 'delivery');
    isSilent = false;
    const first = host.received.splice(0);
    way.cut();
    assert.equal(await plain, 'BEDS_CLIENT_INDETERMINATE');
    assert.deepEqual([await read, await repeatable], [{ n: 1 }, { n: 2 }]);
    const ids = (list: readonly Received[]): string[] =>
      list.flatMap(({ envelopes }) => envelopes.filter(({ op }) => op !== 'describe').map(({ id }) => id)).toSorted();
    assert.deepEqual(ids(host.received), ids(first.filter(({ envelopes }) => envelopes[0]?.op !== 'create')));
    const asked = host.received.filter(({ envelopes }) => envelopes[0]?.op === 'describe');
    assert.equal(asked.length, knows ? 0 : 1, 'a domain is asked once for all');
    assert.ok(beds.isConnected);
  });
}

test('what nobody says of an operation makes it a write', async (t) => {
  let isSilent = true;
  const host = await responder(t, (received, reply) => {
    if (!isSilent && received.envelopes[0]?.op !== 'describe') echo(received, reply);
  });
  const way = await proxy(t);
  const cities = (await client(t, { url: way.url, exchange: host.exchange })).domain('cities');
  const lost = code(cities.call('totals', {}));
  await once(host.channel, 'delivery');
  isSilent = false;
  way.cut();
  assert.equal(await lost, 'BEDS_CLIENT_INDETERMINATE');
});

test('a write that only one of two versions declares idempotent is not sent again', async (t) => {
  const modes: (CallMode | undefined)[] = ['write', 'idempotent', undefined];
  const host = await responder(t, ({ envelopes: [envelope] }, reply) => {
    const mode = modes.shift();
    if (mode !== undefined) reply(ok(envelope as RequestEnvelope, {}, mode));
  });
  const way = await proxy(t);
  const cities = (await client(t, { url: way.url, exchange: host.exchange })).domain('cities');
  await cities.update(1, {});
  await cities.update(1, {});
  const lost = code(cities.update(1, {}));
  await once(host.channel, 'delivery');
  way.cut();
  assert.equal(await lost, 'BEDS_CLIENT_INDETERMINATE');
  assert.equal(host.received.length, 3);
});

test('reads travel without confirms and unkept, once their domain has said that they are reads', async (t) => {
  const host = await responder(t, versioned(false));
  const cities = (await client(t, { exchange: host.exchange })).domain('cities');
  for (let time = 0; time < 2; time += 1) await cities.call('totals', {});
  const kept = host.received.map(({ message }) => message.properties.deliveryMode as unknown);
  assert.deepEqual(kept, [2, 1]);
});

test('an operation is a method of its domain, and a domain a member of the client', async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange });
  const { cities } = beds as unknown as {
    cities: Record<string, (input?: object, options?: object) => Promise<unknown>>;
  };
  assert.equal(cities, (beds as unknown as Record<string, unknown>)['cities']);
  assert.deepEqual(await cities['largestOf']?.({ country: 'CH' }, { deadlineMs: 2_000 }), { country: 'CH' });
  assert.equal(await cities['count']?.(), null);
  const sent = host.received.map(({ message, envelopes }) => [message.fields.routingKey, envelopes[0]?.payload]);
  assert.deepEqual(sent, [
    ['cities.largestOf', { country: 'CH' }],
    ['cities.count', undefined],
  ]);
  // Neither is taken for a promise, nor for something that writes itself as JSON.
  assert.equal(await (cities as unknown), cities);
  assert.equal(JSON.stringify({ cities }), '{"cities":{}}');
  assert.equal((beds as unknown as Record<string, unknown>)['notADomain'], undefined);
  assert.equal(Object.prototype.toString.call(beds), '[object Object]');
});

test('calls made without a connection wait for it, and fail as not carried out when it does not come', async (t) => {
  const host = await responder(t, echo);
  const way = await proxy(t);
  const beds = await client(t, { url: way.url, exchange: host.exchange });
  way.refuse = true;
  way.cut();
  while (beds.isConnected) await new Promise((resolve) => setImmediate(resolve));
  const tooShort = code(beds.domain('cities').create({ n: 1 }, { deadlineMs: 50 }));
  const patient = beds.domain('cities').create({ n: 2 });
  assert.equal(await tooShort, 'BEDS_CLIENT_UNAVAILABLE');
  way.refuse = false;
  assert.deepEqual(await patient, { n: 2 });
  assert.equal(host.received.length, 1);
});

test('no promise hangs and nothing is thrown when the connection is cut again and again', async (t) => {
  const way = await proxy(t);
  let messages = 0;
  let cuts = 0;
  // Cut when a message has come through: the link is up then and a call is under way, however slow the machine is.
  const host = await responder(t, (received, reply) => {
    messages += 1;
    if (messages % 8 === 0) {
      cuts += 1;
      way.cut();
    }
    echo(received, reply);
  });
  const beds = await client(t, { url: way.url, exchange: host.exchange, defaultDeadlineMs: 30_000 });
  const cities = beds.domain('cities');
  const outcomes = new Map<string, number>();
  const work = Array.from({ length: 20 }, async (_, n) => {
    for (let round = 0; round < 30; round += 1) {
      const outcome = await code(n % 2 === 0 ? cities.fetch({}) : cities.create({ n }));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  });
  await Promise.all(work);
  assert.ok(cuts >= 4, `${String(cuts)} cuts in ${String(messages)} messages`);
  const all = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(all, 600);
  const expected = ['resolved', 'BEDS_CLIENT_INDETERMINATE', 'BEDS_CLIENT_UNAVAILABLE'];
  assert.deepEqual(
    [...outcomes.keys()].filter((outcome) => !expected.includes(outcome)),
    [],
  );
  assert.ok((outcomes.get('resolved') ?? 0) > 300, JSON.stringify([...outcomes]));
});

test('close waits for calls under way, fails the rest, and takes no more', async (t) => {
  const answers: (() => void)[] = [];
  const host = await responder(t, (received, reply) => answers.push(() => echo(received, reply)));
  const beds = await client(t, { exchange: host.exchange });
  const cities = beds.domain('cities');
  const answered = cities.create({ n: 1 });
  await once(host.channel, 'delivery');
  const closing = beds.close();
  assert.equal(beds.close(), closing);
  assert.equal(await code(cities.create({})), 'BEDS_CLIENT_CLOSED');
  answers.forEach((answer) => answer());
  assert.deepEqual(await answered, { n: 1 });
  await closing;
  const impatient = await client(t, { exchange: host.exchange });
  const [write, read] = [impatient.domain('cities').create({}), impatient.domain('cities').fetch({})].map(code);
  await once(host.channel, 'delivery');
  await impatient.close({ drainTimeoutMs: 50 });
  assert.equal(await write, 'BEDS_CLIENT_INDETERMINATE');
  assert.equal(await read, 'BEDS_CLIENT_CLOSED');
});

test('wrong options, a refused account and a missing broker or exchange are said without the password', async (t) => {
  const wrong = new URL(url);
  wrong.password = 'hunter2hunter2';
  const outcome = async (options: Partial<ConnectOptions>): Promise<string> => {
    try {
      const made = await connectBeds({ url, name: 'test', connectTimeoutMs: 4_000, ...options });
      t.after(() => made.close());
      return 'connected';
    } catch (error) {
      assert.ok(isBedsError(error));
      assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /hunter2/);
      return `${error.code} ${error.message}`;
    }
  };
  assert.match(await outcome({ url: 'http://127.0.0.1' }), /^BEDS_CLIENT_OPTIONS_INVALID url/);
  assert.match(await outcome({ name: '' }), /^BEDS_CLIENT_OPTIONS_INVALID name/);
  const started = performance.now();
  assert.match(await outcome({ url: wrong.href }), /^BEDS_CLIENT_UNAVAILABLE .*ACCESS.REFUSED/);
  assert.ok(performance.now() - started < 3_500, 'a refused account is not tried again');
  const missing = { exchange: `missing.${randomUUID()}`, connectTimeoutMs: 1_000 };
  assert.match(await outcome(missing), /^BEDS_CLIENT_UNAVAILABLE .*NOT.FOUND/);
  const closedPort = new URL(url);
  closedPort.port = '1';
  assert.match(
    await outcome({ url: closedPort.href, connectTimeoutMs: 500 }),
    /^BEDS_CLIENT_UNAVAILABLE .*ECONNREFUSED/,
  );
});

test('a broker that accepts and never answers is given up after the timeout', async (t) => {
  const server = createServer((socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const started = performance.now();
  const mute = connectBeds({ url: `amqp://127.0.0.1:${port}`, name: 'test', connectTimeoutMs: 500 });
  assert.equal(await code(mute), 'BEDS_CLIENT_UNAVAILABLE');
  assert.ok(performance.now() - started < 3_500);
});

test('input that is not JSON, an id in use and a senseless deadline reject the call', async (t) => {
  const host = await responder(t, echo);
  const beds = await client(t, { exchange: host.exchange });
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  const cities = beds.domain('cities');
  assert.equal(await code(cities.create(cycle as never)), 'BEDS_CLIENT_REQUEST_INVALID');
  assert.equal(await code(cities.create({}, { deadlineMs: 0 })), 'BEDS_CLIENT_REQUEST_INVALID');
  class Point {
    readonly x = 1;
  }
  const wrong: readonly (readonly [value: unknown, field: string, what: RegExp])[] = [
    [{ n: NaN }, 'payload.n', /NaN/],
    [{ a: { list: [1, -Infinity] } }, 'payload.a.list[1]', /-Infinity/],
    [{ n: 1n }, 'payload.n', /decimal text/],
    [{ at: new Date() }, 'payload.at', /toISOString/],
    [{ bytes: Buffer.from('x') }, 'payload.bytes', /base64/],
    [{ bytes: new Uint8Array(2) }, 'payload.bytes', /base64/],
    [{ at: new Point() }, 'payload.at', /class/],
    [{ seen: new Map() }, 'payload.seen', /class/],
    [{ list: [undefined] }, 'payload.list[0]', /undefined/],
    [{ run: () => 1 }, 'payload.run', /function/],
    [{ mark: Symbol('x') }, 'payload.mark', /symbol/],
  ];
  for (const [value, field, what] of wrong) {
    await assert.rejects(cities.create(value as never), { code: 'BEDS_CLIENT_REQUEST_INVALID', field, message: what });
  }
  await assert.rejects(cities.fetch({ where: { at: new Date() as never } }), { field: 'query.where.at' });
  // What JSON leaves out of a filter makes it find more.
  for (const [query, field] of [
    [{ where: { country: undefined } }, 'query.where.country'],
    [{ where: { area: { gt: undefined, lt: 5 } } }, 'query.where.area'],
    [{ or: [{ where: { a: 1 } }, { not: { where: { b: undefined } } }] }, 'query.or[1].not.where.b'],
  ] as const) {
    await assert.rejects(cities.fetch(query as never), {
      code: 'BEDS_CLIENT_REQUEST_INVALID',
      field,
      message: /undefined/,
    });
  }
  await assert.rejects(cities.delete(NaN), { field: 'key' });
  assert.equal(host.received.length, 0);
  const plain = { absent: undefined, none: null, text: 'x', list: [{ n: 1.5 }], ...(Object.create(null) as object) };
  assert.deepEqual(await cities.create(plain as never), { none: null, text: 'x', list: [{ n: 1.5 }] });
  const envelope = { v: 1, id: 'twice', domain: 'cities', op: 'create', payload: {} } as const;
  const first = beds.request(envelope);
  assert.equal(await code(beds.request(envelope)), 'BEDS_CLIENT_REQUEST_INVALID');
  assert.ok((await first).ok);
});
