import type { Verdict } from '@beds/sdk';
import type { ShadowCopy } from './shadows.js';

/** The answer to one request. */
export interface Answer {
  readonly text: string;
  readonly verdict: Verdict;
  /** Deadline of what was asked, in terms of performance.now(). */
  readonly expiresAtMs: number;
  /** To be run by a candidate once the answer is on its way. */
  readonly copy: ShadowCopy | undefined;
}
