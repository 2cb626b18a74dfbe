import type { Json, JsonObject } from '@beds/sdk';
import { readValue } from '#sdk/template';
import { storeErrors } from '../errors/store.js';
import type { NamedValue } from './contract.js';

const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** A name that a caller sent, fit to be repeated in `field`: anything but an identifier is withheld. */
function fieldName(name: string): string {
  return FIELD_NAME.test(name) ? name : '?';
}

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
    throw refuseArgument(value.name, 'is missing');
  }
  if (given === null) {
    if (takesNull(value)) return null;
    throw refuseArgument(value.name, 'must not be null');
  }
  // n.b. the template says whether it passes whole numbers as text; the database takes both.
  const isLong = value.type === 'integer' && typeof given === 'string';
  const read = readValue(given, isLong ? { type: 'bigint' } : value);
  if ('problem' in read) throw refuseArgument(value.name, read.problem);
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

function refuseArgument(field: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_INVALID_VALUE', `Argument ${field} ${problem}.`, { field });
}
