import type { Manifest } from '@beds/sdk';
import type { Finding } from '../../template/contract.js';

/** The bytes of a complete bundle, read once; everything after this works on exactly these bytes. */
export interface Drop {
  /** Name in the plugin directory. */
  readonly entry: string;
  readonly form: 'file' | 'folder';
  /** SHA-256 of the manifest's bytes, hex. The manifest names the hash of every other file, so this pins them all. */
  readonly hash: string;
  readonly manifest: Manifest;
  /** The bytes that were hashed. */
  readonly manifestText: string;
  /** Every file but the manifest, by name. A single-file bundle has its entry here, and nothing else. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Wall clock, milliseconds since 1970, when the bytes were found complete. */
  readonly completeAt: number;
  /** When the file or folder was made, here or where it was moved from. */
  readonly bornAt?: number;
  /** Its last change. */
  readonly changedAt?: number;
  /** When it, or other bytes under its name than before, was first seen. */
  readonly seenAt?: number;
}

/** A drop that cannot become one, with every reason that shows. */
export interface RefusedDrop {
  readonly entry: string;
  readonly form: 'file' | 'folder';
  /** Known when the manifest could be read. */
  readonly hash?: string;
  /** Known when the manifest could be read; unchecked, for messages. */
  readonly domain?: string;
  readonly version?: string;
}

export interface RemovedDrop {
  readonly entry: string;
  readonly hash: string;
  readonly domain: string;
  /** Entries of the same domain that are complete and still there, oldest first. */
  readonly others: readonly string[];
}

/** Called one at a time, in the order in which things happened; a handler must not throw. */
export interface DropHandlers {
  complete(drop: Drop): void;
  refused(drop: RefusedDrop, findings: readonly Finding[]): void;
  /** A complete entry disappeared and was not replaced. */
  removed(drop: RemovedDrop): void;
  /** An entry that was refused disappeared, is complete, or is refused under another name now. */
  withdrawn(drop: RefusedDrop): void;
  /** The directory could not be read or lacks what it had, or watching failed: said once; the interval scan goes on. */
  error(error: unknown): void;
  /** What `error` said is over. */
  recovered?(message: string): void;
  /** A look is over. `isWhole`: everything in the directory could be looked at. */
  looked?(look: { readonly isWhole: boolean }): void;
}

export interface WatchOptions {
  readonly directory: string;
  readonly scanIntervalMs: number;
  readonly incompleteMs: number;
  readonly maxBundleBytes: number;
  readonly maxFiles: number;
  /** What serves does not hang on the directory: one that cannot be used is reported and watched, and no error at the start. */
  readonly isOptional?: boolean;
}

export interface DropWatcher {
  /** Looks at the directory now, besides events and interval; resolves when all that was there has been handled. */
  scan(): Promise<void>;
  close(): Promise<void>;
}
