import type { Ending } from './ending.js';

/** Calls done in a millisecond; `void`: nothing can be said; undefined: not yet. */
export type Sighting = number | 'void' | undefined;

const WINDOW_MS = { least: 200, most: 2_000 } as const;
const DONE_PER_CALL = 8;
const HOPELESS_DONE_PER_CALL = 2;
/** Of what began under another limit, this many endings per call must have passed before anything counts. */
const SETTLE_PER_CALL = 2;
const MOST_UNKNOWN = 0.25;
/** Where fewer calls are under way than the limit allows, it is not the limit that decides. */
const LEAST_USE = 0.85;

export interface WindowSetting {
  readonly limit: number;
  /** Calls that began under another limit; 0 where it is the same as before. */
  readonly underWay: number;
  /** Less than this needs no longer look. */
  readonly hopeless: number;
}

/** Looks at what a store gets done under one limit, for as long as it takes for that to mean something. */
export class LimitWindow {
  #limit = 0;
  #hopeless = 0;
  #beganMs = 0;
  #toSettle = 0;
  #isSettling = false;
  #done = 0;
  #unknown = 0;
  #ticks = 0;
  #working = 0;

  /** From `nowMs` on; after a change of the limit, when the calls that were under way then have ended. */
  begin(nowMs: number, { limit, underWay, hopeless }: WindowSetting): void {
    this.#limit = limit;
    this.#hopeless = hopeless;
    this.#toSettle = underWay * SETTLE_PER_CALL;
    this.#isSettling = underWay > 0;
    this.#count(nowMs);
  }

  ended(ending: Ending): void {
    this.#toSettle -= 1;
    if (ending === 'done') this.#done += 1;
    else if (ending === 'unknown') this.#unknown += 1;
  }

  look(nowMs: number, working: number): Sighting {
    const tookMs = nowMs - this.#beganMs;
    if (this.#isSettling) {
      if (this.#toSettle > 0 || working > this.#limit) return tookMs < WINDOW_MS.most ? undefined : 'void';
      this.#isSettling = false;
      this.#count(nowMs);
      return undefined;
    }
    this.#ticks += 1;
    this.#working += working;
    const throughput = this.#done / tookMs;
    const isHopeless = throughput < this.#hopeless && this.#done >= HOPELESS_DONE_PER_CALL * this.#limit;
    const isEnough = isHopeless || this.#done >= DONE_PER_CALL * this.#limit;
    if (tookMs < WINDOW_MS.least || (!isEnough && tookMs < WINDOW_MS.most)) return undefined;
    const isUsed = this.#working >= LEAST_USE * this.#limit * this.#ticks;
    if (!isEnough || !isUsed || this.#unknown > MOST_UNKNOWN * this.#done) return 'void';
    return throughput;
  }

  #count(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#done = 0;
    this.#unknown = 0;
    this.#ticks = 0;
    this.#working = 0;
  }
}
