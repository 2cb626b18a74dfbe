import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { type ConnectionSetup, isRefusal, type SupervisedConnection } from '#sdk/amqp';
import { keepChannel } from './kept-channel.js';

/** Makes a connection that is not started yet. */
export type OpenConnection = (setup: ConnectionSetup) => Pick<SupervisedConnection, 'start' | 'close'>;

/** What RabbitMQ closed over a message. */
export type RefusedScope = 'channel' | 'connection';

export interface ReplyTrialsOptions<T> extends TrialQueueOptions<T> {
  readonly open: OpenConnection;
  /** Called with each channel that is made. */
  readonly onChannel: (channel: ConfirmChannel) => void;
  /** Publishes it; `onConfirm` gets null when RabbitMQ has handled it. Throws what cannot be published at all. */
  readonly publish: (channel: ConfirmChannel, item: T, onConfirm: (error: unknown) => void) => void;
  /** Asked when it is its turn; whoever says no has done with it. */
  readonly isWanted: (item: T) => boolean;
  readonly onHandled: (item: T) => void;
  /** RabbitMQ does not take it now, and goes on. */
  readonly onNacked: (item: T) => void;
  /** `scope`: undefined where it was lost with its connection time and again, and RabbitMQ never said why. */
  readonly onRefused: (item: T, scope: RefusedScope | undefined, cause: unknown) => void;
}

/** A connection that nobody needs is closed: each thread has enough of them. */
const IDLE_MS = 10_000;
const CLOSE_MS = 1_000;
/** Times that one message may be lost with its connection without RabbitMQ saying why. */
const MAX_LOSSES = 3;

/**
 * Sends what RabbitMQ may close the connection over: on a connection of its own, made when it is needed, and one at a time. So
 * RabbitMQ's answer belongs to one message, and a connection that is lost takes no other message with it.
 */
export class ReplyTrials<T> {
  readonly #options: ReplyTrialsOptions<T>;
  readonly #waiting: TrialQueue<T>;
  #connection: ReturnType<OpenConnection> | undefined;
  #channel: ConfirmChannel | undefined;
  #current: T | undefined;
  #losses = 0;
  #fault: { readonly scope: RefusedScope; readonly error: unknown } | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: ReplyTrialsOptions<T>) {
    this.#options = options;
    this.#waiting = new TrialQueue(options);
  }

  /** `isLikely`: it was taken to be harmless before, so it comes before those of which nothing is known. */
  offer(item: T, isLikely: boolean): void {
    if (isLikely) this.#waiting.addLikely(item);
    else this.#waiting.add(item);
    clearTimeout(this.#idle);
    if (this.#connection === undefined) {
      this.#connection = this.#options.open((model) => this.#attach(model));
      this.#connection.start();
    }
    this.#next();
  }

  /** It need not be sent any more. */
  forget(item: T): void {
    this.#waiting.delete(item);
  }

  /** Closes the connection, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    clearTimeout(this.#idle);
    const connection = this.#connection;
    this.#connection = undefined;
    this.#channel = undefined;
    await connection?.close(timeoutMs);
  }

  #attach(model: ChannelModel): Promise<void> {
    model.on('error', (error) => {
      if (isRefusal(error)) this.#fault = { scope: 'connection', error };
    });
    return keepChannel(model, {
      create: () => model.createConfirmChannel(),
      setUp: (channel) => {
        this.#options.onChannel(channel);
        this.#channel = channel;
        this.#next();
      },
      onError: (error) => (this.#fault = { scope: 'channel', error }),
      onClose: (channel) => {
        if (this.#channel !== channel) return;
        this.#channel = undefined;
        const fault = this.#fault;
        this.#fault = undefined;
        this.#lost(fault);
      },
    });
  }

  /** The message that was under way alone is the one that RabbitMQ closed the channel or the connection over, where it says that it did. */
  #lost(fault: { readonly scope: RefusedScope; readonly error: unknown } | undefined): void {
    const item = this.#current;
    this.#current = undefined;
    if (item === undefined) return;
    this.#losses += 1;
    if (fault === undefined && this.#losses < MAX_LOSSES) {
      this.#waiting.addLikely(item);
      return;
    }
    this.#losses = 0;
    this.#options.onRefused(item, fault?.scope, fault?.error);
  }

  #next(): void {
    const channel = this.#channel;
    if (channel === undefined || this.#current !== undefined) return;
    const item = this.#take();
    if (item === undefined) {
      // n.b. each new connection comes here as well: one that is forgotten would close it under what is on its way then.
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => void this.close(CLOSE_MS), IDLE_MS).unref();
      return;
    }
    this.#current = item;
    try {
      this.#options.publish(channel, item, (error) => this.#onConfirm(channel, item, error));
    } catch (error) {
      this.#current = undefined;
      this.#options.onRefused(item, 'channel', error);
      setImmediate(() => this.#next());
    }
  }

  #take(): T | undefined {
    for (;;) {
      const item = this.#waiting.take();
      if (item === undefined || this.#options.isWanted(item)) return item;
    }
  }

  #onConfirm(channel: ConfirmChannel, item: T, error: unknown): void {
    // n.b. amqplib calls this with an error also where the channel closes, right before it says that it did.
    process.nextTick(() => {
      if (this.#current !== item || this.#channel !== channel) return;
      this.#current = undefined;
      this.#losses = 0;
      if (error === null) this.#options.onHandled(item);
      else this.#options.onNacked(item);
      this.#next();
    });
  }
}

/** Most that wait for their turn, and most bytes of them: RabbitMQ takes few connections a second, and each may be good for one. */
const MAX_WAITING = 1_000;
const MAX_BYTES = 33_554_432;

export interface TrialQueueOptions<T> {
  /** What is good or bad together; undefined for what stands alone and is likely bad. */
  readonly groupOf: (item: T) => string | undefined;
  readonly bytesOf: (item: T) => number;
  /** It goes, because too much waits. */
  readonly onDropped: (item: T) => void;
}

/**
 * What waits for its trial. First comes what is likely harmless; then the group of which most wait, so that whoever makes up many
 * groups does not keep those waiting who share a good one. When too much waits, one of the smallest group goes.
 */
export class TrialQueue<T> {
  readonly #options: TrialQueueOptions<T>;
  readonly #likely = new Set<T>();
  readonly #groups = new Map<string | undefined, Set<T>>();
  #size = 0;
  #bytes = 0;

  constructor(options: TrialQueueOptions<T>) {
    this.#options = options;
  }

  /** Without bound: it was under way before, and what is under way has bounds of its own. */
  addLikely(item: T): void {
    this.#likely.add(item);
  }

  add(item: T): void {
    const name = this.#options.groupOf(item);
    const group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, new Set([item]));
    else group.add(item);
    this.#size += 1;
    this.#bytes += this.#options.bytesOf(item);
    while (this.#size > MAX_WAITING || this.#bytes > MAX_BYTES) this.#dropOne();
  }

  take(): T | undefined {
    const [item] = this.#likely.size > 0 ? this.#likely : this.#choose((size, most) => size > most);
    if (item !== undefined) this.delete(item);
    return item;
  }

  /** Does nothing where it does not wait. */
  delete(item: T): void {
    if (this.#likely.delete(item)) return;
    const name = this.#options.groupOf(item);
    const group = this.#groups.get(name);
    if (group?.delete(item) !== true) return;
    if (group.size === 0) this.#groups.delete(name);
    this.#size -= 1;
    this.#bytes -= this.#options.bytesOf(item);
  }

  #dropOne(): void {
    for (const item of this.#choose((size, least) => size < least)) {
      this.delete(item);
      this.#options.onDropped(item);
      return;
    }
  }

  /** The first group that is better than all before. Those that stand alone count as the smallest. */
  #choose(isBetter: (size: number, best: number) => boolean): ReadonlySet<T> {
    let [best, bestSize]: [ReadonlySet<T>, number] = [new Set(), Number.NaN];
    for (const [name, group] of this.#groups) {
      const size = name === undefined ? 0 : group.size;
      if (!Number.isNaN(bestSize) && !isBetter(size, bestSize)) continue;
      [best, bestSize] = [group, size];
    }
    return best;
  }
}
