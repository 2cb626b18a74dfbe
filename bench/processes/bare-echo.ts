import { connect, type ChannelModel } from 'amqplib';
import { PlainCaller } from '../bed/plain-caller.js';
import { BODY, serveEcho } from '../bed/serve-echo.js';

/** The least that amqplib can do for a request: send a body that is ready, send it back, acknowledge. */
let model: ChannelModel | undefined;
let caller: PlainCaller | undefined;

serveEcho({
  serve: async ({ url, name, prefetch }) => {
    model = await connect(url, { noDelay: true });
    const channel = await model.createChannel();
    await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'classic' } });
    await channel.prefetch(prefetch);
    await channel.consume(name, (message) => {
      if (message === null) return;
      const { correlationId, replyTo } = message.properties as { correlationId: string; replyTo: string };
      channel.sendToQueue(replyTo, message.content, { correlationId, contentType: 'application/json' });
      channel.ack(message);
    });
  },
  connect: async ({ url, name }) => {
    const plain = await PlainCaller.connect(url);
    caller = plain;
    return {
      ask: () => plain.ask({ exchange: '', routingKey: name }, BODY),
      read: (reply: Buffer) => (JSON.parse(reply.toString()) as { readonly payload?: unknown }).payload,
    };
  },
  stop: async () => {
    await caller?.close();
    await model?.close();
  },
});
