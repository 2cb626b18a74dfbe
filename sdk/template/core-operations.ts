import { compileChecker, type ValuesChecker } from './check-values.js';
import type { TemplateContext } from './context.js';
import type { JsonObject } from './json.js';
import type { ObjectManifest } from './manifest.js';
import type { NamasteCore, Response } from './namaste-core.js';
import type { Comparison, Scalar, ViewQuery } from './query.js';
import { invalid, notFound } from './template-errors.js';

type RoutineManifest = Extract<ObjectManifest, { kind: 'routine' }>;

/** The four operations as far as named objects can serve them. */
export type DeclaredOperations = Partial<NamasteCore>;

function accept(check: ValuesChecker, values: JsonObject, path: string): JsonObject {
  const checked = check(values);
  if (checked.ok) return checked.value;
  throw invalid(`${path}${checked.problem.field}`, checked.problem.message);
}

function declareCreate(routine: RoutineManifest): NamasteCore['createRecord'] {
  const check = compileChecker(routine.args);
  return async (payload, ctx) => {
    const { rows, affected } = await ctx.call('create', accept(check, payload, 'payload.'));
    return rows[0] ?? { affected };
  };
}

/** A change that neither gave back a row nor changed one met no record. */
async function change(ctx: TemplateContext, alias: 'update' | 'delete', args: JsonObject): Promise<Response> {
  const { rows, affected } = await ctx.call(alias, args);
  const row = rows[0];
  if (row === undefined && affected === 0) throw notFound();
  return row ?? { affected };
}

function declareUpdate(routine: RoutineManifest): NamasteCore['updateRecord'] {
  const check = compileChecker(routine.args);
  return async (payload, ctx) => change(ctx, 'update', accept(check, payload, 'payload.'));
}

function declareDelete(routine: RoutineManifest, key: string): NamasteCore['deleteRecord'] {
  const check = compileChecker(routine.args);
  return async (id, ctx) => {
    const checked = check({ [key]: id });
    if (!checked.ok) throw invalid('key', checked.problem.message);
    return change(ctx, 'delete', checked.value);
  };
}

function equality(column: string, condition: Scalar | Comparison | undefined): Scalar {
  if (condition === undefined) return null;
  if (typeof condition !== 'object' || condition === null) return condition;
  const value = condition.eq;
  if (value === undefined || Object.keys(condition).length !== 1) {
    throw invalid(`query.where.${column}`, 'must be an equality: this domain fetches with a routine');
  }
  return value;
}

/** A routine gives all its rows: it has no order, no page after the first, and no filter but its arguments. */
function routineArguments(query: ViewQuery): JsonObject {
  for (const name of ['and', 'or', 'not', 'order', 'cursor', 'count'] as const) {
    if ((query[name] ?? undefined) === undefined) continue;
    throw invalid(`query.${name}`, 'is not supported: this domain fetches with a routine');
  }
  const where = Object.entries(query.where ?? {});
  return Object.fromEntries(where.map(([column, condition]) => [column, equality(column, condition)]));
}

function declareFetch(object: ObjectManifest): NamasteCore['fetchRecords'] {
  if (object.kind === 'view') return (query, ctx) => ctx.view('fetch', query);
  const check = compileChecker(object.args);
  return async (query, ctx) => {
    const { rows } = await ctx.call('fetch', accept(check, routineArguments(query), 'query.where.'));
    return { rows };
  };
}

/** Makes an operation of every core alias that is there. The objects have been checked. */
export function declareOperations(objects: Readonly<Record<string, ObjectManifest>>, key: string): DeclaredOperations {
  const { create, fetch, update, delete: remove } = objects;
  return {
    ...(create?.kind === 'routine' && { createRecord: declareCreate(create) }),
    ...(fetch !== undefined && { fetchRecords: declareFetch(fetch) }),
    ...(update?.kind === 'routine' && { updateRecord: declareUpdate(update) }),
    ...(remove?.kind === 'routine' && { deleteRecord: declareDelete(remove, key) }),
  };
}
