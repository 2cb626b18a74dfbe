import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { parseReplyAddress } from '../amqp/reply-address.js';
import { publishFault } from '../observe/channels.js';
import type { AdminAnswer, AdminQuestion } from './status.js';

export interface AdminOptions {
  readonly exchange: string;
  readonly prefix: string;
  readonly answer: (question: AdminQuestion) => Promise<AdminAnswer>;
}

/** Questions waiting at once; more are dropped, the asker's own time limit ends its wait. */
const MAX_WAITING = 32;
const MAX_QUESTION_BYTES = 4_096;

/** Answers the command line over AMQP. Every node has a queue of its own, so one question reaches all of them. */
export class Admin {
  readonly #options: AdminOptions;
  #waiting = 0;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /** Begins to answer on a new control connection. */
  async attach(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    channel.on('error', (error) => {
      publishFault({ where: 'admin channel', error });
    });
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
    await channel.bindQueue(queue, this.#options.exchange, '');
    await channel.consume(
      queue,
      (message) => {
        if (message === null || this.#waiting >= MAX_WAITING) return;
        this.#waiting += 1;
        this.#serve(channel, message)
          .catch((error: unknown) => {
            publishFault({ where: 'admin', error });
          })
          .finally(() => {
            this.#waiting -= 1;
          });
      },
      { noAck: true },
    );
  }

  async #serve(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { replyTo, correlationId } = message.properties as { replyTo?: unknown; correlationId?: unknown };
    const address = typeof replyTo === 'string' ? parseReplyAddress(replyTo, this.#options.prefix) : undefined;
    const question = parseQuestion(message.content);
    if (address === undefined || question === undefined) return;
    const answer = await this.#options.answer(question);
    channel.sendToQueue(address.queue, Buffer.from(JSON.stringify(answer)), {
      contentType: 'application/json',
      type: 'beds.admin',
      ...(typeof correlationId === 'string' ? { correlationId } : {}),
    });
  }
}

function parseQuestion(body: Buffer): AdminQuestion | undefined {
  if (body.length > MAX_QUESTION_BYTES) return undefined;
  try {
    const value = JSON.parse(body.toString('utf8')) as Partial<Record<string, unknown>> | null;
    if (value?.['v'] !== 1) return undefined;
    if (value['op'] === 'status') return { v: 1, op: 'status' };
    const domain = value['domain'];
    if (value['op'] !== 'history') return undefined;
    return typeof domain === 'string' ? { v: 1, op: 'history', domain } : { v: 1, op: 'history' };
  } catch {
    return undefined;
  }
}
