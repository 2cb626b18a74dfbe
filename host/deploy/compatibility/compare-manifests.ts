import { isDeepStrictEqual } from 'node:util';
import {
  CORE_OPERATIONS,
  type Manifest,
  type OperationManifest,
  type ObjectManifest,
  type Json,
  type ValueDescription,
  type ValueType,
} from '@beds/sdk';

/** The `operation` of a change that concerns the domain as a whole: its store, the domains that it calls. */
export const WHOLE_DOMAIN = '*';

/** One difference between two versions' manifests, as callers see it. */
export interface ContractChange {
  /** A caller of the old version may fail with the new one. */
  readonly breaking: boolean;
  /** What changed: an operation by its name, or WHOLE_DOMAIN (never breaking). */
  readonly operation: string;
  /** One clause: `argument limit was added without a default`. */
  readonly message: string;
}

/** A change of one operation, before it is known which. */
export type Difference = Omit<ContractChange, 'operation'>;

function breaking(message: string): Difference {
  return { breaking: true, message };
}

function compatible(message: string): Difference {
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

const MODE_CHANGES = {
  write: 'mode changed from read to write: callers send it to the other queue, and it is no longer repeated',
  read: 'mode changed from write to read: callers send it to the other queue, and it may be repeated',
} as const;

/** Compares what callers can see of two versions of a domain: breaking changes first, then by operation. */
export function compareManifests(live: Manifest, next: Manifest): readonly ContractChange[] {
  const changes = [
    ...compareOperations(live, next),
    ...compareCoreObjects(live, next),
    ...compareInside(live, next).map((difference) => ({ operation: WHOLE_DOMAIN, ...difference })),
  ];
  // Sorting is stable: the changes of one operation keep their order.
  return changes.sort((a, b) => Number(b.breaking) - Number(a.breaking) || compareText(a.operation, b.operation));
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function compareOperations(live: Manifest, next: Manifest): readonly ContractChange[] {
  return namesOfBoth(live.operations, next.operations).flatMap((operation) =>
    compareOperation(own(live.operations, operation), own(next.operations, operation)).map((difference) => ({
      operation,
      ...difference,
    })),
  );
}

function compareOperation(
  live: OperationManifest | undefined,
  next: OperationManifest | undefined,
): readonly Difference[] {
  if (next === undefined) return [breaking('the operation is gone')];
  if (live === undefined) return [compatible('the operation was added')];
  return [...compareRepeatability(live, next), ...compareArguments(live.args ?? {}, next.args ?? {})];
}

function compareRepeatability(live: OperationManifest, next: OperationManifest): readonly Difference[] {
  if (live.mode !== next.mode) return [breaking(MODE_CHANGES[next.mode])];
  // Reads always are.
  if (live.mode === 'read' || (live.idempotent === true) === (next.idempotent === true)) return [];
  if (next.idempotent === true) return [compatible('became idempotent: what is delivered twice is run again')];
  return [breaking('is no longer idempotent: what is delivered twice is not run again, and fails as indeterminate')];
}

/** What callers do not see, and operators want to read. */
function compareInside(live: Manifest, next: Manifest): readonly Difference[] {
  const core: readonly string[] = CORE_OPERATIONS;
  const renamed = Object.entries(next.objects).flatMap(([alias, { kind, name }]) => {
    const before = core.includes(alias) ? undefined : own(live.objects, alias);
    if (before === undefined || before.name === name) return [];
    return [compatible(`the ${kind} behind ${alias} is ${name} now, and was ${before.name}`)];
  });
  const store = live.store === next.store ? [] : [`store changed from ${live.store} to ${next.store}`];
  const called = next.domains.filter((domain) => !live.domains.includes(domain)).map((domain) => `calls ${domain} now`);
  const spared = live.domains
    .filter((domain) => !next.domains.includes(domain))
    .map((domain) => `calls ${domain} no longer`);
  return [...[...store, ...called, ...spared].map(compatible), ...renamed];
}

type CoreOperation = (typeof CORE_OPERATIONS)[number];

interface ObjectPair {
  readonly live: ObjectManifest;
  readonly next: ObjectManifest;
}

/** Compares create, fetch, update and delete by the objects of those names, which serve them unless code does. */
function compareCoreObjects(live: Manifest, next: Manifest): readonly ContractChange[] {
  return CORE_OPERATIONS.flatMap((operation) => {
    const pair = { live: own(live.objects, operation), next: own(next.objects, operation) };
    return [
      ...compareKeys(operation, live.key, next.key),
      ...comparePresent(operation, pair, [live.key, next.key]),
    ].map((difference) => ({ operation, ...difference }));
  });
}

function compareKeys(operation: CoreOperation, live: string, next: string): readonly Difference[] {
  if (live === next || operation === 'create') return [];
  return [breaking(`the key changed from ${live} to ${next}`)];
}

function comparePresent(
  operation: CoreOperation,
  { live, next }: { readonly live: ObjectManifest | undefined; readonly next: ObjectManifest | undefined },
  keys: readonly [live: string, next: string],
): readonly Difference[] {
  if (live === undefined && next === undefined) return [];
  if (next === undefined) return [compatible('is served by code now, whose input and result are not compared')];
  if (live === undefined) return [compatible(`has the ${next.kind} ${next.name} now; before, code served it`)];
  const renamed =
    live.name === next.name ? [] : [compatible(`the ${next.kind} is ${next.name} now, and was ${live.name}`)];
  const pair = { live, next };
  return [...renamed, ...(operation === 'delete' ? compareDelete(pair, keys) : compareObjects(pair))];
}

function compareObjects({ live, next }: ObjectPair): readonly Difference[] {
  if (live.kind === 'routine' && next.kind === 'routine') return compareArguments(live.args, next.args);
  if (live.kind === 'view' && next.kind === 'view') return compareColumns(live.columns, next.columns);
  const lost = next.kind === 'routine' ? 'orders, pages and comparisons are refused' : 'rows come in pages';
  return [breaking(`is served by a ${next.kind} now instead of a ${live.kind}: ${lost}`)];
}

/** The key is all that callers pass, whatever it is called. */
function compareDelete(
  { live, next }: ObjectPair,
  [liveKey, nextKey]: readonly [string, string],
): readonly Difference[] {
  if (live.kind !== 'routine' || next.kind !== 'routine') return [];
  return compareArgument(nextKey, own(live.args, liveKey), own(next.args, nextKey));
}

type Values = Readonly<Record<string, ValueDescription>>;

/** Types that take every value of the key, as the check of values has it. */
const TAKEN_BY: Readonly<Record<ValueType, readonly ValueType[]>> = {
  string: ['json'],
  integer: ['json'],
  number: ['json'],
  decimal: ['json'],
  boolean: ['json'],
  date: ['string', 'json'],
  datetime: ['string', 'json'],
  json: [],
};

const SHOWN_CHARACTERS = 40;

/** Compares named arguments: what a caller of `live` sends must suit `next`. */
function compareArguments(live: Values, next: Values): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => compareArgument(name, own(live, name), own(next, name)));
}

/** Compares one argument that one of the two may not have. */
function compareArgument(
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

/**
 * Compares the columns of a view: what `next` gives must suit a reader of `live`, and his conditions must still be
 * understood. Whether a column is optional says nothing: columns of rows may always be null.
 */
function compareColumns(live: Values, next: Values): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => {
    const what = `result column ${name}`;
    const before = own(live, name);
    const after = own(next, name);
    if (after === undefined) return [breaking(`${what} is gone`)];
    if (before === undefined) return [compatible(`${what} was added`)];
    const pair = { what, live: before, next: after };
    return [...compareColumnTypes(pair), ...compareBounds(pair, 'looser')];
  });
}

function compareColumnTypes({ what, live, next }: ValuePair): readonly Difference[] {
  if (live.type === next.type) return [];
  const types = `from ${live.type} to ${next.type}`;
  if (isNarrower(live.type, next.type)) return [compatible(`${what} was narrowed ${types}`)];
  if (live.type === 'string' && isWrittenAsText(next.type)) {
    return [breaking(`${what} was narrowed ${types}, so it can no longer be searched as text`)];
  }
  const isWider = isNarrower(next.type, live.type) || (next.type === 'string' && isWrittenAsText(live.type));
  return [breaking(`${what} ${isWider ? 'was widened' : 'changed'} ${types}`)];
}

/** A column declared as a number may hold whole numbers already, and JSON can be compared with null only. */
function isNarrower(live: ValueType, next: ValueType): boolean {
  return live === 'json' || (live === 'number' && next === 'integer');
}

function isWrittenAsText(type: ValueType): boolean {
  return type === 'date' || type === 'datetime' || type === 'decimal';
}

interface Facet {
  readonly name: 'maxLength' | 'min' | 'max';
  /** What a bound that is not given stands for. */
  readonly unbounded: number;
}

const FACETS: readonly Facet[] = [
  { name: 'maxLength', unbounded: Infinity },
  { name: 'min', unbounded: -Infinity },
  { name: 'max', unbounded: Infinity },
];

/** Two descriptions of a value. `what` names it: `argument limit`. */
export interface ValuePair {
  readonly what: string;
  readonly live: ValueDescription;
  readonly next: ValueDescription;
}

/** Compares length and range. What is given must still fit (`tighter` breaks); what is received must be foreseen (`looser` breaks). */
function compareBounds(pair: ValuePair, breaks: 'tighter' | 'looser'): readonly Difference[] {
  return FACETS.flatMap(({ name, unbounded }) => {
    const live = pair.live[name] ?? unbounded;
    const next = pair.next[name] ?? unbounded;
    if (live === next) return [];
    const isTighter = unbounded > 0 ? next < live : next > live;
    const message = `${name} of ${pair.what} ${describeBound({ live, next, unbounded })}`;
    return [isTighter === (breaks === 'tighter') ? breaking(message) : compatible(message)];
  });
}

function describeBound(bound: { readonly live: number; readonly next: number; readonly unbounded: number }): string {
  const { live, next, unbounded } = bound;
  if (live === unbounded) return `was set to ${String(next)}`;
  if (next === unbounded) return `(${String(live)}) is gone`;
  return `was ${next < live ? 'lowered' : 'raised'} from ${String(live)} to ${String(next)}`;
}
