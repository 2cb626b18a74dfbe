import type { Collection } from 'mongodb';
import type { Json, Page } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedObject } from '../contract.js';
import type { Condition, QueryPlan } from '../query-plan.js';
import { nativeOf, type NativeObject } from './catalogue.js';
import type { Field } from './fields.js';
import { quotePattern } from './pattern.js';
import { toBson, toColumn } from './values.js';

type View = Extract<NamedObject, { kind: 'view' }>;
type Stage = Record<string, unknown>;

/** Reads one page. `limits` are what the driver takes with every operation. */
export type PageReader = (collection: Collection, limits: Readonly<Record<string, unknown>>) => Promise<Page>;

/** The structured query, ready to be sent; `own` are the stages of the view itself. */
export function prepareRead(view: View, plan: QueryPlan, own: readonly Stage[]): PageReader {
  const native = nativeOf(view);
  const filter = filterOf(native, plan);
  const sort: Record<string, 1 | -1> = {};
  for (const { column, direction } of plan.order) {
    sort[fieldOf(native, column.name).from] = direction === 'asc' ? 1 : -1;
  }
  const limit = plan.limit + 1;
  const columns = view.columns.map(({ name }) => [name, fieldOf(native, name).from] as const);
  // A view without stages of its own is a plain query, which servers answer with less work. n.b. a path into a document
  // means something else in the projection of a query than in a pipeline.
  if (own.length === 0 && columns.every(([, from]) => !from.includes('.'))) {
    const projection = { _id: 0, ...Object.fromEntries(columns.map(([, from]) => [from, 1])) };
    const fields = new Map(columns);
    return async (collection, limits) => {
      const options = { ...limits, sort, limit, projection, batchSize: limit };
      return toPage(view, plan, { documents: await collection.find(filter, options).toArray(), fields });
    };
  }
  const pipeline = [
    ...own,
    ...(Object.keys(filter).length === 0 ? [] : [{ $match: filter }]),
    { $sort: sort },
    { $limit: limit },
    { $project: { _id: 0, ...Object.fromEntries(columns.map(([name, from]) => [name, `$${from}`])) } },
  ];
  return async (collection, limits) => {
    const options = { ...limits, batchSize: limit };
    return toPage(view, plan, { documents: await collection.aggregate(pipeline, options).toArray() });
  };
}

function filterOf(native: NativeObject, plan: QueryPlan): Stage {
  const match = plan.conditions.map((condition) => predicate(condition, native));
  if (plan.after !== undefined) {
    const groups = plan.after.map((group) => ({ $and: group.map((condition) => predicate(condition, native)) }));
    // Nothing lies after the last position: `$or` must not be empty.
    match.push(groups.length === 0 ? { _id: { $in: [] } } : { $or: groups });
  }
  const [first] = match;
  return match.length > 1 ? { $and: match } : (first ?? {});
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

interface Found {
  readonly documents: readonly Readonly<Record<string, unknown>>[];
  /** What columns are called in the documents; absent: what they are called in the view. */
  readonly fields?: ReadonlyMap<string, string>;
}

/** The documents as rows of the view, and the cursor when there are more of them than the page holds. */
function toPage(view: View, plan: QueryPlan, { documents, fields }: Found): Page {
  const rows = documents
    .slice(0, plan.limit)
    .map((document) =>
      Object.fromEntries(
        view.columns.map(({ name, type }) => [name, toColumn(document[fields?.get(name) ?? name], type)]),
      ),
    );
  const last = rows.at(-1);
  return documents.length > plan.limit && last !== undefined ? { rows, cursor: plan.cursorAfter(last) } : { rows };
}
