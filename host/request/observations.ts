import { type BedsError, type ErrorStatus, isBedsError } from '@beds/sdk';
import type { ShadowDifference } from '../admin/shown.js';

/** Failures that callers make themselves, as far as one request can tell: what they ask is answered as it should be, with a no. */
export const OF_CALLERS: ReadonlySet<string> = new Set([
  'invalid',
  'forbidden',
  'not-found',
  'conflict',
] satisfies ErrorStatus[]);

/** Whether it is such a no. */
export function isOfCaller(error: unknown): boolean {
  return isBedsError(error) && OF_CALLERS.has(error.status);
}

/**
 * The class of an error, where what a database reports and nobody knows is told from a fault of the code: a trigger that the DBA got wrong
 * fails every version.
 */
export type FailureClass = ErrorStatus | 'store-fault';

export function failureClass({ code, status }: BedsError): FailureClass {
  return code === 'BEDS_STORE_FAULT' ? 'store-fault' : status;
}

/** Failures that a database which is slow, gone or broken causes too: what they say of code only the version beside it can tell. */
export const IN_DOUBT: ReadonlySet<string> = new Set([
  'timeout',
  'overloaded',
  'unavailable',
  'indeterminate',
  'store-fault',
] satisfies FailureClass[]);

/** Upper bounds of the latency buckets, milliseconds: a quarter more each time; one more bucket holds what is above the last. */
export const LATENCY_BOUNDS_MS: readonly number[] = Array.from({ length: 56 }, (_, index) => 0.25 * 1.25 ** index);

/** How the requests of one generation ended in one thread, since the thread prepared it. Copies for a shadow do not count. */
export interface Tally {
  readonly generation: number;
  readonly requests: number;
  /** Requests that failed, by the class of the error. */
  readonly failures: Readonly<Partial<Record<FailureClass, number>>>;
  /** Faults that no request ended with, such as rejections that nobody handled, by the class of the error. Absent: none. */
  readonly strays?: Readonly<Partial<Record<ErrorStatus, number>>>;
  /** Requests by latency, see LATENCY_BOUNDS_MS; counted only while a candidate is under observation beside it. */
  readonly latency: readonly number[];
}

/** How often a client called an operation in one thread since the last observation. */
export interface CallerCount {
  readonly domain: string;
  readonly operation: string;
  /** `meta.client`; empty where the caller named none. */
  readonly client: string;
  readonly calls: number;
}

/** Answers of the active version and of a shadow that were not the same, since the last observation. */
export interface ShadowReport {
  readonly domain: string;
  readonly operation: string;
  /** The candidate's generation. */
  readonly generation: number;
  readonly compared: number;
  /** Copies that were not sent because enough were under way. */
  readonly skipped: number;
  readonly differences: readonly ShadowDifference[];
}

/** What a thread saw of its requests; the command `observe` asks for it. */
export interface Observations {
  readonly tallies: readonly Tally[];
  readonly callers: readonly CallerCount[];
  readonly shadows: readonly ShadowReport[];
  readonly usage: readonly UsageCount[];
}

const [FIRST_BOUND_MS = 1, SECOND_BOUND_MS = 2] = LATENCY_BOUNDS_MS;
const LOG_OF_STEP = Math.log(SECOND_BOUND_MS / FIRST_BOUND_MS);

/** The bucket of a latency, see LATENCY_BOUNDS_MS. */
export function latencyBucket(ms: number): number {
  if (ms <= FIRST_BOUND_MS) return 0;
  return Math.min(Math.ceil(Math.log(ms / FIRST_BOUND_MS) / LOG_OF_STEP), LATENCY_BOUNDS_MS.length);
}

/** Calls of an operation, or of a named object by an operation, since they were taken last. It is sent to the supervisor: plain data. */
export interface UsageCount {
  readonly domain: string;
  readonly version: string;
  readonly operation: string;
  /** Absent: the operation itself. */
  readonly object?: { readonly name: string; readonly kind: string; readonly store: string };
  readonly calls: number;
  /** n.b. without those of OF_CALLERS. */
  readonly failures: number;
  /** Calls by latency: bucket and count in turn, see LATENCY_BOUNDS_MS; without empty buckets. */
  readonly latency: readonly number[];
}

type Counted = Pick<UsageCount, 'calls' | 'failures' | 'latency'>;

/** Counts calls and how long they took. On the path of every request. */
export class CallCounts {
  /** Milliseconds of calls that are not counted yet. Who makes them adds here: for that he need not come here. */
  readonly good: number[] = [];
  readonly failed: number[] = [];
  readonly #latency = new Uint32Array(LATENCY_BOUNDS_MS.length + 1);
  #calls = 0;
  #failures = 0;

  ended(ms: number, isGood: boolean): void {
    this.#calls += 1;
    if (!isGood) this.#failures += 1;
    const bucket = latencyBucket(ms);
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1;
  }

  /** Counts those that were added. */
  count(): void {
    for (const ms of this.good.splice(0)) this.ended(ms, true);
    for (const ms of this.failed.splice(0)) this.ended(ms, false);
  }

  /** Calls since the last time; undefined: none. */
  take(): Counted | undefined {
    this.count();
    if (this.#calls === 0) return undefined;
    const latency = [...this.#latency].flatMap((count, bucket) => (count === 0 ? [] : [bucket, count]));
    const taken = { calls: this.#calls, failures: this.#failures, latency };
    this.#calls = 0;
    this.#failures = 0;
    this.#latency.fill(0);
    return taken;
  }
}

/** Calls that are added before they are counted. */
export const MAX_UNCOUNTED = 500;

/** Counts the calls of one operation of one generation, and those that it makes of named objects, by alias. */
export class OperationUsage extends CallCounts {
  readonly objects = new Map<string, CallCounts>();

  /** The first call of an object, or one after many. */
  called(alias: string, ms: number, isGood: boolean): void {
    let counts = this.objects.get(alias);
    if (counts === undefined) this.objects.set(alias, (counts = new CallCounts()));
    counts.count();
    counts.ended(ms, isGood);
  }
}

/** Counts how the requests of one generation end; a `Tally` in the making. On the path of every request. */
export class RequestCounts {
  readonly #failures: Partial<Record<FailureClass, number>> = {};
  readonly #strays: Partial<Record<ErrorStatus, number>> = {};
  readonly #latency: number[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  #requests = 0;
  #failed = 0;
  #strayed = 0;

  get requests(): number {
    return this.#requests;
  }

  get failed(): number {
    return this.#failed;
  }

  /** Faults that no request ended with. */
  get strays(): number {
    return this.#strayed;
  }

  /** `usage`: what counts the operation, which took so long. */
  succeeded(usage?: CallCounts, ms = 0): void {
    this.#requests += 1;
    usage?.ended(ms, true);
  }

  failedWith(status: FailureClass, usage?: CallCounts, ms = 0): void {
    usage?.ended(ms, OF_CALLERS.has(status));
    this.#requests += 1;
    this.#failed += 1;
    this.#failures[status] = (this.#failures[status] ?? 0) + 1;
  }

  /** The code left a fault behind that no request ended with. */
  strayed(status: ErrorStatus): void {
    this.#strayed += 1;
    this.#strays[status] = (this.#strays[status] ?? 0) + 1;
  }

  took(ms: number): void {
    const bucket = latencyBucket(ms);
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1;
  }

  tally(generation: number): Tally {
    return {
      generation,
      requests: this.#requests,
      failures: { ...this.#failures },
      ...(this.#strayed === 0 ? {} : { strays: { ...this.#strays } }),
      latency: [...this.#latency],
    };
  }
}

/** A client may call itself anything, so names are kept up to a bound. */
const MAX_CLIENTS = 1_000;

/** Stands for the clients beyond the bound. */
const THE_REST = '*';

/** Counts the calls of one operation by client. */
export class Callers {
  readonly #clients = new Map<string, { calls: number }>();

  /** Without a client: one that does not name itself. */
  count(client = ''): void {
    const entry = this.#clients.get(client) ?? this.#open(client);
    entry.calls += 1;
  }

  /** Calls since the last time. Clients that did not call meanwhile make room for others. */
  take(): readonly Pick<CallerCount, 'client' | 'calls'>[] {
    const taken: Pick<CallerCount, 'client' | 'calls'>[] = [];
    for (const [client, entry] of this.#clients) {
      if (entry.calls === 0) this.#clients.delete(client);
      else taken.push({ client, calls: entry.calls });
      entry.calls = 0;
    }
    return taken;
  }

  #open(client: string): { calls: number } {
    const name = this.#clients.size < MAX_CLIENTS ? client : THE_REST;
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const entry = { calls: 0 };
    this.#clients.set(name, entry);
    return entry;
  }
}

/** Who calls what in this thread. Versions of a domain that follow each other count in the same place. */
export class CallerBook {
  readonly #domains = new Map<string, Map<string, Callers>>();

  of(domain: string, operation: string): Callers {
    let operations = this.#domains.get(domain);
    if (operations === undefined) this.#domains.set(domain, (operations = new Map<string, Callers>()));
    let callers = operations.get(operation);
    if (callers === undefined) operations.set(operation, (callers = new Callers()));
    return callers;
  }

  /** Calls since the last time. */
  take(): readonly CallerCount[] {
    return [...this.#domains].flatMap(([domain, operations]) =>
      [...operations].flatMap(([operation, callers]) =>
        callers.take().map(({ client, calls }) => ({ domain, operation, client, calls })),
      ),
    );
  }
}
