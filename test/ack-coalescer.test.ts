import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect, type ConsumeMessage } from 'amqplib';
import { AckCoalescer, type Settler } from '../host/amqp/queue-consumer.js';
import { eventually } from './support/eventually.js';
import { sharedServices } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);

function message(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage;
}

/** Joined acknowledgements, and the frames that they become: `ack 3+` is one with `multiple`. */
function record(): { acks: AckCoalescer; frames: string[] } {
  const frames: string[] = [];
  const tag = ({ fields }: { readonly fields: { readonly deliveryTag: number } }): string => String(fields.deliveryTag);
  const channel: Settler = {
    ack: (each, allUpTo) => frames.push(`ack ${tag(each)}${allUpTo === true ? '+' : ''}`),
    nack: (each) => frames.push(`nack ${tag(each)}`),
    reject: (each) => frames.push(`reject ${tag(each)}`),
  };
  const acks = new AckCoalescer(channel);
  for (let deliveryTag = 1; deliveryTag <= 5; deliveryTag++) acks.open(message(deliveryTag));
  return { acks, frames };
}

describe('acknowledgements of one turn', () => {
  it('are one frame, in whatever order they come', async () => {
    const { acks, frames } = record();
    for (const tag of [2, 1, 3]) acks.ack(message(tag));
    assert.deepEqual(frames, []);
    await Promise.resolve();
    await new Promise(setImmediate);
    assert.deepEqual(frames, ['ack 3+']);
    acks.ack(message(4));
    acks.flush();
    assert.deepEqual(frames, ['ack 3+', 'ack 4']);
  });

  it('never reach over a message that is not settled, and do not wait for it', () => {
    const { acks, frames } = record();
    for (const tag of [1, 3, 4]) acks.ack(message(tag));
    acks.flush();
    assert.deepEqual(frames, ['ack 3', 'ack 4', 'ack 1']);
    acks.ack(message(2));
    acks.ack(message(5));
    acks.flush();
    assert.deepEqual(frames.slice(3), ['ack 5+']);
  });

  it('end with a tag that RabbitMQ still knows where the last one was given back', () => {
    const { acks, frames } = record();
    acks.ack(message(1));
    acks.ack(message(2));
    acks.reject(message(3), false);
    acks.nack(message(4), false, true);
    acks.flush();
    assert.deepEqual(frames, ['reject 3', 'nack 4', 'ack 2+']);
  });
});

describe('acknowledgements on RabbitMQ', () => {
  it('leave nothing unacknowledged and close no channel, in any order, with rejections between them', async (t) => {
    assert.ok(rabbitmq);
    const model = await connect(rabbitmq.url, { noDelay: true, timeout: 5_000 });
    t.after(() => model.close());
    const channel = await model.createChannel();
    const errors: unknown[] = [];
    channel.on('error', (error) => errors.push(error));
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const acks = new AckCoalescer(channel);
    const taken: ConsumeMessage[] = [];
    const { consumerTag } = await channel.consume(queue, (each) => {
      if (each === null) return;
      acks.open(each);
      taken.push(each);
    });
    for (let n = 0; n < 500; n++) channel.sendToQueue(queue, Buffer.from(String(n)));
    await eventually('all are there', () => taken.length === 500);
    // A seeded shuffle, so that a failure can be looked at again.
    let seed = 7;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const order = taken.map((each) => ({ each, at: random() })).sort((a, b) => a.at - b.at);
    for (const { each, at } of order) {
      if (at < 0.1) acks.reject(each, false);
      else acks.ack(each);
      if (at > 0.9) await new Promise(setImmediate);
    }
    acks.flush();
    await channel.cancel(consumerTag);
    await channel.recover();
    assert.equal((await channel.checkQueue(queue)).messageCount, 0);
    assert.deepEqual(errors, []);
  });
});
