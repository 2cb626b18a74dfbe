import type { AccessCheck } from './access.js';
import type { TemplateContext } from './context.js';
import type { Json, JsonObject } from './json.js';
import type { Manifest, OperationMode } from './manifest.js';
import type { Page, Scalar, ViewQuery } from './query.js';
import type { ValueDescription } from './values.js';

/** A record as the domain answers it. */
export type Response = JsonObject;

/** The four operations every template implements; on the wire `create | fetch | update | delete`. */
export interface NamasteCore<Context = TemplateContext> {
  createRecord(payload: JsonObject, ctx: Context): Promise<Response>;
  fetchRecords(query: ViewQuery, ctx: Context): Promise<Page>;
  /** `payload` carries the record's key in the template's `key` column. */
  updateRecord(payload: JsonObject, ctx: Context): Promise<Response>;
  deleteRecord(id: Scalar, ctx: Context): Promise<Response>;
}

/** An operation beyond the four. */
export interface CustomOperation<Context = TemplateContext> {
  readonly mode: OperationMode;
  readonly idempotent: boolean;
  readonly input: ValueDescription;
  /** Whoever runs the operation checks its result against this, and its input against `input` before. */
  readonly output?: ValueDescription;
  /** `input` has been checked, defaults filled in. */
  run(input: JsonObject, ctx: Context): Json | Promise<Json>;
}

/** What the default export of a bundle is, made by `defineDomain`, checked by the host. */
export interface Template extends NamasteCore {
  /** `Symbol.for('beds.template')` marks the object across SDK copies. */
  readonly [mark: symbol]: true;
  /** The manifest without what only the build knows (`entry`, `files`). */
  readonly definition: Omit<Manifest, 'entry' | 'files'>;
  readonly operations: Readonly<Record<string, CustomOperation>>;
  /** By operation, or view that callers may fetch: what its `access` of 'code' stands for. */
  readonly access?: Readonly<Record<string, AccessCheck>>;
  /** Runs on each broker thread before the generation takes traffic. */
  setup?(ctx: TemplateContext): Promise<void> | void;
  /** Runs on each broker thread after the last request of the generation. */
  teardown?(): Promise<void> | void;
  /** Runs once per version in the probe, without databases: a throw refuses the version. */
  selfTest?(): Promise<void> | void;
}

export const TEMPLATE_MARK: unique symbol = Symbol.for('beds.template') as never;

/** True of the globals of a bundle that was admitted: its definition has been checked, and is not checked by each thread again. */
export const ADMITTED_MARK: unique symbol = Symbol.for('beds.admitted') as never;
