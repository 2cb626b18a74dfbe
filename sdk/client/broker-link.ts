import {
  connect,
  IllegalOperationError,
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  type Options,
} from 'amqplib';
import { isNack } from '../amqp/connection-errors.js';
import { type ConnectionChange, SupervisedConnection } from '../amqp/supervised-connection.js';
import { BATCH_IN_PARTS, SENT_AT, SESSION } from '../wire/envelope.js';
import { clientErrors } from './client-errors.js';
import type { Common } from './pending-call.js';

/** RabbitMQ's pseudo queue; replies come back on the channel that consumes it. https://www.rabbitmq.com/docs/direct-reply-to */
const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

const SUPERVISION = { heartbeatSeconds: 10, reconnectMinMs: 100, reconnectMaxMs: 5_000 };
const CLOSE_TIMEOUT_MS = 2_000;
/** So much may wait for a socket that takes nothing; more of it could be sent when nobody wants it any more. */
const MOST_WAITING_BYTES = 262_144;

export interface BrokerLinkOptions {
  readonly url: string;
  /** Shown by RabbitMQ. */
  readonly name: string;
  readonly exchange: string;
  readonly connectTimeoutMs: number;
  /** AMQP `user-id` of each message. */
  readonly userId?: string | undefined;
}

/** Why the link was lost, where RabbitMQ said so. */
export interface LinkLoss {
  readonly code: number | undefined;
  /** The routing key that this account may not publish with. */
  readonly topic: string | undefined;
}

/** What happens on the link. None of these may throw. */
export interface BrokerLinkEvents {
  /** Messages are taken, for the first time or again. */
  up(): void;
  /** Whatever was published and not answered may or may not have arrived. */
  down(loss: LinkLoss): void;
  reply(content: Buffer, correlationId: unknown): void;
  /** RabbitMQ had no queue for the message. */
  returned(messageId: unknown): void;
}

export interface OutgoingMessage {
  readonly id: string;
  readonly routingKey: string;
  /** Reads skip publisher confirms: the reply proves delivery. */
  readonly isRead: boolean;
  readonly isBatch: boolean;
  readonly body: Buffer;
  /** What its requests do not say themselves. */
  readonly common: Common;
  /** RabbitMQ drops it when it waited so long. */
  readonly expirationMs: number;
  /** RabbitMQ has taken (`true`) or refused (`false`) a write. Never called where the link was lost before. */
  readonly confirmed: (accepted: boolean) => void;
}

type Lose = (reason?: unknown) => void;

interface Channels {
  readonly model: ChannelModel;
  /** Without confirms: one for each message costs a read a fifth of its time. */
  readonly reads: Channel;
  readonly writes: ConfirmChannel;
}

/** RabbitMQ names the routing key in the text only. */
function lossOf(error: unknown): LinkLoss {
  const { code, message = '' } = (error ?? {}) as Partial<Error> & { readonly code?: number };
  return { code, topic: /access to topic '([^']*)'/.exec(message)?.[1] };
}

function headersOf({ stampMs, token }: Common): Readonly<Record<string, unknown>> {
  return token === undefined ? { [SENT_AT]: stampMs } : { [SENT_AT]: stampMs, [SESSION]: token };
}

/** A connection with a channel for reads and one for writes, which publish requests and receive replies. */
export class BrokerLink {
  readonly #options: BrokerLinkOptions;
  readonly #events: BrokerLinkEvents;
  readonly #connection: SupervisedConnection;
  #channels: Channels | undefined;
  #wasUp = false;

  constructor(options: BrokerLinkOptions, events: BrokerLinkEvents) {
    this.#options = options;
    this.#events = events;
    this.#connection = new SupervisedConnection(
      { ...SUPERVISION, ...options },
      {
        connect,
        onChange: (change) => this.#onChange(change),
        onFlow: () => {
          if (this.isReady) events.up();
        },
      },
      (model, lose) => this.#setUp(model, lose),
    );
  }

  get isUp(): boolean {
    return this.#connection.state === 'up';
  }

  /** Up, not blocked by an alarm of RabbitMQ, and with a socket that takes what it is given. */
  get isReady(): boolean {
    const { state, isBlocked, waitingBytes } = this.#connection;
    return state === 'up' && !isBlocked && waitingBytes < MOST_WAITING_BYTES;
  }

  /** Resolves when the link is up for the first time; BEDS_CLIENT_UNAVAILABLE after `connectTimeoutMs`. */
  async open(): Promise<void> {
    this.#connection.start();
    try {
      await this.#connection.ready(this.#options.connectTimeoutMs);
    } catch (error) {
      await this.close();
      const { cause } = error as Error;
      const message = cause instanceof Error ? cause.message : 'no answer';
      throw clientErrors.make('BEDS_CLIENT_UNAVAILABLE', `RabbitMQ cannot be used: ${message}`, { cause });
    }
  }

  /** Whether the message was handed over. Throws where AMQP cannot carry it, as with a name of more than 255 bytes. */
  publish({ id, routingKey, isRead, isBatch, body, common, expirationMs, confirmed }: OutgoingMessage): boolean {
    const channels = this.#channels;
    if (channels === undefined || !this.isReady) return false;
    const { exchange, userId } = this.#options;
    const options: Options.Publish = {
      contentType: 'application/json',
      type: isBatch ? BATCH_IN_PARTS : 'beds.request',
      messageId: id,
      correlationId: id,
      persistent: !isRead,
      expiration: String(expirationMs),
      mandatory: true,
      replyTo: REPLY_QUEUE,
      ...(userId === undefined ? {} : { userId }),
      ...(common.stampMs === undefined ? {} : { headers: headersOf(common) }),
    };
    try {
      if (isRead) channels.reads.publish(exchange, routingKey, body, options);
      else
        channels.writes.publish(exchange, routingKey, body, options, (error: unknown) => {
          // n.b. amqplib calls back with an error for each unconfirmed message when a channel closes, too; `down` handles those.
          if (error === null || isNack(error)) confirmed(error === null);
        });
      return true;
    } catch (error) {
      // The channel is closing, which its event is about to say. Anything else is about the message.
      if (error instanceof IllegalOperationError) return false;
      throw error;
    }
  }

  /**
   * Asks on a channel of its own: what RabbitMQ refuses there ends nothing that is under way. Resolves to the reply, or undefined
   * where none came.
   */
  async ask(routingKey: string, body: string, timeoutMs: number): Promise<Buffer | undefined> {
    const model = this.#channels?.model;
    if (model === undefined) return undefined;
    const { exchange } = this.#options;
    const asked = model.createChannel().then(async (channel) => {
      const answered = new Promise<Buffer | undefined>((resolve) => {
        const nothing = (): void => resolve(undefined);
        setTimeout(nothing, timeoutMs).unref();
        for (const event of ['error', 'close', 'return']) channel.on(event, nothing);
        channel.consume(REPLY_QUEUE, (message) => resolve(message?.content), { noAck: true }).catch(nothing);
      });
      const options = { contentType: 'application/json', replyTo: REPLY_QUEUE, mandatory: true };
      channel.publish(exchange, routingKey, Buffer.from(body), { ...options, expiration: timeoutMs });
      const reply = await answered;
      void channel.close().catch(() => undefined);
      return reply;
    });
    return asked.catch(() => undefined);
  }

  /** Idempotent; ends within seconds whatever RabbitMQ does. */
  close(): Promise<void> {
    return this.#connection.close(CLOSE_TIMEOUT_MS);
  }

  #onChange({ state, error }: ConnectionChange): void {
    if (state === 'up') {
      this.#wasUp = true;
      this.#events.up();
    } else if (state === 'waiting' && this.#channels !== undefined) {
      this.#channels = undefined;
      this.#events.down(lossOf(error));
    }
    // Waiting does not mend a wrong password; once connected before, it may be being changed.
    if (!this.#wasUp && error instanceof Error && /ACCESS[-_]REFUSED|NOT[-_]ALLOWED/.test(error.message))
      void this.close();
  }

  async #setUp(model: ChannelModel, lose: Lose): Promise<void> {
    const reads = await model.createChannel();
    this.#watch(reads, lose);
    await reads.checkExchange(this.#options.exchange);
    const writes = await model.createConfirmChannel();
    this.#watch(writes, lose);
    // n.b. a direct reply comes on the channel that the request was published on.
    for (const channel of [reads, writes]) await this.#receive(channel, lose);
    this.#channels = { model, reads, writes };
  }

  #watch(channel: Channel, lose: Lose): void {
    channel.on('error', (error: Error) => lose(error));
    channel.on('close', () => lose());
    channel.on('return', (message) => this.#events.returned(message.properties.messageId));
  }

  async #receive(channel: Channel, lose: Lose): Promise<void> {
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) lose();
      else this.#events.reply(message.content, message.properties.correlationId);
    };
    await channel.consume(REPLY_QUEUE, receive, { noAck: true });
  }
}
