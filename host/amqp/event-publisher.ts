import type { Channel, ChannelModel } from 'amqplib';
import { keepChannel } from './kept-channel.js';

const MAX_WAITING = 1_000;

/** Something that others may want to know; published as `<topic>` on the event exchange, at most once. */
export interface HostEvent {
  readonly topic: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface EventPublisherOptions {
  readonly exchange: string;
  readonly node: string;
  /** The account of the connection: RabbitMQ vouches for it, so that whoever keeps what hosts say can tell them from others. */
  readonly userId: string;
}

/**
 * Publishes events on a connection of its own, best effort: when RabbitMQ is slow or away, events are dropped and counted
 * before anything else suffers.
 */
export class EventPublisher {
  readonly #options: EventPublisherOptions;
  #channel: Channel | undefined;
  #waiting: HostEvent[] = [];
  #full = false;
  #dropped = 0;

  constructor(options: EventPublisherOptions) {
    this.#options = options;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Whether RabbitMQ takes events at this moment: otherwise they wait or are dropped. */
  get isReady(): boolean {
    return this.#channel !== undefined && !this.#full;
  }

  attach(model: ChannelModel): Promise<void> {
    return keepChannel(model, {
      create: () => model.createChannel(),
      setUp: (channel) => this.#use(channel),
      onError: () => undefined,
      onClose: (channel) => {
        if (this.#channel === channel) this.#channel = undefined;
      },
    });
  }

  #use(channel: Channel): void {
    channel.on('drain', () => (this.#full = false));
    this.#channel = channel;
    this.#full = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.publish(event);
  }

  publish(event: HostEvent): void {
    if (this.#channel === undefined && this.#waiting.length < MAX_WAITING) {
      this.#waiting.push(event);
    } else if (this.#channel === undefined || this.#full) {
      this.#dropped += 1;
    } else {
      this.#send(this.#channel, event);
    }
  }

  #send(channel: Channel, event: HostEvent): void {
    const { exchange, node, userId } = this.#options;
    const body = JSON.stringify({ v: 1, at: new Date().toISOString(), node, ...event });
    try {
      this.#full = !channel.publish(exchange, event.topic, Buffer.from(body), {
        contentType: 'application/json',
        type: 'beds.event',
        userId,
      });
    } catch {
      this.#dropped += 1;
    }
  }
}
