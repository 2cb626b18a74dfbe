import type { User } from './access.js';
import type { Json, JsonObject } from './json.js';
import type { Page, Scalar, ViewQuery } from './query.js';

/** What a procedure that returns no rows gives: how many it says it changed. */
export interface Affected {
  readonly affected: number;
}

/**
 * What a named object gave, by its `returns`: of a procedure its row (undefined where there is none), its rows, a list of
 * these for several result sets, or how many rows it changed; of a function its value.
 */
export type CallResult = Affected | Json | undefined | readonly (Json | undefined)[];

/** Structured log lines that carry domain, version and request id by themselves. */
export interface TemplateLog {
  debug(message: string, fields?: JsonObject): void;
  info(message: string, fields?: JsonObject): void;
  warn(message: string, fields?: JsonObject): void;
  error(message: string, fields?: JsonObject): void;
}

/** Calls into another domain, on the same host or on the one that serves it, under the same deadline. */
export interface DomainCaller {
  create(payload: JsonObject): Promise<JsonObject>;
  fetch(query: ViewQuery | { readonly key: Scalar }): Promise<Page>;
  update(key: Scalar, payload: JsonObject): Promise<JsonObject>;
  delete(key: Scalar): Promise<JsonObject>;
  /** A custom operation. */
  call(operation: string, input?: JsonObject): Promise<Json>;
}

/** Calls that belong to one transaction of the template's store. */
export interface TransactionScope {
  call(alias: string, args?: JsonObject): Promise<CallResult>;
  view(alias: string, query?: ViewQuery): Promise<Page>;
}

/**
 * What the host lets template code do, as plain as JSON; handlers see it typed, through `db` and `peers`. `alias` is a name of
 * the template's own objects. Dozens of these calls may run at once. All of them end at the request's deadline with
 * `BEDS_REQUEST_DEADLINE_EXCEEDED`.
 */
export interface TemplateContext extends TransactionScope {
  /**
   * What is running: the domain, version and generation of this code, the requested operation, and the installation that it belongs to: the
   * prefix of its names in RabbitMQ, which tells apart what two installations keep in one database.
   */
  readonly self: {
    readonly domain: string;
    readonly version: string;
    readonly generation: number;
    readonly operation: string;
    readonly installation: string;
  };
  readonly requestId: string;
  /** The caller's name for itself; not proof of identity. */
  readonly client: string | undefined;
  /** Who is signed in; undefined: nobody, or another domain calls in its own name. */
  readonly user: User | undefined;
  /** The caller's name for the effect it wants, for a routine that keeps such keys. */
  readonly idempotencyKey: string | undefined;
  /** W3C trace context of the caller, for what the code tells others; lines of the log carry it by themselves. */
  readonly traceparent: string | undefined;
  /** Aborted at the deadline. */
  readonly signal: AbortSignal;
  /** Milliseconds left before the deadline; at most 0 when it has passed. */
  readonly deadline: { readonly remainingMs: number };
  readonly log: TemplateLog;
  domain(name: string): DomainCaller;
  /** Commits when `work` resolves, rolls back when it rejects. `BEDS_STORE_NOT_SUPPORTED` where the store cannot. */
  transaction<T>(work: (scope: TransactionScope) => Promise<T>): Promise<T>;
}
