import type { TypesOf } from '../template/define-template.js';
import type { Json, JsonObject } from '../template/json.js';
import type { View, SpecOf } from '../template/objects.js';
import type { AnyColumns, Page, Scalar, ViewQuery } from '../template/query.js';
import type { ArgumentsOf, RowOf, ValuesSpec } from '../template/values.js';

/** Terms of one call. */
export interface CallOptions {
  /** Milliseconds until the caller gives up. Default: the client's `defaultDeadlineMs`. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Handed to the template as `ctx.idempotencyKey`, for a routine that keeps keys. The host itself does not compare keys. */
  readonly idempotencyKey?: string;
  readonly session?: string;
  /** W3C trace context. */
  readonly traceparent?: string;
}

type Shape<T> = [TypesOf<T>] extends [never] ? UntypedShape : TypesOf<T>;

/** Stands for a template whose types are not known. */
interface UntypedShape {
  readonly objects: Readonly<Record<never, never>>;
  readonly args: { readonly [operation: string]: unknown };
  readonly results: { readonly [operation: string]: Json };
  readonly key: string;
}

type ObjectsOf<T> = Shape<T> extends { readonly objects: infer O } ? O : never;
type KeyColumnOf<T> = Shape<T> extends { readonly key: infer K } ? K : never;
type OperationsOf<T> = Shape<T> extends { readonly args: infer A } ? A : never;
type ResultsOf<T> = Shape<T> extends { readonly results: infer R } ? R : never;

type CreatePayload<T> = ObjectsOf<T> extends { readonly create: infer R } ? ArgumentsOf<SpecOf<R>> : JsonObject;
type UpdatePayload<T> =
  ObjectsOf<T> extends { readonly update: infer R }
    ? Omit<ArgumentsOf<SpecOf<R>>, KeyColumnOf<T> & string>
    : JsonObject;
type FetchColumns<T> =
  ObjectsOf<T> extends { readonly fetch: infer V } ? (V extends View ? RowOf<SpecOf<V>> : AnyColumns) : AnyColumns;
type FetchRow<T> =
  ObjectsOf<T> extends { readonly fetch: infer V } ? (V extends View ? RowOf<SpecOf<V>> : JsonObject) : JsonObject;
type OperationInput<T, K extends keyof OperationsOf<T>> = OperationsOf<T>[K] extends infer S
  ? S extends ValuesSpec
    ? ArgumentsOf<S>
    : JsonObject
  : never;
type OperationOutput<T, K> = K extends keyof ResultsOf<T> ? ResultsOf<T>[K] : Json;

/** Calls into one domain. `DomainClient<typeof template>` types them by the template. Rejects with a BedsError. */
export interface DomainClient<T = undefined> {
  create(payload: CreatePayload<T>, options?: CallOptions): Promise<JsonObject>;
  /** One page of rows, or the record with this key. */
  fetch(
    query: ViewQuery<FetchColumns<T>> | { readonly key: Scalar },
    options?: CallOptions,
  ): Promise<Page<FetchRow<T>>>;
  /** Page after page until there are no more; each page is a call of its own. */
  fetchAll(query: ViewQuery<FetchColumns<T>>, options?: CallOptions): AsyncIterableIterator<Page<FetchRow<T>>>;
  update(key: Scalar, payload: UpdatePayload<T>, options?: CallOptions): Promise<JsonObject>;
  delete(key: Scalar, options?: CallOptions): Promise<JsonObject>;
  /** An operation beyond the four. */
  call<K extends keyof OperationsOf<T> & string>(
    operation: K,
    input: OperationInput<T, K>,
    options?: CallOptions,
  ): Promise<OperationOutput<T, K>>;
}

/** A client's domains, by name. */
export type DomainClients<Domains> = { readonly [D in keyof Domains]: DomainClient<Domains[D]> };
