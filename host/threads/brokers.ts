import type { ChannelModel } from 'amqplib';
import { Broker } from '../amqp/broker.js';
import type { Delivery } from '../amqp/delivery.js';
import type { Config } from '../config/schema.js';
import type { ThreadStatus } from './protocol.js';

export interface BrokersOptions {
  /** Kinds of brokers that run here, by their names in the configuration. */
  readonly kinds: readonly string[];
  readonly settings: Config['brokers'];
  readonly onDelivery: (delivery: Delivery) => void;
}

interface ModedBroker {
  readonly mode: 'read' | 'write';
  readonly broker: Broker;
}

/** All brokers of a thread: `rBroker-1`, `wBroker-1`, … */
export class Brokers {
  readonly #brokers: readonly ModedBroker[];

  constructor({ kinds, settings, onDelivery }: BrokersOptions) {
    this.#brokers = kinds.flatMap((kind) => {
      const { mode, count, prefetch } = settings[kind] ?? { mode: 'read', count: 0, prefetch: 1 };
      return Array.from({ length: count }, (_, index) => ({
        mode,
        broker: new Broker({
          ...{ name: `${kind}-${String(index + 1)}`, prefetch, onDelivery },
          carriesWrites: mode === 'write',
        }),
      }));
    });
  }

  get status(): ThreadStatus['brokers'] {
    return this.#brokers.map(({ broker: { name, queues, inFlight } }) => ({ name, queues, inFlight }));
  }

  async attach(model: ChannelModel): Promise<void> {
    await this.#each((broker) => broker.attach(model));
  }

  /** Every broker of the mode consumes the queue from now on. */
  async consume(mode: 'read' | 'write', queue: string): Promise<void> {
    const chosen = this.#brokers.filter((entry) => entry.mode === mode);
    await Promise.all(chosen.map(({ broker }) => broker.consume(queue)));
  }

  async cancel(queue: string): Promise<void> {
    await this.#each((broker) => broker.cancel(queue));
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
    await this.#each((broker) => broker.close());
  }

  async #each(act: (broker: Broker) => Promise<void>): Promise<void> {
    await Promise.all(this.#brokers.map(({ broker }) => act(broker)));
  }
}
