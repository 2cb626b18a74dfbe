import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { backoffMs } from '#sdk/time';
import { publishBroker } from '../observe/channels.js';
import { Delivery, type Intake } from './delivery.js';
import { JoinedAcks } from './joined-acks.js';

const RETRY = { minMs: 100, maxMs: 5_000 } as const;

export interface BrokerOptions {
  readonly name: string;
  /** Unacknowledged messages for each queue. */
  readonly prefetch: number;
  /** Whether it consumes queues of writes. */
  readonly carriesWrites?: boolean;
  /** Called for each message, synchronously; must not throw. */
  readonly onDelivery: (delivery: Delivery) => void;
}

/**
 * One supervised consumer: a channel and its subscriptions, made again on every new connection and after every channel
 * error. A queue that is missing is tried again with growing waits; the other queues never notice.
 */
export class Broker implements Intake {
  readonly #options: BrokerOptions;
  readonly #wanted = new Map<string, string | undefined>();
  readonly #retries = new Map<string, NodeJS.Timeout>();
  #model: ChannelModel | undefined;
  #channel: Channel | undefined;
  #acks: JoinedAcks | undefined;
  #inFlight = 0;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get carriesWrites(): boolean {
    return this.#options.carriesWrites === true;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** n.b. `prefetch` counts for each queue; with several this is on the safe side. */
  get isNarrow(): boolean {
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
  async attach(model: ChannelModel): Promise<void> {
    this.#model = model;
    model.once('close', () => {
      if (this.#model === model) this.#forgetChannel();
    });
    await this.#open(model);
  }

  /** Consumes a queue from now on. Resolves when RabbitMQ confirmed it, or at once while there is no connection. */
  async consume(queue: string): Promise<void> {
    if (this.#wanted.has(queue)) return;
    this.#wanted.set(queue, undefined);
    await this.#subscribe(queue, 0);
  }

  /** Consumes a queue no longer; messages that were delivered stay in flight. */
  async cancel(queue: string): Promise<void> {
    const tag = this.#wanted.get(queue);
    this.#wanted.delete(queue);
    this.#clearRetry(queue);
    if (tag !== undefined) await this.#channel?.cancel(tag).catch(() => undefined);
  }

  /** Cancels every queue for good. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#wanted.keys()].map((queue) => this.cancel(queue)));
  }

  /**
   * Resolves when all has been read that RabbitMQ had sent before. n.b. it is told anew what it knows, which changes nothing
   * for the consumers that are there.
   */
  async roundTrip(): Promise<void> {
    await this.#channel?.prefetch(this.#options.prefetch);
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
    const channel = this.#channel;
    this.#acks?.flush();
    this.#forgetChannel();
    await channel?.close().catch(() => undefined);
  }

  async #open(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    // n.b. a channel error without listener closes the whole connection.
    channel.on('error', (error) => {
      publishBroker({ broker: this.name, event: 'channel-lost', error });
    });
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.#forgetChannel();
      if (this.#model === model) this.#reopenLater(model, 0);
    });
    await channel.prefetch(this.#options.prefetch);
    this.#channel = channel;
    this.#acks = new JoinedAcks(channel);
    await Promise.all([...this.#wanted.keys()].map((queue) => this.#subscribe(queue, 0)));
  }

  #reopenLater(model: ChannelModel, attempt: number): void {
    setTimeout(
      () => {
        if (this.#model !== model || this.#stopped || this.#channel !== undefined) return;
        this.#open(model).catch(() => {
          this.#reopenLater(model, attempt + 1);
        });
      },
      backoffMs(attempt, RETRY),
    ).unref();
  }

  async #subscribe(queue: string, attempt: number): Promise<void> {
    const channel = this.#channel;
    const acks = this.#acks;
    const model = this.#model;
    if (channel === undefined || acks === undefined || model === undefined || this.#wanted.get(queue) !== undefined)
      return;
    try {
      // Consuming a missing queue would close the channel under all the others, so ask on a channel that may die.
      if (!(await queueExists(model, queue))) {
        publishBroker({ broker: this.name, event: 'queue-missing', queue });
        this.#retryLater(queue, attempt);
        return;
      }
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message === null) this.#onCancelled(queue);
        else this.#onMessage(acks, message);
      });
      if (this.#channel !== channel) return;
      if (this.#wanted.has(queue)) this.#wanted.set(queue, consumerTag);
      else await channel.cancel(consumerTag);
      publishBroker({ broker: this.name, event: 'consuming', queue });
    } catch {
      if (this.#channel === channel) this.#retryLater(queue, attempt);
    }
  }

  #onMessage(acks: JoinedAcks, message: ConsumeMessage): void {
    this.#inFlight += 1;
    acks.open(message);
    this.#options.onDelivery(new Delivery(acks, message, this));
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

  #forgetChannel(): void {
    this.#channel = undefined;
    this.#acks?.close();
    this.#acks = undefined;
    for (const queue of this.#wanted.keys()) {
      this.#wanted.set(queue, undefined);
      this.#clearRetry(queue);
    }
  }
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
