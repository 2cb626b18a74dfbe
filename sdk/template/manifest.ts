import type { Access, BoundArgument, RowRule } from './access.js';
import type { Json } from './json.js';
import type { ValueDescription, ValueFields } from './values.js';

/** The version of the NamasteCore contract that this SDK builds for. */
export const CONTRACT_VERSION = 2;

export type OperationMode = 'read' | 'write';

export interface OperationManifest {
  readonly mode: OperationMode;
  /** Whether running it twice has the effect of running it once. Reads always are. */
  readonly idempotent: boolean;
  /** What a caller passes: an `object`, or a `schema`. Absent where an object of the same alias serves the operation. */
  readonly input?: ValueDescription;
  /** What it answers; absent where an object serves the operation, or nothing is promised. */
  readonly output?: ValueDescription;
  /** Who may call it. Absent: `security.defaultAccess` of the host says it. */
  readonly access?: Access;
}

/**
 * What a procedure gives back: an `object` is one row, a `list` of them rows, several of these are result sets. Absent: no rows,
 * only how many it changed.
 */
export type Returns = ValueDescription | readonly ValueDescription[];

/** A named object as the template uses it: its alias is the name in code, `name` the name in the database. */
export type ObjectManifest =
  | {
      readonly kind: 'procedure';
      readonly name: string;
      readonly args: ValueFields;
      /** Arguments beside `args` that the host fills in from who is signed in. */
      readonly bind?: Readonly<Record<string, BoundArgument>>;
      /** What the names of the routine's parameters begin with, and those of `args` do not: `p_`. */
      readonly prefix?: string;
      readonly returns?: Returns;
      /** Whether calls that come at once may be one transaction. Default false. */
      readonly together?: boolean;
    }
  | {
      readonly kind: 'function';
      readonly name: string;
      readonly args: ValueFields;
      readonly bind?: Readonly<Record<string, BoundArgument>>;
      readonly prefix?: string;
      readonly returns: ValueDescription;
    }
  | {
      readonly kind: 'view';
      readonly name: string;
      readonly columns: ValueFields;
      /** Whether requests that read the same at the same time may share one read. Default false. */
      readonly share?: boolean;
      /** Whether callers may fetch from it by its alias; from `fetch` they always may. Default false. */
      readonly fetchable?: boolean;
      /** Which rows there are for who is signed in, whoever reads and however. Absent: all. */
      readonly where?: RowRule;
      /** Of a fetchable view: who may fetch from it. Absent: who may call `fetch`. */
      readonly access?: Access;
    };

/** What a bundle says of itself; `manifest.json` of a folder, the first line of a single-file bundle. */
export interface Manifest {
  readonly manifestVersion: 2;
  readonly contract: number;
  readonly domain: string;
  /** Semantic version of the template. */
  readonly version: string;
  /** The configured store that the named objects live in. */
  readonly store: string;
  /** The column that identifies a record. */
  readonly key: string;
  readonly operations: Readonly<Record<string, OperationManifest>>;
  readonly objects: Readonly<Record<string, ObjectManifest>>;
  /** Other domains that the code calls. */
  readonly peers: readonly string[];
  /** Those of `peers` that are called in the name of this domain and not of the user. Absent: none. */
  readonly asDomain?: readonly string[];
  readonly entry: string;
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly bytes: number }>>;
  readonly sdk: string;
  /** Free text for people: who, why, from which commit. */
  readonly notes?: Json;
}
