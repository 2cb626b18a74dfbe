import { getHeapStatistics } from 'node:v8';

/** Whoever goes on with a result after its call: it says when the result is no longer needed. */
export interface ResultHolder {
  /** `bytes` were taken from the budget of this thread; the holder gives them back. */
  hold(bytes: number): void;
  /** Those for whom it holds, where they may be several. */
  readonly holders?: readonly object[];
}

/** Text may take two bytes for a character, and a reply is written beside the result it comes from. */
const SHARE_OF_HEAP = 1 / 4;

/** What the large results of one thread may take of its memory together: those that arrive and those that requests hold. */
export class ResultBudget {
  readonly #mostBytes: number;
  #takenBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** false, with nothing taken, where that is too much. */
  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#mostBytes) return false;
    this.#takenBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}

/** Of this thread: modules are loaded once in each. */
export const resultBudget = new ResultBudget(getHeapStatistics().heap_size_limit * SHARE_OF_HEAP);
