import type { RoutineRows, JsonObject } from '@beds/sdk';
import {
  type AbstractCursor,
  BSON,
  type ClientSession,
  type Collection,
  type Db,
  type Document,
  type UpdateResult,
} from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import type { NamedObject } from '../contract.js';
import type { Deadline } from '../deadlines.js';
import { bindValues } from '../inputs.js';
import { refusalOf } from '../refusals.js';
import { ABSENT, compileBody, type CompiledBody, type OperationName } from './body.js';
import type { NativeObject } from './catalogue.js';
import { sendSignalOf, serverMs, signalOf } from './client.js';
import type { ResultMeter } from './result-meter.js';
import { toBson, toRow } from './values.js';

/** Where and for how long an operation runs. */
export interface Execution {
  readonly db: Db;
  readonly deadline: Deadline;
  readonly session: ClientSession | undefined;
  readonly meter: ResultMeter;
}

type Routine = Exclude<NamedObject, { kind: 'view' }>;
type BoundBody = Readonly<Record<string, unknown>>;

/** Documents it gave, if it is one that gives documents, and how many it changed. */
interface Outcome {
  readonly documents?: readonly Document[];
  readonly affected: number;
}

/** What update results have in common; the driver types that of `replaceOne` as any document. */
type Changes = Pick<UpdateResult, 'matchedCount' | 'upsertedCount'>;

const BATCH_DOCUMENTS = 5_000;

const compiled = new WeakMap<NativeObject, CompiledBody>();

/** The parts of an object's body; compiled once for each copy of the object. */
export function partsOf(native: NativeObject): CompiledBody {
  const known = compiled.get(native);
  if (known !== undefined) return known;
  const body: unknown = BSON.deserialize(Buffer.from(native.body, 'base64'));
  const args = new Map(Object.entries(native.args).map(([name, { type }]) => [name, { optional: true, type }]));
  const { parts } = compileBody({ op: native.op, body, args });
  compiled.set(native, parts);
  return parts;
}

/** Fills in the body. Throws BEDS_STORE_INVALID_VALUE. */
export function bindBody(object: Routine, native: NativeObject, args: JsonObject): BoundBody {
  const values = bindValues(object.args, args);
  const bound = new Map(
    object.args.map(({ name }, index) => {
      const field = native.args[name];
      if (field === undefined) throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
      return [name, toBson(values[index] ?? null, field, name)];
    }),
  );
  const parts = Object.entries(partsOf(native)).map(([name, part]) => [name, part(bound)] as const);
  return Object.fromEntries(
    parts.flatMap(([name, value]) => {
      if (value !== ABSENT) return [[name, value] as const];
      return MAY_BE_ABSENT.includes(name) ? [] : [[name, absentPart(name)] as const];
    }),
  );
}

/** Options without which the operation is the same. */
const MAY_BE_ABSENT = ['limit', 'skip'];

function absentPart(name: string): unknown {
  if (name === 'filter') return {};
  throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'No argument was given, so there is nothing to change.');
}

/** Runs a bound body. */
export async function runBody(native: NativeObject, body: BoundBody, execution: Execution): Promise<Outcome> {
  if (native.op === 'ask' || native.op === 'act') throw new TypeError('it has no body of its own');
  const { db, deadline, session, meter } = execution;
  const { filter: _filter, update: _update, pipeline: _pipeline, ...rest } = body;
  const { document: _document, documents: _documents, replacement: _replacement, ...options } = rest;
  return runners[native.op]({
    collection: db.collection(native.on),
    body,
    options: {
      ...options,
      maxTimeMS: serverMs(deadline),
      // n.b. the driver's types know no signal of writes, and its code asks the one that it is given.
      signal: sendSignalOf(deadline),
      ...(session === undefined ? {} : { session }),
    },
    deadline,
    meter,
    isKept: session === undefined,
  });
}

interface Run {
  readonly collection: Collection;
  readonly body: BoundBody;
  readonly options: Readonly<Record<string, unknown>>;
  readonly deadline: Deadline;
  readonly meter: ResultMeter;
  /** Whether what it writes is kept although it fails afterwards. */
  readonly isKept: boolean;
}

/**
 * All documents of a cursor, batch by batch, each weighed when it has arrived. Where that is too much, and where reading
 * fails, the cursor is closed in the server. `spare`: see the meter.
 */
export async function collect(cursor: AbstractCursor<Document>, meter: ResultMeter, spare = 0): Promise<Document[]> {
  const documents: Document[] = [];
  try {
    while (await cursor.hasNext()) {
      const batch = cursor.readBufferedDocuments();
      meter.add(batch, spare);
      for (const document of batch) documents.push(document);
    }
    return documents;
  } finally {
    // n.b. nothing is sent for one that has given everything.
    await cursor.close().catch(() => undefined);
  }
}

const all = async (cursor: AbstractCursor<Document>, meter: ResultMeter): Promise<Outcome> => ({
  documents: await collect(cursor.batchSize(BATCH_DOCUMENTS), meter),
  affected: 0,
});

/** n.b. of one that was added there is no document as it was before. */
const found = (document: Document | null, { body, meter, isKept }: Run): Outcome => {
  if (document === null) return { documents: [], affected: body['upsert'] === true ? 1 : 0 };
  meter.addWritten(document, isKept);
  return { documents: [document], affected: 1 };
};

const filterOf = (body: BoundBody): Document => body['filter'] as Document;

const runners: Readonly<Record<Exclude<OperationName, 'ask' | 'act'>, (run: Run) => Promise<Outcome>>> = {
  aggregate: ({ collection, body, options, deadline, meter }) =>
    all(collection.aggregate(body['pipeline'] as Document[], { ...options, signal: signalOf(deadline) }), meter),
  find: ({ collection, body, options, deadline, meter }) =>
    all(collection.find(filterOf(body), { ...options, signal: signalOf(deadline) }), meter),
  count: async ({ collection, body, options, deadline }) => ({
    documents: [{ count: await collection.countDocuments(filterOf(body), { ...options, signal: signalOf(deadline) }) }],
    affected: 0,
  }),
  insertOne: async ({ collection, body, options }) => {
    // n.b. the driver adds _id to the document it is given.
    const document = { ...(body['document'] as Document) };
    await collection.insertOne(document, options);
    return { documents: [document], affected: 1 };
  },
  insertMany: async ({ collection, body, options }) => {
    const documents = body['documents'] as readonly Document[];
    const result = await collection.insertMany(
      documents.map((document) => ({ ...document })),
      options,
    );
    return { affected: result.insertedCount };
  },
  updateOne: async ({ collection, body, options }) =>
    changed(await collection.updateOne(filterOf(body), body['update'] as Document, options)),
  updateMany: async ({ collection, body, options }) =>
    changed(await collection.updateMany(filterOf(body), body['update'] as Document, options)),
  replaceOne: async ({ collection, body, options }) =>
    changed(await collection.replaceOne(filterOf(body), body['replacement'] as Document, options)),
  deleteOne: async ({ collection, body, options }) => ({
    affected: (await collection.deleteOne(filterOf(body), options)).deletedCount,
  }),
  deleteMany: async ({ collection, body, options }) => ({
    affected: (await collection.deleteMany(filterOf(body), options)).deletedCount,
  }),
  findOneAndUpdate: async (run) => {
    const options = { returnDocument: 'after', ...run.options } as const;
    return found(
      await run.collection.findOneAndUpdate(filterOf(run.body), run.body['update'] as Document, options),
      run,
    );
  },
  findOneAndDelete: async (run) => found(await run.collection.findOneAndDelete(filterOf(run.body), run.options), run),
};

/** Documents that the change met, whether or not they had these values already: running it again counts the same. */
function changed({ matchedCount, upsertedCount }: Changes): Outcome {
  return { affected: matchedCount + upsertedCount };
}

/** What the caller of a routine gets. */
export function toResult(object: Routine, native: NativeObject, outcome: Outcome): RoutineRows {
  const { documents, affected } = outcome;
  if (native.whenNone !== null && affected === 0 && (documents ?? []).length === 0) {
    throw refusalOf(native.whenNone) ?? storeErrors.make('BEDS_STORE_NOT_FOUND');
  }
  if (documents === undefined) return { rows: [], sets: [], affected };
  const own = native.op === 'count' ? undefined : (native.fields ?? undefined);
  const rows = documents.map((document) => toRow(document, own));
  if (object.kind === 'procedure') return { rows, sets: [rows], affected };
  const [first] = rows;
  const value = first === undefined ? null : (first['value'] ?? Object.values(first)[0] ?? null);
  return { rows: [{ value }], sets: [[{ value }]], affected };
}
