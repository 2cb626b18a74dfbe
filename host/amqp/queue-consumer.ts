import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '#sdk/time';
import type { Verdict } from '#sdk/template';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { publishBroker } from '../observe/channels.js';
import { keepChannel } from './kept-channel.js';

const RETRY = { minMs: 100, maxMs: 5_000 } as const;
/** Nothing is on its way when nothing came for so long; a consumer that stops waits for that, at most so long. */
const QUIET_MS = 100;
const QUIET_WITHIN_MS = 3_000;
/** How long a consumer that stopped keeps acknowledgements back where something is still in flight. */
const HOLD_MS = 500;

export interface QueueConsumerOptions {
  readonly name: string;
  /** Unacknowledged messages for each queue. */
  readonly prefetch: number;
  /** Whether a queue is one of writes. Default: none is. */
  readonly carriesWrites?: (queue: string) => boolean;
  /** Called for each message, synchronously; must not throw. */
  readonly onDelivery: (delivery: Delivery) => void;
}

/**
 * Consumes queues: a channel and its subscriptions, made again on every new connection and after every channel error. A queue
 * that is missing is tried again with growing waits; the other queues never notice. RabbitMQ closes the channel over a queue
 * that it refuses (403, 405): that one is tried again on a channel of its own, and costs the others no other channel.
 */
export class QueueConsumer implements Intake {
  readonly #options: QueueConsumerOptions;
  readonly #wanted = new Map<string, Subscription | undefined>();
  readonly #retries = new Map<string, NodeJS.Timeout>();
  readonly #refused = new Set<string>();
  /** What refused queues are consumed on, by queue. */
  readonly #own = new Map<string, ConsumerChannel>();
  #model: ChannelModel | undefined;
  #shared: ConsumerChannel | undefined;
  /** The queue that the shared channel is being asked for. */
  #asking: string | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** This, as what came by queues of writes sees it. */
  readonly #writes: Intake;
  #inFlight = 0;
  /** Messages that came, since the start. */
  #delivered = 0;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: QueueConsumerOptions) {
    this.#options = options;
    const nearPrefetchLimit = (): boolean => this.nearPrefetchLimit;
    this.#writes = {
      carriesWrites: true,
      get nearPrefetchLimit() {
        return nearPrefetchLimit();
      },
      settled: () => this.settled(),
    };
  }

  get name(): string {
    return this.#options.name;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** n.b. `prefetch` counts for each queue; with several this is on the safe side. */
  get nearPrefetchLimit(): boolean {
    return this.#inFlight * 2 >= this.#options.prefetch;
  }

  settled(): void {
    this.#inFlight -= 1;
    if (this.#inFlight > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  /** The queues that are consumed right now. */
  get queues(): readonly string[] {
    return [...this.#wanted].filter(([, tag]) => tag !== undefined).map(([queue]) => queue);
  }

  /** Makes the channel and the subscriptions on a new connection. */
  attach(model: ChannelModel): Promise<void> {
    this.#model = model;
    this.#refused.clear();
    return keepChannel(model, {
      create: () => model.createChannel(),
      setUp: (channel) => this.#use(model, channel),
      onError: (error) => {
        if (this.#asking !== undefined && isRefusedConsumption(error)) this.#noteRefused(this.#asking, error);
        publishBroker({ broker: this.name, event: 'channel-lost', error });
      },
      onClose: (channel) => {
        if (this.#shared?.channel === channel) this.#forgetShared();
      },
      isWanted: () => this.#model === model,
    });
  }

  /** Consumes a queue from now on. Resolves when RabbitMQ confirmed it, or at once while there is no connection. */
  async consume(queue: string): Promise<void> {
    if (this.#wanted.has(queue)) return;
    this.#wanted.set(queue, undefined);
    await this.#subscribe(queue, 0);
  }

  /** Consumes a queue no longer; messages that were delivered stay in flight. */
  async cancel(queue: string): Promise<void> {
    const subscription = this.#wanted.get(queue);
    this.#wanted.delete(queue);
    this.#clearRetry(queue);
    await subscription?.channel.cancel(subscription.tag).catch(() => undefined);
  }

  /**
   * Cancels every queue for good. n.b. what is on its way to a consumer as it is cancelled, a quorum queue gives to another one,
   * marked as delivered before, and a write so marked is in doubt although nobody began it. So nothing is acknowledged from here on
   * until nothing comes any more: as many as are prefetched are held, or the queues are empty. What has finished by then is
   * acknowledged together, as RabbitMQ forgets acknowledgements that come one by one just before the channel closes.
   * https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    const channels = this.#channels;
    for (const { acks } of channels) acks.hold();
    await this.#quiet();
    await Promise.all([...this.#wanted.keys()].map((queue) => this.cancel(queue)));
    setTimeout(() => {
      for (const { acks } of channels) acks.release();
    }, HOLD_MS).unref();
  }

  /**
   * Resolves when all has been read that RabbitMQ had sent before. n.b. it is told anew what it knows, which changes nothing
   * for the consumers that are there.
   */
  async roundTrip(): Promise<void> {
    await Promise.all(this.#channels.map(({ channel }) => channel.prefetch(this.#options.prefetch)));
  }

  /** Resolves when no message is in flight. */
  async idle(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /**
   * Closes the channel of a stopped broker. n.b. amqplib sends what channels have buffered in turns, so `close` of the
   * connection can overtake acknowledgements, and RabbitMQ delivers finished work again. `close` of the channel cannot.
   */
  async close(): Promise<void> {
    const channels = this.#channels;
    // n.b. another one may take its place on the same connection: a channel that is being opened must not consume beside it.
    this.#stopped = true;
    this.#model = undefined;
    for (const { acks } of channels) acks.flush();
    this.#forgetShared();
    await Promise.all(channels.map(({ channel }) => channel.close().catch(() => undefined)));
  }

  async #quiet(): Promise<void> {
    const untilMs = performance.now() + QUIET_WITHIN_MS;
    for (let seen = -1; seen !== this.#delivered && performance.now() < untilMs;) {
      seen = this.#delivered;
      await delay(QUIET_MS);
    }
  }

  get #channels(): readonly ConsumerChannel[] {
    return [...(this.#shared === undefined ? [] : [this.#shared]), ...this.#own.values()];
  }

  async #use(model: ChannelModel, channel: Channel): Promise<void> {
    await channel.prefetch(this.#options.prefetch);
    if (this.#model !== model) {
      await channel.close();
      return;
    }
    this.#shared = { channel, acks: new AckCoalescer(channel) };
    this.#turn = Promise.resolve();
    this.#asking = undefined;
    await Promise.all([...this.#wanted.keys()].map((queue) => this.#subscribe(queue, 0)));
  }

  async #subscribe(queue: string, attempt: number): Promise<void> {
    const shared = this.#shared;
    const model = this.#model;
    if (shared === undefined || model === undefined || this.#wanted.get(queue) !== undefined) return;
    try {
      // Consuming a missing queue would close the channel under all the others, so ask on a channel that may die.
      if (!(await queueExists(model, queue))) {
        publishBroker({ broker: this.name, event: 'queue-missing', queue });
        this.#retryLater(queue, attempt);
        return;
      }
      if (this.#refused.has(queue)) await this.#consumeAlone(model, queue);
      else await this.#consumeShared(shared, queue);
    } catch {
      if (this.#shared === shared) this.#retryLater(queue, attempt);
    }
  }

  /** n.b. one after the other, as RabbitMQ closes the channel over the one that it refuses. */
  #consumeShared(shared: ConsumerChannel, queue: string): Promise<void> {
    const consumed = this.#turn.then(async () => {
      if (this.#shared !== shared) return;
      this.#asking = queue;
      await this.#consumeOn(shared, queue);
      this.#asking = undefined;
    });
    this.#turn = consumed.catch(() => undefined);
    return consumed;
  }

  async #consumeAlone(model: ChannelModel, queue: string): Promise<void> {
    const own = this.#own.get(queue) ?? (await this.#openOwn(model, queue));
    await this.#consumeOn(own, queue);
  }

  async #openOwn(model: ChannelModel, queue: string): Promise<ConsumerChannel> {
    const channel = await model.createChannel();
    const own = { channel, acks: new AckCoalescer(channel) };
    this.#own.set(queue, own);
    channel.on('error', (error) => this.#noteRefused(queue, error));
    channel.on('close', () => {
      own.acks.close();
      if (this.#own.get(queue) === own) this.#own.delete(queue);
      if (this.#wanted.get(queue)?.channel !== channel) return;
      this.#wanted.set(queue, undefined);
      this.#retryLater(queue, 0);
    });
    await channel.prefetch(this.#options.prefetch);
    return own;
  }

  async #consumeOn({ channel, acks }: ConsumerChannel, queue: string): Promise<void> {
    const intake = this.#options.carriesWrites?.(queue) === true ? this.#writes : this;
    const { consumerTag: tag } = await channel.consume(queue, (message) => {
      if (message === null) this.#onCancelled(queue);
      else this.#onMessage(acks, message, intake);
    });
    if (acks.isClosed) return;
    // n.b. it may have been cancelled, or cancelled and wanted once more, meanwhile.
    if (this.#wanted.has(queue) && this.#wanted.get(queue) === undefined) this.#wanted.set(queue, { channel, tag });
    else await channel.cancel(tag);
    publishBroker({ broker: this.name, event: 'consuming', queue });
  }

  #noteRefused(queue: string, error: unknown): void {
    this.#refused.add(queue);
    publishBroker({ broker: this.name, event: 'queue-refused', queue, error });
  }

  #onMessage(acks: AckCoalescer, message: ConsumeMessage, intake: Intake): void {
    this.#inFlight += 1;
    this.#delivered += 1;
    acks.open(message);
    this.#options.onDelivery(new Delivery(acks, message, intake));
  }

  /** The queue was deleted under the consumer. https://www.rabbitmq.com/docs/consumer-cancel */
  #onCancelled(queue: string): void {
    if (!this.#wanted.has(queue)) return;
    this.#wanted.set(queue, undefined);
    publishBroker({ broker: this.name, event: 'consumer-cancelled', queue });
    this.#retryLater(queue, 0);
  }

  #retryLater(queue: string, attempt: number): void {
    if (this.#stopped || !this.#wanted.has(queue)) return;
    this.#clearRetry(queue);
    const timer = setTimeout(
      () => {
        this.#retries.delete(queue);
        void this.#subscribe(queue, attempt + 1);
      },
      backoffMs(attempt, RETRY),
    );
    this.#retries.set(queue, timer.unref());
  }

  #clearRetry(queue: string): void {
    clearTimeout(this.#retries.get(queue));
    this.#retries.delete(queue);
  }

  /** n.b. channels of their own tell of their end themselves. */
  #forgetShared(): void {
    const shared = this.#shared;
    this.#shared = undefined;
    shared?.acks.close();
    for (const [queue, subscription] of this.#wanted) {
      this.#clearRetry(queue);
      if (subscription?.channel === shared?.channel) this.#wanted.set(queue, undefined);
    }
  }
}

/** A channel that consumes, and what settles its messages. */
interface ConsumerChannel {
  readonly channel: Channel;
  readonly acks: AckCoalescer;
}

interface Subscription {
  readonly channel: Channel;
  readonly tag: string;
}

/** Of `basic.consume`: class 60, method 20. https://www.rabbitmq.com/amqp-0-9-1-reference#basic.consume */
function isRefusedConsumption(error: unknown): boolean {
  const { classId, methodId } = error as { readonly classId?: unknown; readonly methodId?: unknown };
  return classId === 60 && methodId === 20;
}

async function queueExists(model: ChannelModel, queue: string): Promise<boolean> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  try {
    await channel.checkQueue(queue);
  } catch (error) {
    if ((error as { code?: unknown }).code === 404) return false;
    throw error;
  }
  await channel.close();
  return true;
}

/** What a message came through. */
export interface Intake {
  /** Whether much of what may be unsettled is: soon RabbitMQ delivers no more. */
  readonly nearPrefetchLimit: boolean;
  /** Whether it is a queue of writes. */
  readonly carriesWrites?: boolean;
  /** A message was settled. */
  settled(): void;
}

/** One message, with the right to settle it exactly once, on the channel that it came from. */
export class Delivery {
  readonly body: Buffer;
  readonly properties: ConsumeMessage['properties'];
  readonly exchange: string;
  readonly routingKey: string;
  /** A hint: true whenever an earlier delivery of this message may have been worked on. */
  readonly redelivered: boolean;
  /** Whether it came by a queue of writes. */
  readonly isWrite: boolean;
  /** In terms of performance.now(). */
  readonly receivedAtMs = performance.now();
  readonly #channel: Settler;
  readonly #message: ConsumeMessage;
  readonly #intake: Intake;
  #settled = false;

  constructor(channel: Settler, message: ConsumeMessage, intake: Intake) {
    const { content, properties, fields } = message;
    this.body = content;
    this.properties = properties;
    this.exchange = fields.exchange;
    this.routingKey = fields.routingKey;
    this.redelivered = fields.redelivered;
    this.isWrite = intake.carriesWrites === true;
    this.#channel = channel;
    this.#message = message;
    this.#intake = intake;
  }

  /** Whether it may still be settled; of one that may not, RabbitMQ delivers the message again. */
  get isLive(): boolean {
    return !this.#settled && this.#channel.isClosed !== true;
  }

  /** Whether others are not delivered until this one is settled, or soon will not be. */
  get flushNow(): boolean {
    return this.#intake.nearPrefetchLimit;
  }

  /** Settles the message; later calls do nothing. A message of a channel that is gone was already given back by RabbitMQ. */
  settle(verdict: Verdict): void {
    if (this.#settled) return;
    this.#settled = true;
    try {
      // n.b. reject counts against a quorum queue's delivery-limit, nack with requeue does not from RabbitMQ 4.3 on:
      // "requeue" is for work that was never begun. https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
      if (verdict === 'ack') this.#channel.ack(this.#message);
      else if (verdict === 'requeue') this.#channel.nack(this.#message, false, true);
      else this.#channel.reject(this.#message, false);
    } catch {
      // amqplib throws IllegalOperationError on a closed channel; the tag died with it.
    } finally {
      this.#intake.settled();
    }
  }
}

/** The part of a channel that settles messages. */
export type Settler = Pick<Channel, 'ack' | 'nack' | 'reject'> & {
  /** Whether the channel is gone: RabbitMQ has given its messages back. */
  readonly isClosed?: boolean;
};

/**
 * Settles the messages of one channel with few frames: what is acknowledged in one turn and has nothing open before it goes
 * into one `basic.ack` with `multiple`. RabbitMQ handles that as one acknowledgement, which costs it a fraction.
 * https://www.rabbitmq.com/docs/confirms#consumer-acks-multiple-parameter
 */
export class AckCoalescer implements Settler {
  readonly #channel: Settler;
  /** Tags of what was delivered and is not settled, in their order: at most as many as are prefetched. */
  readonly #open = new Set<number>();
  #acks: ConsumeMessage[] = [];
  #isHeld = false;
  #isClosed = false;

  constructor(channel: Settler) {
    this.#channel = channel;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The channel is gone. */
  close(): void {
    this.#isClosed = true;
  }

  /** Sends no acknowledgement until `release` or `flush`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.flush();
  }

  /** A message was delivered. */
  open(message: ConsumeMessage): void {
    this.#open.add(message.fields.deliveryTag);
  }

  ack(message: ConsumeMessage): void {
    if (this.#acks.length === 0) process.nextTick(() => this.#flushTurn());
    this.#acks.push(message);
    this.#settle(message);
  }

  /** Throws, as the channel does, where it is closed. */
  nack(message: ConsumeMessage, allUpTo: boolean, requeue: boolean): void {
    this.#channel.nack(message, allUpTo, requeue);
    this.#settle(message);
  }

  /** Throws, as the channel does, where it is closed. */
  reject(message: ConsumeMessage, requeue: boolean): void {
    this.#channel.reject(message, requeue);
    this.#settle(message);
  }

  /** Sends what waits. */
  flush(): void {
    const acks = this.#acks;
    if (acks.length === 0) return;
    this.#acks = [];
    // n.b. RabbitMQ closes the channel over a tag that it does not know any more, so the last one must be acknowledged here.
    let last: ConsumeMessage | undefined;
    let count = 0;
    const [lowestOpen = Infinity] = this.#open;
    for (const message of acks) {
      const { deliveryTag } = message.fields;
      if (deliveryTag > lowestOpen) this.#tryAck(message, false);
      else {
        count += 1;
        if (last === undefined || deliveryTag > last.fields.deliveryTag) last = message;
      }
    }
    if (last !== undefined) this.#tryAck(last, count > 1);
  }

  #flushTurn(): void {
    if (!this.#isHeld) this.flush();
  }

  #settle(message: ConsumeMessage): void {
    this.#open.delete(message.fields.deliveryTag);
  }

  #tryAck(message: ConsumeMessage, allUpTo: boolean): void {
    try {
      this.#channel.ack(message, allUpTo);
    } catch {
      // amqplib throws IllegalOperationError on a closed channel; the tag died with it.
    }
  }
}
