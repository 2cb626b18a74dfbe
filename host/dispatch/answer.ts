import type { BedsError, Verdict } from '@beds/sdk';
import { encodeFailure } from '../envelope/encode.js';
import { requestErrors } from '../errors/request.js';
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

/** n.b. what a template throws as an error of BEDS may carry what JSON cannot write, and somebody waits for an answer. */
export function failureText(id: string, failure: BedsError, byJson: string): string {
  try {
    return encodeFailure(id, failure, byJson);
  } catch {
    return encodeFailure(id, requestErrors.make('BEDS_REQUEST_TEMPLATE_FAULT'), byJson);
  }
}
