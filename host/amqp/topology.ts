import type { Channel, ChannelModel } from 'amqplib';
import { connectionErrors } from '#sdk/amqp';
import { withTimeout } from '#sdk/time';
import { isBedsError, type Manifest, type OperationMode } from '@beds/sdk';
import { DESCRIBE } from '#sdk/template';
import type { OwnQueue } from '../brokers/define.js';
import type { Config } from '../config/schema.js';
import { amqpErrors } from '../errors/amqp.js';
import type { Names } from './names.js';

/** How long a request that no domain is bound for may wait for a host to answer that. */
const UNROUTED_TTL_MS = 60_000;

/**
 * Longest that RabbitMQ may take for one of these: short of memory it answers nothing on a connection that published, and whoever
 * asks may hold what every rollout needs.
 */
const ANSWER_MS = 10_000;

/** Messages that are kept for inspection after they were rejected. */
const MAX_DEAD = 100_000;

/** Names of domains that are kept, a message each. n.b. each start of a node says its own again, so what is dropped is old. */
const MAX_NAMES = 10_000;

export interface TopologyOptions {
  readonly names: Names;
  readonly settings: Config['topology'];
  /** Queues of brokers that belong to no domain. */
  readonly ownQueues?: readonly OwnQueue[];
}

/** Depth of a domain's queues. */
export interface QueueStatus {
  readonly queue: string;
  readonly ready: number;
  readonly consumers: number;
}

const MODES: readonly OperationMode[] = ['read', 'write'];

/** n.b. not durable messages in a durable queue: who consumes it finds it, and nobody waits for a disk. */
function lossy(maxBytes: number): Parameters<Channel['assertQueue']>[1] {
  return {
    durable: true,
    arguments: { 'x-queue-type': 'classic', 'x-max-length-bytes': maxBytes, 'x-overflow': 'drop-head' },
  };
}

type DomainOperations = Pick<Manifest, 'domain' | 'operations'>;

/** Queues and bindings of a domain that are there, as far as this host knows. */
interface Confirmed {
  /** In terms of performance.now(). */
  readonly untilMs: number;
  readonly bound: ReadonlyMap<string, OperationMode>;
}

type BoundOperations = Readonly<Record<string, { readonly mode: OperationMode }>>;

/** What a domain has bindings for: its operations, and the question what they are. */
export function boundOperations({ operations }: Pick<Manifest, 'operations'>): BoundOperations {
  return { ...operations, [DESCRIBE]: { mode: 'read' } };
}

/**
 * Declares (or, where operations own the topology, only checks) exchanges, queues and bindings. Every call is idempotent
 * and runs on a channel of its own, because a refused declaration closes its channel.
 */
export class Topology {
  readonly #options: TopologyOptions;
  readonly #model: () => ChannelModel | undefined;
  /** By domain, on the present connection. */
  readonly #confirmed = new Map<string, Confirmed>();
  #confirmedOn: ChannelModel | undefined;
  /** How often something was taken away. */
  #removals = 0;

  /** `model` gives the present control connection. */
  constructor(options: TopologyOptions, model: () => ChannelModel | undefined) {
    this.#options = options;
    this.#model = model;
  }

  /** What every host needs. Rejects with BEDS_AMQP_TOPOLOGY_MISMATCH where something exists with other properties. */
  async assertBase(): Promise<void> {
    const { names, settings } = this.#options;
    await this.#withChannel(async (channel) => {
      if (!settings.declare) {
        for (const exchange of [names.requests, names.events, names.happened, names.admin, names.operate]) {
          await channel.checkExchange(exchange);
        }
        return;
      }
      await channel.assertExchange(names.dead, 'fanout', { durable: true });
      await channel.assertQueue(names.dead, { durable: true, maxLength: MAX_DEAD });
      await channel.bindQueue(names.dead, names.dead, '');
      await channel.assertExchange(names.unrouted, 'fanout', { durable: true });
      await channel.assertQueue(names.unrouted, { durable: true, messageTtl: UNROUTED_TTL_MS });
      await channel.bindQueue(names.unrouted, names.unrouted, '');
      await channel.assertQueue(names.domains, { durable: true, maxLength: MAX_NAMES });
      await channel.assertExchange(names.requests, 'topic', { durable: true, alternateExchange: names.unrouted });
      await channel.assertExchange(names.events, 'topic', { durable: true });
      await channel.assertExchange(names.happened, 'topic', { durable: true });
      await channel.assertExchange(names.admin, 'fanout', { durable: true });
      await channel.assertExchange(names.operate, 'fanout', { durable: true });
    });
    for (const queue of this.#options.ownQueues ?? []) await this.#assertOwnQueue(queue);
  }

  /**
   * The same as `assertDomain`; nothing where that was confirmed a moment ago. It is done anew every `topology.checkIntervalMs` as long as
   * RabbitMQ answers, so what was confirmed counts for twice as long.
   */
  async requireDomain({ domain, operations }: DomainOperations): Promise<void> {
    const isSame = this.#confirmedOn !== undefined && this.#confirmedOn === this.#model();
    const { untilMs = 0, bound } = (isSame ? this.#confirmed.get(domain) : undefined) ?? {};
    const isKnown = Object.entries(operations).every(([name, { mode }]) => bound?.get(name) === mode);
    if (!isKnown || untilMs <= performance.now()) await this.assertDomain({ domain, operations });
  }

  /** The queues of a domain and a binding for each of its operations. */
  async assertDomain({ domain, operations }: DomainOperations): Promise<void> {
    const { names, settings } = this.#options;
    const untilMs = performance.now() + 2 * settings.checkIntervalMs;
    const [model, removals] = [this.#model(), this.#removals];
    // n.b. once for each connection, not each time that the domain is asserted.
    const isNamed = model === this.#confirmedOn && this.#confirmed.has(domain);
    const queues = { read: names.queue(domain, 'read'), write: names.queue(domain, 'write') };
    await this.#withChannel(async (channel) => {
      for (const mode of MODES) {
        if (settings.declare) await channel.assertQueue(queues[mode], this.#queueOptions(mode));
        else await channel.checkQueue(queues[mode]);
      }
      if (!isNamed) channel.sendToQueue(names.domains, Buffer.from(domain), { persistent: true });
      if (!settings.declare) return;
      for (const [operation, { mode }] of Object.entries(boundOperations({ operations }))) {
        await channel.bindQueue(queues[mode], names.requests, `${domain}.${operation}`);
      }
    });
    // n.b. what was taken away meanwhile has not been confirmed.
    if (model !== this.#model() || removals !== this.#removals) return;
    if (model !== this.#confirmedOn) this.#confirmed.clear();
    this.#confirmedOn = model;
    const bound = new Map(Object.entries(operations).map(([name, { mode }]) => [name, mode]));
    this.#confirmed.set(domain, { untilMs, bound });
  }

  /** Ends the bindings of operations, so that requests for them are answered as unknown. */
  async unbind(domain: string, operations: BoundOperations): Promise<void> {
    const { names, settings } = this.#options;
    this.#taken(domain);
    if (!settings.declare) return;
    await this.#withChannel(async (channel) => {
      for (const [operation, { mode }] of Object.entries(operations)) {
        await channel.unbindQueue(names.queue(domain, mode), names.requests, `${domain}.${operation}`);
      }
    });
  }

  /** Deletes the queues of a domain that nobody consumes and that hold nothing. */
  async deleteIdle(domain: string): Promise<void> {
    this.#taken(domain);
    if (!this.#options.settings.declare) return;
    let left = 0;
    for (const { queue, ready, consumers } of await this.status(domain)) {
      // n.b. quorum queues refuse if-empty and if-unused with a connection error, so the check comes first.
      if (ready === 0 && consumers === 0) await this.#withChannel((channel) => channel.deleteQueue(queue));
      else left += 1;
    }
    if (left === 0) await this.knownDomains(domain);
  }

  /** Depth and consumers of the domain's queues; a queue that does not exist is left out. */
  async status(domain: string): Promise<readonly QueueStatus[]> {
    const found = await Promise.all(
      MODES.map(async (mode) => {
        try {
          return await this.#withChannel((channel) => channel.checkQueue(this.#options.names.queue(domain, mode)));
        } catch (error) {
          if (isBedsError(error) && error.code === 'BEDS_AMQP_TOPOLOGY_MISMATCH') return undefined;
          throw error;
        }
      }),
    );
    return found.flatMap((entry) =>
      entry === undefined ? [] : [{ queue: entry.queue, ready: entry.messageCount, consumers: entry.consumerCount }],
    );
  }

  /**
   * The domains that any node has served, but for one that has no queues any more. n.b. who asks holds the names for a moment, so that
   * another one who asks meanwhile learns of fewer.
   */
  async knownDomains(gone?: string): Promise<readonly string[]> {
    const known = new Set<string>();
    await this.#withChannel(async (channel) => {
      for (let count = 0; count < MAX_NAMES; count += 1) {
        const message = await channel.get(this.#options.names.domains);
        if (message === false) break;
        const name = message.content.toString();
        if (name === gone || known.has(name)) channel.ack(message);
        else known.add(name);
      }
      // n.b. the others go back when the channel closes.
    });
    return [...known];
  }

  async #assertOwnQueue({ name, bindings = {}, isShared, keepsDead, lossyBytes }: OwnQueue): Promise<void> {
    const { names, settings } = this.#options;
    if (isShared === true) return;
    await this.#withChannel(async (channel) => {
      const queue = `${names.prefix}.${name}`;
      if (!settings.declare) {
        await channel.checkQueue(queue);
        return;
      }
      const { deadLetterExchange: _, ...forgetful } = this.#queueOptions('write') ?? {};
      const kept = keepsDead === false ? forgetful : this.#queueOptions('write');
      await channel.assertQueue(queue, lossyBytes === undefined ? kept : lossy(lossyBytes));
      for (const [exchange, patterns] of Object.entries(bindings)) {
        for (const pattern of patterns) await channel.bindQueue(queue, `${names.prefix}.${exchange}`, pattern);
      }
    });
  }

  /** Something of the domain is about to be taken away. */
  #taken(domain: string): void {
    this.#removals += 1;
    this.#confirmed.delete(domain);
  }

  #queueOptions(mode: OperationMode): Parameters<Channel['assertQueue']>[1] {
    const { names, settings } = this.#options;
    const type = mode === 'read' ? settings.readQueueType : settings.writeQueueType;
    return {
      durable: true,
      deadLetterExchange: names.dead,
      arguments: {
        'x-queue-type': type,
        ...(type === 'quorum' ? { 'x-delivery-limit': settings.deliveryLimit } : {}),
      },
    };
  }

  #withChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    return withTimeout(this.#onChannel(work), ANSWER_MS, () =>
      connectionErrors.make('BEDS_AMQP_UNAVAILABLE', 'RabbitMQ did not answer in time.'),
    );
  }

  async #onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const model = this.#model();
    if (model === undefined) throw connectionErrors.make('BEDS_AMQP_UNAVAILABLE');
    const channel = await model.createChannel();
    channel.on('error', () => undefined);
    try {
      const result = await work(channel);
      await channel.close();
      return result;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === 406 || code === 404) {
        throw amqpErrors.make('BEDS_AMQP_TOPOLOGY_MISMATCH', (error as Error).message, { cause: error });
      }
      throw connectionErrors.make('BEDS_AMQP_UNAVAILABLE', undefined, { cause: error });
    }
  }
}
