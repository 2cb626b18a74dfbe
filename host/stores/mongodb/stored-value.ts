import { Binary, Decimal128, Double, Long, ObjectId } from 'mongodb';
import type { Json } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import { readValue } from '../read-value.js';
import type { BsonType, Complain, StoredType } from './values.js';
import { isUuid, plainBytes, plainDecimal, plainInstant, shortest, toPlain } from './values.js';

const MS_PER_DAY = 86_400_000;

/**
 * A stored value as its column says. Throws BEDS_STORE_VALUE_UNFIT with the column as `field` where it is something
 * else: a caller who compares with what is shown, or pages by it, would miss it.
 */
export function toColumn(value: unknown, stored: StoredType, column: string): Json {
  if (value === undefined || value === null) return null;
  const complain = complaintOf(column, stored);
  return readers[stored.as](value instanceof Double ? value.value : value, { stored, complain });
}

/** A stored value of which nothing is declared. */
export function toUndeclared(value: unknown, column: string): Json {
  return toPlain(value, (what) => unreadable(column, `${column} holds ${what}.`));
}

interface Reading {
  readonly stored: StoredType;
  readonly complain: Complain;
}

type Reader = (value: unknown, reading: Reading) => Json;

const readers: Readonly<Record<BsonType, Reader>> = {
  string: (value, { stored, complain }) => {
    if (typeof value !== 'string') throw complain(nameOf(value));
    return stored.type === 'string' ? value : written(value, { stored, complain });
  },
  objectId: (value, { complain }) => {
    if (!(value instanceof ObjectId)) throw complain(nameOf(value));
    return value.toHexString();
  },
  binary: (value, { complain }) => {
    if (!(value instanceof Binary)) throw complain(nameOf(value));
    if (value.sub_type !== Binary.SUBTYPE_DEFAULT && !isUuid(value)) throw complain(nameOf(value));
    return plainBytes(value);
  },
  uuid: (value, { complain }) => {
    if (!(value instanceof Binary) || !isUuid(value)) throw complain(nameOf(value));
    return plainBytes(value);
  },
  long: (value, { complain }) => {
    if (Long.isLong(value)) return shortest(value.toBigInt());
    // n.b. some drivers store whole numbers as doubles, and a double beyond 2^53 is a whole number too.
    if (!Number.isInteger(value)) throw complain(nameOf(value));
    return shortest(BigInt(value as number));
  },
  double: (value, { stored, complain }) => {
    const short = Long.isLong(value) ? shortest(value.toBigInt()) : value;
    if (stored.type === 'decimal' && typeof short === 'string') return short;
    if (typeof short !== 'number') throw complain(nameOf(value));
    return stored.type === 'decimal' ? plainDecimal(short, complain) : toPlain(short, complain);
  },
  decimal128: (value, { complain }) => {
    if (value instanceof Decimal128) return plainDecimal(value, complain);
    if (Long.isLong(value)) return value.toBigInt().toString();
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
  if (value instanceof Binary) return isUuid(value) ? 'a UUID' : `a binary of subtype ${value.sub_type}`;
  const name = (value as { readonly _bsontype?: unknown })._bsontype;
  return typeof name === 'string' ? `a BSON ${name}` : 'a document';
}

function numberName(value: number): string {
  if (!Number.isFinite(value)) return `${String(value)}, which JSON cannot carry`;
  return Number.isInteger(value) ? 'a whole number' : 'a double';
}
