import type { Json, JsonObject } from '@beds/sdk';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { HostEvent } from '../amqp/event-publisher.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { BrokerPlan } from '../roles.js';

/** An operation, and what it is given. */
export interface Asked {
  readonly domain: string;
  readonly op: string;
  readonly payload: JsonObject;
}

/** Takes messages beside the control plane of an admin node. */
export interface MessageDesk {
  /** Settles the message; never rejects. */
  take(delivery: Delivery): Promise<void>;
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * - `taken`: RabbitMQ has it, or nobody wanted it
 * - `refused`: RabbitMQ did not take this one; it may take others
 * - `away`: RabbitMQ cannot be asked, or nobody knows
 */
export type PublishOutcome = 'taken' | 'refused' | 'away';

/** What a broker is given when it is opened. */
export interface BrokerContext {
  readonly node: string;
  /** `rBroker-1`, one of its thread. */
  readonly name: string;
  readonly plan: BrokerPlan;
  /** The request path: answers a request for a domain, and settles it. */
  readonly serve: (delivery: Delivery) => void;
  /** Whether RabbitMQ vouches that a host of BEDS sent it: whoever may publish may say anything. */
  readonly isFromHost: (delivery: Delivery) => boolean;
  readonly replies: ReplyPublisher;
  /** Publishes on the exchange of events, at most once. */
  readonly publishEvent: (event: HostEvent) => void;
  /** The same, but resolves when RabbitMQ has said what became of it. */
  readonly publishConfirmed: (topic: string, body: object) => Promise<PublishOutcome>;
  /** Asks an operation for the host itself: of this thread, or of the node that serves its domain. */
  readonly ask: (asked: Asked, timeoutMs: number) => Promise<Json>;
  /** Calls back after each write that this thread answered, of a domain that keeps events; undefined: no longer. */
  readonly onWrite: (wrote: (() => void) | undefined) => void;
  /** What an admin node works with. Absent in broker threads. */
  readonly desks?: { readonly orders: MessageDesk; readonly fleet: MessageDesk };
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
