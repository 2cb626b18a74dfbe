import type { Json, Page } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedObject } from '../contract.js';
import type { Condition, QueryPlan } from '../query-plan.js';
import type { NativeObject } from './catalogue.js';
import type { Field } from './fields.js';
import { quotePattern } from './pattern.js';
import { toBson, toColumn } from './values.js';

type View = Extract<NamedObject, { kind: 'view' }>;
type Stage = Record<string, unknown>;

/** The structured query as the stages that follow the view's own. */
export function queryStages(view: View, native: NativeObject, plan: QueryPlan): Stage[] {
  const match = plan.conditions.map((condition) => predicate(condition, native));
  if (plan.after !== undefined) {
    const groups = plan.after.map((group) => ({ $and: group.map((condition) => predicate(condition, native)) }));
    // Nothing lies after the last position: `$or` must not be empty.
    match.push(groups.length === 0 ? { _id: { $in: [] } } : { $or: groups });
  }
  const sort = plan.order.map(({ column, direction }) => [
    fieldOf(native, column.name).from,
    direction === 'asc' ? 1 : -1,
  ]);
  const columns = view.columns.map(({ name }) => [name, `$${fieldOf(native, name).from}`] as const);
  return [
    ...(match.length === 0 ? [] : [{ $match: match.length === 1 ? match[0] : { $and: match } }]),
    { $sort: Object.fromEntries(sort) as Record<string, 1 | -1> },
    { $limit: plan.limit + 1 },
    { $project: { _id: 0, ...Object.fromEntries(columns) } },
  ];
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
export function toPage(view: View, plan: QueryPlan, documents: readonly Readonly<Record<string, unknown>>[]): Page {
  const rows = documents
    .slice(0, plan.limit)
    .map((document) =>
      Object.fromEntries(view.columns.map(({ name, type }) => [name, toColumn(document[name], type)])),
    );
  const last = rows.at(-1);
  return documents.length > plan.limit && last !== undefined ? { rows, cursor: plan.cursorAfter(last) } : { rows };
}
