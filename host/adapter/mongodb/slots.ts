import { storeErrors } from '../../errors/store.js';
import { AdaptiveLimit } from '../adaptive-limit.js';
import type { StoreStatus } from '../contract.js';
import type { Deadline } from '../deadline.js';
import { type LineLimits, WaitingLine } from '../waiting-line.js';

export interface SlotLimits extends LineLimits {
  readonly poolSize: number;
}

const inVain = (): Error => storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.');

/**
 * At most as many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #limit: AdaptiveLimit;
  readonly #line: WaitingLine<void>;
  readonly #idleListeners = new Set<() => void>();
  #inUse = 0;

  constructor(limits: SlotLimits) {
    const line = new WaitingLine<void>(limits);
    this.#line = line;
    this.#limit = new AdaptiveLimit(limits.poolSize, line, () => this.#serve());
  }

  get counts(): Omit<StoreStatus['connections'], 'idle'> {
    const { current, most } = this.#limit;
    return { inUse: this.#inUse, waiting: this.#line.size, limit: current, most };
  }

  /** Takes a slot that is free; false where one has to be waited for. */
  take(): boolean {
    if (this.#inUse >= this.#limit.current) return false;
    this.#inUse += 1;
    return true;
  }

  /** BEDS_STORE_OVERLOADED or the deadline's reason. */
  wait(deadline: Deadline): Promise<void> {
    this.#limit.watch();
    return this.#line.wait(deadline, inVain);
  }

  /** Its operation takes too long. */
  timedOut(): void {
    this.#limit.timedOut();
  }

  /** Once for each slot, when its operation has really ended. */
  release(): void {
    this.#limit.ended();
    this.#inUse -= 1;
    this.#serve();
    if (this.#inUse === 0) for (const listener of this.#idleListeners) listener();
  }

  #serve(): void {
    while (this.#inUse < this.#limit.current && this.#line.serve()) this.#inUse += 1;
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
