import { getHeapStatistics } from 'node:v8';
import { resourceLimits } from 'node:worker_threads';

/** Whoever goes on with a result after its call: it says when the result is no longer needed. */
export interface ResultHolder {
  /** `bytes` were taken from the budget of this thread; the holder gives them back. */
  hold(bytes: number): void;
  /** Those for whom it holds, where they may be several. */
  readonly holders?: readonly object[];
}

/** What a value takes besides its text, and what it is in. */
const [VALUE_BYTES, OBJECT_BYTES] = [16, 64];

/** About what a part of a result takes. */
export function weightOf(value: unknown): number {
  if (typeof value === 'string') return VALUE_BYTES + value.length;
  if (typeof value !== 'object' || value === null) return VALUE_BYTES;
  let bytes = OBJECT_BYTES;
  for (const key in value) bytes += weightOf((value as Readonly<Record<string, unknown>>)[key]);
  return bytes;
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

const MEGABYTE = 1_048_576;

/** n.b. the heap's limit has the young generation in it, three times as much of which Node 24 adds: results do not stay there. */
function mostHeapBytes(): number {
  const { maxOldGenerationSizeMb } = resourceLimits;
  return maxOldGenerationSizeMb === undefined ? getHeapStatistics().heap_size_limit : maxOldGenerationSizeMb * MEGABYTE;
}

/** Of this thread: modules are loaded once in each. */
export const resultBudget = new ResultBudget(mostHeapBytes() * SHARE_OF_HEAP);
