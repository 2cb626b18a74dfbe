import type { JsonObject } from './json.js';
import { isPlainName } from './unknown-names.js';
import { readValue } from './read-value.js';
import type { ValueDescription } from './values.js';

/** What is wrong with the first wrong value: `field` is its name, `message` reads on from it (`must be a string`). */
export interface ValueProblem {
  readonly field: string;
  readonly message: string;
}

/** `value` is the given object itself where no default was filled in and every value had its one form already. */
export type CheckedValues =
  { readonly ok: true; readonly value: JsonObject } | { readonly ok: false; readonly problem: ValueProblem };

/** Checks named values; pure, and never repeats a value in a message. */
export type ValuesChecker = (values: JsonObject) => CheckedValues;

/** Unknown names that are written out in one message. */
const MOST_NAMES = 8;

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
  const fields = Object.entries(spec).map(([name, description]) => [name, withReadDefault(description)] as const);
  return (values) => {
    let value = values;
    let present = 0;
    for (const [name, description] of fields) {
      const isPresent = Object.hasOwn(values, name);
      if (isPresent) present += 1;
      const given = isPresent ? values[name] : undefined;
      if (given !== undefined && given !== null) {
        const read = readValue(given, description);
        if ('problem' in read) return refuse(name, read.problem);
        if (read.value !== given) value = { ...value, [name]: read.value };
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

function withReadDefault(description: ValueDescription): ValueDescription {
  if (description.default === undefined) return description;
  const read = readValue(description.default, description);
  return 'value' in read ? { ...description, default: read.value } : description;
}

/** Checks once. Code that checks often keeps the checker of `compileChecker`. */
export function checkValues(spec: Readonly<Record<string, ValueDescription>>, values: JsonObject): CheckedValues {
  return compileChecker(spec)(values);
}
