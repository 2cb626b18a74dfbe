import { isBedsError, type Json, type JsonObject, type Page, type Scalar } from '@beds/sdk';
import {
  Binary,
  Decimal128,
  type Document,
  Double,
  Long,
  MongoError,
  MongoServerSelectionError,
  ObjectId,
} from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import type { KeyedQuery, NamedObject, Unindexed } from '../contract.js';
import type { Together } from '../deadlines.js';
import {
  type Condition,
  incomparable,
  isDigits,
  isWord,
  type KeyForm,
  type KeyRead,
  keysOf,
  pagesByKey,
  type Predicate,
  type QueryPlan,
  readByKey,
  refuseAll,
} from '../query-plan.js';
import { isDocument, quotePattern } from './body.js';
import { collect, type Execution, partsOf } from './calls.js';
import { type NativeObject, nativeOf } from './catalogue.js';
import { serverMs, signalOf } from './client.js';
import { toStoreError } from './store-error.js';
import { type BsonType, compareStored, type Field, fieldIn, isLong, toBson, toColumn } from './values.js';

type View = Extract<NamedObject, { kind: 'view' }>;
type Stage = Record<string, unknown>;

/** What is the same for all reads of a view. */
interface Shape {
  readonly columns: readonly Column[];
  readonly projection: Stage;
  /** Stages of the view itself. */
  readonly own: readonly Stage[];
  /**
   * A view without stages of its own is a plain query, which servers answer with less work. n.b. a path into a document
   * means something else in the projection of a query than in a pipeline.
   */
  readonly isPlain: boolean;
  /** `collation` and `hint` of the body: they go with everything that is read of the view. */
  readonly options: Stage;
}

interface Column {
  readonly name: string;
  readonly field: Field;
  /** What it is called in the documents that the server gives. */
  readonly as: string;
}

const shapes = new WeakMap<View, Shape>();

function shapeOf(view: View): Shape {
  const known = shapes.get(view);
  if (known !== undefined) return known;
  const native = nativeOf(view);
  const { pipeline, ...parts } = partsOf(native);
  const own = pipeline?.(new Map()) as readonly Stage[];
  const fields = view.columns.map(({ name }) => ({ name, field: fieldOf(native, name) }));
  const isPlain = own.length === 0 && fields.every(({ field }) => !field.from.includes('.'));
  const shape: Shape = {
    own,
    isPlain,
    options: Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part(new Map())])),
    columns: fields.map(({ name, field }) => ({ name, field, as: isPlain ? field.from : name })),
    // n.b. the server gives _id unless it is told not to.
    projection: Object.fromEntries([
      ['_id', 0],
      ...fields.map(({ name, field: { from } }): [string, unknown] => (isPlain ? [from, 1] : [name, `$${from}`])),
    ]),
  };
  shapes.set(view, shape);
  return shape;
}

/** The structured query, checked and translated, ready to be sent. */
export function prepareRead(view: View, plan: QueryPlan): (execution: Execution) => Promise<Page> {
  const matches = matchesOf(view, plan);
  const read = plan.limit === 0 ? undefined : readRows(view, plan, matches);
  const { columns } = shapeOf(view);
  const pageOf = async (execution: Execution): Promise<Page> => {
    const documents = (await read?.(execution)) ?? [];
    const page = toPage(columns, plan, documents);
    if (page.cursor !== undefined && areAlike(columns, plan, documents))
      await checkNext(view, { plan, matches, documents }, execution);
    return page;
  };
  if (!plan.counts) return pageOf;
  const count = countRows(view, matches);
  return async (execution) => {
    const page = await pageOf(execution);
    // A first page that is the last one has been counted.
    const isCounted = read !== undefined && plan.start === undefined && page.cursor === undefined;
    if (isCounted) return { ...page, count: page.rows.length };
    execution.meter.begin(true);
    return { ...page, count: await count(execution) };
  };
}

/** undefined: the query asks for something else, may be wrong, or the database may find more by the key than is equal to it. */
export function keyReadOf(
  view: View,
  query: KeyedQuery,
): { readonly form: KeyForm; readonly read: KeyRead } | undefined {
  const { isPlain, columns, options } = shapeOf(view);
  const column = isPlain ? columns.find(({ name }) => name === query.key) : undefined;
  const read = column === undefined ? undefined : readByKey(query);
  if (column === undefined || read === undefined) return undefined;
  const form = formOfKey(column.field, read.where[query.key]);
  return form === undefined || (form === 'text' && options['collation'] !== undefined) ? undefined : { form, read };
}

/** n.b. hexadecimal digits are found in large letters too, and given in small ones. */
const IDENTIFIERS: Partial<Record<BsonType, RegExp>> = {
  objectId: /^[\da-f]{24}$/,
  uuid: /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/,
};

function formOfKey({ type, as }: Field, value: unknown): KeyForm | undefined {
  if (typeof value === 'number') return type === 'integer' && Number.isSafeInteger(value) ? 'number' : undefined;
  if (typeof value !== 'string') return undefined;
  if (type === 'bigint') return isDigits(value) ? 'digits' : undefined;
  if (type !== 'string') return undefined;
  if (as === 'string') return isWord(value) ? 'text' : undefined;
  return IDENTIFIERS[as]?.test(value) === true ? 'digits' : undefined;
}

/** n.b. collations may compare digits as the numbers that they are, and leave out punctuation. */
function withoutWeight(text: string): string {
  return text.replace(/(?<!\d)0+(?=\d)/g, '').replace(/[-_]/g, '');
}

/** The pages of reads of one form; see `pagesByKey`. */
export function prepareKeys(
  view: View,
  reads: readonly KeyRead[],
  form: KeyForm,
): (execution: Execution) => Promise<Together<Page>> {
  const native = nativeOf(view);
  const { columns, projection, options } = shapeOf(view);
  const key = reads[0]?.key ?? '';
  const field = fieldOf(native, key);
  const keys = keysOf(reads, form, withoutWeight);
  const filter = { [field.from]: { $in: [...keys].map((value) => toBson(value, field, key)) } };
  const limit = keys.size + SPARE_ROWS;
  const read = readPlain({ on: native.on, filter, sort: { [field.from]: 1 }, limit, projection, options });
  return async (execution) => {
    const rows = toRows(columns, await read(execution));
    return pagesByKey(rows, { reads, keys, isLarge: execution.meter.isLarge });
  };
}

function matchesOf(view: View, { conditions }: QueryPlan): readonly Stage[] {
  const native = nativeOf(view);
  try {
    return conditions.map((test) => predicate(test, native));
  } catch (error) {
    if (!isBedsError(error) || error.code !== 'BEDS_STORE_QUERY_INVALID') throw error;
    // The first comparison that the server cannot make was thrown: say all of them.
    throw refuseAll([], conditions, (condition) => comparison(condition, native));
  }
}

type RowsPlan = Pick<QueryPlan, 'order' | 'limit' | 'start'>;

function readRows(view: View, plan: RowsPlan, matches: readonly Stage[]): Read {
  const native = nativeOf(view);
  const shape = shapeOf(view);
  const order = plan.order.map(({ column, direction }) => ({ field: fieldOf(native, column.name), direction }));
  const filter = filterOf(plan.start === undefined ? matches : matches.concat(after(order, plan.start)));
  const sort = Object.fromEntries(
    order.map(({ field, direction }): [string, 1 | -1] => [field.from, direction === 'asc' ? 1 : -1]),
  );
  const limit = plan.limit + 1;
  const { isPlain, options, own, projection } = shape;
  if (isPlain) return readPlain({ on: native.on, filter, sort, limit, projection, options });
  const stages = [{ $sort: sort }, { $limit: limit }, { $project: projection }];
  return readStages({ on: native.on, pipeline: own.concat(matching(filter), stages), limit, options });
}

function countRows(view: View, matches: readonly Stage[]): (execution: Execution) => Promise<number> {
  const { own, options } = shapeOf(view);
  const pipeline = own.concat(matching(filterOf(matches)), { $group: { _id: null, rows: { $sum: 1 } } });
  const read = readStages({ on: nativeOf(view).on, pipeline, limit: 1, options });
  // n.b. of no documents there is no group.
  return async (execution) => Number((await read(execution))[0]?.['rows'] ?? 0);
}

function filterOf(matches: readonly Stage[]): Stage {
  return matches.length > 1 ? { $and: matches } : (matches[0] ?? {});
}

function matching(filter: Stage): readonly Stage[] {
  return Object.keys(filter).length === 0 ? [] : [{ $match: filter }];
}

type Read = (execution: Execution) => Promise<readonly Document[]>;

interface PlainQuery {
  readonly on: string;
  readonly filter: Stage;
  readonly sort: Record<string, 1 | -1>;
  readonly limit: number;
  readonly projection: Stage;
  readonly options: Stage;
}

function readPlain({ on, filter, sort, limit, projection, options }: PlainQuery): Read {
  return async (execution) => {
    const { db, session, meter } = execution;
    if (session === undefined) {
      // n.b. with a batch of `limit` documents servers leave the cursor open.
      const command = { find: on, filter, sort, limit, projection, batchSize: limit + 1, ...options };
      const found = await firstBatch(command, execution);
      if (found !== undefined) return found;
    }
    const all = { sort, limit, projection, ...options, ...boundsOf(execution, limit) };
    return collect(db.collection(on).find(filter, all), meter, SPARE_ROWS);
  };
}

interface StagesQuery {
  readonly on: string;
  readonly pipeline: Stage[];
  readonly limit: number;
  readonly options: Stage;
}

function readStages({ on, pipeline, limit, options }: StagesQuery): Read {
  return async (execution) => {
    const { db, session, meter } = execution;
    if (session === undefined) {
      const command = { aggregate: on, pipeline, cursor: { batchSize: limit + 1 }, ...options };
      const found = await firstBatch(command, execution);
      if (found !== undefined) return found;
    }
    const all = { ...options, ...boundsOf(execution, limit) };
    return collect(db.collection(on).aggregate(pipeline, all), meter, SPARE_ROWS);
  };
}

function boundsOf({ deadline, session }: Execution, batchSize: number): Stage {
  return { batchSize, signal: signalOf(deadline), maxTimeMS: serverMs(deadline), ...(session && { session }) };
}

function predicate(test: Predicate, native: NativeObject): Stage {
  if (!('of' in test)) return comparison(test, native);
  const { op, of } = test;
  if (of.length === 0) return op === 'and' ? {} : { $nor: [{}] };
  const parts = of.map((inner) => predicate(inner, native));
  if (op === 'or') return { $or: parts };
  return op === 'and' ? { $and: parts } : { $nor: [{ $and: parts }] };
}

/** Throws BEDS_STORE_QUERY_INVALID where the server would compare with another value. */
export function comparison(test: Condition, native: NativeObject): Stage {
  const { column, op, value } = test;
  const field = fieldOf(native, column.name);
  const bson = (one: Json): unknown => {
    try {
      return toBson(one, field, column.name);
    } catch (error) {
      if (!isBedsError(error)) throw error;
      throw incomparable(test, error.message.replace(/^A value (.*)\.$/, '$1'));
    }
  };
  switch (op) {
    case 'eq':
      // The same as $eq, and some servers look into the index for this form only.
      return value === null ? { [field.from]: { $eq: null } } : { [field.from]: bson(value) };
    case 'in':
      return { [field.from]: { $in: value.map(bson) } };
    case 'prefix':
    case 'contains':
      if (field.as !== 'string') throw incomparable(test, `is stored as ${field.as}, so ${op} says nothing of it`);
      return { [field.from]: { $regex: `${op === 'prefix' ? '^' : ''}${quotePattern(String(value))}` } };
    default:
      return { [field.from]: { [`$${op}`]: bson(value) } };
  }
}

function fieldOf(native: NativeObject, column: string): Field {
  const field = native.fields?.[column];
  if (field === undefined) throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
  return field;
}

function toRows(columns: readonly Column[], documents: readonly Document[]): readonly JsonObject[] {
  return documents.map((document) => {
    const row: Record<string, Json> = {};
    for (const { name, field, as } of columns) row[name] = toColumn(fieldIn(document, as), field, name);
    return row;
  });
}

/** The documents as rows of the view, and the cursor when there are more of them than the page holds. */
function toPage(columns: readonly Column[], plan: QueryPlan, documents: readonly Document[]): Page {
  const rows = toRows(columns, documents.slice(0, plan.limit));
  const cursor = cursorOf(columns, plan, documents);
  return cursor === undefined ? { rows } : { rows, cursor };
}

/**
 * Undefined where no more documents follow. Throws BEDS_STORE_CURSOR_STUCK where this page does not lie after the one
 * before, or the next one would leave out the document that follows because its key is the same.
 */
function cursorOf(columns: readonly Column[], plan: QueryPlan, documents: readonly Document[]): string | undefined {
  const hasMore = documents.length > plan.limit;
  if (!hasMore && plan.start === undefined) return undefined;
  const order = plan.order.flatMap(({ column, direction }): readonly SortedColumn[] => {
    const found = columns.find(({ name }) => name === column.name);
    return found === undefined ? [] : [{ ...found, direction }];
  });
  const last = valuesIn(documents[plan.limit - 1], order);
  if (plan.start !== undefined) {
    const start = order.map(({ field }, index) => storedValue(plan.start?.[index] ?? null, field));
    for (const values of [valuesIn(documents[0], order), last]) goesOn(order, start, values);
  }
  if (!hasMore || last === undefined) return undefined;
  goesOn(order, last, valuesIn(documents[plan.limit], order));
  return plan.cursorAt(last.map(positionOf));
}

interface SortedColumn extends Column {
  readonly direction: 'asc' | 'desc';
}

/** n.b. read, so that a document of another type is complained of before it can be left out. */
function valuesIn(document: Document | undefined, order: readonly Column[]): readonly unknown[] | undefined {
  return (
    document &&
    order.map(({ name, field, as }) => {
      const value = fieldIn(document, as);
      toColumn(value, field, name);
      return value;
    })
  );
}

/** Where only the database can tell, it is right that `to` lies after `from`. */
function goesOn(order: readonly SortedColumn[], from: readonly unknown[], to: readonly unknown[] | undefined): void {
  if (to === undefined) return;
  for (const [index, { direction }] of order.entries()) {
    const [a, b] = [from[index], to[index]];
    if (positionOf(a) === positionOf(b)) continue;
    const compared = compareStored(a, b);
    if (compared === undefined || (direction === 'asc' ? compared < 0 : compared > 0)) return;
    if (compared !== 0) break;
  }
  throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
}

/**
 * What any collation calls the same, one of these does too; of more than most do. n.b. each language has letters of its own that it
 * calls the same: I and Y in Lithuanian, ü and y in Danish, V and W in Swedish as it was, ä and ae in German telephone books.
 * https://www.mongodb.com/docs/manual/reference/collation-locales-defaults/
 */
const ALIKE = [
  'en',
  'af',
  'da',
  'de-u-co-phonebk',
  'fi',
  'fi-u-co-trad',
  'is',
  'lt',
  'mk',
  'nb',
  'se',
  'sv',
  'sv-u-co-trad',
  'tr',
].map((locale) => new Intl.Collator(locale, { sensitivity: 'base', ignorePunctuation: true, numeric: true }));

/** Whether the key of the row that follows may be, by a collation, that of the page's last row: `a` and `A`. */
function areAlike(columns: readonly Column[], { order, limit }: QueryPlan, documents: readonly Document[]): boolean {
  const key = columns.find(({ name }) => name === order.at(-1)?.column.name);
  if (key === undefined) return false;
  const last: unknown = documents[limit - 1]?.[key.as];
  const next: unknown = documents[limit]?.[key.as];
  if (typeof last !== 'string' || typeof next !== 'string' || last === next) return false;
  return ALIKE.some((collator) => collator.compare(last, next) === 0);
}

interface ReadPage {
  readonly plan: QueryPlan;
  readonly matches: readonly Stage[];
  readonly documents: readonly Document[];
}

/** Has the database itself find the row that follows after the page's last one. Throws BEDS_STORE_CURSOR_STUCK. */
async function checkNext(view: View, { plan, matches, documents }: ReadPage, execution: Execution): Promise<void> {
  const { order, limit } = plan;
  const { columns } = shapeOf(view);
  const keys = order.flatMap(({ column }) => columns.filter(({ name }) => name === column.name));
  const start = keys.map(({ as }) => positionOf(documents[limit - 1]?.[as]));
  const next = keys.slice(-1).map(({ field, as }): Stage => ({ [field.from]: documents[limit]?.[as] as unknown }));
  execution.meter.begin();
  const found = await readRows(view, { order, limit: 0, start }, matches.concat(next))(execution);
  if (found.length === 0) throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
}

/** A field that documents are sorted by. */
export interface OrderedField {
  readonly field: Field;
  readonly direction: 'asc' | 'desc';
}

const INT64 = 64;

/**
 * Where a page ends, for its cursor: the stored value, with its type. n.b. what is shown of it may compare as another,
 * such as a decimal number with the double that is nearest to it.
 */
function positionOf(value: unknown): Scalar {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return `s${value}`;
  if (typeof value === 'boolean') return value ? 'bt' : 'bf';
  if (typeof value === 'number') return `n${value}`;
  if (value instanceof Double) return `n${value.value}`;
  if (value instanceof Date) return `t${value.getTime()}`;
  if (value instanceof ObjectId) return `o${value.toHexString()}`;
  if (value instanceof Decimal128) return `d${value.toString()}`;
  if (value instanceof Binary) return `x${value.sub_type}:${value.toString('base64')}`;
  if (isLong(value)) return `l${value.toString()}`;
  throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
}

/** Which kinds of position a field may have. */
const KINDS: Readonly<Record<BsonType, string>> = {
  string: 's',
  objectId: 'o',
  binary: 'x',
  uuid: 'x',
  long: 'nld',
  double: 'nld',
  decimal128: 'nld',
  bool: 'b',
  date: 't',
  any: '',
};

/** The value of a position; only ever one value of a type that the field is declared to have. BEDS_STORE_CURSOR_INVALID. */
function storedValue(position: Scalar, { as }: Field): unknown {
  if (position === null) return null;
  const text = String(position);
  const kind = text.charAt(0);
  const value = KINDS[as].includes(kind) ? makers[kind]?.(text.slice(1)) : undefined;
  if (value === undefined) throw storeErrors.make('BEDS_STORE_CURSOR_INVALID', undefined, { field: 'query.cursor' });
  return value;
}

const makers: Readonly<Record<string, (text: string) => unknown>> = {
  s: (text) => text,
  b: (text) => (text === 't' ? true : text === 'f' ? false : undefined),
  n: (text) => (Number.isFinite(Number(text)) ? new Double(Number(text)) : undefined),
  t: (text) => (/^-?\d{1,15}$/.test(text) ? new Date(Number(text)) : undefined),
  o: (text) => (/^[0-9a-f]{24}$/.test(text) ? ObjectId.createFromHexString(text) : undefined),
  d: (text) => {
    // n.b. of more than 34 digits, zeros before them not counted, the driver makes no number.
    const [match, whole = '', fraction = ''] = /^-?(\d{1,40})(?:\.(\d{1,40}))?(?:E[+-]?\d{1,4})?$/.exec(text) ?? [];
    const isExact = match !== undefined && `${whole}${fraction}`.replace(/^0+/, '').length <= 34;
    return isExact ? Decimal128.fromString(text) : undefined;
  },
  l: (text) => {
    if (!/^-?\d{1,19}$/.test(text)) return undefined;
    const whole = BigInt(text);
    return BigInt.asIntN(INT64, whole) === whole ? Long.fromBigInt(whole) : undefined;
  },
  x: (text) => {
    const [, subtype, bytes] = /^(\d{1,3}):([A-Za-z0-9+/]*={0,2})$/.exec(text) ?? [];
    return bytes === undefined ? undefined : new Binary(Buffer.from(bytes, 'base64'), Number(subtype));
  },
};

/** The documents after `start`: equal in the first i fields and beyond it in the next one, for every i. */
function after(order: readonly OrderedField[], start: NonNullable<QueryPlan['start']>): Stage {
  const values = order.map(({ field }, index) => storedValue(start[index] ?? null, field));
  const groups = order.flatMap((entry, index) => {
    const same = order.slice(0, index).map(({ field }, at): Stage => ({ [field.from]: values[at] }));
    return beyond(entry, values[index]).map((condition) =>
      same.length === 0 ? condition : { $and: same.concat(condition) },
    );
  });
  return { $or: groups };
}

/**
 * n.b. `$gt` and `$lt` find values of the same type only, while documents are sorted by type first. Values of other types
 * do not belong there: they are found so that they can be complained of, instead of being left out.
 * https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
 */
function beyond({ field: { from, as }, direction }: OrderedField, value: unknown): readonly Stage[] {
  const at = TYPES.findIndex((codes) => codes === CODES_OF[as]);
  if (direction === 'asc') {
    if (value === null) return [{ [from]: { $ne: null } }];
    return [{ [from]: { $gt: value } }, { [from]: { $type: TYPES.slice(at + 1).flat() } }];
  }
  // n.b. an empty list sorts below null.
  const least: Stage[] = [{ [from]: { $type: MIN_KEY } }, { [from]: { $eq: [] } }];
  if (value === null) return least;
  const lower = TYPES.slice(0, at).flat();
  const below = lower.length === 0 ? { [from]: Number.NaN } : { [from]: { $type: lower } };
  return least.concat({ [from]: { $lt: value } }, { [from]: null }, below);
}

const MIN_KEY = -1;
const NUMBERS = [1, 16, 18, 19];
const STRINGS = [2];
const BINARIES = [5];
const OBJECT_IDS = [7];
const BOOLEANS = [8];
const DATES = [9];

/**
 * The types of a value in the order in which they are sorted, without null, lists, what lies below null, and what MongoDB
 * itself calls deprecated.
 */
const TYPES: readonly (readonly number[])[] = [
  NUMBERS,
  STRINGS,
  [3],
  BINARIES,
  OBJECT_IDS,
  BOOLEANS,
  DATES,
  [17, 11, 127],
];

const CODES_OF: Readonly<Record<BsonType, readonly number[]>> = {
  string: STRINGS,
  objectId: OBJECT_IDS,
  binary: BINARIES,
  uuid: BINARIES,
  long: NUMBERS,
  double: NUMBERS,
  decimal128: NUMBERS,
  bool: BOOLEANS,
  date: DATES,
  any: [],
};

/** A page is read with one row more, to learn whether others follow. */
const SPARE_ROWS = 1;

/** The part of an answer that matters: https://www.mongodb.com/docs/manual/reference/command/find/#output */
interface Answer {
  readonly cursor: { readonly id: unknown; readonly firstBatch: Document[] };
}

/**
 * All documents of a `find` or `aggregate` by the bare command, which takes the driver a third less time than a cursor.
 * Undefined where only a cursor will do: the answer needs more than one message, or was lost and is to be asked for
 * again, which the driver does for cursors only.
 */
async function firstBatch(
  command: Document,
  { db, deadline, meter }: Pick<Execution, 'db' | 'deadline' | 'meter'>,
): Promise<Document[] | undefined> {
  // n.b. `command` takes nothing over from the URL by itself.
  const { readConcern, readPreference } = db;
  if (readConcern !== undefined) command['readConcern'] = readConcern;
  command['maxTimeMS'] = serverMs(deadline);
  const signal = signalOf(deadline);
  const options = readPreference?.mode === 'primary' ? { signal } : { signal, readPreference };
  try {
    const { cursor } = (await db.command(command, options)) as Answer;
    if (cursor.id === 0) {
      meter.add(cursor.firstBatch, SPARE_ROWS);
      return cursor.firstBatch;
    }
    const id = typeof cursor.id === 'number' ? Long.fromNumber(cursor.id) : cursor.id;
    const kill = { killCursors: (command['find'] ?? command['aggregate']) as string, cursors: [id] };
    // n.b. it belongs to the server that answered.
    db.command(kill, readPreference === undefined ? {} : { readPreference }).catch(() => undefined);
    meter.add(cursor.firstBatch, SPARE_ROWS);
    meter.begin(true);
    return undefined;
  } catch (error) {
    if (isWorthRepeating(error)) return undefined;
    throw error;
  }
}

/** ReadConcernMajorityNotAvailableYet and ExceededTimeLimit, which the driver repeats a read after. */
const REPEATED_CODES: readonly unknown[] = [134, 262];

function isWorthRepeating(error: unknown): boolean {
  if (error instanceof MongoError && REPEATED_CODES.includes(error.code)) return true;
  if (!(error instanceof MongoError) || error instanceof MongoServerSelectionError) return false;
  return toStoreError(error, { write: false, many: false }).code === 'BEDS_STORE_UNAVAILABLE';
}

const UNAUTHORIZED = 13;
const NAMESPACE_NOT_FOUND = 26;

/** https://www.mongodb.com/docs/manual/reference/collation/#collation-and-index-use */
function localeOf(collation: unknown): string {
  return isDocument(collation) ? String(collation['locale']) : 'simple';
}

/**
 * Compares the columns with the indexes of the collection. n.b. a sort by a column and the key is served only by an index of both, or by
 * that of the key itself. Undefined: the account may not list indexes, or stages of the view make its documents.
 */
export async function findUnindexed(
  view: NamedObject,
  key: string,
  { db, deadline }: Pick<Execution, 'db' | 'deadline'>,
): Promise<Unindexed | undefined> {
  if (view.kind !== 'view' || shapeOf(view).own.length > 0) return undefined;
  const native = nativeOf(view);
  let indexes: readonly (readonly string[])[];
  const { collation } = shapeOf(view).options;
  try {
    const { cursor } = (await db.command({ listIndexes: native.on }, { signal: signalOf(deadline) })) as Answer;
    // n.b. the index of _id has the collation of the collection, which a query has that names none.
    const wanted = localeOf(collation ?? cursor.firstBatch.find(({ name }) => name === '_id_')?.['collation']);
    indexes = cursor.firstBatch
      .filter((index) => localeOf(index['collation']) === wanted)
      .map(({ key: fields }) => Object.keys(fields as object));
  } catch (error) {
    if (error instanceof MongoError && (error.code === UNAUTHORIZED || error.code === NAMESPACE_NOT_FOUND))
      return undefined;
    throw error;
  }
  const last = fieldOf(native, key).from;
  const columns = view.columns
    .filter(({ type }) => type !== 'json')
    .map(({ name }) => ({ name, from: fieldOf(native, name).from }));
  const lacks = (isServed: (from: string, index: readonly string[]) => boolean): readonly string[] =>
    columns.filter(({ from }) => !indexes.some((index) => isServed(from, index))).map(({ name }) => name);
  return {
    filters: lacks((from, [first]) => first === from),
    orders: lacks((from, [first, second]) => first === from && (from === last || second === last)),
  };
}
