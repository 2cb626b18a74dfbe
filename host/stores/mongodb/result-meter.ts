import { Binary, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId } from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import { resultBudget } from '../result-budget.js';

export interface ResultBounds {
  readonly maxResultRows: number;
  readonly maxResultBytes: number;
}

/** Results below this take nothing from the thread's budget: most are. */
const LEAST_BYTES = 65_536;
/** What values take besides their text. */
const OVERHEAD_BYTES = { document: 64, field: 16, other: 48 } as const;

/** Types of BSON that are of one size. n.b. a timestamp is a Long. */
const SMALL = [ObjectId, Decimal128, Long, Double, Int32, MinKey, MaxKey];

/** Weighs the results of a call, or of a transaction, as their batches arrive: a server sends at most 16 MB at once. */
export class ResultMeter {
  readonly #bounds: ResultBounds;
  #rows = 0;
  #bytes = 0;
  /** Taken from the thread's budget: for this operation, and for those before it. */
  #takenBytes = 0;
  #keptBytes = 0;
  #isOver = false;

  constructor(bounds: ResultBounds) {
    this.#bounds = bounds;
  }

  /** Whether the result of this operation was taken from the budget. */
  get isLarge(): boolean {
    return this.#takenBytes > 0;
  }

  /** Another operation begins, or the same one anew where `isAgain`. */
  begin(isAgain = false): void {
    if (isAgain) resultBudget.giveBack(this.#takenBytes);
    else this.#keptBytes += this.#takenBytes;
    this.#takenBytes = 0;
    this.#rows = 0;
    this.#bytes = 0;
  }

  /**
   * Throws BEDS_STORE_RESULT_TOO_LARGE, or BEDS_STORE_OVERLOADED where other results leave no room. `spare` rows are read to
   * learn whether more follow, and not given.
   */
  add(documents: readonly unknown[], spare = 0): void {
    // n.b. what arrives after its caller was told that the time is over is read no further.
    if (this.#isOver) throw storeErrors.make('BEDS_STORE_TIMEOUT');
    this.#weigh(documents, spare);
    const more = this.#bytes - this.#takenBytes;
    if (this.#bytes < LEAST_BYTES || more <= 0) return;
    if (!resultBudget.take(more)) {
      throw storeErrors.make('BEDS_STORE_OVERLOADED', 'The results that requests hold now leave no room for this one.');
    }
    this.#takenBytes += more;
  }

  /** The result of a write. n.b. the write is saved, so its caller must not be asked to send it again. */
  addWritten(document: unknown, isKept: boolean): void {
    this.#weigh([document], 0, isKept ? '; what the call wrote was kept' : '');
  }

  /** Nothing is taken any more. Gives what was taken from the thread's budget: whoever asks gives it back. */
  handOver(): number {
    this.#isOver = true;
    this.begin();
    const bytes = this.#keptBytes;
    this.#keptBytes = 0;
    return bytes;
  }

  #weigh(documents: readonly unknown[], spare: number, more = ''): void {
    const { maxResultRows, maxResultBytes } = this.#bounds;
    this.#rows += documents.length;
    let isTooLarge = this.#rows > maxResultRows + spare;
    for (let at = 0; at < documents.length && !isTooLarge; at += 1) {
      this.#bytes += weightOf(documents[at]);
      isTooLarge = this.#bytes > maxResultBytes;
    }
    if (!isTooLarge) return;
    const most = `${maxResultRows.toLocaleString('en')} rows, or ${maxResultBytes.toLocaleString('en')} bytes of memory`;
    const message = `The database gave more for one call than ${most}${more}.`;
    throw storeErrors.make('BEDS_STORE_RESULT_TOO_LARGE', message);
  }
}

function weightOf(value: unknown): number {
  if (typeof value === 'string') return OVERHEAD_BYTES.field + value.length;
  if (typeof value !== 'object' || value === null) return OVERHEAD_BYTES.field;
  let bytes: number = OVERHEAD_BYTES.document;
  if (Array.isArray(value)) {
    for (const item of value) bytes += weightOf(item);
    return bytes;
  }
  // n.b. bytes are given as base64.
  if (value instanceof Binary) return bytes + (value.position * 4) / 3;
  if (value instanceof Date || SMALL.some((type) => value instanceof type)) return OVERHEAD_BYTES.other;
  if (value instanceof RegExp) return bytes + value.source.length;
  // n.b. what only BSON has may be as long as any text: code, symbols, references.
  for (const key in value)
    bytes += OVERHEAD_BYTES.field + key.length + weightOf((value as Record<string, unknown>)[key]);
  return bytes;
}
