import type { BedsError, Verdict } from '@beds/sdk';
import { encodeFailure } from './encode.js';
import { requestErrors } from '../errors/request.js';
import type { ShadowCopy } from './shadows.js';

/** The answer to one request. */
export interface Answer {
  /** Undefined: what was published in the place of the request will be answered. */
  readonly text: string | undefined;
  readonly verdict: Verdict;
  /** Deadline of what was asked, in terms of performance.now(). */
  readonly expiresAtMs: number;
  /** To be run by a candidate once the answer is on its way. */
  readonly copy: ShadowCopy | undefined;
  /** Why something that may change data was not carried out, or not for sure: what a caller without reply-to would lose. */
  readonly lost: BedsError | undefined;
}

/** n.b. what a template throws as an error of BEDS may carry what JSON cannot write, and somebody waits for an answer. */
export function failureText(id: string, failure: BedsError, byJson: string): string {
  try {
    return encodeFailure(id, failure, byJson);
  } catch {
    return encodeFailure(id, requestErrors.make('BEDS_REQUEST_TEMPLATE_FAULT'), byJson);
  }
}
