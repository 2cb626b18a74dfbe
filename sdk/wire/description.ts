import type { JsonObject } from '../template/json.js';
import type { CallMode } from './envelope.js';

/** The operation that every domain answers besides its own: what it takes and gives. Whoever may call a domain may be let ask it. */
export const DESCRIBE = 'describe';

/** https://json-schema.org/draft/2020-12 */
export type JsonSchema = JsonObject;

export interface OperationDescription {
  readonly mode: CallMode;
  /** An object of the members that the envelope must have beside `v`, `id`, `domain` and `op`: `payload`, `query`, `key`. */
  readonly request: JsonSchema;
  /** The `data` of a reply. */
  readonly data: JsonSchema;
}

/** What a version of a domain says of itself to those who call it. Names of the database are no part of it. */
export interface DomainDescription {
  readonly domain: string;
  readonly version: string;
  /** Of the host that answers; another one counts for itself. */
  readonly generation: number;
  /** The field that identifies a record. */
  readonly key: string;
  readonly operations: Readonly<Record<string, OperationDescription>>;
  /** The rows of each view that may be fetched, by its name; `fetch` is the one without a name. */
  readonly views: Readonly<Record<string, JsonSchema>>;
  /** What a failed reply may say, by code. */
  readonly errors: Readonly<
    Record<string, { readonly status: string; readonly retryable: boolean; readonly message: string }>
  >;
}
