import { storeErrors } from '../../errors/store.js';
import type { Deadline } from '../deadline.js';
import { type LineLimits, WaitingLine } from '../waiting-line.js';

export interface SlotLimits extends LineLimits {
  readonly limit: number;
}

const inVain = (): Error => storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.');

/**
 * As many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #limit: number;
  readonly #line: WaitingLine<void>;
  readonly #idleListeners = new Set<() => void>();
  #inUse = 0;

  constructor(limits: SlotLimits) {
    this.#limit = limits.limit;
    this.#line = new WaitingLine(limits);
  }

  get counts(): { readonly inUse: number; readonly waiting: number; readonly limit: number } {
    return { inUse: this.#inUse, waiting: this.#line.size, limit: this.#limit };
  }

  /** Takes a slot that is free; false where one has to be waited for. */
  take(): boolean {
    if (this.#inUse >= this.#limit) return false;
    this.#inUse += 1;
    return true;
  }

  /** BEDS_STORE_OVERLOADED or the deadline's reason. */
  wait(deadline: Deadline): Promise<void> {
    return this.#line.wait(deadline, inVain);
  }

  /** Once for each slot, when its operation has really ended. */
  release(): void {
    // The slot goes from hand to hand: a newcomer cannot slip in between.
    if (this.#line.serve()) return;
    this.#inUse -= 1;
    if (this.#inUse === 0) for (const listener of this.#idleListeners) listener();
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
}
