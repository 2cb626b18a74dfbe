import type { Document } from 'mongodb';
import type { Json, Page } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedObject } from '../contract.js';
import type { Condition, QueryPlan } from '../query-plan.js';
import { quotePattern } from './body.js';
import { serverMs, signalOf } from './driver-deadline.js';
import { collect, partsOf } from './calls.js';
import type { Execution } from './calls.js';
import { nativeOf, type NativeObject } from './catalogue.js';
import { compareStored } from './compare-stored.js';
import type { Field } from './fields.js';
import { firstBatch, SPARE_ROWS } from './first-batch.js';
import { after, positionOf, storedValue } from './position.js';
import { toColumn } from './stored-value.js';
import { toBson } from './values.js';

type View = Extract<NamedObject, { kind: 'view' }>;
type Stage = Record<string, unknown>;

/** What is the same for all reads of a view. */
interface Shape {
  readonly columns: readonly Column[];
  readonly projection: Stage;
  /** Stages of the view itself. */
  readonly own: readonly Stage[];
  /**
   * A view without stages of its own is a plain query, which servers answer with less work. n.b. a path into a document
   * means something else in the projection of a query than in a pipeline.
   */
  readonly isPlain: boolean;
}

interface Column {
  readonly name: string;
  readonly field: Field;
  /** What it is called in the documents that the server gives. */
  readonly as: string;
}

const shapes = new WeakMap<View, Shape>();

function shapeOf(view: View): Shape {
  const known = shapes.get(view);
  if (known !== undefined) return known;
  const native = nativeOf(view);
  const own = partsOf(native)['pipeline']?.(new Map()) as readonly Stage[];
  const fields = view.columns.map(({ name }) => ({ name, field: fieldOf(native, name) }));
  const isPlain = own.length === 0 && fields.every(({ field }) => !field.from.includes('.'));
  const shape: Shape = {
    own,
    isPlain,
    columns: fields.map(({ name, field }) => ({ name, field, as: isPlain ? field.from : name })),
    // n.b. the server gives _id unless it is told not to.
    projection: Object.fromEntries([
      ['_id', 0],
      ...fields.map(({ name, field: { from } }): [string, unknown] => (isPlain ? [from, 1] : [name, `$${from}`])),
    ]),
  };
  shapes.set(view, shape);
  return shape;
}

/** The structured query, checked and translated, ready to be sent. */
export function prepareRead(view: View, plan: QueryPlan): (execution: Execution) => Promise<Page> {
  const native = nativeOf(view);
  const shape = shapeOf(view);
  const order = plan.order.map(({ column, direction }) => ({ field: fieldOf(native, column.name), direction }));
  const match = plan.conditions.map((condition) => predicate(condition, native));
  if (plan.start !== undefined) match.push(after(order, plan.start));
  const [first] = match;
  const filter = match.length > 1 ? { $and: match } : (first ?? {});
  const sort = Object.fromEntries(
    order.map(({ field, direction }): [string, 1 | -1] => [field.from, direction === 'asc' ? 1 : -1]),
  );
  const limit = plan.limit + 1;
  const read = shape.isPlain
    ? readPlain({ on: native.on, filter, sort, limit, projection: shape.projection })
    : readStages(
        native.on,
        shape.own.concat(
          Object.keys(filter).length === 0 ? [] : { $match: filter },
          { $sort: sort },
          { $limit: limit },
          { $project: shape.projection },
        ),
        limit,
      );
  return async (execution) => toPage(shape.columns, plan, await read(execution));
}

type Read = (execution: Execution) => Promise<readonly Document[]>;

interface PlainQuery {
  readonly on: string;
  readonly filter: Stage;
  readonly sort: Record<string, 1 | -1>;
  readonly limit: number;
  readonly projection: Stage;
}

function readPlain({ on, filter, sort, limit, projection }: PlainQuery): Read {
  return async (execution) => {
    const { db, session, meter } = execution;
    if (session === undefined) {
      // n.b. with a batch of `limit` documents servers leave the cursor open.
      const command = { find: on, filter, sort, limit, projection, batchSize: limit + 1 };
      const found = await firstBatch(command, execution);
      if (found !== undefined) return found;
    }
    const options = { sort, limit, projection, ...boundsOf(execution, limit) };
    return collect(db.collection(on).find(filter, options), meter, SPARE_ROWS);
  };
}

function readStages(on: string, pipeline: Stage[], limit: number): Read {
  return async (execution) => {
    const { db, session, meter } = execution;
    if (session === undefined) {
      const command = { aggregate: on, pipeline, cursor: { batchSize: limit + 1 } };
      const found = await firstBatch(command, execution);
      if (found !== undefined) return found;
    }
    return collect(db.collection(on).aggregate(pipeline, boundsOf(execution, limit)), meter, SPARE_ROWS);
  };
}

function boundsOf({ deadline, session }: Execution, batchSize: number): Stage {
  return { batchSize, signal: signalOf(deadline), maxTimeMS: serverMs(deadline), ...(session && { session }) };
}

function predicate({ column, op, value }: Condition, native: NativeObject): Stage {
  const field = fieldOf(native, column.name);
  const where = `where.${column.name}`;
  const bson = (one: Json): unknown => {
    try {
      return toBson(one, field, where);
    } catch (error) {
      throw storeErrors.make('BEDS_STORE_QUERY_INVALID', undefined, { field: where, cause: error });
    }
  };
  // The same as $eq, and some servers look into the index for this form only.
  if (op === 'eq' && value !== null) return { [field.from]: bson(value) };
  if (op === 'in') return { [field.from]: { $in: value.map(bson) } };
  if (op !== 'prefix') return { [field.from]: { [`$${op}`]: bson(value) } };
  if (field.as !== 'string') throw storeErrors.make('BEDS_STORE_QUERY_INVALID', undefined, { field: where });
  return { [field.from]: { $regex: `^${quotePattern(String(value))}` } };
}

function fieldOf(native: NativeObject, column: string): Field {
  const field = native.fields?.[column];
  if (field === undefined) throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
  return field;
}

/** The documents as rows of the view, and the cursor when there are more of them than the page holds. */
function toPage(columns: readonly Column[], plan: QueryPlan, documents: readonly Document[]): Page {
  const rows = documents.slice(0, plan.limit).map((document) => {
    const row: Record<string, Json> = {};
    for (const { name, field, as } of columns) row[name] = toColumn(document[as], field, name);
    return row;
  });
  const cursor = cursorOf(columns, plan, documents);
  return cursor === undefined ? { rows } : { rows, cursor };
}

/**
 * Undefined where no more documents follow. Throws BEDS_STORE_CURSOR_STUCK where this page does not lie after the one
 * before, or the next one would leave out the document that follows because its key is the same.
 */
function cursorOf(columns: readonly Column[], plan: QueryPlan, documents: readonly Document[]): string | undefined {
  const hasMore = documents.length > plan.limit;
  if (!hasMore && plan.start === undefined) return undefined;
  const order = plan.order.flatMap(({ column, direction }): readonly SortedColumn[] => {
    const found = columns.find(({ name }) => name === column.name);
    return found === undefined ? [] : [{ ...found, direction }];
  });
  const last = valuesIn(documents[plan.limit - 1], order);
  if (plan.start !== undefined) {
    const start = order.map(({ field }, index) => storedValue(plan.start?.[index] ?? null, field));
    for (const values of [valuesIn(documents[0], order), last]) goesOn(order, start, values);
  }
  if (!hasMore || last === undefined) return undefined;
  goesOn(order, last, valuesIn(documents[plan.limit], order));
  return plan.cursorAt(last.map(positionOf));
}

interface SortedColumn extends Column {
  readonly direction: 'asc' | 'desc';
}

/** n.b. read, so that a document of another type is complained of before it can be left out. */
function valuesIn(document: Document | undefined, order: readonly Column[]): readonly unknown[] | undefined {
  return (
    document &&
    order.map(({ name, field, as }) => {
      const value: unknown = document[as];
      toColumn(value, field, name);
      return value;
    })
  );
}

/** Where only the database can tell, it is right that `to` lies after `from`. */
function goesOn(order: readonly SortedColumn[], from: readonly unknown[], to: readonly unknown[] | undefined): void {
  if (to === undefined) return;
  for (const [index, { direction }] of order.entries()) {
    const [a, b] = [from[index], to[index]];
    if (positionOf(a) === positionOf(b)) continue;
    const compared = compareStored(a, b);
    if (compared === undefined || (direction === 'asc' ? compared < 0 : compared > 0)) return;
    if (compared !== 0) break;
  }
  throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
}
