import { Binary, BSON, Decimal128, Double, Long, ObjectId, UUID } from 'mongodb';
import type { Json, JsonObject, ValueType } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';

/** How a value is stored: the BEDS type, and the BSON type where the DBA chose another than the usual one. */
export interface StoredType {
  readonly type: ValueType;
  readonly as: BsonType;
}

export type BsonType =
  'string' | 'objectId' | 'binary' | 'uuid' | 'long' | 'double' | 'decimal128' | 'bool' | 'date' | 'any';

/** The BSON types each BEDS type may be stored as; the first is the usual one. */
export const BSON_TYPES: Readonly<Record<ValueType, readonly [BsonType, ...BsonType[]]>> = {
  string: ['string', 'objectId', 'binary', 'uuid'],
  integer: ['long'],
  number: ['double'],
  decimal: ['decimal128', 'double'],
  boolean: ['bool'],
  date: ['date', 'string'],
  datetime: ['date', 'string'],
  json: ['any'],
};

const HEX_24 = /^[0-9a-f]{24}$/i;
const UUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const UUID_BYTES = 16;
const INT64_MAX = 2n ** 63n;
const INT32_MAX = 2 ** 31;

/** A checked value as BSON. Throws BEDS_STORE_INVALID_VALUE with `field` where it cannot be stored so. */
export function toBson(value: Json, { type, as }: StoredType, field: string): unknown {
  if (value === null) return null;
  switch (type) {
    case 'integer':
      return wholeNumber(value, field);
    case 'number':
      return new Double(value as number);
    case 'decimal':
      return as === 'double' ? new Double(Number(value)) : decimal(value as string, field);
    case 'date':
    case 'datetime':
      return as === 'string' ? value : new Date(value as string);
    case 'json':
      return plainCopy(value, field);
    case 'boolean':
      return value;
    case 'string':
      return text(value as string, as, field);
  }
}

function text(value: string, as: BsonType, field: string): unknown {
  if (as === 'objectId') {
    if (!HEX_24.test(value)) throw refuse(field, 'must be 24 hexadecimal digits');
    return ObjectId.createFromHexString(value);
  }
  if (as === 'uuid' && !UUID_TEXT.test(value)) throw refuse(field, 'must be a UUID');
  if (as === 'binary' || as === 'uuid') {
    // n.b. no base64 has a hyphen: a UUID is given back as the text that it is shown as.
    if (UUID_TEXT.test(value)) return new UUID(value).toBinary();
    if (!BASE64.test(value) || value.length % 4 !== 0) throw refuse(field, 'must be base64');
    return new Binary(Buffer.from(value, 'base64'));
  }
  return value;
}

function wholeNumber(value: Json, field: string): unknown {
  const whole = BigInt(value as number | string);
  if (whole >= INT64_MAX || whole < -INT64_MAX) throw refuse(field, 'must fit in 64 bits');
  // n.b. the driver writes whole JavaScript numbers beyond 32 bits as doubles.
  return whole >= -INT32_MAX && whole < INT32_MAX ? Number(whole) : Long.fromBigInt(whole);
}

function decimal(value: string, field: string): Decimal128 {
  try {
    return Decimal128.fromString(value);
  } catch {
    throw refuse(field, 'must have at most 34 digits');
  }
}

/** JSON without a key that MongoDB or its driver would read as more than a name. */
function plainCopy(value: Json, field: string): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => plainCopy(item, field));
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, item]) => {
      if (!isPlainKey(key)) throw refuse(field, 'holds a key that begins with $, holds a dot or NUL, or is reserved');
      return [key, plainCopy(item, field)];
    }),
  );
}

/** n.b. the driver takes any object with `_bsontype` for one of its own types. */
function isPlainKey(key: string): boolean {
  return !/^\$|[.\0]/.test(key) && key !== '_bsontype' && key !== '__proto__';
}

function refuse(field: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_INVALID_VALUE', `A value ${problem}.`, { field });
}

/** Says what a stored value is that cannot be given as it is. */
export type Complain = (what: string) => Error;

/**
 * Any BSON value as plain JSON; identifiers as hex, UUIDs as such, instants as ISO 8601, exact numbers as decimal strings,
 * bytes as base64. What JSON cannot carry is complained of, and never changed.
 */
export function toPlain(value: unknown, complain: Complain): Json {
  if (value === undefined || value === null) return null;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw complain(`${String(value)}, which JSON cannot carry`);
      return value;
    case 'bigint':
      return shortest(value);
    case 'object':
      return plainObject(value, complain);
    default:
      throw complain(`a ${typeof value}`);
  }
}

function plainObject(value: object, complain: Complain): Json {
  if (Array.isArray(value)) return value.map((item) => toPlain(item, complain));
  if (value instanceof Date) return plainInstant(value, complain);
  if (value instanceof ObjectId) return value.toHexString();
  if (value instanceof Decimal128) return plainDecimal(value, complain);
  if (value instanceof Double) return toPlain(value.value, complain);
  if (value instanceof Binary) return plainBytes(value);
  if (Long.isLong(value)) return shortest(value.toBigInt());
  if (value instanceof RegExp) return value.source;
  if ('_bsontype' in value) return BSON.EJSON.serialize({ value }, { relaxed: true })['value'] as Json;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item, complain)]));
}

export function plainInstant(value: Date, complain: Complain): string {
  const year = value.getUTCFullYear();
  if (!(year >= 0 && year <= 9_999)) throw complain('an instant that lies outside of the years 0000 to 9999');
  return value.toISOString();
}

export function plainBytes(value: Binary): string {
  return isUuid(value) ? value.toUUID().toHexString(true) : Buffer.from(value.value()).toString('base64');
}

export function isUuid(value: Binary): boolean {
  return value.sub_type === Binary.SUBTYPE_UUID && value.position === UUID_BYTES;
}

export function shortest(value: bigint): number | string {
  const short = Number(value);
  return Number.isSafeInteger(short) ? short : value.toString();
}

export function plainDecimal(value: Decimal128 | number, complain: Complain): string {
  const text = String(value).toUpperCase();
  const written = writtenOut(text);
  if (written === undefined) throw complain(`${String(value)}, which JSON cannot carry`);
  return written;
}

/** Writes out what a number shortens with an exponent: `1.2E+3` is `1200`. Undefined for what is no finite number. */
function writtenOut(text: string): string | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const point = whole.length + Number(exponent);
  const digits = `${'0'.repeat(Math.max(0, 1 - point))}${whole}${fraction}`;
  const at = Math.max(point, 1);
  const padded = digits.padEnd(at, '0');
  const rest = padded.slice(at);
  return `${sign}${padded.slice(0, at)}${rest === '' ? '' : `.${rest}`}`;
}
