import type { Json, JsonObject } from '@beds/sdk';
import fc from 'fast-check';
import {
  type Caller,
  type CheckedArgument,
  type CheckedField,
  type CheckedSpecification,
  madeKey,
  type Outcome,
  type PlayedCall,
  simulate,
} from '#sdk/spec';
import type { ScratchStage } from './scratch-stage.js';

/**
 * Calls that nobody thought of: values at the bounds and beyond, texts that hurt, keys that are not there, in any order, by anybody. The
 * model in memory and the database must let the same ones pass.
 */

/** Values as they are drawn: a reference stands for the key of something that was made, which differs between model and database. */
type Drawn = Json | Made | readonly Drawn[] | { readonly [name: string]: Drawn };

class Made {
  readonly record: string;
  readonly place: number;

  constructor(record: string, place: number) {
    this.record = record;
    this.place = place;
  }
}

interface DrawnCall {
  readonly operation: string;
  readonly args: Readonly<Record<string, Drawn>>;
  readonly user: Caller | undefined;
}

interface Given {
  readonly name: string;
  readonly type: CheckedArgument['type'];
  readonly optional: boolean;
  readonly spec: object | undefined;
  /** It names a record: one that was made, or one that is not there. */
  readonly isKey?: true;
}

interface Callable {
  readonly operation: string;
  readonly args: readonly Given[];
  /** How often it is drawn. */
  readonly weight: number;
}

export interface RandomOptions {
  readonly specification: CheckedSpecification;
  readonly stage: ScratchStage;
  /** Operations that are not called. */
  readonly without: ReadonlySet<string>;
  /** Runs, each from an empty database, and calls in each. */
  readonly runs: number;
  readonly calls: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** What the two disagree about, with the calls that lead there. */
export async function playRandomCalls(
  options: RandomOptions,
): Promise<{ readonly tried: number; readonly failures: readonly string[] }> {
  const { specification, stage, without, runs, calls, seed, signal } = options;
  const callables = callablesOf(specification).filter(({ operation }) => !without.has(operation));
  if (callables.length === 0) return { tried: 0, failures: [] };
  const arbitrary = fc.array(drawnCall(callables, callersOf(specification)), { minLength: calls, maxLength: calls });
  const probed = new Set<string>();
  const failures: string[] = [];
  let tried = 0;
  for (const drawn of fc.sample(arbitrary, { seed, numRuns: runs })) {
    await stage.empty();
    const run = new Run(specification, stage);
    for await (const call of withBounds(drawn, callables, { probed, run })) {
      signal.throwIfAborted();
      const outcome = await run.play(call);
      if (outcome === 'unknown') break;
      tried += 1;
      if (outcome === 'same') continue;
      failures.push(outcome);
      break;
    }
  }
  return { tried, failures };
}

/** Before the first call of an operation that will pass, the same with each value that does not fit: a bound that is not kept is found for sure. */
async function* withBounds(
  drawn: readonly DrawnCall[],
  callables: readonly Callable[],
  { probed, run }: { readonly probed: Set<string>; readonly run: Run },
): AsyncGenerator<DrawnCall> {
  for (const call of drawn) {
    if (!probed.has(call.operation) && (await run.wouldPass(call))) {
      probed.add(call.operation);
      yield* await run.refusedOf(unfitCalls(call, callables));
    }
    yield call;
  }
}

function unfitCalls(call: DrawnCall, callables: readonly Callable[]): readonly DrawnCall[] {
  const { args = [] } = callables.find(({ operation }) => operation === call.operation) ?? {};
  return args
    .filter(({ isKey }) => isKey !== true)
    .flatMap((arg) => unfitValues(arg).map((value) => ({ ...call, args: { ...call.args, [arg.name]: value } })));
}

/** Model and database side by side, with the keys that each of them gave. */
class Run {
  readonly #specification: CheckedSpecification;
  readonly #stage: ScratchStage;
  readonly #model: ReturnType<typeof simulate>;
  readonly #keys = new Map<string, { readonly model: Json; readonly database: Json }[]>();

  constructor(specification: CheckedSpecification, stage: ScratchStage) {
    this.#specification = specification;
    this.#stage = stage;
    this.#model = simulate(specification);
  }

  async wouldPass(drawn: DrawnCall): Promise<boolean> {
    await this.#model.keep();
    const outcome = await this.#model.call(this.#callOf(drawn, 'model')).catch((): undefined => undefined);
    await this.#model.putBack();
    return outcome?.ok === true;
  }

  /** n.b. one that passes would be in the way of the next. */
  async refusedOf(calls: readonly DrawnCall[]): Promise<readonly DrawnCall[]> {
    const refused: DrawnCall[] = [];
    for (const call of calls) if (!(await this.wouldPass(call))) refused.push(call);
    return refused;
  }

  /** 'same', 'unknown' where the model cannot say, or what differs. */
  async play(drawn: DrawnCall): Promise<string> {
    const [asked, real] = [this.#callOf(drawn, 'model'), this.#callOf(drawn, 'database')];
    const expected = await this.#model.call(asked).catch((): undefined => undefined);
    if (expected === undefined) return 'unknown';
    const found = await this.#stage.call(real);
    if (found.ok !== expected.ok || (!found.ok && found.error === 'fault')) {
      const said = JSON.stringify({ ...real, user: real.user });
      return `${said}: the specification says ${shown(expected)}, the database ${shown(found)}.`;
    }
    if (found.ok && expected.ok) this.#note(drawn.operation, { asked, real, expected, found });
    return 'same';
  }

  #note(
    operation: string,
    played: {
      readonly asked: PlayedCall;
      readonly real: PlayedCall;
      readonly expected: { readonly answer: Json };
      readonly found: { readonly answer: Json };
    },
  ): void {
    const record = madeBy(this.#specification, operation);
    if (record === undefined) return;
    const model = madeKey(this.#specification, played.asked, played.expected.answer);
    const database = madeKey(this.#specification, played.real, played.found.answer);
    if (model === null || database === null) return;
    const known = this.#keys.get(record) ?? [];
    known.push({ model, database });
    this.#keys.set(record, known);
  }

  #callOf({ operation, args, user }: DrawnCall, side: 'model' | 'database'): PlayedCall {
    const given = this.#valueOf(args, side) as JsonObject;
    return { operation, arguments: given, ...(user === undefined ? {} : { user }) };
  }

  #valueOf(value: Drawn, side: 'model' | 'database'): Json {
    if (value instanceof Made) {
      const known = this.#keys.get(value.record) ?? [];
      return known.length === 0 ? 999_999_999 : (known[value.place % known.length]?.[side] ?? null);
    }
    if (Array.isArray(value)) return (value as readonly Drawn[]).map((item) => this.#valueOf(item, side));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value as Readonly<Record<string, Drawn>>);
    return Object.fromEntries(entries.map(([name, inner]) => [name, this.#valueOf(inner, side)]));
  }
}

function shown(outcome: Outcome): string {
  return outcome.ok ? 'that it succeeds' : `${outcome.error} (${outcome.message})`;
}

function madeBy({ records, actions }: CheckedSpecification, operation: string): string | undefined {
  const record = records.find(({ operations }) =>
    operations.some(({ kind, name }) => kind === 'create' && name === operation),
  );
  if (record !== undefined) return record.name;
  return actions.find(({ name }) => name === operation)?.answers.find(({ inserted }) => inserted)?.record;
}

/** Nobody, somebody, and everybody whom the examples know. */
function callersOf({ source }: CheckedSpecification): readonly (Caller | undefined)[] {
  const named = (source.examples ?? [])
    .flatMap(({ given, call }) => [...given, call])
    .flatMap(({ user }) => user ?? []);
  const unlike = new Map(named.map((user) => [JSON.stringify(user), user as Caller]));
  return [undefined, { id: 'ann' }, ...unlike.values()];
}

/* Drawing */

function callablesOf({ records, queries, actions }: CheckedSpecification): readonly Callable[] {
  const given = ({ name, type, optional, spec }: CheckedField | CheckedArgument): Given => ({
    ...{ name, type, optional, spec },
  });
  const standard = records.flatMap((record) => {
    const keys = record.fields.filter(({ name, origin }) => record.key.includes(name) || origin === 'version');
    return record.operations.flatMap(({ kind, name }): readonly Callable[] => {
      if (kind === 'create') {
        const fields = record.fields.filter((field) => field.givenAtCreate);
        const args = fields.map((field) => ({
          ...given(field),
          optional: field.optional || field.default !== undefined,
        }));
        return [{ operation: name, args, weight: 6 }];
      }
      const key = keys.map((field) => ({
        ...ownKey(given(field), record.name),
        optional: false,
        isKey: true as const,
      }));
      if (kind === 'delete' || kind === 'fetch')
        return [{ operation: name, args: key.slice(0, record.key.length), weight: 1 }];
      if (kind !== 'update') return [];
      const fields = record.fields.filter((field) => field.givenAtUpdate && !record.key.includes(field.name));
      return [{ operation: name, args: [...key, ...fields.map(changed)], weight: 2 }];
    });
  });
  const own = actions.map(({ name, args }) => ({ operation: name, args: args.map(given), weight: 4 }));
  const reads = queries.map(({ name, args }) => ({ operation: name, args: args.map(given), weight: 1 }));
  return [...standard, ...own, ...reads];
}

function changed(field: CheckedField): Given {
  const { name, type, spec } = field;
  return { name, type, spec, optional: true };
}

/** A key that the database gives is that of a record that was made. */
function ownKey(given: Given, record: string): Given {
  return given.name === 'id' && given.spec === undefined ? { ...given, type: { kind: 'reference', record } } : given;
}

function drawnCall(callables: readonly Callable[], callers: readonly (Caller | undefined)[]): fc.Arbitrary<DrawnCall> {
  const arbitraries = callables.map(({ operation, args, weight }) => ({
    weight,
    arbitrary: fc
      .record({ args: drawnArguments(args), user: fc.constantFrom(...callers) })
      .map((drawn) => ({ operation, ...drawn })),
  }));
  return fc.oneof(...arbitraries);
}

/** Mostly what fits; now and then one that does not. */
function drawnArguments(args: readonly Given[]): fc.Arbitrary<Readonly<Record<string, Drawn>>> {
  const right = args.map((arg) => {
    const value = fitting(arg);
    return arg.optional ? fc.option(value, { nil: ABSENT, freq: 3 }) : value;
  });
  const wrong = args.map((arg) => {
    if (arg.isKey === true) return fitting(arg);
    return fc.constantFrom<Drawn>(...unfitValues(arg), null);
  });
  return fc
    .record({ values: fc.tuple(...right), others: fc.tuple(...wrong), at: fc.nat(Math.max(args.length * 4, 1)) })
    .map(({ values, others, at }) =>
      Object.fromEntries(
        args.flatMap(({ name }, index) => {
          const value = index === at ? others[index] : values[index];
          return value === ABSENT || value === undefined ? [] : [[name, value] as const];
        }),
      ),
    );
}

const ABSENT = '(absent)';

/** n.b. none ends with a space, which the server's comparison does not see. */
const TEXTS: readonly string[] = [
  'a',
  "it's",
  String.raw`\'; DROP TABLE x; --`,
  'Ünïcode 🎵',
  '100%',
  '_',
  '0',
  'NULL',
  'b',
];

interface Bounds {
  readonly min?: string;
  readonly max?: string;
  readonly max_length?: number;
  readonly mask?: string;
  readonly letter_case?: 'lower' | 'upper';
  readonly precision?: number;
  readonly max_items?: number;
  readonly min_items?: number;
}

function fitting({ type, name, spec, isKey }: Given): fc.Arbitrary<Drawn> {
  const bounds = (spec ?? {}) as Bounds;
  const [least, most] = [numberOf(bounds.min, 0), numberOf(bounds.max, 40)];
  switch (type.kind) {
    case 'text':
      return fittingText(bounds, isKey === true);
    case 'integer':
      return fc.oneof(
        fc.constantFrom(least, most),
        fc.integer({ min: least, max: Math.max(least, Math.min(most, least + 9)) }),
      );
    case 'decimal':
      return fc
        .oneof(
          fc.constantFrom(least, most),
          fc.integer({ min: least, max: Math.max(least, Math.min(most, least + 9)) }),
        )
        .map((whole) => (type.scale === 0 ? String(whole) : whole.toFixed(Math.min(type.scale, 2))));
    case 'float':
      return fc.constantFrom(least, least + 0.5);
    case 'boolean':
      return fc.boolean();
    case 'enum':
      return fc.constantFrom(...type.values);
    case 'date':
      return fc
        .integer({ min: -2, max: 40 })
        .map((days) => new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10));
    case 'time':
      return fc.constantFrom('00:00', '09:00', '12:30', '23:59');
    case 'timestamp':
      // n.b. no round distance from now: while the calls are played a rule over the time must not change its mind.
      return fc
        .integer({ min: -5, max: 200 })
        .map((hours) => new Date(Date.now() + hours * HOUR_MS + ODD_MS).toISOString());
    case 'point':
      return fc.constantFrom({ lat: 47.1, lon: 8.5 }, { lat: -90, lon: 180 });
    case 'json':
      return fc.constantFrom<Drawn>({}, { a: [1, 'x'] });
    case 'reference':
      return fc.nat(5).map((place) => new Made(type.record, place));
    case 'list':
      return fittingItems(fitting({ name, type: type.of, optional: false, spec }), bounds);
    case 'objects':
      return fittingItems(
        fc.record(Object.fromEntries(type.columns.map((column) => [column.name, fitting(column)] as const))),
        bounds,
      );
    default:
      return fc.constant(null);
  }
}

function fittingText(
  { mask, max_length: longest = 200, letter_case: fold }: Bounds,
  isKey: boolean,
): fc.Arbitrary<Drawn> {
  if (mask !== undefined) return maskedText(mask);
  // n.b. a record is named as it is stored.
  const stored = (text: string): string => (isKey && fold === 'upper' ? text.toUpperCase() : text);
  return fc
    .constantFrom(...TEXTS, 'x'.repeat(longest))
    .map((text) => stored(Array.from(text).slice(0, longest).join('').trimEnd()));
}

function fittingItems(
  item: fc.Arbitrary<Drawn>,
  { min_items: fewest = 0, max_items: most = 3 }: Bounds,
): fc.Arbitrary<Drawn> {
  return fc.array(item, { minLength: fewest, maxLength: Math.max(fewest, Math.min(most, 3)) });
}

function unfitValues({ type, spec }: Given): readonly Drawn[] {
  const bounds = (spec ?? {}) as Bounds;
  switch (type.kind) {
    case 'text':
      return ['x'.repeat((bounds.max_length ?? 200) + 1), 7, ''];
    case 'integer':
      return [numberOf(bounds.min, 0) - 1, numberOf(bounds.max, 40) + 1, 1.5, 'one'];
    case 'decimal':
      return ['x', '0.00000000001', (numberOf(bounds.min, 0) - 1).toFixed(type.scale)];
    case 'enum':
      return ['none of them', ''];
    case 'date':
      return ['2026-02-30', 'tomorrow'];
    case 'timestamp':
      return ['2026-01-01', 'now'];
    case 'reference':
      return [987_654_321];
    default:
      return ['x', 7];
  }
}

function maskedText(mask: string): fc.Arbitrary<Drawn> {
  return fc.constantFrom('1', '2', '3', 'A', 'B').map((seed) =>
    Array.from(mask, (sign) => {
      if (sign === 'd') return /\d/.test(seed) ? seed : '4';
      return sign === 'A' ? (/\d/.test(seed) ? 'C' : seed) : sign;
    }).join(''),
  );
}

/** Of a bound that is a number; of a formula what is usual. */
function numberOf(bound: string | undefined, otherwise: number): number {
  return bound !== undefined && /^-?\d+(?:\.\d+)?$/.test(bound) ? Math.round(Number(bound)) : otherwise;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const ODD_MS = 17 * 60_000;
