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

type Message = readonly [exchange: string, key: string, content: Buffer, options: Options.Publish];

/** Sends as amqplib's channels do, over a connection that keeps what it is given. */
function sender(isCoalesced: boolean): (message: Message) => string {
  const { Connection } = require(join(AMQPLIB, 'connection.js')) as {
    readonly Connection: {
      readonly prototype: Readonly<Record<'sendMessage' | 'sendContent', (...args: unknown[]) => unknown>>;
    };
  };
  const { publish } = require(join(AMQPLIB, 'api_args.js')) as { readonly publish: (...args: unknown[]) => unknown };
  const { BasicPublish, BasicProperties } = require(join(AMQPLIB, 'defs.js')) as Readonly<Record<string, number>>;
  const chunks: Buffer[] = [];
  const write = (chunk: Buffer): boolean => chunks.push(chunk) > 0;
  const { sendMessage, sendContent } = Connection.prototype;
  let drained = (): void => undefined;
  const on = (_event: string, listener: () => void): void => void (drained = listener);
  const stream = { on, cork: () => undefined, uncork: () => undefined, writable: true, write };
  const connection = {
    ...{ sendMessage, sendContent, stream, frameMax: 131_072, muxer: { unpipeFrom: () => undefined } },
    channels: [null, { buffer: { write } }],
    freshChannel: () => 1,
    sentSinceLastCheck: false,
  };
  if (isCoalesced) coalesceWrites({ connection } as unknown as ChannelModel);
  connection.freshChannel();
  return ([exchange, key, content, options]) => {
    chunks.length = 0;
    connection.sentSinceLastCheck = false;
    try {
      const fields = publish(exchange, key, options);
      connection.sendMessage(1, BasicPublish, fields, BasicProperties, fields, content);
    } catch (error) {
      return String(error);
    }
    drained();
    return `${String(connection.sentSinceLastCheck)} ${Buffer.concat(chunks).toString('latin1')}`;
  };
}

it('writes each message as amqplib does, to the byte', () => {
  const [ours, theirs] = [sender(true), sender(false)];
  const name = fc.oneof(
    fc.string({ maxLength: 40, unit: 'binary-ascii' }),
    fc.string({ maxLength: 20, unit: 'binary' }),
    fc.constantFrom('x'.repeat(255), 'x'.repeat(256), 'é'.repeat(127), 'é'.repeat(128), '\u007f', '\u0080'),
  );
  const usual = {
    ...{ contentType: name, correlationId: name, replyTo: name, messageId: name, type: name, userId: name },
    ...{ expiration: fc.oneof(name, fc.nat()), mandatory: fc.boolean(), persistent: fc.boolean() },
  };
  const others = {
    ...{ contentEncoding: name, appId: name, priority: fc.nat(255), timestamp: fc.nat(), CC: name },
    ...{ deliveryMode: fc.constantFrom(1, 2), headers: fc.dictionary(fc.string({ maxLength: 5 }), fc.nat()) },
  };
  const options = fc.oneof(
    fc.record(usual, { requiredKeys: [] }),
    fc.record({ ...usual, ...others }, { requiredKeys: [] }),
  );
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.constantFrom(...[2_000, 16_300, 16_384, 300_000].map((size) => new Uint8Array(size))),
  );
  const message = fc.tuple(
    name,
    name,
    content.map(Buffer.from),
    options.map((given) => given as Options.Publish),
  );
  const property = fc.property(message, (sent) => assert.equal(ours(sent), theirs(sent)));
  fc.assert(property, { numRuns: 2_000 });
});
