import { connect, type ChannelModel } from 'amqplib';
import { serveParent } from '../bed/serve-parent.js';

export interface BareEchoOptions {
  readonly url: string;
  readonly queue: string;
  readonly prefetch: number;
}

/** The least that an amqplib server can do for a request: send the body back and acknowledge. */
let model: ChannelModel | undefined;

serveParent({
  calls: {
    start: async ({ url, queue, prefetch }: BareEchoOptions) => {
      model = await connect(url, { noDelay: true });
      const channel = await model.createChannel();
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'classic' } });
      await channel.prefetch(prefetch);
      await channel.consume(queue, (message) => {
        if (message === null) return;
        const { correlationId, replyTo } = message.properties as { correlationId: string; replyTo: string };
        channel.sendToQueue(replyTo, message.content, { correlationId, contentType: 'application/json' });
        channel.ack(message);
      });
    },
  },
  stop: async () => model?.close(),
});
