import type { Json, JsonObject } from './json.js';
import type { OperationMode } from './manifest.js';
import type { TemplateObjects, View } from './objects.js';
import type { SpecOf } from './objects.js';
import type { AnyColumns, Page, Scalar, ViewQuery } from './query.js';
import type { TypedContext } from './typed-context.js';
import type { InputOf, RowOf, ValuesSpec } from './values.js';

/** An operation beyond the four, as an author writes it. */
export interface OperationDefinition<O extends TemplateObjects, Domain extends string, Args extends ValuesSpec> {
  /** 'read' runs on the read brokers and may not change data; 'write' on the write brokers. */
  readonly mode: OperationMode;
  /** Checked before `run`; unknown names are refused. */
  readonly args: Args;
  /** Whether running it twice has the effect of running it once. Reads always are. Default false. */
  readonly idempotent?: boolean;
  run(input: InputOf<Args>, ctx: TypedContext<O, Domain>): Promise<Json>;
}

/** Infers what `run` resolves to, beside `OperationDefinition`, which infers the arguments. */
interface ResultInference<Result> {
  run(...args: never): Promise<Result>;
}

/** Where `fetch` is a view: its columns. The key is one of them. */
export type KeyOf<O> = O extends { readonly fetch: infer F }
  ? F extends View
    ? keyof SpecOf<F> & string
    : string
  : string;

/** The columns that `fetch` is asked for, where it is a view. */
export type ColumnsOf<O> = O extends { readonly fetch: infer F }
  ? F extends View
    ? RowOf<SpecOf<F>>
    : AnyColumns
  : AnyColumns;

/** `objects` has no `create`: add one, or write `createRecord`. */
export interface NoObjectNamedCreate {
  readonly createRecord: unknown;
}
/** `objects` has no `fetch`: add one, or write `fetchRecords`. */
export interface NoObjectNamedFetch {
  readonly fetchRecords: unknown;
}
/** `objects` has no `update`: add one, or write `updateRecord`. */
export interface NoObjectNamedUpdate {
  readonly updateRecord: unknown;
}
/** `objects` has no `delete`: add one, or write `deleteRecord`. */
export interface NoObjectNamedDelete {
  readonly deleteRecord: unknown;
}

/** Turns an operation that neither an object nor code serves into a compile error that says which. */
export type Complete<O> = (O extends { readonly create: unknown } ? unknown : NoObjectNamedCreate) &
  (O extends { readonly fetch: unknown } ? unknown : NoObjectNamedFetch) &
  (O extends { readonly update: unknown } ? unknown : NoObjectNamedUpdate) &
  (O extends { readonly delete: unknown } ? unknown : NoObjectNamedDelete);

export type ArgumentsByOperation = Readonly<Record<string, ValuesSpec>>;
export type ResultsByOperation = Readonly<Record<string, Json>>;

/** What `defineTemplate` takes. Everything in it that is code sees a `ctx` typed by `objects` and `domains`. */
export interface TemplateDefinition<
  O extends TemplateObjects,
  Domain extends string,
  Args extends ArgumentsByOperation,
  Results extends ResultsByOperation,
> {
  /** Lower-case letters, digits and -, at most 63. First word of the routing key. */
  readonly domain: string;
  /** Semantic version. */
  readonly version: string;
  /** The configured store that `objects` live in. */
  readonly store: string;
  /** The column that identifies a record. */
  readonly key: KeyOf<O>;
  /** Named objects by alias. `create`, `fetch`, `update`, `delete` serve those operations; the others are for code. */
  readonly objects: O;
  /** Other domains that the code calls with `ctx.domain`. Default none. */
  readonly domains?: readonly Domain[];
  /** Those of `create`, `update`, `delete` that may run twice with the effect of once. Default none. */
  readonly idempotent?: readonly ('create' | 'update' | 'delete')[];
  /** Operations beyond the four, by name. */
  readonly operations?: { readonly [K in keyof Args]: OperationDefinition<O, Domain, Args[K]> } & {
    readonly [K in keyof Results]: ResultInference<Results[K]>;
  };
  /** Free text for people: who, why, from which commit. */
  readonly notes?: Json;
  createRecord?(payload: JsonObject, ctx: TypedContext<O, Domain>): Promise<JsonObject>;
  /** Where `fetch` is a view, `query` speaks of its columns, so it can be handed to `ctx.view('fetch', query)`. */
  fetchRecords?(query: ViewQuery<ColumnsOf<O>>, ctx: TypedContext<O, Domain>): Promise<Page>;
  /** `payload` carries the record's key in the `key` column. */
  updateRecord?(payload: JsonObject, ctx: TypedContext<O, Domain>): Promise<JsonObject>;
  deleteRecord?(id: Scalar, ctx: TypedContext<O, Domain>): Promise<JsonObject>;
  /** Runs on each broker thread before this version takes traffic. A throw refuses the version. */
  setup?(ctx: TypedContext<O, Domain>): Promise<void> | void;
  /** Runs on each broker thread after the last request of this version. */
  teardown?(): Promise<void> | void;
  /** Runs once per version, before it is loaded anywhere and without databases. A throw refuses the version. */
  selfTest?(): Promise<void> | void;
}
