import type { ObjectManifest } from './manifest.js';
import { describeValues, type ValuesSpec } from './values.js';

/** Carries the author's short value specs in the type only, so that calls can be typed by them. */
declare const SPEC: unique symbol;

/** A procedure or function of the store, as a template uses it. */
export type Routine<Args extends ValuesSpec = ValuesSpec> = Extract<ObjectManifest, { kind: 'routine' }> & {
  readonly [SPEC]?: Args;
};

/** A view of the store, as a template uses it. */
export type View<Columns extends ValuesSpec = ValuesSpec> = Extract<ObjectManifest, { kind: 'view' }> & {
  readonly [SPEC]?: Columns;
};

/** The objects of a template by alias. The four core aliases, where given, serve the operation of the same name. */
export type TemplateObjects = { readonly [alias: string]: Routine | View } & {
  readonly create?: Routine;
  readonly fetch?: Routine | View;
  readonly update?: Routine;
  readonly delete?: Routine;
};

/** The value specs of an object of a template. */
export type SpecOf<T> = T extends { readonly [SPEC]?: infer S } ? Extract<S, ValuesSpec> : never;

export type RoutineAlias<O> = { [A in keyof O]: O[A] extends Routine ? A : never }[keyof O] & string;
export type ViewAlias<O> = { [A in keyof O]: O[A] extends View ? A : never }[keyof O] & string;

/** Names a procedure or function of the store and its arguments: `routine('city_create', { name: 'string' })`. */
export function routine<const Args extends ValuesSpec>(name: string, args: Args): Routine<Args> {
  return { kind: 'routine', name, args: describeValues(args) };
}

export interface ViewOptions {
  /**
   * Whether a read that begins while another one with the same query is under way may take the rows of that one, which
   * may be as old as its start. Default false.
   */
  readonly share?: boolean;
  /** Whether callers may fetch it, by its alias as `query.view`. Default false. */
  readonly fetchable?: boolean;
}

/** Names a view of the store and the columns that the template uses: `view('city_list', { id: 'integer' })`. */
export function view<const Columns extends ValuesSpec>(
  name: string,
  columns: Columns,
  options: ViewOptions = {},
): View<Columns> {
  return { kind: 'view', name, columns: describeValues(columns), ...options };
}
