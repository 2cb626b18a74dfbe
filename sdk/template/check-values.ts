import type { Json, JsonObject } from './json.js';
import { isPlainName } from './unknown-names.js';
import type { ValueDescription, ValueType } from './values.js';

/** What is wrong with the first wrong value: `field` is its name, `message` reads on from it (`must be a string`). */
export interface ValueProblem {
  readonly field: string;
  readonly message: string;
}

/** `value` is the given object itself where no default had to be filled in. */
export type CheckedValues =
  { readonly ok: true; readonly value: JsonObject } | { readonly ok: false; readonly problem: ValueProblem };

/** Checks named values; pure, and never repeats a value in a message. */
export type ValuesChecker = (values: JsonObject) => CheckedValues;

/** Unknown names that are written out in one message. */
const MOST_NAMES = 8;

const WHOLE_NUMBER = /^-?(?:0|[1-9]\d{0,38})$/;
const DECIMAL = /^-?\d{1,65}(?:\.\d{1,30})?$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z$/;

/** `Date` rolls the 31st of June over into July, so the parts are compared with what came out. */
function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

const TYPE_CHECKS: Readonly<Record<ValueType, { readonly test: (value: Json) => boolean; readonly message: string }>> =
  {
    string: { test: (value) => typeof value === 'string', message: 'must be a string' },
    integer: {
      test: (value) => (typeof value === 'string' ? WHOLE_NUMBER.test(value) : Number.isSafeInteger(value)),
      message: 'must be a whole number (beyond 2^53 as a decimal string)',
    },
    number: { test: (value) => typeof value === 'number' && Number.isFinite(value), message: 'must be a number' },
    decimal: {
      test: (value) => typeof value === 'string' && DECIMAL.test(value),
      message: 'must be a decimal string such as "12.50"',
    },
    boolean: { test: (value) => typeof value === 'boolean', message: 'must be true or false' },
    date: {
      test: (value) => typeof value === 'string' && DAY.test(value) && isDay(value),
      message: 'must be a day such as "2026-01-31"',
    },
    datetime: {
      test: (value) => typeof value === 'string' && INSTANT.test(value) && isDay(value.slice(0, 10)),
      message: 'must be an instant in UTC such as "2026-01-31T23:59:59Z"',
    },
    json: { test: () => true, message: 'must be JSON' },
  };

/** UTF-16 units are at least as many as characters, so counting those comes first: it costs nothing. */
function isLongerThan(text: string, maxLength: number): boolean {
  return text.length > maxLength && Array.from(text).length > maxLength;
}

/** Why one value that is present does not fit; undefined where it does. */
export function checkValue(description: ValueDescription, value: Json): string | undefined {
  const check = TYPE_CHECKS[description.type];
  if (!check.test(value)) return check.message;
  const { maxLength, min, max } = description;
  if (maxLength !== undefined && typeof value === 'string' && isLongerThan(value, maxLength)) {
    return `must have at most ${maxLength} characters`;
  }
  if (min !== undefined && Number(value) < min) return `must be at least ${min}`;
  if (max !== undefined && Number(value) > max) return `must be at most ${max}`;
  return undefined;
}

function refuse(field: string, message: string): Extract<CheckedValues, { ok: false }> {
  return { ok: false, problem: { field, message } };
}

/** Undefined where every name is known. Of a name that is no identifier only that is said. */
function unknownName(
  values: JsonObject,
  spec: Readonly<Record<string, ValueDescription>>,
): Extract<CheckedValues, { ok: false }> | undefined {
  const unknown = Object.keys(values).filter((name) => !Object.hasOwn(spec, name));
  if (unknown.length === 0) return undefined;
  const known = Object.keys(spec);
  const plain = unknown.filter(isPlainName);
  const [field = '?', ...others] = plain.slice(0, MOST_NAMES);
  const beside = others.length === 0 ? '' : `, as are ${others.join(', ')}`;
  const is = plain.length === 0 ? 'is a name that is no identifier' : `is unknown${beside}`;
  const meant = known.filter((name) => unknown.some((given) => given.toLowerCase() === name.toLowerCase()));
  const hint = meant.length === 0 ? '' : `; did you mean ${meant.join(', ')}`;
  return refuse(
    field,
    known.length === 0 ? `${is}: no values are accepted` : `${is}${hint}; known are ${known.join(', ')}`,
  );
}

/** Prepares a checker once, for use on every request. */
export function compileChecker(spec: Readonly<Record<string, ValueDescription>>): ValuesChecker {
  const fields = Object.entries(spec);
  return (values) => {
    let value = values;
    let present = 0;
    for (const [name, description] of fields) {
      const isPresent = Object.hasOwn(values, name);
      if (isPresent) present += 1;
      const given = isPresent ? values[name] : undefined;
      if (given !== undefined && given !== null) {
        const message = checkValue(description, given);
        if (message !== undefined) return refuse(name, message);
      } else if (description.default !== undefined) {
        value = { ...value, [name]: description.default };
      } else if (description.optional !== true) {
        // n.b. what is missing was mostly given under another name.
        return unknownName(values, spec) ?? refuse(name, given === null ? 'must not be null' : 'is required');
      }
    }
    const unknown = Object.keys(values).length === present ? undefined : unknownName(values, spec);
    return unknown ?? { ok: true, value };
  };
}

/** Checks once. Code that checks often keeps the checker of `compileChecker`. */
export function checkValues(spec: Readonly<Record<string, ValueDescription>>, values: JsonObject): CheckedValues {
  return compileChecker(spec)(values);
}
