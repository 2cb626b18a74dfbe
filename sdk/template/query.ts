import type { JsonObject } from './json.js';

export type Scalar = string | number | boolean | null;

/** The columns of a view that nothing is known of: a name and the type of its values, as a row has them. */
export type AnyColumns = Readonly<Record<string, Scalar>>;

/** What a value of a column can be compared with. n.b. JSON can only be compared with null. */
type Comparable<Value> = JsonObject extends Value ? never : Exclude<Extract<Value, Scalar>, null>;

type TextOf<Value> = Extract<Value, string> extends never ? never : string;

/**
 * All given comparisons must hold. Each of them holds or does not: `eq`, `ne`, `in` and `isNull` treat null as a value (`ne: 1`
 * holds for null), the others never hold for null.
 */
export interface Comparison<Value = Exclude<Scalar, null>> {
  readonly eq?: Value | null;
  readonly ne?: Value | null;
  readonly lt?: Value;
  readonly lte?: Value;
  readonly gt?: Value;
  readonly gte?: Value;
  readonly in?: readonly (Value | null)[];
  /** From the first to the last, both inclusive. */
  readonly between?: readonly [Value, Value];
  /** The text that the column begins with. */
  readonly prefix?: TextOf<Value>;
  /** Text that stands somewhere in the column. */
  readonly contains?: TextOf<Value>;
  readonly isNull?: boolean;
}

/** By column: the value it must have, or comparisons. All must hold. */
export type Where<Columns = AnyColumns> = {
  readonly [K in keyof Columns]?: Comparable<Columns[K]> | Comparison<Comparable<Columns[K]>> | null;
};

/** Which rows. All of its parts must hold, and it must have one wherever it stands in another filter. */
export interface Filter<Columns = AnyColumns> {
  readonly where?: Where<Columns>;
  /** All must hold. */
  readonly and?: readonly Filter<Columns>[];
  /** At least one must hold. */
  readonly or?: readonly Filter<Columns>[];
  /** Must not hold: finds exactly the rows that the filter does not, those with nulls included. */
  readonly not?: Filter<Columns>;
}

export interface OrderBy<Column extends string = string> {
  readonly column: Column;
  /** Default 'asc'. */
  readonly direction?: 'asc' | 'desc';
}

/** A structured read of a view: never text. */
export interface ViewQuery<Columns = AnyColumns> extends Filter<Columns> {
  /** Which of the domain's views that callers may fetch. Default: the one that `fetch` names. */
  readonly view?: string;
  readonly order?: readonly OrderBy<keyof Columns & string>[];
  /** Rows in one page. Default 100; the host's `limits.maxPageRows` is the ceiling. 0, with `count`: none. */
  readonly limit?: number;
  /** The `cursor` of the page before; opaque, valid for the same view, filter and `order` only. */
  readonly cursor?: string;
  /** Whether the page says how many rows the filter finds, whatever `limit` and `cursor` say. Default false. */
  readonly count?: boolean;
}

/** One page of rows. `cursor` is there when more rows follow, `count` when the query requested it. */
export interface Page<Row = JsonObject> {
  readonly rows: readonly Row[];
  readonly cursor?: string | undefined;
  readonly count?: number | undefined;
}
