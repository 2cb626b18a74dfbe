import { type Channel, type ChannelModel, connect } from 'amqplib';
import { serveParent } from '../context/child.js';
import type { Route } from '../context/plain-caller.js';

const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

export interface BacklogStart {
  readonly url: string;
  readonly route: Route;
  readonly body: string;
  /** The queue that fills; it is emptied in the end, should somebody not have done so. */
  readonly queue: string;
  /** Declares it: nobody else does. */
  readonly declare: boolean;
}

export interface BacklogProgress {
  readonly replies: number;
  /** Milliseconds from the first reply to the last. */
  readonly tookMs: number;
}

/** Asks without waiting, and counts what comes back. */
let model: ChannelModel | undefined;
let channel: Channel | undefined;
let given: BacklogStart | undefined;
let replies = 0;
let firstAtMs = 0;
let lastAtMs = 0;

async function fill(count: number): Promise<void> {
  if (channel === undefined || given === undefined) return;
  const { route, body } = given;
  const content = Buffer.from(body);
  for (let n = 0; n < count; n++) {
    const properties = { correlationId: String(n), replyTo: REPLY_QUEUE, contentType: 'application/json' };
    const isFree = channel.publish(route.exchange, route.routingKey, content, properties);
    const to = channel;
    if (!isFree) await new Promise((resolve) => to.once('drain', resolve));
  }
}

serveParent({
  calls: {
    start: async (start: BacklogStart) => {
      given = start;
      model = await connect(start.url, { noDelay: true });
      channel = await model.createChannel();
      if (start.declare) {
        await channel.assertQueue(start.queue, { durable: true, arguments: { 'x-queue-type': 'classic' } });
      }
      const take = (): void => {
        lastAtMs = performance.now();
        if (replies === 0) firstAtMs = lastAtMs;
        replies += 1;
      };
      await channel.consume(REPLY_QUEUE, take, { noAck: true });
    },
    fill: ({ count }: { readonly count: number }) => fill(count),
    progress: async (): Promise<BacklogProgress> => ({ replies, tookMs: lastAtMs - firstAtMs }),
  },
  stop: async () => {
    if (given !== undefined) await channel?.purgeQueue(given.queue);
    if (given?.declare === true) await channel?.deleteQueue(given.queue);
    await model?.close();
  },
});
