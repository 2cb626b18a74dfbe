import { storeErrors } from '../../errors/store.js';
import type { Deadline } from './deadline.js';

interface Waiter {
  grant(): void;
}

export interface SlotLimits {
  readonly limit: number;
  readonly queueLimit: number;
  readonly acquireTimeoutMs: number;
}

/**
 * As many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #limits: SlotLimits;
  readonly #waiters = new Set<Waiter>();
  readonly #idleListeners = new Set<() => void>();
  #inUse = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get counts(): { readonly inUse: number; readonly waiting: number; readonly limit: number } {
    return { inUse: this.#inUse, waiting: this.#waiters.size, limit: this.#limits.limit };
  }

  /** Waits for a slot; call what it gives once, when the operation has really ended. BEDS_STORE_OVERLOADED or _TIMEOUT. */
  async acquire(deadline: Deadline): Promise<() => void> {
    if (this.#inUse < this.#limits.limit && this.#waiters.size === 0) {
      this.#inUse += 1;
    } else {
      if (this.#waiters.size >= this.#limits.queueLimit) throw storeErrors.make('BEDS_STORE_OVERLOADED');
      await this.#wait(deadline);
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#release();
    };
  }

  /** Resolves when nothing runs, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#inUse === 0) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#idleListeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#idleListeners.add(done);
    });
  }

  #wait(deadline: Deadline): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        deadline.signal.removeEventListener('abort', expired);
        this.#waiters.delete(waiter);
      };
      const expired = (): void => {
        leave();
        reject(deadline.signal.reason as Error);
      };
      const waiter: Waiter = {
        grant: () => {
          leave();
          resolve();
        },
      };
      const timer = setTimeout(() => {
        leave();
        reject(storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.'));
      }, this.#limits.acquireTimeoutMs);
      this.#waiters.add(waiter);
      if (deadline.signal.aborted) expired();
      else deadline.signal.addEventListener('abort', expired, { once: true });
    });
  }

  #release(): void {
    const [next] = this.#waiters;
    // The slot goes from hand to hand: a newcomer cannot slip in between.
    if (next !== undefined) {
      next.grant();
      return;
    }
    this.#inUse -= 1;
    if (this.#inUse === 0) for (const listener of this.#idleListeners) listener();
  }
}
