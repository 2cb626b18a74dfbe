import { randomBytes } from 'node:crypto';
import type { Channel, ChannelModel } from 'amqplib';
import { settlesWithin } from '#sdk/time';
import { AmqpConnection } from '../amqp/connection.js';
import { EventPublisher } from '../amqp/event-publisher.js';
import { keepChannel } from '../amqp/kept-channel.js';
import type { Names } from '../amqp/names.js';
import { accountOf } from '../access/programs.js';
import type { Config } from '../config/schema.js';
import { publishFault } from '../observe/channels.js';
import { levelName, type LogTap, type TappedLine } from '../observe/log-tap.js';
import type { StoreStatus } from '../stores/contract.js';
import type { DomainSample } from './usage-book.js';
import type { UsageRow } from '../admin/shown.js';

/** What an operator must not miss. */
export type AlertKind = 'thread-ended' | 'store-lost' | 'store-back' | 'quarantined' | 'rolled-back' | 'dead-letter';

/** A moment of one domain, or with an empty name of the whole node; what is counted is since the moment before. */
export interface Sample extends DomainSample {
  readonly inFlight: number;
  readonly queued: number;
  readonly waiting: number;
  readonly memoryMb: number;
  readonly cpuPercent: number;
  readonly swaps: number;
}

export interface SignalsOptions {
  readonly node: string;
  readonly config: Pick<Config, 'amqp'>;
  readonly names: Names;
  /** Absent: no lines are published. */
  readonly tap: LogTap | undefined;
  readonly stores: () => readonly StoreStatus[];
  /** Domains that have queues. */
  readonly domains: () => readonly string[];
  /** How things are; `queued` is added here. */
  readonly sample: () => Promise<readonly Sample[]>;
  /** What has changed since the last time. */
  readonly usage: () => readonly UsageRow[];
}

const TICK_MS = 1_000;
const SAMPLE_MS = 5_000;
/** Usage is told with every twelfth sample. */
const USAGE_EVERY = 12;
const LINES_AT_ONCE = 100;
const ROWS_AT_ONCE = 200;
const LOOK_MS = 2_000;

/**
 * What this node tells those who keep it: its log, what must not be missed, and samples. All of it leaves on a connection of its own and
 * at most once: what RabbitMQ does not take waits within bounds or is dropped and counted, and nothing else waits for it.
 */
export class Signals {
  /** Tells processes of a node apart. */
  readonly #process = randomBytes(6).toString('hex');
  readonly #options: SignalsOptions;
  readonly #events: EventPublisher;
  readonly #connection: AmqpConnection;
  readonly #lost = new Set<string>();
  #looking: Channel | undefined;
  #dead: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sampledAt = 0;
  #samples = 0;
  #isSampling = false;

  constructor(options: SignalsOptions) {
    this.#options = options;
    const { node, config, names } = options;
    this.#events = new EventPublisher({ exchange: names.happened, node, userId: accountOf(config.amqp.url) });
    this.#connection = new AmqpConnection({ ...config.amqp, name: `${node}/signals` }, (model) => this.#setUp(model));
  }

  start(): void {
    this.#connection.start();
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Something that an operator must not miss. */
  alert(kind: AlertKind, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#events.publish({ topic: `alert.${kind}.${this.#options.node}`, data: { kind, message, ...fields } });
  }

  /** Tells what is left, and ends within moments. */
  async close(timeoutMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.#tellLines();
    this.#tellUsage();
    await this.#connection.close(timeoutMs);
  }

  #tick(): void {
    this.#tellLines();
    this.#lookAtStores();
    const at = Math.floor(Date.now() / SAMPLE_MS) * SAMPLE_MS;
    if (at === this.#sampledAt) return;
    this.#sampledAt = at;
    void this.#sample(at);
  }

  async #setUp(model: ChannelModel): Promise<void> {
    await Promise.all([
      this.#events.attach(model),
      // n.b. RabbitMQ closes a channel over the question for a queue that is not there.
      keepChannel(model, {
        create: () => model.createChannel(),
        setUp: (channel) => {
          this.#looking = channel;
        },
        onError: () => undefined,
        onClose: (channel) => {
          if (this.#looking === channel) this.#looking = undefined;
        },
      }),
    ]);
  }

  /** n.b. what RabbitMQ does not take stays in the tap, which is bounded. */
  #tellLines(): void {
    const { tap, node } = this.#options;
    if (tap === undefined || !this.#events.isReady) return;
    const byLevel = new Map<string, TappedLine[]>();
    for (const line of tap.take()) {
      const level = levelName(line.level);
      const lines = byLevel.get(level);
      if (lines === undefined) byLevel.set(level, [line]);
      else lines.push(line);
    }
    for (const [level, lines] of byLevel) {
      for (let begin = 0; begin < lines.length; begin += LINES_AT_ONCE) {
        const data = { lines: lines.slice(begin, begin + LINES_AT_ONCE), dropped: tap.dropped };
        this.#events.publish({ topic: `log.${level}.${node}`, data });
      }
    }
  }

  #lookAtStores(): void {
    for (const { store, up, lastError } of this.#options.stores()) {
      if (up === !this.#lost.has(store)) continue;
      if (up) {
        this.#lost.delete(store);
        this.alert('store-back', `Store ${store} is reached again.`, { store });
      } else {
        this.#lost.add(store);
        this.alert('store-lost', `Store ${store} is not reached: ${lastError ?? 'no reason is known'}`, { store });
      }
    }
  }

  async #sample(at: number): Promise<void> {
    if (this.#isSampling) return;
    this.#isSampling = true;
    try {
      const depths = await this.#depths();
      const samples = (await this.#options.sample()).map((sample) => ({
        ...sample,
        queued: depths.get(sample.domain) ?? 0,
      }));
      const data = { at, process: this.#process, samples };
      // n.b. older ones would come in the place of newer ones.
      if (this.#events.isReady) this.#events.publish({ topic: `sample.${this.#options.node}`, data });
      this.#samples += 1;
      if (this.#samples % USAGE_EVERY === 0) this.#tellUsage();
    } catch (error) {
      publishFault({ where: 'sample of this node', error });
    } finally {
      this.#isSampling = false;
    }
  }

  #tellUsage(): void {
    if (!this.#events.isReady) return;
    const rows = this.#options.usage();
    for (let begin = 0; begin < rows.length; begin += ROWS_AT_ONCE) {
      const data = { process: this.#process, rows: rows.slice(begin, begin + ROWS_AT_ONCE) };
      this.#events.publish({ topic: `usage.${this.#options.node}`, data });
    }
  }

  /** Messages that wait, by domain, all of them under the empty name. What cannot be found out is left out. */
  async #depths(): Promise<ReadonlyMap<string, number>> {
    const depths = new Map<string, number>();
    const channel = this.#looking;
    if (channel === undefined) return depths;
    const { names, domains } = this.#options;
    const look = async (): Promise<void> => {
      this.#noteDead((await channel.checkQueue(names.dead)).messageCount);
      for (const domain of domains()) {
        const read = await channel.checkQueue(names.queue(domain, 'read'));
        const write = await channel.checkQueue(names.queue(domain, 'write'));
        const count = read.messageCount + write.messageCount;
        depths.set(domain, count);
        depths.set('', (depths.get('') ?? 0) + count);
      }
    };
    // n.b. a queue may be missing: then another channel is opened, and the next look sees all of them.
    await settlesWithin(
      look().catch(() => undefined),
      LOOK_MS,
    );
    return depths;
  }

  /** n.b. whoever looks into the queue gives back what he took: only a new high is news. */
  #noteDead(count: number): void {
    const before = this.#dead;
    this.#dead = count;
    if (before === undefined || count <= before) return;
    const more = count - before;
    const words = more === 1 ? 'A message was' : `${more.toLocaleString('en')} messages were`;
    this.alert('dead-letter', `${words} not carried out and kept as a dead letter.`, { more, count });
  }
}
