import type { Tally } from '../../request/observations.js';
import type { Config } from '../../config/schema.js';
import { lowerBound, strayFaults } from './guard.js';

export interface StrayWatchOptions {
  readonly settings: Pick<Config['rollout'], 'guardMinRequests' | 'guardMaxErrorPercent'>;
  /** A version left more of them than it may, in one look; `reason` is for a person. */
  readonly onTooMany: (generation: number, reason: { readonly strays: number; readonly requests: number }) => void;
}

interface Seen {
  readonly sinceMs: number;
  requests: number;
  strays: number;
}

/** Looks are shorter while a canary is watched: this long is one judged at least. */
const LOOK_MS = 5_000;

/** Watches for versions whose code goes on leaving faults that no request ends with. What candidates leave the guard judges too. */
export class StrayWatch {
  readonly #options: StrayWatchOptions;
  readonly #tallies = new Map<string, ReadonlyMap<number, Tally>>();
  readonly #seen = new Map<number, Seen>();

  constructor(options: StrayWatchOptions) {
    this.#options = options;
  }

  /** What a thread has counted so far. */
  add(thread: string, tallies: readonly Tally[], nowMs = performance.now()): void {
    const before = this.#tallies.get(thread);
    this.#tallies.set(thread, new Map(tallies.map((tally) => [tally.generation, tally])));
    for (const tally of tallies) this.#count(tally, before?.get(tally.generation), nowMs);
  }

  /** The thread has ended. */
  forget(thread: string): void {
    this.#tallies.delete(thread);
  }

  #count(tally: Tally, before: Tally | undefined, nowMs: number): void {
    const strays = strayFaults(tally) - (before === undefined ? 0 : strayFaults(before));
    const seen = this.#seen.get(tally.generation);
    // Most versions never leave any.
    if (strays === 0 && seen === undefined) return;
    const current = seen ?? { sinceMs: nowMs, requests: 0, strays: 0 };
    current.strays += strays;
    current.requests += tally.requests - (before?.requests ?? 0);
    this.#seen.set(tally.generation, current);
    if (nowMs - current.sinceMs < LOOK_MS) return;
    this.#seen.delete(tally.generation);
    this.#judge(tally.generation, current);
  }

  #judge(generation: number, { strays, requests }: Seen): void {
    const { guardMinRequests, guardMaxErrorPercent } = this.#options.settings;
    const sample = Math.max(requests, strays);
    if (strays < guardMinRequests || lowerBound(strays, sample) <= guardMaxErrorPercent / 100) return;
    this.#options.onTooMany(generation, { strays, requests });
  }
}
