import { hash } from 'node:crypto';
import type { Json, Scalar } from '@beds/sdk';
import { storeErrors } from '../errors/store.js';
import type { NamedValue } from './contract.js';
import { takesNull } from './bind-values.js';
import { readValue } from './read-value.js';

const VERSION = 1;
const MAX_CURSOR_CHARACTERS = 8_192;
const STORED_DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Names a query without its cursor and limit: a cursor is only good for the query it came from. */
export function fingerprint(query: Json): string {
  return hash('sha256', JSON.stringify(query), 'base64url').slice(0, 16);
}

/** The position after a row, as opaque text: the values of the order columns, the key last. Throws BEDS_STORE_QUERY_INVALID. */
export function encodeCursor(print: string, position: readonly Scalar[]): string {
  const cursor = Buffer.from(JSON.stringify([VERSION, print, position])).toString('base64url');
  if (cursor.length <= MAX_CURSOR_CHARACTERS) return cursor;
  const message = 'Query: order names columns whose values are too long to go on from.';
  throw storeErrors.make('BEDS_STORE_QUERY_INVALID', message, { field: 'order' });
}

/**
 * Reads a cursor back. What it carries is only ever data: each value is checked against its column's type.
 * Throws BEDS_STORE_CURSOR_INVALID.
 */
export function decodeCursor(cursor: string, print: string, columns: readonly NamedValue[]): readonly Scalar[] {
  const parsed = parse(cursor);
  if (!Array.isArray(parsed) || parsed.length !== 3 || parsed[0] !== VERSION || parsed[1] !== print) throw refuse();
  const position: unknown = parsed[2];
  if (!Array.isArray(position) || position.length !== columns.length) throw refuse();
  return columns.map((column, index) => readPosition(position[index] as Json, column));
}

function readPosition(value: Json, column: NamedValue): Scalar {
  if (value === null && takesNull(column)) return null;
  if (value === null || typeof value === 'object') throw refuse();
  const read = readValue(value, { type: column.type });
  if ('problem' in read) return readStoredDay(value, column);
  if (typeof read.value === 'object') throw refuse();
  return read.value;
}

/** n.b. a database may keep, and order by, days that no calendar has: 0000-00-00. */
function readStoredDay(value: Scalar, { type }: NamedValue): Scalar {
  if ((type === 'date' || type === 'datetime') && typeof value === 'string' && STORED_DAY.test(value)) return value;
  throw refuse();
}

function parse(cursor: string): unknown {
  if (typeof cursor !== 'string' || cursor.length > MAX_CURSOR_CHARACTERS) throw refuse();
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    throw refuse();
  }
}

function refuse(): Error {
  return storeErrors.make('BEDS_STORE_CURSOR_INVALID', undefined, { field: 'cursor' });
}
