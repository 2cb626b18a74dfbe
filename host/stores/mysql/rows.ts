import type { CallResult, Json, JsonObject, Scalar, ValueType } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedValue } from '../contract.js';
import { type DriverField, type DriverHeader, type DriverRow, isJsonField, type ServerProfile } from './driver.js';
import type { Executed } from './session.js';

// https://mariadb.com/kb/en/result-set-packets/#field-types
const TINY = 1;
const INSTANTS = new Set([7, 12]);
const DAY = 10;
const BINARY_CHARSET = 63;
const BINARY = new Set([16, 249, 250, 251, 252, 253, 254, 255]);
const NO_DATE = '0000-00-00';
/** A session sorts text by 16 KB at least: up to 8 bytes for a character, as the collation weighs it. */
const MAX_SORTED_CHARACTERS = 2_048;

/** Whole numbers of so many digits may not be exact in JavaScript. */
const BIG = /\d{16}/;

type Reviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown;

/** Where the engine shows the source of a number (Node 22 does, Node 20 does not), a whole one that it cannot hold becomes text. */
const reviveBig: Reviver = (_key, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
    ? context?.source
    : value;

/** The JSON of a column. Throws BEDS_STORE_VALUE_UNFIT where it is none. */
function parseJson(text: string, column: string): Json {
  try {
    return (BIG.test(text) ? JSON.parse(text, reviveBig) : JSON.parse(text)) as Json;
  } catch {
    throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds text that is not JSON.`, {
      field: column,
      hint: `Declare ${column} as 'string' in the template, or have the DBA correct the rows.`,
    });
  }
}

type Convert = (value: unknown, column: string) => Json;

/** n.b. the server keeps a BOOLEAN as TINYINT(1), which takes every small number. */
const asBoolean: Convert = (value, column) => {
  if (value === 0 || value === 1) return value === 1;
  throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds numbers that are neither 0 nor 1.`, {
    field: column,
    hint: `Declare ${column} as 'integer' in the template, or have the DBA correct the rows.`,
  });
};
// n.b. the zero date is MySQL's way to write no date.
const asDay: Convert = (value) => (String(value).startsWith(NO_DATE) ? null : String(value));
const asBase64: Convert = (value) => (Buffer.isBuffer(value) ? value.toString('base64') : (value as Json));
const asJson: Convert = (value, column) => (typeof value === 'string' ? parseJson(value, column) : (value as Json));

/** `2026-01-02 03:04:05.120000` becomes `2026-01-02T03:04:05.120Z`: milliseconds at least, nothing lost. */
const asInstant: Convert = (value) => {
  const text = String(value);
  if (text.startsWith(NO_DATE)) return null;
  const fraction = text.slice(20).replace(/0+$/, '').padEnd(3, '0');
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
};

/** By the type that the value was declared with; undefined where nobody declared one, as in the result sets of a procedure. */
function converterOf(field: DriverField, type: ValueType | undefined): Convert | undefined {
  const { columnType, characterSet } = field;
  if (type === 'boolean') return asBoolean;
  if (type === 'json') return asJson;
  if (columnType === undefined) return undefined;
  if (INSTANTS.has(columnType)) return asInstant;
  if (columnType === DAY) return asDay;
  if (type === undefined && isJsonField(field)) return asJson;
  return characterSet === BINARY_CHARSET && BINARY.has(columnType) ? asBase64 : undefined;
}

/** Changes the driver's rows in place into what templates see: the rows are ours alone. `columns`: in the order of the fields. */
export function convertRows(
  rows: readonly DriverRow[],
  fields: readonly DriverField[],
  columns: readonly Pick<NamedValue, 'type'>[] = [],
): readonly JsonObject[] {
  for (const [index, field] of fields.entries()) {
    const { name } = field;
    const type = columns[index]?.type;
    const convert = type === undefined && isFlag(field, rows) ? asBoolean : converterOf(field, type);
    if (convert === undefined) continue;
    for (const row of rows) {
      const value = row[name];
      if (value !== null) row[name] = convert(value, name);
    }
  }
  return rows as readonly JsonObject[];
}

/** A TINYINT(1) that nobody declared is a boolean, unless one of its rows says that it is a number. */
function isFlag({ name, columnType, columnLength }: DriverField, rows: readonly DriverRow[]): boolean {
  if (columnType !== TINY || columnLength !== 1) return false;
  return rows.every(({ [name]: value }) => value === 0 || value === 1 || value === null);
}

/** A column of a row that is not converted yet, for a cursor: what the database orders by, so the zero date stays one. */
export function positionOf(row: DriverRow, { name, type }: NamedValue): Scalar {
  const value = (row[name] ?? null) as Scalar;
  if (value === null) return null;
  if (type === 'boolean') return asBoolean(value, name) as Scalar;
  if (type === 'date') return String(value);
  if (type === 'datetime') return (asInstant(value, name) ?? NO_DATE) as Scalar;
  if (typeof value === 'string' && value.length > MAX_SORTED_CHARACTERS) {
    const message = `Query: order names ${name}, whose texts are too long to go on from.`;
    throw storeErrors.make('BEDS_STORE_QUERY_INVALID', message, { field: 'order' });
  }
  return value;
}

/** All result sets of a CALL; its last answer is a header without rows. */
export function callResult({ result, fields }: Executed): CallResult {
  if (!Array.isArray(result)) return { rows: [], sets: [], affected: result.affectedRows };
  const parts = result as readonly (DriverHeader | DriverRow[])[];
  const sets: (readonly JsonObject[])[] = [];
  let affected = 0;
  parts.forEach((part, index) => {
    if (!Array.isArray(part)) affected += part.affectedRows;
    else sets.push(convertRows(part, (fields as readonly (readonly DriverField[])[])[index] ?? []));
  });
  return { rows: sets[0] ?? [], sets, affected };
}

/** n.b. nothing tells a function that returns JSON from one that returns LONGTEXT where the server's JSON is such a text. */
const asJsonOrText: Convert = (value, column) => {
  try {
    return asJson(value, column);
  } catch {
    return value as Json;
  }
};

/** What a function returned, by the type it declares: the protocol does not tell a boolean function from a number. */
export function functionResult(
  { result, fields }: Executed,
  returns: ValueType | undefined,
  { jsonIsText }: Pick<ServerProfile, 'jsonIsText'>,
): CallResult {
  // n.b. a block answers with a list of answers, a plain SELECT with its rows alone.
  const isList = Array.isArray(fields?.[0]);
  const found = (isList ? (result as readonly DriverRow[][])[0] : result) as readonly DriverRow[];
  const [field] = (isList ? fields?.[0] : fields) as readonly DriverField[];
  const value = found[0]?.['value'] ?? null;
  const convert = field === undefined ? undefined : returnedBy(field, { value, returns, jsonIsText });
  const rows = [{ value: value === null || convert === undefined ? (value as Json) : convert(value, 'value') }];
  return { rows, sets: [rows], affected: 0 };
}

function returnedBy(
  field: DriverField,
  found: { readonly value: unknown; readonly returns: ValueType | undefined; readonly jsonIsText: boolean },
): Convert | undefined {
  const { value, returns, jsonIsText } = found;
  if (returns === 'boolean' && value !== 0 && value !== 1) return undefined;
  if (returns !== 'json' || isJsonField(field)) return converterOf(field, returns);
  return jsonIsText ? asJsonOrText : undefined;
}
