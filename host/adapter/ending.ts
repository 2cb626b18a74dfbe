import { isBedsError } from '@beds/sdk';
import type { Deadline } from './deadline.js';

/**
 * How a call ended. `done`: the store did it, or said why not. `undone`: it worked for nothing. `unknown`: nothing is said about
 * the store, since the time, the caller or the connection ended it.
 */
export type Ending = 'done' | 'undone' | 'unknown';

const BY_CODE: ReadonlyMap<string, Ending> = new Map([
  ['BEDS_STORE_DEADLOCK', 'undone'],
  ['BEDS_STORE_TIMEOUT', 'unknown'],
  ['BEDS_STORE_UNAVAILABLE', 'unknown'],
  ['BEDS_STORE_INDETERMINATE', 'unknown'],
  ['BEDS_STORE_OVERLOADED', 'unknown'],
  ['BEDS_STORE_CLOSED', 'unknown'],
]);

/** `failure` is what the call's caller is told; undefined: it got what it asked for. */
export function endingOf(deadline: Deadline, failure?: unknown): Ending {
  if (deadline.isDoubtful) return 'unknown';
  if (failure === undefined) return 'done';
  return (isBedsError(failure) ? BY_CODE.get(failure.code) : undefined) ?? 'done';
}
