import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { isBedsError, type BedsError } from '@beds/sdk';
import { parseReplyAddress } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import { operateErrors } from '../errors/operate.js';
import type { Finding } from '../template/contract.js';
import { publishFault } from '../observe/channels.js';
import { parseJson } from './parse-message.js';
import type { RefusedAnswer } from './protocol.js';

export interface Asker {
  /** The account, as RabbitMQ vouches for it; absent where the asker did not name it. */
  readonly user?: string;
}

export interface InboxOptions {
  readonly node: string;
  readonly prefix: string;
  readonly replies: ReplyPublisher;
  /** The fanout exchange that is answered. */
  readonly exchange: string;
  /** Messages that are worked on or wait at once; more are refused. */
  readonly maxWaiting: number;
  readonly maxBytes: number;
  /** A message that nobody took for so long is dropped: its asker has gone. */
  readonly expireMs: number;
  /** Undefined: the message is for another node, and not answered. */
  readonly answer: (message: Readonly<Record<string, unknown>>, asker: Asker) => Promise<object | undefined>;
}

/** An asker has long gone when its answer is not sent by then. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Takes what comes over a fanout exchange. Every node has a queue of its own there, so one message reaches all of them. */
export class Inbox {
  readonly #options: InboxOptions;
  #waiting = 0;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** Begins to answer on a new control connection. */
  async attach(model: ChannelModel): Promise<void> {
    const { exchange, maxWaiting, expireMs } = this.#options;
    const channel = await model.createChannel();
    channel.on('error', (error) => {
      publishFault({ where: `channel of ${exchange}`, error });
    });
    // One more than may wait, so that the next one is refused with words.
    await channel.prefetch(maxWaiting + 1);
    const { queue } = await channel.assertQueue('', {
      ...{ exclusive: true, autoDelete: true, messageTtl: expireMs },
    });
    await channel.bindQueue(queue, exchange, '');
    await channel.consume(queue, (message) => {
      if (message === null) return;
      this.#serve(message)
        .catch((error: unknown) => {
          publishFault({ where: exchange, error });
        })
        .finally(() => {
          acknowledge(channel, message);
        });
    });
  }

  async #serve({ content, properties }: ConsumeMessage): Promise<void> {
    const { replyTo, correlationId, userId } = properties as Readonly<
      Record<'replyTo' | 'correlationId' | 'userId', unknown>
    >;
    const address = typeof replyTo === 'string' ? parseReplyAddress(replyTo, this.#options.prefix) : undefined;
    if (address === undefined) {
      throw operateErrors.make('BEDS_OPERATE_INVALID', 'A message without a usable reply address was dropped.');
    }
    const answer = await this.#answer(content, typeof userId === 'string' ? { user: userId } : {});
    if (answer === undefined) return;
    const { replies, exchange, prefix } = this.#options;
    const reply = {
      ...{ address, body: Buffer.from(JSON.stringify(answer)), isUrgent: false },
      correlationId: typeof correlationId === 'string' ? correlationId : undefined,
      type: exchange.replace(`${prefix}.`, 'beds.'),
      expiresAtMs: performance.now() + ANSWER_TIMEOUT_MS,
    };
    replies.publish(reply, () => undefined);
  }

  async #answer(content: Buffer, asker: Asker): Promise<object | undefined> {
    const { node, maxBytes, maxWaiting } = this.#options;
    let op = '';
    this.#waiting += 1;
    try {
      if (content.length > maxBytes) throw operateErrors.make('BEDS_OPERATE_TOO_LARGE');
      const message = parseJson(content);
      if (typeof message['op'] === 'string') op = message['op'].slice(0, 20);
      const isForAnother = typeof message['node'] === 'string' && message['node'] !== node;
      if (isForAnother) return undefined;
      if (this.#waiting > maxWaiting) throw operateErrors.make('BEDS_OPERATE_BUSY');
      return await this.#options.answer(message, asker);
    } catch (error) {
      return refusal(error, { node, op });
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** On a connection that has gone there is nothing to acknowledge: the queue went with it. */
function acknowledge(channel: Channel, message: ConsumeMessage): void {
  try {
    channel.ack(message);
  } catch (error) {
    publishFault({ where: 'answer to an operator', error });
  }
}

function refusal(error: unknown, { node, op }: { readonly node: string; readonly op: string }): RefusedAnswer {
  if (!isBedsError(error)) publishFault({ where: `answer to ${op === '' ? 'an operator' : op}`, error });
  const known: BedsError & { readonly findings?: readonly Finding[] } = isBedsError(error)
    ? error
    : operateErrors.make('BEDS_OPERATE_FAULT', undefined, { cause: error });
  const { code, message, hint, findings } = known;
  const more = { ...(hint === undefined ? {} : { hint }), ...(findings === undefined ? {} : { findings }) };
  return { v: 1, op, node, ok: false, error: { code, message, ...more } };
}
