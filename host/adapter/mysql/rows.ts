import type { CallResult, Json, JsonObject, ValueType } from '@beds/sdk';
import type { DriverField, DriverHeader, DriverRow } from './driver.js';
import type { Executed } from './session.js';

// https://mariadb.com/kb/en/result-set-packets/#field-types
const TINY = 1;
const INSTANTS = new Set([7, 12]);
const DAY = 10;
const BINARY_CHARSET = 63;
const BINARY = new Set([16, 249, 250, 251, 252, 253, 254, 255]);

type Convert = (value: unknown) => Json;

const asBoolean: Convert = (value) => value !== 0 && value !== false;
// n.b. the zero date is MySQL's way to write no date.
const asDay: Convert = (value) => (String(value).startsWith('0000-00-00') ? null : String(value));
const asBase64: Convert = (value) => (Buffer.isBuffer(value) ? value.toString('base64') : (value as Json));

/** `2026-01-02 03:04:05.120000` becomes `2026-01-02T03:04:05.120Z`: milliseconds at least, nothing lost. */
const asInstant: Convert = (value) => {
  const text = String(value);
  if (text.startsWith('0000-00-00')) return null;
  const fraction = text.slice(20).replace(/0+$/, '').padEnd(3, '0');
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
};

function converterOf({ columnType, columnLength, characterSet }: DriverField): Convert | undefined {
  if (columnType === undefined) return undefined;
  if (columnType === TINY && columnLength === 1) return asBoolean;
  if (INSTANTS.has(columnType)) return asInstant;
  if (columnType === DAY) return asDay;
  return characterSet === BINARY_CHARSET && BINARY.has(columnType) ? asBase64 : undefined;
}

/** Changes the driver's rows in place into what templates see: the rows are ours alone. */
export function convertRows(rows: readonly DriverRow[], fields: readonly DriverField[]): readonly JsonObject[] {
  for (const field of fields) {
    const convert = converterOf(field);
    if (convert === undefined) continue;
    const { name } = field;
    for (const row of rows) {
      const value = row[name];
      if (value !== null) row[name] = convert(value);
    }
  }
  return rows as readonly JsonObject[];
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

/** What a function returned, by the type it declares: the protocol does not tell a boolean function from a number. */
export function functionResult(result: CallResult, returns: ValueType | undefined): CallResult {
  const value = result.rows[0]?.['value'] ?? null;
  const typed = returns === 'boolean' && value !== null ? asBoolean(value) : value;
  const rows = [{ value: returns === 'json' && typeof typed === 'string' ? (JSON.parse(typed) as Json) : typed }];
  return { rows, sets: [rows], affected: result.affected };
}
