import type { Json } from './json.js';

/**
 * The types a value may have on its way to and from a named object. `integer` is a whole number (a decimal string beyond
 * 2^53), `decimal` an exact decimal string, `date` an ISO 8601 day, `datetime` an ISO 8601 instant in UTC, `json` any JSON.
 */
export const VALUE_TYPES = ['string', 'integer', 'number', 'decimal', 'boolean', 'date', 'datetime', 'json'] as const;

export type ValueType = (typeof VALUE_TYPES)[number];

/** A value described at length. `'string?'` is short for `{ type: 'string', optional: true }`. */
export interface ValueDescription {
  readonly type: ValueType;
  /** May be left out or null. Default false. */
  readonly optional?: boolean;
  /** Stands in when the value is left out. */
  readonly default?: Json;
  /** Longest string, in characters. */
  readonly maxLength?: number;
  /** Smallest number. */
  readonly min?: number;
  /** Largest number. */
  readonly max?: number;
}

export type ValueSpec = ValueType | `${ValueType}?` | ValueDescription;

/** Named values: the arguments of a routine or an operation, or the columns of a view. */
export type ValuesSpec = Readonly<Record<string, ValueSpec>>;

interface TypeScriptTypes {
  string: string;
  integer: number;
  number: number;
  decimal: string;
  boolean: boolean;
  date: string;
  datetime: string;
  json: Json;
}

type TypeOf<S extends ValueSpec> = S extends ValueType
  ? TypeScriptTypes[S]
  : S extends `${infer T extends ValueType}?`
    ? TypeScriptTypes[T]
    : S extends { readonly type: infer T extends ValueType }
      ? TypeScriptTypes[T]
      : never;

type MayBeAbsent<S extends ValueSpec> = S extends `${string}?`
  ? true
  : S extends { readonly optional: true } | { readonly default: Json }
    ? true
    : false;

type Flatten<T> = { [K in keyof T]: T[K] } & {};

/** What a caller passes: optional and defaulted values may be left out. */
export type ArgumentsOf<S extends ValuesSpec> = Flatten<
  { readonly [K in keyof S as MayBeAbsent<S[K]> extends true ? never : K]: TypeOf<S[K]> } & {
    readonly [K in keyof S as MayBeAbsent<S[K]> extends true ? K : never]?: TypeOf<S[K]> | null;
  }
>;

/** What a handler receives: defaults are filled in; an optional value without a default may be absent. */
export type InputOf<S extends ValuesSpec> = Flatten<
  {
    readonly [
      K in keyof S as S[K] extends { readonly default: Json } ? K : MayBeAbsent<S[K]> extends true ? never : K
    ]: TypeOf<S[K]>;
  } & {
    readonly [
      K in keyof S as S[K] extends { readonly default: Json } ? never : MayBeAbsent<S[K]> extends true ? K : never
    ]?: TypeOf<S[K]> | null;
  }
>;

/** A row of a view with these columns. Any column may be null in a database. */
export type RowOf<S extends ValuesSpec> = Flatten<{ readonly [K in keyof S]: TypeOf<S[K]> | null }>;

/** The long form of a value spec. */
export function describeValue(spec: ValueSpec): ValueDescription {
  if (typeof spec !== 'string') return spec;
  if (!spec.endsWith('?')) return { type: spec as ValueType };
  return { type: spec.slice(0, -1) as ValueType, optional: true };
}

/** The long form of named value specs. What is not a spec stays as it is, for the check of the whole definition to name. */
export function describeValues(specs: ValuesSpec): Readonly<Record<string, ValueDescription>> {
  if (typeof specs !== 'object' || specs === null) return specs;
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, describeValue(spec)]));
}
