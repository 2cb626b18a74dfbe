import type { ErrorStatus } from '@beds/sdk';

/** Upper bounds of the latency buckets, milliseconds: a quarter more each time; one more bucket holds what is above the last. */
export const LATENCY_BOUNDS_MS: readonly number[] = Array.from({ length: 56 }, (_, index) => 0.25 * 1.25 ** index);

/** How the requests of one generation ended in one thread, since the thread prepared it. Copies for a shadow do not count. */
export interface Tally {
  readonly generation: number;
  readonly requests: number;
  /** Requests that failed, by the class of the error. */
  readonly failures: Readonly<Partial<Record<ErrorStatus, number>>>;
  /** Faults that no request ended with, such as rejections that nobody handled, by the class of the error. Absent: none. */
  readonly strays?: Readonly<Partial<Record<ErrorStatus, number>>>;
  /** Requests by latency, see LATENCY_BOUNDS_MS; counted only while a candidate is under observation beside it. */
  readonly latency: readonly number[];
  /** Requests whose deadline passed and whose code still runs. */
  readonly unsettled: number;
}

/** How often a client called an operation in one thread since the last observation. */
export interface CallerCount {
  readonly domain: string;
  readonly operation: string;
  /** `meta.client`; empty where the caller named none. */
  readonly client: string;
  readonly calls: number;
}

/** Answers of the active version and of a shadow that were not the same, since the last observation. */
export interface ShadowReport {
  readonly domain: string;
  readonly operation: string;
  /** The candidate's generation. */
  readonly generation: number;
  readonly compared: number;
  /** Copies that were not sent because enough were under way. */
  readonly skipped: number;
  readonly differences: readonly ShadowDifference[];
}

export interface ShadowDifference {
  /** Shape of the answer, without its values: `{id: integer, name: string}[2]`, or the code of the error. */
  readonly active: string;
  readonly candidate: string;
  readonly count: number;
}

/** What a thread saw of its requests; the command `observe` asks for it. */
export interface Observations {
  readonly tallies: readonly Tally[];
  readonly callers: readonly CallerCount[];
  readonly shadows: readonly ShadowReport[];
}
