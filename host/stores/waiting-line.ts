import { storeErrors } from '../errors/store.js';
import type { Deadline } from './deadline.js';
import { ticker, type Ticking } from './ticker.js';

export interface LineLimits {
  readonly queueLimit: number;
  readonly acquireTimeoutMs: number;
}

interface Waiter<T> extends Ticking {
  readonly resolve: (what: T) => void;
  readonly reject: (error: Error) => void;
}

/** Calls that wait for their turn, first come first served: a bounded number, for a bounded time. */
export class WaitingLine<T> {
  readonly #limits: LineLimits;
  readonly #waiters = new Set<Waiter<T>>();

  constructor(limits: LineLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** BEDS_STORE_OVERLOADED when the line is full, `inVain` after `acquireTimeoutMs`, the deadline's reason after that. */
  wait(deadline: Deadline, inVain: () => Error): Promise<T> {
    const { queueLimit, acquireTimeoutMs } = this.#limits;
    if (this.#waiters.size >= queueLimit) return Promise.reject(storeErrors.make('BEDS_STORE_OVERLOADED'));
    return new Promise((resolve, reject) => {
      const untilMs = performance.now() + acquireTimeoutMs;
      const leave = (): void => {
        ticker.remove(waiter);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter<T> = {
        resolve: (what) => {
          leave();
          resolve(what);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
        tick: (nowMs) => {
          if (nowMs >= untilMs) waiter.reject(inVain());
        },
      };
      ticker.add(waiter);
      this.#waiters.add(waiter);
      deadline.onOver(waiter.reject);
    });
  }

  /** Gives what the first one waits for; false when nobody does. */
  serve(what: T): boolean {
    const [first] = this.#waiters;
    first?.resolve(what);
    return first !== undefined;
  }

  /** Tells the first one that it waits in vain. */
  refuse(error: Error): void {
    const [first] = this.#waiters;
    first?.reject(error);
  }

  /** Tells all. */
  dismiss(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }
}
