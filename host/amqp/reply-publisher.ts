import type { Channel, ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { publishFault } from '../observe/channels.js';
import { backoffMs } from './backoff.js';
import { Checkpoint } from './checkpoint.js';
import type { ReplyAddress } from './reply-address.js';

/**
 * - `confirmed`: RabbitMQ has handled the reply
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
  /** Whether something waits for the outcome, beyond the message that is answered. */
  readonly isUrgent: boolean;
}

/** Called once, with what became of the reply. */
export type ReplySettled = (outcome: ReplyOutcome) => void;

/** One record for each reply, and no promise: there are as many of them as there are requests. */
interface Pending {
  readonly reply: Reply;
  readonly onSettled: ReplySettled;
  /** How RabbitMQ's return names it; undefined where the reply cannot be returned. */
  readonly messageId: string | undefined;
  /** Where it is on the way. */
  channel: Channel | undefined;
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
 * connection. A reply counts as sent when RabbitMQ is known to have handled it; the others are sent again.
 *
 * Direct replies go on a channel without confirms, and a checkpoint tells when RabbitMQ has handled them. What may be returned,
 * and what was lost once, goes on a channel with confirms, which tell of each by itself: there RabbitMQ closes the channel
 * over one message without the others being sent again and again with it.
 */
export class ReplyPublisher {
  readonly #pending = new Set<Pending>();
  readonly #returnable = new Map<unknown, Pending>();
  #confirmed: ConfirmChannel | undefined;
  #direct: { readonly channel: Channel; readonly checkpoint: Checkpoint<Pending> } | undefined;
  #sequence = 0;
  #isSweeping = false;
  #unroutable = 0;

  /** Replies that RabbitMQ is not known to have. */
  get pending(): number {
    return this.#pending.size;
  }

  get unroutable(): number {
    return this.#unroutable;
  }

  async attach(model: ChannelModel): Promise<void> {
    await Promise.all([this.#openConfirmed(model), this.#openDirect(model)]);
    this.#sendAll();
  }

  async #openConfirmed(model: ChannelModel): Promise<void> {
    const channel = await model.createConfirmChannel();
    channel.on('return', (message) => {
      // n.b. basic.return arrives before the confirm of the same message.
      const pending = this.#returnable.get(message.properties.messageId);
      if (pending !== undefined) pending.returned = true;
    });
    this.#confirmed = channel;
    this.#onClose(channel, () => {
      if (this.#confirmed !== channel) return;
      this.#confirmed = undefined;
      this.#reopenLater(() => this.#confirmed ?? this.#openConfirmed(model), 0);
    });
  }

  async #openDirect(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    const checkpoint = new Checkpoint<Pending>(channel, (pending) => this.#settle(pending, 'confirmed'));
    this.#direct = { channel, checkpoint };
    this.#onClose(channel, () => {
      if (this.#direct?.channel !== channel) return;
      this.#direct = undefined;
      this.#reopenLater(() => this.#direct ?? this.#openDirect(model), 0);
    });
  }

  #onClose(channel: Channel, forget: () => void): void {
    channel.on('error', (error) => {
      publishFault({ where: 'reply channel', error });
    });
    channel.on('close', () => {
      for (const pending of this.#pending) if (pending.channel === channel) pending.channel = undefined;
      forget();
    });
  }

  /** RabbitMQ closes a channel over one message, for instance one that is larger than it takes; the others need another one. */
  #reopenLater(open: () => unknown, attempt: number): void {
    const reopen = async (): Promise<void> => {
      try {
        await open();
        this.#sendAll();
      } catch {
        // n.b. a connection that is lost fails this once and for all; the next one calls `attach`.
        if (attempt < MAX_REOPENS) this.#reopenLater(open, attempt + 1);
      }
    };
    setTimeout(() => void reopen(), backoffMs(attempt, RETRY)).unref();
  }

  /** Never throws; `onSettled` must not throw either. */
  publish(reply: Reply, onSettled: ReplySettled): void {
    let messageId: string | undefined;
    if (reply.address.mandatory) {
      this.#sequence += 1;
      messageId = String(this.#sequence);
    }
    const pending: Pending = { reply, onSettled, messageId, channel: undefined, returned: false, sends: 0 };
    this.#pending.add(pending);
    if (messageId !== undefined) this.#returnable.set(messageId, pending);
    this.#send(pending);
    this.#sweepLater();
  }

  #sendAll(): void {
    for (const pending of this.#pending) if (pending.channel === undefined) this.#send(pending);
  }

  /** Sends it on the channel that is meant for it, if that is open. */
  #send(pending: Pending): void {
    const { address, isUrgent } = pending.reply;
    const direct = address.mandatory || pending.sends > 0 ? undefined : this.#direct;
    const confirmed = this.#confirmed;
    if (direct === undefined && confirmed === undefined) return;
    // The one that RabbitMQ closes the channel over must not close the next one too, and so on.
    pending.sends += 1;
    if (pending.sends > MAX_SENDS) {
      this.#settle(pending, 'expired');
      return;
    }
    try {
      if (direct === undefined) {
        if (confirmed !== undefined) this.#publishConfirmed(confirmed, pending);
      } else {
        pending.channel = direct.channel;
        direct.channel.publish('', address.queue, pending.reply.body, propertiesOf(pending));
        direct.checkpoint.add(pending, isUrgent);
      }
    } catch {
      pending.channel = undefined;
    }
  }

  #publishConfirmed(channel: ConfirmChannel, pending: Pending): void {
    const { address, body } = pending.reply;
    pending.channel = channel;
    channel.publish('', address.queue, body, propertiesOf(pending), (error) => {
      // A nack, or the channel closed first: the next sweep or channel sends it again, until the deadline.
      if (error === null) this.#settle(pending, pending.returned ? 'unroutable' : 'confirmed');
      else if (pending.channel === channel) pending.channel = undefined;
    });
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
      else if (pending.channel === undefined) this.#send(pending);
    }
  }
}

function propertiesOf({ reply: { address, correlationId }, messageId }: Pending): Options.Publish {
  const options: Options.Publish = {
    contentType: 'application/json',
    type: 'beds.reply',
    mandatory: address.mandatory,
  };
  if (correlationId !== undefined) options.correlationId = correlationId;
  if (messageId !== undefined) options.messageId = messageId;
  return options;
}
