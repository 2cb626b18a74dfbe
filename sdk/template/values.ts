import type { Json, JsonObject } from './json.js';

/** Those of VALUE_TYPES whose values have no declared parts. */
export const SCALAR_TYPES = [
  'string',
  'integer',
  'bigint',
  'number',
  'decimal',
  'boolean',
  'date',
  'datetime',
  'binary',
  'json',
] as const;

/**
 * The types a value may have on its way in and out. `integer` is a number without a fraction, within ±(2^53-1); `bigint` a
 * whole number of any size, always as a decimal string; `decimal` an exact decimal string; `date` an ISO 8601 day;
 * `datetime` an ISO 8601 instant in UTC; `binary` bytes, as base64 with its padding; `json` any JSON; `schema` what a Standard Schema accepts.
 */
export const VALUE_TYPES = [...SCALAR_TYPES, 'enum', 'list', 'object', 'schema'] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

/** A value as a manifest describes it. */
export interface ValueDescription {
  readonly type: ValueType;
  /** An argument may be left out or null; a column may be null. Default false. */
  readonly optional?: boolean;
  /**
   * The only way of being `optional`. `left out`: an argument is never null; a column is null where there is nothing. `null` is said of the
   * schemas of other libraries alone, where contracts are compared.
   */
  readonly absence?: 'null' | 'left out';
  /** Stands in where the value is left out or null. */
  readonly default?: Json;
  /** Longest string, in characters; most bytes of a binary. */
  readonly maxLength?: number;
  /** Smallest number. */
  readonly min?: number;
  /** Largest number. */
  readonly max?: number;
  /** Of an enum: the strings that there are. */
  readonly values?: readonly string[];
  /** Of a list: what is in it. */
  readonly items?: ValueDescription;
  /** Of a list: the most it may hold. */
  readonly maxItems?: number;
  /** Of an object: its members; there are no others. */
  readonly fields?: ValueFields;
  /** Of a schema: its JSON Schema, where the library gives one. */
  readonly schema?: JsonObject;
}

/** Whether null is taken where the value is `optional`; `fill` is that of `readValue`. */
export function takesNull({ absence }: ValueDescription, fill = false): boolean {
  return fill || absence !== 'left out';
}

/** Named values: arguments, columns, or the members of an object. */
export type ValueFields = Readonly<Record<string, ValueDescription>>;

/**
 * The part of https://standardschema.dev that is used here. Libraries such as zod, valibot and arktype implement it; zod gives a
 * JSON Schema as well.
 */
export interface StandardSchema<In = unknown, Out = In> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Out> | Promise<SchemaResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
    readonly jsonSchema?: Readonly<Record<'input' | 'output', (options: JsonSchemaOptions) => object>>;
  };
}

interface JsonSchemaOptions {
  readonly target: 'draft-2020-12';
  readonly libraryOptions?: Readonly<Record<string, unknown>>;
}

export type SchemaResult<Out> =
  { readonly value: Out; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Where a description keeps the schema that checks its values: in the code only, never in a manifest. The host reads it of any copy of the SDK. */
export const LIVE_SCHEMA: unique symbol = Symbol.for('beds.schema') as never;

export interface LiveDescription extends ValueDescription {
  readonly [LIVE_SCHEMA]?: StandardSchema;
}

/** Whether a schema is there that says what may be absent, too. */
export function isLive(description: ValueDescription): boolean {
  return description.type === 'schema' && (description as LiveDescription)[LIVE_SCHEMA] !== undefined;
}

/** The same of any part of a description. */
export function hasLive(description: ValueDescription): boolean {
  if (isLive(description)) return true;
  const { items, fields } = description;
  return (items !== undefined && hasLive(items)) || Object.values(fields ?? {}).some(hasLive);
}
