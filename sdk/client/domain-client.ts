import type { DomainCalls, DomainTypes, FetchQuery, FetchRow, TypesOf } from '../template/domain-types.js';
import type { Json, JsonObject } from '../template/json.js';
import type { Page, Scalar } from '../template/query.js';
import type { DomainDescription } from '../wire/description.js';
import type { Session } from './session.js';

/** Terms of one call. */
export interface CallOptions {
  /** Milliseconds until the caller gives up. Default: the client's `defaultDeadlineMs`. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Handed to the template as `idempotencyKey`, for a routine that keeps keys. The host itself does not compare keys. */
  readonly idempotencyKey?: string;
  /** For whom: a session of `signIn`, a token, or null for nobody. Default: the client's `session`. */
  readonly session?: Session | string | null;
  /** W3C trace context. Default: that of the active OpenTelemetry context, where the program has `@opentelemetry/api`. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Stands for a domain whose types are not known: all that JSON can say. */
interface AnyDomain {
  readonly name: string;
  readonly key: string;
  readonly create: { readonly payload: JsonObject; readonly result: JsonObject };
  readonly update: { readonly payload: JsonObject; readonly result: JsonObject };
  readonly delete: { readonly id: Scalar; readonly result: JsonObject };
  readonly views: { readonly [view: string]: JsonObject; readonly fetch: JsonObject };
  readonly operations: { readonly [name: string]: { readonly input: JsonObject; readonly result: Json } };
}

interface FurtherCalls<Types extends DomainTypes> {
  /** Page after page until there are no more; each page is a call of its own. */
  fetchAll<const Query extends FetchQuery<Types>>(
    query: Query,
    options?: CallOptions,
  ): AsyncIterableIterator<Page<FetchRow<Types, Query>>>;
  /** An operation beyond the four, by its name. */
  call<K extends keyof Types['operations'] & string>(
    operation: K,
    input: Types['operations'][K]['input'],
    options?: CallOptions,
  ): Promise<Types['operations'][K]['result']>;
  /** What the version that serves says of itself: operations, views, errors, in JSON Schema. */
  describe(options?: CallOptions): Promise<DomainDescription>;
}

type Calls<Types extends DomainTypes> = FurtherCalls<Types> & DomainCalls<Types, [options?: CallOptions]>;

/** Calls into one domain, typed by its template (`typeof template`) or by what `beds types` wrote. Rejects with a BedsError. */
export type DomainClient<T = undefined> = Calls<
  T extends DomainTypes ? T : [TypesOf<T>] extends [never] ? AnyDomain : TypesOf<T>
>;

/** A client's domains, by name. */
export type DomainClients<Domains> = { readonly [D in keyof Domains]: DomainClient<Domains[D]> };
