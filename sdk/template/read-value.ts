import type { Json } from './json.js';
import type { ValueDescription } from './values.js';

/** A value in the one form that templates see and databases are given, or what is wrong with it (never the value itself). */
export type ReadValue = { readonly value: Json } | { readonly problem: string };

type Reader = (value: Json, description: ValueDescription) => ReadValue;

const DECIMAL = /^-?\d{1,65}(?:\.\d{1,65})?$/;
const WHOLE = /^-?(?:0|[1-9]\d{0,19})$/;
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;
// RFC 3339: an instant has an offset; without one it would mean another time on every machine.
const INSTANT =
  /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const MAX_JSON_DEPTH = 64;

const wrong = (problem: string): ReadValue => ({ problem });

function withinRange(value: number, description: ValueDescription): ReadValue | undefined {
  if (description.min !== undefined && value < description.min) return wrong(`must be at least ${description.min}`);
  if (description.max !== undefined && value > description.max) return wrong(`must be at most ${description.max}`);
  return undefined;
}

function readString(value: Json): ReadValue {
  if (typeof value !== 'string') return wrong('must be a string');
  return LONE_SURROGATE.test(value) ? wrong('must be well-formed Unicode') : { value };
}

function readInteger(value: Json, description: ValueDescription): ReadValue {
  if (typeof value === 'string') {
    if (!WHOLE.test(value)) return wrong('must be a whole number');
    const short = Number(value);
    return withinRange(short, description) ?? { value: Number.isSafeInteger(short) ? short : BigInt(value).toString() };
  }
  if (!Number.isSafeInteger(value)) return wrong('must be a whole number; beyond 2^53 a decimal string');
  return withinRange(value as number, description) ?? { value };
}

function readNumber(value: Json, description: ValueDescription): ReadValue {
  if (typeof value !== 'number' || !Number.isFinite(value)) return wrong('must be a finite number');
  return withinRange(value, description) ?? { value };
}

function readDecimal(value: Json, description: ValueDescription): ReadValue {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !DECIMAL.test(text)) return wrong('must be a decimal number, as a string');
  return withinRange(Number(text), description) ?? { value: text };
}

function readDate(value: Json): ReadValue {
  const match = typeof value === 'string' ? DAY.exec(value) : null;
  if (match === null) return wrong('must be a day, YYYY-MM-DD');
  const day = new Date(`${match[0]}T00:00:00Z`);
  // Date accepts 30 February as 1 March: comparing the text tells.
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(match[0])
    ? { value: match[0] }
    : wrong('must be a day that exists');
}

function readDatetime(value: Json): ReadValue {
  if (typeof value !== 'string' || !INSTANT.test(value)) return wrong('must be an instant, YYYY-MM-DDThh:mm:ssZ');
  const instant = new Date(value);
  if (Number.isNaN(instant.getTime()) || 'problem' in readDate(value.slice(0, 10))) {
    return wrong('must be an instant that exists');
  }
  const seconds = instant.toISOString().slice(0, 19);
  if (!/^\d{4}-/.test(seconds)) return wrong('must lie in the years 0000 to 9999');
  // Databases keep more digits than Date: a cursor that lost them would skip or repeat rows.
  const fraction = (/\.(\d+)/.exec(value)?.[1] ?? '').replace(/0+$/, '').padEnd(3, '0');
  return { value: `${seconds}.${fraction}Z` };
}

function isJson(value: unknown, depth: number): value is Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isJson(item, depth - 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.values(value).every((item) => isJson(item, depth - 1));
}

const readers: Readonly<Record<ValueDescription['type'], Reader>> = {
  string: readString,
  integer: readInteger,
  number: readNumber,
  decimal: readDecimal,
  boolean: (value) => (typeof value === 'boolean' ? { value } : wrong('must be true or false')),
  date: readDate,
  datetime: readDatetime,
  json: (value) => (isJson(value, MAX_JSON_DEPTH) ? { value } : wrong('must be JSON')),
};

/**
 * Checks one value that is not null against its description. Integers come back as numbers, beyond 2^53 as decimal
 * strings; decimals as decimal strings; instants in UTC with milliseconds or, where given, more digits.
 */
export function readValue(value: Json, description: ValueDescription): ReadValue {
  const { maxLength } = description;
  // Databases count code points, JavaScript UTF-16 units: count only where the difference could matter.
  if (maxLength !== undefined && typeof value === 'string' && value.length > maxLength) {
    if (Array.from(value).length > maxLength) return wrong(`must have at most ${maxLength} characters`);
  }
  return readers[description.type](value, description);
}
