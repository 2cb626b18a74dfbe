import type { ChannelModel } from 'amqplib';
import { parseReplyAddress } from './reply-address.js';

/** A name that no queue has: RabbitMQ gives such queues names of 22 letters. */
const NOBODY = 'amq.gen-nobody';

/**
 * How direct reply-to addresses name the node that `model` is connected to; undefined where they do not. RabbitMQ writes the address into a
 * message, and a message that nobody gets comes back.
 */
export async function askNode(model: ChannelModel): Promise<string | undefined> {
  const channel = await model.createConfirmChannel();
  let replyTo = '';
  channel.on('error', () => undefined);
  channel.on('return', (message) => {
    replyTo = String(message.properties.replyTo);
  });
  await channel.consume('amq.rabbitmq.reply-to', () => undefined, { noAck: true });
  channel.publish('', NOBODY, Buffer.alloc(0), { mandatory: true, replyTo: 'amq.rabbitmq.reply-to' });
  await channel.waitForConfirms();
  await channel.close();
  return parseReplyAddress(replyTo, '')?.direct?.node;
}
