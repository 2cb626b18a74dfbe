import { createHash } from 'node:crypto';
import type { Json, JsonObject } from '../template/json.js';
import type { ObjectManifest } from '../template/manifest.js';
import { checkQueryForm } from '../template/check-query.js';
import { type Problem, sayProblems } from '../template/errors.js';
import { readValue } from '../template/read-value.js';
import type { ValueType } from '../template/values.js';
import type { Comparison, Filter, OrderBy, Page, Scalar, ViewQuery, Where } from '../template/query.js';
import { hostError } from './host-errors.js';

type Columns = Extract<ObjectManifest, { kind: 'view' }>['columns'];

/** A view in memory. */
export interface RowSource {
  readonly columns: Columns;
  readonly key: string;
  readonly rows: readonly JsonObject[];
  /** What those must have that there are for the user. */
  readonly bound?: Where | undefined;
}

const DEFAULT_LIMIT = 100;

type Compare = (a: Json, b: Json) => number;

/**
 * Null before every value, as the databases have it; exact numbers by what they are, and not as the texts that they come as; text by
 * code units, where a database has its collation.
 */
function comparing(type: ValueType | undefined): Compare {
  const isExact = type === 'decimal' || type === 'bigint';
  return (a, b) => {
    if (a === b) return 0;
    if (a === null) return -1;
    if (b === null) return 1;
    if (isExact) return compareExact(textOf(a), textOf(b));
    if (type === 'binary') return Buffer.compare(Buffer.from(textOf(a), 'base64'), Buffer.from(textOf(b), 'base64'));
    if (type === 'datetime') return compareTexts(oneForm(a), oneForm(b));
    if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
    return Number(a) - Number(b);
  };
}

function textOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function compareExact(a: string, b: string): number {
  const decimals = Math.max(...[a, b].map((text) => text.split('.')[1]?.length ?? 0));
  const scaled = (text: string): bigint => {
    const [whole = '', fraction = ''] = text.split('.');
    return BigInt(whole + fraction.padEnd(decimals, '0'));
  };
  const [left, right] = [scaled(a), scaled(b)];
  return left === right ? 0 : left < right ? -1 : 1;
}

/** An instant with its offset as the host reads it; n.b. the Z would sort behind further digits. */
function oneForm(value: Json): string {
  const read = readValue(value, { type: 'datetime' });
  return textOf('value' in read ? read.value : value).replace('Z', '');
}

const TESTS: Readonly<Record<string, (value: Json, against: Json, compare: Compare) => boolean>> = {
  eq: (value, against, compare) => compare(value, against) === 0,
  ne: (value, against, compare) => compare(value, against) !== 0,
  lt: (value, against, compare) => value !== null && compare(value, against) < 0,
  lte: (value, against, compare) => value !== null && compare(value, against) <= 0,
  gt: (value, against, compare) => value !== null && compare(value, against) > 0,
  gte: (value, against, compare) => value !== null && compare(value, against) >= 0,
  in: (value, against, compare) => Array.isArray(against) && against.some((item: Json) => compare(value, item) === 0),
  between: (value, against, compare) => {
    const [low = null, high = null] = against as readonly Json[];
    return value !== null && compare(value, low) >= 0 && compare(value, high) <= 0;
  },
  prefix: (value, against) => typeof value === 'string' && value.startsWith(against as string),
  contains: (value, against) => typeof value === 'string' && value.includes(against as string),
  isNull: (value, against) => (value === null) === against,
};

function holds(row: JsonObject, { where, and, or, not }: Filter, columns: Columns): boolean {
  return (
    Object.entries(where ?? {}).every(([column, condition]) =>
      compares(row[column] ?? null, condition, comparing(columns[column]?.type)),
    ) &&
    (and ?? []).every((filter) => holds(row, filter, columns)) &&
    (or ?? undefined)?.some((filter) => holds(row, filter, columns)) !== false &&
    !((not ?? undefined) !== undefined && holds(row, not as Filter, columns))
  );
}

function compares(value: Json, condition: Scalar | Comparison | undefined, compare: Compare): boolean {
  if (condition === undefined) return true;
  const comparison = typeof condition === 'object' && condition !== null ? condition : { eq: condition };
  return Object.entries(comparison).every(
    ([operator, against]) => TESTS[operator]?.(value, against as Json, compare) ?? false,
  );
}

/** Refuses a query that has another form than a query has; `columns`: of the view, where callers fetch from one. */
export function requireQueryForm(query: ViewQuery, columns: Columns | undefined): void {
  const problems: Problem[] = [];
  checkQueryForm(query, problems);
  if (problems.length > 0 && columns !== undefined) checkQuery(query, columns);
  refuse('BEDS_REQUEST_INVALID', problems);
}

function refuse(code: 'BEDS_REQUEST_INVALID' | 'BEDS_STORE_QUERY_INVALID', problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const { message, details } = sayProblems(problems);
  throw hostError(code, message, details);
}

function checkQuery(query: ViewQuery, columns: Columns): void {
  const problems: Problem[] = [];
  checkQueryForm(query, problems);
  checkColumns(query, 'query', { columns, problems });
  (Array.isArray(query.order) ? query.order : []).forEach((entry: Partial<OrderBy> | null, index) => {
    const column = entry?.column;
    if (typeof column !== 'string' || Object.hasOwn(columns, column)) return;
    problems.push({ field: `query.order[${index}].column`, message: `names ${column}, not a column of the view` });
  });
  const { count } = query;
  const limit = query.limit ?? DEFAULT_LIMIT;
  const least = count === true ? 0 : 1;
  if (!Number.isSafeInteger(limit) || limit < least) {
    problems.push({ field: 'query.limit', message: `must be a whole number from ${least}` });
  }
  refuse('BEDS_STORE_QUERY_INVALID', problems);
}

interface ColumnCheck {
  readonly columns: Columns;
  readonly problems: Problem[];
}

function checkColumns(filter: unknown, path: string, check: ColumnCheck): void {
  if (typeof filter !== 'object' || filter === null) return;
  const { where, and, or, not } = filter as Filter;
  for (const column of Object.keys(where ?? {})) {
    if (Object.hasOwn(check.columns, column)) continue;
    check.problems.push({ field: `${path}.where.${column}`, message: 'is not a column of the view' });
  }
  for (const [name, list] of Object.entries({ and, or })) {
    if (Array.isArray(list)) list.forEach((inner, index) => checkColumns(inner, `${path}.${name}[${index}]`, check));
  }
  checkColumns(not, `${path}.not`, check);
}

function sorted(rows: readonly JsonObject[], order: readonly OrderBy[], columns: Columns): readonly JsonObject[] {
  return rows.toSorted((a, b) => {
    for (const { column, direction } of order) {
      const difference = comparing(columns[column]?.type)(a[column] ?? null, b[column] ?? null);
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
export function readRows({ columns, key, rows, bound = {} }: RowSource, query: ViewQuery): Page {
  checkQuery(query, columns);
  const { where, and, or, not } = query;
  const order = [...(query.order ?? []), { column: key }];
  const print = createHash('sha256')
    .update(JSON.stringify([where, and, or, not, order, bound]))
    .digest('base64url')
    .slice(0, 16);
  const start = readCursor(query.cursor ?? undefined, print);
  const end = start + (query.limit ?? DEFAULT_LIMIT);
  const matching = rows.filter((row) => holds(row, { where: bound }, columns) && holds(row, query, columns));
  const page = sorted(matching, order, columns).slice(start, end);
  const names = Object.keys(columns);
  const hasMore = matching.length > end && query.limit !== 0;
  return {
    rows: page.map((row) => Object.fromEntries(names.map((name) => [name, row[name] ?? null]))),
    ...(hasMore && { cursor: Buffer.from(`${print} ${end}`).toString('base64url') }),
    ...(query.count === true && { count: matching.length }),
  };
}
