import type { CallerCount } from '../../request/observations.js';

/** The `operation` of a change that concerns the domain as a whole: its store, the domains that it calls. */
export const WHOLE_DOMAIN = '*';

/** One difference between two versions' manifests, as callers see it. */
export interface ContractChange {
  /** A caller of the old version may fail with the new one. */
  readonly breaking: boolean;
  /** What changed: an operation by its name, or WHOLE_DOMAIN (never breaking). */
  readonly operation: string;
  /** One clause: `argument limit was added without a default`. */
  readonly message: string;
}

/** How often a client calls an operation. */
export interface Caller {
  /** Empty where the callers named none, `*` for those beyond the bound of clients. */
  readonly client: string;
  readonly callsPerDay: number;
}

/** A change with the clients that called the operation in the last days, busiest first. */
export interface JoinedChange extends ContractChange {
  readonly callers: readonly Caller[];
  /** Days that callers were counted over, as a fraction: less than were asked for while the count is young. */
  readonly countedDays: number;
}

/** Who called what, by day; survives a restart. */
export interface CallerLedger {
  add(counts: readonly CallerCount[]): void;
  /**
   * Clients of an operation, busiest first. Per day means: over the days from the first kept one on which the operation was
   * called until now (the running day counts as its part), and over one day where that is less.
   */
  callersOf(domain: string, operation: string): readonly Caller[];
  /** Days that the count covers, as a fraction; at most the days that are kept. */
  countedDays(): number;
  /** Writes what is new; resolves when it is on disk. Never rejects: a failure is a fault on the diagnostics channel. */
  flush(): Promise<void>;
  /** Writes what is new; what is added afterwards is not counted. */
  close(): Promise<void>;
}
