import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { ChannelModel } from 'amqplib';
import { AmqpConnection } from '../host/amqp/connection.js';
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
