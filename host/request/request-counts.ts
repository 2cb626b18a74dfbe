import type { ErrorStatus } from '@beds/sdk';
import { LATENCY_BOUNDS_MS, type Tally } from './observations.js';

const [FIRST_BOUND_MS = 1, SECOND_BOUND_MS = 2] = LATENCY_BOUNDS_MS;
const LOG_OF_STEP = Math.log(SECOND_BOUND_MS / FIRST_BOUND_MS);

/** The bucket of a latency, see LATENCY_BOUNDS_MS. */
export function latencyBucket(ms: number): number {
  if (ms <= FIRST_BOUND_MS) return 0;
  return Math.min(Math.ceil(Math.log(ms / FIRST_BOUND_MS) / LOG_OF_STEP), LATENCY_BOUNDS_MS.length);
}

/** Counts how the requests of one generation end; a `Tally` in the making. On the path of every request. */
export class RequestCounts {
  readonly #failures: Partial<Record<ErrorStatus, number>> = {};
  readonly #strays: Partial<Record<ErrorStatus, number>> = {};
  readonly #latency: number[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  #requests = 0;
  #failed = 0;
  #unsettled = 0;
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

  succeeded(): void {
    this.#requests += 1;
  }

  failedWith(status: ErrorStatus): void {
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

  /** The deadline passed and the code runs on. */
  overran(): void {
    this.#unsettled += 1;
  }

  /** Code that overran has ended. */
  settled(): void {
    this.#unsettled -= 1;
  }

  tally(generation: number): Tally {
    return {
      generation,
      requests: this.#requests,
      failures: { ...this.#failures },
      ...(this.#strayed === 0 ? {} : { strays: { ...this.#strays } }),
      latency: [...this.#latency],
      unsettled: this.#unsettled,
    };
  }
}
