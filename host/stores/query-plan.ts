import { hash } from 'node:crypto';
import {
  type BedsError,
  type Problem,
  isBedsError,
  type Json,
  type JsonObject,
  type Page,
  type Scalar,
  type ValueType,
  type Where,
} from '@beds/sdk';
import {
  checkQueryForm,
  compileFits,
  type Fits,
  hasQueryForm,
  MOST_PROBLEMS,
  sayProblems,
  isPlainName,
  QUERY_LIMITS,
  readValue,
  VALUE_TYPES,
} from '#sdk/template';
import { meant } from '#sdk/nearest';
import { storeErrors } from '../errors/store.js';
import type { KeyedQuery, NamedObject, NamedValue } from './contract.js';
import type { Together } from './deadlines.js';
import { takesNull } from './inputs.js';

const FORM = { meant, own: ['key', 'maxRows', 'rows'] } as const;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 100_000;

/**
 * One comparison. It holds or it does not: `eq`, `ne` and `in` treat null as a value (`ne 1` holds for null), the others never hold
 * for null and have no null value. `in` may be empty: then nothing matches.
 */
export type Condition = {
  readonly column: NamedValue;
  /** The path of the filter that it stands in: `query.or[1]`. */
  readonly at: string;
  /** Of a cursor: compared with what is stored, be it shown as null. */
  readonly isStored?: true;
} & (
  | { readonly op: 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte' | 'prefix' | 'contains'; readonly value: Scalar }
  | { readonly op: 'in'; readonly value: readonly Scalar[] }
);

/** `and`, `or`: all or one of them must hold; `not`: exactly what does not have all of them. An `or` of none never holds. */
export interface Group {
  readonly op: 'and' | 'or' | 'not';
  readonly of: readonly Predicate[];
}

export type Predicate = Condition | Group;

export interface PlannedOrder {
  readonly column: NamedValue;
  readonly direction: 'asc' | 'desc';
}

/** A view query, checked against the view, in the one form both adapters translate. */
export interface QueryPlan {
  /** All must hold. */
  readonly conditions: readonly Predicate[];
  /** Where the page starts. Absent on the first page. Null sorts before every value, as it does in MySQL and MongoDB. */
  readonly after?: Group;
  /** Total: the key is the last column. */
  readonly order: readonly PlannedOrder[];
  /** Rows of a page. Read one more to learn whether another page follows. 0: none are asked for. */
  readonly limit: number;
  /** Whether to count all rows for which the conditions hold. */
  readonly counts: boolean;
  /** Where the cursor says that the page before ended: the values of the order columns. Absent on the first page. */
  readonly start?: readonly Scalar[];
  /** The cursor of a page whose last row has these values in the order columns. */
  cursorAt(position: readonly Scalar[]): string;
}

type View = Extract<NamedObject, { kind: 'view' }>;

/** What an adapter has of its own in a plan. */
export interface Dialect {
  /** What cursors hold: the values as callers see them, or texts that only the adapter reads, without `after`. */
  readonly positions: 'shown' | 'stored';
  /** Writes one comparison. Throws BEDS_STORE_QUERY_INVALID where the database would compare with something else. */
  write(condition: Condition, view: View): unknown;
}

/**
 * Throws BEDS_STORE_QUERY_INVALID with everything that is wrong (`field`: `query.where.<column>`, `query.order[0].column`, …),
 * or BEDS_STORE_CURSOR_INVALID.
 */
export function planQuery(view: View, query: KeyedQuery, dialect: Dialect): QueryPlan {
  const problems: Problem[] = [];
  if (!hasQueryForm(query, FORM.own)) checkQueryForm(query, problems, FORM);
  const planning: Planning = { columns: columnsOf(view), problems };
  const conditions: Predicate[] = [];
  if (query.rows !== undefined) planRows(query.rows, planning.columns, conditions);
  planFilter(query, { at: 'query', depth: 0, into: conditions }, planning);
  const order = planOrder(query, planning);
  const limit = planLimit(query, problems);
  if (problems.length > 0) throw refuseAll(problems, conditions, (condition) => dialect.write(condition, view));
  // Only a query that has a cursor, or a page that gets one, needs it.
  const print = (): string =>
    fingerprint([
      view.name,
      conditions.map(printOf),
      order.map(({ column, direction }) => [column.name, direction]),
      ...(dialect.positions === 'stored' ? [dialect.positions] : []),
    ]);
  const plan = {
    conditions,
    order,
    limit,
    counts: query.count === true,
    cursorAt: (position: readonly Scalar[]): string => encodeCursor(print(), position),
  };
  const cursor = query.cursor ?? undefined;
  if (cursor === undefined) return plan;
  const orderColumns = order.map(({ column }) => column);
  if (dialect.positions === 'stored')
    return { ...plan, start: decodeCursor(cursor, print(), orderColumns.map(asText)) };
  const start = decodeCursor(cursor, print(), orderColumns);
  return { ...plan, start, after: planPosition(order, start) };
}

/** Makes (does not throw) the error that says everything that is wrong. */
export function refuseQuery(problems: readonly Problem[]): BedsError {
  const { message, details } = sayProblems(problems);
  return storeErrors.make('BEDS_STORE_QUERY_INVALID', message, details);
}

/** Makes the error for a comparison that a database would make with another value. */
export function incomparable({ column, at }: Pick<Condition, 'column' | 'at'>, message: string): BedsError {
  return refuseQuery([{ field: `${at}.where.${column.name}`, message }]);
}

/** The error that adds to `problems` what the database has against the comparisons themselves. */
export function refuseAll(
  problems: readonly Problem[],
  predicates: readonly Predicate[],
  write: (condition: Condition) => unknown,
): BedsError {
  const refused = [...conditionsIn(predicates)].flatMap((condition): readonly Problem[] => {
    try {
      write(condition);
      return [];
    } catch (error) {
      if (isBedsError(error) && error.code === 'BEDS_STORE_QUERY_INVALID') return error.problems ?? [];
      throw error;
    }
  });
  return refuseQuery(problems.concat(refused));
}

function* conditionsIn(predicates: readonly Predicate[]): Generator<Condition> {
  for (const predicate of predicates) {
    if ('of' in predicate) yield* conditionsIn(predicate.of);
    else yield predicate;
  }
}

function printOf(predicate: Predicate): Json {
  if ('of' in predicate) return [predicate.op, predicate.of.map(printOf)];
  return [predicate.column.name, predicate.op, predicate.value];
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

interface Planning {
  readonly columns: ReadonlyMap<string, NamedValue>;
  readonly problems: Problem[];
}

/** Where a filter stands, and what takes its predicates. */
interface Place {
  readonly at: string;
  readonly depth: number;
  readonly into: Predicate[];
}

// n.b. what has another form than it should have was complained of by checkQueryForm, and is passed over here.
function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function planFilter(filter: object, place: Place, planning: Planning): void {
  const { where, and, or, not } = filter as Readonly<Record<string, unknown>>;
  if (isObject(where)) planWhere(where, place, planning);
  if (and === undefined && or === undefined && not === undefined) return;
  planGroups({ and, or, not }, place, planning);
}

function planGroups(
  { and, or, not }: Readonly<Record<Group['op'], unknown>>,
  { at, depth, into }: Place,
  planning: Planning,
): void {
  if (depth >= QUERY_LIMITS.depth) return;
  const inside = (inner: unknown, path: string): Group => {
    const group: Predicate[] = [];
    if (isObject(inner)) planFilter(inner, { at: `${at}.${path}`, depth: depth + 1, into: group }, planning);
    return { op: 'and', of: group };
  };
  if (Array.isArray(and))
    into.push({ op: 'and', of: and.map((inner: unknown, index) => inside(inner, `and[${index}]`)) });
  if (Array.isArray(or)) into.push({ op: 'or', of: or.map((inner: unknown, index) => inside(inner, `or[${index}]`)) });
  if (isObject(not)) into.push({ op: 'not', of: inside(not, 'not').of });
}

function planWhere(where: Readonly<Record<string, unknown>>, { at, into }: Place, planning: Planning): void {
  for (const name of Object.keys(where).sort()) {
    const test = where[name];
    if (test === undefined || Array.isArray(test)) continue;
    const column = planning.columns.get(name);
    if (column === undefined) {
      const field = isPlainName(name) ? `${at}.where.${name}` : `${at}.where`;
      const what = isPlainName(name) ? '' : 'names what ';
      const hint = planning.problems.length < MOST_PROBLEMS ? meant(name, planning.columns.keys()) : '';
      planning.problems.push({ field, message: `${what}is not a column of the view${hint}` });
      continue;
    }
    if (typeof test !== 'object' && isComparable(column, test)) {
      into.push({ column, at, op: 'eq', value: test });
      continue;
    }
    const planned = new ColumnPlan(column, at, planning.problems);
    if (typeof test !== 'object' || test === null) planned.add('eq', test as Json, into);
    else for (const op of Object.keys(test).sort()) planned.add(op, (test as Record<string, Json>)[op], into);
  }
}

/** n.b. what no value of the column can be has no rows: a user whose id is a name owns nothing where owners are numbers. */
function planRows(rows: Where, columns: Planning['columns'], into: Predicate[]): void {
  const problems: Problem[] = [];
  planWhere(rows, { at: 'query', depth: 0, into }, { columns, problems });
  const [column] = columns.values();
  if (problems.length > 0 && column !== undefined) into.push({ column, at: 'query', op: 'in', value: [] });
}

/** n.b. length and range belong to stored values: searching beyond them finds nothing, it is not an error. */
const FITS = Object.fromEntries(VALUE_TYPES.map((type) => [type, compileFits({ type })])) as Readonly<
  Record<ValueType, Fits>
>;

/** Whether a value can be compared with a column just as it is. */
function isComparable(column: NamedValue, value: unknown): value is Exclude<Scalar, null> {
  return column.type !== 'json' && FITS[comparedType(column, value)](value);
}

/** Plans the comparisons of one column. */
class ColumnPlan {
  readonly #column: NamedValue;
  readonly #at: string;
  readonly #problems: Problem[];

  constructor(column: NamedValue, at: string, problems: Problem[]) {
    this.#column = column;
    this.#at = at;
    this.#problems = problems;
  }

  add(op: string, value: Json | undefined, into: Predicate[]): void {
    if (value === undefined) return;
    const [column, at] = [this.#column, this.#at];
    switch (op) {
      case 'in':
        if (Array.isArray(value) && value.length <= QUERY_LIMITS.inValues) this.#list(value, into);
        break;
      case 'between':
        if (!Array.isArray(value) || value.length !== 2) return;
        this.#compare('gte', value[0] as Json, into);
        this.#compare('lte', value[1] as Json, into);
        break;
      case 'isNull':
        into.push({ column, at, op: value === true ? 'eq' : 'ne', value: null });
        break;
      case 'eq':
      case 'ne':
        if (value === null) into.push({ column, at, op, value });
        else this.#compare(op, value, into);
        break;
      case 'prefix':
      case 'contains':
        if (column.type === 'string') this.#compare(op, value, into);
        else this.#refuse(`is not text, so ${op} says nothing of it`);
        break;
      case 'lt':
      case 'lte':
      case 'gt':
      case 'gte':
        this.#compare(op, value, into);
    }
  }

  #list(values: readonly Json[], into: Predicate[]): void {
    const list = values.map((value) => (value === null ? null : this.#value(value)));
    if (list.includes(undefined)) return;
    into.push({ column: this.#column, at: this.#at, op: 'in', value: list as readonly Scalar[] });
  }

  #compare(op: Exclude<Condition['op'], 'in'>, given: Json, into: Predicate[]): void {
    const value = this.#value(given);
    if (value !== undefined) into.push({ column: this.#column, at: this.#at, op, value });
  }

  /** Undefined: it cannot be compared with. */
  #value(value: Json): Scalar | undefined {
    if (isComparable(this.#column, value)) return value;
    const { type } = this.#column;
    if (type === 'json') this.#refuse('is JSON: it can only be compared with null');
    else if (value === null) this.#refuse('can be compared with null by eq, ne, in and isNull only');
    else {
      const read = readValue(value, { type: comparedType(this.#column, value) });
      if (!('problem' in read)) return read.value as Scalar;
      this.#refuse(read.problem);
    }
    return undefined;
  }

  #refuse(message: string): void {
    const field = `${this.#at}.where.${this.#column.name}`;
    // n.b. of a list, one is enough.
    const last = this.#problems.at(-1);
    if (last?.field !== field || last.message !== message) this.#problems.push({ field, message });
  }
}

function planOrder({ order, key }: KeyedQuery, { columns, problems }: Planning): readonly PlannedOrder[] {
  const planned: PlannedOrder[] = [];
  const entries: readonly unknown[] = Array.isArray(order) ? order : [];
  for (let index = 0; index < Math.min(entries.length, QUERY_LIMITS.orderColumns); index += 1) {
    const entry = entries[index];
    const { column: name, direction } = isObject(entry) ? entry : {};
    if (typeof name !== 'string') continue;
    const column = columns.get(name);
    const problem = orderProblem(name, column, { columns, planned });
    if (problem !== undefined) problems.push({ field: `query.order[${index}].column`, message: problem });
    if (column === undefined) continue;
    planned.push({ column, direction: direction === 'desc' ? 'desc' : 'asc' });
    // The key identifies a row: whatever follows it cannot matter.
    if (name === key) return planned;
  }
  const keyColumn = columns.get(key);
  if (keyColumn === undefined || keyColumn.type === 'json') {
    problems.push({ field: 'key', message: 'is not a column of the view' });
  } else planned.push({ column: keyColumn, direction: 'asc' });
  return planned;
}

function orderProblem(
  name: string,
  column: NamedValue | undefined,
  { columns, planned }: { readonly columns: Planning['columns']; readonly planned: readonly PlannedOrder[] },
): string | undefined {
  if (column === undefined) {
    const which = isPlainName(name) ? `${name}, which` : 'what';
    return `names ${which} is not a column of the view${meant(name, columns.keys())}`;
  }
  if (column.type === 'json') return `names ${name}, which is JSON`;
  return planned.some((other) => other.column === column) ? `names ${name} twice` : undefined;
}

function planLimit({ limit, count, maxRows = MAX_LIMIT }: KeyedQuery, problems: Problem[]): number {
  // n.b. null is what a caller writes that leaves nothing out.
  if ((limit ?? undefined) === undefined) return Math.min(DEFAULT_LIMIT, maxRows);
  const least = count === true ? 0 : 1;
  if (Number.isSafeInteger(limit) && Number(limit) >= least && Number(limit) <= maxRows) return Number(limit);
  if (typeof limit === 'number') {
    const message =
      limit === 0
        ? 'may be 0 only with count: true'
        : `must be a whole number from ${least} to ${maxRows}; follow the cursor for more rows`;
    problems.push({ field: 'query.limit', message });
  }
  return DEFAULT_LIMIT;
}

const OF_CURSOR = { at: 'query', isStored: true } as const;

/** The rows after `position`: equal in the first i columns and beyond it in the next one, for every i. */
function planPosition(order: readonly PlannedOrder[], position: readonly Scalar[]): Group {
  const groups = order.flatMap((entry, index) => {
    const same = order
      .slice(0, index)
      .map(({ column }, at): Condition => ({ column, ...OF_CURSOR, op: 'eq', value: position[at] ?? null }));
    return beyond(entry, position[index] ?? null).map((condition): Group => ({
      op: 'and',
      of: same.concat(condition),
    }));
  });
  return { op: 'or', of: groups };
}

function beyond({ column, direction }: PlannedOrder, value: Scalar): readonly Condition[] {
  if (direction === 'asc') return [{ column, ...OF_CURSOR, op: value === null ? 'ne' : 'gt', value }];
  if (value === null) return [];
  const lower: Condition = { column, ...OF_CURSOR, op: 'lt', value };
  return takesNull(column) ? [lower, { column, ...OF_CURSOR, op: 'eq', value: null }] : [lower];
}

/** Types whose values sort in JavaScript as in every database; of text, only the database knows its collation. */
const SORTED: ReadonlySet<ValueType> = new Set([
  'integer',
  'bigint',
  'number',
  'decimal',
  'boolean',
  'date',
  'datetime',
]);

/**
 * The cursor of the page that `found` makes, the rows that the plan asked for; undefined where no more of them follow.
 * Throws BEDS_STORE_CURSOR_STUCK where the page does not lie after the cursor that it began with, or the next one not after this: its
 * caller would ask for pages for ever, or miss rows.
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
  if (!hasMore || last === undefined) return undefined;
  // n.b. two rows that have the same key: the next page would leave out the second one.
  if (!isAfter(plan.order, last, positionOf(found[plan.limit]) ?? []))
    throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
  return plan.cursorAt(last);
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
const STORED = { date: /^\d{4}-\d{2}-\d{2}$/, datetime: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3,6}Z$/ };

/** Names a query without its cursor and limit: a cursor is only good for the query it came from. */
function fingerprint(query: Json): string {
  return hash('sha256', JSON.stringify(query), 'base64url').slice(0, 16);
}

/** The position after a row, as opaque text: the values of the order columns, the key last. Throws BEDS_STORE_QUERY_INVALID. */
function encodeCursor(print: string, position: readonly Scalar[]): string {
  const cursor = Buffer.from(JSON.stringify([CURSOR_VERSION, print, position])).toString('base64url');
  if (cursor.length <= MAX_CURSOR_CHARACTERS) return cursor;
  throw refuseQuery([{ field: 'query.order', message: 'names columns whose values are too long to go on from' }]);
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
  const read = readValue(value, { type: comparedType(column, value) });
  if ('problem' in read) return readStoredDay(value, column);
  if (typeof read.value === 'object') throw refuseCursor();
  return read.value;
}

/** n.b. a database may keep, and order by, days that no calendar has: 0000-00-00, 2026-01-00. */
function readStoredDay(value: Scalar, { type }: NamedValue): Scalar {
  if ((type === 'date' || type === 'datetime') && typeof value === 'string' && STORED[type].test(value)) return value;
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
  return storeErrors.make('BEDS_STORE_CURSOR_INVALID', undefined, { field: 'query.cursor' });
}

/** A whole number that JavaScript cannot hold may be searched for in any column of whole numbers. */
function comparedType({ type }: NamedValue, value: unknown): ValueType {
  return type === 'integer' && typeof value === 'string' ? 'bigint' : type;
}

/** How a row tells exactly whose it is: by its number, by digits, or by text that no collation takes for other such text. */
export type KeyForm = 'number' | 'digits' | 'text';

/** A read of one record by its key; nothing that its caller can change any more. */
export interface KeyRead extends KeyedQuery {
  readonly where: Readonly<Record<string, string | number>>;
}

/** undefined: the query asks for something else, or may be wrong. */
export function readByKey(query: KeyedQuery): KeyRead | undefined {
  const { key, where, limit, maxRows = MAX_LIMIT } = query;
  if (typeof where !== 'object' || !isLimit(limit, maxRows)) return undefined;
  for (const name in query) if (!isOfKeyRead(name)) return undefined;
  for (const name in where) if (name !== key) return undefined;
  const value: unknown = where[key];
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  return { key, where: { [key]: value }, limit: limit ?? Math.min(DEFAULT_LIMIT, maxRows), maxRows };
}

function isLimit(limit: unknown, most: number): limit is number | undefined {
  return limit === undefined || (Number.isSafeInteger(limit) && Number(limit) >= 1 && Number(limit) <= most);
}

function isOfKeyRead(name: string): boolean {
  return name === 'key' || name === 'maxRows' || name === 'where' || name === 'limit';
}

const DIGITS = /^(?:0|-?[1-9]\d{0,17})$/;
/** n.b. utf8mb4_hu_0900_ai_ci takes CCS for CSCS, and so all letters of two that are doubled by their first one. */
const WORD = /^(?!.*(?:cc|dd|gg|ll|nn|ss|tt|zz)[syz])[\w-]{1,255}$/i;

/** A whole number of 64 bits, as databases give it. */
export function isDigits(text: string): boolean {
  return DIGITS.test(text);
}

/** Text of which it is known what a collation may take for it. */
export function isWord(text: string): boolean {
  return WORD.test(text);
}

/**
 * The same for all that a collation may take for each other: I and J, U and V in utf8mb4_roman_ci; `c` and `ch` in Lithuanian ones;
 * `ccs` and `cscs`, and others of such letters, in Hungarian ones; M and N in macce_general_ci.
 */
function folded(text: string): string {
  const lower = text.toLowerCase().replaceAll('ch', 'c').replaceAll('m', 'n');
  return lower
    .replace(/[cdglnstyz]{3,}/g, '.')
    .replace(/[jy]/g, 'i')
    .replace(/[vw]/g, 'u');
}

/** The keys that one statement can ask for; whose key may be taken for another one is left out. `plain`: what the database leaves out, too. */
export function keysOf(
  reads: readonly KeyRead[],
  form: KeyForm,
  plain?: (text: string) => string,
): ReadonlySet<string | number> {
  const keys = new Set<string | number>();
  const taken = new Set<string>();
  for (const { key, where } of reads) {
    const value = where[key];
    if (value === undefined || keys.has(value)) continue;
    if (form === 'text') {
      const text = String(value);
      const as = folded(plain === undefined ? text : plain(text));
      if (taken.has(as)) continue;
      taken.add(as);
    }
    keys.add(value);
  }
  return keys;
}

/**
 * The page of each read; undefined: it has to be read alone. undefined for all where the rows do not tell exactly whose they are,
 * as where several have the same key. `isLarge`: what several asked for is too large to have copies of that nobody counts.
 */
export function pagesByKey(
  rows: readonly JsonObject[],
  {
    reads,
    keys,
    isLarge,
  }: {
    readonly reads: readonly KeyRead[];
    readonly keys: ReadonlySet<string | number>;
    readonly isLarge: boolean;
  },
): Together<Page> {
  const key = reads[0]?.key ?? '';
  const isNumber = typeof reads[0]?.where[key] === 'number';
  const byKey = new Map<string | number, JsonObject>();
  for (const row of rows) {
    const found = row[key] as string | number;
    const value = isNumber ? found : String(found);
    if (byKey.has(value) || !keys.has(value)) return undefined;
    byKey.set(value, row);
  }
  const given = keys.size === reads.length ? undefined : new Set<string | number>();
  return reads.map(({ where }) => {
    const value = where[key] ?? '';
    const row = byKey.get(value);
    if (row === undefined) return keys.has(value) ? { rows: [] } : undefined;
    if (given?.has(value) === true) return isLarge ? undefined : { rows: [structuredClone(row)] };
    given?.add(value);
    return { rows: [row] };
  });
}
