import type { Comparison, Json, OrderBy, Scalar } from '@beds/sdk';
import { didYouMean } from '../config/nearest.js';
import { storeErrors } from '../errors/store.js';
import { takesNull } from './bind-values.js';
import type { KeyedQuery, NamedObject, NamedValue } from './contract.js';
import { decodeCursor, encodeCursor, fingerprint } from './cursor.js';
import { fieldName, readValue } from './read-value.js';

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
