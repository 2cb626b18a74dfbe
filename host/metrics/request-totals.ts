import type { ErrorStatus } from '@beds/sdk';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Tally } from '../request/observations.js';

/** How a request ended: `ok`, or the class of its error. `stray`: a fault that no request ended with. */
export type RequestOutcome = 'ok' | ErrorStatus | 'stray';

export interface OutcomeCount {
  readonly generation: number;
  readonly outcome: RequestOutcome;
  /** More than the last time; above 0. */
  readonly count: number;
}

type Seen = ReadonlyMap<RequestOutcome, number>;

/** Turns what threads count since they prepared a generation into increments, which no thread that ends takes back. */
export class RequestTotals {
  readonly #seen = new Map<string, Map<number, Seen>>();

  /** What came to the tallies of a thread since they were looked at last. */
  add(thread: string, tallies: readonly Tally[]): readonly OutcomeCount[] {
    return tallies.flatMap((tally) => this.#more(thread, tally));
  }

  /** The same for the last tally of a generation in a thread. */
  addLast(thread: string, tally: Tally): readonly OutcomeCount[] {
    const more = this.#more(thread, tally);
    this.#seen.get(thread)?.delete(tally.generation);
    return more;
  }

  /** The thread has ended. */
  forget(thread: string): void {
    this.#seen.delete(thread);
  }

  #more(thread: string, tally: Tally): readonly OutcomeCount[] {
    const { generation } = tally;
    const ofThread = this.#seen.get(thread) ?? new Map<number, Seen>();
    this.#seen.set(thread, ofThread);
    const before = ofThread.get(generation);
    const now = outcomesOf(tally);
    ofThread.set(generation, now);
    return [...now].flatMap(([outcome, total]) => {
      const count = total - (before?.get(outcome) ?? 0);
      return count > 0 ? [{ generation, outcome, count }] : [];
    });
  }
}

function outcomesOf({ requests, failures, strays = {} }: Tally): Seen {
  const { 'store-fault': ofStores = 0, ...rest } = failures;
  const all = ofStores === 0 ? rest : { ...rest, fault: ofStores + (rest.fault ?? 0) };
  const failed = Object.entries(all) as [ErrorStatus, number][];
  const ok = failed.reduce((left, [, count]) => left - count, requests);
  const stray = Object.values(strays).reduce((sum, count) => sum + count, 0);
  return new Map<RequestOutcome, number>([['ok', ok], ...failed, ...(stray === 0 ? [] : [['stray', stray] as const])]);
}

/** Makes metrics of a registry, one line each. */
export interface Declare {
  readonly counter: <L extends string>(name: string, help: string, ...labelNames: L[]) => Counter<L>;
  readonly gauge: <L extends string>(name: string, help: string, ...labelNames: L[]) => Gauge<L>;
}

export function declareIn(registry: Registry): Declare {
  const registers = [registry];
  return {
    counter: (name, help, ...labelNames) => new Counter({ name, help, labelNames, registers }),
    gauge: (name, help, ...labelNames) => new Gauge({ name, help, labelNames, registers }),
  };
}

interface Version {
  readonly domain: string;
  readonly version: string;
}

/** Versions of a domain that are counted apart. Prometheus keeps what it was told of older ones. */
const MAX_VERSIONS = 8;

/** Requests by version: the newest versions of each domain, so that thousands of swaps leave no more. */
export class VersionSeries {
  readonly #counter: Counter<'domain' | 'version' | 'outcome'>;
  readonly #strays: Counter<'domain' | 'version'>;
  /** Outcomes by version by domain; the version that was counted last comes last. */
  readonly #known = new Map<string, Map<string, Set<RequestOutcome>>>();

  constructor({ counter }: Declare) {
    const help = 'Requests of callers by the version that answered and how they ended.';
    this.#counter = counter('beds_requests_total', help, 'domain', 'version', 'outcome');
    const words = 'Faults that no request ended with, by the version whose code left them.';
    this.#strays = counter('beds_stray_faults_total', words, 'domain', 'version');
  }

  add({ domain, version }: Version, outcome: RequestOutcome, count: number): void {
    const versions = this.#known.get(domain) ?? new Map<string, Set<RequestOutcome>>();
    this.#known.set(domain, versions);
    const outcomes = versions.get(version) ?? new Set();
    versions.delete(version);
    versions.set(version, outcomes.add(outcome));
    if (outcome === 'stray') this.#strays.inc({ domain, version }, count);
    else this.#counter.inc({ domain, version, outcome }, count);
    const [oldest] = versions;
    if (versions.size > MAX_VERSIONS && oldest !== undefined) this.#forget(domain, versions, oldest);
  }

  #forget(
    domain: string,
    versions: Map<string, Set<RequestOutcome>>,
    [version, outcomes]: readonly [string, ReadonlySet<RequestOutcome>],
  ): void {
    versions.delete(version);
    for (const outcome of outcomes) {
      if (outcome === 'stray') this.#strays.remove({ domain, version });
      else this.#counter.remove({ domain, version, outcome });
    }
  }
}
