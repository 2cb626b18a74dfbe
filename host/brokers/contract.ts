import type { Delivery } from '../amqp/queue-consumer.js';
import type { HostEvent } from '../amqp/event-publisher.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { BrokerPlan } from '../roles.js';

/** What a broker is given when it is opened. */
export interface BrokerContext {
  readonly node: string;
  /** `rBroker-1`, one of its thread. */
  readonly name: string;
  readonly plan: BrokerPlan;
  /** The request path: answers a request for a domain, and settles it. */
  readonly serve: (delivery: Delivery) => void;
  readonly replies: ReplyPublisher;
  /** Publishes on the exchange of events, at most once. */
  readonly publishEvent: (event: HostEvent) => void;
  /** It cannot go on, for a reason that no message is the cause of: it is closed, and another is opened in its place. */
  readonly fail: (error: unknown) => void;
}

/** One broker that runs. A new one takes its place after a failure, so all that it keeps in memory ends with it. */
export interface RunningBroker {
  /**
   * Takes a message and settles it, now or later. One that throws or rejects has failed: RabbitMQ gets back what is not
   * settled, and another broker is opened after a pause.
   */
  handle(delivery: Delivery): void | Promise<void>;
  /** Values of the metrics that the definition names. */
  metrics?(): Readonly<Record<string, number>>;
  close?(): void | Promise<void>;
}

/** `host/brokers/<type>/broker.ts` exports one by the name `open`. */
export type OpenBroker = (context: BrokerContext) => RunningBroker | Promise<RunningBroker>;
