import type { Json, JsonObject } from './json.js';
import {
  hasLive,
  LIVE_SCHEMA,
  type LiveDescription,
  type StandardSchema,
  type ValueDescription,
  type ValueFields,
} from './values.js';

/** Whether a value may be left out: never, `optional` (it is null then), `omittable` (null is no value), or `default` (that stands in). */
export type Absence = 'never' | 'optional' | 'omittable' | 'default';

/** What a type remembers for TypeScript alone. */
declare const TYPES: unique symbol;

/**
 * A type of values, made by `t`. `Given` is what a caller passes, `Taken` what code gets of it (defaults filled in), `Shown`
 * what comes out (everything there, null where there is nothing).
 */
export class Type<Given, Taken = Given, Shown = Taken, A extends Absence = 'never'> {
  declare readonly [TYPES]: {
    readonly given: Given;
    readonly taken: Taken;
    readonly shown: Shown;
    readonly absence: A;
  };
  readonly description: ValueDescription;

  constructor(description: ValueDescription) {
    this.description = Object.freeze(description);
  }

  /** As an argument it may be left out or null; as a column it may be null. */
  optional(): Type<Given, Taken, Shown, 'optional'> {
    const { absence: _, ...description } = this.description;
    return new Type({ ...description, optional: true });
  }

  /** As an argument it may be left out, and is refused where it is null; as a column it may be null. */
  omittable(): Type<Given, Taken, Shown, 'omittable'> {
    return new Type({ ...this.description, optional: true, absence: 'left out' });
  }

  /** Stands in where the value is left out or null. */
  default(value: Given & Json): Type<Given, Taken, Shown, 'default'> {
    const { absence: _, ...description } = this.description;
    return new Type({ ...description, default: value });
  }
}

/** A type, or a schema of any library that implements Standard Schema. */
export type AnyType = Type<unknown, unknown, unknown, Absence> | StandardSchema;

/** Named types: arguments, columns, or the members of an object. */
export type Fields = Readonly<Record<string, AnyType>>;

/** The editor shows the members and not how they were put together. */
export type Flatten<T> = { [K in keyof T]: T[K] } & {};

/** n.b. by the member that is there for it: what takes one type and gives another fits no `StandardSchema` of one. */
type SchemaTypes<T> = T extends { readonly '~standard': { readonly types?: infer Types } } ? NonNullable<Types> : never;

type GivenIn<T> = T extends { readonly [TYPES]: { readonly given: infer V } }
  ? V
  : SchemaTypes<T> extends { readonly input: infer In }
    ? In
    : never;
type TakenFrom<T> = T extends { readonly [TYPES]: { readonly taken: infer V } }
  ? V
  : SchemaTypes<T> extends { readonly output: infer Out }
    ? Out
    : never;
type ShownBy<T> = T extends { readonly [TYPES]: { readonly shown: infer V } } ? V : TakenFrom<T>;
type AbsenceOf<T> = T extends { readonly [TYPES]: { readonly absence: infer A } }
  ? A
  : undefined extends GivenIn<T>
    ? 'schema'
    : 'never';

/** What a caller passes: what may be absent may be left out. */
export type ArgumentsOf<F extends Fields> = Flatten<
  { readonly [K in keyof F as AbsenceOf<F[K]> extends 'never' ? K : never]: GivenIn<F[K]> } & {
    readonly [K in keyof F as AbsenceOf<F[K]> extends 'optional' | 'default' ? K : never]?: GivenIn<F[K]> | null;
  } & { readonly [K in keyof F as AbsenceOf<F[K]> extends 'schema' | 'omittable' ? K : never]?: GivenIn<F[K]> }
>;

/** What code gets: defaults are filled in; an optional value may still be absent. */
export type InputOf<F extends Fields> = Flatten<
  { readonly [K in keyof F as AbsenceOf<F[K]> extends 'never' | 'default' ? K : never]: TakenFrom<F[K]> } & {
    readonly [K in keyof F as AbsenceOf<F[K]> extends 'optional' ? K : never]?: TakenFrom<F[K]> | null;
  } & { readonly [K in keyof F as AbsenceOf<F[K]> extends 'schema' | 'omittable' ? K : never]?: TakenFrom<F[K]> }
>;

/** A row with these columns, or an object that comes out of an operation: every field is there. */
export type RowOf<F extends Fields> = Flatten<{
  readonly [K in keyof F]: AbsenceOf<F[K]> extends 'optional' | 'omittable' ? ShownBy<F[K]> | null : ShownBy<F[K]>;
}>;

type Without<F, K extends keyof F> = Flatten<Omit<F, K>>;
type Only<F, K extends keyof F> = Flatten<Pick<F, K>>;
type Loose<T> =
  T extends Type<infer Given, infer Taken, infer Shown, Absence> ? Type<Given, Taken, Shown, 'optional'> : T;

/** An object with these members and no others: a row, the arguments of a routine, a value in a list. */
export class ObjectType<F extends Fields> extends Type<ArgumentsOf<F>, InputOf<F>, RowOf<F>> {
  readonly fields: F;

  constructor(fields: F) {
    super({ type: 'object', fields: describeFields(fields) });
    this.fields = fields;
  }

  pick<const K extends keyof F>(...names: readonly K[]): ObjectType<Only<F, K>> {
    return new ObjectType(this.#where((name) => names.includes(name as K)) as Only<F, K>);
  }

  omit<const K extends keyof F>(...names: readonly K[]): ObjectType<Without<F, K>> {
    return new ObjectType(this.#where((name) => !names.includes(name as K)) as Without<F, K>);
  }

  /** All members may be left out. What had a default has none: a change keeps what is not given. */
  partial(): ObjectType<{ readonly [K in keyof F]: Loose<F[K]> }> {
    const entries = Object.entries(this.fields).map(([name, type]) => [name, loosen(type)] as const);
    return new ObjectType(Object.fromEntries(entries) as { readonly [K in keyof F]: Loose<F[K]> });
  }

  extend<const G extends Fields>(more: G): ObjectType<Flatten<Omit<F, keyof G> & G>> {
    const fields: Fields = { ...this.fields, ...more };
    return new ObjectType(fields as Flatten<Omit<F, keyof G> & G>);
  }

  #where(holds: (name: string) => boolean): Fields {
    return Object.fromEntries(Object.entries(this.fields).filter(([name]) => holds(name)));
  }
}

function loosen(type: AnyType): AnyType {
  if (!(type instanceof Type)) return type;
  const { default: _, absence: __, ...description } = type.description;
  return new Type({ ...description, optional: true });
}

/** Fields, written as an object or made with `t.row`. */
export type FieldsLike = Fields | ObjectType<Fields>;
export type FieldsIn<T> = T extends ObjectType<infer F> ? F : T extends Fields ? T : never;

/** What stands for a whole input or output. */
export type WholeLike = FieldsLike | AnyType;

export type GivenOf<T> = T extends Type<unknown, unknown, unknown, Absence> | StandardSchema
  ? GivenIn<T>
  : T extends Fields
    ? ArgumentsOf<T>
    : never;
export type TakenOf<T> = T extends Type<unknown, unknown, unknown, Absence> | StandardSchema
  ? TakenFrom<T>
  : T extends Fields
    ? InputOf<T>
    : never;
type OrNull<T, V> = AbsenceOf<T> extends 'optional' | 'omittable' ? V | null : V;
export type ShownOf<T> = T extends Type<unknown, unknown, unknown, Absence> | StandardSchema
  ? OrNull<T, ShownBy<T>>
  : T extends Fields
    ? RowOf<T>
    : never;
/** What code may answer with: optional fields may be left out. */
export type AnswerOf<T> = T extends Type<unknown, unknown, unknown, Absence> | StandardSchema
  ? OrNull<T, GivenIn<T>>
  : T extends Fields
    ? ArgumentsOf<T>
    : never;

function isSchema(type: unknown): type is StandardSchema {
  const standard = (type as Partial<StandardSchema> | null | undefined)?.['~standard'];
  return standard?.version === 1 && typeof standard.validate === 'function';
}

/** n.b. `unrepresentable` is of zod: a part that JSON Schema cannot say is any JSON, and not a reason to say nothing of the whole. */
const JSON_SCHEMA = { target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } } as const;

/** The JSON Schema of what a schema takes or gives, where its library says it. */
function jsonSchemaOf(schema: StandardSchema, side: 'input' | 'output'): JsonObject | undefined {
  try {
    const found = schema['~standard'].jsonSchema?.[side](JSON_SCHEMA);
    return found === undefined ? undefined : (JSON.parse(JSON.stringify(found)) as JsonObject);
  } catch {
    // A part of it has no JSON Schema, such as a transformation.
    return undefined;
  }
}

/** What the schema makes of a value that is left out, where it takes that. */
function readAbsent(live: StandardSchema): { readonly value: unknown } | undefined {
  const result = live['~standard'].validate(undefined);
  if ('then' in result) {
    // n.b. nobody waits for it.
    result.then(undefined, () => undefined);
    return undefined;
  }
  return result.issues === undefined ? result : undefined;
}

function describeSchema(live: StandardSchema, side: 'input' | 'output'): ValueDescription {
  const schema = jsonSchemaOf(live, side);
  const absent = readAbsent(live);
  // What is left out of a result and has a default is there all the same.
  const isOptional = absent !== undefined && (side === 'input' || (absent.value ?? undefined) === undefined);
  const description = {
    type: 'schema',
    ...(schema !== undefined && { schema }),
    ...(isOptional && { optional: true }),
  } as const;
  return Object.freeze(Object.defineProperty(description, LIVE_SCHEMA, { value: live }));
}

/** The description of what comes out: a schema may give something else than it takes. */
export function describeResult(whole: WholeLike): ValueDescription {
  return toResult(describeWhole(whole));
}

/** The same of columns. */
export function describeColumns(columns: FieldsLike): ValueFields {
  const fields = describeFields(columns);
  return typeof fields === 'object' && fields !== null ? mapFields(fields) : fields;
}

function toResult(description: ValueDescription): ValueDescription {
  if (typeof description !== 'object' || description === null || !hasLive(description)) return description;
  const live = (description as LiveDescription)[LIVE_SCHEMA];
  if (live !== undefined) return describeSchema(live, 'output');
  const { items, fields } = description;
  return {
    ...description,
    ...(items !== undefined && { items: toResult(items) }),
    ...(fields !== undefined && { fields: mapFields(fields) }),
  };
}

function mapFields(fields: ValueFields): ValueFields {
  return Object.fromEntries(Object.entries(fields).map(([name, each]) => [name, toResult(each)] as const));
}

/** The description of a type. What is neither a type nor a schema stays as it is, for the check of the whole definition to name. */
export function describeType(type: AnyType): ValueDescription {
  if (isType(type)) return type.description;
  return isSchema(type) ? describeSchema(type, 'input') : (type as unknown as ValueDescription);
}

/** Types are recognised by what they have: two copies of the SDK may meet in one bundle. */
function isType(type: unknown): type is Type<unknown> {
  const description: unknown = (type as Partial<Type<unknown>> | null | undefined)?.description;
  return typeof description === 'object' && description !== null && 'type' in description;
}

/** The long form of fields, however they were written. */
export function describeFields(fields: FieldsLike): ValueFields {
  if (typeof fields !== 'object' || fields === null) return fields;
  if (isType(fields)) return (fields as Type<unknown>).description.fields ?? (fields as unknown as ValueFields);
  const entries = Object.entries(fields).map(([name, type]) => [name, describeType(type)] as const);
  return Object.freeze(Object.fromEntries(entries));
}

/** The description of a whole input or output; fields that stand alone are those of an object. */
export function describeWhole(whole: WholeLike): ValueDescription {
  if (isType(whole) || isSchema(whole)) return describeType(whole);
  return { type: 'object', fields: describeFields(whole as Fields) };
}

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/** The types of values. Each may be made `.optional()` or given a `.default(…)`. */
export const t = {
  /** Text. `max` counts characters. */
  string: ({ max }: { readonly max?: number } = {}): Type<string> =>
    new Type({ type: 'string', ...(max !== undefined && { maxLength: max }) }),
  /** A number without a fraction, within ±(2^53-1). */
  int: (bounds: Bounds = {}): Type<number> => new Type({ type: 'integer', ...bounds }),
  /** A whole number of any size, always as a decimal string: `'18446744073709551615'`. */
  bigint: (): Type<string> => new Type({ type: 'bigint' }),
  /** A finite number. */
  number: (bounds: Bounds = {}): Type<number> => new Type({ type: 'number', ...bounds }),
  /** An exact decimal number, as a string: `'12.50'`. */
  decimal: (bounds: Bounds = {}): Type<string> => new Type({ type: 'decimal', ...bounds }),
  boolean: (): Type<boolean> => new Type({ type: 'boolean' }),
  /** A day, `'2026-12-24'`. */
  date: (): Type<string> => new Type({ type: 'date' }),
  /** An instant with its offset, `'2026-12-24T18:00:00Z'`; it comes out in UTC. */
  datetime: (): Type<string> => new Type({ type: 'datetime' }),
  /** Bytes, as base64 with its padding: `'AAEC/w=='`. `max` counts the bytes themselves. */
  binary: ({ max }: { readonly max?: number } = {}): Type<string> =>
    new Type({ type: 'binary', ...(max !== undefined && { maxLength: max }) }),
  /** Any JSON. */
  json: (): Type<Json> => new Type({ type: 'json' }),
  /** One of these strings. */
  enum: <const V extends string>(values: readonly V[]): Type<V> => new Type({ type: 'enum', values }),
  /** A list of values of one type; with `max`, of at most so many. */
  list: <const T extends AnyType | Fields>(
    items: T,
    { max }: { readonly max?: number } = {},
  ): Type<readonly AnswerOf<T>[], readonly TakenOf<T>[], readonly ShownOf<T>[]> =>
    new Type({ type: 'list', items: describeWhole(items), ...(max !== undefined && { maxItems: max }) }),
  /** An object with these members and no others. */
  object: <const F extends Fields>(fields: F): ObjectType<F> => new ObjectType(fields),
  /** The same for the columns of a view or routine: a row. */
  row: <const F extends Fields>(fields: F): ObjectType<F> => new ObjectType(fields),
} as const;
