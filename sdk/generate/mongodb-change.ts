import {
  besidePath,
  type BesideRecord,
  type CheckedField,
  type CheckedRecord,
  type CheckedSpecification,
  computeFormula,
  documentLayout,
  type DocumentLayout,
  type Stored,
  toWire,
  type Type,
} from '../spec/index.js';
import {
  letterCase,
  NUMBERS,
  OTHER_LETTERS,
  pairedRecords,
  renamedFields,
  storedBefore,
  WITHOUT_DEFAULT,
} from './mysql-change.js';
import { type Refusal, Refusals } from './refusals.js';

/**
 * From one revision of a specification to the next on MongoDB. Both write the same documents: what the one before does not know of them, the
 * rules of the next are told beside them, for as long as it is used. Then the documents are brought to what they say.
 */

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

export interface MongodbChange {
  readonly refused: readonly Refusal[];
  /** What a version before still writes, and does not know: by the names of records. Part of the entry of the rules, as `beside`. */
  readonly beside: Readonly<Record<string, BesideRecord>>;
  /** Fields that are of the revision before only, by the names of records; `null`: the record itself. */
  readonly gone: Readonly<Record<string, readonly string[] | null>>;
  /** Fields that are of the next revision only. */
  readonly added: Readonly<Record<string, readonly string[] | null>>;
  readonly hurdles: readonly DocumentHurdle[];
  readonly notices: readonly string[];
}

/** Documents, or parts of them, that do not fit the next revision. */
export interface DocumentHurdle {
  readonly record: string;
  /** Under the name that it has in the documents. */
  readonly field: string;
  readonly unfit: JsonObject;
  readonly words: string;
}

/** `now`: the moment that stands for those of documents that are there. */
export function changeMongodb(
  before: CheckedSpecification,
  after: CheckedSpecification,
  { now }: { readonly now: Date },
): MongodbChange {
  const refusals = new Refusals();
  const refuse = (path: string, construct: string): void => {
    refusals.add(path, construct);
  };
  const layout = documentLayout(after);
  const change = new Change(after, layout, { now, refuse });
  for (const { was, record } of pairedRecords(before, after, refuse)) change.compare(was, record);
  for (const { name } of before.records)
    if (!after.records.some((record) => record.name === name)) change.gone[name] = null;
  return {
    ...{ refused: refusals.found, beside: change.beside, gone: change.gone, added: change.added },
    ...{ hurdles: change.hurdles, notices: change.notices },
  };
}

class Change {
  readonly beside: Record<string, BesideRecord> = {};
  readonly gone: Record<string, readonly string[] | null> = {};
  readonly added: Record<string, readonly string[] | null> = {};
  readonly hurdles: DocumentHurdle[] = [];
  readonly notices: string[] = [];
  readonly #after: CheckedSpecification;
  readonly #layout: DocumentLayout;
  readonly #now: Date;
  readonly #refuse: (path: string, construct: string) => void;

  constructor(
    after: CheckedSpecification,
    layout: DocumentLayout,
    { now, refuse }: { readonly now: Date; readonly refuse: (path: string, construct: string) => void },
  ) {
    this.#after = after;
    this.#layout = layout;
    this.#now = now;
    this.#refuse = refuse;
  }

  compare(was: CheckedRecord | undefined, record: CheckedRecord): void {
    if (was === undefined) {
      this.added[record.name] = null;
      return;
    }
    const renamed = renamedFields(was, record);
    const fields = this.#layout.storedFields(record);
    const olds = was.fields.filter(({ computed }) => computed === undefined);
    this.gone[record.name] = olds
      .map(({ name }) => name)
      .filter((name) => !fields.some((field) => field.name === name));
    this.added[record.name] = fields.map(({ name }) => name).filter((name) => !olds.some((old) => old.name === name));
    const absent: Record<string, Json> = {};
    const totals: string[] = [];
    for (const field of fields) {
      const old = storedBefore(was, record, field.name);
      if (old !== undefined && !(old.optional && !field.optional)) {
        this.#narrowed(record, { old, field });
        continue;
      }
      if (field.rollup !== undefined) {
        if (old === undefined) totals.push(field.name);
        continue;
      }
      // n.b. what may be absent is left absent: that it was cleared could not be told apart from it.
      if (field.optional) continue;
      const value = this.#standIn(record, field, old === undefined);
      if (value !== undefined) absent[field.name] = value;
    }
    const names = Object.fromEntries(Object.entries(renamed).map(([from, to]) => [to, from]));
    if (Object.keys(names).length + Object.keys(absent).length + totals.length === 0) return;
    const olderOnly = Object.keys(names).filter(
      (name) => fields.find((field) => field.name === name)?.optional === true,
    );
    const beside: BesideRecord = { renamed: names, olderOnly, absent, totals };
    this.beside[record.name] = beside;
    const own = [...Object.keys(names), ...Object.keys(absent)].map((name) => `${record.name}.${name}`);
    if (own.length > 0)
      this.notices.push(
        `until the contract no index serves a fetch by ${own.join(', ')}: documents of the version before are read for it`,
      );
    for (const name of totals)
      this.notices.push(
        `until the contract a fetch shows ${record.name}.${name} without what the version before has changed since`,
      );
  }

  /** Undefined: there is none. */
  #standIn(record: CheckedRecord, field: CheckedField, isNew: boolean): Json | undefined {
    const path = `records.${record.name}.fields.${field.name}`;
    const { origin, type } = field;
    if (field.numbering !== undefined && isNew) {
      this.#refuse(path, NUMBERS);
      return undefined;
    }
    if (field.numbering !== undefined) return undefined;
    if (origin === 'version') return 1;
    if (origin === 'timestamps' && field.name.endsWith('_at')) return this.#now.toISOString();
    if (field.isState) return record.spec.states?.start;
    const value: Stored =
      field.default === undefined
        ? null
        : computeFormula(field.default, { zone: this.#after.source.zone, now: this.#now });
    if (value !== null) return toWire(value, this.#typed(type));
    this.#refuse(path, WITHOUT_DEFAULT);
    return undefined;
  }

  #typed(type: Type): Type {
    if (type.kind !== 'reference') return type;
    const record = this.#after.records.find(({ name }) => name === type.record);
    const key = record?.fields.find(({ name }) => name === record.key.at(-1))?.type ?? { kind: 'text' };
    return key.kind === 'reference' ? { kind: 'text' } : key;
  }

  /** n.b. what may be there already and may not be any more is put right by a person: no rule says how. */
  #narrowed(record: CheckedRecord, { old, field }: { readonly old: CheckedField; readonly field: CheckedField }): void {
    const say = (unfit: JsonObject, what: string): void => {
      const words = `${record.name} have a ${field.name} that ${what}`;
      this.hurdles.push({ record: record.name, field: old.name, unfit, words });
    };
    if (old.type.kind === 'enum' && field.type.kind === 'enum') {
      const { values } = field.type;
      const lost = old.type.values.filter((value) => !values.includes(value));
      if (lost.length > 0) say({ $in: lost }, `is no word of it any more: ${lost.join(', ')}`);
      const more = values.filter(
        (value) => !(old.type as { readonly values: readonly string[] }).values.includes(value),
      );
      if (more.length > 0)
        this.notices.push(
          `callers of the version before do not know ${more.map((word) => `'${word}'`).join(', ')} in ${record.name}.${field.name}`,
        );
    }
    const letters = letterCase(field);
    if (letters !== undefined && letters !== letterCase(old)) {
      if (record.key.includes(field.name)) this.#refuse(`records.${record.name}.fields.${field.name}`, OTHER_LETTERS);
      else {
        say({ $regex: letters === 'upper' ? '[a-z]' : '[A-Z]' }, `is not in ${letters} case`);
        this.notices.push(
          `callers do not find by ${record.name}.${field.name} what is not in ${letters} case yet: the version before writes it so as well`,
        );
      }
    }
    const [longest, longer] = [lengthOf(field), lengthOf(old)];
    if (longest !== undefined && (longer === undefined || longest < longer))
      say({ $regex: `^[\\s\\S]{${String(longest + 1)},}$` }, `has more than ${String(longest)} characters`);
    for (const [side, op, what] of [
      ['min', '$lt', 'is below'],
      ['max', '$gt', 'is above'],
    ] as const) {
      const [bound, known] = [numberOf(field[side]), numberOf(old[side])];
      if (bound === undefined || bound === known) continue;
      if (known !== undefined && (side === 'min' ? known >= bound : known <= bound)) continue;
      say({ [op]: bound }, `${what} ${String(bound)}`);
    }
  }
}

/** The first stage of a view, for readers: the version before writes the older name, and leaves out what is new. Undefined: nothing differs. */
export function besideStage(
  record: CheckedRecord,
  { renamed, olderOnly, absent }: BesideRecord,
  layout: DocumentLayout,
): JsonObject | undefined {
  const { pathOf } = layout.placeOf(record.name);
  const paths = [
    ...Object.entries(renamed).map(([name, from]): readonly [string, Json] => {
      const [path, older] = [pathOf(name), besidePath(pathOf(name), from)];
      return [path, { $ifNull: [`$${older}`, olderOnly.includes(name) ? null : `$${path}`] }];
    }),
    ...Object.entries(absent).map(([name, value]): readonly [string, Json] => {
      const { type } = layout.storedFields(record).find((field) => field.name === name) ?? { type: { kind: 'text' } };
      return [pathOf(name), { $ifNull: [`$${pathOf(name)}`, { $literal: extended(value, type) }] }];
    }),
  ];
  return paths.length === 0 ? undefined : { $addFields: Object.fromEntries(paths) };
}

function extended(value: Json, type: Type): Json {
  if (type.kind === 'decimal') return { $numberDecimal: value };
  if (type.kind === 'date') return { $date: `${value as string}T00:00:00.000Z` };
  return type.kind === 'timestamp' ? { $date: value } : value;
}

const DEFAULT_LENGTH = 200;

function lengthOf({ type, spec }: CheckedField): number | undefined {
  const { max_length: most, mask } = (spec ?? {}) as { readonly max_length?: number; readonly mask?: string };
  if (type.kind !== 'text' || spec === undefined) return undefined;
  return mask === undefined ? (most ?? DEFAULT_LENGTH) : mask.length;
}

/** What is written down; undefined: it is computed, or there is none. */
function numberOf(formula: CheckedField['min']): number | undefined {
  if (formula?.node === 'negate') {
    const inner = numberOf(formula.of);
    return inner === undefined ? undefined : -inner;
  }
  if (formula?.node !== 'literal' || !['number', 'string'].includes(typeof formula.value)) return undefined;
  const value = Number(formula.value);
  return Number.isFinite(value) ? value : undefined;
}
