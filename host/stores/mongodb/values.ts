import type { Json, JsonObject } from '@beds/sdk';
import { isBase64, readValue, SCALAR_TYPES } from '#sdk/template';
import { Binary, BSON, Decimal128, Double, Long, ObjectId, Timestamp, UUID } from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import type { NamedValue } from '../contract.js';
import { isDocument } from './body.js';

/** The types of BEDS that a catalogue may use: what has parts is JSON to it. */
type ValueType = (typeof SCALAR_TYPES)[number];

/** How a value is stored: the BEDS type, and the BSON type where the DBA chose another than the usual one. */
export interface StoredType {
  readonly type: ValueType;
  readonly as: BsonType;
}

export type BsonType =
  'string' | 'objectId' | 'binary' | 'uuid' | 'long' | 'double' | 'decimal128' | 'bool' | 'date' | 'any';

/** The BSON types each BEDS type may be stored as; the first is the usual one. */
const BSON_TYPES: Readonly<Record<ValueType, readonly [BsonType, ...BsonType[]]>> = {
  string: ['string', 'objectId', 'binary', 'uuid'],
  integer: ['long'],
  bigint: ['long'],
  number: ['double'],
  decimal: ['decimal128', 'double'],
  boolean: ['bool'],
  date: ['date', 'string'],
  datetime: ['date', 'string'],
  binary: ['binary', 'uuid'],
  json: ['any'],
};

const HEX_24 = /^[0-9a-f]{24}$/i;
const UUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UUID_BYTES = 16;
const INT64_MAX = 2n ** 63n;
const INT32_MAX = 2 ** 31;

/** n.b. the driver's own test takes a timestamp for one, and a document that says it is. */
export function isLong(value: unknown): value is Long {
  return value instanceof Long && !(value instanceof Timestamp);
}

/** A checked value as BSON. Throws BEDS_STORE_INVALID_VALUE with `field` where it cannot be stored so. */
export function toBson(value: Json, { type, as }: StoredType, field: string): unknown {
  if (value === null) return null;
  switch (type) {
    case 'integer':
    case 'bigint':
      return wholeNumber(value, field);
    case 'number':
      return new Double(value as number);
    case 'decimal':
      return as === 'double' ? nearest(value as string, field) : decimal(value as string, field);
    case 'date':
    case 'datetime':
      return as === 'string' ? value : instant(value as string, field);
    case 'json':
      return plainCopy(value, field);
    case 'binary':
      return bytes(value as string, as, field);
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
    if (!isBase64(value)) throw refuse(field, 'must be base64');
    return new Binary(Buffer.from(value, 'base64'));
  }
  return value;
}

function bytes(value: string, as: BsonType, field: string): Binary {
  const buffer = Buffer.from(value, 'base64');
  if (as === 'binary') return new Binary(buffer);
  if (buffer.length !== UUID_BYTES) throw refuse(field, 'must have 16 bytes, as a UUID has');
  return new Binary(buffer, Binary.SUBTYPE_UUID);
}

function wholeNumber(value: Json, field: string): unknown {
  const whole = BigInt(value as number | string);
  if (whole >= INT64_MAX || whole < -INT64_MAX) throw refuse(field, 'must fit in 64 bits');
  // n.b. the driver writes whole JavaScript numbers beyond 32 bits as doubles.
  return whole >= -INT32_MAX && whole < INT32_MAX ? Number(whole) : Long.fromBigInt(whole);
}

/** n.b. MongoDB would store, and find, the milliseconds only. */
function instant(value: string, field: string): Date {
  if (value.length > MILLISECONDS.length) throw refuse(field, 'must have no more than milliseconds');
  return new Date(value);
}

const MILLISECONDS = 'YYYY-MM-DDThh:mm:ss.sssZ';

/** A decimal number as the double that is written so: another one would be given back, and another record found. */
function nearest(value: string, field: string): Double {
  const double = Number(value);
  const isSame = Number.isFinite(double) && compareExact(exactText(value), exactText(String(double))) === 0;
  if (!isSame) throw refuse(field, 'must have no more digits than a double holds');
  return new Double(double);
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
 * bytes as base64, and what only MongoDB has as its Extended JSON. What JSON cannot carry is complained of, and never changed.
 */
function toPlain(value: unknown, complain: Complain): Json {
  if (value === null) return null;
  switch (typeof value) {
    case 'undefined':
      throw complain(UNDEFINED);
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
  if (value instanceof Binary && (value.sub_type === Binary.SUBTYPE_DEFAULT || isUuid(value))) return plainBytes(value);
  if (isLong(value)) return shortest(value.toBigInt());
  // n.b. of a stored document it is a member like others.
  if (('_bsontype' in value && !Object.hasOwn(value, '_bsontype')) || value instanceof RegExp)
    return BSON.EJSON.serialize({ value }, { relaxed: true })['value'] as Json;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item, complain)]));
}

function plainInstant(value: Date, complain: Complain): string {
  const year = value.getUTCFullYear();
  if (!(year >= 0 && year <= 9_999)) throw complain('an instant that lies outside of the years 0000 to 9999');
  return value.toISOString();
}

function plainBytes(value: Binary): string {
  return isUuid(value) ? value.toUUID().toHexString(true) : base64Of(value);
}

function base64Of(value: Binary): string {
  return Buffer.from(value.value()).toString('base64');
}

function isUuid(value: Binary): boolean {
  return value.sub_type === Binary.SUBTYPE_UUID && value.position === UUID_BYTES;
}

function shortest(value: bigint): number | string {
  const short = Number(value);
  return Number.isSafeInteger(short) ? short : value.toString();
}

function plainDecimal(value: Decimal128 | number, complain: Complain): string {
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

const MS_PER_DAY = 86_400_000;

/**
 * A stored value as its column says. Throws BEDS_STORE_VALUE_UNFIT with the column as `field` where it is something
 * else: a caller who compares with what is shown, or pages by it, would miss it.
 */
export function toColumn(value: unknown, stored: StoredType, column: string): Json {
  if (value === undefined || value === null) return null;
  const complain = complaintOf(column, stored);
  if (value === STORED_UNDEFINED) throw complain(UNDEFINED);
  return readers[stored.as](value instanceof Double ? value.value : value, { stored, complain });
}

/** The deprecated BSON type of that name: it is not null, and sorted below it. */
const UNDEFINED = 'a BSON undefined';
const STORED_UNDEFINED: unique symbol = Symbol(UNDEFINED);

/** The value of a field: undefined is one that is not there, while a stored undefined is told apart. */
export function fieldIn(document: Readonly<Record<string, unknown>>, name: string): unknown {
  // n.b. every object has a `constructor`, stored or not.
  if (!Object.hasOwn(document, name)) return undefined;
  const value = document[name];
  return value === undefined ? STORED_UNDEFINED : value;
}

/** A stored value of which nothing is declared. */
function toUndeclared(value: unknown, column: string): Json {
  return toPlain(value, (what) => unreadable(column, `${column} holds ${what}.`));
}

interface Reading {
  readonly stored: StoredType;
  readonly complain: Complain;
}

type Reader = (value: unknown, reading: Reading) => Json;

function wholeOf(value: bigint, { stored, complain }: Reading): Json {
  if (stored.type === 'bigint') return value.toString();
  const short = shortest(value);
  if (typeof short === 'string') throw complain('a whole number beyond ±(2^53-1), which is for bigint');
  return short;
}

const readers: Readonly<Record<BsonType, Reader>> = {
  string: (value, { stored, complain }) => {
    if (typeof value !== 'string') throw complain(nameOf(value));
    return stored.type === 'string' ? value : written(value, { stored, complain });
  },
  objectId: (value, { complain }) => {
    if (!(value instanceof ObjectId)) throw complain(nameOf(value));
    return value.toHexString();
  },
  binary: (value, { stored, complain }) => {
    if (!(value instanceof Binary)) throw complain(nameOf(value));
    if (stored.type === 'binary') {
      // n.b. bytes of another subtype would not be found by what is shown.
      if (value.sub_type !== Binary.SUBTYPE_DEFAULT) throw complain(nameOf(value));
      return base64Of(value);
    }
    if (value.sub_type !== Binary.SUBTYPE_DEFAULT && !isUuid(value)) throw complain(nameOf(value));
    return plainBytes(value);
  },
  uuid: (value, { stored, complain }) => {
    if (!(value instanceof Binary) || !isUuid(value)) throw complain(nameOf(value));
    return stored.type === 'binary' ? base64Of(value) : plainBytes(value);
  },
  long: (value, { stored, complain }) => {
    if (isLong(value)) return wholeOf(value.toBigInt(), { stored, complain });
    // n.b. some drivers store whole numbers as doubles, and a double beyond 2^53 is a whole number too.
    if (!Number.isInteger(value)) throw complain(nameOf(value));
    return wholeOf(BigInt(value as number), { stored, complain });
  },
  double: (value, { stored, complain }) => {
    const short = isLong(value) ? shortest(value.toBigInt()) : value;
    if (stored.type === 'decimal' && typeof short === 'string') return short;
    if (typeof short !== 'number') throw complain(nameOf(value));
    return stored.type === 'decimal' ? plainDecimal(short, complain) : toPlain(short, complain);
  },
  decimal128: (value, { complain }) => {
    if (value instanceof Decimal128) return plainDecimal(value, complain);
    if (isLong(value)) return value.toBigInt().toString();
    // n.b. no decimal number equals the double that is nearest to it: it would not find itself.
    if (!Number.isInteger(value)) throw complain(nameOf(value));
    return BigInt(value as number).toString();
  },
  bool: (value, { complain }) => {
    if (typeof value !== 'boolean') throw complain(nameOf(value));
    return value;
  },
  date: (value, { stored, complain }) => {
    if (!(value instanceof Date)) throw complain(nameOf(value));
    const instant = plainInstant(value, complain);
    if (stored.type === 'datetime') return instant;
    if (value.getTime() % MS_PER_DAY !== 0) throw complain('an instant that is not midnight UTC');
    return instant.slice(0, 10);
  },
  any: (value, { complain }) => toPlain(value, complain),
};

/** A day or an instant that is stored as text: in the one form that is compared with. */
function written(value: string, { stored, complain }: Reading): string {
  const read = readValue(value, { type: stored.type });
  if ('problem' in read || read.value !== value) {
    throw complain(`text that is not written as a ${stored.type} is given to callers`);
  }
  return value;
}

function complaintOf(column: string, { type, as }: StoredType): Complain {
  return (what) => unreadable(column, `${column} holds ${what}; it is declared ${type}, stored as ${as}.`);
}

function unreadable(field: string, message: string): Error {
  return storeErrors.make('BEDS_STORE_VALUE_UNFIT', message, { field });
}

/** What a value is, without the value. */
function nameOf(value: unknown): string {
  if (typeof value === 'number') return numberName(value);
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'boolean') return 'a bool';
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Date) return 'a date';
  if (value instanceof RegExp) return 'a BSON regular expression';
  if (value instanceof Binary) return isUuid(value) ? 'a UUID' : `a binary of subtype ${value.sub_type}`;
  const name = (value as { readonly _bsontype?: unknown })._bsontype;
  return typeof name === 'string' ? `a BSON ${name}` : 'a document';
}

function numberName(value: number): string {
  if (!Number.isFinite(value)) return `${String(value)}, which JSON cannot carry`;
  return Number.isInteger(value) ? 'a whole number' : 'a double';
}

/**
 * Negative where `a` sorts before `b`, stored values of one column; undefined where only the database can tell, such as of
 * text, which may have a collation. Null sorts before every value.
 */
export function compareStored(a: unknown, b: unknown): number | undefined {
  const isNull = a === undefined || a === null;
  const isOtherNull = b === undefined || b === null;
  if (isNull || isOtherNull) return Number(isOtherNull) - Number(isNull);
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime();
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  return undefined;
}

type StoredNumber = number | Double | Long | Decimal128;

function isNumber(value: unknown): value is StoredNumber {
  return typeof value === 'number' || value instanceof Double || value instanceof Decimal128 || isLong(value);
}

function compareNumbers(a: StoredNumber, b: StoredNumber): number | undefined {
  const difference = Number(a.toString()) - Number(b.toString());
  // n.b. two numbers that are the same double, or both beyond it, may be different.
  return difference < 0 || difference > 0 ? difference : compareExact(exactly(a), exactly(b));
}

/** `digits` times 10 to the power of `exponent`. */
interface Exact {
  readonly digits: bigint;
  readonly exponent: number;
}

function compareExact(a: Exact, b: Exact): number {
  const least = Math.min(a.exponent, b.exponent);
  const scaled = ({ digits, exponent }: Exact): bigint => digits * 10n ** BigInt(exponent - least);
  const difference = scaled(a) - scaled(b);
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

function exactly(value: StoredNumber): Exact {
  if (typeof value === 'number' || value instanceof Double) return exactDouble(Number(value));
  return exactText(value.toString());
}

function exactText(text: string): Exact {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/i.exec(text) ?? [];
  return { digits: BigInt(`${sign}${whole}${fraction}`), exponent: Number(exponent) - fraction.length };
}

/** A finite double is a whole number divided by a power of 2, which is one of 5 divided by one of 10. */
function exactDouble(value: number): Exact {
  let whole = value;
  let halvings = 0;
  for (; !Number.isInteger(whole); halvings += 1) whole *= 2;
  return { digits: BigInt(whole) * 5n ** BigInt(halvings), exponent: -halvings };
}

/** Where a column comes from in a stored document. Plain data: it travels to other threads. */
export interface Field {
  readonly [key: string]: Json;
  readonly from: string;
  readonly type: ValueType;
  readonly as: BsonType;
}

export interface ParsedValue {
  readonly value: NamedValue;
  readonly field: Field;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** n.b. a name may hold any characters but these; one of digits only, below the first, would be the place in a list to some of MongoDB. */
const PATH = /^(?=.{1,255}$)(?!\d+(?:\.|$))[^$.\0][^.\0]*(?:\.[^$.\0][^.\0]*)*$/su;
const KEYS = {
  args: ['type', 'as', 'optional', 'default', 'maxLength', 'min', 'max'],
  columns: ['type', 'as', 'from', 'maxLength'],
  returns: ['type', 'as', 'from'],
} as const;

type Place = keyof typeof KEYS;

/** Reads `args`, `columns` or `returns` of an entry; what is wrong goes to `problems`. */
export function parseValues(node: unknown, at: Place, problems: string[]): readonly ParsedValue[] {
  if (node === undefined) return [];
  if (!isDocument(node)) {
    problems.push(`${at}: must be a document of names and types`);
    return [];
  }
  return Object.entries(node).flatMap(([name, spec]) => {
    const parsed = parseValue(name, spec, at);
    if (typeof parsed !== 'string') return [parsed];
    problems.push(`${at}.${NAME.test(name) ? name : '?'}: ${parsed}`);
    return [];
  });
}

function parseValue(name: string, spec: unknown, at: Place): ParsedValue | string {
  if (!NAME.test(name) || name === '__proto__') return 'is not a name of letters, digits and _';
  const long = typeof spec === 'string' ? longForm(spec) : spec;
  if (!isDocument(long)) return 'must be a type or a document with a type';
  const keys: readonly string[] = at === 'args' && typeof spec !== 'string' ? KEYS.args : [...KEYS[at], 'optional'];
  if (Object.keys(long).some((key) => !keys.includes(key))) return `knows only ${KEYS[at].join(', ')}`;
  const type = SCALAR_TYPES.find((known) => known === long['type']);
  if (type === undefined) return `the type must be one of ${SCALAR_TYPES.join(', ')}`;
  const as = BSON_TYPES[type].find((known) => known === (long['as'] ?? BSON_TYPES[type][0]));
  if (as === undefined) return `a ${type} can be stored as ${BSON_TYPES[type].join(', ')}`;
  const from = long['from'] ?? name;
  if (typeof from !== 'string' || !PATH.test(from)) return 'from must be the path of a field';
  const limits = ['maxLength', 'min', 'max'].filter((key) => long[key] !== undefined);
  if (limits.some((key) => !Number.isFinite(long[key]))) return 'maxLength, min and max must be numbers';
  if (long['default'] !== undefined && plainDefault(long['default']) === undefined) return 'the default does not fit';
  // A document need not have a field, except for the one that identifies it.
  const value = namedValue(name, { ...long, type, as }, at === 'args' ? long['optional'] === true : from !== '_id');
  if (value.default !== undefined && 'problem' in readValue(value.default, value)) return 'the default does not fit';
  return { value, field: { from, type, as } };
}

function longForm(spec: string): Readonly<Record<string, unknown>> {
  return spec.endsWith('?') ? { type: spec.slice(0, -1), optional: true } : { type: spec };
}

function namedValue(name: string, long: StoredType & Readonly<Record<string, unknown>>, nullable: boolean): NamedValue {
  const number = (key: string): Record<string, number> => (long[key] === undefined ? {} : { [key]: Number(long[key]) });
  return {
    name,
    type: long.type,
    nativeType: long.as,
    optional: long['optional'] === true,
    nullable,
    ...(long['default'] === undefined ? {} : { default: plainDefault(long['default']) ?? null }),
    ...number('maxLength'),
    ...number('min'),
    ...number('max'),
  };
}

/** Undefined where JSON cannot carry it. */
function plainDefault(value: unknown): Json | undefined {
  try {
    return toUndeclared(value, 'default');
  } catch {
    return undefined;
  }
}

/** Whether a value is a document. n.b. one may have a member `_bsontype`, by which the driver knows its own types. */
function isStored(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** The value at a path, as the aggregation path `$a.b` finds it: through lists too. */
function valueAt(document: unknown, path: readonly string[]): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return document;
  if (Array.isArray(document)) return document.map((item) => valueAt(item, path)).filter((item) => item !== undefined);
  return isStored(document) && Object.hasOwn(document, first) ? valueAt(fieldIn(document, first), rest) : undefined;
}

/** A document as the entry's `returns` names it; without `returns` all of it but `_id`. */
export function toRow(document: object, returns: Readonly<Record<string, Field>> | undefined): Record<string, Json> {
  if (returns === undefined) {
    return Object.fromEntries(
      Object.entries(document)
        .filter(([key]) => key !== '_id')
        .map(([key, value]) => [key, toUndeclared(value, key)]),
    );
  }
  return Object.fromEntries(
    Object.entries(returns).map(([name, field]) => [
      name,
      toColumn(valueAt(document, field.from.split('.')), field, name),
    ]),
  );
}
