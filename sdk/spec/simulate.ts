import type { Json, JsonObject } from '../template/json.js';
import { withArticle, withCapital } from './article.js';
import type {
  CheckedAction,
  CheckedArgument,
  CheckedField,
  CheckedRecord,
  CheckedRollup,
  CheckedRule,
  CheckedSpecification,
  CheckedStep,
  ErrorClass,
  Formula,
  Message,
  NamedFormula,
  StandardOperation,
  Type,
} from './checked.js';
import { compareSame, computeFormula, type Surroundings } from './compute.js';
import { Exact } from './exact.js';
import { type Computed, FUNCTIONS, local, printed } from './functions.js';
import type { NamedValue } from './language.js';
import type { Caller, Outcome, PlayedCall, Stage } from './play.js';
import { answerQuery, type PageOf } from './simulate-query.js';
import {
  type Condition,
  type Held,
  type Names,
  type Narrow,
  type Row,
  same,
  type Stored,
  type StoredElsewhere,
  type StoredItem,
  totalOf,
  withEach,
} from './simulated-rows.js';
import { partsOf } from './type-formula.js';
import { fromWire, toWire, ValueError } from './wire-values.js';

/**
 * A domain in memory, by the rules of its specification: what a host with a database must do, call for call, but one call after the
 * other. Examples are tried on it before there is a database, and what a generator makes is compared with it.
 */

export type Table = ReadonlyMap<number, Row>;

const NO_NAMES: Names = {
  rows: new Map(),
  variables: new Map(),
  answers: new Map(),
  positions: new Map(),
  args: {},
};

/** More than any example needs: loops inside of loops do not end in time. */
const MOST_STEPS = 50_000;

/** Formulas and rows between two looks at the clock. */
const SPENT_AT_ONCE = 1_000;

/** The call takes longer than it is worth. */
class TooLong extends Error {}

/** A rule has said no. */
export class Refusal extends Error {
  readonly kind: ErrorClass;

  constructor(kind: ErrorClass, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Rows that a call has changed; without `after` it has removed them, without `before` added them. */
export interface RowChange {
  readonly record: string;
  readonly id: number;
  readonly before?: Row;
  readonly after?: Row;
  /** What its unique rules compare, by their names; none where the row does not count. */
  readonly uniqueBefore: Readonly<Record<string, string>>;
  readonly uniqueAfter: Readonly<Record<string, string>>;
  /** It has ended by itself, and is only written down: whatever else the call does. */
  readonly isExpiry?: true;
}

export interface RowName {
  readonly record: string;
  readonly id: number;
}

/** What a call comes to, on data that are stored elsewhere: what is answered once all of it is written. */
export interface Performed {
  readonly answer: Json;
  readonly changes: readonly RowChange[];
  /** Rows that nobody else may change meanwhile. */
  readonly locks: readonly RowName[];
  /** Rows that are named by what is written: they must still be there. */
  readonly named: readonly RowName[];
  /** What has no row and is locked all the same: types of record, and who shares a span of time. */
  readonly lockedNames: readonly string[];
  readonly counters: ReadonlyMap<string, number>;
}

export interface StoredDomain extends StoredElsewhere {
  /** What has been read, by numbers of the reader's own choice from 1 on. */
  readonly tables: ReadonlyMap<string, Table>;
  readonly now: Date;
}

/** Carries out a call on data that are stored elsewhere, and changes nothing. Throws Missing, Refusal, ValueError. */
export function performOn(
  specification: CheckedSpecification,
  call: PlayedCall & { readonly page?: PageOf | undefined },
  stored: StoredDomain,
): Performed {
  return World.on(specification, stored, call.user).perform(call);
}

/** What a row comes to by the rules, whoever has stored it: its totals, and what its unique rules compare. Throws Missing. */
export function settledRow(
  specification: CheckedSpecification,
  row: RowName,
  stored: StoredDomain,
): { readonly totals: Row; readonly unique: Readonly<Record<string, string>> } {
  return World.on(specification, stored, undefined).settledRow(row);
}

/** The rows that are there from the start. */
export function firstRows(specification: CheckedSpecification): readonly RowChange[] {
  return World.begin(specification, new Date()).changes();
}

/** Rows that a database numbers from 1 on; new ones are told apart from them. */
const FIRST_NEW_ID = 1_000_000_000;

export interface SimulationOptions {
  /** Where its clock begins. Default: now. */
  readonly now?: Date;
}

/** A stage in memory. */
export function simulate(specification: CheckedSpecification, options: SimulationOptions = {}): SimulatedStage {
  const begins = options.now ?? new Date();
  let passedMs = 0;
  const now = (): Date => new Date(begins.getTime() + passedMs);
  let world = World.begin(specification, now());
  let kept = world;
  return {
    now,
    pass: async (ms) => {
      passedMs += ms;
    },
    call: async (call) => {
      const next = world.at(now(), call.user);
      try {
        const answer = next.carryOut(call);
        world = next;
        return { ok: true, answer };
      } catch (error) {
        return outcomeOf(error);
      }
    },
    keep: async () => {
      kept = world;
    },
    putBack: async () => {
      world = kept;
    },
  };
}

export interface SimulatedStage extends Stage {
  readonly keep: () => Promise<void>;
  readonly putBack: () => Promise<void>;
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof Refusal) return { ok: false, error: error.kind, message: error.message };
  if (error instanceof ValueError) return { ok: false, error: 'invalid', message: error.message };
  throw error;
}

/** Everything that is stored, at a moment, for a caller. Changes stay in this copy until the next is made of it. */
class World {
  readonly specification: CheckedSpecification;
  readonly now: Date;
  readonly user: Caller | undefined;
  readonly #tables: Map<string, Table>;
  readonly #counters: Map<string, number>;
  #nextId: number;
  #seesAll = false;
  #stepsLeft = MOST_STEPS;
  #spent = 0;
  /** Rollups whose rules are tested when the call ends: they are changed once, by all that it did. */
  readonly #touched = new Map<string, Held>();
  /** Absent: everything is in memory. */
  #source: StoredDomain | undefined;
  readonly #settled = new Map<string, Held>();
  readonly #locks = new Map<string, RowName>();
  readonly #named = new Map<string, RowName>();
  readonly #lockedNames = new Set<string>();
  readonly #keysGiven = new Map<string, number>();
  readonly #expired = new Set<string>();
  #randoms = 0;

  private constructor(
    specification: CheckedSpecification,
    at: { readonly now: Date; readonly user: Caller | undefined },
    data: { readonly tables: Map<string, Table>; readonly counters: Map<string, number>; readonly nextId: number },
  ) {
    this.specification = specification;
    this.now = at.now;
    this.user = at.user;
    this.#tables = data.tables;
    this.#counters = data.counters;
    this.#nextId = data.nextId;
  }

  static begin(specification: CheckedSpecification, now: Date): World {
    const tables = new Map(specification.records.map(({ name }) => [name, new Map() as Table] as const));
    const world = new World(specification, { now, user: undefined }, { tables, counters: new Map(), nextId: 1 });
    for (const record of specification.records) {
      for (const { values } of record.spec.rows ?? []) world.insert(record, world.#given(record, values), NO_NAMES);
    }
    return world;
  }

  /** n.b. of what is stored elsewhere; `tables` hold what has been read of it. */
  static on(specification: CheckedSpecification, source: StoredDomain, user: Caller | undefined): World {
    const data = { tables: new Map(source.tables), counters: new Map<string, number>(), nextId: FIRST_NEW_ID };
    const world = new World(specification, { now: source.now, user }, data);
    world.#source = source;
    return world;
  }

  perform({ page, ...call }: PlayedCall & { readonly page?: PageOf | undefined }): Performed {
    const answer = this.carryOut(call, page);
    return {
      answer,
      changes: this.changes(),
      locks: [...this.#locks.values()],
      named: [...this.#named.values()],
      lockedNames: [...this.#lockedNames].toSorted(),
      counters: this.#counters,
    };
  }

  /** n.b. totals are written down at the end only: until then they are what is stored and what has changed since. */
  changes(): readonly RowChange[] {
    const totals = new Map<string, Row>();
    for (const [name, held] of this.#settled) {
      const row = this.#stored(held);
      if (row === undefined) continue;
      const rollups = this.record(held.record).fields.filter(({ rollup }) => rollup !== undefined);
      const values = rollups.map((field) => [field.name, this.valueOf(held, field.name)] as const);
      // n.b. a total that comes out as it is stored is not written: its record may be another document.
      if (values.some(([field, value]) => !isSame(value, row[field])))
        totals.set(name, { ...row, ...Object.fromEntries(values) });
    }
    return this.specification.records.flatMap(({ name }) => {
      const [before, after] = [this.#source?.tables.get(name) ?? new Map<number, Row>(), this.#table(name)];
      return [...new Set([...before.keys(), ...after.keys()])].flatMap((id): readonly RowChange[] => {
        const [was, is] = [before.get(id), totals.get(`${name} ${String(id)}`) ?? after.get(id)];
        if (was === is) return [];
        return [
          {
            record: name,
            id,
            ...(was === undefined ? {} : { before: was }),
            ...(is === undefined ? {} : { after: is }),
            uniqueBefore: this.#uniqueKeys(name, id, was),
            uniqueAfter: this.#uniqueKeys(name, id, is),
            ...(this.#expired.has(`${name} ${String(id)}`) ? { isExpiry: true } : {}),
          },
        ];
      });
    });
  }

  settledRow({ record, id }: RowName): ReturnType<typeof settledRow> {
    const rollups = this.record(record).fields.filter(({ rollup }) => rollup !== undefined);
    const totals = rollups.map(({ name }) => [name, this.valueOf({ record, id }, name)] as const);
    return {
      totals: Object.fromEntries(totals),
      unique: this.#uniqueKeys(record, id, this.#table(record).get(id)),
    };
  }

  #uniqueKeys(name: string, id: number, row: Row | undefined): Readonly<Record<string, string>> {
    const record = this.record(name);
    if (row === undefined || record.unique.length === 0) return {};
    const own = this.#own({ record: name, id, values: row });
    if (!this.#isThere({ record: name, id, values: row })) return {};
    const tenant = record.spec.per_tenant === true ? [row['tenant'] ?? null] : [];
    const keys = record.unique.flatMap((unique) => {
      if (unique.when !== undefined && this.compute(unique.when, own) !== true) return [];
      const values = [...tenant, ...unique.fields.map((field) => this.compute(field, own))];
      if (values.includes(null)) return [];
      return [[unique.name, JSON.stringify(values.map((value) => printed(value as Computed)))] as const];
    });
    return Object.fromEntries(keys);
  }

  #lock(held: Held | null): void {
    if (held?.id !== undefined)
      this.#locks.set(`${held.record} ${String(held.id)}`, { record: held.record, id: held.id });
  }

  /** A row of reference data. */
  #given(record: CheckedRecord, values: readonly NamedValue[]): Row {
    const entries = values.flatMap(({ name, value }) => {
      const field = record.fields.find((one) => one.name === name);
      if (field === undefined) return [];
      return [[name, fromWire(plainValue(value), { type: this.#typed(field.type), name })] as const];
    });
    return Object.fromEntries(entries);
  }

  at(now: Date, user: Caller | undefined): World {
    const data = { tables: new Map(this.#tables), counters: new Map(this.#counters), nextId: this.#nextId };
    const world = new World(this.specification, { now, user }, data);
    world.#source = this.#source;
    return world;
  }

  get zone(): string {
    return this.specification.source.zone;
  }

  /* Calls */

  carryOut({ operation, arguments: given }: PlayedCall, page?: PageOf): Json {
    const { records, queries, actions } = this.specification;
    const query = queries.find(({ name }) => name === operation);
    if (query !== undefined) {
      const names = this.#withArguments(query.args, given);
      this.#allow(query.allowed, names);
      for (const rule of query.requires) this.#hold(rule, names, 'invalid');
      const answer = answerQuery(this, query, { ...names, page });
      if (answer === undefined) throw new Refusal('not_found', 'There is none.');
      return answer;
    }
    const action = actions.find(({ name }) => name === operation);
    if (action !== undefined) {
      const names = this.#withArguments(action.args, given);
      this.#allow(action.allowed, names);
      const { answer } = this.#act(action, names);
      this.#settle();
      return answer();
    }
    for (const record of records) {
      const standard = record.operations.find(({ name }) => name === operation);
      if (standard === undefined) continue;
      const answer = this.#standard(record, standard.kind, given);
      this.#settle();
      return answer();
    }
    const swept = records.find(({ name, expires }) => expires !== undefined && operation === `sweep_${name}`);
    if (swept !== undefined) return this.#sweep(swept, Number(given['most'] ?? 1));
    throw new Refusal('not_found', `There is no operation ${operation}.`);
  }

  /** Writes down what has expired; how many. */
  #sweep(record: CheckedRecord, most: number): number {
    const { expires } = record;
    if (expires === undefined) return 0;
    const narrow = { where: [expires.when], as: 'this', names: NO_NAMES };
    this.#source?.need(record.name, this.#conditions(record, narrow, { isStored: true }));
    const expired = [...this.#table(record.name)].filter(([id, row]) =>
      this.#hasExpired({ record: record.name, id }, row),
    );
    for (const [id] of expired.slice(0, most)) {
      const held = { record: record.name, id };
      this.#write(record.name, id, expires.set === undefined ? undefined : this.#effective(held));
    }
    return Math.min(expired.length, most);
  }

  #standard(record: CheckedRecord, kind: StandardOperation['kind'], given: JsonObject): () => Json {
    const known = (name: string): boolean => record.fields.some((field) => field.name === name);
    const strange = Object.keys(given).find((name) => !known(name));
    if (strange !== undefined) throw new Refusal('invalid', `${strange} is not known.`);
    const value = (name: string): Stored => {
      const field = record.fields.find((one) => one.name === name);
      return fromWire(given[name] ?? null, {
        type: this.#typed(field?.type ?? { kind: 'text' }),
        name,
        bounds: field?.spec,
      });
    };
    if (kind === 'list') {
      const names = Object.keys(given);
      const wanted = names.map((name) => [name, value(name)] as const);
      const all = this.rowsOf(record.name, { equal: wanted });
      const fits = withEach(all, (held) => wanted.every(([name, is]) => same(this.valueOf(held, name), is)));
      const rows = all.filter((_, index) => fits[index]);
      return () => ({ rows: withEach(rows, (held) => this.shown(held)) });
    }
    if (kind === 'create') {
      const row: Record<string, Stored> = {};
      for (const field of record.fields) {
        if (!(field.name in given)) continue;
        if (!field.givenAtCreate) throw new Refusal('invalid', `${field.name} is not given.`);
        if (given[field.name] !== null) row[field.name] = value(field.name);
      }
      const held = this.insert(record, row, NO_NAMES);
      this.#lockAnchors(record, held);
      return () => this.shown(held);
    }
    const key = record.key.map((name) => [name, value(name)] as const);
    const held = this.rowsOf(record.name, { equal: key }).find((one) =>
      key.every(([name, is]) => same(this.valueOf(one, name), is)),
    );
    if (held === undefined) throw new Refusal('not_found', `There is no such ${record.name}.`);
    if (kind === 'fetch') return () => this.shown(held);
    if (kind === 'delete') {
      const before = this.shown(held);
      this.#lockAnchors(record, held);
      this.delete(held);
      return () => before;
    }
    const changes: Record<string, Stored> = {};
    for (const field of record.fields) {
      if (!(field.name in given) || record.key.includes(field.name)) continue;
      if (field.origin === 'version') {
        if (!same(this.valueOf(held, field.name), value(field.name)))
          throw new Refusal('conflict', `Somebody else has changed the ${record.name} meanwhile.`);
        continue;
      }
      if (!field.givenAtUpdate) throw new Refusal('invalid', `${field.name} is not changed by update.`);
      changes[field.name] = value(field.name);
    }
    if (record.spec.version === true && !('version' in given)) throw new Refusal('invalid', 'The version is missing.');
    this.#lockAnchors(record, held, changes);
    this.update(held, changes);
    this.#lockAnchors(record, held, changes);
    return () => this.shown(held);
  }

  /** What actions lock that decide by sets of this record. */
  #lockAnchors({ anchors }: CheckedRecord, held: Held, changes?: Row): void {
    if (this.#source === undefined) return;
    for (const { record, via, fields } of anchors) {
      if (changes !== undefined && !fields.some((field) => field in changes)) continue;
      if (via === undefined) this.#lockedNames.add(record);
      else this.#lock(this.#find(record, this.valueOf(held, via), held));
    }
  }

  #withArguments(args: readonly CheckedArgument[], given: JsonObject): Names {
    const strange = Object.keys(given).find((name) => !args.some((argument) => argument.name === name));
    if (strange !== undefined) throw new Refusal('invalid', `${strange} is not known.`);
    const values: Record<string, Stored> = {};
    for (const argument of args) {
      const { name, spec } = argument;
      const raw = given[name] ?? null;
      if (raw === null) {
        if (argument.default !== undefined) values[name] = this.compute(argument.default, NO_NAMES);
        else if (argument.optional) values[name] = null;
        else throw new Refusal('invalid', `${name} is missing.`);
        continue;
      }
      const value = fromWire(raw, { type: this.#typed(argument.type), name, bounds: spec });
      for (const one of Array.isArray(value) && argument.type.kind === 'list' ? (value as Stored[]) : [value])
        this.#bound(name, one, argument);
      values[name] = value;
    }
    return { ...NO_NAMES, args: values };
  }

  #bound(
    name: string,
    value: Stored,
    { min, max, multipleOf }: { readonly min?: Formula; readonly max?: Formula; readonly multipleOf?: Formula },
  ): void {
    if (value === null) return;
    const least = min === undefined ? null : this.compute(min, NO_NAMES);
    const most = max === undefined ? null : this.compute(max, NO_NAMES);
    const step = multipleOf === undefined ? null : this.compute(multipleOf, NO_NAMES);
    if (least !== null && compareSame(value as Computed, least as Computed) < 0)
      throw new Refusal('invalid', `${name} is at least ${printed(least as Computed)}.`);
    if (most !== null && compareSame(value as Computed, most as Computed) > 0)
      throw new Refusal('invalid', `${name} is at most ${printed(most as Computed)}.`);
    if (step instanceof Exact && value instanceof Exact && value.remainder(step)?.digits !== 0n)
      throw new Refusal('invalid', `${name} is a multiple of ${step.toString()}.`);
  }

  #allow(allowed: Formula | undefined, names: Names): void {
    if (allowed !== undefined && this.compute(allowed, names) !== true)
      throw new Refusal('forbidden', 'The caller may not do this.');
  }

  #hold({ rule, message }: CheckedRule, names: Names, kind: ErrorClass): void {
    if (this.compute(rule, names) !== true) throw new Refusal(kind, this.#said(message, names));
  }

  #said(message: Message, names: Names): string {
    return message
      .map((part) => (typeof part === 'string' ? part : printed(this.compute(part, names) as Computed)))
      .join('');
  }

  /* Rows */

  record(name: string): CheckedRecord {
    const found = this.specification.records.find((record) => record.name === name);
    if (found === undefined) throw new TypeError(`there is no record ${name}`);
    return found;
  }

  keyFields(name: string): readonly CheckedField[] {
    const { key, fields } = this.record(name);
    return key.flatMap((one) => fields.find((field) => field.name === one) ?? []);
  }

  #table(name: string): Table {
    return this.#tables.get(name) ?? new Map();
  }

  #write(record: string, id: number, row: Row | undefined): void {
    const table = new Map(this.#table(record));
    if (row === undefined) table.delete(id);
    else table.set(id, row);
    this.#tables.set(record, table);
  }

  /** Every row that is there at this moment, as far as the caller may see it. */
  rowsOf(
    record: string,
    { all = false, equal, ...narrow }: Partial<Narrow> & { readonly all?: boolean; readonly equal?: Equal } = {},
  ): readonly Held[] {
    if (this.#source !== undefined && !this.#isRead(record, { ...narrow, equal })) return [];
    const rows = [...this.#table(record).keys()].map((id): Held => ({ record, id }));
    this.spend(rows.length);
    const isSeen = withEach(rows, (held) => this.#isThere(held) && (all || this.#isVisible(held)));
    return rows.filter((_, index) => isSeen[index]);
  }

  /** Every row that is stored, those that were deleted and are only hidden too; what has ended is gone. */
  #storedRows(record: string, equal: Equal): readonly Held[] {
    if (this.#source !== undefined && !this.#isRead(record, { equal })) return [];
    const { expires } = this.record(record);
    return [...this.#table(record)]
      .map(([id, row]) => [{ record, id } satisfies Held, row] as const)
      .filter(([held, row]) => expires?.set !== undefined || !this.#hasExpired(held, row))
      .map(([held]) => held);
  }

  /** Asks for what may fit, where it is stored elsewhere. False: nothing can. */
  #isRead(
    record: string,
    { equal, where, as, names }: Partial<Narrow> & { readonly equal: Equal | undefined },
  ): boolean {
    const of = this.record(record);
    const given = (equal ?? []).flatMap(([field, value]): readonly Condition[] =>
      this.#isFound(of, field, false) ? [{ field, op: '=', value }] : [],
    );
    if ((equal ?? []).some(([, value]) => value === null)) return false;
    const narrow = { where: where ?? [], as: as ?? 'this', names: names ?? NO_NAMES };
    const conditions = [...given, ...this.#conditions(of, narrow)];
    if (conditions.some(({ value }) => value === null)) return false;
    this.#source?.need(record, conditions);
    return true;
  }

  /** Whether rows are found by what is stored in the field: it is what readers see. */
  #isFound({ fields, expires }: CheckedRecord, name: string, isStored: boolean): boolean {
    const field = fields.find((one) => one.name === name);
    const changes = !isStored && expires?.set?.some((one) => one.name === name) === true;
    const isPlain = field !== undefined && !['json', 'list', 'objects', 'point'].includes(field.type.kind);
    return isPlain && field.computed === undefined && field.rollup === undefined && !changes;
  }

  /** Parts of a filter by which a database finds rows. */
  #conditions(
    record: CheckedRecord,
    { where, as, names }: Narrow,
    { isStored = false }: { readonly isStored?: boolean } = {},
  ): readonly Condition[] {
    const isKnown = (formula: Formula): boolean =>
      partsOf(formula).every(
        (part) =>
          !['total', 'window'].includes(part.node) &&
          ((part.node !== 'field' && part.node !== 'row') || (part.row !== as && names.rows.has(part.row))) &&
          // n.b. inside of a set the row around it has another name.
          part.node !== 'set',
      );
    const fieldOf = (formula: Formula): string | undefined =>
      formula.node === 'field' &&
      formula.row === as &&
      formula.path.length === 0 &&
      this.#isFound(record, formula.field, isStored)
        ? formula.field
        : undefined;
    const value = (formula: Formula): Stored => this.compute(formula, names);
    const found = (part: Formula): readonly Condition[] => {
      if (part.node === 'and') return part.of.flatMap(found);
      if (part.node === 'or') {
        const open = part.of.filter((one) => !isKnown(one) || value(one) === true);
        const [only, ...others] = open;
        return only === undefined || others.length > 0 || isKnown(only) ? [] : found(only);
      }
      if (part.node === 'in' && !part.not) {
        const field = fieldOf(part.of);
        const list = 'node' in part.list ? [part.list] : part.list;
        if (field === undefined || !list.every(isKnown)) return [];
        const values = list.map(value).flatMap((one) => (Array.isArray(one) ? (one as readonly Stored[]) : [one]));
        return [{ field, op: 'in', value: values.filter((one) => one !== null) as Stored }];
      }
      if (part.node !== 'compare' || part.op === '!=') return [];
      const { op, left, right } = part;
      const [own, other] = [fieldOf(left), fieldOf(right)];
      if (own !== undefined && isKnown(right)) return comparison(record, { field: own, op, value: value(right) });
      return other !== undefined && isKnown(left)
        ? comparison(record, { field: other, op: TURNED[op], value: value(left) })
        : [];
    };
    return where.flatMap(found);
  }

  #isThere(held: Held): boolean {
    const row = this.#stored(held);
    if (row === undefined) return false;
    const { expires, spec } = this.record(held.record);
    if (spec.soft_delete === true && row['deleted_at'] !== undefined && row['deleted_at'] !== null) return false;
    return !(expires !== undefined && expires.set === undefined && this.#hasExpired(held, row));
  }

  #isVisible(held: Held): boolean {
    const { spec, rowAccess } = this.record(held.record);
    if (spec.per_tenant === true && !same(this.#effective(held)['tenant'] ?? null, this.user?.tenant ?? null))
      return false;
    return this.#seesAll || rowAccess === undefined || this.#access(rowAccess.read, held);
  }

  /** What belongs to an organisation has to do with its own only. */
  #areOfOne(one: Held, other: Held): boolean {
    const isBound = [one, other].every(({ record }) => this.record(record).spec.per_tenant === true);
    const tenantOf = (held: Held): Stored => this.#stored(held)?.['tenant'] ?? null;
    return !isBound || same(tenantOf(one), tenantOf(other));
  }

  /** n.b. sets that decide who sees a record look at all records: else they would ask themselves. */
  #access(formula: Formula, held: Held): boolean {
    return this.#seeingAll(() => this.compute(formula, this.#own(held)) === true);
  }

  #seeingAll<T>(work: () => T): T {
    const before = this.#seesAll;
    this.#seesAll = true;
    try {
      return work();
    } finally {
      this.#seesAll = before;
    }
  }

  #stored({ record, id, values }: Held): Row | undefined {
    return values ?? this.#table(record).get(id ?? -1);
  }

  #hasExpired(held: Held, row: Row): boolean {
    const { expires } = this.record(held.record);
    if (expires === undefined) return false;
    const names = this.#own({ ...held, values: row });
    if (this.#computeStored(expires.when, names) !== true) return false;
    const at = this.#computeStored(expires.at, names);
    if (at === null) return false;
    return at instanceof Date ? at <= this.now : printed(at as Computed) <= local(this.now, this.zone).date;
  }

  /** n.b. what has expired is asked of the row as it is stored: its own end must not hide itself. */
  #computeStored(formula: Formula, names: Names): Stored {
    return this.#computeWith(formula, names, (held, field) => this.#fieldOf(held, field, this.#stored(held) ?? {}));
  }

  /** The row as readers see it: with what its end has changed. */
  #effective(held: Held): Row {
    const row = this.#stored(held) ?? {};
    const { expires } = this.record(held.record);
    if (expires?.set === undefined || !this.#hasExpired(held, row)) return row;
    const names = this.#own({ ...held, values: row });
    const changes = expires.set.map(({ name, value }) => [name, this.#computeStored(value, names)] as const);
    return { ...row, ...Object.fromEntries(changes) };
  }

  #own(held: Held): Names {
    return { ...NO_NAMES, rows: new Map([['this', held]]), own: 'this' };
  }

  valueOf(held: Held | null, field: string): Stored {
    return held === null ? null : this.#fieldOf(held, field, this.#effective(held));
  }

  #fieldOf(held: Held, name: string, row: Row): Stored {
    const field = this.record(held.record).fields.find((one) => one.name === name);
    if (field?.computed !== undefined) return this.compute(field.computed, this.#own({ values: row, ...held }));
    if (field?.rollup === undefined) return row[name] ?? null;
    const { rollup } = field;
    const { child, via, value, when, function: kind } = rollup;
    const known = held.id === undefined ? undefined : this.#source?.tables.get(held.record)?.get(held.id)?.[name];
    const key = this.keyOf(held);
    return this.#seeingAll(() => {
      if (known instanceof Exact && (kind === 'sum' || kind === 'count')) return this.#totalSince(known, rollup, key);
      const isNew = this.#source !== undefined && (held.id ?? 0) >= FIRST_NEW_ID;
      const children = (isNew ? this.#newRows(child) : this.rowsOf(child, { all: true, equal: [[via, key]] })).filter(
        (one) =>
          same(this.valueOf(one, via), key) &&
          this.#areOfOne(one, held) &&
          (when === undefined || this.compute(when, this.#own(one)) === true),
      );
      const values = children.map((one) =>
        value === undefined ? (one.id ?? 0) : this.compute(value, this.#own(one)),
      ) as Computed[];
      return totalOf(kind, values, false);
    });
  }

  /** A total that is stored, and what this call has changed of it. */
  #totalSince(known: Exact, { child, via, value, when, function: kind }: CheckedRollup, key: Stored): Exact {
    const before = this.#source?.tables.get(child) ?? new Map<number, Row>();
    const after = this.#table(child);
    const counted = (id: number, row: Row | undefined): Exact => {
      if (row === undefined) return Exact.of(0);
      const held = { record: child, id, values: row };
      const names = this.#own(held);
      const counts =
        this.#isThere(held) &&
        same(row[via] ?? null, key) &&
        (when === undefined || this.compute(when, names) === true);
      if (!counts) return Exact.of(0);
      const amount = value === undefined ? Exact.of(1) : this.compute(value, names);
      if (amount === null) return Exact.of(0);
      return kind === 'count' ? Exact.of(1) : Exact.of(printed(amount as Computed));
    };
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter((id) => before.get(id) !== after.get(id));
    return changed.reduce(
      (total, id) => total.plus(counted(id, after.get(id))).plus(counted(id, before.get(id)).negated()),
      known,
    );
  }

  #newRows(record: string): readonly Held[] {
    const ids = [...this.#table(record).keys()].filter((id) => id >= FIRST_NEW_ID);
    return ids.map((id): Held => ({ record, id })).filter((held) => this.#isThere(held));
  }

  /** The value by which references name a row. n.b. no end of a record changes it, and what an end sets may be a total, which asks for it. */
  keyOf(held: Held): Stored {
    const [first, ...others] = this.record(held.record).key;
    if (others.length > 0 || first === undefined) return held.id ?? null;
    return this.#fieldOf(held, first, this.#stored(held) ?? {});
  }

  /** The row that another one names by its key. */
  #find(record: string, key: Stored, from: Held): Held | null {
    if (key === null) return null;
    const [name = 'id'] = this.record(record).key;
    return (
      this.rowsOf(record, { all: true, equal: [[name, key]] }).find(
        (held) => same(this.keyOf(held), key) && this.#areOfOne(from, held),
      ) ?? null
    );
  }

  /** A row as callers see it. */
  shown(held: Held): JsonObject {
    const { fields } = this.record(held.record);
    return Object.fromEntries(
      fields.map(({ name, type }) => [name, toWire(this.valueOf(held, name), this.#typed(type))] as const),
    );
  }

  /** A reference is a value of the type of the key that it names. */
  #typed(type: Type): Type {
    if (type.kind === 'list') return { kind: 'list', of: this.#typed(type.of) };
    if (type.kind === 'objects')
      return { kind: 'objects', columns: type.columns.map((each) => ({ ...each, type: this.#typed(each.type) })) };
    if (type.kind !== 'reference') return type;
    const { key, fields } = this.record(type.record);
    const own = fields.find(({ name }) => name === key[0])?.type ?? { kind: 'text' };
    return own.kind === 'reference' && own.record === type.record ? { kind: 'text' } : this.#typed(own);
  }

  typed(type: Type): Type {
    return this.#typed(type);
  }

  /* Writes */

  insert(record: CheckedRecord, given: Row, names: Names): Held {
    const row: Record<string, Stored> = { ...given };
    const id = this.#nextId;
    this.#nextId += 1;
    for (const field of record.fields) {
      const { name, origin } = field;
      if (row[name] !== undefined && row[name] !== null) continue;
      if (origin === 'key') row[name] = this.#newKey(record, id);
      else if (origin === 'tenant') {
        if (this.user?.tenant === undefined) throw new Refusal('forbidden', 'The caller belongs to no organisation.');
        row[name] = this.user.tenant;
      } else if (origin === 'version') row[name] = Exact.of(1);
      else if (name === 'created_at' || name === 'changed_at')
        row[name] = origin === 'timestamps' ? this.now : (row[name] ?? null);
      else if (name === 'created_by' || name === 'changed_by')
        row[name] = origin === 'timestamps' ? (this.user?.id ?? null) : (row[name] ?? null);
      else if (field.isState) row[name] = record.spec.states?.start ?? null;
      else if (field.default !== undefined && !(name in given)) row[name] = this.compute(field.default, names);
    }
    for (const { name, numbering } of record.fields) {
      if (numbering === undefined) continue;
      const own = this.#own({ record: record.name, values: row });
      const per = numbering.per.map((formula) => printed(this.compute(formula, own) as Computed));
      const counter = JSON.stringify([
        record.name,
        name,
        row['tenant'] === undefined ? '' : printed(row['tenant'] as Computed),
        ...per,
      ]);
      const next = (this.#counters.get(counter) ?? this.#source?.counter(counter) ?? 0) + 1;
      this.#counters.set(counter, next);
      row[name] = Exact.of(next);
    }
    this.#write(record.name, id, folded(record, row));
    const held = { record: record.name, id };
    this.#test(record, held, undefined);
    this.#mayWrite(record, held);
    return held;
  }

  #newKey({ name, keyKind }: CheckedRecord, id: number): Stored {
    if (this.#source !== undefined) {
      const nth = this.#keysGiven.get(name) ?? 0;
      this.#keysGiven.set(name, nth + 1);
      return this.#source.newKey(name, nth);
    }
    return keyKind === 'uuid' ? `00000000-0000-4000-8000-${String(id).padStart(12, '0')}` : new Exact(BigInt(id), 0);
  }

  update(held: Held, changes: Row): void {
    const record = this.record(held.record);
    this.#mayWrite(record, held);
    this.#change(held, changes);
    this.#mayWrite(record, held);
  }

  #change(held: Held, changes: Row): void {
    const record = this.record(held.record);
    const before = this.#effective(held);
    this.#isFixed(record, held);
    const isVersioned = record.spec.version === true ? { version: (before['version'] as Exact).plus(Exact.of(1)) } : {};
    const stamps = record.spec.timestamps === true ? { changed_at: this.now, changed_by: this.user?.id ?? null } : {};
    this.#write(held.record, held.id ?? -1, folded(record, { ...before, ...changes, ...isVersioned, ...stamps }));
    this.#test(record, held, before);
  }

  delete(held: Held): void {
    const record = this.record(held.record);
    this.#mayWrite(record, held);
    if (record.spec.soft_delete !== true) {
      this.#remove(held);
      return;
    }
    this.#isFixed(record, held);
    this.#touch(held);
    this.#write(held.record, held.id ?? -1, { ...this.#stored(held), deleted_at: this.now });
  }

  /** n.b. who may delete a record deletes what goes with it. */
  #remove(held: Held): void {
    const record = this.record(held.record);
    this.#isFixed(record, held);
    const key = this.keyOf(held);
    this.#touch(held);
    for (const { child, field } of this.#referrersOf(record.name)) {
      const children = this.#storedRows(child.name, [[field.name, key]]).filter(
        (each) => same(this.#stored(each)?.[field.name] ?? null, key) && this.#areOfOne(each, held),
      );
      for (const one of children) {
        if (this.#stored(one) === undefined) continue;
        if (field.origin === 'parent' || field.onDelete === 'cascade') this.#remove(one);
        else if (field.onDelete === 'set_null') this.#change(one, { [field.name]: null });
        else throw new Refusal('conflict', `${withCapital(withArticle(child.name))} names it.`);
      }
    }
    this.#write(held.record, held.id ?? -1, undefined);
  }

  #referrersOf(name: string): readonly { readonly child: CheckedRecord; readonly field: CheckedField }[] {
    return this.specification.records.flatMap((child) =>
      child.fields
        .filter(({ type }) => type.kind === 'reference' && type.record === name)
        .map((field) => ({ child, field })),
    );
  }

  #isFixed({ name, immutableWhen }: CheckedRecord, held: Held): void {
    if (immutableWhen === undefined) return;
    if (this.#seeingAll(() => this.compute(immutableWhen, this.#own(held)) === true))
      throw new Refusal('conflict', `The ${name} is not changed any more.`);
  }

  #mayWrite({ rowAccess }: CheckedRecord, held: Held): void {
    if (rowAccess !== undefined && !this.#access(rowAccess.write, held))
      throw new Refusal('forbidden', 'The caller may not change it.');
  }

  /** What must hold of a row that was written. */
  #test(record: CheckedRecord, held: Held, before: Row | undefined): void {
    const names = this.#own(held);
    const row = this.#stored(held) ?? {};
    for (const field of record.fields) {
      const value = row[field.name] ?? null;
      if (field.computed !== undefined || field.rollup !== undefined) continue;
      if (value === null && !field.optional) throw new Refusal('invalid', `${field.name} is missing.`);
      if (field.spec !== undefined) {
        fromWire(toWire(value, this.#typed(field.type)), {
          type: this.#typed(field.type),
          name: field.name,
          bounds: field.spec,
        });
        for (const one of Array.isArray(value) && field.type.kind === 'list' ? (value as Stored[]) : [value])
          this.#bound(field.name, one, field);
      }
      const isNew = before === undefined || !same(before[field.name] ?? null, value);
      if (value !== null && field.type.kind === 'reference' && isNew) {
        const target = this.#find(field.type.record, value, held);
        if (target === null) throw new Refusal('conflict', `${field.name} names no ${field.type.record}.`);
        if (before?.[field.name] !== value && target.id !== undefined)
          this.#named.set(`${target.record} ${String(target.id)}`, { record: target.record, id: target.id });
      }
    }
    for (const rule of record.rules) this.#seeingAll(() => this.#hold(rule, names, 'invalid'));
    const { states } = record;
    if (states !== undefined && before !== undefined) {
      const [from, to] = [before[states.field], row[states.field]];
      const [was, is] = [printed((from ?? null) as Computed), printed((to ?? null) as Computed)];
      const isMove = states.moves.some((move) => move.from === was && move.to.includes(is));
      if (from !== to && !isMove)
        throw new Refusal('conflict', `${withCapital(withArticle(record.name))} that is ${was} does not become ${is}.`);
    }
    this.#testUnique(record, held);
    this.#testOverlap(record, held);
    this.#touch(held, before);
  }

  #testUnique(record: CheckedRecord, held: Held): void {
    const other = this.twinOf(record, held);
    if (other !== undefined) throw new Refusal('conflict', other.message);
  }

  /** Another row with the same key, or with the same values of a unique rule. */
  twinOf(record: CheckedRecord, held: Held): { readonly held: Held; readonly message: string } | undefined {
    const tenant = record.spec.per_tenant === true ? ['tenant'] : [];
    const othersBy = (equal: Equal): readonly Held[] =>
      this.rowsOf(record.name, { all: true, equal }).filter(({ id }) => id !== held.id);
    const own = (name: string): readonly [string, Stored] => [name, this.valueOf(held, name)];
    const agree = (one: Held, name: string): boolean => same(this.valueOf(one, name), this.valueOf(held, name));
    this.#writeDownExpired(record, record.key.map(own));
    // n.b. a key names a record for ever: that of one that is deleted and hidden too.
    const isNumbered = this.#source !== undefined && record.keyKind !== 'fields';
    const byKey = isNumbered
      ? undefined
      : this.#storedRows(record.name, [...record.key, ...tenant].map(own))
          .filter(({ id }) => id !== held.id)
          .find((one) => [...record.key, ...tenant].every((name) => agree(one, name)));
    if (byKey !== undefined) return { held: byKey, message: `There is ${withArticle(record.name)} with this key.` };
    for (const { fields, when, message } of record.unique) {
      const counts = (one: Held): boolean => when === undefined || this.compute(when, this.#own(one)) === true;
      if (!counts(held)) continue;
      const values = (one: Held): readonly Stored[] => fields.map((field) => this.compute(field, this.#own(one)));
      const mine = values(held);
      if (mine.includes(null)) continue;
      const plain = fields.flatMap((field): Equal =>
        field.node === 'field' && field.path.length === 0 ? [own(field.field)] : [],
      );
      this.#writeDownExpired(record, plain);
      const twin = othersBy([...plain, ...tenant.map(own)]).find(
        (one) =>
          counts(one) &&
          tenant.every((name) => agree(one, name)) &&
          values(one).every((value, index) => same(value, mine[index] ?? null)),
      );
      const said =
        message === undefined ? `There is such a ${record.name} already.` : this.#said(message, this.#own(held));
      if (twin !== undefined) return { held: twin, message: said };
    }
    return undefined;
  }

  /** n.b. an index of a database knows no clock: what has ended would still be in the way there. */
  #writeDownExpired(record: CheckedRecord, equal: Equal): void {
    const { expires, name } = record;
    if (this.#source === undefined || expires === undefined || !this.#isRead(name, { equal })) return;
    for (const [id, row] of this.#table(name)) {
      const isLike = equal.every(
        ([field, value]) => !this.#isFound(record, field, false) || same(row[field] ?? null, value),
      );
      const held = { record: name, id };
      if (!isLike || !this.#hasExpired(held, row)) continue;
      this.#expired.add(`${name} ${String(id)}`);
      this.#write(name, id, expires.set === undefined ? undefined : this.#effective(held));
    }
  }

  #testOverlap(record: CheckedRecord, held: Held): void {
    for (const { per, start, end, when, maxAtOnce, message } of record.noOverlap) {
      const counts = (one: Held): boolean => when === undefined || this.compute(when, this.#own(one)) === true;
      if (!counts(held)) continue;
      const spanOf = (one: Held): readonly [Computed, Computed] => [
        this.valueOf(one, start) as Computed,
        this.valueOf(one, end) as Computed,
      ];
      const [from, to] = spanOf(held);
      if (from !== null && to !== null && compareSame(from, to) >= 0) continue;
      const perValues = per.map((name): readonly [string, Stored] => [name, this.valueOf(held, name)]);
      if (this.#source !== undefined)
        this.#lockedNames.add(
          JSON.stringify([record.name, ...perValues.map(([, value]) => printed(value as Computed))]),
        );
      const others = this.rowsOf(record.name, { all: true, equal: perValues })
        .filter(
          (one) =>
            one.id !== held.id &&
            counts(one) &&
            this.#areOfOne(one, held) &&
            per.every((name) => same(this.valueOf(one, name), this.valueOf(held, name))),
        )
        .map(spanOf)
        .filter(
          ([a, b]) =>
            (b === null || from === null || compareSame(from, b) < 0) &&
            (to === null || a === null || compareSame(a, to) < 0),
        );
      const most = maxAtOnce === undefined ? 1 : Number(printed(this.compute(maxAtOnce, this.#own(held)) as Computed));
      // As many as overlap at one moment: that is always at the start of one of them.
      const starts = [from, ...others.map(([a]) => a)];
      const depth = Math.max(
        ...starts.map((at) =>
          at === null || (from !== null && compareSame(at, from) < 0)
            ? 1
            : 1 +
              others.filter(
                ([a, b]) => (a === null || compareSame(a, at) <= 0) && (b === null || compareSame(at, b) < 0),
              ).length,
        ),
      );
      if (depth > most)
        throw new Refusal(
          'conflict',
          message === undefined ? `It overlaps with another ${record.name}.` : this.#said(message, this.#own(held)),
        );
    }
  }

  /** Notes the records whose totals a write of this one changes. */
  #touch(held: Held, before?: Row): void {
    const fed = this.specification.records.flatMap(({ name, fields }) =>
      fields.flatMap(({ rollup }) => (rollup?.child === held.record ? [{ name, via: rollup.via }] : [])),
    );
    // n.b. what is new has totals of its own, which are written down with it.
    const isTotalled = this.record(held.record).fields.some(({ rollup }) => rollup !== undefined);
    if (before === undefined && isTotalled) this.#touched.set(`${held.record} ${String(held.id)}`, held);
    for (const { name, via } of fed) {
      for (const key of [this.valueOf(held, via), before?.[via] ?? null]) {
        const found = this.#find(name, key, held);
        if (found !== null) this.#touched.set(`${name} ${String(found.id)}`, found);
      }
    }
  }

  #settle(): void {
    for (const held of this.#touched.values()) {
      if (this.#stored(held) === undefined) continue;
      const record = this.record(held.record);
      for (const rule of record.rules) this.#seeingAll(() => this.#hold(rule, this.#own(held), 'invalid'));
      for (const field of record.fields)
        if (field.rollup !== undefined) this.#bound(field.name, this.valueOf(held, field.name), field);
    }
    for (const [name, held] of this.#touched) this.#settled.set(name, held);
    this.#touched.clear();
  }

  /* Formulas */

  /** n.b. while this computes others wait. */
  spend(steps: number): void {
    this.#spent += steps;
    if (this.#source === undefined || this.#spent < SPENT_AT_ONCE) return;
    this.#spent = 0;
    this.#source.goOn();
  }

  compute(formula: Formula, names: Names): Stored {
    this.spend(1);
    return this.#computeWith(formula, names, (held, field) => this.valueOf(held, field));
  }

  #computeWith(formula: Formula, names: Names, read: (held: Held, field: string) => Stored): Stored {
    const around: Surroundings = {
      zone: this.zone,
      now: this.now,
      ...(this.user === undefined ? {} : { user: this.user.id }),
      ...(this.user?.tenant === undefined ? {} : { tenant: this.user.tenant }),
      ...(this.user?.roles === undefined ? {} : { roles: this.user.roles }),
      resolve: (part) => this.#resolve(part, names, read) as Computed | undefined,
    };
    return computeFormula(formula, around);
  }

  #resolve(part: Formula, names: Names, read: (held: Held, field: string) => Stored): Stored | undefined {
    switch (part.node) {
      case 'argument':
        return names.args[part.name] ?? null;
      case 'given':
        return (names.args[part.name] ?? null) !== null;
      case 'argument_column':
        return itemsIn(names.args[part.name] ?? null).map((item) => item[part.column] ?? null) as Stored;
      case 'variable':
        return names.variables.get(part.name) ?? null;
      case 'item_column':
        return itemsIn(names.variables.get(part.item) ?? null)[0]?.[part.column] ?? null;
      case 'answer_value':
        return names.answers.get(part.answer)?.get(part.name) ?? null;
      case 'position':
        return Exact.of(names.positions.get(part.item) ?? 0);
      case 'row': {
        const held = names.rows.get(part.row) ?? null;
        return held === null ? null : this.keyOf(held);
      }
      case 'field': {
        let held = names.rows.get(part.row) ?? null;
        for (const hop of part.path) {
          if (held === null) return null;
          const found = this.#find(hop.to, read(held, hop.field), held);
          held = found !== null && this.#isVisible(found) ? found : null;
        }
        return held === null ? null : part.path.length === 0 ? read(held, part.field) : this.valueOf(held, part.field);
      }
      case 'set':
        return part.all ? this.#seeingAll(() => this.#set(part, names)) : this.#set(part, names);
      case 'list_total': {
        const list = this.compute(part.list, names);
        const values = (Array.isArray(list) ? list : []) as Computed[];
        return totalOf(part.function, values, false);
      }
      case 'total':
      case 'window':
        return names.whole?.(part, names) ?? null;
      case 'call': {
        if (part.name !== 'random_code' || this.#source === undefined) return undefined;
        const length = this.compute(part.args[0] ?? part, names) as Computed;
        this.#randoms += 1;
        return this.#source.random(this.#randoms, () => FUNCTIONS.get('random_code')?.run([length], this.zone) ?? null);
      }
      default:
        return undefined;
    }
  }

  #set(set: Formula & { readonly node: 'set' }, names: Names): Stored {
    const around = names.own === undefined ? undefined : names.rows.get(names.own);
    const inside = (held: Held): Names => {
      const { whole: _, ...rest } = names;
      const rows = new Map(names.rows);
      if (around !== undefined) rows.set('this', around);
      rows.set(set.record, held);
      return { ...rest, rows, own: set.record };
    };
    const { where, value, order } = set;
    const outside = new Map(names.rows);
    if (around !== undefined) outside.set('this', around);
    outside.delete(set.record);
    const narrow = { where: where === undefined ? [] : [where], as: set.record, names: { ...names, rows: outside } };
    const all = this.rowsOf(set.record, narrow).map(inside);
    const fits = withEach(all, (one) => where === undefined || this.compute(where, one) === true);
    const found = all.filter((_, index) => fits[index]);
    if (set.function === 'exists') return found.length > 0;
    const valueIn = (one: Names): Computed => (value === undefined ? true : this.compute(value, one)) as Computed;
    if (set.function === 'first') {
      const [first] = this.sorted(found, order ?? [], (one) => one);
      return first === undefined ? null : valueIn(first);
    }
    return totalOf(set.function, withEach(found, valueIn), set.distinct);
  }

  /** In an order of formulas; what is absent comes first. */
  sorted<T>(
    items: readonly T[],
    order: readonly { readonly by: Formula; readonly direction: 'asc' | 'desc' }[],
    namesOf: (item: T) => Names,
  ): readonly T[] {
    const keyed = withEach(items, (item) => ({
      item,
      keys: order.map(({ by }) => ranked(by, this.compute(by, namesOf(item)) as Computed)),
    }));
    return keyed
      .toSorted((a, b) => {
        for (const [index, { direction }] of order.entries()) {
          const difference = compareNulls(a.keys[index] ?? null, b.keys[index] ?? null);
          if (difference !== 0) return direction === 'desc' ? -difference : difference;
        }
        return 0;
      })
      .map(({ item }) => item);
  }

  /* Actions */

  #act(
    action: CheckedAction,
    names: Names,
  ): { readonly answer: () => Json; readonly returned: ReadonlyMap<string, Stored> } {
    const flow = new Flow(names);
    const seen = new Map<string, Held | null>();
    this.#steps(action.steps, flow, seen);
    const returned = new Map(action.returns.map(({ name, value }) => [name, this.compute(value, flow.names)] as const));
    return {
      returned,
      answer: () => {
        const records = action.answers.map(({ name, record, row }) => {
          const held = seen.get(`${record} ${row}`) ?? null;
          return [name, held === null || this.#stored(held) === undefined ? null : this.shown(held)] as const;
        });
        const values = action.returns.map(
          ({ name, value }) => [name, toWire(returned.get(name) ?? null, this.#typed(value.type))] as const,
        );
        return Object.fromEntries([...records, ...values]);
      },
    };
  }

  #steps(steps: readonly CheckedStep[], flow: Flow, seen: Map<string, Held | null>): void {
    for (const step of steps) {
      this.#stepsLeft -= 1;
      if (this.#stepsLeft < 0) throw new TooLong('the action takes too many steps to be tried in memory');
      this.#step(step, flow, seen);
    }
  }

  #step(step: CheckedStep, flow: Flow, seen: Map<string, Held | null>): void {
    switch (step.op) {
      case 'check':
        if (this.compute(step.rule, flow.names) !== true)
          throw new Refusal(step.error, this.#said(step.message, flow.names));
        return;
      case 'read':
      case 'read_for_update': {
        if (step.added && this.#source === undefined) return;
        const found = this.#matching(step.record, step.where, flow);
        const [first] = this.sorted(found, step.order, (held) => this.#inWhere(held, flow));
        if (step.op === 'read_for_update') this.#lock(first ?? null);
        if (step.added) return;
        if (first === undefined && step.message !== undefined)
          throw new Refusal('not_found', this.#said(step.message, flow.names));
        flow.rows.set(step.as, first ?? null);
        return;
      }
      case 'let':
        for (const { name, value } of step.values) flow.variables.set(name, this.compute(value, flow.names));
        return;
      case 'insert':
        this.#insertStep(step, flow, seen);
        return;
      case 'update': {
        const held = flow.rows.get(step.row) ?? null;
        if (held === null) throw new Refusal('not_found', `There is no ${step.record}.`);
        this.update(held, this.#assigned(step.set, { ...flow.names, own: step.row }));
        if (!seen.has(`${step.record} ${step.row}`)) seen.set(`${step.record} ${step.row}`, held);
        return;
      }
      case 'update_where':
        for (const held of this.#matching(step.record, step.where, flow))
          this.update(held, this.#assigned(step.set, this.#inWhere(held, flow)));
        return;
      case 'delete': {
        const held = flow.rows.get(step.row) ?? null;
        if (held !== null) this.delete(held);
        return;
      }
      case 'delete_where':
        for (const held of this.#matching(step.record, step.where, flow))
          if (this.#stored(held) !== undefined) this.delete(held);
        return;
      case 'lock':
        if (this.#source !== undefined) this.#lockedNames.add(step.record);
        return;
      case 'call': {
        const called = this.specification.actions.find(({ name }) => name === step.action);
        if (called === undefined) return;
        const given = new Map(
          step.arguments.map(({ name, value }) => [name, this.compute(value, flow.names)] as const),
        );
        const values = called.args.map((argument) => {
          const value = given.get(argument.name) ?? null;
          return [
            argument.name,
            value === null && argument.default !== undefined ? this.compute(argument.default, NO_NAMES) : value,
          ] as const;
        });
        const { returned } = this.#act(called, { ...NO_NAMES, args: Object.fromEntries(values) });
        if (step.as !== undefined) flow.answers.set(step.as, returned);
        return;
      }
      case 'for_each_item':
        this.#eachItem(step, flow, seen);
        return;
      case 'for_each_row': {
        const found =
          step.where === undefined ? this.rowsOf(step.record) : this.#matching(step.record, step.where, flow);
        if (found.length > step.max) throw new Refusal('invalid', `More than ${String(step.max)} ${step.record} fit.`);
        const ordered = this.sorted(found, step.order, (held) => this.#inWhere(held, flow));
        for (const held of ordered) this.#lock(held);
        for (const [index, held] of ordered.entries()) this.#eachRow(step, { held, index, flow });
        return;
      }
      case 'if': {
        const inside = flow.inner();
        this.#steps(this.compute(step.condition, flow.names) === true ? step.then : step.else, inside, seen);
        flow.takeBack(inside);
      }
    }
  }

  #eachRow(
    step: CheckedStep & { readonly op: 'for_each_row' },
    { held, index, flow }: { readonly held: Held; readonly index: number; readonly flow: Flow },
  ): void {
    const inside = flow.inner();
    inside.rows.set(step.as, held);
    inside.positions.set(step.as, index + 1);
    this.#steps(step.steps, inside, new Map());
    flow.takeBack(inside);
  }

  #eachItem(step: CheckedStep & { readonly op: 'for_each_item' }, flow: Flow, seen: Map<string, Held | null>): void {
    const list = this.compute(step.list, flow.names);
    const items = (Array.isArray(list) ? list : []) as readonly Stored[];
    if (items.length > step.max) throw new Refusal('invalid', `More than ${String(step.max)} items.`);
    for (const [index, item] of items.entries()) {
      const inside = flow.inner();
      inside.variables.set(step.as, isItem(item) ? [item] : item);
      inside.positions.set(step.as, index + 1);
      this.#steps(step.steps, inside, new Map(seen));
      inside.variables.delete(step.as);
      flow.takeBack(inside);
    }
  }

  #insertStep(step: CheckedStep & { readonly op: 'insert' }, flow: Flow, seen: Map<string, Held | null>): void {
    const record = this.record(step.record);
    const values = this.#assigned(step.set, flow.names);
    const note = (held: Held | null): void => {
      if (step.as === undefined) return;
      flow.rows.set(step.as, held);
      seen.set(`${step.record} ${step.as}`, held);
    };
    if (step.onDuplicate !== undefined) {
      const draft = this.at(this.now, this.user);
      const twin = draft.#duplicateOf(record, values, flow.names);
      if (twin !== undefined) {
        if (step.onDuplicate === 'update') {
          const rows = new Map(flow.rows).set('this', twin);
          this.update(twin, this.#assigned(step.update, { ...flow.names, rows, own: 'this' }));
        }
        note(step.onDuplicate === 'update' ? twin : null);
        return;
      }
    }
    note(this.insert(record, values, flow.names));
  }

  /** n.b. called on a copy: what it writes is thrown away. */
  #duplicateOf(record: CheckedRecord, values: Row, names: Names): Held | undefined {
    const row: Record<string, Stored> = { ...values };
    for (const field of record.fields) {
      if (row[field.name] !== undefined) continue;
      if (field.isState) row[field.name] = record.spec.states?.start ?? null;
      else if (field.origin === 'tenant') row[field.name] = this.user?.tenant ?? null;
      else row[field.name] = field.default === undefined ? null : this.compute(field.default, names);
    }
    const id = -1;
    this.#write(record.name, id, folded(record, row));
    return this.twinOf(record, { record: record.name, id })?.held;
  }

  #matching(record: string, where: Formula, flow: Flow): readonly Held[] {
    const rows = this.rowsOf(record, { where: [where], as: record, names: flow.names });
    const fits = withEach(rows, (held) => this.compute(where, this.#inWhere(held, flow)) === true);
    return rows.filter((_, index) => fits[index]);
  }

  #inWhere(held: Held, flow: Flow): Names {
    return { ...flow.names, rows: new Map(flow.rows).set(held.record, held), own: held.record };
  }

  #assigned(set: readonly NamedFormula[], names: Names): Row {
    return Object.fromEntries(set.map(({ name, value }) => [name, this.compute(value, names)] as const));
  }
}

/** The names of an action while it runs. */
class Flow {
  readonly rows: Map<string, Held | null>;
  readonly variables: Map<string, Stored>;
  readonly answers: Map<string, ReadonlyMap<string, Stored>>;
  readonly positions: Map<string, number>;
  readonly #names: Names;

  constructor(names: Names) {
    this.#names = names;
    this.rows = new Map(names.rows);
    this.variables = new Map(names.variables);
    this.answers = new Map(names.answers);
    this.positions = new Map(names.positions);
  }

  get names(): Names {
    const { rows, variables, answers, positions } = this;
    return { ...this.#names, rows, variables, answers, positions };
  }

  inner(): Flow {
    return new Flow(this.names);
  }

  /** What a name from outside was given inside stays; a name that was made inside ends. */
  takeBack({ variables }: Flow): void {
    for (const name of this.variables.keys()) this.variables.set(name, variables.get(name) ?? null);
  }
}

/** Values by which rows are looked up. */
type Equal = readonly (readonly [string, Stored])[];

const TURNED = { '=': '=', '!=': '!=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' } as const;

/** n.b. words and texts are ordered otherwise in databases. */
function comparison({ fields }: CheckedRecord, { field, op, value }: Compared): readonly Condition[] {
  const kind = fields.find(({ name }) => name === field)?.type.kind ?? 'text';
  const isOrdered = ['integer', 'decimal', 'float', 'date', 'time', 'timestamp'].includes(kind);
  return op === '=' || (op !== '!=' && isOrdered) ? [{ field, op, value }] : [];
}

interface Compared {
  readonly field: string;
  readonly op: '=' | '!=' | '<' | '<=' | '>' | '>=';
  readonly value: Stored;
}

function isItem(value: Stored | StoredItem): value is StoredItem {
  return typeof value === 'object' && value !== null && 'item' in value;
}

function itemsIn(value: Stored): readonly Readonly<Record<string, Stored>>[] {
  const list = Array.isArray(value) ? (value as readonly (Stored | StoredItem)[]) : [];
  return list.flatMap((one) => (isItem(one) ? [one.item] : []));
}

function compareNulls(a: Computed, b: Computed): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return compareSame(a, b);
}

/** An enum is sorted by the order of its words. */
function ranked({ type }: Formula, value: Computed): Computed {
  return type.kind === 'enum' && typeof value === 'string' ? type.values.indexOf(value) : value;
}

/** Letters in the case in which they are stored. */
function folded(record: CheckedRecord, row: Row): Row {
  const changed: Record<string, Stored> = { ...row };
  for (const { name, spec } of record.fields) {
    const value = changed[name];
    if (spec?.type !== 'text' || spec.letter_case === undefined || typeof value !== 'string') continue;
    changed[name] = spec.letter_case === 'lower' ? value.toLowerCase() : value.toUpperCase();
  }
  return changed;
}

/** n.b. null is like null, and like nothing else. */
function isSame(value: Stored, stored: Stored | undefined): boolean {
  return value === null ? stored === null : stored !== undefined && same(value, stored);
}

/** A value of `rows`, as callers would give it. */
function plainValue(value: unknown): Json {
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== 'object' || value === null) return value as Json;
  const { fields } = value as { readonly fields: readonly { readonly name: string; readonly value: unknown }[] };
  return Object.fromEntries(fields.map((field) => [field.name, plainValue(field.value)] as const));
}
