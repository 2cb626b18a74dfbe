import { settlesWithin } from '#sdk/time';
import { storeErrors } from '../../errors/store.js';
import type { StoreStatus } from '../contract.js';
import type { Deadline } from '../deadline.js';
import { type LineLimits, WaitingLine } from '../waiting-line.js';

export interface SlotOptions extends LineLimits {
  readonly poolSize: number;
}

const inVain = (): Error => storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.');

/**
 * As many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #most: number;
  readonly #line: WaitingLine<void>;
  readonly #onIdle: (() => void)[] = [];
  #inUse = 0;

  constructor(options: SlotOptions) {
    this.#most = options.poolSize;
    this.#line = new WaitingLine(options);
  }

  get counts(): Omit<StoreStatus['connections'], 'idle'> {
    return { inUse: this.#inUse, waiting: this.#line.size, most: this.#most };
  }

  /** Takes a slot that is free; false where one has to be waited for. */
  take(): boolean {
    if (this.#inUse >= this.#most) return false;
    this.#inUse += 1;
    return true;
  }

  /** BEDS_STORE_OVERLOADED or the deadline's reason. */
  wait(deadline: Deadline): Promise<void> {
    return this.#line.wait(deadline, inVain);
  }

  /** Once for each slot, when its operation has really ended. */
  release(): void {
    // n.b. handed on at once: a newcomer cannot slip in between.
    if (this.#line.serve()) return;
    this.#inUse -= 1;
    if (this.#inUse === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Resolves when nothing runs, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#inUse === 0) return;
    await settlesWithin(new Promise<void>((resolve) => this.#onIdle.push(resolve)), timeoutMs);
  }
}
