import type { ErrorStatus } from '@beds/sdk';
import { LATENCY_BOUNDS_MS, type Tally } from '../../dispatch/observations.js';
import type { Outcome } from './guard.js';

/** What the tallies of one thread say, by generation. */
export type ThreadTallies = ReadonlyMap<string, readonly Tally[]>;

/** What happened to generations since the window was opened, on all threads. A thread that ended keeps what it was seen to do. */
export class TallyWindow {
  readonly #generations: ReadonlySet<number>;
  readonly #before = new Map<string, Tally>();
  readonly #latest = new Map<string, Tally>();

  /** Others than these generations come and go while a canary is held for days. */
  constructor(now: ThreadTallies, generations: Iterable<number>) {
    this.#generations = new Set(generations);
    this.#note(now, this.#before);
  }

  add(now: ThreadTallies): void {
    this.#note(now, this.#latest);
  }

  #note(now: ThreadTallies, into: Map<string, Tally>): void {
    for (const [thread, tallies] of now) {
      for (const tally of tallies) {
        if (this.#generations.has(tally.generation)) into.set(keyOf(thread, tally.generation), tally);
      }
    }
  }

  outcome(generation: number): Outcome {
    let requests = 0;
    const failures: Partial<Record<ErrorStatus, number>> = {};
    const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
    for (const [key, tally] of this.#latest) {
      if (tally.generation !== generation) continue;
      const before = this.#before.get(key);
      requests += tally.requests - (before?.requests ?? 0);
      for (const [name, count] of Object.entries(tally.failures)) {
        const status = name as ErrorStatus;
        failures[status] = (failures[status] ?? 0) + count - (before?.failures[status] ?? 0);
      }
      for (const [index, count] of tally.latency.entries()) {
        latency[index] = (latency[index] ?? 0) + count - (before?.latency[index] ?? 0);
      }
    }
    return { requests, failures, latency };
  }
}

function keyOf(thread: string, generation: number): string {
  return `${thread} ${String(generation)}`;
}
