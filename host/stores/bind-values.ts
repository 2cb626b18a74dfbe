import type { Json, JsonObject } from '@beds/sdk';
import { storeErrors } from '../errors/store.js';
import type { NamedValue } from './contract.js';
import { fieldName, readValue } from './read-value.js';

/** Whether null may stand for this value. */
export function takesNull(value: NamedValue): boolean {
  return value.optional === true || value.nullable === true;
}

/**
 * Puts named arguments into the order of `values`, checked, with defaults filled in and null for optional ones left out.
 * Throws BEDS_STORE_INVALID_VALUE with the argument's name as `field`.
 */
export function bindValues(values: readonly NamedValue[], args: JsonObject): readonly Json[] {
  const bound = values.map((value) => bindOne(value, args));
  // Every argument was looked up above: only a longer list of names can hold an unknown one.
  const names = Object.keys(args);
  if (names.length > 0) refuseUnknown(values, names);
  return bound;
}

function bindOne(value: NamedValue, args: JsonObject): Json {
  const given = Object.hasOwn(args, value.name) ? args[value.name] : undefined;
  if (given === undefined) {
    if (value.default !== undefined) return value.default;
    if (value.optional === true) return null;
    throw refuse(value.name, 'is missing');
  }
  if (given === null) {
    if (takesNull(value)) return null;
    throw refuse(value.name, 'must not be null');
  }
  const read = readValue(given, value);
  if ('problem' in read) throw refuse(value.name, read.problem);
  return read.value;
}

function refuseUnknown(values: readonly NamedValue[], names: readonly string[]): void {
  for (const name of names) {
    if (values.some((value) => value.name === name)) continue;
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'The named object takes no such argument.', {
      field: fieldName(name),
    });
  }
}

function refuse(field: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_INVALID_VALUE', `Argument ${field} ${problem}.`, { field });
}
