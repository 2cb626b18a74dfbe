import type { ValueProblem } from './check-values.js';
import type { CallResult } from './context.js';
import { compileFits, type Fits, fitsFields } from './fits.js';
import type { Json, JsonObject } from './json.js';
import type { ObjectManifest } from './manifest.js';
import { readValue, type ReadValue } from './read-value.js';
import { isLive, type ValueDescription, type ValueFields, type ValueType } from './values.js';

/** What a store gives of a routine: its result sets, of a function one row `{ value }`. */
export interface RoutineRows {
  /** Rows of the first result set. */
  readonly rows: readonly JsonObject[];
  /** All result sets, in order. */
  readonly sets: readonly (readonly JsonObject[])[];
  /** Rows that the routine says it changed. */
  readonly affected: number;
}

/** What the template declares of it, or what does not fit: `field` is a column, `set` and row are named in the message. */
export type ReadReturns = { readonly value: CallResult } | { readonly problem: ValueProblem };

const INTEGER = /^-?\d{1,16}$/;
const DECIMAL = /^-?\d+(?:\.\d+)?$/;

/**
 * Databases give some values in another of their types, which depends on how the procedure computes them: SUM of integers is
 * a decimal, TRUE is the number 1, JSON of MariaDB is text. What loses nothing is read as it is declared.
 */
const FROM_STORE: Readonly<Partial<Record<ValueType, (value: Json) => Json>>> = {
  boolean: (value) => (value === 1 || value === 0 ? value === 1 : value),
  integer: (value) => {
    if (typeof value === 'boolean') return value ? 1 : 0;
    return typeof value === 'string' && INTEGER.test(value) ? Number(value) : value;
  },
  number: (value) => (typeof value === 'string' && DECIMAL.test(value) ? Number(value) : value),
  json: parseJson,
  list: parseJson,
  object: parseJson,
};

function parseJson(value: Json): Json {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value) as Json;
  } catch {
    return value;
  }
}

function readColumn(given: Json | undefined, description: ValueDescription): { value: Json } | { problem: string } {
  if ((given === undefined || given === null) && !isLive(description)) {
    if (description.optional === true) return { value: null };
    return { problem: given === null ? 'is null, and not declared optional' : 'is missing' };
  }
  const read = readGiven(given, description);
  if ('value' in read) return read;
  const [first = { at: '', problem: read.problem }] = read.problems ?? [];
  return { problem: `${first.at}${first.at === '' ? '' : ' '}${first.problem}` };
}

/** n.b. a database has null where a schema may know only what is left out. */
function readGiven(given: Json | undefined, description: ValueDescription): ReadValue {
  if (given === undefined || given === null) {
    const read = readValue(null, description, true);
    return 'value' in read || description.optional !== true ? read : readValue(undefined as never, description, true);
  }
  const read = readValue(FROM_STORE[description.type]?.(given) ?? given, description, true);
  // n.b. a schema says nothing of how a database keeps what it takes.
  const parsed = description.type === 'schema' && 'problem' in read ? parseJson(given) : given;
  return parsed === given ? read : readValue(parsed, description, true);
}

/** n.b. JSON may come as a text of its own. */
function fitsColumn(description: ValueDescription): Fits {
  const fits = compileFits(description, true);
  return description.type === 'json' ? (value) => typeof value !== 'string' && fits(value) : fits;
}

type ReadRows = { readonly rows: readonly JsonObject[] } | { readonly problem: ValueProblem };

/** Reads rows as declared. Columns that are not declared are left out: the database may add some at any time. */
function rowsReader(fields: ValueFields, set: string): (rows: readonly JsonObject[]) => ReadRows {
  const columns = Object.entries(fields);
  const fits = fitsFields(fields, true, fitsColumn);
  return (rows) => {
    const read = rows.slice();
    for (let index = 0; index < rows.length; index += 1) {
      const given = rows[index] ?? {};
      if (fits(given)) continue;
      const row: Record<string, Json> = {};
      for (const [name, description] of columns) {
        const column = readColumn(given[name], description);
        if ('problem' in column) {
          return { problem: { field: name, message: `${column.problem} (row ${index + 1}${set})` } };
        }
        row[name] = column.value;
      }
      read[index] = row;
    }
    return { rows: read };
  };
}

/** Types that a database knows less of than the template says. */
const LOOSE: ReadonlySet<ValueType> = new Set(['enum', 'list', 'object', 'schema']);

/**
 * Prepares the check of a view's rows, where there is something that their database does not see to: undefined, mostly.
 * `mayBeNull`: whether the database may show null in a column.
 */
export function compileColumns(
  columns: ValueFields,
  mayBeNull: (name: string) => boolean,
): ((rows: readonly JsonObject[]) => ReadRows) | undefined {
  const checked = Object.entries(columns)
    .filter(([name, { type, optional }]) => LOOSE.has(type) || (optional !== true && mayBeNull(name)))
    .map(([name, description]) => {
      const fits: Fits = LOOSE.has(description.type) ? fitsColumn(description) : () => true;
      return { name, description, fits, isNullFine: description.optional === true && !isLive(description) };
    });
  if (checked.length === 0) return undefined;
  return (rows) => {
    let read: JsonObject[] | undefined;
    for (let index = 0; index < rows.length; index += 1) {
      let row = rows[index] ?? {};
      for (const { name, description, fits, isNullFine } of checked) {
        const given = row[name] ?? null;
        if (given === null ? isNullFine : fits(given)) continue;
        const column = readColumn(given, description);
        if ('problem' in column) return { problem: { field: name, message: `${column.problem} (row ${index + 1})` } };
        row = { ...row, [name]: column.value };
      }
      if (row !== rows[index]) (read ??= rows.slice())[index] = row;
    }
    return { rows: read ?? rows };
  };
}

type ReadSet = (rows: readonly JsonObject[] | undefined) => ReadReturns;

function setReader(returns: ValueDescription, set: string): ReadSet {
  const isList = returns.type === 'list';
  const read = rowsReader((isList ? returns.items?.fields : returns.fields) ?? {}, set);
  return (rows) => {
    // n.b. without a single row some databases give no result set at all.
    const found = read(isList ? (rows ?? []) : (rows ?? []).slice(0, 1));
    if ('problem' in found) return found;
    return { value: isList ? found.rows : found.rows[0] };
  };
}

/** Prepares what makes of the rows of a routine what the template declares it to return. */
export function compileReturns(object: Exclude<ObjectManifest, { kind: 'view' }>): (given: RoutineRows) => ReadReturns {
  const { returns } = object;
  if (object.kind === 'function') {
    return ({ rows }) => {
      const read = readColumn(rows[0]?.['value'], returns as ValueDescription);
      return 'value' in read ? read : { problem: { field: 'value', message: read.problem } };
    };
  }
  if (returns === undefined) return ({ affected }) => ({ value: { affected } });
  if (!isSets(returns)) {
    const read = setReader(returns, '');
    return ({ rows }) => read(rows);
  }
  const readers = returns.map((set, index) => setReader(set, ` of result set ${index + 1}`));
  return ({ sets }) => {
    const values: (Json | undefined)[] = [];
    for (const [index, read] of readers.entries()) {
      const found = read(sets[index]);
      if ('problem' in found) return found;
      values.push(found.value as Json | undefined);
    }
    return { value: values };
  };
}

function isSets(returns: ValueDescription | readonly ValueDescription[]): returns is readonly ValueDescription[] {
  return Array.isArray(returns);
}
