import { type FailureClass, LATENCY_BOUNDS_MS, type Tally } from '../../request/observations.js';
import type { Outcome } from './guard.js';

/** What the tallies of one thread say, by generation. */
export type ThreadTallies = ReadonlyMap<string, readonly Tally[]>;

type Counts = Readonly<Partial<Record<FailureClass, number>>>;

const NO_LATENCY: readonly number[] = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
const NOTHING: Outcome = { requests: 0, failures: {}, strays: {}, latency: NO_LATENCY };

/**
 * What happened to generations since the window was opened, on all threads. A thread that ended keeps what it was seen to do.
 * What came last is kept or dropped as a whole, for both sides of a canary alike.
 */
export class TallyWindow {
  readonly #generations: ReadonlySet<number>;
  readonly #seen = new Map<string, Tally>();
  readonly #kept = new Map<number, Outcome>();
  readonly #latest = new Map<number, Outcome>();

  /** Others than these generations come and go while a canary is held for days. */
  constructor(now: ThreadTallies, generations: Iterable<number>) {
    this.#generations = new Set(generations);
    this.add(now);
    this.drop();
  }

  add(now: ThreadTallies): void {
    for (const [thread, tallies] of now) {
      for (const tally of tallies) {
        if (this.#generations.has(tally.generation)) this.#note(`${thread} ${String(tally.generation)}`, tally);
      }
    }
  }

  /** What came since the last `keep` or `drop` counts for good. */
  keep(): void {
    for (const [generation, latest] of this.#latest) this.#kept.set(generation, sum(this.#keptOf(generation), latest));
    this.#latest.clear();
  }

  /** It counts for nothing. */
  drop(): void {
    this.#latest.clear();
  }

  /** Since the last `keep` or `drop`. */
  latest(generation: number): Outcome {
    return this.#latest.get(generation) ?? NOTHING;
  }

  /** All that was not dropped. */
  outcome(generation: number): Outcome {
    return sum(this.#keptOf(generation), this.latest(generation));
  }

  #keptOf(generation: number): Outcome {
    return this.#kept.get(generation) ?? NOTHING;
  }

  #note(key: string, tally: Tally): void {
    const before = this.#seen.get(key) ?? NOTHING;
    this.#seen.set(key, tally);
    this.#latest.set(tally.generation, sum(this.latest(tally.generation), tally, before));
  }
}

/** `a + b`, less `without`. */
function sum(a: Outcome, b: Outcome, without: Outcome = NOTHING): Outcome {
  return {
    requests: a.requests + b.requests - without.requests,
    failures: sumCounts([a.failures, b.failures], without.failures),
    strays: sumCounts([a.strays, b.strays], without.strays),
    latency: NO_LATENCY.map(
      (_, index) => (a.latency[index] ?? 0) + (b.latency[index] ?? 0) - (without.latency[index] ?? 0),
    ),
  };
}

function sumCounts(added: readonly (Counts | undefined)[], without: Counts = {}): Counts {
  const result: Partial<Record<FailureClass, number>> = {};
  const count = (counts: Counts, factor: number): void => {
    for (const [name, value] of Object.entries(counts)) {
      const status = name as FailureClass;
      result[status] = (result[status] ?? 0) + factor * value;
    }
  };
  for (const counts of added) count(counts ?? {}, 1);
  count(without, -1);
  return result;
}
