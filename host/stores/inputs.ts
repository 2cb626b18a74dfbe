import { hash } from 'node:crypto';
import {
  type Comparison,
  type Json,
  type JsonObject,
  type OrderBy,
  readValue,
  type Scalar,
  type ValueType,
} from '@beds/sdk';
import { didYouMean } from '#sdk/nearest';
import { storeErrors } from '../errors/store.js';
import type { KeyedQuery, NamedObject, NamedValue } from './contract.js';

const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** A name that a caller sent, fit to be repeated in `field`: anything but an identifier is withheld. */
function fieldName(name: string): string {
  return FIELD_NAME.test(name) ? name : '?';
}

/** Whether null may stand for this value. */
function takesNull(value: NamedValue): boolean {
  return value.optional === true || value.nullable === true;
}

/**
 * Puts named arguments into the order of `values`, checked, with defaults filled in and null for optional ones left out.
 * Throws BEDS_STORE_INVALID_VALUE with the argument's name as `field`.
 */
export function bindValues(values: readonly NamedValue[], args: JsonObject): readonly Json[] {
  const bound = values.map((value) => bindOne(value, args));
  // Every argument was looked up above: only a longer list of names can hold an unknown one.
  const names = Object.keys(args);
  if (names.length > 0) refuseUnknown(values, names);
  return bound;
}

function bindOne(value: NamedValue, args: JsonObject): Json {
  const given = Object.hasOwn(args, value.name) ? args[value.name] : undefined;
  if (given === undefined) {
    if (value.default !== undefined) return value.default;
    if (value.optional === true) return null;
    throw refuseArgument(value.name, 'is missing');
  }
  if (given === null) {
    if (takesNull(value)) return null;
    throw refuseArgument(value.name, 'must not be null');
  }
  const read = readValue(given, value);
  if ('problem' in read) throw refuseArgument(value.name, read.problem);
  return read.value;
}

function refuseUnknown(values: readonly NamedValue[], names: readonly string[]): void {
  for (const name of names) {
    if (values.some((value) => value.name === name)) continue;
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'The named object takes no such argument.', {
      field: fieldName(name),
    });
  }
}

function refuseArgument(field: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_INVALID_VALUE', `Argument ${field} ${problem}.`, { field });
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 100_000;
const MAX_IN_VALUES = 1_000;
const MAX_ORDER_COLUMNS = 8;

/**
 * One comparison. `eq` and `ne` treat null as a value (`ne 1` holds for null); `lt`, `lte`, `gt`, `gte` and `prefix`
 * never hold for null and have no null value; `in` may list null and may be empty (then nothing matches).
 */
export type Condition =
  | {
      readonly column: NamedValue;
      readonly op: 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte' | 'prefix';
      readonly value: Scalar;
    }
  | { readonly column: NamedValue; readonly op: 'in'; readonly value: readonly Scalar[] };

export interface PlannedOrder {
  readonly column: NamedValue;
  readonly direction: 'asc' | 'desc';
}

/** A view query, checked against the view, in the one form both adapters translate. */
export interface QueryPlan {
  /** All must hold. */
  readonly conditions: readonly Condition[];
  /**
   * Where the page starts: at least one of these groups must hold, all conditions of it. Absent on the first page.
   * Null sorts before every value, as it does in MySQL and MongoDB.
   */
  readonly after?: readonly (readonly Condition[])[];
  /** Total: the key is the last column. */
  readonly order: readonly PlannedOrder[];
  /** Rows of a page. Read one more to learn whether another page follows. */
  readonly limit: number;
  /** Where the cursor says that the page before ended: the values of the order columns. Absent on the first page. */
  readonly start?: readonly Scalar[];
  /** The cursor of a page whose last row has these values in the order columns. */
  cursorAt(position: readonly Scalar[]): string;
}

type View = Extract<NamedObject, { kind: 'view' }>;

/** What cursors of a store hold: the values as callers see them, or texts that only its adapter reads, without `after`. */
export type Positions = 'shown' | 'stored';

/** Throws BEDS_STORE_QUERY_INVALID (with `field`: `where.<column>`, `order`, `limit`, `key`) or BEDS_STORE_CURSOR_INVALID. */
export function planQuery(view: View, query: KeyedQuery, positions: Positions = 'shown'): QueryPlan {
  const columns = columnsOf(view);
  const conditions = planWhere(columns, query.where ?? {});
  const order = planOrder(columns, query.order ?? [], query.key);
  // Only a query that has a cursor, or a page that gets one, needs it.
  const print = (): string =>
    fingerprint([
      view.name,
      conditions.map(({ column, op, value }) => [column.name, op, value]),
      order.map(({ column, direction }) => [column.name, direction]),
      ...(positions === 'stored' ? [positions] : []),
    ]);
  const orderColumns = order.map(({ column }) => column);
  const plan = {
    conditions,
    order,
    limit: planLimit(query.limit),
    cursorAt: (position: readonly Scalar[]): string => encodeCursor(print(), position),
  };
  if (query.cursor === undefined) return plan;
  if (positions === 'stored') return { ...plan, start: decodeCursor(query.cursor, print(), orderColumns.map(asText)) };
  const start = decodeCursor(query.cursor, print(), orderColumns);
  return { ...plan, start, after: planPosition(order, start) };
}

function asText(column: NamedValue): NamedValue {
  return { ...column, type: 'string', nullable: true };
}

const columnsByName = new WeakMap<View, ReadonlyMap<string, NamedValue>>();

function columnsOf(view: View): ReadonlyMap<string, NamedValue> {
  const known = columnsByName.get(view);
  if (known !== undefined) return known;
  const columns = new Map(view.columns.map((column) => [column.name, column]));
  columnsByName.set(view, columns);
  return columns;
}

function planWhere(columns: ReadonlyMap<string, NamedValue>, where: NonNullable<KeyedQuery['where']>): Condition[] {
  if (typeof where !== 'object' || where === null || Array.isArray(where)) throw refuse('where', 'must be an object');
  const conditions: Condition[] = [];
  for (const name of Object.keys(where).sort()) {
    const test = where[name];
    if (test === undefined) continue;
    const column = columns.get(name);
    if (column === undefined) {
      throw refuse(`where.${fieldName(name)}`, 'is not a column of the view', didYouMean(name, columns.keys()));
    }
    if (test === null || typeof test !== 'object') conditions.push(planComparison(column, 'eq', test));
    else conditions.push(...planColumn(column, test));
  }
  return conditions;
}

function planColumn(column: NamedValue, test: Comparison): Condition[] {
  if (Array.isArray(test)) throw refuse(`where.${column.name}`, 'must be a value or an object of comparisons');
  const entries = Object.entries(test as Readonly<Record<string, Json | undefined>>).filter(
    ([, value]) => value !== undefined,
  );
  if (entries.length === 0) throw refuse(`where.${column.name}`, 'compares with nothing');
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([op, value]) => planComparison(column, op, value as Json));
}

function planComparison(column: NamedValue, op: string, value: Json): Condition {
  const field = `where.${column.name}`;
  switch (op) {
    case 'in':
      if (!Array.isArray(value) || value.length > MAX_IN_VALUES) {
        throw refuse(field, `needs a list of at most ${MAX_IN_VALUES} values for in`);
      }
      return { column, op, value: value.map((item: Json) => (item === null ? null : planValue(column, item))) };
    case 'eq':
    case 'ne':
      return { column, op, value: value === null ? null : planValue(column, value) };
    case 'prefix':
      if (column.type !== 'string') throw refuse(field, 'is not text, so it has no prefix');
      return { column, op, value: planValue(column, value) };
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      return { column, op, value: planValue(column, value) };
    default:
      throw refuse(field, 'knows only eq, ne, lt, lte, gt, gte, in and prefix');
  }
}

function planValue(column: NamedValue, value: Json): Scalar {
  const field = `where.${column.name}`;
  if (column.type === 'json') throw refuse(field, 'is JSON: it can only be compared with null');
  if (value === null) throw refuse(field, 'can be compared with null by eq, ne and in only');
  // Length and range belong to stored values: searching beyond them finds nothing, it is not an error.
  const read = readValue(value, { type: column.type });
  if ('problem' in read) throw refuse(field, read.problem);
  return read.value as Scalar;
}

function planOrder(
  columns: ReadonlyMap<string, NamedValue>,
  order: readonly OrderBy[],
  key: string,
): readonly PlannedOrder[] {
  if (!Array.isArray(order) || order.length > MAX_ORDER_COLUMNS) {
    throw refuse('order', `must be a list of at most ${MAX_ORDER_COLUMNS} columns`);
  }
  const planned: PlannedOrder[] = [];
  for (const entry of order as readonly OrderBy[]) {
    if (!isOrderBy(entry)) throw refuse('order', 'must be a list of { column, direction }');
    const column = columns.get(entry.column);
    const direction = entry.direction ?? 'asc';
    if (column === undefined) throw refuse('order', `names ${fieldName(entry.column)}, not a column of the view`);
    if (column.type === 'json') throw refuse('order', `names ${column.name}, which is JSON`);
    if (direction !== 'asc' && direction !== 'desc') throw refuse('order', 'knows only asc and desc');
    if (planned.some((other) => other.column === column)) throw refuse('order', `names ${column.name} twice`);
    planned.push({ column, direction });
    // The key identifies a row: whatever follows it cannot matter.
    if (column.name === key) return planned;
  }
  const keyColumn = columns.get(key);
  if (keyColumn === undefined || keyColumn.type === 'json') throw refuse('key', 'is not a column of the view');
  planned.push({ column: keyColumn, direction: 'asc' });
  return planned;
}

/** What a caller sends as JSON may be anything. */
function isOrderBy(entry: unknown): entry is OrderBy {
  return typeof entry === 'object' && entry !== null && typeof (entry as Partial<OrderBy>).column === 'string';
}

function planLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw refuse('limit', `must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  return limit;
}

/** The rows after `position`: equal in the first i columns and beyond it in the next one, for every i. */
function planPosition(order: readonly PlannedOrder[], position: readonly Scalar[]): readonly (readonly Condition[])[] {
  return order.flatMap((entry, index) => {
    const same = order
      .slice(0, index)
      .map(({ column }, at): Condition => ({ column, op: 'eq', value: position[at] ?? null }));
    return beyond(entry, position[index] ?? null).map((condition) => same.concat(condition));
  });
}

function beyond({ column, direction }: PlannedOrder, value: Scalar): readonly Condition[] {
  if (direction === 'asc') return [value === null ? { column, op: 'ne', value } : { column, op: 'gt', value }];
  if (value === null) return [];
  const lower: Condition = { column, op: 'lt', value };
  return takesNull(column) ? [lower, { column, op: 'eq', value: null }] : [lower];
}

function refuse(field: string, problem: string, hint = ''): Error {
  return storeErrors.make('BEDS_STORE_QUERY_INVALID', `Query: ${field} ${problem}.${hint}`, { field });
}

/** Types whose values sort in JavaScript as in every database; of text, only the database knows its collation. */
const SORTED: ReadonlySet<ValueType> = new Set(['integer', 'number', 'decimal', 'boolean', 'date', 'datetime']);

/**
 * The cursor of the page that `found` makes, the rows that the plan asked for; undefined where no more of them follow.
 * Throws BEDS_STORE_CURSOR_STUCK where the page does not lie after the cursor that it began with: its caller would ask for
 * pages for ever.
 */
export function cursorOf<Row>(
  plan: QueryPlan,
  found: readonly Row[],
  valueOf: (row: Row, column: NamedValue) => Scalar,
): string | undefined {
  const hasMore = found.length > plan.limit;
  const { start } = plan;
  if (!hasMore && start === undefined) return undefined;
  const positionOf = (row: Row | undefined): readonly Scalar[] | undefined =>
    row === undefined ? undefined : plan.order.map(({ column }) => valueOf(row, column));
  const last = positionOf(found[plan.limit - 1]);
  if (start !== undefined) {
    for (const position of [positionOf(found[0]), last]) {
      if (position !== undefined && !isAfter(plan.order, start, position)) {
        throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
      }
    }
  }
  return hasMore && last !== undefined ? plan.cursorAt(last) : undefined;
}

/** Whether `position` may lie after `start`: true where only the database can tell. */
function isAfter(order: readonly PlannedOrder[], start: readonly Scalar[], position: readonly Scalar[]): boolean {
  for (const [index, { column, direction }] of order.entries()) {
    const compared = compare(column, position[index] ?? null, start[index] ?? null);
    if (compared === undefined) return true;
    if (compared !== 0) return direction === 'asc' ? compared > 0 : compared < 0;
  }
  return false;
}

/** Negative where `a` sorts before `b`; undefined where that cannot be told here. Null sorts before every value. */
function compare({ type }: NamedValue, a: Scalar, b: Scalar): number | undefined {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? -1 : 1;
  if (!SORTED.has(type)) return undefined;
  if (type === 'date' || type === 'datetime') return compareInstants(String(a), String(b));
  // n.b. two exact numbers may be the same number here.
  return Number(a) - Number(b) || undefined;
}

/** The digits of a second are as many as are needed, and sort before the Z that ends them. */
function compareInstants(a: string, b: string): number {
  return a.replace('Z', '') < b.replace('Z', '') ? -1 : 1;
}

const CURSOR_VERSION = 1;
const MAX_CURSOR_CHARACTERS = 8_192;
const STORED_DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Names a query without its cursor and limit: a cursor is only good for the query it came from. */
function fingerprint(query: Json): string {
  return hash('sha256', JSON.stringify(query), 'base64url').slice(0, 16);
}

/** The position after a row, as opaque text: the values of the order columns, the key last. Throws BEDS_STORE_QUERY_INVALID. */
function encodeCursor(print: string, position: readonly Scalar[]): string {
  const cursor = Buffer.from(JSON.stringify([CURSOR_VERSION, print, position])).toString('base64url');
  if (cursor.length <= MAX_CURSOR_CHARACTERS) return cursor;
  const message = 'Query: order names columns whose values are too long to go on from.';
  throw storeErrors.make('BEDS_STORE_QUERY_INVALID', message, { field: 'order' });
}

/**
 * Reads a cursor back. What it carries is only ever data: each value is checked against its column's type.
 * Throws BEDS_STORE_CURSOR_INVALID.
 */
function decodeCursor(cursor: string, print: string, columns: readonly NamedValue[]): readonly Scalar[] {
  const parsed = parseCursor(cursor);
  if (!Array.isArray(parsed) || parsed.length !== 3 || parsed[0] !== CURSOR_VERSION || parsed[1] !== print)
    throw refuseCursor();
  const position: unknown = parsed[2];
  if (!Array.isArray(position) || position.length !== columns.length) throw refuseCursor();
  return columns.map((column, index) => readPosition(position[index] as Json, column));
}

function readPosition(value: Json, column: NamedValue): Scalar {
  if (value === null && takesNull(column)) return null;
  if (value === null || typeof value === 'object') throw refuseCursor();
  const read = readValue(value, { type: column.type });
  if ('problem' in read) return readStoredDay(value, column);
  if (typeof read.value === 'object') throw refuseCursor();
  return read.value;
}

/** n.b. a database may keep, and order by, days that no calendar has: 0000-00-00. */
function readStoredDay(value: Scalar, { type }: NamedValue): Scalar {
  if ((type === 'date' || type === 'datetime') && typeof value === 'string' && STORED_DAY.test(value)) return value;
  throw refuseCursor();
}

function parseCursor(cursor: string): unknown {
  if (typeof cursor !== 'string' || cursor.length > MAX_CURSOR_CHARACTERS) throw refuseCursor();
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    throw refuseCursor();
  }
}

function refuseCursor(): Error {
  return storeErrors.make('BEDS_STORE_CURSOR_INVALID', undefined, { field: 'cursor' });
}
