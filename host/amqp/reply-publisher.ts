import type { ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { publishFault } from '../observe/channels.js';
import { backoffMs } from './backoff.js';
import type { ReplyAddress } from './reply-address.js';

/**
 * - `confirmed`: RabbitMQ took responsibility for the reply
 * - `unroutable`: the caller's reply queue is gone
 * - `expired`: the deadline passed while there was no connection, or RabbitMQ does not take it
 */
export type ReplyOutcome = 'confirmed' | 'unroutable' | 'expired';

export interface Reply {
  readonly address: ReplyAddress;
  readonly correlationId: string | undefined;
  readonly body: Buffer;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
}

/** Called once, with what became of the reply. */
export type ReplySettled = (outcome: ReplyOutcome) => void;

/** One record for each reply, and no promise: there are as many of them as there are requests. */
interface Pending {
  readonly reply: Reply;
  readonly onSettled: ReplySettled;
  /** How RabbitMQ's return names it; undefined where the reply cannot be returned. */
  readonly messageId: string | undefined;
  /** Whether it is on the way on the present channel. */
  sent: boolean;
  returned: boolean;
  sends: number;
}

const SWEEP_MS = 100;
const RETRY = { minMs: 100, maxMs: 1_000 } as const;
const MAX_REOPENS = 5;
/** Times that one reply is handed over; it is unconfirmed as often as that only where the channel is closed over it, or all are lost. */
const MAX_SENDS = 10;

/**
 * Publishes replies on a connection of its own, because a hostile reply address can cost RabbitMQ's older versions the
 * connection. A reply counts as sent when RabbitMQ confirmed it; unconfirmed ones are sent again on the next connection.
 */
export class ReplyPublisher {
  readonly #pending = new Set<Pending>();
  readonly #returnable = new Map<unknown, Pending>();
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
    channel.on('error', (error) => {
      publishFault({ where: 'reply channel', error });
    });
    channel.on('return', (message) => {
      // n.b. basic.return arrives before the confirm of the same message.
      const pending = this.#returnable.get(message.properties.messageId);
      if (pending !== undefined) pending.returned = true;
    });
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.#channel = undefined;
      this.#reopenLater(model, 0);
    });
    this.#channel = channel;
    for (const pending of this.#pending) this.#send(channel, pending);
  }

  /** RabbitMQ closes a channel over one message, for instance one that is larger than it takes; the others need another one. */
  #reopenLater(model: ChannelModel, attempt: number): void {
    setTimeout(
      () => {
        // n.b. a connection that is lost fails this once and for all; the next one calls `attach`.
        if (this.#channel !== undefined || attempt === MAX_REOPENS) return;
        this.attach(model).catch(() => this.#reopenLater(model, attempt + 1));
      },
      backoffMs(attempt, RETRY),
    ).unref();
  }

  /** Never throws; `onSettled` must not throw either. */
  publish(reply: Reply, onSettled: ReplySettled): void {
    let messageId: string | undefined;
    if (reply.address.mandatory) {
      this.#sequence += 1;
      messageId = String(this.#sequence);
    }
    const pending: Pending = { reply, onSettled, messageId, sent: false, returned: false, sends: 0 };
    this.#pending.add(pending);
    if (messageId !== undefined) this.#returnable.set(messageId, pending);
    if (this.#channel !== undefined) this.#send(this.#channel, pending);
    this.#sweepLater();
  }

  #send(channel: ConfirmChannel, pending: Pending): void {
    const { address, body, correlationId } = pending.reply;
    const { messageId } = pending;
    const options: Options.Publish = {
      contentType: 'application/json',
      type: 'beds.reply',
      mandatory: address.mandatory,
    };
    if (correlationId !== undefined) options.correlationId = correlationId;
    if (messageId !== undefined) options.messageId = messageId;
    // The one that RabbitMQ closes the channel over must not close the next one too, and so on.
    pending.sends += 1;
    if (pending.sends > MAX_SENDS) {
      this.#settle(pending, 'expired');
      return;
    }
    pending.sent = true;
    try {
      channel.publish('', address.queue, body, options, (error) => {
        // A nack, or the channel closed first: the next sweep or channel sends it again, until the deadline.
        if (error === null) this.#settle(pending, pending.returned ? 'unroutable' : 'confirmed');
        else pending.sent = false;
      });
    } catch {
      pending.sent = false;
    }
  }

  #settle(pending: Pending, outcome: ReplyOutcome): void {
    if (!this.#pending.delete(pending)) return;
    if (pending.messageId !== undefined) this.#returnable.delete(pending.messageId);
    if (outcome === 'unroutable') this.#unroutable += 1;
    pending.onSettled(outcome);
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
    for (const pending of this.#pending) {
      if (pending.reply.expiresAtMs <= nowMs) this.#settle(pending, 'expired');
      else if (!pending.sent && this.#channel !== undefined) this.#send(this.#channel, pending);
    }
  }
}
