import { backoffMs } from '#sdk/time';
import { type BedsError, type ErrorStatus, isBedsError, type OperationMode } from '@beds/sdk';
import { SENT_AT } from '#sdk/template';
import type { Options } from 'amqplib';
import type { ProgramPolicy } from '../access/programs.js';
import type { HandOver } from '../amqp/hand-over.js';
import { publishWrites } from '../observe/channels.js';
import { copyInNameOf, SINCE, sinceOf } from './dead-letters.js';
import { type PendingRequest, WaitingWrite } from './pending-request.js';
import { BROKER_TIMESTAMP, hasReplyTo, marginOf, type RequestScope, thisMoment } from './request-scope.js';
import type { StoreAdapter } from '../stores/contract.js';
import { timerWheel } from '../stores/deadlines.js';

export interface WaitingWritesOptions {
  readonly stores: ReadonlyMap<string, StoreAdapter>;
  readonly handOver: HandOver;
  readonly programs: Pick<ProgramPolicy, 'copyInNameOf'>;
  /** Where requests are published. */
  readonly exchange: string;
  /** Longest that a write is held. */
  readonly holdMs: number;
  /** Carries a request out, from the beginning; what it comes to is answered, or it waits again. */
  readonly run: (pending: PendingRequest) => void;
  /** Answers a request that will not be carried out. */
  readonly refuse: (pending: PendingRequest, failure: BedsError) => void;
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

/** After RabbitMQ did not take a write back. */
const HOLD_AGAIN_MS = 5_000;
/** The same while the thread ends: RabbitMQ would mark what is given back by `nack`, so it is tried for as long as there is time. */
const GIVE_BACK_AGAIN_MS = 100;

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

  get counts(): readonly WaitingCount[] {
    const nowMs = performance.now();
    const counts = new Map<string, WaitingCount>();
    for (const { store, line } of this.#away.values()) {
      for (const { pending, failure } of line) {
        const { domain } = pending.request;
        const key = `${domain} ${store}`;
        const sinceMs = Math.round(nowMs - pending.delivery.receivedAtMs);
        const before = counts.get(key) ?? { domain, store, code: failure.code, count: 0, sinceMs };
        counts.set(key, { ...before, count: before.count + 1 });
      }
    }
    return [...counts.values()];
  }

  /** Lets a write wait behind others of its operation; false where none do. */
  holds(pending: PendingRequest, scope: RequestScope): boolean {
    if (pending.waited !== undefined) return false;
    for (const away of this.#away.values()) {
      const failure = away.holds(pending.delivery.routingKey);
      if (failure === undefined) continue;
      this.#wait(this.#writeOf(pending, scope, failure), away);
      return true;
    }
    return false;
  }

  /** Takes a request that failed and may wait: a write for which nothing was begun, and whose store is away. */
  takes(pending: PendingRequest, { error, scope, mode, repeatable, again }: Missed): boolean {
    if (mode !== 'write' || pending.waited?.isOver === true) return false;
    const store = scope.failedStore ?? '';
    if (!mayWait(error, pending, { repeatable, isAway: this.#away.has(store) })) return false;
    const adapter = this.#options.stores.get(store);
    if (adapter === undefined || !pending.delivery.isLive) return false;
    // n.b. code that still runs begins nothing more, and what it has begun is waited for.
    scope.expire();
    if (scope.isWriting) {
      scope.whenQuiet(again);
      return true;
    }
    if (scope.hasBegunWrite && !repeatable) return false;
    const away = this.#awayStore(adapter);
    const { waited } = pending;
    if (waited === undefined) this.#wait(this.#writeOf(pending, scope, error), away);
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

  #writeOf(pending: PendingRequest, scope: RequestScope, failure: BedsError): WaitingWrite {
    const { delivery } = pending;
    this.#order += 1;
    const times = {
      order: this.#order,
      untilMs: untilMs(pending, scope),
      holdUntilMs: delivery.receivedAtMs + this.#options.holdMs,
    };
    return new WaitingWrite(pending, times, { failure, onOver: (write) => this.#over(write) });
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
    timerWheel.add(write.dueAtMs, write);
  }

  #run(write: WaitingWrite, away: AwayStore): void {
    timerWheel.remove(write);
    const { pending } = write;
    if (!pending.delivery.isLive) {
      this.#drop(write);
      away.ended(false);
      return;
    }
    this.#options.run({
      ...begunNow(pending),
      onAnswer: (answer) => {
        write.isOver = true;
        pending.onAnswer(answer);
        away.ended(answer.lost === undefined || !DOUBTFUL.has(answer.lost.status));
      },
    });
  }

  /** It has waited for as long as it may. */
  #over(write: WaitingWrite): void {
    if (!write.pending.delivery.isLive) this.#drop(write);
    else if (performance.now() < write.untilMs) this.#giveBack(write);
    else {
      this.#end(write);
      this.#options.refuse(begunNow(write.pending), write.failure);
    }
  }

  #dropGone(away: AwayStore): void {
    for (const write of [...away.line]) if (!write.pending.delivery.isLive) this.#drop(write);
  }

  /** RabbitMQ has given its message back already. */
  #drop(write: WaitingWrite): void {
    this.#end(write);
    write.pending.onAnswer({ ...NO_ANSWER, verdict: 'requeue' });
  }

  #end(write: WaitingWrite): void {
    write.isOver = true;
    timerWheel.remove(write);
    this.#away.get(write.store)?.remove(write);
  }

  /**
   * Publishes it once more and acknowledges it. n.b. given back by `nack` it would be marked as delivered before, and a write that
   * is so marked may have been carried out.
   */
  #giveBack(write: WaitingWrite): void {
    this.#end(write);
    const { pending } = write;
    const { delivery } = pending;
    const message = {
      exchange: this.#options.exchange,
      routingKey: delivery.routingKey,
      body: bodyOf(write),
      properties: propertiesOf(write, this.#options.programs),
    };
    const { expiration } = message.properties;
    if (expiration !== undefined) message.properties.expiration = remainingMs(write);
    this.#options.handOver.publish(message, (outcome) => {
      if (outcome === 'confirmed') pending.onAnswer({ ...NO_ANSWER, verdict: 'ack' });
      else if (outcome === 'unknown' || !delivery.isLive) pending.onAnswer({ ...NO_ANSWER, verdict: 'requeue' });
      else if (this.#isStopping) setTimeout(() => this.#giveBack(write), GIVE_BACK_AGAIN_MS);
      else this.#holdAgain(write);
    });
  }

  #holdAgain(write: WaitingWrite): void {
    const adapter = this.#options.stores.get(write.store);
    if (adapter === undefined) return;
    const { order, untilMs: endsAtMs } = write;
    const times = { order, untilMs: endsAtMs, holdUntilMs: performance.now() + HOLD_AGAIN_MS };
    const again = new WaitingWrite(write.pending, times, {
      failure: write.failure,
      onOver: (each) => this.#over(each),
    });
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
  { delivery }: PendingRequest,
  { repeatable, isAway }: { readonly repeatable: boolean; readonly isAway: boolean },
): error is BedsError {
  if (!isBedsError(error)) return false;
  if (error.code === 'BEDS_STORE_UNAVAILABLE') return true;
  if (hasReplyTo(delivery)) return isAway && error.code === 'BEDS_STORE_OVERLOADED';
  return error.code === 'BEDS_STORE_OVERLOADED' || (error.code === 'BEDS_STORE_INDETERMINATE' && repeatable);
}

/** When the caller gives up: by the deadline and the expiration that it named itself; the host's default bounds the execution. */
function untilMs({ request, delivery }: PendingRequest, scope: RequestScope): number {
  const expiration = Number(delivery.properties.expiration ?? Infinity);
  const named = request.meta?.deadlineMs === undefined ? Infinity : scope.expiresAtMs;
  const endsAtMs = Math.min(named, delivery.receivedAtMs + expiration);
  if (!hasReplyTo(delivery)) return endsAtMs;
  return endsAtMs - marginOf(endsAtMs - delivery.receivedAtMs);
}

/** A deadline that the caller named runs from when it was made or received; the host's own begins with the work. */
function begunNow(pending: PendingRequest): PendingRequest {
  const readAt = thisMoment();
  if (pending.request.meta?.deadlineMs !== undefined) return { ...pending, readAt };
  return { ...pending, receivedAtMs: readAt.processMs, readSinceMs: readAt.processMs, readAt };
}

function remainingMs({ untilMs: endsAtMs }: WaitingWrite): number {
  return Math.max(1, Math.ceil(endsAtMs - performance.now()));
}

/** n.b. the copy names the time that is left: no older time may be taken off it once more, by a host whose clock is behind ours. */
function propertiesOf(write: WaitingWrite, programs: WaitingWritesOptions['programs']): Options.Publish {
  const { delivery } = write.pending;
  const since = { [SINCE]: sinceOf(delivery) };
  if (!isBounded(write)) return copyInNameOf(delivery, programs, since);
  const nowMs = Date.now();
  const times = { [SENT_AT]: nowMs, [BROKER_TIMESTAMP]: nowMs };
  const properties = copyInNameOf(delivery, programs, { ...since, ...times });
  delete properties.timestamp;
  return properties;
}

function isBounded({ pending }: WaitingWrite): boolean {
  return pending.request.meta?.deadlineMs !== undefined;
}

function bodyOf(write: WaitingWrite): Buffer {
  const { request, delivery, isOfBatch } = write.pending;
  const { meta } = request;
  const left = { deadlineMs: remainingMs(write), sentAt: Date.now() };
  const copy = isBounded(write) ? { ...request, meta: { ...meta, ...left } } : request;
  if (!isOfBatch && !isBounded(write)) return delivery.body;
  return Buffer.from(JSON.stringify(isOfBatch ? [copy] : copy));
}

/** What is over sooner than this is not worth a line in the log, and may come many times a second. */
const SAY_AFTER_MS = 500;
/** Waits between two attempts to reach the store. */
const RETRY = { minMs: 100, maxMs: 2_000 } as const;

export interface AwayStoreOptions {
  readonly adapter: StoreAdapter;
  /** Runs a write; `ended` or `failed` is told what came of it. */
  readonly run: (write: WaitingWrite) => void;
  /** Before each attempt to reach the store. */
  readonly onAttempt: () => void;
  /** The store is back, and nothing waits any more. */
  readonly onBack: () => void;
}

/**
 * A store that is away, and the writes that wait for it in the order of their arrival. When it can be reached one of them tries
 * whether it takes writes; then they go on, more at once with each that ends well, up to as many as there are connections.
 */
class AwayStore {
  readonly #options: AwayStoreOptions;
  readonly #line: WaitingWrite[] = [];
  /** Operations whose writes wait, as they are routed. */
  readonly #operations = new Set<string>();
  /** Domains whose writes wait, and what the store said of the first. */
  readonly #domains = new Map<string, BedsError>();
  #isSaid = false;
  readonly #sayTimer: NodeJS.Timeout;
  /** Writes that may run at once; 0 while the store is away. */
  #room = 0;
  #running = 0;
  #attempt = 0;
  /** Trials that found the store there and the write refused: the next one is another's. */
  #misses = 0;
  #timer: NodeJS.Timeout | undefined;
  #isProbing = false;
  #failure: BedsError | undefined;

  constructor(options: AwayStoreOptions) {
    this.#options = options;
    this.#sayTimer = setTimeout(() => {
      this.#isSaid = true;
      for (const [domain, failure] of this.#domains) this.#publish('waiting', domain, failure);
    }, SAY_AFTER_MS).unref();
  }

  get store(): string {
    return this.#options.adapter.store;
  }

  get line(): readonly WaitingWrite[] {
    return this.#line;
  }

  /** Why the next write of the operation waits as well; undefined where it need not. */
  holds(routingKey: string): BedsError | undefined {
    return this.#operations.has(routingKey) ? this.#failure : undefined;
  }

  /** One that met the store away, or comes behind those that did. */
  add(write: WaitingWrite): void {
    write.store = this.store;
    this.#failure = write.failure;
    this.#insert(write);
    const { delivery, request } = write.pending;
    this.#operations.add(delivery.routingKey);
    if (!this.#domains.has(request.domain)) {
      this.#domains.set(request.domain, write.failure);
      if (this.#isSaid) this.#publish('waiting', request.domain, write.failure);
    }
    if (this.#room === 0) this.#probeLater();
    else this.#pump();
  }

  /** One that ran met the store away again. */
  failed(write: WaitingWrite): void {
    this.#running -= 1;
    if (this.#room > 0) this.#misses += 1;
    this.#room = 0;
    this.add(write);
  }

  /** One that ran is done; `isWell`: and the store did its part. */
  ended(isWell: boolean): void {
    this.#running -= 1;
    if (isWell && this.#room > 0) {
      this.#misses = 0;
      this.#attempt = 0;
      this.#room = Math.min(this.#room + 1, this.#options.adapter.status().connections.most);
    }
    this.#pump();
  }

  /** One that waits no longer. */
  remove(write: WaitingWrite): void {
    const at = this.#line.indexOf(write);
    if (at >= 0) this.#line.splice(at, 1);
  }

  #insert(write: WaitingWrite): void {
    const behind = this.#line.findLastIndex(({ order }) => order < write.order);
    this.#line.splice(behind + 1, 0, write);
  }

  #probeLater(): void {
    if (this.#timer !== undefined || this.#isProbing) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#probe();
      },
      backoffMs(this.#attempt, RETRY),
    ).unref();
    this.#attempt += 1;
  }

  /** Why it failed is in the adapter's status. */
  #probe(): void {
    this.#options.onAttempt();
    this.#isProbing = true;
    this.#options.adapter.open().then(
      () => {
        this.#isProbing = false;
        this.#room = 1;
        this.#pump();
      },
      () => {
        this.#isProbing = false;
        this.#probeLater();
      },
    );
  }

  #pump(): void {
    while (this.#room > this.#running) {
      // n.b. one that the store always refuses must not keep the others waiting for ever.
      const at = this.#running === 0 && this.#room === 1 ? this.#misses % Math.max(1, this.#line.length) : 0;
      const [write] = this.#line.splice(at, 1);
      if (write === undefined) break;
      this.#running += 1;
      this.#options.run(write);
    }
    if (this.#line.length === 0 && this.#running === 0 && this.#room > 0) this.#back();
  }

  #back(): void {
    clearTimeout(this.#sayTimer);
    if (this.#isSaid) for (const [domain, failure] of this.#domains) this.#publish('going-on', domain, failure);
    this.#options.onBack();
  }

  #publish(event: 'waiting' | 'going-on', domain: string, { code, message }: BedsError): void {
    publishWrites({ event, domain, store: this.store, code, error: message });
  }
}
