/** Most that wait for their turn, and most bytes of them: RabbitMQ takes few connections a second, and each may be good for one. */
const MAX_WAITING = 1_000;
const MAX_BYTES = 33_554_432;

export interface TrialQueueOptions<T> {
  /** What is good or bad together; undefined for what stands alone and is likely bad. */
  readonly groupOf: (item: T) => string | undefined;
  readonly bytesOf: (item: T) => number;
  /** It goes, because too much waits. */
  readonly onDropped: (item: T) => void;
}

/**
 * What waits for its trial. First comes what is likely harmless; then the group of which most wait, so that whoever makes up many
 * groups does not keep those waiting who share a good one. When too much waits, one of the smallest group goes.
 */
export class TrialQueue<T> {
  readonly #options: TrialQueueOptions<T>;
  readonly #likely = new Set<T>();
  readonly #groups = new Map<string | undefined, Set<T>>();
  #size = 0;
  #bytes = 0;

  constructor(options: TrialQueueOptions<T>) {
    this.#options = options;
  }

  /** Without bound: it was under way before, and what is under way has bounds of its own. */
  addLikely(item: T): void {
    this.#likely.add(item);
  }

  add(item: T): void {
    const name = this.#options.groupOf(item);
    const group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, new Set([item]));
    else group.add(item);
    this.#size += 1;
    this.#bytes += this.#options.bytesOf(item);
    while (this.#size > MAX_WAITING || this.#bytes > MAX_BYTES) this.#dropOne();
  }

  take(): T | undefined {
    const [item] = this.#likely.size > 0 ? this.#likely : this.#choose((size, most) => size > most);
    if (item !== undefined) this.delete(item);
    return item;
  }

  /** Does nothing where it does not wait. */
  delete(item: T): void {
    if (this.#likely.delete(item)) return;
    const name = this.#options.groupOf(item);
    const group = this.#groups.get(name);
    if (group?.delete(item) !== true) return;
    if (group.size === 0) this.#groups.delete(name);
    this.#size -= 1;
    this.#bytes -= this.#options.bytesOf(item);
  }

  #dropOne(): void {
    for (const item of this.#choose((size, least) => size < least)) {
      this.delete(item);
      this.#options.onDropped(item);
      return;
    }
  }

  /** The first group that is better than all before. Those that stand alone count as the smallest. */
  #choose(isBetter: (size: number, best: number) => boolean): ReadonlySet<T> {
    let [best, bestSize]: [ReadonlySet<T>, number] = [new Set(), Number.NaN];
    for (const [name, group] of this.#groups) {
      const size = name === undefined ? 0 : group.size;
      if (!Number.isNaN(bestSize) && !isBetter(size, bestSize)) continue;
      [best, bestSize] = [group, size];
    }
    return best;
  }
}
