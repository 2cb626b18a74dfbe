const SMOOTHING = 0.3;
/** Variances of the logarithm of a window's throughput. */
const NOISE = { first: 0.1 ** 2, least: 0.02 ** 2, smoothing: 0.1 } as const;
const CHANGE = 4 / 3;

/** What a store gets done under the limit that is held, in calls a millisecond, and how much that wavers. */
export class ThroughputRecord {
  #usual = 0;
  #reference = 0;
  #last = 0;
  #noise: number = NOISE.first;

  /** 0: not known yet. */
  get usual(): number {
    return this.#usual;
  }

  /** Variance of the logarithm of a window's throughput. */
  get noise(): number {
    return this.#noise;
  }

  note(throughput: number): void {
    if (this.#last > 0) {
      // n.b. two windows differ by twice the variance of one.
      const variance = Math.log(throughput / this.#last) ** 2 / 2;
      this.#noise = Math.max(NOISE.least, this.#noise + (variance - this.#noise) * NOISE.smoothing);
    }
    this.#last = throughput;
    this.#usual = this.#usual === 0 ? throughput : this.#usual + (throughput - this.#usual) * SMOOTHING;
    if (this.#reference === 0) this.#reference = throughput;
  }

  /** Whether other things get done than before: told once for each change. */
  hasChanged(): boolean {
    const change = this.#usual / this.#reference;
    if (change <= CHANGE && change >= 1 / CHANGE) return false;
    this.#reference = this.#usual;
    return true;
  }

  /** Another limit is held, under which `factor` times as much gets done. */
  multiply(factor: number): void {
    this.#usual *= factor;
    this.#reference = this.#usual;
    this.#last = 0;
  }

  /** n.b. how much it wavers is not forgotten. */
  forget(): void {
    this.#usual = 0;
    this.#reference = 0;
    this.#last = 0;
  }
}
