import type { Channel, ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { isNack, isRefusal } from '#sdk/amqp';
import { keepChannel } from './kept-channel.js';
import { askNode, type ReplyAddress } from './reply-address.js';
import { type OpenConnection, type RefusedScope, ReplyTrials } from './reply-trials.js';
import { amqpErrors } from '../errors/amqp.js';
import { publishFault } from '../observe/channels.js';

/**
 * - `confirmed`: RabbitMQ has handled the reply
 * - `unroutable`: the caller's reply queue is gone
 * - `expired`: the deadline passed while there was no connection
 * - `refused`: RabbitMQ closes the channel or the connection over it
 */
export type ReplyOutcome = 'confirmed' | 'unroutable' | 'expired' | 'refused';

export interface Reply {
  readonly address: ReplyAddress;
  readonly correlationId: string | undefined;
  readonly body: Buffer;
  /** AMQP `type`. Default `beds.reply`. */
  readonly type?: string;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
  /** Whether something waits for the outcome, beyond the message that is answered. */
  readonly flushNow: boolean;
  /** Called in place of `onSettled` as soon as it waits behind what may be hostile, which can take long: what it answers must not wait with it. */
  readonly onHeldUp?: () => void;
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
  /** Whether it was on its way before. */
  wasLost: boolean;
  /** It waits for its turn on the connection for trials, or is on its way there. */
  isOnTrial: boolean;
  /** Whether `onHeldUp` was called. */
  isReleased: boolean;
}

const SWEEP_MS = 100;
/** What waits for a trial when the host ends is hostile for the most part. */
const LAST_TRIALS_MS = 500;

/**
 * Publishes replies on a connection of its own, because a hostile reply address can cost RabbitMQ's older versions the
 * connection. A reply counts as sent when RabbitMQ is known to have handled it; the others are sent again.
 *
 * Direct replies go on a channel without confirms, and a barrier tells when RabbitMQ has handled them. What may be returned,
 * and what was lost once, goes on a channel with confirms, which tell of each by itself.
 *
 * RabbitMQ closes the channel over a reply that is larger than it takes, and releases before 4.2 close the whole connection over a
 * direct reply-to address that somebody made up. So an address that is not trusted yet, and whatever was under way when RabbitMQ closed something,
 * goes on trial: alone, on a connection of its own.
 */
export class ReplyPublisher {
  readonly #pending = new Set<Pending>();
  readonly #returnable = new Map<unknown, Pending>();
  #confirmed: ConfirmChannel | undefined;
  #direct: { readonly channel: Channel; readonly barrier: PublishBarrier<Pending> } | undefined;
  /** Connections and channels that RabbitMQ closed over something that was sent. */
  readonly #faulty = new WeakSet<ChannelModel | Channel>();
  #sequence = 0;
  #isSweeping = false;
  #onIdle: (() => void) | undefined;
  #unroutable = 0;
  readonly #trust = new ReplyTrust();
  readonly #trials: ReplyTrials<Pending> | undefined;

  /** `openTrials`: makes the connection for what may cost the connection. Without it such replies are refused. */
  constructor(openTrials?: OpenConnection) {
    if (openTrials === undefined) return;
    this.#trials = new ReplyTrials({
      open: openTrials,
      onChannel: (channel) => this.#noteReturns(channel),
      publish: (channel, pending, onConfirm) => {
        channel.publish('', pending.reply.address.queue, pending.reply.body, propertiesOf(pending), onConfirm);
      },
      isWanted: (pending) => {
        // n.b. another one may have cost a connection since it came.
        if (this.#isBanned(pending)) this.#settle(pending, 'refused');
        return this.#pending.has(pending);
      },
      groupOf: (pending) => pending.reply.address.direct?.node,
      bytesOf: (pending) => pending.reply.body.length,
      onDropped: (pending) => this.#settle(pending, 'refused'),
      onHandled: (pending) => {
        this.#trust.trust(pending.reply.address);
        this.#settle(pending, pending.returned ? 'unroutable' : 'confirmed');
      },
      onNacked: (pending) => {
        pending.isOnTrial = false;
      },
      onRefused: (pending, scope, cause) => this.#refused(pending, scope, cause),
    });
  }

  /** Replies that RabbitMQ is not known to have. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Replies that nobody got, because their address leads nowhere or RabbitMQ does not take them. */
  get unroutable(): number {
    return this.#unroutable;
  }

  /** Lets what is on trial be sent, and closes the connection for it, at most `timeoutMs`; the one of `attach` is its owner's. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#pending.size > 0) {
      const timer = setTimeout(() => this.#onIdle?.(), Math.min(timeoutMs, LAST_TRIALS_MS));
      await new Promise<void>((resolve) => (this.#onIdle = resolve));
      clearTimeout(timer);
    }
    await this.#trials?.close(timeoutMs);
  }

  async attach(model: ChannelModel): Promise<void> {
    model.on('error', (error) => {
      if (isRefusal(error)) this.#faulty.add(model);
    });
    await Promise.all([this.#keepConfirmed(model), this.#keepDirect(model)]);
    // n.b. nothing waits for it: in a memory alarm RabbitMQ answers nothing more on a connection that published.
    void this.#learnNode(model);
  }

  /** Of whoever is connected to the same node as the host, the first reply needs no trial. */
  async #learnNode(model: ChannelModel): Promise<void> {
    const node = await askNode(model).catch(() => undefined);
    if (node !== undefined) this.#trust.trustNode(node);
  }

  #keepConfirmed(model: ChannelModel): Promise<void> {
    return keepChannel(model, {
      create: () => model.createConfirmChannel(),
      setUp: (channel) => {
        this.#noteReturns(channel);
        this.#confirmed = channel;
        this.#sendAll();
      },
      onError: (error, channel) => this.#onError(error, channel),
      onClose: (channel) => {
        if (this.#confirmed === channel) this.#confirmed = undefined;
        this.#onClose(model, channel);
      },
    });
  }

  #keepDirect(model: ChannelModel): Promise<void> {
    return keepChannel(model, {
      create: () => model.createChannel(),
      setUp: (channel) => {
        const barrier = new PublishBarrier<Pending>(channel, (pending) => this.#settle(pending, 'confirmed'));
        this.#direct = { channel, barrier };
        this.#sendAll();
      },
      onError: (error, channel) => this.#onError(error, channel),
      onClose: (channel) => {
        if (this.#direct?.channel === channel) this.#direct = undefined;
        this.#onClose(model, channel);
      },
    });
  }

  #noteReturns(channel: ConfirmChannel): void {
    channel.on('return', (message) => {
      // n.b. basic.return arrives before the confirm of the same message.
      const pending = this.#returnable.get(message.properties.messageId);
      if (pending !== undefined) pending.returned = true;
    });
  }

  #onError(error: unknown, channel: Channel): void {
    this.#faulty.add(channel);
    publishFault({ where: 'reply channel', error });
  }

  /** n.b. amqplib says that the connection has an error before it says of its channels that they closed. */
  #onClose(model: ChannelModel, channel: Channel): void {
    const isFaulty = this.#faulty.has(channel) || this.#faulty.has(model);
    for (const pending of this.#pending) {
      if (pending.channel !== channel) continue;
      pending.channel = undefined;
      if (isFaulty) this.#try(pending);
    }
  }

  /** One of them is to blame; each is sent alone, and only that one is not sent again. */
  #try(pending: Pending): void {
    if (this.#trials === undefined || this.#isBanned(pending)) {
      this.#settle(pending, 'refused');
      return;
    }
    pending.isOnTrial = true;
    const isLikely = this.#trust.isTrusted(pending.reply.address);
    if (!isLikely && pending.reply.onHeldUp !== undefined && !pending.isReleased) {
      pending.isReleased = true;
      pending.reply.onHeldUp();
    }
    this.#trials.offer(pending, isLikely);
  }

  #isBanned(pending: Pending): boolean {
    return this.#trust.isBanned(pending.reply.address, performance.now());
  }

  #refused(pending: Pending, scope: RefusedScope | undefined, cause: unknown): void {
    if (scope === 'connection') this.#trust.ban(pending.reply.address, performance.now());
    publishFault({ where: 'reply', error: amqpErrors.make('BEDS_AMQP_REPLY_REFUSED', undefined, { cause }) });
    this.#settle(pending, 'refused');
  }

  /** Never throws; `onSettled` must not throw either. */
  publish(reply: Reply, onSettled: ReplySettled): void {
    let messageId: string | undefined;
    if (reply.address.mandatory) {
      this.#sequence += 1;
      messageId = String(this.#sequence);
    }
    const pending: Pending = {
      reply,
      onSettled,
      messageId,
      channel: undefined,
      returned: false,
      wasLost: false,
      isOnTrial: false,
      isReleased: false,
    };
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
    const { address, flushNow } = pending.reply;
    if (pending.isOnTrial) return;
    if (!this.#trust.isTrusted(address)) {
      this.#try(pending);
      return;
    }
    const direct = address.mandatory || pending.wasLost ? undefined : this.#direct;
    const confirmed = this.#confirmed;
    if (direct === undefined && confirmed === undefined) return;
    pending.wasLost = true;
    try {
      if (direct === undefined) {
        if (confirmed !== undefined) this.#publishConfirmed(confirmed, pending);
      } else {
        pending.channel = direct.channel;
        direct.channel.publish('', address.queue, pending.reply.body, propertiesOf(pending));
        direct.barrier.add(pending, flushNow);
      }
    } catch {
      pending.channel = undefined;
    }
  }

  #publishConfirmed(channel: ConfirmChannel, pending: Pending): void {
    const { address, body } = pending.reply;
    pending.channel = channel;
    channel.publish('', address.queue, body, propertiesOf(pending), (error) => {
      if (error === null) this.#settle(pending, pending.returned ? 'unroutable' : 'confirmed');
      // The next sweep sends it again, until the deadline. n.b. where the channel closed, `onClose` looks for what was on it.
      else if (isNack(error) && pending.channel === channel) pending.channel = undefined;
    });
  }

  #settle(pending: Pending, outcome: ReplyOutcome): void {
    if (!this.#pending.delete(pending)) return;
    if (pending.messageId !== undefined) this.#returnable.delete(pending.messageId);
    if (pending.isOnTrial) this.#trials?.forget(pending);
    if (outcome === 'unroutable' || outcome === 'refused') this.#unroutable += 1;
    if (!pending.isReleased) pending.onSettled(outcome);
    if (this.#pending.size === 0) this.#onIdle?.();
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

function propertiesOf({ reply: { address, correlationId, type = 'beds.reply' }, messageId }: Pending): Options.Publish {
  const options: Options.Publish = {
    contentType: 'application/json',
    type,
    mandatory: address.mandatory,
  };
  if (correlationId !== undefined) options.correlationId = correlationId;
  if (messageId !== undefined) options.messageId = messageId;
  return options;
}

/** Longest that something waits for the question, unless it is urgent. */
const HOLD_MS = 5;

/**
 * Tells what RabbitMQ has handled of what was published on a channel without confirms. It handles the methods of a channel
 * in their order, so when it answers a question it is done with all that was published before: one answer is worth as
 * much as a confirm for each, at a fraction of the frames. https://www.rabbitmq.com/docs/channels#basics
 */
export class PublishBarrier<T> {
  readonly #channel: Pick<Channel, 'prefetch'>;
  readonly #onPassed: (item: T) => void;
  #items: T[] = [];
  #timer: NodeJS.Timeout | undefined;
  #mustAsk = false;
  #isAsking = false;

  /** `onPassed` must not throw. A channel that closes calls it no more. */
  constructor(channel: Pick<Channel, 'prefetch'>, onPassed: (item: T) => void) {
    this.#channel = channel;
    this.#onPassed = onPassed;
  }

  /** `item` was published just now. `flushNow`: something waits for its confirmation. */
  add(item: T, flushNow: boolean): void {
    this.#items.push(item);
    if (!flushNow) this.#askLater();
    else if (!this.#mustAsk) {
      this.#mustAsk = true;
      // The same question covers everything else that is published in this turn.
      process.nextTick(() => this.#ask());
    }
  }

  #askLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#ask();
    }, HOLD_MS);
  }

  #ask(): void {
    if (this.#isAsking || this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#isAsking = true;
    this.#mustAsk = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // n.b. of all that RabbitMQ answers this costs it least: the channel has no consumer that it could concern.
    this.#channel.prefetch(1).then(
      () => {
        this.#isAsking = false;
        for (const item of items) this.#onPassed(item);
        if (this.#mustAsk) this.#ask();
        else if (this.#items.length > 0) this.#askLater();
      },
      () => undefined,
    );
  }
}

/** How long an address or a node that cost a connection is not written to: the node may join the cluster later. */
const BANNED_MS = 60_000;
const MAX_NODES = 100;
const MAX_ADDRESSES = 10_000;
const MAX_BANNED = 10_000;

/** What is known of direct reply-to addresses: which ones RabbitMQ has taken a reply for, and which ones it closed the connection over. */
class ReplyTrust {
  readonly #nodes = new Set<string>();
  readonly #addresses = new Set<string>();
  readonly #bannedUntilMs = new Map<string, number>();

  /** Whether a reply to it costs nobody anything: RabbitMQ has taken one for it, or for an ordinary process of its node. */
  isTrusted({ queue, direct }: ReplyAddress): boolean {
    if (direct === undefined) return true;
    return (direct.isOrdinary && this.#nodes.has(direct.node ?? '')) || this.#addresses.has(queue);
  }

  trust({ queue, direct }: ReplyAddress): void {
    if (direct === undefined) return;
    if (direct.isOrdinary && direct.node !== undefined) this.trustNode(direct.node);
    else addBounded(this.#addresses, queue, MAX_ADDRESSES);
  }

  trustNode(node: string): void {
    this.#bannedUntilMs.delete(node);
    addBounded(this.#nodes, node, MAX_NODES);
  }

  isBanned({ queue, direct }: ReplyAddress, nowMs: number): boolean {
    return [queue, direct?.node ?? ''].some((name) => (this.#bannedUntilMs.get(name) ?? 0) > nowMs);
  }

  /** Also every address of its node, unless one of them was good. */
  ban({ queue, direct }: ReplyAddress, nowMs: number): void {
    if (this.#bannedUntilMs.size >= MAX_BANNED) this.#bannedUntilMs.clear();
    this.#bannedUntilMs.set(queue, nowMs + BANNED_MS);
    const node = direct?.node;
    if (node !== undefined && direct?.isOrdinary === true && !this.#nodes.has(node)) {
      this.#bannedUntilMs.set(node, nowMs + BANNED_MS);
    }
  }
}

function addBounded(set: Set<string>, name: string, most: number): void {
  const [oldest] = set;
  if (set.size >= most && oldest !== undefined && !set.has(name)) set.delete(oldest);
  set.add(name);
}
