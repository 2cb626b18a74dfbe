/** Something that ends at a time of `performance.now()`. */
export interface Expiring {
  readonly expiresAtMs: number;
}

const TICK_MS = 25;

/** Ends many things at their deadlines, up to 25 ms late, with one timer for all: a timer for each would cost more than the calls. */
export class DeadlineWheel<T extends Expiring> {
  readonly #expire: (item: T) => void;
  readonly #buckets = new Map<number, Set<T>>();
  #timer: NodeJS.Timeout | undefined;
  #size = 0;
  #nextTick = 0;

  constructor(expire: (item: T) => void) {
    this.#expire = expire;
  }

  add(item: T): void {
    const tick = DeadlineWheel.#tickOf(item);
    const bucket = this.#buckets.get(tick);
    if (bucket === undefined) this.#buckets.set(tick, new Set([item]));
    else bucket.add(item);
    this.#size += 1;
    if (this.#timer !== undefined) return;
    this.#nextTick = Math.floor(performance.now() / TICK_MS);
    this.#timer = setInterval(() => this.#turn(), TICK_MS);
  }

  delete(item: T): void {
    const tick = DeadlineWheel.#tickOf(item);
    const bucket = this.#buckets.get(tick);
    if (bucket?.delete(item) !== true) return;
    if (bucket.size === 0) this.#buckets.delete(tick);
    this.#size -= 1;
  }

  static #tickOf(item: Expiring): number {
    return Math.ceil(item.expiresAtMs / TICK_MS);
  }

  #turn(): void {
    const now = Math.floor(performance.now() / TICK_MS);
    for (; this.#nextTick <= now; this.#nextTick += 1) {
      for (const item of this.#buckets.get(this.#nextTick) ?? []) {
        this.delete(item);
        this.#expire(item);
      }
    }
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
