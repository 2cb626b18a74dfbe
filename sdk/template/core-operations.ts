import { compileArguments, compileInput, type ValuesChecker } from './check-values.js';
import type { TemplateContext } from './context.js';
import type { Json, JsonObject } from './json.js';
import type { ObjectManifest, OperationManifest } from './manifest.js';
import type { NamasteCore, Response } from './namaste-core.js';
import type { Comparison, Page, Scalar, ViewQuery } from './query.js';
import { invalid, notFound, templateErrors } from './template-errors.js';

type ProcedureManifest = Extract<ObjectManifest, { kind: 'procedure' }>;

/** What a core operation works with: the object that serves it, or the code. */
export interface CoreParts {
  readonly key: string;
  readonly objects: Readonly<Record<string, ObjectManifest>>;
  readonly operations: Readonly<Record<string, OperationManifest>>;
  /** Runs the code of that operation; absent where an object serves it. */
  readonly code: Readonly<Record<string, (input: JsonObject, ctx: TemplateContext) => Json | Promise<Json>>>;
}

function accept(check: ValuesChecker, values: JsonObject, path: string): JsonObject {
  const checked = check(values);
  if (checked.ok) return checked.value;
  throw invalid(`${path}${checked.problem.field}`, checked.problem.message);
}

function isRoutine(object: ObjectManifest | undefined): object is ProcedureManifest {
  return object?.kind === 'procedure';
}

function declareCreate(routine: ProcedureManifest): NamasteCore['createRecord'] {
  const check = compileArguments(routine.args);
  return async (payload, ctx) => {
    const record = await ctx.call('create', accept(check, payload, 'payload.'));
    if (record === undefined) throw templateErrors.make('BEDS_TEMPLATE_NO_ROW', `${routine.name} gave no row.`);
    return record as Response;
  };
}

/** A change that neither gave back a row nor changed one met no record. */
async function change(ctx: TemplateContext, alias: 'update' | 'delete', args: JsonObject): Promise<Response> {
  const record = (await ctx.call(alias, args)) as Response | undefined;
  if (record === undefined || record['affected'] === 0) throw notFound();
  return record;
}

function declareUpdate(routine: ProcedureManifest): NamasteCore['updateRecord'] {
  const check = compileArguments(routine.args);
  return async (payload, ctx) => change(ctx, 'update', accept(check, payload, 'payload.'));
}

function declareDelete(routine: ProcedureManifest, key: string): NamasteCore['deleteRecord'] {
  const check = compileArguments(routine.args);
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

function declareFetch(object: ObjectManifest | undefined): NamasteCore['fetchRecords'] {
  if (!isRoutine(object)) return (query, ctx) => ctx.view('fetch', query);
  const check = compileArguments(object.args);
  return async (query, ctx) => {
    const rows = await ctx.call('fetch', accept(check, routineArguments(query), 'query.where.'));
    return { rows: rows as readonly JsonObject[] };
  };
}

/** Code that serves `create` or `update`, behind the check of its input. */
function codedChange(parts: CoreParts, name: string): NamasteCore['createRecord'] {
  const check = compileInput(parts.operations[name]?.input ?? { type: 'object', fields: {} });
  const run = parts.code[name];
  return async (payload, ctx) => run?.(accept(check, payload, 'payload.'), ctx) as Promise<Response>;
}

function codedDelete(parts: CoreParts): NamasteCore['deleteRecord'] {
  const check = compileInput(parts.operations['delete']?.input ?? { type: 'object', fields: {} });
  const run = parts.code['delete'];
  return async (id, ctx) => {
    const checked = check({ [parts.key]: id });
    if (!checked.ok) throw invalid('key', checked.problem.message);
    return run?.(checked.value, ctx) as Promise<Response>;
  };
}

/** The four operations, each served by the object of its name or by code. The parts have been checked. */
export function coreOperations(parts: CoreParts): NamasteCore {
  const { objects, code, key } = parts;
  const { create, update, delete: remove } = objects;
  const { fetch } = code;
  return {
    createRecord: isRoutine(create) ? declareCreate(create) : codedChange(parts, 'create'),
    fetchRecords:
      fetch === undefined
        ? declareFetch(objects['fetch'])
        : async (query, ctx) => fetch(query as JsonObject, ctx) as unknown as Promise<Page>,
    updateRecord: isRoutine(update) ? declareUpdate(update) : codedChange(parts, 'update'),
    deleteRecord: isRoutine(remove) ? declareDelete(remove, key) : codedDelete(parts),
  };
}
