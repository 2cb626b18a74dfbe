import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { connect } from 'amqplib';
import { isBedsError } from '@beds/sdk';
import type { RequestEnvelope } from '#sdk/template';
import { connectBeds, type BedsClient, type ConnectOptions } from '@beds/sdk/client';
import type { RequestPipeline } from '../sdk/client/request-pipeline.js';
import type { Target } from '../sdk/client/target.js';
import { eventually } from './support/eventually.js';
import { sharedServices } from './support/services.js';
import { StallingProxy } from './support/stalling-proxy.js';

/** n.b. these are not behind a door of the SDK, so they are taken from where the SDK is compiled to. */
const TARGET = new URL('../../sdk/dist/client/target.js', import.meta.url).href;
const PIPELINE = new URL('../../sdk/dist/client/request-pipeline.js', import.meta.url).href;

const { rabbitmq } = await sharedServices(['rabbitmq']);
const url = rabbitmq?.url ?? assert.fail('RabbitMQ was asked for');

interface Host {
  readonly exchange: string;
  /** Envelopes that came, in order. */
  readonly received: RequestEnvelope[];
  /** `beds-sent-at` of the messages that they came in. */
  readonly stamps: unknown[];
}

/** Stands in for a host: answers every request with `data`. */
async function answering(t: TestContext, data: unknown = null): Promise<Host> {
  const model = await connect(url, { noDelay: true });
  t.after(() => model.close().catch(() => undefined));
  const channel = await model.createChannel();
  const exchange = `test.${randomUUID()}`;
  await channel.assertExchange(exchange, 'topic', { autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, exchange, 'cities.*');
  const received: RequestEnvelope[] = [];
  const stamps: unknown[] = [];
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string };
      const envelopes = [JSON.parse(message.content.toString()) as RequestEnvelope].flat();
      received.push(...envelopes);
      stamps.push((message.properties.headers as Record<string, unknown> | undefined)?.['beds-sent-at']);
      const by = { node: 'n', domain: 'cities' };
      const replies = envelopes.map(({ id }) => ({ v: 1, id, ok: true, data, by }));
      channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(replies)), { correlationId });
    },
    { noAck: true },
  );
  return { exchange, received, stamps };
}

async function client(t: TestContext, options: Partial<ConnectOptions>): Promise<BedsClient> {
  const made = await connectBeds({ url, name: 'test', defaultDeadlineMs: 5_000, ...options });
  t.after(() => made.close({ drainTimeoutMs: 100 }));
  return made;
}

async function failureOf(
  work: Promise<unknown>,
): Promise<{ code: string; field?: string | undefined; retryable: boolean }> {
  try {
    await work;
  } catch (error) {
    assert.ok(isBedsError(error), String(error));
    return { code: error.code, field: error.field, retryable: error.retryable };
  }
  throw new assert.AssertionError({ message: 'it was answered' });
}

test('a deadline that is none is refused before anything is sent, and harms no other call', async (t) => {
  const host = await answering(t);
  const beds = await client(t, { exchange: host.exchange });
  const cities = beds.domain('cities');
  const wrong = [Infinity, -Infinity, NaN, 0, -1, 1e13, 2 ** 32, '5000' as unknown as number];
  const beside = cities.create({ n: 1 });
  for (const deadlineMs of wrong) {
    const { code, field } = await failureOf(cities.create({}, { deadlineMs }));
    assert.deepEqual([code, field], ['BEDS_CLIENT_REQUEST_INVALID', 'deadlineMs'], String(deadlineMs));
    await assert.rejects(connectBeds({ url, name: 'test', exchange: host.exchange, defaultDeadlineMs: deadlineMs }), {
      code: 'BEDS_CLIENT_OPTIONS_INVALID',
      field: 'defaultDeadlineMs',
    });
    const meta = { client: 'c', deadlineMs };
    const envelope = { v: 1, id: 'e', domain: 'cities', op: 'create', payload: {}, meta } as const;
    assert.equal((await failureOf(beds.request(envelope))).field, 'deadlineMs');
  }
  await beside;
  await cities.create({ n: 2 }, { deadlineMs: 2 ** 32 - 1 });
  await cities.create({ n: 3 }, { deadlineMs: 4_999.5 });
  assert.equal(host.received.length, 3);
});

test('what names no key, or what an envelope does not have, is refused instead of left out', async (t) => {
  const host = await answering(t);
  const beds = await client(t, { exchange: host.exchange });
  const cities = beds.domain('cities') as unknown as { fetch(query: object): Promise<unknown> };
  assert.equal((await failureOf(cities.fetch({ key: undefined }))).field, 'key');
  const envelope = { v: 1, id: 'e', domain: 'cities', op: 'fetch' } as const;
  for (const more of [{ querry: {} }, { Query: {} }, { v: 2 }]) {
    const { code, field } = await failureOf(beds.request({ ...envelope, ...more } as unknown as RequestEnvelope));
    assert.deepEqual([code, field], ['BEDS_CLIENT_REQUEST_INVALID', Object.keys(more)[0]]);
  }
  assert.equal(host.received.length, 0);
  // The host refuses it: a key excludes a query.
  await cities.fetch({ key: 1, where: { id: 2 } }).catch(() => undefined);
  assert.deepEqual(host.received[0]?.query, { where: { id: 2 } });
});

test('a call says when it was made, also when it waited for a connection and when it is sent again', async (t) => {
  const host = await answering(t);
  const proxy = await StallingProxy.start(t, url);
  const beds = await client(t, { url: proxy.url, exchange: host.exchange });
  proxy.stall();
  proxy.cut();
  await eventually('the connection is lost', () => !beds.isConnected);
  const madeAt = Date.now();
  const call = beds.domain('cities').create({}, { deadlineMs: 20_000 });
  await new Promise((resolve) => setTimeout(resolve, 600));
  proxy.resume();
  proxy.cut();
  await call;
  const meta = host.received[0]?.meta;
  assert.equal(meta?.deadlineMs, 20_000);
  assert.ok(Math.abs((meta.sentAt ?? 0) - madeAt) < 100, `${String(meta.sentAt)} ${String(madeAt)}`);
});

test('a link that is full makes no messages of what has to wait', async () => {
  let room = 3;
  let inVain = 0;
  const sink = {
    get isReady() {
      return room > 0;
    },
    publish: () => {
      if (room === 0) inVain += 1;
      return room > 0 && (room -= 1) >= 0;
    },
  };
  const loaded = (await import(PIPELINE)) as { readonly RequestPipeline: typeof RequestPipeline };
  const { Target: OfTarget } = (await import(TARGET)) as { readonly Target: typeof Target };
  const target = new OfTarget('cities', 'fetch');
  const options = { maxCount: 10, maxBytes: 100_000, retries: 0, ask: () => Promise.resolve() };
  const pipeline = new loaded.RequestPipeline(sink, options);
  const calls = Array.from({ length: 500 }, (_, n) =>
    failureOf(
      pipeline.submit({
        ...{ id: String(n), target, head: target.head, meta: '', deadlineMs: 60_000 },
        ...{ caller: undefined, signal: undefined, take: () => undefined },
      }),
    ),
  );
  for (let drain = 0; drain < 5; drain += 1) {
    await new Promise(setImmediate);
    room = 3;
    pipeline.up();
  }
  assert.equal(inVain, 0);
  await pipeline.drain(1);
  assert.equal((await Promise.all(calls)).length, 500);
});

test('calls that travel together are as old as their message says, except for one that waited or says so itself', async (t) => {
  const host = await answering(t);
  const proxy = await StallingProxy.start(t, url);
  const beds = await client(t, { url: proxy.url, exchange: host.exchange });
  const cities = beds.domain('cities');
  proxy.stall();
  proxy.cut();
  await eventually('the connection is lost', () => !beds.isConnected);
  const madeAt = Date.now();
  const waited = cities.create({ waited: true });
  const own = beds.request({ v: 1, id: 'own', domain: 'cities', op: 'create', meta: { client: 'c', sentAt: 5 } });
  await new Promise((resolve) => setTimeout(resolve, 600));
  proxy.resume();
  proxy.cut();
  await Promise.all([waited, own]);
  // The message is as old as its oldest call.
  assert.ok(Math.abs(Number(host.received[0]?.meta?.sentAt ?? host.stamps[0]) - madeAt) < 100);
  assert.equal(host.received[1]?.meta?.sentAt, 5);
  for (const list of [host.received, host.stamps]) list.length = 0;
  const before = Date.now();
  await Promise.all(Array.from({ length: 3 }, () => cities.create({})));
  assert.deepEqual(
    host.received.map(({ meta }) => meta?.sentAt),
    [undefined, undefined, undefined],
  );
  const [stamp, ...others] = host.stamps;
  assert.ok(typeof stamp === 'number' && stamp >= before && stamp <= Date.now(), String(stamp));
  assert.deepEqual(others, []);
  // One that travels alone says it itself.
  await cities.create({});
  assert.ok((host.received[3]?.meta?.sentAt ?? 0) >= stamp);
  assert.equal(host.stamps[1], undefined);
});

test(
  'nothing is sent after its deadline into a connection that took nothing for a while',
  { timeout: 240_000 },
  async (t) => {
    const host = await answering(t);
    const proxy = await StallingProxy.start(t, url);
    const beds = await client(t, { url: proxy.url, exchange: host.exchange, batching: false });
    const cities = beds.domain('cities');
    await cities.create({});
    host.received.length = 0;
    proxy.stall();
    const text = 'x'.repeat(20_000);
    const failures = await Promise.all(
      Array.from({ length: 2_000 }, () => failureOf(cities.create({ text }, { deadlineMs: 1_000 }))),
    );
    const unsent = failures.filter(({ code, retryable }) => code === 'BEDS_CLIENT_UNAVAILABLE' && retryable).length;
    const unsure = failures.filter(({ code, retryable }) => code === 'BEDS_CLIENT_TIMEOUT' && !retryable).length;
    assert.equal(unsent + unsure, failures.length);
    assert.ok(unsent > 0, 'nobody noticed that the socket takes nothing');
    proxy.resume();
    await cities.create({ last: true }, { deadlineMs: 20_000 });
    const late = host.received.slice(0, -1);
    assert.ok(late.length <= unsure, `${late.length} came of ${unsure}`);
    const now = Date.now();
    assert.ok(
      late.every(
        ({ meta }) => (meta?.sentAt ?? 0) + (meta?.deadlineMs ?? 0) < now,
        'a host can tell that they are late',
      ),
    );
  },
);

test('a reply that is in the socket counts, however long the program was busy itself', async (t) => {
  const host = await answering(t, 'x'.repeat(457_000));
  const beds = await client(t, { exchange: host.exchange });
  const call = beds.domain('cities').fetch({}, { deadlineMs: 600 });
  await eventually('it was sent', () => host.received.length === 1);
  const untilMs = Date.now() + 1_500;
  while (Date.now() < untilMs);
  assert.equal((await call).rows.length, 457_000);
});

test('a read, and a write that may run twice, are retryable after a timeout; another write is not', async (t) => {
  const model = await connect(url);
  t.after(() => model.close());
  const channel = await model.createChannel();
  const exchange = `test.${randomUUID()}`;
  await channel.assertExchange(exchange, 'topic', { autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, exchange, 'cities.*');
  const beds = await client(t, { exchange, defaultDeadlineMs: 100 });
  const cities = beds.domain('cities');
  // The first message of `update` is answered by a version that declares it idempotent.
  await channel.consume(queue, (message) => {
    if (message?.fields.routingKey !== 'cities.update' || answered > 0) return;
    answered += 1;
    const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string };
    const reply = {
      v: 1,
      id: correlationId,
      ok: true,
      data: {},
      by: { node: 'n', domain: 'cities', mode: 'idempotent' },
    };
    channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(reply)), { correlationId });
  });
  let answered = 0;
  await cities.update(1, {}, { deadlineMs: 5_000 });
  const timeouts = [cities.fetch({}), cities.update(1, {}), cities.create({})].map(failureOf);
  const found = (await Promise.all(timeouts)).map(({ code, retryable }) => [code, retryable]);
  assert.deepEqual(found, [
    ['BEDS_CLIENT_TIMEOUT', true],
    ['BEDS_CLIENT_TIMEOUT', true],
    ['BEDS_CLIENT_TIMEOUT', false],
  ]);
});
