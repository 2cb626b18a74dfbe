import type { JsonObject } from './json.js';

export type Scalar = string | number | boolean | null;

/** All given comparisons must hold. `prefix` compares the start of a string. */
export interface Comparison {
  readonly eq?: Scalar;
  readonly ne?: Scalar;
  readonly lt?: Scalar;
  readonly lte?: Scalar;
  readonly gt?: Scalar;
  readonly gte?: Scalar;
  readonly in?: readonly Scalar[];
  readonly prefix?: string;
}

export interface OrderBy<Column extends string = string> {
  readonly column: Column;
  /** Default 'asc'. */
  readonly direction?: 'asc' | 'desc';
}

/** A structured read of a view: never text. Every condition must hold. */
export interface ViewQuery<Column extends string = string> {
  readonly where?: { readonly [K in Column]?: Scalar | Comparison };
  readonly order?: readonly OrderBy<Column>[];
  /** Rows in one page. Default 100; the host's `limits.maxPageRows` is the ceiling. */
  readonly limit?: number;
  /** The `cursor` of the page before; opaque, valid for the same `where` and `order` only. */
  readonly cursor?: string;
}

/** One page of rows. `cursor` is there when more rows follow. */
export interface Page<Row = JsonObject> {
  readonly rows: readonly Row[];
  readonly cursor?: string | undefined;
}
