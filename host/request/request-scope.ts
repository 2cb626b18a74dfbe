import { resultBudget } from '../stores/result-budget.js';
import type { ResultHolder } from '../stores/result-budget.js';
import { requestErrors } from '../errors/request.js';
import { fnv1a } from './fnv1a.js';

/** Who asks and until when; shared by a request and the calls it makes into other domains. */
export class RequestScope implements ResultHolder {
  readonly requestId: string;
  readonly client: string | undefined;
  readonly session: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
  /** A copy for a shadow: it leaves no trace in the counts. */
  readonly isCopy: boolean;
  #sides: Map<number, boolean> | undefined;
  #aborter: AbortController | undefined;
  #expired = false;
  #isWrite = false;
  #writes = 0;
  #openWrites = 0;
  #onQuiet: (() => void) | undefined;
  #failedStore: string | undefined;
  #heldBytes = 0;
  #isDone = false;

  constructor(request: {
    readonly requestId: string;
    readonly client?: string | undefined;
    readonly session?: string | undefined;
    readonly idempotencyKey?: string | undefined;
    readonly expiresAtMs: number;
    readonly isCopy?: boolean;
  }) {
    this.requestId = request.requestId;
    this.client = request.client;
    this.session = request.session;
    this.idempotencyKey = request.idempotencyKey;
    this.expiresAtMs = request.expiresAtMs;
    this.isCopy = request.isCopy === true;
  }

  /** Which side of a canary the request is on, see `Sharer`; on demand, as most domains have no canary. */
  side(salt: number, decide: (bucket: number) => boolean): boolean {
    const known = this.#sides?.get(salt);
    if (known !== undefined) return known;
    const isCandidate = decide(bucketOf(this, salt));
    this.#sides ??= new Map();
    this.#sides.set(salt, isCandidate);
    return isCandidate;
  }

  /** Said by every operation that may change data, before its code runs. */
  mayHaveWritten(): void {
    this.#isWrite = true;
  }

  /** Whether it may take what another request reads: not where it must see what it wrote, nor where it is to leave no trace. */
  get mayShare(): boolean {
    return !this.#isWrite && !this.isCopy;
  }

  /** Said right before a statement that may change data is handed to a store. */
  beginsWrite(): void {
    this.#writes += 1;
    this.#openWrites += 1;
  }

  /** Of one of those statements nothing was kept, for sure. */
  keptNothing(): void {
    this.#writes -= 1;
  }

  /** One of those statements has ended, whatever came of it. */
  writeEnded(): void {
    this.#openWrites -= 1;
    if (this.#openWrites === 0) this.#onQuiet?.();
  }

  /** Whether one of those statements is still under way. */
  get isWriting(): boolean {
    return this.#openWrites > 0;
  }

  /** Calls back once none of them is. */
  whenQuiet(onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
  }

  /** Said of every call that failed. */
  failedAt(store: string): void {
    this.#failedStore = store;
  }

  /** The store that failed last. */
  get failedStore(): string | undefined {
    return this.#failedStore;
  }

  /** Whether something may have been kept, now or later, by this request or by what it called. */
  get hasBegunWrite(): boolean {
    return this.#writes > 0;
  }

  get remainingMs(): number {
    return this.expiresAtMs - performance.now();
  }

  /** Made on demand: most requests never look at it, and a controller costs more than the rest of the context. */
  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    if (this.#expired) this.#aborter.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
    return this.#aborter.signal;
  }

  /** Milliseconds left; throws BEDS_REQUEST_DEADLINE_EXCEEDED when there are none. */
  requireTime(): number {
    const remainingMs = this.remainingMs;
    if (this.#expired || remainingMs <= 0) throw requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
    return remainingMs;
  }

  /** Counts what the results that its code was given take of the thread's memory. */
  hold(bytes: number): void {
    if (this.#isDone) resultBudget.giveBack(bytes);
    else this.#heldBytes += bytes;
  }

  /** Its code has really ended, and holds nothing any more. */
  done(): void {
    this.#isDone = true;
    if (this.#heldBytes === 0) return;
    resultBudget.giveBack(this.#heldBytes);
    this.#heldBytes = 0;
  }

  expire(): void {
    this.#expired = true;
    this.#aborter?.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
  }
}

/** In hundredths of a percent; a caller that does not say who it is gets a side for each request. */
function bucketOf({ client, session, requestId }: RequestScope, salt: number): number {
  const digest =
    client === undefined && session === undefined
      ? fnv1a(requestId)
      : fnv1a(session ?? '', fnv1a('\0', fnv1a(client ?? '')));
  return (mix(digest, salt) % 10_000) / 100;
}

/** Spreads a digest so that it says nothing about the one of another salt: the finalizer of MurmurHash3. */
function mix(digest: number, salt: number): number {
  let mixed = digest ^ Math.imul(salt, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
