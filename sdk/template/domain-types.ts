import type { JsonObject } from './json.js';
import type { Template } from './namaste-core.js';
import type { Page, Scalar, ViewQuery } from './query.js';

/**
 * A domain as its callers see it, in TypeScript's terms alone: `typeof template` carries it, and `beds types` writes it from the
 * manifest of a live host.
 */
export interface DomainTypes {
  readonly name: string;
  /** The column that identifies a record. */
  readonly key: string;
  readonly create: { readonly payload: object; readonly result: unknown };
  /** `payload` without the key. */
  readonly update: { readonly payload: object; readonly result: unknown };
  readonly delete: { readonly id: Scalar; readonly result: unknown };
  /** The rows of each view that callers may fetch from; `fetch` is the one they get without naming one. */
  readonly views: { readonly [view: string]: object; readonly fetch: object };
  /** The operations beyond the four. */
  readonly operations: { readonly [name: string]: { readonly input: object; readonly result: unknown } };
}

declare const TYPES: unique symbol;

/** A template that remembers, in its type, what its callers see. */
export type Domain<Types extends DomainTypes> = Template & { readonly [TYPES]?: Types };

/** What `Domain` remembers; never where it is nothing. */
export type TypesOf<T> = T extends { readonly [TYPES]?: infer Types } ? Extract<Types, DomainTypes> : never;

/** A fetch: from one view, by its columns. */
export type FetchQuery<Types extends DomainTypes> = string extends keyof Types['views']
  ? ViewQuery & { readonly view?: string }
  : {
      [V in keyof Types['views'] & string]: ViewQuery<Types['views'][V]> &
        (V extends 'fetch' ? { readonly view?: undefined } : { readonly view: V });
    }[keyof Types['views'] & string];

/** The rows that a fetch gives. */
export type FetchRow<Types extends DomainTypes, Query> = string extends keyof Types['views']
  ? JsonObject
  : Query extends { readonly view: infer V extends keyof Types['views'] }
    ? Types['views'][V]
    : Types['views']['fetch'];

/** The parameters of an operation: what is all optional may be left out. */
export type InputParameters<Input> = Record<never, never> extends Input ? [input?: Input] : [input: Input];

/** The calls of a domain: the four, page after page, and its own operations by their names. `Terms` go behind the input. */
export type DomainCalls<Types extends DomainTypes, Terms extends readonly unknown[] = []> = {
  create(payload: Types['create']['payload'], ...terms: Terms): Promise<Types['create']['result']>;
  /** One page of rows, or the record with this key. */
  fetch<const Query extends FetchQuery<Types> | { readonly key: Types['delete']['id'] }>(
    query: Query,
    ...terms: Terms
  ): Promise<Page<FetchRow<Types, Query>>>;
  update(
    key: Types['delete']['id'],
    payload: Types['update']['payload'],
    ...terms: Terms
  ): Promise<Types['update']['result']>;
  delete(key: Types['delete']['id'], ...terms: Terms): Promise<Types['delete']['result']>;
} & {
  readonly [K in keyof Types['operations']]: (
    ...input: [...InputParameters<Types['operations'][K]['input']>, ...Terms]
  ) => Promise<Types['operations'][K]['result']>;
};
