import { storeErrors } from '../errors/store.js';
import type { CallOptions } from './contract.js';
import { ticker, type Ticking } from './ticker.js';

type Lose = (reason: Error) => void;

/** The time of one call. It is over, at most a tick late, when the time is or when the caller has given up. */
export class Deadline implements Ticking {
  readonly #endsAtMs: number;
  readonly #caller: AbortSignal | undefined;
  readonly #losers: Lose[] = [];
  #reason: Error | undefined;

  constructor({ timeoutMs, signal }: Pick<CallOptions, 'timeoutMs' | 'signal'>) {
    this.#endsAtMs = performance.now() + timeoutMs;
    this.#caller = signal;
    ticker.add(this);
  }

  /** BEDS_STORE_TIMEOUT, the one that everything that waits fails with; undefined while there is time. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** Milliseconds left, at least 1. Throws BEDS_STORE_TIMEOUT when none are. */
  remainingMs(): number {
    const nowMs = performance.now();
    this.tick(nowMs);
    if (this.#reason !== undefined) throw this.#reason;
    return Math.max(1, this.#endsAtMs - nowMs);
  }

  /** To be asked just before the work is sent: false when there is no time for it. */
  mayStart(): boolean {
    this.tick(performance.now());
    return this.#reason === undefined;
  }

  /** Settles as `work` does, or with `reason` when the time is over. `onEnded` is told when the work has really ended. */
  race<T>(work: Promise<T>, onEnded?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose: Lose = reject;
      this.onOver(lose);
      work.then(
        (value) => {
          this.#forget(lose);
          onEnded?.();
          resolve(value);
        },
        (error: unknown) => {
          this.#forget(lose);
          onEnded?.();
          lose(error as Error);
        },
      );
    });
  }

  /** Calls `lose` once if the time is over before `end()`; at once if it is over already. */
  onOver(lose: Lose): void {
    if (this.#reason === undefined) this.#losers.push(lose);
    else lose(this.#reason);
  }

  /** Nothing happens any more when the time is over. */
  end(): void {
    ticker.remove(this);
    this.#losers.length = 0;
  }

  tick(nowMs: number): void {
    if (this.#reason !== undefined || (nowMs < this.#endsAtMs && this.#caller?.aborted !== true)) return;
    this.#reason = storeErrors.make('BEDS_STORE_TIMEOUT');
    ticker.remove(this);
    for (const lose of this.#losers.splice(0)) lose(this.#reason);
  }

  #forget(lose: Lose): void {
    const at = this.#losers.lastIndexOf(lose);
    if (at >= 0) this.#losers.splice(at, 1);
  }
}
