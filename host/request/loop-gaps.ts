/** How often the event loop shows that it turns. */
const TURN_MS = 100;
/** Nothing short of this is a gap: collections and large results stop the loop as well. */
const GAP_MS = 500;

/** Two clocks: the one of the process stands still while the machine sleeps, and the one on the wall can be set. */
export interface Clocks {
  readonly processMs: () => number;
  readonly wallMs: () => number;
}

const CLOCKS: Clocks = { processMs: () => performance.now(), wallMs: () => Date.now() };

/**
 * Knows when the event loop stood still, because the process was stopped, the machine slept or code blocked it. What is
 * read from a socket right after that may have lain there for as long.
 */
export class LoopGaps {
  readonly #drained: () => Promise<unknown>;
  readonly #clocks: Clocks;
  #turnedAtMs: number;
  #wallAtMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** Begin of the gap whose messages are still being read; of the first of several. */
  #beganAtMs: number | undefined;
  #asked = 0;

  /** `drained` resolves when all is read that had come before it was called. */
  constructor(drained: () => Promise<unknown>, clocks = CLOCKS) {
    this.#drained = drained;
    this.#clocks = clocks;
    this.#turnedAtMs = clocks.processMs();
    this.#wallAtMs = clocks.wallMs();
  }

  start(): void {
    this.#turned();
    this.#timer ??= setInterval(() => this.look(), TURN_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Since when a message that is read now, at `nowMs` of the process, may have been there: mostly since now. */
  readSince(nowMs: number): number {
    if (nowMs - this.#turnedAtMs > GAP_MS && this.#timer !== undefined) this.look();
    return this.#beganAtMs ?? nowMs;
  }

  /** Looks whether there was a gap just now. */
  look(): void {
    const nowMs = this.#clocks.processMs();
    const lengthMs = Math.max(nowMs - this.#turnedAtMs, this.#clocks.wallMs() - this.#wallAtMs);
    this.#turned();
    if (lengthMs <= GAP_MS) return;
    this.#beganAtMs = Math.min(this.#beganAtMs ?? Infinity, nowMs - lengthMs);
    this.#asked += 1;
    const asked = this.#asked;
    const over = (): void => {
      if (asked === this.#asked) this.#beganAtMs = undefined;
    };
    this.#drained().then(over, over);
  }

  #turned(): void {
    this.#turnedAtMs = this.#clocks.processMs();
    this.#wallAtMs = this.#clocks.wallMs();
  }
}
