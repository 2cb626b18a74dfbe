import {
  connect,
  IllegalOperationError,
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  type Options,
} from 'amqplib';
import { backoffMs, settlesWithin, sleep } from '../time.js';
import { BATCH_IN_PARTS, SENT_AT } from '../wire/envelope.js';
import { clientErrors } from './client-errors.js';
import { joinWrites, type WaitingWrites } from './joined-writes.js';

/** RabbitMQ's pseudo queue; replies come back on the channel that consumes it. https://www.rabbitmq.com/docs/direct-reply-to */
const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

const RECONNECT = { minMs: 100, maxMs: 5_000 };
const CLOSE_TIMEOUT_MS = 2_000;
const HEARTBEAT_SECONDS = '10';
/** So much may wait for a socket that takes nothing; more of it could be sent when nobody wants it any more. */
const MOST_WAITING_BYTES = 262_144;

export interface BrokerLinkOptions {
  readonly url: string;
  /** Shown by RabbitMQ. */
  readonly name: string;
  readonly exchange: string;
  readonly connectTimeoutMs: number;
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
  /** Of a read it is not asked whether RabbitMQ has it: who waits for the answer learns that. */
  readonly isRead: boolean;
  readonly isBatch: boolean;
  readonly body: Buffer;
  /** When its requests were made that do not say so, milliseconds since 1970; undefined: each of them does. */
  readonly stampMs: number | undefined;
  /** RabbitMQ drops it when it waited so long. */
  readonly expirationMs: number;
  /** RabbitMQ has taken (`true`) or refused (`false`) a write. Never called where the link was lost before. */
  readonly confirmed: (accepted: boolean) => void;
}

/** The socket under amqplib's connection, which has no public way to be given up when a handshake hangs. */
function destroySocket(model: ChannelModel): void {
  const { stream } = model.connection as { readonly stream?: { destroy?: (error: Error) => void } };
  // n.b. amqplib hears of an error, but not of a plain end by our side.
  stream?.destroy?.(clientErrors.make('BEDS_CLIENT_UNAVAILABLE', 'The connection was given up.'));
}

/** n.b. amqplib's `close()` never settles when the socket ends before the broker has answered it; the event comes. */
async function endModel(model: ChannelModel): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    model.on('close', () => resolve());
  });
  await settlesWithin(Promise.race([model.close(), ended]), CLOSE_TIMEOUT_MS);
  destroySocket(model);
}

interface Channels {
  /** Without confirms: one for each message costs a read a fifth of its time. */
  readonly reads: Channel;
  readonly writes: ConfirmChannel;
}

type Lose = (loss: LinkLoss) => void;

const NO_REASON: LinkLoss = { code: undefined, topic: undefined };

/** RabbitMQ names the routing key in the text only. */
function lossOf({ code, message }: Error & { readonly code?: number }): LinkLoss {
  return { code, topic: /access to topic '([^']*)'/.exec(message)?.[1] };
}

/**
 * One connection with a channel for reads and one for writes, which publish requests and receive replies, and that comes
 * back by itself. amqplib's own recovery is not used: a connection that is lost during its setup leaves it dead for good.
 */
export class BrokerLink {
  readonly #options: BrokerLinkOptions;
  readonly #events: BrokerLinkEvents;
  readonly #stop = new AbortController();
  #model: ChannelModel | undefined;
  #channels: Channels | undefined;
  #writes: WaitingWrites | undefined;
  #isBlocked = false;
  #running: Promise<void> | undefined;
  #lastError: unknown;
  #settleFirst: ((isUp: boolean) => void) | undefined;

  constructor(options: BrokerLinkOptions, events: BrokerLinkEvents) {
    this.#options = options;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.#channels !== undefined;
  }

  /** Up, not blocked by an alarm of RabbitMQ, and with a socket that takes what it is given. */
  get isReady(): boolean {
    return this.#channels !== undefined && !this.#isBlocked && (this.#writes?.waitingBytes ?? 0) < MOST_WAITING_BYTES;
  }

  /** Resolves when the link is up for the first time; BEDS_CLIENT_UNAVAILABLE after `connectTimeoutMs`. */
  async open(): Promise<void> {
    let isUp = false;
    const first = new Promise<void>((resolve) => {
      this.#settleFirst = (up) => {
        isUp = up;
        resolve();
      };
    });
    this.#running = this.#run();
    await settlesWithin(first, this.#options.connectTimeoutMs);
    if (isUp) return;
    await this.close();
    const { message } = this.#lastError instanceof Error ? this.#lastError : { message: 'no answer' };
    throw clientErrors.make('BEDS_CLIENT_UNAVAILABLE', `RabbitMQ cannot be used: ${message}`, {
      cause: this.#lastError,
    });
  }

  /** Whether the message was handed over. Throws where AMQP cannot carry it, as with a name of more than 255 bytes. */
  publish({ id, routingKey, isRead, isBatch, body, stampMs, expirationMs, confirmed }: OutgoingMessage): boolean {
    const channels = this.#channels;
    if (channels === undefined || !this.isReady) return false;
    const { exchange } = this.#options;
    const options: Options.Publish = {
      contentType: 'application/json',
      type: isBatch ? BATCH_IN_PARTS : 'beds.request',
      messageId: id,
      correlationId: id,
      persistent: !isRead,
      expiration: String(expirationMs),
      mandatory: true,
      replyTo: REPLY_QUEUE,
      ...(stampMs === undefined ? {} : { headers: { [SENT_AT]: stampMs } }),
    };
    try {
      if (isRead) channels.reads.publish(exchange, routingKey, body, options);
      else
        channels.writes.publish(exchange, routingKey, body, options, (error: unknown) => {
          // n.b. amqplib calls back with an error for each unconfirmed message when a channel closes, too; `down` handles those.
          const isRefusal = error instanceof Error && error.message === 'message nacked';
          if (error === null || isRefusal) confirmed(!isRefusal);
        });
      return true;
    } catch (error) {
      // The channel is closing, which its event is about to say. Anything else is about the message.
      if (error instanceof IllegalOperationError) return false;
      throw error;
    }
  }

  /** Idempotent; ends within seconds whatever the broker does. */
  async close(): Promise<void> {
    this.#stop.abort();
    const model = this.#model;
    if (model !== undefined) await endModel(model);
    // An attempt under way ends by its own timeout, and is then thrown away.
    if (this.#running !== undefined) await settlesWithin(this.#running, CLOSE_TIMEOUT_MS);
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#stop.signal.aborted) {
      try {
        const { lost } = await this.#connect();
        attempt = 0;
        this.#settleFirst?.(true);
        this.#events.up();
        const loss = await lost;
        this.#channels = undefined;
        this.#events.down(loss);
      } catch (error) {
        this.#lastError = error;
        // Waiting does not mend a wrong password; once connected before, it may be being changed.
        if (error instanceof Error && /ACCESS[-_]REFUSED|NOT[-_]ALLOWED/.test(error.message))
          this.#settleFirst?.(false);
      }
      this.#channels = undefined;
      await this.#discard();
      await sleep(backoffMs(attempt, RECONNECT), this.#stop.signal);
      attempt += 1;
    }
  }

  async #discard(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    if (model !== undefined) await endModel(model);
  }

  /** Resolves when all is set up; `lost` does when it is lost, and is wrapped because promises of promises flatten. */
  async #connect(): Promise<{ readonly lost: Promise<LinkLoss> }> {
    const { url, name, connectTimeoutMs } = this.#options;
    const target = new URL(url);
    if (!target.searchParams.has('heartbeat')) target.searchParams.set('heartbeat', HEARTBEAT_SECONDS);
    const model = await connect(target.href, {
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: name },
    });
    this.#writes = joinWrites(model);
    this.#model = model;
    this.#watchFlow(model);
    let lose: Lose = () => undefined;
    const lost = new Promise<LinkLoss>((resolve) => {
      lose = resolve;
    });
    model.on('error', (error: Error) => lose(lossOf(error)));
    model.on('close', () => lose(NO_REASON));
    // Wherever the setup hangs, ending the socket ends it: the model's rejections come from there.
    const guard = setTimeout(() => destroySocket(model), connectTimeoutMs);
    try {
      this.#channels = await Promise.race([this.#setUp(model, lose), lost.then(() => Promise.reject(this.#gone()))]);
    } finally {
      clearTimeout(guard);
    }
    if (this.#stop.signal.aborted) throw this.#gone();
    return { lost };
  }

  /** What is not taken now waits where it can still be given up: not in the socket. https://www.rabbitmq.com/docs/alarms */
  #watchFlow(model: ChannelModel): void {
    this.#isBlocked = false;
    model.on('blocked', () => {
      this.#isBlocked = true;
    });
    model.on('unblocked', () => {
      this.#isBlocked = false;
      if (this.isReady) this.#events.up();
    });
    this.#writes?.onDrain(() => {
      if (this.isReady) this.#events.up();
    });
  }

  #gone(): Error {
    return clientErrors.make('BEDS_CLIENT_UNAVAILABLE', 'The connection was lost while it was set up.');
  }

  async #setUp(model: ChannelModel, lose: Lose): Promise<Channels> {
    const reads = await model.createChannel();
    this.#watch(reads, lose);
    await reads.checkExchange(this.#options.exchange);
    const writes = await model.createConfirmChannel();
    this.#watch(writes, lose);
    // n.b. a direct reply comes on the channel that the request was published on.
    for (const channel of [reads, writes]) await this.#receive(channel, lose);
    return { reads, writes };
  }

  #watch(channel: Channel, lose: Lose): void {
    channel.on('error', (error: Error) => lose(lossOf(error)));
    channel.on('close', () => lose(NO_REASON));
    channel.on('return', (message) => this.#events.returned(message.properties.messageId));
  }

  async #receive(channel: Channel, lose: Lose): Promise<void> {
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) lose(NO_REASON);
      else this.#events.reply(message.content, message.properties.correlationId);
    };
    await channel.consume(REPLY_QUEUE, receive, { noAck: true });
  }
}
