import type { Verdict } from '@beds/sdk';

/** The answer to one request. */
export interface Answer {
  readonly text: string;
  readonly verdict: Verdict;
  /** Deadline of what was asked, in terms of performance.now(). */
  readonly expiresAtMs: number;
}
