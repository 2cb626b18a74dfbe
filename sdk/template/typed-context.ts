import type { CallResult, DomainCaller, TemplateContext } from './context.js';
import type { RoutineAlias, SpecOf, TemplateObjects, ViewAlias } from './objects.js';
import type { Page, ViewQuery } from './query.js';
import type { ArgumentsOf, RowOf, ValuesSpec } from './values.js';

type CallArguments<S extends ValuesSpec> =
  Record<never, never> extends ArgumentsOf<S> ? [args?: ArgumentsOf<S>] : [args: ArgumentsOf<S>];

/** Calls of a template's own objects, typed by them. */
export interface TypedScope<O extends TemplateObjects> {
  call<A extends RoutineAlias<O>>(alias: A, ...args: CallArguments<SpecOf<O[A]>>): Promise<CallResult>;
  view<A extends ViewAlias<O>>(alias: A, query?: ViewQuery<RowOf<SpecOf<O[A]>>>): Promise<Page<RowOf<SpecOf<O[A]>>>>;
}

/** `TemplateContext` as the code of one template sees it: its own aliases, their arguments and columns, its `domains`. */
export interface TypedContext<O extends TemplateObjects, Domain extends string = string>
  extends TypedScope<O>, Omit<TemplateContext, 'call' | 'view' | 'domain' | 'transaction'> {
  domain(name: Domain): DomainCaller;
  /** Commits when `work` resolves, rolls back when it rejects. `BEDS_STORE_NOT_SUPPORTED` where the store cannot. */
  transaction<T>(work: (scope: TypedScope<O>) => Promise<T>): Promise<T>;
}
