import type { Manifest } from '@beds/sdk';
import type { CallerCount } from '../../dispatch/observations.js';

/** One difference between two versions' manifests, as callers see it. */
export interface ContractChange {
  /** A caller of the old version may fail with the new one. */
  readonly breaking: boolean;
  /** What changed: an operation by its name. */
  readonly operation: string;
  /** One clause: `argument limit was added without a default`. */
  readonly message: string;
}

/** How often a client calls an operation. */
export interface Caller {
  /** Empty where the callers named none. */
  readonly client: string;
  readonly callsPerDay: number;
}

/** A change with the clients that called the operation in the last days, busiest first. */
export interface JoinedChange extends ContractChange {
  readonly callers: readonly Caller[];
}

/** Who called what, by day; survives a restart. */
export interface CallerLedger {
  add(counts: readonly CallerCount[]): void;
  /** Clients of an operation, busiest first, over the days that are kept (the running day counts as its part). */
  callersOf(domain: string, operation: string): readonly Caller[];
  /** Writes what is new; resolves when it is on disk. Never rejects: a failure is a fault on the diagnostics channel. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Compares what callers can see of two versions. */
export type CompareManifests = (live: Manifest, next: Manifest) => readonly ContractChange[];
