import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject, ValueDescription, ValueFields, ValueType } from '@beds/sdk';

/** A change of one operation, before it is known which. */
export interface Difference {
  /** A caller of the old version may fail with the new one. */
  readonly breaking: boolean;
  /** One clause: `argument limit was added without a default`. */
  readonly message: string;
}

export function breaking(message: string): Difference {
  return { breaking: true, message };
}

export function compatible(message: string): Difference {
  return { breaking: false, message };
}

/** The names of two tables in the order of the first, then what only the second has. */
export function namesOfBoth(live: object, next: object): readonly string[] {
  return [...new Set([...Object.keys(live), ...Object.keys(next)])];
}

/** Names come from authors: `toString` is one as well, and not of the table. */
export function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Two descriptions of a value. `what` names it: `argument limit`. */
export interface ValuePair {
  readonly what: string;
  readonly live: ValueDescription;
  readonly next: ValueDescription;
}

/** Types that take every value of the key, as the check of values has it. */
const TAKEN_BY: Readonly<Record<ValueType, readonly ValueType[]>> = {
  string: ['json'],
  integer: ['bigint', 'number', 'decimal', 'json'],
  // n.b. a whole number is taken as a number as well, so text alone is not enough.
  bigint: ['decimal', 'json'],
  number: ['json'],
  decimal: ['json'],
  boolean: ['json'],
  date: ['string', 'json'],
  datetime: ['string', 'json'],
  binary: ['string', 'json'],
  json: [],
  enum: ['string', 'json'],
  list: ['json'],
  object: ['json'],
  schema: [],
};

/** Types whose values a reader of the key understands. */
const SHOWN_AS: Readonly<Record<ValueType, readonly ValueType[]>> = {
  string: ['date', 'datetime', 'decimal', 'bigint', 'binary', 'enum'],
  integer: [],
  bigint: [],
  number: ['integer'],
  decimal: ['bigint'],
  boolean: [],
  date: [],
  datetime: [],
  binary: [],
  json: [
    'string',
    'integer',
    'bigint',
    'number',
    'decimal',
    'boolean',
    'date',
    'datetime',
    'binary',
    'enum',
    'list',
    'object',
  ],
  enum: [],
  list: [],
  object: [],
  schema: [],
};

/** What callers pass (`given`) must still be taken; what they get (`shown`) must still be understood. */
type Side = 'given' | 'shown';

const SHOWN_CHARACTERS = 40;

/** Compares named arguments: what a caller of `live` sends must suit `next`. `path` leads to them where they are not arguments themselves. */
function compareArguments(live: ValueFields, next: ValueFields, path = 'argument '): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => compareArgument(`${path}${name}`, own(live, name), own(next, name)));
}

/** Compares one argument that one of the two may not have. */
export function compareArgument(
  what: string,
  live: ValueDescription | undefined,
  next: ValueDescription | undefined,
): readonly Difference[] {
  if (next === undefined) return live === undefined ? [] : [breaking(`${what} was removed`)];
  if (live === undefined) return [added(what, next)];
  return compareGiven({ what, live, next });
}

function added(what: string, next: ValueDescription): Difference {
  if (next.default !== undefined) return compatible(`${what} was added with the default ${show(next.default)}`);
  if (next.optional === true) return compatible(`optional ${what} was added`);
  return breaking(`${what} was added without a default`);
}

/** Compares a value that callers pass. */
export function compareGiven(pair: ValuePair): readonly Difference[] {
  const known = withoutSchemas(pair, 'given');
  if ('differences' in known) return known.differences;
  const { what, live, next } = known;
  const types = live.type === next.type ? compareParts(known, 'given') : compareGivenTypes(known);
  const bounds = { what, live: asTextFor(next, live), next };
  return [...types, ...comparePresence(known), ...compareBounds(bounds, 'given')];
}

/** Most characters of the texts that such a value is written as. n.b. the bounds of another type are those of other values. */
const TEXT_LENGTHS: Readonly<Partial<Record<ValueType, number>>> = {
  date: '2026-01-02'.length,
  datetime: '2026-01-02T03:04:05.123456789+01:00'.length,
};

/** Beside text of a bounded length: text that is as long as such a value may be, where that is known. */
function asTextFor(other: ValueDescription, value: ValueDescription): ValueDescription {
  const { type, values = [] } = value;
  if (other.type !== 'string' || other.maxLength === undefined) return value;
  const maxLength =
    type === 'enum'
      ? Math.max(0, ...values.map((each) => Array.from(each).length))
      : type === 'binary' && value.maxLength !== undefined
        ? 4 * Math.ceil(value.maxLength / 3)
        : TEXT_LENGTHS[type];
  return maxLength === undefined ? value : { type: 'string', maxLength };
}

function compareGivenTypes({ what, live, next }: ValuePair): readonly Difference[] {
  const types = `from ${live.type} to ${next.type}`;
  if (TAKEN_BY[live.type].includes(next.type)) return [compatible(`${what} was widened ${types}`)];
  const isNarrower = TAKEN_BY[next.type].includes(live.type);
  return [breaking(`${what} ${isNarrower ? 'was narrowed' : 'changed'} ${types}`)];
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

/** Compares what callers get: what `next` gives must suit a reader of `live`. */
export function compareShown(pair: ValuePair): readonly Difference[] {
  const known = withoutSchemas(pair, 'shown');
  if ('differences' in known) return known.differences;
  const { what, live, next } = known;
  const types = live.type === next.type ? compareParts(known, 'shown') : compareShownTypes(known);
  const bounds = { what, live, next: asTextFor(live, next) };
  return [...types, ...compareNull({ what, live, next }), ...compareBounds(bounds, 'shown')];
}

function compareNull({ what, live, next }: ValuePair): readonly Difference[] {
  const [couldBe, canBe] = [live, next].map(({ optional, default: value }) => optional === true && value === undefined);
  if (couldBe === canBe) return [];
  return canBe === true ? [breaking(`${what} may be null now`)] : [compatible(`${what} is never null now`)];
}

function compareShownTypes({ what, live, next }: ValuePair): readonly Difference[] {
  const types = `from ${live.type} to ${next.type}`;
  if (SHOWN_AS[live.type].includes(next.type)) return [compatible(`${what} was narrowed ${types}`)];
  const isWider = SHOWN_AS[next.type].includes(live.type);
  return [breaking(`${what} ${isWider ? 'was widened' : 'changed'} ${types}`)];
}

/**
 * Compares the columns of a view: what `next` gives must suit a reader of `live`, and the conditions that he puts on them must
 * still be understood.
 */
export function compareColumns(live: ValueFields, next: ValueFields, path = 'result column '): readonly Difference[] {
  return compareFields(live, next, path).map((difference) => {
    const name = namesOfBoth(live, next).find((each) => difference.message.startsWith(`${path}${each} was narrowed`));
    const type = name === undefined ? undefined : own(next, name)?.type;
    const isSearched = name !== undefined && own(live, name)?.type === 'string' && type !== 'enum';
    return isSearched ? breaking(`${difference.message}, so it can no longer be searched as text`) : difference;
  });
}

/** Compares the members of what callers get. */
function compareFields(live: ValueFields, next: ValueFields, path: string): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => {
    const what = `${path}${name}`;
    const before = own(live, name);
    const after = own(next, name);
    if (after === undefined) return [breaking(`${what} is gone`)];
    if (before === undefined) return [compatible(`${what} was added`)];
    return compareShown({ what, live: before, next: after });
  });
}

/** Compares what two values of one type consist of. */
function compareParts({ what, live, next }: ValuePair, side: Side): readonly Difference[] {
  switch (live.type) {
    case 'enum':
      return compareEnums({ what, live, next }, side);
    case 'list': {
      const items = { live: live.items ?? { type: 'json' }, next: next.items ?? { type: 'json' } } as const;
      const pair = { what: `each of ${what}`, ...items };
      return side === 'given' ? compareGiven(pair) : compareShown(pair);
    }
    case 'object': {
      const path = what === 'the input' ? 'argument ' : what === 'the result' ? 'result field ' : `${what}.`;
      const [before, after] = [live.fields ?? {}, next.fields ?? {}];
      return side === 'given' ? compareArguments(before, after, path) : compareFields(before, after, path);
    }
    default:
      return [];
  }
}

function compareEnums({ what, live, next }: ValuePair, side: Side): readonly Difference[] {
  const [before, after] = [live.values ?? [], next.values ?? []];
  const gone = before.filter((value) => !after.includes(value)).map((value) => `${what} has no ${value} any more`);
  const come = after.filter((value) => !before.includes(value)).map((value) => `${what} may be ${value} now`);
  const isGiven = side === 'given';
  return [...gone.map(isGiven ? breaking : compatible), ...come.map(isGiven ? compatible : breaking)];
}

interface Facet {
  readonly name: 'maxLength' | 'min' | 'max' | 'maxItems';
  /** What a bound that is not given stands for. */
  readonly unbounded: number;
}

const FACETS: readonly Facet[] = [
  { name: 'maxLength', unbounded: Infinity },
  { name: 'maxItems', unbounded: Infinity },
  { name: 'min', unbounded: -Infinity },
  { name: 'max', unbounded: Infinity },
];

/** Compares length and range. What is given must still fit (tighter breaks); what is received must be foreseen (looser breaks). */
function compareBounds(pair: ValuePair, side: Side): readonly Difference[] {
  return FACETS.flatMap(({ name, unbounded }) => {
    const live = pair.live[name] ?? unbounded;
    const next = pair.next[name] ?? unbounded;
    if (live === next) return [];
    const isTighter = unbounded > 0 ? next < live : next > live;
    const message = `${name} of ${pair.what} ${describeBound({ live, next, unbounded })}`;
    return [isTighter === (side === 'given') ? breaking(message) : compatible(message)];
  });
}

function describeBound(bound: { readonly live: number; readonly next: number; readonly unbounded: number }): string {
  const { live, next, unbounded } = bound;
  if (live === unbounded) return `was set to ${String(next)}`;
  if (next === unbounded) return `(${String(live)}) is gone`;
  return `was ${next < live ? 'lowered' : 'raised'} from ${String(live)} to ${String(next)}`;
}

/** Puts in place of a schema what its JSON Schema says of it; says so where that cannot be compared. */
function withoutSchemas(
  { what, live, next }: ValuePair,
  side: Side,
): ValuePair | { readonly differences: readonly Difference[] } {
  if (live.type !== 'schema' && next.type !== 'schema') return { what, live, next };
  const isSame = isDeepStrictEqual(live.schema, next.schema) && live.type === next.type;
  const [before, after] = [live, next].map((value) => (value.type === 'schema' ? readSchema(value) : value));
  if (before !== undefined && after !== undefined) return { what, live: before, next: after };
  // n.b. how it is missed is known of any.
  const said = isSame ? [] : [compatible(`${what} is described by a schema that cannot be compared`)];
  return { differences: [...said, ...(side === 'given' ? comparePresence : compareNull)({ what, live, next })] };
}

function readSchema({ schema, optional }: ValueDescription): ValueDescription | undefined {
  const read = schema === undefined ? undefined : fromJsonSchema(schema);
  return read === undefined || optional !== true ? read : { ...read, optional };
}

const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  string: ['maxLength', 'enum', 'const'],
  integer: ['minimum', 'maximum'],
  number: ['minimum', 'maximum'],
  boolean: [],
  array: ['items', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties'],
};
const SAYS_NOTHING = ['$schema', 'type', 'title', 'description', 'default', 'examples'];

/** A JSON Schema in our own terms; undefined where it says more than they can. */
function fromJsonSchema(schema: JsonObject): ValueDescription | undefined {
  const { type, anyOf } = schema;
  if (Array.isArray(type) && type.length === 2 && type.includes('null')) {
    const read = fromJsonSchema({ ...schema, type: (type as readonly Json[]).find((each) => each !== 'null') ?? null });
    return read === undefined ? undefined : { ...read, optional: true };
  }
  if (Array.isArray(anyOf) && anyOf.length === 2) {
    const [some] = (anyOf as readonly JsonObject[]).filter((each) => each['type'] !== 'null');
    const hasNull = (anyOf as readonly JsonObject[]).some((each) => each['type'] === 'null');
    const read = some === undefined || !hasNull ? undefined : fromJsonSchema(some);
    return read === undefined ? undefined : { ...read, optional: true };
  }
  const keywords = typeof type === 'string' ? own(KEYWORDS, type) : undefined;
  if (keywords === undefined) return undefined;
  if (Object.keys(schema).some((name) => !SAYS_NOTHING.includes(name) && !keywords.includes(name))) return undefined;
  return fromKnownSchema(type as string, schema);
}

function fromKnownSchema(type: string, schema: JsonObject): ValueDescription | undefined {
  const { minimum, maximum, maxLength, maxItems, items, default: value } = schema;
  const standsIn = value === undefined ? {} : { default: value };
  switch (type) {
    case 'string': {
      const values = (schema['enum'] ?? (schema['const'] === undefined ? undefined : [schema['const']])) as
        readonly string[] | undefined;
      if (values !== undefined) return { type: 'enum', values, ...standsIn };
      return { type: 'string', ...(typeof maxLength === 'number' && { maxLength }), ...standsIn };
    }
    case 'integer':
    case 'number': {
      const isBound = (bound: Json | undefined): bound is number =>
        typeof bound === 'number' && (type === 'number' || Math.abs(bound) < Number.MAX_SAFE_INTEGER);
      const bounds = { ...(isBound(minimum) && { min: minimum }), ...(isBound(maximum) && { max: maximum }) };
      return { type, ...bounds, ...standsIn };
    }
    case 'boolean':
      return { type: 'boolean', ...standsIn };
    case 'array': {
      const each = items === undefined ? ({ type: 'json' } as const) : partOf(items as JsonObject);
      return { type: 'list', items: each, ...(typeof maxItems === 'number' && { maxItems }), ...standsIn };
    }
    default:
      return fromObjectSchema(schema);
  }
}

/** n.b. a part that cannot be compared must not hide what becomes of the others. */
function partOf(schema: JsonObject): ValueDescription {
  return fromJsonSchema(schema) ?? { type: 'schema', schema };
}

function fromObjectSchema(schema: JsonObject): ValueDescription | undefined {
  // What further members must be is nothing that we can say.
  if (typeof schema['additionalProperties'] === 'object') return undefined;
  const required = (schema['required'] ?? []) as readonly string[];
  const fields: Record<string, ValueDescription> = {};
  for (const [name, property] of Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, JsonObject>>)) {
    const read = partOf(property);
    fields[name] = required.includes(name) ? read : { ...read, optional: true };
  }
  return { type: 'object', fields };
}
