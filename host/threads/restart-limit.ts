/**
 * Restart intensity as in Erlang: more than `intensity` restarts within `periodMs` mean that restarting does not help.
 * https://www.erlang.org/doc/system/sup_princ.html#maximum-restart-intensity
 */
export class RestartLimit {
  readonly #intensity: number;
  readonly #periodMs: number;
  #restarts: number[] = [];

  constructor(limit: { readonly intensity: number; readonly periodMs: number }) {
    this.#intensity = limit.intensity;
    this.#periodMs = limit.periodMs;
  }

  /** Counts a restart; false when it is one too many. */
  allows(nowMs: number): boolean {
    this.#restarts = this.#restarts.filter((at) => nowMs - at < this.#periodMs);
    this.#restarts.push(nowMs);
    return this.#restarts.length <= this.#intensity;
  }
}
