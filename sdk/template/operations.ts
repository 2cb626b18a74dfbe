import type { TemplateContext } from './context.js';
import type { DomainCalls, DomainTypes, TypesOf } from './domain-types.js';
import type { Json } from './json.js';
import type { OperationMode } from './manifest.js';
import type {
  Procedure,
  ArgsOf,
  RecordResult,
  ReturnsOf,
  RoutineResult,
  StoreFunction,
  View,
  ViewRow,
} from './objects.js';
import type { Page, ViewQuery } from './query.js';
import { notSupported } from './template-errors.js';
import type { Anything, OutputContract } from './answers.js';
import {
  type AnswerOf,
  describeResult,
  describeWhole,
  type FieldsLike,
  type Flatten,
  type GivenOf,
  type ShownOf,
  type TakenOf,
  type WholeLike,
} from './types.js';
import type { ValueDescription } from './values.js';

declare const TYPES: unique symbol;

/** Another domain that the code calls; `T` is its template's type, or the one that `beds types` wrote. */
export interface Peer<Types extends DomainTypes = DomainTypes> {
  readonly [TYPES]?: Types;
  /** Whether it is called in the name of this domain. */
  readonly isAsDomain?: boolean;
}

export interface PeerOptions {
  /**
   * `user` (the default): the call has the rights of who is signed in. `domain`: it is made in the name of this domain, whoever is signed
   * in; rules that ask for a role or a user let it pass, those that are bound to the user or decided by code do not.
   */
  readonly as?: 'user' | 'domain';
}

/** Says which domain is called, typed: `peers: { countries: peer<typeof countries>() }`. The name is the key. */
export function peer<T>({ as = 'user' }: PeerOptions = {}): Peer<TypesOf<T>> {
  return as === 'domain' ? { isAsDomain: true } : {};
}

/** What a definition says of the store and of other domains: all that the types of its code follow from. */
export interface Surroundings {
  readonly key?: string | undefined;
  readonly create?: Procedure | undefined;
  readonly fetch?: View | Procedure | undefined;
  readonly update?: Procedure | undefined;
  readonly delete?: Procedure | undefined;
  readonly views?: Readonly<Record<string, View>> | undefined;
  readonly objects?: Readonly<Record<string, Procedure | StoreFunction | View>> | undefined;
  readonly peers?: Readonly<Record<string, Peer>> | undefined;
}

declare const AROUND: unique symbol;

/** Remembers, in the type of a template, what its code works with. */
export interface Surrounded<S extends Surroundings> {
  readonly [AROUND]?: S;
}

/** What a template's code works with; never where it is not known. */
export type SurroundingsOf<T> = T extends { readonly [AROUND]?: infer S } ? Extract<S, Surroundings> : never;

type Given<T> = Exclude<T, undefined>;
type Optional<Args> = Record<never, never> extends Args ? [args?: Args] : [args: Args];

type ObjectCall<T> = T extends View
  ? (query?: ViewQuery<ViewRow<T>>) => Promise<Page<ViewRow<T>>>
  : T extends StoreFunction
    ? (...args: Optional<ArgsOf<T>>) => Promise<ShownOf<ReturnsOf<T>>>
    : (...args: Optional<ArgsOf<T>>) => Promise<RoutineResult<ReturnsOf<T>>>;

type CoreName = 'create' | 'fetch' | 'update' | 'delete';
type CoreObjects<S extends Surroundings> = {
  readonly [K in CoreName as [S[K]] extends [Procedure | View] ? K : never]: ObjectCall<Given<S[K]>>;
};
type FurtherObjects<O> = { readonly [K in keyof O]: ObjectCall<O[K]> };

/** Calls of the named objects, by alias: a view gives a page, a procedure its rows, a function its value. */
export type Calls<S extends Surroundings> = CoreObjects<S> &
  FurtherObjects<Given<S['views']>> &
  FurtherObjects<Given<S['objects']>>;

/** Arguments of `update` and `delete`: a record is always named, also by a row whose columns may all be left out. */
export type Keyed<Args, S extends Surroundings> = S extends { readonly key: infer K extends keyof Args }
  ? Flatten<Omit<Args, K> & { readonly [P in K]-?: Exclude<Args[P], null | undefined> }>
  : Args;
type KeyedCalls<S extends Surroundings> = {
  readonly [K in 'update' | 'delete' as [S[K]] extends [Procedure] ? K : never]: (
    args: Keyed<ArgsOf<Given<S[K]>>, S>,
  ) => Promise<RoutineResult<ReturnsOf<Given<S[K]>>>>;
};
type CallsInCode<S extends Surroundings> = Omit<Calls<S>, keyof KeyedCalls<S>> & KeyedCalls<S>;

/** The same as code calls them, and a way to make several of them one. */
export type Database<S extends Surroundings> = CallsInCode<S> & {
  /** Commits when `work` resolves, rolls back when it rejects. `BEDS_STORE_NOT_SUPPORTED` where the store cannot. */
  transaction<T>(work: (tx: CallsInCode<S>) => Promise<T>): Promise<T>;
};

export type Peers<S extends Surroundings> = {
  readonly [K in keyof Given<S['peers']>]: Given<S['peers']>[K] extends {
    readonly [TYPES]?: infer T extends DomainTypes;
  }
    ? DomainCalls<T>
    : never;
};

/** What the code of a template gets beside its input. */
export interface CallTerms<S extends Surroundings> extends Omit<
  TemplateContext,
  'call' | 'view' | 'domain' | 'transaction'
> {
  readonly db: Database<S>;
  readonly peers: Peers<S>;
}

/** The argument of a handler: checked input, typed objects, the caller and the deadline. */
export interface Call<Input, S extends Surroundings> extends CallTerms<S> {
  readonly input: Input;
}

/** Code as it is kept: what it answers is checked where it runs. */
export type Handler = (call: never) => unknown;

type OperationParts = Pick<
  CodedOperation<unknown, unknown, unknown>,
  'mode' | 'isIdempotent' | 'kind' | 'input' | 'output' | 'handler'
> & { readonly object?: string | undefined };

/** An operation by code or by an object, made by `query`, `mutation` or `pages`. */
export class CodedOperation<Input, Result, in Needs> {
  declare readonly [TYPES]: { readonly input: Input; readonly result: Result };
  declare readonly needs?: (surroundings: Needs) => void;
  readonly mode: OperationMode;
  readonly isIdempotent: boolean;
  /** Which of the makers made it: the input of `pages` is a query, `unsupported` refuses every one, `object` takes what its object takes. */
  readonly kind: 'handler' | 'object' | 'pages' | 'unsupported';
  /** The alias of the object that it calls with its input, and answers as. */
  readonly object: string | undefined;
  readonly input: ValueDescription | undefined;
  readonly output: ValueDescription | undefined;
  readonly handler: Handler;

  constructor(parts: OperationParts) {
    this.mode = parts.mode;
    this.isIdempotent = parts.isIdempotent;
    this.kind = parts.kind;
    this.object = parts.object;
    this.input = parts.input;
    this.output = parts.output;
    this.handler = parts.handler;
  }

  /** Running it twice with the same input has the effect of running it once. Reads always have. */
  idempotent(): CodedOperation<Input, Result, Needs> {
    return this.with({ isIdempotent: true });
  }

  with(changed: Partial<OperationParts>): CodedOperation<Input, Result, Needs> {
    const { mode, isIdempotent, kind, object, input, output, handler } = this;
    return new CodedOperation({ mode, isIdempotent, kind, object, input, output, handler, ...changed });
  }
}

export type OperationInput<T> = T extends { readonly [TYPES]: { readonly input: infer I } } ? I : never;
export type OperationResult<T> = T extends { readonly [TYPES]: { readonly result: infer R } } ? R : never;

type Eventually<T> = T | Promise<T>;

/** What a handler should answer; without `output` any JSON. */
type Answer<O> = [O] extends [undefined] ? Json : AnswerOf<O>;
type Shown<O> = [O] extends [undefined] ? Json : ShownOf<O>;

/** Objects that an operation can be made of: what has one result. */
type Routines<O> = {
  readonly [
    K in keyof O as O[K] extends StoreFunction | Procedure
      ? ReturnsOf<O[K]> extends readonly unknown[]
        ? never
        : K
      : never
  ]: O[K];
};

/** What an operation answers that is made of an object. */
type ObjectResult<T> = T extends StoreFunction
  ? ShownOf<ReturnsOf<T>>
  : RecordResult<ReturnsOf<T>> | (undefined extends RoutineResult<ReturnsOf<T>> ? null : never);

/** Makes operations whose code sees `db` and `peers` of these surroundings. */
export interface OperationMaker<S extends Surroundings> {
  /** `R` is what the code answers: `contract` says what of that is wrong. */
  <
    const I extends WholeLike = Readonly<Record<never, never>>,
    const O extends WholeLike | undefined = undefined,
    const R extends Answer<O> | Anything = Answer<O>,
  >(
    contract: { readonly input?: I } & OutputContract<O, R>,
    handler: (call: Call<TakenOf<I>, S>) => Eventually<R>,
  ): CodedOperation<GivenOf<I>, Shown<O>, Calls<S>>;
  /**
   * A procedure or function of `objects` as an operation, by its alias: callers pass its arguments and get what it returns, null
   * where that is a row and there is none.
   */
  of<K extends keyof Routines<Given<S['objects']>>>(
    alias: K,
  ): CodedOperation<ArgsOf<Routines<Given<S['objects']>>[K]>, ObjectResult<Routines<Given<S['objects']>>[K]>, Calls<S>>;
}

export interface OperationMakers<S extends Surroundings> {
  /** A read: it runs on the read brokers and may not change data. */
  readonly query: OperationMaker<S>;
  /** A write: it runs on the write brokers. */
  readonly mutation: OperationMaker<S>;
  /** `fetch` by code: `input` is a query over the columns of `row`, the answer a page of rows. */
  readonly pages: <const F extends FieldsLike>(
    row: F,
    handler: (call: Call<ViewQuery<ShownOf<F>>, S>) => Eventually<Page<ShownOf<F>>>,
  ) => CodedOperation<ViewQuery, ShownOf<F>, Calls<S>>;
  /** One of the four that the domain does not offer: every call is answered with BEDS_TEMPLATE_NOT_SUPPORTED. */
  readonly unsupported: (message?: string) => CodedOperation<never, never, unknown>;
}

/** One of the four that the domain does not offer. */
function unsupported(message?: string): CodedOperation<never, never, unknown> {
  return new CodedOperation({
    mode: 'write',
    isIdempotent: false,
    kind: 'unsupported',
    input: { type: 'schema' },
    output: undefined,
    handler: () => {
      throw notSupported(message);
    },
  });
}

interface Contract {
  readonly input?: WholeLike;
  readonly output?: WholeLike | undefined;
}

type Operation = CodedOperation<unknown, unknown, never>;
interface Maker {
  (contract: Contract, handler: Handler): Operation;
  of(alias: string): Operation;
}

function maker(mode: OperationMode): Maker {
  const isIdempotent = mode === 'read';
  const make = ({ input = {}, output }: Contract, handler: Handler): Operation =>
    new CodedOperation({
      ...{ mode, isIdempotent, kind: 'handler', handler },
      input: describeWhole(input),
      output: output === undefined ? undefined : describeResult(output),
    });
  const callOf =
    (alias: string): Handler =>
    ({ input, db }: { readonly input: unknown; readonly db: Readonly<Record<string, (args: unknown) => unknown>> }) =>
      db[alias]?.(input);
  // n.b. what it takes and gives is known where the objects are: `defineDomain` adds it.
  const of = (alias: string): Operation =>
    new CodedOperation({
      ...{ mode, isIdempotent, kind: 'object', object: alias, handler: callOf(alias) },
      ...{ input: undefined, output: undefined },
    });
  return Object.assign(make, { of });
}

const MAKERS = {
  query: maker('read'),
  mutation: maker('write'),
  pages: (row: FieldsLike, handler: Handler) =>
    new CodedOperation({
      mode: 'read',
      isIdempotent: true,
      kind: 'pages',
      input: undefined,
      output: { type: 'list', items: describeResult(row) },
      handler,
    }),
  unsupported,
};

/**
 * The makers of operations, for operations in a file of their own: `S` is the type of the part of a definition that their code
 * works with, `const { query, mutation } = operationsOf<typeof definition>()`.
 */
export function operationsOf<S extends Surroundings>(): OperationMakers<S> {
  return MAKERS as unknown as OperationMakers<S>;
}
