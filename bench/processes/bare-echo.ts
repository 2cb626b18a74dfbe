import { type ChannelModel, connect } from 'amqplib';
import { PlainCaller } from '../context/plain-caller.js';
import { BODY, serveEcho } from '../context/serve-echo.js';

const ROUTING_KEY = 'echo.echo';

/**
 * The least that amqplib can do for a request: send a body that is ready, send it back, acknowledge. With the argument
 * `promised`, what BEDS promises on top: requests through a topic exchange, replies on a connection of their own, and a
 * message that is acknowledged when RabbitMQ has confirmed its reply.
 */
const isPromised = process.argv[2] === 'promised';
let model: ChannelModel | undefined;
let replies: ChannelModel | undefined;
let caller: PlainCaller | undefined;

serveEcho({
  serve: async ({ url, name, prefetch }) => {
    model = await connect(url, { noDelay: true });
    const channel = await model.createChannel();
    await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'classic' } });
    await channel.prefetch(prefetch);
    if (isPromised) {
      await channel.assertExchange(name, 'topic', { durable: true });
      await channel.bindQueue(name, name, ROUTING_KEY);
      replies = await connect(url, { noDelay: true });
    }
    const confirmed = await replies?.createConfirmChannel();
    await channel.consume(name, (message) => {
      if (message === null) return;
      const { correlationId, replyTo } = message.properties as { correlationId: string; replyTo: string };
      const properties = { correlationId, contentType: 'application/json' };
      if (confirmed !== undefined) {
        confirmed.sendToQueue(replyTo, message.content, properties, () => channel.ack(message));
        return;
      }
      channel.sendToQueue(replyTo, message.content, properties);
      channel.ack(message);
    });
  },
  connect: async ({ url, name }) => {
    const plain = await PlainCaller.connect(url);
    caller = plain;
    return {
      ask: () =>
        plain.ask(isPromised ? { exchange: name, routingKey: ROUTING_KEY } : { exchange: '', routingKey: name }, BODY),
      read: (reply: Buffer) => (JSON.parse(reply.toString()) as { readonly payload?: unknown }).payload,
    };
  },
  stop: async () => {
    await caller?.close();
    await replies?.close();
    await model?.close();
  },
});
