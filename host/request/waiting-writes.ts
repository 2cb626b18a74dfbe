import { type BedsError, type ErrorStatus, isBedsError, type OperationMode, SENT_AT } from '@beds/sdk';
import type { Options } from 'amqplib';
import type { StoreAdapter } from '../stores/contract.js';
import type { HandOver } from '../amqp/hand-over.js';
import { type Asked, WaitingWrite } from './asked.js';
import { AwayStore } from './away-store.js';
import { copyOf, SINCE, sinceOf } from './copy-properties.js';
import { BROKER_TIMESTAMP, hasReplyTo, thisMoment } from './age.js';
import type { Deadlines } from './deadlines.js';
import type { RequestScope } from './request-scope.js';

export interface WaitingWritesOptions {
  readonly stores: ReadonlyMap<string, StoreAdapter>;
  readonly deadlines: Deadlines;
  readonly handOver: HandOver;
  /** Where requests are published. */
  readonly exchange: string;
  /** Longest that a write is held. */
  readonly holdMs: number;
  /** Carries a request out, from the beginning; what it comes to is answered, or it waits again. */
  readonly run: (asked: Asked) => void;
  /** Answers a request that will not be carried out. */
  readonly refuse: (asked: Asked, failure: BedsError) => void;
}

/** Writes of a domain that wait for a store. */
export interface WaitingCount {
  readonly domain: string;
  readonly store: string;
  /** What the store said. */
  readonly code: string;
  readonly count: number;
  /** Milliseconds for which the first of them has waited here. */
  readonly sinceMs: number;
}

/** A failure, and what is known of the request that had it. */
export interface Missed {
  readonly error: unknown;
  readonly scope: RequestScope;
  readonly mode: OperationMode | undefined;
  readonly repeatable: boolean;
  /** Decides once more when the calls that are under way have ended. */
  readonly again: () => void;
}

/** An answer reaches its caller this much before the caller gives up: as a share of the time it gave, and at most. */
const MARGIN = { share: 0.1, mostMs: 250 } as const;
/** After RabbitMQ did not take a write back. */
const HOLD_AGAIN_MS = 5_000;

/**
 * Writes that met a store away before anything was begun for them. They wait here, unacknowledged: what RabbitMQ may deliver of
 * a queue beside them is bounded by the prefetch, and the rest waits in the queue. When the store is back they are carried out
 * from the beginning, by the version that is live then. A write that is not begun in time is answered, or dead-lettered.
 */
export class WaitingWrites {
  readonly #options: WaitingWritesOptions;
  readonly #away = new Map<string, AwayStore>();
  #order = 0;
  #isStopping = false;

  constructor(options: WaitingWritesOptions) {
    this.#options = options;
  }

  /** Whether no store is known to be away: there is nothing to look at. */
  get isIdle(): boolean {
    return this.#away.size === 0;
  }

  get counts(): readonly WaitingCount[] {
    const nowMs = performance.now();
    const counts = new Map<string, WaitingCount>();
    for (const { store, line } of this.#away.values()) {
      for (const { asked, failure } of line) {
        const { domain } = asked.request;
        const key = `${domain} ${store}`;
        const sinceMs = Math.round(nowMs - asked.delivery.receivedAtMs);
        const before = counts.get(key) ?? { domain, store, code: failure.code, count: 0, sinceMs };
        counts.set(key, { ...before, count: before.count + 1 });
      }
    }
    return [...counts.values()];
  }

  /** Lets a write wait behind others of its operation; false where none do. */
  holds(asked: Asked, scope: RequestScope): boolean {
    if (asked.waited !== undefined) return false;
    for (const away of this.#away.values()) {
      const failure = away.holds(asked.delivery.routingKey);
      if (failure === undefined) continue;
      this.#wait(this.#writeOf(asked, scope, failure), away);
      return true;
    }
    return false;
  }

  /** Takes a request that failed and may wait: a write for which nothing was begun, and whose store is away. */
  takes(asked: Asked, { error, scope, mode, repeatable, again }: Missed): boolean {
    if (mode !== 'write' || asked.waited?.isOver === true) return false;
    const store = scope.failedStore ?? '';
    if (!mayWait(error, asked, { repeatable, isAway: this.#away.has(store) })) return false;
    const adapter = this.#options.stores.get(store);
    if (adapter === undefined || !asked.delivery.isLive) return false;
    // n.b. code that still runs begins nothing more, and what it has begun is waited for.
    scope.expire();
    if (scope.isWriting) {
      scope.whenQuiet(again);
      return true;
    }
    if (scope.hasBegunWrite && !repeatable) return false;
    const away = this.#awayStore(adapter);
    const { waited } = asked;
    if (waited === undefined) this.#wait(this.#writeOf(asked, scope, error), away);
    else this.#waitAgain(waited, error, away);
    return true;
  }

  /** Gives back what waits: another host, or the next start, carries it out. */
  stop(): void {
    this.#isStopping = true;
    for (const { line } of [...this.#away.values()]) for (const write of [...line]) this.#giveBack(write);
  }

  #awayStore(adapter: StoreAdapter): AwayStore {
    const known = this.#away.get(adapter.store);
    if (known !== undefined) return known;
    const away = new AwayStore({
      adapter,
      run: (write) => this.#run(write, away),
      onAttempt: () => this.#dropGone(away),
      onBack: () => this.#away.delete(adapter.store),
    });
    this.#away.set(adapter.store, away);
    return away;
  }

  #writeOf(asked: Asked, scope: RequestScope, failure: BedsError): WaitingWrite {
    const { delivery } = asked;
    this.#order += 1;
    const times = {
      order: this.#order,
      untilMs: untilMs(asked, scope),
      holdUntilMs: delivery.receivedAtMs + this.#options.holdMs,
    };
    return new WaitingWrite(asked, times, { failure, onOver: (write) => this.#over(write) });
  }

  #wait(write: WaitingWrite, away: AwayStore): void {
    if (this.#isStopping) {
      this.#giveBack(write);
      return;
    }
    this.#watch(write);
    away.add(write);
  }

  #waitAgain(write: WaitingWrite, failure: BedsError, away: AwayStore): void {
    write.failure = failure;
    const before = this.#away.get(write.store);
    if (before === away && !this.#isStopping) {
      this.#watch(write);
      away.failed(write);
      return;
    }
    // It may be another store of the same request that is away now.
    before?.ended(false);
    this.#wait(write, away);
  }

  #watch(write: WaitingWrite): void {
    this.#options.deadlines.add(write.dueAtMs, write);
  }

  #run(write: WaitingWrite, away: AwayStore): void {
    this.#options.deadlines.remove(write);
    const { asked } = write;
    if (!asked.delivery.isLive) {
      this.#drop(write);
      away.ended(false);
      return;
    }
    this.#options.run({
      ...begunNow(asked),
      onAnswer: (answer) => {
        write.isOver = true;
        asked.onAnswer(answer);
        away.ended(answer.lost === undefined || !DOUBTFUL.has(answer.lost.status));
      },
    });
  }

  /** It has waited for as long as it may. */
  #over(write: WaitingWrite): void {
    if (!write.asked.delivery.isLive) this.#drop(write);
    else if (performance.now() < write.untilMs) this.#giveBack(write);
    else {
      this.#end(write);
      this.#options.refuse(begunNow(write.asked), write.failure);
    }
  }

  #dropGone(away: AwayStore): void {
    for (const write of [...away.line]) if (!write.asked.delivery.isLive) this.#drop(write);
  }

  /** RabbitMQ has given its message back already. */
  #drop(write: WaitingWrite): void {
    this.#end(write);
    write.asked.onAnswer({ ...NO_ANSWER, verdict: 'requeue' });
  }

  #end(write: WaitingWrite): void {
    write.isOver = true;
    this.#options.deadlines.remove(write);
    this.#away.get(write.store)?.remove(write);
  }

  /**
   * Publishes it once more and acknowledges it. n.b. given back by `nack` it would be marked as delivered before, and a write that
   * is so marked may have been carried out.
   */
  #giveBack(write: WaitingWrite): void {
    this.#end(write);
    const { asked } = write;
    const { delivery } = asked;
    const message = {
      ...{ exchange: this.#options.exchange, routingKey: delivery.routingKey },
      body: bodyOf(write),
      properties: propertiesOf(write),
    };
    const { expiration } = message.properties;
    if (expiration !== undefined) message.properties.expiration = remainingMs(write);
    this.#options.handOver.publish(message, (outcome) => {
      if (outcome === 'confirmed') asked.onAnswer({ ...NO_ANSWER, verdict: 'ack' });
      else if (outcome === 'unknown' || this.#isStopping) asked.onAnswer({ ...NO_ANSWER, verdict: 'requeue' });
      else this.#holdAgain(write);
    });
  }

  #holdAgain(write: WaitingWrite): void {
    const adapter = this.#options.stores.get(write.store);
    if (adapter === undefined) return;
    const { order, untilMs: endsAtMs } = write;
    const times = { order, untilMs: endsAtMs, holdUntilMs: performance.now() + HOLD_AGAIN_MS };
    const again = new WaitingWrite(write.asked, times, { failure: write.failure, onOver: (each) => this.#over(each) });
    this.#wait(again, this.#awayStore(adapter));
  }
}

/** Failures that do not say that the store works again. */
const DOUBTFUL: ReadonlySet<ErrorStatus> = new Set(['unavailable', 'overloaded', 'timeout', 'indeterminate'] as const);

const NO_ANSWER = { text: undefined, expiresAtMs: Infinity, copy: undefined, lost: undefined } as const;

/**
 * Whether a write that failed so may wait. n.b. who waits for an answer learns of an overload, so that it slows down, and of a doubt;
 * who does not would lose the write. A store that is away, or just comes back, may have connections and give none in time.
 */
function mayWait(
  error: unknown,
  { delivery }: Asked,
  { repeatable, isAway }: { readonly repeatable: boolean; readonly isAway: boolean },
): error is BedsError {
  if (!isBedsError(error)) return false;
  if (error.code === 'BEDS_STORE_UNAVAILABLE') return true;
  if (hasReplyTo(delivery)) return isAway && error.code === 'BEDS_STORE_OVERLOADED';
  return error.code === 'BEDS_STORE_OVERLOADED' || (error.code === 'BEDS_STORE_INDETERMINATE' && repeatable);
}

/** When the caller gives up: by the deadline and the expiration that it named itself; the host's default bounds the execution. */
function untilMs({ request, delivery }: Asked, scope: RequestScope): number {
  const expiration = Number(delivery.properties.expiration ?? Infinity);
  const named = request.meta?.deadlineMs === undefined ? Infinity : scope.expiresAtMs;
  const endsAtMs = Math.min(named, delivery.receivedAtMs + expiration);
  if (!hasReplyTo(delivery)) return endsAtMs;
  const givenMs = endsAtMs - delivery.receivedAtMs;
  return endsAtMs - Math.min(MARGIN.mostMs, givenMs * MARGIN.share);
}

/** A deadline that the caller named runs from when it was made or received; the host's own begins with the work. */
function begunNow(asked: Asked): Asked {
  const readAt = thisMoment();
  if (asked.request.meta?.deadlineMs !== undefined) return { ...asked, readAt };
  return { ...asked, receivedAtMs: readAt.processMs, readSinceMs: readAt.processMs, readAt };
}

function remainingMs({ untilMs: endsAtMs }: WaitingWrite): number {
  return Math.max(1, Math.ceil(endsAtMs - performance.now()));
}

/** n.b. the copy names the time that is left: no older time may be taken off it once more, by a host whose clock is behind ours. */
function propertiesOf(write: WaitingWrite): Options.Publish {
  const { delivery } = write.asked;
  const since = { [SINCE]: sinceOf(delivery) };
  if (!isBounded(write)) return copyOf(delivery, since);
  const nowMs = Date.now();
  const properties = copyOf(delivery, { ...since, [SENT_AT]: nowMs, [BROKER_TIMESTAMP]: nowMs });
  delete properties.timestamp;
  return properties;
}

function isBounded({ asked }: WaitingWrite): boolean {
  return asked.request.meta?.deadlineMs !== undefined;
}

function bodyOf(write: WaitingWrite): Buffer {
  const { request, delivery, isOfBatch } = write.asked;
  const { meta } = request;
  const left = { deadlineMs: remainingMs(write), sentAt: Date.now() };
  const copy = isBounded(write) ? { ...request, meta: { ...meta, ...left } } : request;
  if (!isOfBatch && !isBounded(write)) return delivery.body;
  return Buffer.from(JSON.stringify(isOfBatch ? [copy] : copy));
}
