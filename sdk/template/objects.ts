import type { BoundArgument, RowRule, UserValue } from './access.js';
import type { Affected } from './context.js';
import type { ObjectManifest, Returns } from './manifest.js';
import {
  type ArgumentsOf,
  type AnyType,
  describeColumns,
  describeFields,
  describeResult,
  type Fields,
  type FieldsIn,
  type FieldsLike,
  type InputOf,
  ObjectType,
  type RowOf,
  type ShownOf,
  t,
} from './types.js';

/** What an object of the store remembers for TypeScript alone. */
declare const TYPES: unique symbol;

/** One row, or a list of rows. */
export type RowsLike = FieldsLike | AnyType;
/** What a procedure returns: one row, a list of rows, or several of these as result sets. */
export type ReturnsLike = RowsLike | readonly RowsLike[];

type RowsOf<R> = ShownOf<R> extends readonly unknown[] ? ShownOf<R> : ShownOf<R> | undefined;

/** What code gets of a procedure. */
export type RoutineResult<R> = [R] extends [undefined]
  ? Affected
  : R extends readonly unknown[]
    ? { readonly [K in keyof R]: RowsOf<R[K]> }
    : RowsOf<R>;

/** What a core operation answers that the procedure serves. */
export type RecordResult<R> = [R] extends [undefined] ? Affected : ShownOf<R>;

/** A procedure of the store, made by `procedure`. */
export class Procedure<A extends Fields = Fields, R = unknown> {
  declare readonly [TYPES]: { readonly args: A; readonly returns: R };
  readonly manifest: Extract<ObjectManifest, { kind: 'procedure' }>;
  /** Whether `create`, `update` or `delete` by it may run twice with the effect of once. */
  readonly isIdempotent: boolean;
  /** The arguments, for an operation that takes the same. */
  readonly args: ObjectType<A>;

  constructor(manifest: Extract<ObjectManifest, { kind: 'procedure' }>, args: ObjectType<A>, isIdempotent = false) {
    this.manifest = Object.freeze(manifest);
    this.args = args;
    this.isIdempotent = isIdempotent;
  }

  /** Running it twice with the same arguments has the effect of running it once. */
  idempotent(): Procedure<A, R> {
    return new Procedure(this.manifest, this.args, true);
  }

  /** What the names of all parameters begin with in the database, and those of the arguments do not: `p_`. */
  prefix(prefix: string): Procedure<A, R> {
    return new Procedure({ ...this.manifest, prefix }, this.args, this.isIdempotent);
  }

  /**
   * Arguments that nobody gives, neither a caller nor code: the host fills in who is signed in, and refuses the call where nobody is.
   * `procedure('order_close', { id: t.int(), owner: t.string() }).bind({ owner: 'user.id' })`.
   */
  bind<const B extends Bindable<A>>(bound: B): Procedure<Omit<A, keyof B>, R> {
    const { manifest, args } = boundTo(this, bound);
    return new Procedure(manifest, args as ObjectType<Omit<A, keyof B>>, this.isIdempotent);
  }

  /**
   * Calls that come at once may go to the database as one transaction, in which a call that fails is undone by itself. For procedures
   * that neither commit nor roll back.
   */
  together(): Procedure<A, R> {
    return new Procedure({ ...this.manifest, together: true }, this.args, this.isIdempotent);
  }
}

/** A function of the store, made by `fn`. */
export class StoreFunction<A extends Fields = Fields, R = unknown> {
  declare readonly [TYPES]: { readonly args: A; readonly returns: R };
  readonly manifest: Extract<ObjectManifest, { kind: 'function' }>;
  /** The arguments, for an operation that takes the same. */
  readonly args: ObjectType<A>;

  constructor(manifest: Extract<ObjectManifest, { kind: 'function' }>, args: ObjectType<A>) {
    this.manifest = Object.freeze(manifest);
    this.args = args;
  }

  /** What the names of all parameters begin with in the database, and those of the arguments do not: `p_`. */
  prefix(prefix: string): StoreFunction<A, R> {
    return new StoreFunction({ ...this.manifest, prefix }, this.args);
  }

  /** Arguments that the host fills in from who is signed in, as those of a procedure. */
  bind<const B extends Bindable<A>>(bound: B): StoreFunction<Omit<A, keyof B>, R> {
    const { manifest, args } = boundTo(this, bound);
    return new StoreFunction(manifest, args as ObjectType<Omit<A, keyof B>>);
  }
}

/** By argument: what of the user is passed. */
type Bindable<A extends Fields> = { readonly [K in keyof A]?: UserValue };

/** Moves the bound arguments out of those that callers and code give. */
function boundTo<M extends Exclude<ObjectManifest, { kind: 'view' }>>(
  { manifest, args }: { readonly manifest: M; readonly args: ObjectType<Fields> },
  bound: Readonly<Record<string, UserValue | undefined>>,
): { readonly manifest: M; readonly args: ObjectType<Fields> } {
  const names = Object.keys(bound);
  const { bind = {} } = manifest;
  const added = names.map((name) => [name, { from: bound[name], value: manifest.args[name] }] as const);
  const left = Object.entries(manifest.args).filter(([name]) => !names.includes(name));
  return {
    manifest: {
      ...manifest,
      args: Object.fromEntries(left),
      bind: { ...bind, ...(Object.fromEntries(added) as Readonly<Record<string, BoundArgument>>) },
    },
    args: args.omit(...names),
  };
}

/** A view of the store, made by `view`. */
export class View<C extends Fields = Fields> {
  declare readonly [TYPES]: { readonly columns: C };
  readonly manifest: Extract<ObjectManifest, { kind: 'view' }>;
  /** Its rows, for an operation that answers with them. */
  readonly row: ObjectType<C>;

  constructor(manifest: Extract<ObjectManifest, { kind: 'view' }>, row: ObjectType<C>) {
    this.manifest = Object.freeze(manifest);
    this.row = row;
  }
}

export type StoreObject = Procedure | StoreFunction | View;

export type ArgsOf<T> = T extends { readonly [TYPES]: { readonly args: infer A extends Fields } }
  ? ArgumentsOf<A>
  : never;
/** As the routine gets them: defaults filled in. */
export type TakenArgsOf<T> = T extends { readonly [TYPES]: { readonly args: infer A extends Fields } }
  ? InputOf<A>
  : never;
export type ReturnsOf<T> = T extends { readonly [TYPES]: { readonly returns: infer R } } ? R : never;
export type ViewRow<T> = T extends { readonly [TYPES]: { readonly columns: infer C extends Fields } }
  ? RowOf<C>
  : never;

function describeReturns(returns: ReturnsLike): Returns {
  return isSets(returns) ? returns.map(describeResult) : describeResult(returns);
}

function isSets(returns: ReturnsLike): returns is readonly RowsLike[] {
  return Array.isArray(returns);
}

/**
 * Names a procedure of the store, its arguments, and what it returns: a row, `t.list(row)`, `[rows, rows]` for several result
 * sets, or nothing.
 */
export function procedure<const A extends FieldsLike, const R extends ReturnsLike | undefined = undefined>(
  name: string,
  args: A,
  returns?: R,
): Procedure<FieldsIn<A>, R> {
  const described = returns === undefined ? {} : { returns: describeReturns(returns) };
  return new Procedure({ kind: 'procedure', name, args: describeFields(args), ...described }, objectOf(args));
}

/** Names a function of the store, its arguments and its value: `fn('city_count', { country: t.string() }, t.int())`. */
export function fn<const A extends FieldsLike, const R extends AnyType>(
  name: string,
  args: A,
  returns: R,
): StoreFunction<FieldsIn<A>, R> {
  const described = { args: describeFields(args), returns: describeResult(returns) };
  return new StoreFunction({ kind: 'function', name, ...described }, objectOf(args));
}

export interface ViewOptions<Column extends string = string> {
  /**
   * Whether a read that begins while another one with the same query is under way may take the rows of that one, which
   * may be as old as its start. Default false.
   */
  readonly share?: boolean;
  /** Whether callers may fetch it, by its alias as `query.view`. Default false. */
  readonly fetchable?: boolean;
  /**
   * Which rows there are for who is signed in: `{ owner: 'user.id' }`, or one of several by `'user.roles'`. It holds for every read of
   * the view, and where nobody is signed in the read is refused.
   */
  readonly where?: { readonly [K in Column]?: UserValue };
}

function objectOf<T extends FieldsLike>(fields: T): ObjectType<FieldsIn<T>> {
  return (fields instanceof ObjectType ? fields : t.object(fields)) as ObjectType<FieldsIn<T>>;
}

/** Names a view of the store and the columns that the template uses: `view('city_list', { id: t.int() })`. */
export function view<const C extends FieldsLike>(
  name: string,
  columns: C,
  options: ViewOptions<keyof FieldsIn<C> & string> = {},
): View<FieldsIn<C>> {
  const { where, ...others } = options;
  const rule = where === undefined ? {} : { where: where as RowRule };
  return new View({ kind: 'view', name, columns: describeColumns(columns), ...others, ...rule }, objectOf(columns));
}
