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
