import { isDeepStrictEqual } from 'node:util';
import type { Json, ValueDescription, ValueType } from '@beds/sdk';
import { compareBounds, type ValuePair } from './compare-bounds.js';
import { breaking, compatible, namesOfBoth, own, type Difference } from './difference.js';

type Values = Readonly<Record<string, ValueDescription>>;

/** Types that take every value of the key, as the check of values has it. */
const TAKEN_BY: Readonly<Record<ValueType, readonly ValueType[]>> = {
  string: ['json'],
  integer: ['json'],
  number: ['json'],
  decimal: ['string', 'json'],
  boolean: ['json'],
  date: ['string', 'json'],
  datetime: ['string', 'json'],
  json: [],
};

const SHOWN_CHARACTERS = 40;

/** Compares named arguments: what a caller of `live` sends must suit `next`. */
export function compareArguments(live: Values, next: Values): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => compareArgument(name, own(live, name), own(next, name)));
}

/** Compares one argument that one of the two may not have. */
export function compareArgument(
  name: string,
  live: ValueDescription | undefined,
  next: ValueDescription | undefined,
): readonly Difference[] {
  if (next === undefined) return live === undefined ? [] : [breaking(`argument ${name} was removed`)];
  if (live === undefined) return [added(name, next)];
  const pair = { what: `argument ${name}`, live, next };
  return [...compareTypes(pair), ...comparePresence(pair), ...compareBounds(pair, 'tighter')];
}

function added(name: string, next: ValueDescription): Difference {
  if (next.default !== undefined)
    return compatible(`argument ${name} was added with the default ${show(next.default)}`);
  if (next.optional === true) return compatible(`optional argument ${name} was added`);
  return breaking(`argument ${name} was added without a default`);
}

function compareTypes({ what, live, next }: ValuePair): readonly Difference[] {
  const types = `from ${live.type} to ${next.type}`;
  if (live.type === next.type) return [];
  if (takesAll(live, next.type)) return [compatible(`${what} was widened ${types}`)];
  if (live.type === 'integer' && next.type === 'number') {
    return [breaking(`${what} changed ${types}, which has no whole numbers beyond 2^53`)];
  }
  const isNarrower = takesAll(next, live.type);
  return [breaking(`${what} ${isNarrower ? 'was narrowed' : 'changed'} ${types}`)];
}

function takesAll(value: ValueDescription, type: ValueType): boolean {
  if (TAKEN_BY[value.type].includes(type)) return true;
  // A number takes the whole numbers that JSON has; those beyond are text.
  const { min = -Infinity, max = Infinity } = value;
  const fitsJson = min >= Number.MIN_SAFE_INTEGER && max <= Number.MAX_SAFE_INTEGER;
  return value.type === 'integer' && type === 'number' && fitsJson;
}

function comparePresence({ what, live, next }: ValuePair): readonly Difference[] {
  const couldBeLeftOut = mayBeLeftOut(live);
  if (couldBeLeftOut && !mayBeLeftOut(next)) return [breaking(`${what} became required`)];
  if (!couldBeLeftOut && mayBeLeftOut(next)) return [compatible(`${what} became optional`)];
  if (isDeepStrictEqual(live.default, next.default)) return [];
  if (live.default === undefined) return [compatible(`default of ${what} was set to ${show(next.default)}`)];
  if (next.default === undefined) return [compatible(`default of ${what} (${show(live.default)}) is gone`)];
  return [compatible(`default of ${what} changed from ${show(live.default)} to ${show(next.default)}`)];
}

/** Null counts as left out. */
function mayBeLeftOut({ optional, default: value }: ValueDescription): boolean {
  return optional === true || value !== undefined;
}

function show(value: Json | undefined): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
