import { type Channel, type ChannelModel, connect } from 'amqplib';

const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

/** Where a request goes: for a queue of one's own the exchange is '' and the key its name. */
export interface Route {
  readonly exchange: string;
  readonly routingKey: string;
}

/**
 * What anyone writes with amqplib to ask for something: one message for each request, direct reply-to, a map of who waits.
 * The same code asks both sides, so that only what answers differs.
 */
export class PlainCaller {
  readonly #model: ChannelModel;
  readonly #channel: Channel;
  readonly #isConfirmed: boolean;
  readonly #waiting = new Map<string, (reply: Buffer) => void>();
  #next = 0;

  private constructor(model: ChannelModel, channel: Channel, isConfirmed: boolean) {
    this.#model = model;
    this.#channel = channel;
    this.#isConfirmed = isConfirmed;
  }

  /** With `isConfirmed`, requests are persistent and RabbitMQ confirms them, so that a lost one is known. */
  static async connect(url: string, { isConfirmed = false } = {}): Promise<PlainCaller> {
    const model = await connect(url, { noDelay: true });
    const channel = isConfirmed ? await model.createConfirmChannel() : await model.createChannel();
    const caller = new PlainCaller(model, channel, isConfirmed);
    const take = (id: string, reply: Buffer): void => {
      caller.#waiting.get(id)?.(reply);
      caller.#waiting.delete(id);
    };
    await channel.consume(
      REPLY_QUEUE,
      (message) => {
        if (message !== null) take(String(message.properties.correlationId), message.content);
      },
      { noAck: true },
    );
    return caller;
  }

  /** Resolves to the body of the reply. */
  ask({ exchange, routingKey }: Route, body: Buffer): Promise<Buffer> {
    return new Promise((resolve) => {
      const correlationId = String((this.#next += 1));
      this.#waiting.set(correlationId, resolve);
      const properties = {
        correlationId,
        replyTo: REPLY_QUEUE,
        contentType: 'application/json',
        persistent: this.#isConfirmed,
      };
      this.#channel.publish(exchange, routingKey, body, properties);
    });
  }

  async close(): Promise<void> {
    await this.#model.close();
  }
}
