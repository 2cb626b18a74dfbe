import { createHash } from 'node:crypto';
import type { Json, JsonObject } from '../template/json.js';
import type { ObjectManifest } from '../template/manifest.js';
import type { Comparison, OrderBy, Page, Scalar, ViewQuery } from '../template/query.js';
import { isKnownQuery, partsOfQuery, placeOf, unknownNames, unknownText } from '../template/unknown-names.js';
import { hostError } from './host-errors.js';

type Columns = Extract<ObjectManifest, { kind: 'view' }>['columns'];

/** A view in memory. */
export interface RowSource {
  readonly columns: Columns;
  readonly key: string;
  readonly rows: readonly JsonObject[];
}

const DEFAULT_LIMIT = 100;

function refuse(field: string, problem: string): Error {
  return hostError('BEDS_STORE_QUERY_INVALID', `Query: ${field} ${problem}.`, { field });
}

/** Null before every value, as the databases have it; text by code units, where a database has its collation. */
function compare(a: Json, b: Json): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : 1;
  return Number(a) - Number(b);
}

const TESTS: Readonly<Record<string, (value: Json, against: Json) => boolean>> = {
  eq: (value, against) => compare(value, against) === 0,
  ne: (value, against) => compare(value, against) !== 0,
  lt: (value, against) => value !== null && compare(value, against) < 0,
  lte: (value, against) => value !== null && compare(value, against) <= 0,
  gt: (value, against) => value !== null && compare(value, against) > 0,
  gte: (value, against) => value !== null && compare(value, against) >= 0,
  in: (value, against) => Array.isArray(against) && against.some((item: Json) => compare(value, item) === 0),
  prefix: (value, against) => typeof value === 'string' && typeof against === 'string' && value.startsWith(against),
};

function holds(row: JsonObject, column: string, condition: Scalar | Comparison): boolean {
  const value = row[column] ?? null;
  const comparison = typeof condition === 'object' && condition !== null ? condition : { eq: condition };
  return Object.entries(comparison).every(([operator, against]) => {
    const test = Object.hasOwn(TESTS, operator) ? TESTS[operator] : undefined;
    if (test === undefined) throw refuse(`where.${column}`, `knows only ${Object.keys(TESTS).join(', ')}`);
    return test(value, against as Json);
  });
}

/** Refuses a query with names that nobody knows. */
export function requireKnownQuery(query: ViewQuery, code: 'BEDS_REQUEST_INVALID' | 'BEDS_REQUEST_MALFORMED'): void {
  if (isKnownQuery(query)) return;
  const unknown = unknownNames(partsOfQuery(query, 'query'));
  const field = unknown[0] === undefined ? 'query' : placeOf(unknown[0]);
  throw hostError(code, unknownText(unknown), { field });
}

function checkQuery(query: ViewQuery, columns: Columns): void {
  requireKnownQuery(query, 'BEDS_REQUEST_INVALID');
  for (const column of Object.keys(query.where ?? {})) {
    if (!Object.hasOwn(columns, column)) throw refuse(`where.${column}`, 'is not a column of the view');
  }
  for (const entry of query.order ?? []) {
    if (typeof entry?.column !== 'string') throw refuse('order', 'must be a list of { column, direction }');
    const { column, direction = 'asc' } = entry;
    if (!Object.hasOwn(columns, column)) throw refuse('order', `names ${column}, not a column of the view`);
    if (direction !== 'asc' && direction !== 'desc') throw refuse('order', 'knows only asc and desc');
  }
  const { limit = DEFAULT_LIMIT } = query;
  if (!Number.isSafeInteger(limit) || limit < 1) throw refuse('limit', 'must be a whole number from 1');
}

function sorted(rows: readonly JsonObject[], order: readonly OrderBy[]): readonly JsonObject[] {
  return rows.toSorted((a, b) => {
    for (const { column, direction } of order) {
      const difference = compare(a[column] ?? null, b[column] ?? null);
      if (difference !== 0) return direction === 'desc' ? -difference : difference;
    }
    return 0;
  });
}

function readCursor(cursor: string | undefined, print: string): number {
  if (cursor === undefined) return 0;
  const [of, offset] = Buffer.from(cursor, 'base64url').toString().split(' ');
  if (of === print && offset !== undefined) return Number(offset);
  throw hostError('BEDS_STORE_CURSOR_INVALID', 'The cursor does not belong to this query.');
}

/** Reads a page of given rows as an adapter would read it from a view. */
export function readRows({ columns, key, rows }: RowSource, query: ViewQuery): Page {
  checkQuery(query, columns);
  const where = Object.entries(query.where ?? {}).filter(([, condition]) => condition !== undefined);
  const order = [...(query.order ?? []), { column: key }];
  const print = createHash('sha256')
    .update(JSON.stringify([where, order]))
    .digest('base64url')
    .slice(0, 16);
  const start = readCursor(query.cursor, print);
  const end = start + (query.limit ?? DEFAULT_LIMIT);
  const matching = rows.filter((row) => where.every(([column, condition]) => holds(row, column, condition ?? null)));
  const page = sorted(matching, order).slice(start, end);
  const names = Object.keys(columns);
  const shown = page.map((row) => Object.fromEntries(names.map((name) => [name, row[name] ?? null])));
  if (matching.length <= end) return { rows: shown };
  return { rows: shown, cursor: Buffer.from(`${print} ${end}`).toString('base64url') };
}
