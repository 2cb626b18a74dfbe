/** A deadline that is watched. */
export interface WatchedDeadline {
  readonly tick: number;
  readonly expire: () => void;
}

const TICK_MS = 10;

/**
 * Timers for many requests at the price of one: deadlines are kept by tick and looked at together, so a request costs a
 * set entry instead of a timer. A deadline fires at most two ticks late.
 */
export class Deadlines {
  readonly #ticks = new Map<number, Set<WatchedDeadline>>();
  #last = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Calls `expire` once at `atMs`, in terms of performance.now(), unless removed before. */
  add(atMs: number, expire: () => void): WatchedDeadline {
    if (this.#timer === undefined) this.#start();
    const tick = Math.max(tickOf(atMs), this.#last) + 1;
    const deadline: WatchedDeadline = { tick, expire };
    const entries = this.#ticks.get(tick);
    if (entries === undefined) this.#ticks.set(tick, new Set([deadline]));
    else entries.add(deadline);
    return deadline;
  }

  /** False when it was not watched any more, because it expired or was removed before. */
  remove(deadline: WatchedDeadline): boolean {
    const entries = this.#ticks.get(deadline.tick);
    if (entries?.delete(deadline) !== true) return false;
    if (entries.size === 0) this.#ticks.delete(deadline.tick);
    return true;
  }

  #start(): void {
    this.#last = tickOf(performance.now());
    this.#timer = setInterval(() => {
      this.#advance();
    }, TICK_MS);
  }

  #advance(): void {
    const now = tickOf(performance.now());
    for (let tick = this.#last + 1; tick <= now; tick++) {
      const due = this.#ticks.get(tick);
      this.#ticks.delete(tick);
      due?.forEach((deadline) => {
        deadline.expire();
      });
    }
    this.#last = now;
    if (this.#ticks.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function tickOf(ms: number): number {
  return Math.floor(ms / TICK_MS);
}
