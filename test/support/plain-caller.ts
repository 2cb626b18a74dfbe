import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import type { Channel, Options } from 'amqplib';
import { eventually, type TestHost } from './host.js';

export interface PlainMessage {
  readonly routingKey: string;
  /** An object is sent as JSON. */
  readonly body: object | string | Buffer;
  readonly exchange?: string;
  readonly properties?: Options.Publish;
}

/** An AMQP program without the SDK: publishes bytes, and reads what comes back. */
export class PlainCaller {
  readonly channel: Channel;
  readonly #replyTo: string;
  readonly #exchange: string;
  readonly #replies = new Map<string, unknown>();

  private constructor(channel: Channel, replyTo: string, exchange: string) {
    this.channel = channel;
    this.#replyTo = replyTo;
    this.#exchange = exchange;
  }

  /** `queue`: replies come into a queue that the server named; `direct`: by direct reply-to. */
  static async open(host: TestHost, replies: 'direct' | 'queue' = 'direct'): Promise<PlainCaller> {
    const channel = await host.plainChannel();
    const own = replies === 'direct' ? undefined : await channel.assertQueue('', { exclusive: true });
    const queue = own?.queue ?? 'amq.rabbitmq.reply-to';
    const caller = new PlainCaller(channel, queue, `${host.prefix}.request`);
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return;
        assert.equal(message.properties.contentType, 'application/json');
        caller.#replies.set(String(message.properties.correlationId), JSON.parse(message.content.toString('utf8')));
      },
      { noAck: true },
    );
    return caller;
  }

  /** Publishes and resolves to the parsed body of the reply. */
  async ask<T = ReplyEnvelope>(message: PlainMessage, withinMs = 5_000): Promise<T> {
    const correlationId = randomUUID();
    this.send({ ...message, properties: { replyTo: this.#replyTo, correlationId, ...message.properties } });
    await eventually(`reply to ${message.routingKey}`, () => this.#replies.has(correlationId), withinMs);
    return this.#replies.get(correlationId) as T;
  }

  /** Publishes and wants no reply. */
  send({ routingKey, body, exchange = this.#exchange, properties = {} }: PlainMessage): void {
    const isBytes = typeof body === 'string' || Buffer.isBuffer(body);
    const bytes = Buffer.from(isBytes ? body : JSON.stringify(body));
    this.channel.publish(exchange, routingKey, bytes, { contentType: 'application/json', ...properties });
  }
}

/** An envelope with what every envelope needs. */
export function envelope(op: string, more: Partial<RequestEnvelope> = {}): RequestEnvelope {
  return { v: 1, id: `plain-${op}`, domain: 'notes', op, ...more };
}
