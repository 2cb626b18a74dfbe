import type { Channel, ChannelModel, ConsumeMessage, GetMessage } from 'amqplib';
import type { ProgramPolicy } from '../access/programs.js';
import type { HandOver } from '../amqp/hand-over.js';
import { AckCoalescer, Delivery, type Intake } from '../amqp/queue-consumer.js';
import type { QueueStatus } from '../amqp/topology.js';
import { publishFault } from '../observe/channels.js';
import { copyInNameOf, SINCE, sinceOf } from './dead-letters.js';
import type { RemoteDomains } from './remote-domains.js';
import { hasReplyTo } from './request-scope.js';

export interface AbsentRolesOptions {
  /** What roles of other nodes have: domains that they name, and `*`. */
  readonly domains: readonly string[];
  readonly remote: Pick<RemoteDomains, 'look' | 'isAway' | 'rest'>;
  readonly model: () => ChannelModel | undefined;
  /** Answers a request of a domain that nobody serves, and settles it. */
  readonly refuse: (delivery: Delivery) => void;
  readonly handOver: HandOver;
  readonly programs: Pick<ProgramPolicy, 'copyInNameOf'>;
  /** Where requests are published. */
  readonly exchange: string;
  /** Longest that a write is held. */
  readonly holdMs: number;
}

/** How often it is looked who serves a domain, and how often while nobody does: a caller waits for that. */
const LOOK_MS = 5_000;
const ABSENT_LOOK_MS = 500;
/** Messages that are taken at once, and that may be unsettled. */
const MOST_AT_ONCE = 200;
const MOST_OPEN = 1_000;
/** A queue that RabbitMQ refuses is not asked for again in this time. */
const REFUSED_MS = 30_000;

/**
 * Answers callers of a role that nobody plays any more: their requests lie in queues that nobody consumes, and would be answered
 * by nobody. They are taken one by one, not consumed, so that whoever counts consumers counts those that serve. A write that nobody
 * waits for is held, unacknowledged, and given back when the role is played again.
 */
export class AbsentRoles {
  readonly #options: AbsentRolesOptions;
  readonly #held = new Map<string, readonly Delivery[]>();
  /** By queue. n.b. RabbitMQ closes the channel over one that it refuses: what others hold would be marked as delivered before. */
  readonly #open = new Map<string, Promise<Opened>>();
  /** Until when a queue is left alone that could not be read, in terms of performance.now(). */
  readonly #refusedUntil = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #unsettled = 0;
  #looking: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: AbsentRolesOptions) {
    this.#options = options;
    if (options.domains.length > 0) this.#lookIn(LOOK_MS);
  }

  /** What is held goes back; resolves when RabbitMQ has it. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    await Promise.all([...this.#held.keys()].map((domain) => this.#giveBack(domain)));
  }

  #lookIn(ms: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#lookAtAll().then(
        (nextMs) => this.#lookIn(nextMs),
        (error: unknown) => {
          publishFault({ where: 'requests to roles that nobody plays', error });
          this.#lookIn(LOOK_MS);
        },
      );
    }, ms).unref();
  }

  async #lookAtAll(): Promise<number> {
    const { domains: named, remote, holdMs } = this.#options;
    const beganMs = performance.now();
    let nextMs = LOOK_MS;
    const domains = new Set([...named, ...this.#held.keys(), ...((await remote.rest()) ?? [])]);
    domains.delete('*');
    for (const domain of domains) {
      const queues = await remote.look(domain);
      if (queues === undefined) continue;
      if (!remote.isAway(domain)) {
        await this.#giveBack(domain);
        continue;
      }
      // n.b. without queues nothing can lie in one, and RabbitMQ writes a line each time it is asked for one that it has not.
      // It takes a while for many of them.
      if (queues.length > 0) nextMs = Math.min(nextMs, Math.max(ABSENT_LOOK_MS, performance.now() - beganMs));
      await this.#giveBack(domain, performance.now() - holdMs);
      for (const queue of queues) if ((await this.#tryTake(domain, queue)) === MOST_AT_ONCE) nextMs = 0;
    }
    return nextMs;
  }

  /** Gives how many were taken. */
  async #tryTake(domain: string, status: QueueStatus): Promise<number> {
    const isRefused = (): boolean => performance.now() < (this.#refusedUntil.get(status.queue) ?? 0);
    if (isRefused()) return 0;
    try {
      return await this.#take(domain, status);
    } catch (error) {
      // n.b. the others are looked at all the same.
      if (!isRefused()) publishFault({ where: 'queues of roles that nobody plays', error });
      return 0;
    }
  }

  async #take(domain: string, { queue, ready }: QueueStatus): Promise<number> {
    const most = Math.min(ready, MOST_AT_ONCE, MOST_OPEN - this.#unsettled);
    const model = this.#options.model();
    if (most <= 0 || model === undefined || this.#isStopped) return 0;
    const { channel, acks } = await this.#channelOf(queue, model);
    const intake: Intake = {
      carriesWrites: queue.endsWith('.write'),
      nearPrefetchLimit: false,
      settled: () => (this.#unsettled -= 1),
    };
    const got = await Promise.all(Array.from({ length: most }, () => channel.get(queue)));
    const messages = got.filter((message) => message !== false);
    for (const message of messages) this.#answer(domain, this.#deliveryOf(message, acks, intake));
    return messages.length;
  }

  #channelOf(queue: string, model: ChannelModel): Promise<Opened> {
    const known = this.#open.get(queue);
    if (known !== undefined) return known;
    const opening = this.#openOn(queue, model);
    this.#open.set(queue, opening);
    opening.catch(() => this.#open.delete(queue));
    return opening;
  }

  async #openOn(queue: string, model: ChannelModel): Promise<Opened> {
    const channel = await model.createChannel();
    const acks = new AckCoalescer(channel);
    // n.b. RabbitMQ closes it over a queue that is gone or refused, and gives back what was taken.
    channel.on('error', (error) => {
      this.#refusedUntil.set(queue, performance.now() + REFUSED_MS);
      publishFault({ where: `queue ${queue} of a role that nobody plays`, error });
    });
    channel.on('close', () => {
      acks.close();
      this.#open.delete(queue);
      this.#dropGone();
    });
    return { channel, acks };
  }

  #deliveryOf(message: GetMessage, acks: AckCoalescer, intake: Intake): Delivery {
    this.#unsettled += 1;
    const taken: ConsumeMessage = { ...message, fields: { ...message.fields, consumerTag: '' } };
    acks.open(taken);
    return new Delivery(acks, taken, intake);
  }

  #answer(domain: string, delivery: Delivery): void {
    if (hasReplyTo(delivery)) this.#options.refuse(delivery);
    else if (!delivery.isWrite) delivery.settle('ack');
    else this.#held.set(domain, [...(this.#held.get(domain) ?? []), delivery]);
  }

  #dropGone(): void {
    for (const [domain, held] of this.#held) {
      for (const delivery of held) if (!delivery.isLive) delivery.settle('requeue');
      this.#hold(
        domain,
        held.filter(({ isLive }) => isLive),
      );
    }
  }

  #hold(domain: string, deliveries: readonly Delivery[]): void {
    if (deliveries.length === 0) this.#held.delete(domain);
    else this.#held.set(domain, deliveries);
  }

  /** What is held, or what of it came before a moment. */
  async #giveBack(domain: string, beforeMs = Infinity): Promise<void> {
    const held = this.#held.get(domain) ?? [];
    const old = held.filter(({ receivedAtMs }) => receivedAtMs < beforeMs);
    if (old.length === 0) return;
    this.#hold(
      domain,
      held.filter((delivery) => !old.includes(delivery)),
    );
    // n.b. in their order and without waiting in between: a thread that ends has little time.
    await Promise.all(old.map((delivery) => this.#publishAgain(delivery)));
  }

  /** n.b. given back by `nack` it would be marked as delivered before, and a write that is so marked may have been carried out. */
  #publishAgain(delivery: Delivery): Promise<void> {
    const { handOver, exchange, programs } = this.#options;
    const { routingKey, body, redelivered } = delivery;
    const properties = copyInNameOf(delivery, programs, { [SINCE]: sinceOf(delivery) });
    const { expiration } = properties;
    if (expiration !== undefined) {
      properties.expiration = Math.max(0, Math.ceil(Number(expiration) - (performance.now() - delivery.receivedAtMs)));
    }
    return new Promise((resolve) => {
      const settle = (verdict: 'ack' | 'requeue'): void => {
        delivery.settle(verdict);
        resolve();
      };
      if (redelivered) settle('requeue');
      else {
        handOver.publish({ exchange, routingKey, body, properties }, (outcome) =>
          settle(outcome === 'confirmed' ? 'ack' : 'requeue'),
        );
      }
    });
  }
}

interface Opened {
  readonly channel: Channel;
  readonly acks: AckCoalescer;
}
