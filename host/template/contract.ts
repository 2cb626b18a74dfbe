import type { Manifest } from '@beds/sdk';
import type { NamedObject } from '../stores/contract.js';
import { admissionErrors, type AdmissionCode } from '../errors/admission.js';
import { rolloutErrors, type RolloutCode } from '../errors/rollout.js';

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
  /** What its author should know, and does not keep it from serving. */
  readonly notices?: readonly Finding[];
}

/** Why a version was refused, or what it waits for. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

const specs = { ...admissionErrors.specs, ...rolloutErrors.specs };

/** A finding with the catalogue's advice; `message` replaces the catalogue's sentence with a more exact one. */
export function makeFinding(code: AdmissionCode | RolloutCode, message?: string, hint?: string): Finding {
  const spec = specs[code];
  return { code, message: message ?? spec.message, hint: hint ?? spec.action };
}

/** Where a version of a domain stands. Every change is an event, a log line, a metric and a line of the history. */
export const LIFECYCLE_STATES = [
  /** Its bytes are complete and copied to the stage. */
  'received',
  /** Manifest, hashes, syntax and imports are in order; none of its code has run. */
  'verified',
  /** It loaded and passed its self-test in a thread of its own. */
  'probed',
  /** A database object or grant that it needs is missing; it goes on by itself when the DBA delivers. */
  'waiting',
  /** Every broker thread has loaded it and finished its setup. */
  'prepared',
  /** It answers a share of the requests, under observation. */
  'canary',
  /** It answers all new requests of its domain. */
  'active',
  /** It answers no new requests and finishes those it has. */
  'draining',
  /** Its last request is answered and its teardown is done. */
  'retired',
  /** A higher version of its domain was dropped together with it. */
  'superseded',
  /** It was refused, for the findings named. */
  'rejected',
  /** It did harm while it served; the same bytes are refused until an operator lifts that. */
  'quarantined',
] as const;

export type LifecycleState = (typeof LIFECYCLE_STATES)[number];
