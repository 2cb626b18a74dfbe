import type { Json } from './json.js';
import type { ValueDescription } from './values.js';

/** The version of the NamasteCore contract that this SDK builds for. */
export const CONTRACT_VERSION = 1;

export type OperationMode = 'read' | 'write';

export interface OperationManifest {
  readonly mode: OperationMode;
  /** Named arguments of a custom operation; absent for the four of NamasteCore, whose arguments are those of their object. */
  readonly args?: Readonly<Record<string, ValueDescription>>;
  /** Whether running it twice has the effect of running it once. Reads always are. Default false for writes. */
  readonly idempotent?: boolean;
}

/** A named object as the template uses it: `alias` is the name in code, `name` the name in the database. */
export type ObjectManifest =
  | { readonly kind: 'routine'; readonly name: string; readonly args: Readonly<Record<string, ValueDescription>> }
  | {
      readonly kind: 'view';
      readonly name: string;
      readonly columns: Readonly<Record<string, ValueDescription>>;
      /** Whether requests that read the same at the same time may share one read. Default false. */
      readonly share?: boolean;
      /** Whether callers may fetch it, by its alias as `query.view`. Default false. */
      readonly fetchable?: boolean;
    };

/** What a bundle says of itself; `manifest.json` of a folder, the first line of a single-file bundle. */
export interface Manifest {
  readonly manifestVersion: 1;
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
  /** Other domains that the code calls through `ctx.domain`. */
  readonly domains: readonly string[];
  readonly entry: string;
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly bytes: number }>>;
  readonly sdk: string;
  /** Free text for people: who, why, from which commit. */
  readonly notes?: Json;
}
