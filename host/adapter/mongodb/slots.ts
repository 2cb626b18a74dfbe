import { storeErrors } from '../../errors/store.js';
import { ConcurrencyLimit, type LimitOptions } from '../concurrency-limit.js';
import type { StoreStatus } from '../contract.js';
import type { Deadline } from '../deadline.js';
import type { Ending } from '../ending.js';
import { type LineLimits, type Use, WaitingLine } from '../waiting-line.js';

export interface SlotOptions extends LineLimits {
  readonly poolSize: number;
  readonly adaptive: boolean;
  readonly onLimit: LimitOptions['onChanged'];
}

const inVain = (): Error => storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.');

/**
 * As many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #most: number;
  readonly #limit: ConcurrencyLimit;
  readonly #line: WaitingLine<void>;
  readonly #idleListeners = new Set<() => void>();
  #inUse = 0;

  constructor(options: SlotOptions) {
    this.#most = options.poolSize;
    this.#line = new WaitingLine(options);
    this.#limit = new ConcurrencyLimit({
      most: options.poolSize,
      adaptive: options.adaptive,
      line: this.#line,
      onRaised: () => this.#serve(),
      onChanged: options.onLimit,
    });
  }

  get counts(): Omit<StoreStatus['connections'], 'idle'> {
    return { inUse: this.#inUse, waiting: this.#line.size, limit: this.#limit.held, most: this.#most };
  }

  /** Takes a slot that is free; false where one has to be waited for. */
  take(use: Use): boolean {
    if (!this.#isFree(use)) return false;
    this.#inUse += 1;
    if (use === 'call') this.#limit.began();
    return true;
  }

  /** BEDS_STORE_OVERLOADED or the deadline's reason. */
  wait(deadline: Deadline, use: Use): Promise<void> {
    this.#limit.watch();
    return this.#line.wait(deadline, use, inVain);
  }

  /** Once for each slot, when its operation has really ended. */
  release(use: Use, ending: Ending): void {
    this.#inUse -= 1;
    if (use === 'call') this.#limit.ended(ending);
    // n.b. at once: a newcomer cannot slip in between.
    this.#serve();
    if (this.#inUse === 0) for (const listener of this.#idleListeners) listener();
  }

  #isFree(use: Use): boolean {
    return this.#inUse < this.#most && (use === 'transaction' || this.#limit.room > 0);
  }

  #serve(): void {
    for (let use = this.#line.next; use !== undefined && this.take(use); use = this.#line.next) this.#line.serve();
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
