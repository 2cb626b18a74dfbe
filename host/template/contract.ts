import type { Manifest } from '@beds/sdk';
import type { NamedObject } from '../stores/contract.js';

/**
 * One admitted version of a template, as plain data: the supervisor sends it to every broker thread, which compiles it.
 * Two generations of the same domain may be loaded at once; each keeps the objects it was checked against.
 */
export interface GenerationSource {
  /** Rises by one with every admitted version of any domain in this host. */
  readonly id: number;
  /** SHA-256 of the bundle, hex: names the bytes in history, blame and quarantine. */
  readonly hash: string;
  readonly manifest: Manifest;
  /** The bundle as the body of a CommonJS function. */
  readonly code: string;
  /**
   * What V8 made of exactly this `code` in this process, so that no other thread reads all of it again; it is ignored where
   * it does not fit. n.b. V8 compares lengths only: it must never meet other code.
   */
  readonly codeCache?: Uint8Array;
  /** Source map (JSON) from `code` to the author's files; empty where the bundle has none. */
  readonly sourceMap: string;
  /** The named objects by the template's alias, as the preflight found them. */
  readonly objects: Readonly<Record<string, NamedObject>>;
}

/** Why a version was refused, or what it waits for. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}
