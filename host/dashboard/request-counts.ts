import { OF_CALLERS } from '../request/observations.js';

/** How many requests of a domain ended in which way. */
export interface Counts {
  readonly requests: number;
  /** Not the callers' fault. */
  readonly failures: number;
  /** Asked wrongly, forbidden or about what is not there: answered as they should be. */
  readonly refused: number;
}

/** Failures of one kind in one place. */
export interface Failed {
  readonly node: string;
  readonly version: string;
  /** The class of the error, or `stray`: a fault that no request ended with. */
  readonly outcome: string;
  readonly count: number;
}

/** What came to one counter of a node. */
interface More extends Failed {
  readonly domain: string;
}

const NONE: Counts = { requests: 0, failures: 0, refused: 0 };
const SERIES = /^beds_(requests|stray_faults)_total\{([^}]*)\} (\d+)/gm;
const LABEL = /(domain|version|outcome)="([^"]*)"/g;
const MINUTE_MS = 60_000;
const KEPT_MINUTES = 60;

/**
 * Requests by domain over the last hour, by the minute. Nodes count since they started: what came to their counters from one
 * look to the next is counted here. A counter that is lower than before is that of a node that has started again.
 */
export class RequestCounts {
  readonly #nowMs: () => number;
  /** Counters by node and series. */
  readonly #before = new Map<string, ReadonlyMap<string, number>>();
  /** By minute: the domain, node, version and outcome, and how often. */
  readonly #minutes = new Map<number, Map<string, number>>();
  readonly #sinceMs: number;

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  /** Milliseconds since 1970: what happened before is not counted. */
  get sinceMs(): number {
    return Math.max(this.#sinceMs, this.#nowMs() - KEPT_MINUTES * MINUTE_MS);
  }

  /** Takes the metrics of a node, in the text format of Prometheus. Returns what came since the last time, by domain. */
  add(node: string, metrics: string): ReadonlyMap<string, Counts> {
    const now = countersOf(metrics);
    const before = this.#before.get(node);
    this.#before.set(node, now);
    const came = new Map<string, Counts>();
    // n.b. of a node that is seen for the first time it is not known when its counters rose.
    if (before === undefined) return came;
    for (const [series, total] of now) {
      const [domain, version, outcome] = JSON.parse(series) as readonly [string, string, string];
      const last = before.get(series) ?? 0;
      const count = total < last ? total : total - last;
      if (count === 0) continue;
      came.set(domain, plus(came.get(domain) ?? NONE, countsOf(outcome, count)));
      this.#keep({ domain, node, version, outcome, count });
    }
    this.#forgetOld();
    return came;
  }

  /** Of the last hour. */
  of(domain: string): Counts {
    return this.#kept(domain).reduce((sum, { outcome, count }) => plus(sum, countsOf(outcome, count)), NONE);
  }

  /** What failed in the last hour and where, the most first. */
  failed(domain: string): readonly Failed[] {
    return this.#kept(domain)
      .filter(({ outcome }) => countsOf(outcome, 1).failures > 0)
      .sort((a, b) => b.count - a.count);
  }

  #kept(domain: string): Failed[] {
    this.#forgetOld();
    const sums = new Map<string, number>();
    for (const minute of this.#minutes.values()) {
      for (const [key, count] of minute) sums.set(key, (sums.get(key) ?? 0) + count);
    }
    return [...sums].flatMap(([key, count]) => {
      const [of, node, version, outcome] = JSON.parse(key) as readonly [string, string, string, string];
      return of === domain ? [{ node, version, outcome, count }] : [];
    });
  }

  #keep({ domain, node, version, outcome, count }: More): void {
    const minute = Math.floor(this.#nowMs() / MINUTE_MS);
    const counts = this.#minutes.get(minute) ?? new Map<string, number>();
    this.#minutes.set(minute, counts);
    const key = JSON.stringify([domain, node, version, outcome]);
    counts.set(key, (counts.get(key) ?? 0) + count);
  }

  #forgetOld(): void {
    const oldest = Math.floor(this.#nowMs() / MINUTE_MS) - KEPT_MINUTES;
    for (const minute of this.#minutes.keys()) if (minute <= oldest) this.#minutes.delete(minute);
  }
}

/** By domain, version and outcome. */
function countersOf(metrics: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const [, kind, labels = '', value] of metrics.matchAll(SERIES)) {
    const named = new Map([...labels.matchAll(LABEL)].map(([, label, text = '']) => [label, text] as const));
    const outcome = kind === 'requests' ? (named.get('outcome') ?? '') : 'stray';
    counters.set(JSON.stringify([named.get('domain') ?? '', named.get('version') ?? '', outcome]), Number(value));
  }
  return counters;
}

function countsOf(outcome: string, count: number): Counts {
  if (outcome === 'stray') return { requests: 0, failures: count, refused: 0 };
  if (outcome === 'ok') return { requests: count, failures: 0, refused: 0 };
  return OF_CALLERS.has(outcome)
    ? { requests: count, failures: 0, refused: count }
    : { requests: count, failures: count, refused: 0 };
}

function plus(a: Counts, b: Counts): Counts {
  return { requests: a.requests + b.requests, failures: a.failures + b.failures, refused: a.refused + b.refused };
}
