import type { ChannelModel, ConfirmChannel } from 'amqplib';
import type { ReplyAddress } from './reply-address.js';

/**
 * - `confirmed`: RabbitMQ took responsibility for the reply
 * - `unroutable`: the caller's reply queue is gone
 * - `expired`: the deadline passed while there was no connection
 */
export type ReplyOutcome = 'confirmed' | 'unroutable' | 'expired';

export interface Reply {
  readonly address: ReplyAddress;
  readonly correlationId: string | undefined;
  readonly body: Buffer;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
}

interface Pending {
  readonly reply: Reply;
  readonly messageId: string;
  /** Whether it is on the way on the present channel. */
  sent: boolean;
  returned: boolean;
  readonly settle: (outcome: ReplyOutcome) => void;
}

const SWEEP_MS = 100;

/**
 * Publishes replies on a connection of its own, because a hostile reply address can cost RabbitMQ's older versions the
 * connection. A reply counts as sent when RabbitMQ confirmed it; unconfirmed ones are sent again on the next connection.
 */
export class ReplyPublisher {
  readonly #pending = new Map<string, Pending>();
  #channel: ConfirmChannel | undefined;
  #sequence = 0;
  #isSweeping = false;
  #unroutable = 0;

  /** Replies that wait for their confirmation. */
  get pending(): number {
    return this.#pending.size;
  }

  get unroutable(): number {
    return this.#unroutable;
  }

  async attach(model: ChannelModel): Promise<void> {
    const channel = await model.createConfirmChannel();
    channel.on('error', () => undefined);
    channel.on('return', (message) => {
      // n.b. basic.return arrives before the confirm of the same message.
      const pending = this.#pending.get(String(message.properties.messageId));
      if (pending !== undefined) pending.returned = true;
    });
    channel.on('close', () => {
      if (this.#channel === channel) this.#channel = undefined;
    });
    this.#channel = channel;
    for (const pending of this.#pending.values()) this.#send(channel, pending);
  }

  /** Never rejects. */
  publish(reply: Reply): Promise<ReplyOutcome> {
    return new Promise((resolve) => {
      this.#sequence += 1;
      const messageId = String(this.#sequence);
      const pending: Pending = {
        reply,
        messageId,
        sent: false,
        returned: false,
        settle: (outcome) => {
          if (!this.#pending.delete(messageId)) return;
          if (outcome === 'unroutable') this.#unroutable += 1;
          resolve(outcome);
        },
      };
      this.#pending.set(messageId, pending);
      if (this.#channel !== undefined) this.#send(this.#channel, pending);
      this.#sweepLater();
    });
  }

  #send(channel: ConfirmChannel, pending: Pending): void {
    const { address, body, correlationId } = pending.reply;
    pending.sent = true;
    try {
      channel.publish(
        '',
        address.queue,
        body,
        {
          contentType: 'application/json',
          type: 'beds.reply',
          messageId: pending.messageId,
          mandatory: address.mandatory,
          ...(correlationId === undefined ? {} : { correlationId }),
        },
        (error) => {
          // A nack, or the channel closed first: the next sweep or channel sends it again, until the deadline.
          if (error === null) pending.settle(pending.returned ? 'unroutable' : 'confirmed');
          else pending.sent = false;
        },
      );
    } catch {
      pending.sent = false;
    }
  }

  #sweepLater(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    setTimeout(() => {
      this.#isSweeping = false;
      this.#sweep(performance.now());
      if (this.#pending.size > 0) this.#sweepLater();
    }, SWEEP_MS);
  }

  #sweep(nowMs: number): void {
    for (const pending of this.#pending.values()) {
      if (pending.reply.expiresAtMs <= nowMs) pending.settle('expired');
      else if (!pending.sent && this.#channel !== undefined) this.#send(this.#channel, pending);
    }
  }
}
