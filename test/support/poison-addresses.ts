import type { Channel } from 'amqplib';
import { eventually } from './eventually.js';

const PREFIX = 'amq.rabbitmq.reply-to.';

export interface DirectReplies {
  /** As RabbitMQ rewrites it for whoever answers. */
  readonly replyTo: string;
  readonly received: () => number;
}

/** Takes direct replies on a channel, and learns their address by a message to itself. */
export async function directReplyTo(channel: Channel): Promise<DirectReplies> {
  let received = 0;
  await channel.consume(
    'amq.rabbitmq.reply-to',
    () => {
      received += 1;
    },
    { noAck: true },
  );
  const { queue } = await channel.assertQueue('', { exclusive: true });
  channel.sendToQueue(queue, Buffer.alloc(0), { replyTo: 'amq.rabbitmq.reply-to' });
  let replyTo = '';
  await eventually('the address', async () => {
    const message = await channel.get(queue, { noAck: true });
    if (message !== false) replyTo = String(message.properties.replyTo);
    return replyTo !== '';
  });
  return { replyTo, received: () => received };
}

/** Addresses that somebody made up, most of which cost the connection of whoever publishes to them on RabbitMQ before 4.2. `good`: a real one. */
export function poisonAddresses(good: string): readonly string[] {
  const [text = '', key = ''] = good.slice(PREFIX.length).split('.');
  const bytes = Buffer.from(text, 'base64');
  const numbers = bytes.subarray(-12);
  const node = bytes.toString('latin1', 5, bytes.length - 12);
  const forged = (name: string, ofProcess: Buffer): string => {
    const head = Buffer.from([131, 88, 118, 0, name.length]);
    return `${PREFIX}${Buffer.concat([head, Buffer.from(name), ofProcess]).toString('base64')}.${key}`;
  };
  const numbered = (id: number, serial: number): Buffer => {
    const changed = Buffer.from(numbers);
    changed.writeUInt32BE(id, 0);
    changed.writeUInt32BE(serial, 4);
    return changed;
  };
  return [
    `${PREFIX}AAAAAAAAAAAAAAAA.BBBBBBBB`,
    `${PREFIX}${'AAAA'.repeat(8)}.${'BBBB'.repeat(6)}`,
    `${PREFIX}${text.replaceAll(/[+/=]/g, '_')}.${key}`,
    `${PREFIX}${text.replaceAll('=', '')}.${key}`,
    `${PREFIX}${bytes.subarray(0, -1).toString('base64')}.${key}`,
    `${PREFIX}${Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64')}.${key}`,
    ...['reply@12345', 'reply@abc', 'reply', 'reply@-5', 'reply@1@2', `reply@${'9'.repeat(60)}`].map((name) =>
      forged(name, numbers),
    ),
    forged(node, numbered(0xffff_ffff, 0)),
    forged(node, numbered(0x0fff_ffff, 0)),
    forged(node, numbered(numbers.readUInt32BE(0), 0xffff_ffff)),
    forged(node, numbered(numbers.readUInt32BE(0), 0x2000)),
  ];
}

/** An address of an ordinary process of a node that is in no cluster. */
export function forgedNode(number: number): string {
  const name = Buffer.from(`reply@${number}`);
  const ofProcess = Buffer.from([0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  return `${PREFIX}${Buffer.concat([Buffer.from([131, 88, 118, 0, name.length]), name, ofProcess]).toString('base64')}.AAAA`;
}
