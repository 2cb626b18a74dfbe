import type { ErrorStatus, Problem } from '../template/errors.js';
import type { Json, JsonObject } from '../template/json.js';
import type { Scalar, ViewQuery } from '../template/query.js';

/** The four operations of NamasteCore as they are named on the wire. */
export const CORE_OPERATIONS = ['create', 'fetch', 'update', 'delete'] as const;

export type CoreOperation = (typeof CORE_OPERATIONS)[number];

/** Who asks, and under which terms. */
export interface RequestMeta {
  /** The caller's name for itself; of a plain AMQP client the `app-id` of its message stands in. */
  readonly client?: string;
  /** The token of a session, or of an OpenID provider: the request is carried out for its user or not at all. */
  readonly session?: string;
  /** Milliseconds until the caller gives up: from `sentAt` where it is given, or else from the host's receipt. */
  readonly deadlineMs?: number;
  /** When the caller made the request: milliseconds since 1970 by its clock. */
  readonly sentAt?: number;
  /** Handed to the template as `ctx.idempotencyKey`; the host itself does not compare keys. */
  readonly idempotencyKey?: string;
  /** W3C trace context. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Asks for the spans of this request in its reply; who may not have them gets a reply without. */
  readonly trace?: boolean;
  /** Of a domain that asks for a request of its own: how many domains called each other to get there. */
  readonly depth?: number;
  /** Refuses an operation that writes, as it is called by one that only reads. */
  readonly readOnly?: boolean;
  /** The domain that asks in its own name, where a host asks for one; refused from anybody else. */
  readonly asDomain?: string;
}

/** One request: the body of an AMQP message, alone or in an array of requests of the same domain and operation. */
export interface RequestEnvelope {
  readonly v: 1;
  readonly id: string;
  readonly domain: string;
  readonly op: string;
  /** create, update: the record. Custom operations: their arguments. */
  readonly payload?: JsonObject;
  /** fetch: which rows. */
  readonly query?: ViewQuery;
  /** fetch, update, delete: one record by its key. */
  readonly key?: Scalar;
  readonly meta?: RequestMeta;
}

/** What an operation is to those who call it: a read, a write, or a write that has the effect of once however often it runs. */
export type CallMode = 'read' | 'write' | 'idempotent';

/** Which version served a request. */
export interface ServedBy {
  readonly node: string;
  readonly domain: string;
  /** Absent where no version was reached. */
  readonly version?: string;
  readonly generation?: number;
  /** What the version takes the operation for; absent where it has none of that name. */
  readonly mode?: CallMode;
}

export interface ReplyError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  /** The class of the error, for callers that treat classes alike. */
  readonly status?: ErrorStatus;
  /** Where the input is wrong, as a path. */
  readonly field?: string;
  /** All that is wrong with the input, each with its field. */
  readonly problems?: readonly Problem[];
  readonly hint?: string;
}

/** A piece of work on the way of a request, with the time that it took. */
export interface TraceSpan {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** The span that it is a part of. Of the first one, that is what the caller named, if any. */
  readonly parentId?: string;
  readonly name: string;
  readonly node: string;
  /** Milliseconds since 1970 by the clock of that node, with fractions. */
  readonly startMs: number;
  readonly ms: number;
  /** Code of the error that it ended with. */
  readonly error?: string;
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
}

/** What a host says of the way of one request, where `meta.trace` asks for it and the caller may know. */
export interface ReplyTrace {
  readonly traceId: string;
  /** In the order in which they began. */
  readonly spans: readonly TraceSpan[];
  /** Further spans that were left out. */
  readonly left?: number;
}

export type ReplyEnvelope =
  | {
      readonly v: 1;
      readonly id: string;
      readonly ok: true;
      readonly data: Json;
      /** `cursor`: more rows follow. `count`: the number of matching rows, if the query requested it. */
      readonly page?: { readonly cursor?: string; readonly count?: number };
      readonly by: ServedBy;
      readonly trace?: ReplyTrace;
    }
  | {
      readonly v: 1;
      readonly id: string;
      readonly ok: false;
      readonly error: ReplyError;
      readonly by: ServedBy;
      readonly trace?: ReplyTrace;
    };

/** The exchange that requests are published to, with routing key `<domain>.<operation>`. */
export const REQUEST_EXCHANGE = 'beds.request';

/** AMQP `type` of a batch whose caller takes the replies in several messages. */
export const BATCH_IN_PARTS = 'beds.batch';

/**
 * Header that says of the requests of a message that do not say it themselves when they were made, milliseconds since 1970.
 * n.b. not the one that RabbitMQ sets on arrival, which it may put in place of ours.
 */
export const SENT_AT = 'beds-sent-at';

/** Header with the token of those requests of a message that carry none themselves. */
export const SESSION = 'beds-session';
