import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ChannelModel } from 'amqplib';
import { backoffMs, withTimeout } from '#sdk/time';
import { type Delivery, QueueConsumer } from '../amqp/queue-consumer.js';
import { wordsFor } from '../errors/thrown.js';
import { type BrokerEvent, brokerChannel, publishBroker } from '../observe/channels.js';
import type { BrokerPlan } from '../roles.js';
import type { BrokerContext, OpenBroker, RunningBroker } from './contract.js';

/**
 * - `consuming`: every queue that it wants is consumed
 * - `waiting`: RabbitMQ is away, or one of its queues is missing
 * - `idle`: there is nothing for it to consume
 * - `failed`: it ended, and the next one opens after a pause
 * - `stopped`: it takes nothing more
 */
export type BrokerState = 'consuming' | 'waiting' | 'idle' | 'failed' | 'stopped';

/** One broker of one thread, as it stands. */
export interface BrokerStatus {
  /** `rBroker-1` */
  readonly name: string;
  /** Its entry in the configuration, and the type of that. */
  readonly entry: string;
  readonly type: string;
  readonly state: BrokerState;
  /** The queues that it consumes right now. */
  readonly queues: readonly string[];
  readonly inFlight: number;
  /** Messages since its thread started. */
  readonly messages: number;
  /** Over the last ten seconds. */
  readonly messagesPerSecond: number;
  /** How often it was opened again, or its channel was, since its thread started. */
  readonly restarts: number;
  readonly lastError?: { readonly message: string; /** ISO 8601. */ readonly at: string };
  /** Values of the metrics that its type declares. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export type OpenBrokers = ReadonlyMap<string, OpenBroker>;

/** Loads what runs of each type. n.b. before the realm is sealed. */
export async function loadBrokers(plans: readonly BrokerPlan[]): Promise<OpenBrokers> {
  const types = [...new Set(plans.map(({ type }) => type))];
  return new Map(
    await Promise.all(
      types.map(async (type) => {
        const module = (await import(new URL(`./${type}/broker.js`, import.meta.url).href)) as { open: OpenBroker };
        return [type, module.open] as const;
      }),
    ),
  );
}

export interface BrokerPoolOptions extends Omit<BrokerContext, 'name' | 'plan' | 'fail'> {
  readonly plans: readonly BrokerPlan[];
  readonly types: OpenBrokers;
  readonly prefix: string;
}

/** All brokers of a thread: `rBroker-1`, `wBroker-1`, … Each is supervised by itself: the failure of one is nothing to the others. */
export class BrokerPool {
  readonly #brokers: readonly SupervisedBroker[];
  readonly #prefix: string;
  readonly #onEvent = (message: unknown): void => {
    const { broker, event, queue = '', error } = message as BrokerEvent;
    for (const each of this.#brokers) {
      if (each.name !== broker) continue;
      if (event === 'channel-lost') each.consumerLost(error);
      else if (event === 'consumer-cancelled') each.consumerLost(`RabbitMQ cancelled the consumer of ${queue}.`);
      else if (event === 'queue-refused') each.noteError(`RabbitMQ refuses ${queue}: ${wordsFor(error)}`);
    }
  };

  constructor({ plans, types, prefix, ...context }: BrokerPoolOptions) {
    this.#prefix = prefix;
    this.#brokers = plans.flatMap((plan) => {
      const open = types.get(plan.type);
      if (open === undefined) return [];
      return Array.from({ length: plan.count }, (_, index) => {
        const name = `${plan.name}-${String(index + 1)}`;
        return new SupervisedBroker(open, { ...context, name, plan });
      });
    });
    subscribe(brokerChannel.name, this.#onEvent);
  }

  get status(): readonly BrokerStatus[] {
    return this.#brokers.map((broker) => broker.status());
  }

  async attach(model: ChannelModel): Promise<void> {
    await this.#each((broker) => broker.attach(model));
  }

  /** Every broker of the entry consumes the queue from now on. */
  async consume(entry: string, queue: string): Promise<void> {
    await this.#each(async (broker) => {
      if (broker.plan.name === entry) await broker.consume(queue);
    });
  }

  /** Every broker consumes its own queues, those of no domain, from now on. */
  async consumeOwn(): Promise<void> {
    await this.#each(async (broker) => {
      for (const { name } of broker.plan.ownQueues) await broker.consume(`${this.#prefix}.${name}`);
    });
  }

  async cancel(queue: string): Promise<void> {
    await this.#each((broker) => broker.cancel(queue));
  }

  /** Takes a sample of how much comes, for the rates. */
  sample(): void {
    for (const broker of this.#brokers) broker.sample(performance.now());
  }

  /** No more intake. */
  async stop(): Promise<void> {
    await this.#each((broker) => broker.stop());
  }

  /** Resolves when all has been read that RabbitMQ had sent before. */
  async roundTrip(): Promise<void> {
    await this.#each((broker) => broker.roundTrip());
  }

  /** Resolves when no message is in flight. */
  async idle(): Promise<void> {
    await this.#each((broker) => broker.idle());
  }

  async close(): Promise<void> {
    unsubscribe(brokerChannel.name, this.#onEvent);
    await this.#each((broker) => broker.close());
  }

  async #each(act: (broker: SupervisedBroker) => Promise<void>): Promise<void> {
    await Promise.all(this.#brokers.map((broker) => act(broker)));
  }
}

/** Less than a connection has for its set-up. */
const OPEN_MS = 2_000;
/** Between a failure and the next broker. */
const PAUSE = { minMs: 100, maxMs: 30_000 } as const;
/** After so long without a failure the pauses are short again. */
const STEADY_MS = 60_000;
const SAMPLE_MS = 1_000;
const MAX_SAMPLES = 10;

class SupervisedBroker {
  readonly #open: OpenBroker;
  readonly #context: Omit<BrokerContext, 'fail'>;
  readonly #wanted = new Set<string>();
  readonly #samples: { readonly atMs: number; readonly messages: number }[] = [
    { atMs: performance.now(), messages: 0 },
  ];
  #consumer: QueueConsumer;
  #running: RunningBroker | undefined;
  #model: ChannelModel | undefined;
  #state: 'closed' | 'open' | 'failed' | 'stopped' = 'closed';
  #messages = 0;
  #restarts = 0;
  /** In a row. */
  #failures = 0;
  #failedAtMs = -Infinity;
  #lastError: BrokerStatus['lastError'];
  #pause: NodeJS.Timeout | undefined;
  /** From then on `fail` of the one that is open means nothing. */
  #disown = (): void => undefined;
  #opening: Promise<void> | undefined;
  #attached: { readonly consumer: QueueConsumer; readonly model: ChannelModel } | undefined;

  constructor(open: OpenBroker, context: Omit<BrokerContext, 'fail'>) {
    this.#open = open;
    this.#context = context;
    this.#consumer = this.#makeConsumer();
  }

  get name(): string {
    return this.#context.name;
  }

  get plan(): BrokerPlan {
    return this.#context.plan;
  }

  /** A new connection: opens what is not open yet, and consumes. Never rejects for a broker that cannot be opened. */
  async attach(model: ChannelModel): Promise<void> {
    this.#model = model;
    model.once('close', () => {
      if (this.#model === model) this.#model = undefined;
    });
    if (this.#state === 'closed') await this.#openRunning();
    await this.#attachConsumer();
  }

  async consume(queue: string): Promise<void> {
    this.#wanted.add(queue);
    await this.#consumer.consume(queue);
  }

  async cancel(queue: string): Promise<void> {
    this.#wanted.delete(queue);
    await this.#consumer.cancel(queue);
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearTimeout(this.#pause);
    await this.#consumer.stop();
  }

  roundTrip(): Promise<void> {
    return this.#consumer.roundTrip();
  }

  idle(): Promise<void> {
    return this.#consumer.idle();
  }

  async close(): Promise<void> {
    await this.#consumer.close();
    await this.#closeRunning();
  }

  /** RabbitMQ closed its channel or cancelled its consumer; what consumes makes another by itself. */
  consumerLost(error: unknown): void {
    this.#noteRestart(error);
  }

  /** `beds status` shows the last one. */
  noteError(error: unknown): void {
    this.#lastError = { message: wordsFor(error), at: new Date().toISOString() };
  }

  sample(nowMs: number): void {
    if (nowMs - (this.#samples.at(-1)?.atMs ?? 0) < SAMPLE_MS) return;
    this.#samples.push({ atMs: nowMs, messages: this.#messages });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  status(): BrokerStatus {
    const { name, plan } = this.#context;
    const { queues, inFlight } = this.#consumer;
    const metrics = this.#metrics();
    return {
      name,
      entry: plan.name,
      type: plan.type,
      state: this.#stateOf(queues.length),
      queues,
      inFlight,
      messages: this.#messages,
      messagesPerSecond: this.#messagesPerSecond(),
      restarts: this.#restarts,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      ...(metrics === undefined ? {} : { metrics }),
    };
  }

  /** It is on the path of every message. */
  #take(delivery: Delivery): void {
    this.#messages += 1;
    const running = this.#running;
    try {
      const handled = running?.handle(delivery);
      if (handled === undefined) return;
      handled.catch((error: unknown) => {
        // n.b. what one that was replaced rejects late says nothing about the next.
        if (this.#running === running) this.#fail(error);
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  #makeConsumer(): QueueConsumer {
    const { name, plan } = this.#context;
    return new QueueConsumer({
      name,
      prefetch: plan.prefetch,
      carriesWrites: (queue) => plan.domainQueues.includes('write') && queue.endsWith('.write'),
      onDelivery: (delivery) => this.#take(delivery),
    });
  }

  #openRunning(): Promise<void> {
    this.#opening ??= this.#tryOpen().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #tryOpen(): Promise<void> {
    let isCurrent = true;
    const fail = (error: unknown): void => {
      if (isCurrent) this.#fail(error);
    };
    this.#disown();
    this.#disown = () => (isCurrent = false);
    // n.b. the others of the thread wait for it while a connection is set up.
    const opening = Promise.resolve().then(() => this.#open({ ...this.#context, fail }));
    try {
      this.#running = await withTimeout(opening, OPEN_MS, () => {
        opening.then((late) => late.close?.()).catch(() => undefined);
        return new Error(`It was not open after ${String(OPEN_MS)} ms.`);
      });
      // n.b. it may have been stopped meanwhile, or have failed by itself.
      if (this.#state === 'closed') this.#state = 'open';
      else await this.#closeRunning();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends this one, and opens the next after a pause. RabbitMQ gets back what it had not settled. */
  #fail(error: unknown): void {
    if (this.#state === 'failed' || this.#state === 'stopped') return;
    this.#state = 'failed';
    publishBroker({ broker: this.name, event: 'failed', error });
    const nowMs = performance.now();
    this.#failures = nowMs - this.#failedAtMs > STEADY_MS ? 0 : this.#failures + 1;
    this.#failedAtMs = nowMs;
    this.#noteRestart(error);
    const failed = this.#consumer;
    this.#consumer = this.#makeConsumer();
    void failed.close();
    void this.#closeRunning();
    this.#pause = setTimeout(() => void this.#openAgain(), backoffMs(this.#failures, PAUSE)).unref();
  }

  async #openAgain(): Promise<void> {
    this.#state = 'closed';
    await this.#openRunning();
    const consumer = this.#consumer;
    try {
      for (const queue of this.#wanted) await consumer.consume(queue);
      await this.#attachConsumer();
    } catch (error) {
      if (this.#consumer === consumer) this.#fail(error);
    }
  }

  /** Once for each connection and each consumer. */
  async #attachConsumer(): Promise<void> {
    const consumer = this.#consumer;
    const model = this.#model;
    const isAttached = this.#attached?.consumer === consumer && this.#attached.model === model;
    if (this.#state !== 'open' || model === undefined || isAttached) return;
    this.#attached = { consumer, model };
    await consumer.attach(model);
  }

  async #closeRunning(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    try {
      await running?.close?.();
    } catch (error) {
      publishBroker({ broker: this.name, event: 'failed', error });
    }
  }

  #noteRestart(error: unknown): void {
    this.#restarts += 1;
    this.noteError(error);
  }

  #stateOf(consumed: number): BrokerState {
    if (this.#state === 'failed' || this.#state === 'stopped') return this.#state;
    if (this.#model === undefined || consumed < this.#wanted.size) return 'waiting';
    return this.#wanted.size === 0 ? 'idle' : 'consuming';
  }

  #messagesPerSecond(): number {
    const oldest = this.#samples[0];
    const seconds = (performance.now() - (oldest?.atMs ?? 0)) / 1_000;
    return seconds < 1 ? 0 : (this.#messages - (oldest?.messages ?? 0)) / seconds;
  }

  #metrics(): BrokerStatus['metrics'] {
    try {
      return this.#running?.metrics?.();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }
}
