import { isDeepStrictEqual } from 'node:util';
import { SCALAR_TYPES } from '#sdk/template';
import type { Json, JsonObject, ValueDescription, ValueFields, ValueType } from '@beds/sdk';

/** A change of one operation, before it is known which. */
export interface Difference {
  /** A caller of the old version may fail with the new one. */
  readonly breaking: boolean;
  /** One clause: `argument limit was added without a default`. */
  readonly message: string;
  /** Whether somebody may do or see more than before. Absent: no. */
  readonly loosens?: true;
}

export function breaking(message: string): Difference {
  return { breaking: true, message };
}

export function compatible(message: string): Difference {
  return { breaking: false, message };
}

/** Somebody may do or see more than before. */
export function loosened(message: string): Difference {
  return { breaking: false, message, loosens: true };
}

/** The names of two tables in the order of the first, then what only the second has. */
export function namesOfBoth(live: object, next: object): readonly string[] {
  return [...new Set([...Object.keys(live), ...Object.keys(next)])];
}

/** Names come from authors: `toString` is one as well, and not of the table. */
export function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** A description, and what beside it only the JSON Schemas of other libraries say. */
interface Described extends ValueDescription {
  readonly items?: Described;
  readonly fields?: DescribedFields;
  readonly minLength?: number;
  readonly minItems?: number;
  /** Every number is greater. */
  readonly above?: number;
  /** Every number is less. */
  readonly below?: number;
  /** What of two schemas can only be the same or not: `pattern "^a"`. */
  readonly rules?: readonly string[];
  /** Of an object: what members are that `fields` does not name; absent where there are none. */
  readonly further?: Described;
}
type DescribedFields = Readonly<Record<string, Described>>;

/** Two descriptions of a value. `what` names it: `argument limit`. */
export interface ValuePair {
  readonly what: string;
  readonly live: Described;
  readonly next: Described;
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
  json: [...SCALAR_TYPES.filter((type) => type !== 'json'), 'enum', 'list', 'object'],
  enum: [],
  list: [],
  object: [],
  schema: [],
};

/** What callers pass (`given`) must still be taken; what they get (`shown`) must still be understood. */
type Side = 'given' | 'shown';

const SHOWN_CHARACTERS = 40;

/** Compares named arguments: what a caller of `live` sends must suit `next`. `path` leads to them. */
function compareArguments(live: DescribedFields, next: DescribedFields, path: string): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => compareArgument(`${path}${name}`, own(live, name), own(next, name)));
}

/** Compares one argument that one of the two may not have. */
export function compareArgument(
  what: string,
  live: Described | undefined,
  next: Described | undefined,
): readonly Difference[] {
  if (next === undefined) return live === undefined ? [] : [breaking(`${what} was removed`)];
  if (live === undefined) return [added(what, next)];
  return compareGiven({ what, live, next });
}

function added(what: string, next: Described): Difference {
  if (next.default !== undefined) return compatible(`${what} was added with the default ${show(next.default)}`);
  if (next.optional === true && next.absence !== 'null') return compatible(`optional ${what} was added`);
  return breaking(`${what} was added without a default`);
}

/** Compares a value that callers pass. */
export function compareGiven(pair: ValuePair): readonly Difference[] {
  const known = withoutSchemas(pair, 'given');
  if ('differences' in known) return known.differences;
  const { what, live, next } = known;
  const types = live.type === next.type ? compareParts(known, 'given') : compareGivenTypes(known);
  const bounds = { what, live: asTextFor(next, live), next };
  return [...types, ...comparePresence(known), ...compareBounds(bounds, 'given'), ...compareRules(known, 'given')];
}

/** Fewest and most characters of the texts that such a value is written as. n.b. the bounds of another type are those of other values. */
function textLengths({ type, values = [], maxLength = Infinity }: Described): readonly [number, number] | undefined {
  switch (type) {
    case 'enum': {
      const lengths = values.map((each) => Array.from(each).length);
      return [Math.min(...lengths), Math.max(...lengths)];
    }
    case 'binary':
      return [0, 4 * Math.ceil(maxLength / 3)];
    case 'date':
      return ['2026-01-02'.length, '2026-01-02'.length];
    case 'datetime':
      return ['2026-01-02T03:04:05Z'.length, '2026-01-02T03:04:05.123456789+01:00'.length];
    default:
      return undefined;
  }
}

/** Beside text of a bounded length: text that is as long as such a value may be, where that is known. */
function asTextFor(other: Described, value: Described): Described {
  if (other.type !== 'string' || (other.minLength ?? other.maxLength) === undefined) return value;
  const lengths = textLengths(value);
  if (lengths === undefined) return value;
  const [minLength, maxLength] = lengths;
  return {
    type: 'string',
    ...(other.minLength !== undefined && { minLength }),
    ...(other.maxLength !== undefined && { maxLength }),
  };
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
  const ways = couldBeLeftOut ? compareAbsence({ what, live, next }) : [];
  if (ways.length > 0) return ways;
  if (isDeepStrictEqual(live.default, next.default)) return [];
  if (live.default === undefined) return [compatible(`default of ${what} was set to ${show(next.default)}`)];
  if (next.default === undefined) return [compatible(`default of ${what} (${show(live.default)}) is gone`)];
  return [compatible(`default of ${what} changed from ${show(live.default)} to ${show(next.default)}`)];
}

function compareAbsence({ what, live, next }: ValuePair): readonly Difference[] {
  return (['null', 'left out'] as const).flatMap((way) => {
    const [could, can] = [live, next].map(({ absence = way }) => absence === way);
    if (could === can) return [];
    return can === true ? [compatible(`${what} may be ${way} now`)] : [breaking(`${what} may no longer be ${way}`)];
  });
}

/** Null counts as left out. */
function mayBeLeftOut({ optional, default: value }: ValueDescription): boolean {
  return optional === true || value !== undefined;
}

function show(value: Json | undefined): string {
  return shorten(JSON.stringify(value) ?? 'nothing');
}

function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

/** Compares what callers get: what `next` gives must suit a reader of `live`. */
export function compareShown(pair: ValuePair): readonly Difference[] {
  const known = withoutSchemas(pair, 'shown');
  if ('differences' in known) return known.differences;
  const { what, live, next } = known;
  const types = live.type === next.type ? compareParts(known, 'shown') : compareShownTypes(known);
  const bounds = { what, live, next: asTextFor(live, next) };
  return [...types, ...compareNull(known), ...compareBounds(bounds, 'shown'), ...compareRules(known, 'shown')];
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
function compareFields(live: DescribedFields, next: DescribedFields, path: string): readonly Difference[] {
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
      const fields =
        side === 'given'
          ? compareArguments({ ...furtherMembers(live, after), ...before }, after, path)
          : compareFields(before, after, path);
      return [...fields, ...compareFurther({ what, live, next }, side)];
    }
    default:
      return [];
  }
}

/** Those of the names under which callers passed something that was kept and not named. */
function furtherMembers({ further }: Described, names: DescribedFields): DescribedFields {
  if (further === undefined || further === DROPPED) return {};
  return Object.fromEntries(Object.keys(names).map((name) => [name, { ...further, ...presence(further, true) }]));
}

/** Compares what objects hold beside the members that they name. */
function compareFurther({ what, live, next }: ValuePair, side: Side): readonly Difference[] {
  if (live.further === undefined && next.further === undefined) return [];
  if (live.further === undefined) return [compatible(`${what} may have further members now`)];
  if (next.further === undefined) return [breaking(`${what} has no further members any more`)];
  const pair = { what: `each further member of ${what}`, live: live.further, next: next.further };
  return side === 'given' ? compareGiven(pair) : compareShown(pair);
}

function compareEnums({ what, live, next }: ValuePair, side: Side): readonly Difference[] {
  const [before, after] = [live.values ?? [], next.values ?? []];
  const gone = before.filter((value) => !after.includes(value)).map((value) => `${what} has no ${value} any more`);
  const come = after.filter((value) => !before.includes(value)).map((value) => `${what} may be ${value} now`);
  const isGiven = side === 'given';
  return [...gone.map(isGiven ? breaking : compatible), ...come.map(isGiven ? compatible : breaking)];
}

interface Facet {
  readonly name: 'minLength' | 'maxLength' | 'minItems' | 'maxItems' | 'min' | 'max';
  /** What a bound that is not given stands for. */
  readonly unbounded: number;
  /** The same bound where it is no value itself. */
  readonly open?: 'above' | 'below';
}

const FACETS: readonly Facet[] = [
  { name: 'minLength', unbounded: 0 },
  { name: 'maxLength', unbounded: Infinity },
  { name: 'minItems', unbounded: 0 },
  { name: 'maxItems', unbounded: Infinity },
  { name: 'min', unbounded: -Infinity, open: 'above' },
  { name: 'max', unbounded: Infinity, open: 'below' },
];

interface Bound {
  readonly at: number;
  readonly isOpen: boolean;
}

function boundOf(value: Described, { name, unbounded, open }: Facet): Bound {
  const at = value[name] ?? unbounded;
  const beyond = open === undefined ? undefined : value[open];
  const isOpen = beyond !== undefined && (unbounded > 0 ? beyond <= at : beyond >= at);
  return { at: isOpen ? beyond : at, isOpen };
}

/** Compares length and range. What is given must still fit (tighter breaks); what is received must be foreseen (looser breaks). */
function compareBounds(pair: ValuePair, side: Side): readonly Difference[] {
  return FACETS.flatMap((facet) => {
    const [live, next] = [boundOf(pair.live, facet), boundOf(pair.next, facet)];
    if (live.at === next.at && live.isOpen === next.isOpen) return [];
    const isTighter = live.at === next.at ? next.isOpen : facet.unbounded > 0 === next.at < live.at;
    const message = `${facet.name} of ${pair.what} ${describeChange(live, next, facet.unbounded)}`;
    return [isTighter === (side === 'given') ? breaking(message) : compatible(message)];
  });
}

function describeChange(live: Bound, next: Bound, unbounded: number): string {
  const [before, after] = [live, next].map(
    ({ at, isOpen }) => `${isOpen ? (unbounded > 0 ? 'less than ' : 'more than ') : ''}${String(at)}`,
  );
  if (live.at === unbounded) return `was set to ${String(after)}`;
  if (next.at === unbounded) return `(${String(before)}) is gone`;
  const change = live.at === next.at ? 'changed' : next.at < live.at ? 'was lowered' : 'was raised';
  return `${change} from ${String(before)} to ${String(after)}`;
}

/** Whether all that fits one pattern fits another cannot be told: what is given meets a new rule, and what is received is no longer held to the old one. */
function compareRules({ what, live, next }: ValuePair, side: Side): readonly Difference[] {
  const [before, after] = [live.rules ?? [], next.rules ?? []];
  const come = after.filter((rule) => !before.includes(rule)).map((rule) => `${what} has the ${shorten(rule)} now`);
  const gone = before
    .filter((rule) => !after.includes(rule))
    .map((rule) => `${what} no longer has the ${shorten(rule)}`);
  const isGiven = side === 'given';
  return [...come.map(isGiven ? breaking : compatible), ...gone.map(isGiven ? compatible : breaking)];
}

/** Puts in place of a schema what its JSON Schema says of it; says so where that cannot be compared. */
function withoutSchemas(
  { what, live, next }: ValuePair,
  side: Side,
): ValuePair | { readonly differences: readonly Difference[] } {
  if (live.type !== 'schema' && next.type !== 'schema') return { what, live, next };
  const isSame = isDeepStrictEqual(live.schema, next.schema) && live.type === next.type;
  const [before, after] = [live, next].map((value) => (value.type === 'schema' ? readSchema(value, side) : value));
  if (before !== undefined && after !== undefined) return { what, live: before, next: after };
  // n.b. how it is missed is known of any.
  const said = isSame ? [] : [compatible(`${what} is described by a schema that cannot be compared`)];
  return { differences: [...said, ...(side === 'given' ? comparePresence : compareNull)({ what, live, next })] };
}

function readSchema({ schema, optional = false }: ValueDescription, side: Side): Described | undefined {
  const read = schema === undefined ? undefined : fromJsonSchema(schema, side);
  return read === undefined ? undefined : { ...read, ...presence(read, optional) };
}

/** n.b. null is not absence for another library. */
function presence(read: Described, mayBeLeftOut: boolean): Pick<Described, 'optional' | 'absence'> {
  const mayBeNull = read.optional === true;
  if (!mayBeLeftOut && !mayBeNull) return {};
  return { optional: true, ...(mayBeLeftOut !== mayBeNull && { absence: mayBeNull ? 'null' : 'left out' }) };
}

const NUMBER = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'];
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'enum', 'const', 'pattern', 'allOf', 'format', 'contentEncoding'],
  integer: NUMBER,
  number: NUMBER,
  boolean: [],
  array: ['items', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties', 'propertyNames'],
};
const SAYS_NOTHING = ['$schema', 'type', 'title', 'description', 'default', 'examples'];

/** A JSON Schema in our own terms; undefined where it says more than they can. */
function fromJsonSchema(schema: JsonObject, side: Side): Described | undefined {
  const { type, anyOf } = schema;
  if (Array.isArray(type) && type.length === 2 && type.includes('null')) {
    const some = (type as readonly Json[]).find((each) => each !== 'null') ?? null;
    const read = fromJsonSchema({ ...schema, type: some }, side);
    return read === undefined ? undefined : { ...read, optional: true };
  }
  if (Array.isArray(anyOf) && anyOf.length === 2) {
    const [some] = (anyOf as readonly JsonObject[]).filter((each) => each['type'] !== 'null');
    const hasNull = (anyOf as readonly JsonObject[]).some((each) => each['type'] === 'null');
    const read = some === undefined || !hasNull ? undefined : fromJsonSchema(some, side);
    return read === undefined ? undefined : { ...read, optional: true };
  }
  const keywords = typeof type === 'string' ? own(KEYWORDS, type) : undefined;
  if (keywords === undefined) return undefined;
  if (Object.keys(schema).some((name) => !SAYS_NOTHING.includes(name) && !keywords.includes(name))) return undefined;
  const read = fromKnownSchema(schema, side);
  return read === undefined || schema['default'] === undefined ? read : { ...read, default: schema['default'] };
}

function fromKnownSchema(schema: JsonObject, side: Side): Described | undefined {
  switch (schema['type']) {
    case 'string':
      return fromTextSchema(schema);
    case 'integer':
    case 'number':
      return fromNumberSchema(schema);
    case 'boolean':
      return { type: 'boolean' };
    case 'array': {
      const { items } = schema;
      const each = items === undefined ? ({ type: 'json' } as const) : partOf(items as JsonObject, side);
      return { type: 'list', items: each, ...numbersOf(schema, { minItems: 'minItems', maxItems: 'maxItems' }) };
    }
    default:
      return fromObjectSchema(schema, side);
  }
}

function fromTextSchema(schema: JsonObject): Described | undefined {
  const values = (schema['enum'] ?? (schema['const'] === undefined ? undefined : [schema['const']])) as
    readonly string[] | undefined;
  if (values !== undefined) return { type: 'enum', values };
  // Several patterns are written as parts.
  const parts = (schema['allOf'] ?? []) as readonly JsonObject[];
  if (parts.some((part) => Object.keys(part).some((name) => name !== 'pattern'))) return undefined;
  const rules = [schema, ...parts].flatMap((part) => rulesOf(part, ['format', 'contentEncoding', 'pattern']));
  return { type: 'string', rules, ...numbersOf(schema, { minLength: 'minLength', maxLength: 'maxLength' }) };
}

function fromNumberSchema(schema: JsonObject): Described {
  const rules = rulesOf(schema, ['multipleOf']);
  const isWhole = schema['type'] === 'integer';
  const bounds = numbersOf(schema, {
    min: 'minimum',
    max: 'maximum',
    above: 'exclusiveMinimum',
    below: 'exclusiveMaximum',
  });
  if (!isWhole) return { type: 'number', rules, ...bounds };
  const { above = -Infinity, below = Infinity } = bounds;
  const min = Math.max(bounds.min ?? -Infinity, Math.floor(above) + 1);
  const max = Math.min(bounds.max ?? Infinity, Math.ceil(below) - 1);
  // Whole numbers have these bounds in any case.
  const isBound = (bound: number): boolean => Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  return { type: 'integer', rules, ...(isBound(min) && { min }), ...(isBound(max) && { max }) };
}

type NumberName = 'minLength' | 'maxLength' | 'minItems' | 'maxItems' | 'min' | 'max' | 'above' | 'below';

/** The numbers among keywords, under our names for them. */
function numbersOf(
  schema: JsonObject,
  keywords: Readonly<Partial<Record<NumberName, string>>>,
): Readonly<Partial<Record<NumberName, number>>> {
  const found = Object.entries(keywords).map(([name, keyword]) => [name, schema[keyword]] as const);
  return Object.fromEntries(found.filter(([, value]) => typeof value === 'number'));
}

function rulesOf(schema: JsonObject, keywords: readonly string[]): readonly string[] {
  return keywords
    .filter((keyword) => schema[keyword] !== undefined)
    .map((keyword) => `${keyword} ${JSON.stringify(schema[keyword])}`);
}

/** n.b. a part that cannot be compared must not hide what becomes of the others. */
function partOf(schema: JsonObject, side: Side): Described {
  return fromJsonSchema(schema, side) ?? { type: 'schema', schema };
}

const ANY_NAME: Json = { type: 'string' };

function fromObjectSchema(schema: JsonObject, side: Side): Described | undefined {
  const { propertyNames = ANY_NAME, additionalProperties } = schema;
  // What names there are is nothing that we can say.
  if (!isDeepStrictEqual(propertyNames, ANY_NAME)) return undefined;
  const required = (schema['required'] ?? []) as readonly string[];
  const fields: Record<string, Described> = {};
  for (const [name, property] of Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, JsonObject>>)) {
    const read = partOf(property, side);
    fields[name] = { ...read, ...presence(read, !required.includes(name)) };
  }
  const further = furtherOf(additionalProperties, side);
  return { type: 'object', fields, ...(further !== undefined && { further }) };
}

/** What becomes of further members where nothing is said of them: they are taken, and dropped. */
const DROPPED: Described = { type: 'json' };

function furtherOf(additional: Json | undefined, side: Side): Described | undefined {
  if (additional === undefined) return side === 'given' ? DROPPED : undefined;
  if (additional === false) return undefined;
  const isAny = typeof additional !== 'object' || isDeepStrictEqual(additional, {});
  return isAny ? { type: 'json' } : partOf(additional as JsonObject, side);
}
