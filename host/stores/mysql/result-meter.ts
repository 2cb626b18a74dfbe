import type { BedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import { resultBudget } from '../result-budget.js';
import { isJsonField } from './driver.js';
import type { DriverCommand, DriverRow } from './driver.js';

export interface ResultBounds {
  readonly maxResultRows: number;
  readonly maxResultBytes: number;
}

/** Results below this are not weighed: most are. */
const LEAST_BYTES = 65_536;
/** What an object and each of its properties take besides their text, and what the driver keeps of each result set's columns. */
const OVERHEAD_BYTES = { row: 64, field: 16, set: 128, column: 512 } as const;
/** What the parts of JSON take that have hardly any text: `[[],[]]`. */
const JSON_PART_BYTES = 48;
const [COMMA, BRACKET, BRACE] = [0x2c, 0x5b, 0x7b];

/** Weighs the results of a connection while they arrive: the driver keeps whatever comes. */
export class ResultMeter {
  readonly #bounds: ResultBounds;
  readonly #refuse: (error: BedsError) => void;
  #command: DriverCommand | undefined;
  #arrivedBytes = 0;
  #lookAtBytes = Infinity;
  #isRefused = false;
  /** Taken from the thread's budget: for this statement, and for those before it that nobody has given back. */
  #takenBytes = 0;
  #keptBytes = 0;

  /** `refuse` is told that a result is too large, and again when as much has arrived of it once more. */
  constructor(bounds: ResultBounds, refuse: (error: BedsError) => void) {
    this.#bounds = bounds;
    this.#refuse = refuse;
  }

  begin(command: DriverCommand): void {
    this.#command = command;
    this.#arrivedBytes = 0;
    this.#lookAtBytes = LEAST_BYTES;
    this.#isRefused = false;
  }

  arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
    if (this.#arrivedBytes >= this.#lookAtBytes) this.#look();
  }

  /** The statement is done. Gives what is wrong with the size of its result, unless that was told before. */
  ended(): BedsError | undefined {
    const command = this.#command;
    this.#command = undefined;
    this.#lookAtBytes = Infinity;
    if (command === undefined || this.#isRefused) return undefined;
    const isSmall = this.#arrivedBytes < LEAST_BYTES;
    const problem = this.#problem(command, isSmall ? 0 : this.#weightOf(command) + jsonWeightOf(command));
    if (problem === undefined) this.#keptBytes += this.#takenBytes;
    else resultBudget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
    return problem;
  }

  /** What was taken from the thread's budget since the last time: whoever asks gives it back. */
  handOver(): number {
    const bytes = this.#keptBytes + this.#takenBytes;
    this.#keptBytes = 0;
    this.#takenBytes = 0;
    return bytes;
  }

  #look(): void {
    this.#lookAtBytes = this.#arrivedBytes + LEAST_BYTES;
    const command = this.#command;
    if (command === undefined) return;
    if (this.#isRefused) {
      discard(command);
      if (this.#arrivedBytes > 2 * this.#bounds.maxResultBytes) this.#refuse(this.#tooLarge());
      return;
    }
    const problem = this.#problem(command, this.#weightOf(command));
    if (problem === undefined) return;
    this.#isRefused = true;
    resultBudget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
    discard(command);
    this.#refuse(problem);
  }

  #weightOf(command: DriverCommand): number {
    let bytes = this.#arrivedBytes;
    command._rows.forEach((set, index) => {
      if (!Array.isArray(set)) return;
      const fields = command._fields[index]?.length ?? 0;
      bytes += OVERHEAD_BYTES.set + fields * OVERHEAD_BYTES.column;
      bytes += set.length * (OVERHEAD_BYTES.row + fields * OVERHEAD_BYTES.field);
    });
    return bytes;
  }

  /** Takes from the thread's budget what is needed beyond what was taken for this statement before. */
  #problem(command: DriverCommand, bytes: number): BedsError | undefined {
    const { maxResultBytes, maxResultRows } = this.#bounds;
    if (bytes > maxResultBytes || rowsOf(command) > maxResultRows) return this.#tooLarge();
    const more = bytes - this.#takenBytes;
    if (more <= 0) return undefined;
    if (!resultBudget.take(more)) {
      return storeErrors.make(
        'BEDS_STORE_OVERLOADED',
        'The results that requests hold now leave no room for this one.',
      );
    }
    this.#takenBytes += more;
    return undefined;
  }

  #tooLarge(): BedsError {
    const { maxResultRows, maxResultBytes } = this.#bounds;
    const most = `${maxResultRows.toLocaleString('en')} rows, or ${maxResultBytes.toLocaleString('en')} bytes of memory`;
    return storeErrors.make('BEDS_STORE_RESULT_TOO_LARGE', `The database gave more for one call than ${most}.`);
  }
}

function rowsOf({ _rows: sets }: DriverCommand): number {
  let rows = 0;
  for (const set of sets) if (Array.isArray(set)) rows += set.length;
  return rows;
}

/** n.b. the driver goes on adding to the last one. */
function discard({ _rows: sets }: DriverCommand): void {
  for (const set of sets) if (Array.isArray(set)) set.length = 0;
}

/** What becomes of text when it is parsed. */
function jsonWeightOf({ _rows: sets, _fields: fields }: DriverCommand): number {
  let parts = 0;
  sets.forEach((set, index) => {
    if (!Array.isArray(set)) return;
    for (const { name } of fields[index]?.filter(isJsonField) ?? []) {
      for (const row of set as readonly DriverRow[]) parts += partsOf(row[name]);
    }
  });
  return parts * JSON_PART_BYTES;
}

function partsOf(text: unknown): number {
  if (typeof text !== 'string') return 0;
  let parts = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === BRACKET || code === BRACE) parts += 1;
  }
  return parts;
}
