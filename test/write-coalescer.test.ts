import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { ChannelModel, Options } from 'amqplib';
import fc from 'fast-check';
import { AmqpConnection } from '../host/amqp/connection.js';
import type * as Coalescing from '../sdk/amqp/write-coalescer.js';
import { sharedServices } from './support/services.js';

type Write = (this: unknown, ...args: unknown[]) => void;

const SETTINGS = { connectTimeoutMs: 5_000, heartbeatSeconds: 5, reconnectMinMs: 10, reconnectMaxMs: 100 } as const;

function connected(t: TestContext, url: string): Promise<ChannelModel> {
  return new Promise((resolve) => {
    const connection = new AmqpConnection({ ...SETTINGS, url, name: 'test' }, async (model) => resolve(model));
    t.after(() => connection.close(2_000));
    connection.start();
  });
}

describe('a connection of the host', async () => {
  const { rabbitmq } = await sharedServices(['rabbitmq']);

  it('writes the frames of one turn together', async (t) => {
    assert.ok(rabbitmq);
    const model = await connected(t, rabbitmq.url);
    const channels = [await model.createConfirmChannel(), await model.createConfirmChannel()];
    const { queue } = await model.createChannel().then((channel) => channel.assertQueue('', { exclusive: true }));
    // n.b. what the operating system is asked: amqplib's own calls of `write` are as many as before.
    const { stream } = model.connection as unknown as { readonly stream: Socket };
    const socket = stream as unknown as { _write: Write; _writev: Write };
    let writes = 0;
    for (const name of ['_write', '_writev'] as const) {
      const original = socket[name];
      socket[name] = function (...args) {
        writes += 1;
        original.apply(this, args);
      };
    }
    for (let n = 0; n < 50; n++) channels[n % 2]?.sendToQueue(queue, Buffer.from(String(n)));
    await Promise.all(channels.map((channel) => channel.waitForConfirms()));
    assert.ok(writes >= 1 && writes <= 4, `50 messages took ${String(writes)} writes`);
    assert.equal((await channels[0]?.checkQueue(queue))?.messageCount, 50);
  });

  it('carries more than the socket takes at once, in order', async (t) => {
    assert.ok(rabbitmq);
    const model = await connected(t, rabbitmq.url);
    const channel = await model.createConfirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const large = Buffer.alloc(100_000, 'x');
    for (let n = 0; n < 100; n++) channel.sendToQueue(queue, large, { messageId: String(n) });
    await channel.waitForConfirms();
    for (let n = 0; n < 100; n++) {
      const message = await channel.get(queue, { noAck: true });
      assert.ok(message !== false);
      assert.equal(message.properties.messageId, String(n));
      assert.equal(message.content.length, large.length);
    }
  });
});

const require = createRequire(import.meta.url);
const AMQPLIB = join(dirname(require.resolve('amqplib')), 'lib');
const COALESCING = new URL('../../sdk/dist/amqp/write-coalescer.js', import.meta.url).href;
const { coalesceWrites } = (await import(COALESCING)) as typeof Coalescing;

interface Lib {
  readonly connection: {
    readonly Connection: { readonly prototype: Readonly<Record<Method, (...args: never[]) => unknown>> };
  };
  readonly api_args: { readonly publish: (...args: readonly unknown[]) => unknown };
  readonly defs: Readonly<Record<'BasicPublish' | 'BasicProperties' | 'BasicDeliver' | 'BasicAck', number>> & {
    readonly encodeMethod: (method: number, channel: number, fields: object) => Buffer;
    readonly encodeProperties: (
      ...args: readonly [method: number, channel: number, size: number, fields: object]
    ) => Buffer;
  };
  readonly frame: {
    readonly makeBodyFrame: (channel: number, content: Buffer) => Buffer;
    readonly HEARTBEAT_BUF: Buffer;
  };
}
type Method = 'sendMessage' | 'sendContent' | 'recvFrame';

/** A part of amqplib that is its own. */
function amqplib<Name extends keyof Lib>(name: Name): Lib[Name] {
  return require(join(AMQPLIB, `${name}.js`)) as Lib[Name];
}

const MOST_FRAME_BYTES = 131_072;

/** A connection of amqplib, or such a one with our changes, between chunks that come and chunks that were written. */
function connectionOf(isOurs: boolean, frameMax = MOST_FRAME_BYTES) {
  const { sendMessage, sendContent, recvFrame } = amqplib('connection').Connection.prototype;
  const written: Buffer[] = [];
  const incoming: Buffer[] = [];
  const write = (chunk: Buffer): boolean => written.push(chunk) > 0;
  let drained = (): void => undefined;
  const on = (_event: string, listener: () => void): void => void (drained = listener);
  const nothing = (): void => undefined;
  const stream = { on, cork: nothing, uncork: nothing, writable: true, write, read: () => incoming.shift() ?? null };
  const connection = {
    ...{ sendMessage, sendContent, recvFrame, stream, rest: Buffer.alloc(0), muxer: { unpipeFrom: nothing } },
    ...{ frameMax, maxFrameSize: MOST_FRAME_BYTES, channels: [null, { buffer: { write } }] },
    ...{ freshChannel: () => 1, sentSinceLastCheck: false, recvSinceLastCheck: false },
  };
  if (isOurs) coalesceWrites({ connection } as unknown as ChannelModel);
  connection.freshChannel();
  return { connection, written, incoming, drained: () => drained() };
}

type Message = readonly [exchange: string, key: string, content: Buffer, options: Options.Publish];

/** What is written for a message. */
function sender(isOurs: boolean, frameMax: number): (message: Message) => string {
  const { connection, written, drained } = connectionOf(isOurs, frameMax);
  const send = (...args: readonly unknown[]): unknown =>
    (connection.sendMessage as (...args: unknown[]) => unknown)(...args);
  const { BasicPublish, BasicProperties } = amqplib('defs');
  return ([exchange, key, content, options]) => {
    written.length = 0;
    connection.sentSinceLastCheck = false;
    try {
      const fields = amqplib('api_args').publish(exchange, key, options);
      send.call(connection, 1, BasicPublish, fields, BasicProperties, fields, content);
    } catch (error) {
      return String(error);
    }
    drained();
    return `${String(connection.sentSinceLastCheck)} ${Buffer.concat(written).toString('latin1')}`;
  };
}

const text = fc.oneof(
  fc.string({ maxLength: 40, unit: 'binary-ascii' }),
  fc.string({ maxLength: 20, unit: 'binary' }),
  fc.constantFrom('x'.repeat(255), 'é'.repeat(127), '\u007f', '\u0080', 'application/json', 'records.fetch'),
);
const texts = { contentType: text, correlationId: text, replyTo: text, messageId: text, type: text, userId: text };
const others = { contentEncoding: text, appId: text, priority: fc.nat(255), timestamp: fc.nat() };
const headers = fc.dictionary(fc.string({ maxLength: 5 }), fc.nat());

it('writes each message as amqplib does, to the byte', () => {
  const name = fc.oneof(text, fc.constantFrom('x'.repeat(256), 'é'.repeat(128)));
  const usual = {
    ...texts,
    type: name,
    expiration: fc.oneof(name, fc.nat()),
    mandatory: fc.boolean(),
    persistent: fc.boolean(),
  };
  const more = { ...others, deliveryMode: fc.constantFrom(1, 2), headers, CC: text };
  const options = fc.oneof(
    fc.record(usual, { requiredKeys: [] }),
    fc.record({ ...usual, ...more }, { requiredKeys: [] }),
  );
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.constantFrom(...[2_000, 4_088, 4_089, 16_300, 16_384, 300_000].map((size) => new Uint8Array(size))),
  );
  const message = fc.tuple(
    name,
    name,
    content.map((bytes) => Buffer.from(bytes)),
    options.map((given) => given as Options.Publish),
  );
  for (const frameMax of [4_096, MOST_FRAME_BYTES]) {
    const [ours, theirs] = [sender(true, frameMax), sender(false, frameMax)];
    const property = fc.property(message, (sent) => assert.equal(ours(sent), theirs(sent)));
    fc.assert(property, { numRuns: 2_000 });
  }
});

/** All frames that are read from the chunks, and how that ends. */
function framesIn(isOurs: boolean, chunks: readonly Buffer[]): readonly unknown[] {
  const { connection, incoming } = connectionOf(isOurs);
  const frames: unknown[] = [];
  for (const chunk of chunks) {
    incoming.push(chunk);
    try {
      let frame: unknown;
      do frames.push((frame = connection.recvFrame()));
      while (frame !== false);
    } catch (error) {
      return [...frames, String(error)];
    }
  }
  return [...frames, connection.recvSinceLastCheck];
}

it('reads what amqplib reads, in whatever pieces it comes', () => {
  const { encodeMethod, encodeProperties, BasicDeliver, BasicAck, BasicProperties } = amqplib('defs');
  const { makeBodyFrame, HEARTBEAT_BUF } = amqplib('frame');
  const fields = fc.record({
    consumerTag: text,
    deliveryTag: fc.nat(),
    redelivered: fc.boolean(),
    exchange: text,
    routingKey: text,
  });
  const properties = fc.oneof(
    fc.record(
      { ...texts, expiration: text, deliveryMode: fc.constantFrom(1, 2), headers: fc.constant({}) },
      { requiredKeys: [] },
    ),
    fc.record({ ...texts, ...others, headers }, { requiredKeys: [] }),
  );
  const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  const delivery = fc
    .tuple(fields, properties, content, fc.nat(9))
    .map(([method, given, body, channel]) =>
      Buffer.concat([
        encodeMethod(BasicDeliver, channel, method),
        encodeProperties(BasicProperties, channel, body.length, given),
        makeBodyFrame(channel, body),
      ]),
    );
  const ack = fc.nat().map((deliveryTag) => encodeMethod(BasicAck, 1, { deliveryTag, multiple: true }));
  const tooLarge = Buffer.from([3, 0, 1, 0x7f, 0, 0, 0, 0]);
  const sent = fc.array(
    fc.oneof({ weight: 8, arbitrary: delivery }, ack, fc.constant(HEARTBEAT_BUF), fc.constant(tooLarge)),
    { maxLength: 8 },
  );
  const damage = fc.option(fc.tuple(fc.nat(), fc.nat(255)), { freq: 3 });
  const property = fc.property(sent, damage, fc.array(fc.integer({ min: 1, max: 300 })), (parts, change, sizes) => {
    const bytes = Buffer.concat(parts);
    if (change !== null && bytes.length > 0) bytes[change[0] % bytes.length] = change[1];
    const chunks: Buffer[] = [];
    let at = 0;
    for (const size of [...sizes, bytes.length]) {
      if (at < bytes.length) chunks.push(Buffer.from(bytes.subarray(at, at + size)));
      at += size;
    }
    assert.deepEqual(framesIn(true, chunks), framesIn(false, chunks));
  });
  fc.assert(property, { numRuns: 2_000 });
});
