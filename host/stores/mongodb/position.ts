import { Binary, Decimal128, Double, Long, ObjectId } from 'mongodb';
import type { Scalar } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { QueryPlan } from '../query-plan.js';
import type { Field } from './fields.js';
import type { BsonType } from './values.js';

type Stage = Record<string, unknown>;

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
export function positionOf(value: unknown): Scalar {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return `s${value}`;
  if (typeof value === 'boolean') return value ? 'bt' : 'bf';
  if (typeof value === 'number') return `n${value}`;
  if (value instanceof Double) return `n${value.value}`;
  if (value instanceof Date) return `t${value.getTime()}`;
  if (value instanceof ObjectId) return `o${value.toHexString()}`;
  if (value instanceof Decimal128) return `d${value.toString()}`;
  if (value instanceof Binary) return `x${value.sub_type}:${value.toString('base64')}`;
  if (Long.isLong(value)) return `l${value.toString()}`;
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
export function storedValue(position: Scalar, { as }: Field): unknown {
  if (position === null) return null;
  const text = String(position);
  const kind = text.charAt(0);
  const value = KINDS[as].includes(kind) ? makers[kind]?.(text.slice(1)) : undefined;
  if (value === undefined) throw storeErrors.make('BEDS_STORE_CURSOR_INVALID', undefined, { field: 'cursor' });
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
export function after(order: readonly OrderedField[], start: NonNullable<QueryPlan['start']>): Stage {
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
