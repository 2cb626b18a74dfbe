import type { ConsumeMessage } from 'amqplib';
import type { Verdict } from '@beds/sdk';
import type { Settler } from './joined-acks.js';

/** What a message came through. */
export interface Intake {
  /** Whether much of what may be unsettled is: soon RabbitMQ delivers no more. */
  readonly isNarrow: boolean;
  /** Whether it consumes queues of writes. */
  readonly carriesWrites?: boolean;
  /** A message was settled. */
  settled(): void;
}

/** One message, with the right to settle it exactly once, on the channel that it came from. */
export class Delivery {
  readonly #channel: Settler;
  readonly #message: ConsumeMessage;
  readonly #intake: Intake;
  /** In terms of performance.now(). */
  readonly receivedAtMs = performance.now();
  #settled = false;

  constructor(channel: Settler, message: ConsumeMessage, intake: Intake) {
    this.#channel = channel;
    this.#message = message;
    this.#intake = intake;
  }

  get body(): Buffer {
    return this.#message.content;
  }

  get properties(): ConsumeMessage['properties'] {
    return this.#message.properties;
  }

  get exchange(): string {
    return this.#message.fields.exchange;
  }

  get routingKey(): string {
    return this.#message.fields.routingKey;
  }

  /** A hint: true whenever an earlier delivery of this message may have been worked on. */
  get redelivered(): boolean {
    return this.#message.fields.redelivered;
  }

  /** Whether it may still be settled; of one that may not, RabbitMQ delivers the message again. */
  get isLive(): boolean {
    return !this.#settled && this.#channel.isClosed !== true;
  }

  /** Whether it came by a queue of writes. */
  get isWrite(): boolean {
    return this.#intake.carriesWrites === true;
  }

  /** Whether others are not delivered until this one is settled, or soon will not be. */
  get isUrgent(): boolean {
    return this.#intake.isNarrow;
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
