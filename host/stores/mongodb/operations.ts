import { randomUUID } from 'node:crypto';
import type { Json, JsonObject, RoutineRows } from '@beds/sdk';
import {
  besidePath,
  type BesideRecord,
  type CheckedField,
  type CheckedRecord,
  type CheckedSpecification,
  type Computed,
  type Condition,
  fromWire,
  keyFields,
  Missing,
  type Performed,
  performOn,
  printed,
  Refusal,
  type Row,
  type RowChange,
  type RowName,
  settledRow,
  type Stored,
  type StoredDomain,
  TENANT_ROLE,
  toWire,
  type Type,
  uniqueIndex,
  ValueError,
  type Wish,
  withEach,
} from '#sdk/spec';
import { type Binary, BSON, type ClientSession, type Db, Decimal128, type Document, type MongoClient } from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import type { NamedObject } from '../contract.js';
import { Deadline } from '../deadlines.js';
import { bindValues } from '../inputs.js';
import { refusalOf } from '../refusals.js';
import { resultBudget } from '../result-budget.js';
import { collect } from './calls.js';
import type { NativeObject } from './catalogue.js';
import { sendSignalOf, serverMs, signalOf } from './client.js';
import { type Domain, packRules, type RulesEntry, unpackRules } from './operation-rules.js';
import { ResultMeter } from './result-meter.js';
import { toStoreError } from './store-error.js';
import { runTransaction } from './transaction.js';
import { type BsonType, toBson, toColumn } from './values.js';

/**
 * Operations whose rules the catalogue holds: `op: 'ask'` and `op: 'act'`. What a stored procedure is elsewhere is a specification
 * here, which the DBA has put into the catalogue and which no caller chooses. The host reads the documents that its formulas look at,
 * computes, and writes all that follows together: in one transaction, or, where the server has none, in one document.
 */

/** Where and for how long it runs. */
export interface Carrying {
  readonly client: MongoClient;
  readonly db: Db;
  readonly deadline: Deadline;
  readonly meter: ResultMeter;
  /** That of a transaction of the template. */
  readonly session: ClientSession | undefined;
  readonly hasTransactions: boolean;
  /** Told just before something may be kept. */
  readonly onWrite: () => void;
}

type Routine = Exclude<NamedObject, { kind: 'view' }>;

const ATTEMPTS = 5;
/** Longest that a thread computes for one call without a pause: all that it serves waits meanwhile. */
const MOST_COMPUTING_MS = 2_000;

/** Throws BEDS_STORE_INVALID_VALUE before anything is sent. */
export function prepareOperation(
  object: Routine,
  native: NativeObject,
  args: JsonObject,
): (carrying: Carrying) => Promise<RoutineRows> {
  const values = bindValues(object.args, args);
  const { domain, operation } = carriedOutBy(native);
  const given = Object.fromEntries(object.args.map(({ name }, index) => [name, values[index] ?? null]));
  return async (carrying) => {
    const call = callOf(operation, given, domain.specification);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return resultOf(native, await runOnce({ domain, call, carrying, writes: native.op === 'act' }));
      } catch (error) {
        const failure = said(error, Object.keys(given));
        const isAgain = error instanceof Changed || isTransient(error);
        if (!isAgain || attempt >= ATTEMPTS || carrying.session !== undefined)
          throw error instanceof Changed ? storeErrors.make('BEDS_STORE_DEADLOCK') : failure;
        carrying.deadline.remainingMs();
        carrying.meter.begin(true);
      }
    }
  };
}

interface CarriedOut {
  readonly domain: Domain;
  readonly operation: string;
}

const carriedOut = new WeakMap<NativeObject, CarriedOut>();

/** The rules and the operation of an object; read once for each copy of it. Throws BEDS_STORE_OBJECT_CHANGED. */
function carriedOutBy(native: NativeObject): CarriedOut {
  const known = carriedOut.get(native);
  if (known !== undefined) return known;
  const body = BSON.deserialize(Buffer.from(native.body, 'base64'), { promoteBuffers: false });
  const read = { domain: unpackRules(body['rules'] as Binary), operation: String(body['operation']) };
  carriedOut.set(native, read);
  return read;
}

/** Somebody else has changed meanwhile what was read. */
class Changed extends Error {}

function isTransient(error: unknown): boolean {
  const { code } = toStoreError(error, { write: false, many: false });
  // n.b. of two who add the same at once one is told by the database alone: the next time the rules say it.
  return code === 'BEDS_STORE_DEADLOCK' || code === 'BEDS_STORE_CONFLICT';
}

function said(error: unknown, names: readonly string[]): unknown {
  if (!(error instanceof Refusal) && !(error instanceof ValueError)) return error;
  const kind = error instanceof ValueError ? 'invalid' : error.kind === 'not_found' ? 'not-found' : error.kind;
  // n.b. what is wrong with a value begins with its name, which callers get beside the words, as from a stored procedure.
  const [, first = '', column, is = '', rest = ''] =
    /^([a-z][a-z0-9_]*)(\.[a-z0-9_]+)? (is|has|names) (.*)$/s.exec(error.message) ?? [];
  if (!names.includes(first)) return refusal(kind, { message: error.message });
  const words = `${is.charAt(0).toUpperCase()}${is.slice(1)} ${rest}`;
  return refusal(kind, { message: column === undefined ? words : error.message, field: first });
}

function refusal(kind: string, { message, field }: { readonly message: string; readonly field?: string }): unknown {
  return refusalOf(`[${kind}${field === undefined ? '' : ` ${field}`}] ${message}`);
}

/* The call */

type Call = Parameters<typeof performOn>[1];

/** n.b. who calls is said by the host, in arguments that no caller gives. */
function callOf(operation: string, given: JsonObject, { queries, records }: CheckedSpecification): Call {
  const isPaged = queries.some(({ name, paged, single }) => name === operation && paged && !single);
  const standard = records.flatMap(({ operations }) => operations).find(({ name }) => name === operation);
  const hasClears = standard?.kind === 'update';
  const { caller_id: id = null, caller_roles: roles } = given;
  const paging: JsonObject = isPaged ? given : {};
  const { skip, limit } = paging;
  const clears = hasClears ? given['clears'] : undefined;
  const others = ['caller_id', 'caller_roles', ...(isPaged ? ['skip', 'limit'] : []), ...(hasClears ? ['clears'] : [])];
  const cleared = Array.isArray(clears) ? clears.map((name) => [String(name), null] as const) : [];
  const own = Object.entries(given).filter(([name, value]) => value !== null && !others.includes(name));
  const held = Array.isArray(roles) ? roles.map(String) : [];
  const tenant = held.find((role) => role.startsWith(TENANT_ROLE))?.slice(TENANT_ROLE.length);
  const user =
    typeof id === 'string'
      ? {
          id,
          roles: held.filter((role) => !role.startsWith(TENANT_ROLE)),
          ...(tenant === undefined ? {} : { tenant }),
        }
      : undefined;
  return {
    operation,
    arguments: Object.fromEntries([...own, ...cleared]),
    ...(user === undefined ? {} : { user }),
    ...(isPaged ? { page: { skip: Number(skip ?? 0), limit: Number(limit ?? 100) } } : {}),
  };
}

/** What callers get: rows, as the entry says what is in them. */
function resultOf({ fields, op }: NativeObject, { answer, changes }: Performed): RoutineRows {
  const affected = op === 'act' ? Math.max(1, changes.length) : 0;
  if (fields === null) return { rows: [], sets: [], affected: typeof answer === 'number' ? answer : affected };
  const inner = (answer as { readonly rows?: Json } | null)?.rows;
  const list = Array.isArray(answer)
    ? (answer as readonly Json[])
    : Array.isArray(inner)
      ? (inner as readonly Json[])
      : [answer];
  const rows = list.map((row) => rowOf(row as JsonObject, Object.keys(fields)));
  return { rows, sets: [rows], affected };
}

/** `place__no` is the member `no` of the record `place`. */
function rowOf(answer: JsonObject, names: readonly string[]): JsonObject {
  const entries = names.map((name) => {
    const [record = '', field] = name.split('__');
    if (field === undefined || name in answer) return [name, answer[name] ?? null] as const;
    return [name, (answer[record] as JsonObject | null | undefined)?.[field] ?? null] as const;
  });
  return Object.fromEntries(entries);
}

/* One attempt */

interface Attempt {
  readonly domain: Domain;
  readonly call: Call;
  readonly carrying: Carrying;
  readonly writes: boolean;
}

async function runOnce(attempt: Attempt): Promise<Performed> {
  const { carrying } = attempt;
  const { client, db, deadline, hasTransactions, onWrite } = carrying;
  const now = await serverTime(db, deadline);
  if (carrying.session !== undefined || !hasTransactions) return inSession(attempt, now, carrying.session);
  let session: ClientSession | undefined;
  return runTransaction({
    client,
    deadline,
    onCommit: attempt.writes ? onWrite : () => undefined,
    scopeOf: (own) => {
      session = own;
      return NO_SCOPE;
    },
    // n.b. nothing of it is kept before the commit.
    work: () => inSession({ ...attempt, carrying: { ...carrying, onWrite: () => undefined } }, now, session),
  });
}

const NO_SCOPE = {
  call: () => Promise.reject(storeErrors.make('BEDS_STORE_CLOSED')),
  view: () => Promise.reject(storeErrors.make('BEDS_STORE_CLOSED')),
};

async function inSession(attempt: Attempt, now: Date, session: ClientSession | undefined): Promise<Performed> {
  const { domain, call } = attempt;
  const reading = new Reading(attempt, now, session);
  const performed = await reading.compute(() => performOn(domain.specification, call, reading));
  if (attempt.writes) await new Writing(attempt, reading, session).write(performed);
  return performed;
}

const SAMPLE_MS = 60_000;
const clocks = new WeakMap<Db, { readonly serverMs: number; readonly sampledAt: number }>();

/** The clock of the database: it is asked once a minute, and goes on by itself in between. */
async function serverTime(db: Db, deadline: Deadline): Promise<Date> {
  const known = clocks.get(db);
  const passedMs = known === undefined ? SAMPLE_MS : performance.now() - known.sampledAt;
  if (known !== undefined && passedMs < SAMPLE_MS) return new Date(Math.floor(known.serverMs + passedMs));
  const options = { signal: signalOf(deadline) };
  // n.b. some servers know the command by its older name only.
  const { localTime } = await db.command({ hello: 1 }, options).catch(() => db.command({ isMaster: 1 }, options));
  const serverMs = localTime instanceof Date ? localTime.getTime() : Date.now();
  clocks.set(db, { serverMs, sampledAt: performance.now() });
  return new Date(serverMs);
}

/* Values */

interface Form {
  readonly type: 'string' | 'integer' | 'number' | 'decimal' | 'boolean' | 'date' | 'datetime' | 'json';
  readonly as: BsonType;
}

function formOf(type: Type): Form {
  switch (type.kind) {
    case 'integer':
      return { type: 'integer', as: 'long' };
    case 'decimal':
      return { type: 'decimal', as: 'decimal128' };
    case 'float':
      return { type: 'number', as: 'double' };
    case 'boolean':
      return { type: 'boolean', as: 'bool' };
    case 'date':
      return { type: 'date', as: 'date' };
    case 'timestamp':
      return { type: 'datetime', as: 'date' };
    case 'json':
    case 'point':
      return { type: 'json', as: 'any' };
    default:
      return { type: 'string', as: 'string' };
  }
}

/** n.b. bounds were tested when the value was written; a text has at most 200 characters only where nothing else is said. */
const UNBOUNDED = { max_length: 20_000_000 };

/** Between values of formulas and those of documents. */
class Values {
  readonly #records: readonly CheckedRecord[];

  constructor({ records }: CheckedSpecification) {
    this.#records = records;
  }

  /** A reference has the type of the key that it names. */
  typed(type: Type): Type {
    if (type.kind === 'list') return { kind: 'list', of: this.typed(type.of) };
    if (type.kind !== 'reference') return type;
    const record = this.#records.find(({ name }) => name === type.record);
    const key = record?.fields.find(({ name }) => name === record.key.at(-1))?.type;
    return key === undefined || key.kind === 'reference' ? { kind: 'text' } : this.typed(key);
  }

  store(value: Stored, given: Type, name: string): unknown {
    const type = this.typed(given);
    if (value === null || value === undefined) return null;
    if (type.kind === 'list') return (value as readonly Stored[]).map((item) => this.store(item, type.of, name));
    if (type.kind === 'objects')
      return (value as unknown as readonly { readonly item: Readonly<Record<string, Stored>> }[]).map(({ item }) =>
        Object.fromEntries(
          type.columns.map((column) => [column.name, this.store(item[column.name] ?? null, column.type, name)]),
        ),
      );
    return toBson(toWire(value, type), formOf(type), name);
  }

  /** As a value is compared with. n.b. half of a number is not rounded to be one. */
  compare(value: Stored, type: Type, name: string): unknown {
    const isExact = typeof value === 'object' && value !== null && 'digits' in value;
    return isExact ? Decimal128.fromString(printed(value)) : this.store(value, type, name);
  }

  read(value: unknown, given: Type, name: string): Stored {
    const type = this.typed(given);
    if (value === null || value === undefined) return null;
    if (type.kind === 'list' && Array.isArray(value))
      return value.map((item: unknown) => this.read(item, type.of, name)) as Stored;
    if (type.kind === 'objects' && Array.isArray(value))
      return value.map((item: Document) => ({
        item: Object.fromEntries(
          type.columns.map((column) => [column.name, this.read(item[column.name], column.type, name)]),
        ),
      }));
    return fromWire(toColumn(value, formOf(type), name), { type, name, bounds: UNBOUNDED });
  }
}

function canonical(value: Stored): string {
  return value === null ? 'null' : `${typeof value} ${printed(value as Computed)}`;
}

/* Reading */

interface StoredDocument {
  readonly root: CheckedRecord;
  readonly id: unknown;
  readonly version: number;
  /** Numbers of its rows: its own, and those of its parts in their order. */
  readonly rows: ReadonlyMap<string, readonly number[]>;
  /** As it was read: fields that these rules do not know stay as they are. */
  readonly stored: Document;
}

class Reading implements StoredDomain {
  readonly now: Date;
  readonly values: Values;
  readonly tables = new Map<string, Map<number, Row>>();
  readonly documents = new Map<string, StoredDocument>();
  readonly counterValues = new Map<string, number>();
  readonly #attempt: Pick<Attempt, 'domain' | 'carrying'>;
  readonly #session: ClientSession | undefined;
  /** What was read: `order|customer='7'`, or the name of a record that was read whole. */
  readonly #covered = new Set<string>();
  readonly #keys = new Map<string, Stored[]>();
  readonly #randoms = new Map<number, Computed>();
  #nextNumber = 1;
  #computesSince = 0;

  constructor(attempt: Pick<Attempt, 'domain' | 'carrying'>, now: Date, session: ClientSession | undefined) {
    this.#attempt = attempt;
    this.#session = session;
    this.now = now;
    this.values = new Values(attempt.domain.specification);
  }

  /** Computes, reads what is missing, and computes again, until nothing is missing. */
  async compute<T>(work: () => T): Promise<T> {
    const { carrying } = this.#attempt;
    for (;;) {
      this.#computesSince = performance.now();
      try {
        return work();
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        carrying.deadline.remainingMs();
        await this.#fetch(error.wishes);
      }
    }
  }

  need(record: string, conditions: readonly Condition[]): void {
    if (!this.#isCovered(record, conditions)) throw new Missing([{ kind: 'rows', record, conditions }]);
  }

  newKey(record: string, nth: number): Stored {
    const key = this.#keys.get(record)?.[nth];
    if (key === undefined) throw new Missing([{ kind: 'key', record, nth }]);
    return key;
  }

  counter(counter: string): number {
    const value = this.counterValues.get(counter);
    if (value === undefined) throw new Missing([{ kind: 'counter', counter }]);
    return value;
  }

  random(nth: number, make: () => Computed): Computed {
    const known = this.#randoms.get(nth) ?? make();
    this.#randoms.set(nth, known);
    return known;
  }

  goOn(): void {
    if (performance.now() - this.#computesSince < MOST_COMPUTING_MS) return;
    throw storeErrors.make(
      'BEDS_STORE_RESULT_TOO_LARGE',
      `The rules of the domain look at so many rows for this call that a thread computes for more than ${MOST_COMPUTING_MS} ms.`,
    );
  }

  #isCovered(record: string, conditions: readonly Condition[]): boolean {
    const covered = (name: string): boolean => this.#covered.has(name);
    if (covered(record) || covered(nameOf(record, conditions))) return true;
    return conditions.some((condition) => {
      if (condition.op !== 'in') return covered(nameOf(record, [condition]));
      const { field, value } = condition;
      return (value as readonly Stored[]).every((one) => covered(nameOf(record, [{ field, op: '=', value: one }])));
    });
  }

  async #fetch(wishes: readonly Wish[]): Promise<void> {
    const byField = new Map<
      string,
      { readonly record: string; readonly field: string; readonly values: Map<string, Stored> }
    >();
    const others = new Map<string, Wish & { readonly kind: 'rows' }>();
    for (const wish of wishes) {
      if (wish.kind === 'key') await this.#makeKey(wish.record);
      else if (wish.kind === 'counter') await this.#readCounter(wish.counter);
      else {
        const [only, ...more] = wish.conditions;
        if (only === undefined || more.length > 0 || !['=', 'in'].includes(only.op)) {
          others.set(nameOf(wish.record, wish.conditions), wish);
          continue;
        }
        const name = `${wish.record}|${only.field}`;
        const known = byField.get(name) ?? {
          record: wish.record,
          field: only.field,
          values: new Map<string, Stored>(),
        };
        byField.set(name, known);
        for (const value of only.op === 'in' ? (only.value as readonly Stored[]) : [only.value])
          known.values.set(canonical(value), value);
      }
    }
    for (const { record, field, values } of byField.values()) {
      const list = [...values.values()];
      if (list.length > 0) await this.#find(record, [{ field, op: 'in', value: list as Stored }]);
      for (const value of list) this.#covered.add(nameOf(record, [{ field, op: '=', value }]));
    }
    for (const [name, { record, conditions }] of others) {
      await this.#find(record, conditions);
      this.#covered.add(name);
    }
  }

  async #find(record: string, conditions: readonly Condition[]): Promise<void> {
    const { domain, carrying } = this.#attempt;
    const place = domain.layout.placeOf(record);
    const own: Document = {};
    const inside: Document = {};
    for (const condition of conditions) {
      const path = place.pathOf(condition.field);
      const isInside = place.list !== undefined && path.startsWith(`${place.list}.`);
      const [into, name] = isInside ? [inside, path.slice((place.list ?? '').length + 1)] : [own, path];
      const comparison = this.#comparison(place.record, condition);
      const others = othersOf(domain.beside[record], { name, field: condition.field });
      if (others === undefined) into[name] = { ...(into[name] as Document | undefined), ...comparison };
      else
        // n.b. more than fits may be found: what does not is left out by the rules.
        into['$and'] = [
          ...((into['$and'] ?? []) as readonly Document[]),
          {
            $or: [
              { [name]: comparison },
              others.older === undefined ? { [name]: null } : { [others.older]: comparison },
            ],
          },
        ];
    }
    // n.b. all conditions of a part hold for one part.
    if (place.list !== undefined && Object.keys(inside).length > 0) own[place.list] = { $elemMatch: inside };
    const cursor = carrying.db.collection(place.collection).find(own, {
      ...(this.#session === undefined ? {} : { session: this.#session }),
      maxTimeMS: serverMs(carrying.deadline),
      signal: signalOf(carrying.deadline),
      promoteBuffers: false,
    });
    for (const document of await collect(cursor, carrying.meter)) this.take(place.root, document);
  }

  #comparison(record: CheckedRecord, { field: name, op, value }: Condition): Document {
    const field = record.fields.find((one) => one.name === name);
    const type = field?.type ?? { kind: 'text' };
    if (op === 'in') return { $in: (value as readonly Stored[]).map((one) => this.values.compare(one, type, name)) };
    const names = { '=': '$eq', '<': '$lt', '<=': '$lte', '>': '$gt', '>=': '$gte' } as const;
    return { [names[op]]: this.values.compare(value, type, name) };
  }

  /** A document that was read. */
  take(root: CheckedRecord, document: Document): void {
    const { layout } = this.#attempt.domain;
    const name = `${root.name} ${BSON.EJSON.stringify(document['_id'])}`;
    const known = this.documents.get(name);
    const version = Number(document['_n'] ?? 0);
    if (known !== undefined) {
      // n.b. without a transaction it may be another one by now.
      if (known.version !== version) throw new Changed();
      return;
    }
    const rows = new Map<string, readonly number[]>();
    const own = this.#row(root, document, { id: document['_id'] });
    rows.set(root.name, [this.#keep(root, own)]);
    const key = own[root.key[0] ?? 'id'] ?? null;
    this.#covered.add(nameOf(root.name, [{ field: root.key[0] ?? 'id', op: '=', value: key }]));
    const parts = layout.roots.find(({ record }) => record === root)?.parts ?? [];
    for (const part of parts) {
      const list = (document[part.name] ?? []) as readonly Document[];
      const made = list.map((item) => this.#row(part, item, { whole: part.parent === root.name ? key : undefined }));
      rows.set(
        part.name,
        made.map((row) => this.#keep(part, row)),
      );
      const parent = part.parent ?? '';
      const wholes = parent === root.name ? [key] : (rows.get(parent) ?? []).map((id) => this.#keyOf(parent, id));
      for (const value of wholes) this.#covered.add(nameOf(part.name, [{ field: parent, op: '=', value }]));
    }
    this.documents.set(name, { root, id: document['_id'], version, rows, stored: document });
  }

  #keyOf(record: string, id: number): Stored {
    const { key } = this.#attempt.domain.layout.placeOf(record).record;
    return this.tables.get(record)?.get(id)?.[key.at(-1) ?? 'id'] ?? null;
  }

  #keep({ name }: CheckedRecord, row: Row): number {
    const table = this.tables.get(name) ?? new Map<number, Row>();
    this.tables.set(name, table);
    table.set(this.#nextNumber, row);
    this.#nextNumber += 1;
    return this.#nextNumber - 1;
  }

  #row(
    record: CheckedRecord,
    item: Document,
    { id, whole }: { readonly id?: unknown; readonly whole?: Stored | undefined },
  ): Row {
    const keys = id === undefined ? [] : keyFields(record);
    const beside = this.#attempt.domain.beside[record.name];
    const valueOf = ({ name, type }: CheckedField): Stored => {
      if (whole !== undefined && name === record.parent) return whole;
      const isKey = keys.includes(name);
      if (!isKey && beside !== undefined) return this.#besideValue(item, { name, type }, beside);
      const value: unknown = isKey ? (keys.length === 1 ? id : (id as Document)[name]) : item[name];
      return this.values.read(value, type, name);
    };
    return Object.fromEntries(
      this.#attempt.domain.layout.storedFields(record).map((field) => [field.name, valueOf(field)] as const),
    );
  }

  /** What a version before has written, or left out. */
  #besideValue(
    item: Document,
    { name, type }: { readonly name: string; readonly type: Type },
    beside: BesideRecord,
  ): Stored {
    if (beside.totals.includes(name)) return null;
    const older = beside.renamed[name];
    const value: unknown =
      older === undefined ? item[name] : (item[older] ?? (beside.olderOnly.includes(name) ? null : item[name]));
    const absent = beside.absent[name];
    if ((value !== undefined && value !== null) || absent === undefined) return this.values.read(value, type, name);
    return fromWire(absent, { type: this.values.typed(type), name, bounds: UNBOUNDED });
  }

  /** n.b. outside of the transaction: two that begin at once must not wait for each other, and a gap is no harm. */
  async #makeKey(record: string): Promise<void> {
    const { domain } = this.#attempt;
    const keys = this.#keys.get(record) ?? [];
    this.#keys.set(record, keys);
    if (domain.layout.placeOf(record).record.keyKind === 'uuid') {
      keys.push(randomUUID());
      return;
    }
    keys.push(fromWire(await this.#countUp(record), { type: { kind: 'integer' }, name: record }));
  }

  async #countUp(counter: string): Promise<number> {
    const { domain, carrying } = this.#attempt;
    const options = { ...writeOptions(carrying, undefined), upsert: true, returnDocument: 'after' } as const;
    const counters = carrying.db.collection<Document & { readonly _id: string }>(domain.layout.counters);
    carrying.onWrite();
    const found = await counters.findOneAndUpdate({ _id: counter }, { $inc: { value: 1 } }, options);
    return Number(found?.['value'] ?? 1);
  }

  async #readCounter(counter: string): Promise<void> {
    const { domain, carrying } = this.#attempt;
    const found = await carrying.db
      .collection<Document & { readonly _id: string }>(domain.layout.counters)
      .findOne({ _id: counter }, writeOptions(carrying, this.#session));
    this.counterValues.set(counter, Number(found?.['value'] ?? 0));
  }
}

/** Under which other name a field may be found, or that it may be absent; undefined: there is one name. */
function othersOf(
  beside: BesideRecord | undefined,
  { name, field }: { readonly name: string; readonly field: string },
): { readonly older: string | undefined } | undefined {
  const older = beside?.renamed[field];
  if (older !== undefined) return { older: besidePath(name, older) };
  return beside?.absent[field] === undefined ? undefined : { older: undefined };
}

/** n.b. `7` and `'7'` are told apart, and so are fields and values. */
function nameOf(record: string, conditions: readonly Condition[]): string {
  const parts = conditions.map(({ field, op, value }) => `|${field}${op}${JSON.stringify(canonical(value))}`);
  return `${record}${parts.toSorted().join('')}`;
}

function writeOptions(
  { deadline }: Carrying,
  session: ClientSession | undefined,
): { readonly maxTimeMS: number; readonly session?: ClientSession } {
  const signal = sendSignalOf(deadline);
  return { maxTimeMS: serverMs(deadline), ...{ signal }, ...(session === undefined ? {} : { session }) };
}

/* Writing */

/** Changes of one document. */
interface DocumentPlan {
  readonly root: CheckedRecord;
  readonly known?: StoredDocument;
  readonly changes: RowChange[];
  isLocked: boolean;
  isNamed: boolean;
}

class Writing {
  readonly #attempt: Attempt;
  readonly #reading: Reading;
  readonly #session: ClientSession | undefined;

  constructor(attempt: Attempt, reading: Reading, session: ClientSession | undefined) {
    this.#attempt = attempt;
    this.#reading = reading;
    this.#session = session;
  }

  /** All of it together. Throws Changed where somebody else was faster. */
  async write(performed: Performed): Promise<void> {
    const plans = this.#plans(performed);
    const changed = plans.filter(({ changes }) => changes.length > 0);
    const locked = plans.filter(({ changes, isLocked }) => changes.length === 0 && isLocked);
    const named = plans.filter(({ changes, isLocked, isNamed }) => changes.length === 0 && !isLocked && isNamed);
    const isSwept = this.#attempt.call.operation.startsWith('sweep_');
    const hasTransaction = this.#session !== undefined;
    // n.b. without a transaction one document is written, or nothing; what has expired is written down one after the other.
    const ended = changed.filter(({ changes }) => changes.every(({ isExpiry }) => isExpiry === true));
    const isTogether = changed.length - ended.length + locked.length > 1 && !isSwept;
    if (!hasTransaction && changed.length > 0 && (isTogether || performed.lockedNames.length > 0))
      throw storeErrors.make(
        'BEDS_STORE_NOT_SUPPORTED',
        'The operation changes several documents together, for which MongoDB needs a replica set.',
      );
    if (changed.length === 0) return;
    const others = changed.filter((plan) => !ended.includes(plan));
    const all = hasTransaction ? [...others, ...locked, ...named] : others;
    if (hasTransaction) for (const name of performed.lockedNames) await this.#lock(name);
    for (const [counter, value] of performed.counters) await this.#count(counter, value);
    for (const plan of [...ended, ...all.toSorted(byRank)]) await this.#writeDocument(plan);
  }

  #plans({ changes, locks, named }: Performed): readonly DocumentPlan[] {
    const plans = new Map<string, DocumentPlan>();
    const planOf = (at: RowName & { readonly row?: Row | undefined }): DocumentPlan => {
      const name = this.#documentName(at, changes);
      const known = this.#reading.documents.get(name);
      const { root } = this.#attempt.domain.layout.placeOf(at.record);
      const plan = plans.get(name) ?? {
        root,
        changes: [],
        isLocked: false,
        isNamed: false,
        ...(known === undefined ? {} : { known }),
      };
      plans.set(name, plan);
      return plan;
    };
    for (const change of changes) planOf({ ...change, row: change.after ?? change.before }).changes.push(change);
    for (const lock of locks) planOf(lock).isLocked = true;
    for (const one of named) planOf(one).isNamed = true;
    return [...plans.values()];
  }

  /** The document of a row: that of its whole, where it is a part. */
  #documentName({ record, id }: RowName, changes: readonly RowChange[]): string {
    const { layout } = this.#attempt.domain;
    const place = layout.placeOf(record);
    const change = changes.find((one) => one.record === record && one.id === id);
    const row = change?.before ?? change?.after ?? this.#reading.tables.get(record)?.get(id) ?? {};
    if (place.list === undefined) return `${record} ${BSON.EJSON.stringify(this.#idOf(place.record, row))}`;
    const parent = place.record.parent ?? '';
    const whole = layout.placeOf(parent).record;
    const key = row[parent] ?? null;
    const isWhole = (one: Row | undefined): boolean =>
      one !== undefined && canonical(one[whole.key.at(-1) ?? 'id'] ?? null) === canonical(key);
    const stored = [...(this.#reading.tables.get(parent) ?? [])].find(([, one]) => isWhole(one));
    if (stored !== undefined) return this.#documentName({ record: parent, id: stored[0] }, changes);
    const added = changes.find((one) => one.record === parent && isWhole(one.after));
    if (added !== undefined) return this.#documentName(added, changes);
    throw new Changed();
  }

  #idOf(record: CheckedRecord, row: Row): unknown {
    const keys = keyFields(record);
    const valueOf = (name: string): unknown =>
      this.#reading.values.store(row[name] ?? null, typeOf(record, name), name);
    const [first = 'id'] = keys;
    return keys.length === 1 ? valueOf(first) : Object.fromEntries(keys.map((name) => [name, valueOf(name)]));
  }

  async #lock(name: string): Promise<void> {
    const { domain, carrying } = this.#attempt;
    await carrying.db
      .collection<Document & { readonly _id: string }>(domain.layout.locks)
      .updateOne({ _id: name }, { $inc: { _n: 1 } }, { ...writeOptions(carrying, this.#session), upsert: true });
  }

  /** The number that was given last, if nobody else has given one meanwhile. */
  async #count(counter: string, value: number): Promise<void> {
    const { domain, carrying } = this.#attempt;
    const before = this.#reading.counterValues.get(counter) ?? 0;
    if (value === before) return;
    const counters = carrying.db.collection<Document & { readonly _id: string; readonly value?: number }>(
      domain.layout.counters,
    );
    const options = writeOptions(carrying, this.#session);
    if (before === 0) {
      await counters.insertOne({ _id: counter, value }, options);
      return;
    }
    const { matchedCount } = await counters.updateOne({ _id: counter, value: before }, { $set: { value } }, options);
    if (matchedCount === 0) throw new Changed();
  }

  async #writeDocument(plan: DocumentPlan): Promise<void> {
    const { domain, carrying } = this.#attempt;
    const collection = carrying.db.collection<Document & { _id: unknown }>(
      domain.layout.placeOf(plan.root.name).collection,
    );
    const options = writeOptions(carrying, this.#session);
    const { known, root } = plan;
    const own = plan.changes.find(({ record }) => record === root.name);
    carrying.onWrite();
    if (known === undefined) {
      if (own?.after === undefined) throw new Changed();
      await collection.insertOne(this.#newDocument(plan, own.after) as Document & { _id: unknown }, options);
    } else {
      const isIt: Document = { _id: known.id, _n: known.version === 0 ? { $in: [null, 0] } : known.version };
      if (own !== undefined && own.after === undefined) {
        const { deletedCount } = await collection.deleteOne(isIt, options);
        if (deletedCount === 0) throw new Changed();
      } else {
        const { matchedCount } = await collection.updateOne(isIt, this.#update(plan, known, own), options);
        if (matchedCount === 0) throw new Changed();
      }
    }
    if (this.#session !== undefined) await this.#keepHistory(plan.changes);
  }

  #newDocument(plan: DocumentPlan, row: Row): Document {
    const { root } = plan;
    const parts = this.#partsOf(root).flatMap((part) => {
      const added = plan.changes.filter(({ record, after }) => record === part.name && after !== undefined);
      return added.length === 0 ? [] : [[part.name, added.map(({ after }) => this.#item(part, after ?? {}))] as const];
    });
    const keys = keyFields(root);
    const fields = Object.entries(this.#fields(root, row)).filter(([name]) => !keys.includes(name));
    return {
      _id: this.#idOf(root, row),
      ...Object.fromEntries(fields),
      ...Object.fromEntries(parts),
      ...Object.fromEntries(Object.entries(this.#uniqueKeys(plan)).filter(([, key]) => key !== null)),
      ...(this.#session === undefined ? this.#historyInside(plan.changes) : {}),
      _n: 1,
    };
  }

  #partsOf(root: CheckedRecord): readonly CheckedRecord[] {
    return this.#attempt.domain.layout.roots.find(({ record }) => record === root)?.parts ?? [];
  }

  /** n.b. what is absent has no field. */
  #fields(record: CheckedRecord, row: Row): Document {
    const { layout, beside } = this.#attempt.domain;
    const entries = layout.storedFields(record).flatMap(({ name, type }): readonly (readonly [string, unknown])[] => {
      const value = row[name] ?? null;
      if (value === null) return [];
      const stored = this.#reading.values.store(value, type, name);
      const older = beside[record.name]?.renamed[name];
      return older === undefined
        ? [[name, stored]]
        : [
            [name, stored],
            [older, stored],
          ];
    });
    return Object.fromEntries(entries);
  }

  #item(part: CheckedRecord, row: Row): Document {
    const { layout } = this.#attempt.domain;
    const { root } = layout.placeOf(part.name);
    const fields = Object.entries(this.#fields(part, row));
    return Object.fromEntries(fields.filter(([name]) => !(name === part.parent && part.parent === root.name)));
  }

  #update(plan: DocumentPlan, known: StoredDocument, own: RowChange | undefined): Document {
    const set: Document = {};
    const unset: Document = {};
    if (own?.after !== undefined) {
      const [before, after] = [this.#fields(plan.root, own.before ?? {}), this.#fields(plan.root, own.after)];
      const keys = keyFields(plan.root);
      for (const name of Object.keys({ ...before, ...after }).filter((one) => !keys.includes(one))) {
        if (!(name in after)) unset[name] = '';
        else if (!isSame(before[name], after[name])) set[name] = after[name] as unknown;
      }
    }
    for (const name of this.#leftOver(plan.root, known.stored)) unset[name] = '';
    const push: Document = {};
    for (const part of this.#partsOf(plan.root)) this.#updatePart(part, { plan, known, set, push });
    for (const [name, value] of Object.entries(this.#uniqueKeys(plan))) {
      if (value === null) unset[name] = '';
      else set[name] = value as unknown;
    }
    const history = this.#session === undefined ? this.#historyInside(plan.changes) : {};
    if (history['_history'] !== undefined)
      push['_history'] = { $each: history['_history'] as readonly Document[], $slice: -MOST_HISTORY };
    return {
      ...(Object.keys(set).length === 0 ? {} : { $set: set }),
      ...(Object.keys(unset).length === 0 ? {} : { $unset: unset }),
      ...(Object.keys(push).length === 0 ? {} : { $push: push }),
      $inc: { _n: 1 },
    };
  }

  /** Names that fields had in a version before, which another host may still have written. */
  #leftOver(record: CheckedRecord, stored: Document): readonly string[] {
    const { layout, beside, specification } = this.#attempt.domain;
    if ((specification.source.revision ?? 1) === 1) return [];
    const fields = layout.storedFields(record);
    const olds = fields.flatMap(({ spec }) => spec?.was ?? []);
    const kept = Object.values(beside[record.name]?.renamed ?? {});
    return olds.filter(
      (old) => old in stored && !kept.includes(old) && !fields.some(({ name }) => name === old) && !old.startsWith('_'),
    );
  }

  /** An item as it was read, with what the row says now. n.b. what another version keeps in it stays. */
  #itemBeside(part: CheckedRecord, row: Row, stored: Document): Document {
    const known = this.#attempt.domain.layout.storedFields(part).map(({ name }) => name);
    const leftOver = [
      ...known,
      ...this.#leftOver(part, stored),
      ...Object.values(this.#attempt.domain.beside[part.name]?.renamed ?? {}),
    ];
    const others = Object.entries(stored).filter(([name]) => !leftOver.includes(name));
    return { ...this.#item(part, row), ...Object.fromEntries(others) };
  }

  /** Items that have changed are set at their places, new ones come at the end; where one is removed the list is written anew. */
  #updatePart(
    part: CheckedRecord,
    {
      plan,
      known,
      set,
      push,
    }: { readonly plan: DocumentPlan; readonly known: StoredDocument; readonly set: Document; readonly push: Document },
  ): void {
    const changes = plan.changes.filter(({ record }) => record === part.name);
    if (changes.length === 0) return;
    const ids = known.rows.get(part.name) ?? [];
    const stored = (known.stored[part.name] ?? []) as readonly Document[];
    const changeOf = new Map(changes.map((change) => [change.id, change]));
    const added = changes
      .filter(({ id }) => !ids.includes(id))
      .flatMap(({ after }) => (after === undefined ? [] : [after]));
    const isRemoved = ids.some((id) => changeOf.has(id) && changeOf.get(id)?.after === undefined);
    if (isRemoved || (added.length > 0 && added.length < changes.length)) {
      const kept = ids.flatMap((id, index) => {
        const change = changeOf.get(id);
        const item = stored[index] ?? {};
        if (change === undefined) return [item];
        return change.after === undefined ? [] : [this.#itemBeside(part, change.after, item)];
      });
      set[part.name] = [...kept, ...added.map((row) => this.#item(part, row))];
      return;
    }
    for (const [index, id] of ids.entries()) {
      const after = changeOf.get(id)?.after;
      if (after !== undefined)
        set[`${part.name}.${String(index)}`] = this.#itemBeside(part, after, stored[index] ?? {});
    }
    if (added.length > 0) push[part.name] = { $each: added.map((row) => this.#item(part, row)) };
  }

  /** Fields behind the unique indexes of a document that change; null where nothing is left. n.b. an index would count empty lists. */
  #uniqueKeys({ root, known, changes }: DocumentPlan): Document {
    const { layout } = this.#attempt.domain;
    const entries = [root, ...this.#partsOf(root)].flatMap((record) => {
      const place = layout.placeOf(record.name);
      const own = changes.filter((change) => change.record === record.name);
      return record.unique.flatMap((unique): readonly (readonly [string, unknown])[] => {
        const field = uniqueIndex(place, unique)?.keyField;
        if (field === undefined || own.length === 0) return [];
        if (place.list === undefined) return [[field, own[0]?.uniqueAfter[unique.name] ?? null]];
        const removed = own.flatMap(({ uniqueBefore: { [unique.name]: key } }) => key ?? []);
        const kept = ((known?.stored[field] ?? []) as readonly string[]).filter((key) => !removed.includes(key));
        const keys = [...kept, ...own.flatMap(({ uniqueAfter: { [unique.name]: key } }) => key ?? [])];
        return [[field, keys.length === 0 ? null : keys]];
      });
    });
    return Object.fromEntries(entries);
  }

  /* History */

  #historyOf(changes: readonly RowChange[]): readonly { readonly record: CheckedRecord; readonly entry: Document }[] {
    const { layout } = this.#attempt.domain;
    return changes.flatMap(({ record: name, before, after }) => {
      const { record } = layout.placeOf(name);
      if (record.spec.history !== true) return [];
      const change = before === undefined ? 'insert' : after === undefined ? 'delete' : 'update';
      const by = this.#attempt.call.user?.id ?? null;
      return [
        { record, entry: { change, at: this.#reading.now, by, row: this.#fields(record, after ?? before ?? {}) } },
      ];
    });
  }

  /** n.b. where nothing can be written beside the document, the last changes are in it. */
  #historyInside(changes: readonly RowChange[]): Document {
    const entries = this.#historyOf(changes).map(({ record, entry }) => ({ record: record.name, ...entry }));
    return entries.length === 0 ? {} : { _history: entries };
  }

  async #keepHistory(changes: readonly RowChange[]): Promise<void> {
    const { domain, carrying } = this.#attempt;
    for (const { record, entry } of this.#historyOf(changes))
      await carrying.db
        .collection(domain.layout.historyOf(record.name))
        .insertOne({ ...entry }, writeOptions(carrying, this.#session));
  }
}

const MOST_HISTORY = 100;

function byRank(a: DocumentPlan, b: DocumentPlan): number {
  return a.root.lockRank - b.root.lockRank || compareTexts(String(a.known?.id), String(b.known?.id));
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function isSame(a: unknown, b: unknown): boolean {
  return a !== undefined && b !== undefined && BSON.EJSON.stringify({ a }) === BSON.EJSON.stringify({ a: b });
}

function typeOf(record: CheckedRecord, name: string): Type {
  return record.fields.find((field) => field.name === name)?.type ?? { kind: 'text' };
}

/* Documents that a version before has written */

export interface Settling {
  readonly rules: RulesEntry;
  readonly root: string;
  /** Whether the version before is gone: what has another name gets it, and what is unique is looked after. */
  readonly isRetired: boolean;
  /** Fields that nobody knows any more, by the names of records. */
  readonly gone: Readonly<Record<string, readonly string[]>>;
}

/** A change of one document, if nobody else has changed it meanwhile. */
export interface DocumentChange {
  readonly filter: Document;
  readonly update: Document;
}

const SETTLE_TIMEOUT_MS = 600_000;

/** What brings documents to what the rules say of them. Those that are right are left out. */
export async function settleDocuments(
  settling: Settling,
  documents: readonly Document[],
  { client, db }: Pick<Carrying, 'client' | 'db'>,
): Promise<readonly DocumentChange[]> {
  const domain = unpackRules(packRules(settling.rules));
  const { record: root } = domain.layout.placeOf(settling.root);
  const deadline = new Deadline({ timeoutMs: SETTLE_TIMEOUT_MS });
  const meter = new ResultMeter({ maxResultRows: Infinity, maxResultBytes: Infinity });
  const carrying = {
    ...{ client, db, deadline, meter, session: undefined, hasTransactions: false },
    onWrite: () => undefined,
  };
  try {
    const reading = new Reading({ domain, carrying }, await serverTime(db, deadline), undefined);
    for (const document of documents) reading.take(root, document);
    const asked = new Set(documents);
    const known = [...reading.documents.values()].filter(({ stored }) => asked.has(stored));
    const changes = await reading.compute(() =>
      withEach(known, (document) => new Settled({ domain, reading, document, settling }).change()),
    );
    return changes.flatMap((change) => change ?? []);
  } finally {
    deadline.end();
    resultBudget.giveBack(meter.handOver());
  }
}

interface Unsettled {
  readonly domain: Domain;
  readonly reading: Reading;
  readonly document: StoredDocument;
  readonly settling: Settling;
}

/** One document as it is, and as it should be. */
class Settled {
  readonly #of: Unsettled;
  readonly #set: Document = {};
  readonly #unset: Document = {};
  readonly #unique = new Map<string, string[]>();

  constructor(of: Unsettled) {
    this.#of = of;
  }

  /** Undefined: it is as it should be. Throws Missing. */
  change(): DocumentChange | undefined {
    const { domain, document, settling } = this.#of;
    const { root, id, stored, version, rows } = document;
    const parts = domain.layout.roots.find(({ record }) => record === root)?.parts ?? [];
    for (const record of [root, ...parts]) {
      const items = record === root ? [stored] : ((stored[record.name] ?? []) as readonly Document[]);
      for (const [index, row] of (rows.get(record.name) ?? []).entries())
        this.#compare(record, {
          ...{ row, item: items[index] ?? {} },
          at: record === root ? '' : `${record.name}.${String(index)}.`,
        });
    }
    // n.b. a part that is none any more is a list of the document.
    if (settling.isRetired) this.#compareUnique([root, ...parts]);
    if (Object.keys(this.#set).length + Object.keys(this.#unset).length === 0) return undefined;
    return {
      filter: { _id: id, _n: version === 0 ? { $in: [null, 0] } : version },
      update: {
        ...(Object.keys(this.#set).length === 0 ? {} : { $set: this.#set }),
        ...(Object.keys(this.#unset).length === 0 ? {} : { $unset: this.#unset }),
        $inc: { _n: 1 },
      },
    };
  }

  #compare(
    record: CheckedRecord,
    { row: id, item, at }: { readonly row: number; readonly item: Document; readonly at: string },
  ): void {
    const { domain, reading, settling } = this.#of;
    const row = reading.tables.get(record.name)?.get(id) ?? {};
    const { totals, unique } = settledRow(domain.specification, { record: record.name, id }, reading);
    for (const [rule, key] of Object.entries(unique)) this.#unique.set(rule, [...(this.#unique.get(rule) ?? []), key]);
    const should = (name: string, value: Stored): void => {
      this.#should(`${at}${name}`, item[name], reading.values.store(value, typeOf(record, name), name));
    };
    const asRead = (name: string): void => should(name, row[name] ?? null);
    const { absent = {}, totals: counted = [], renamed = {} } = domain.beside[record.name] ?? {};
    for (const name of Object.keys(absent)) if ((item[name] ?? null) === null) asRead(name);
    for (const name of counted) should(name, totals[name] ?? null);
    if (settling.isRetired) Object.keys(renamed).forEach(asRead);
    for (const name of settling.gone[record.name] ?? []) if (item[name] !== undefined) this.#unset[`${at}${name}`] = '';
  }

  /** n.b. what is null is not there. */
  #should(path: string, is: unknown, stored: unknown): void {
    if (stored === null && is !== undefined) this.#unset[path] = '';
    if (stored !== null && !isSame(is, stored)) this.#set[path] = stored;
  }

  #compareUnique(records: readonly CheckedRecord[]): void {
    const { domain, document } = this.#of;
    for (const record of records) {
      const place = domain.layout.placeOf(record.name);
      for (const rule of record.unique) {
        const field = uniqueIndex(place, rule)?.keyField;
        if (field === undefined) continue;
        const keys = this.#unique.get(rule.name) ?? [];
        const [key] = keys;
        const value = place.list === undefined ? key : keys.length === 0 ? undefined : keys;
        if (value === undefined && document.stored[field] !== undefined) this.#unset[field] = '';
        if (value !== undefined && !isSame(document.stored[field], value)) this.#set[field] = value;
      }
    }
  }
}
