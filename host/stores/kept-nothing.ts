import { isBedsError } from '@beds/sdk';
import type { NamedObject } from './contract.js';

/** The statement was not sent, or the database undid it before it answered. */
const UNDONE: ReadonlySet<string> = new Set([
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_CLOSED',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_QUERY_INVALID',
  'BEDS_STORE_CURSOR_INVALID',
  'BEDS_STORE_DENIED',
  'BEDS_STORE_OBJECT_CHANGED',
  'BEDS_STORE_DEADLOCK',
  'BEDS_STORE_NOT_SUPPORTED',
]);

/** The database refused a record; others of the same statement may have been kept where it works in parts. */
const REFUSED: ReadonlySet<string> = new Set(['BEDS_STORE_CONFLICT', 'BEDS_STORE_INVALID_VALUE', 'BEDS_STORE_REFUSED']);

/** Whether it is certain that a call which failed so has changed nothing. An error that is not known here leaves a doubt. */
export function callKeptNothing(error: unknown, object: NamedObject): boolean {
  if (!isBedsError(error)) return false;
  return UNDONE.has(error.code) || (REFUSED.has(error.code) && (object.kind === 'view' || object.inParts !== true));
}

/** The same of a transaction: whatever the code in it throws is answered by a rollback. */
export function transactionKeptNothing(error: unknown): boolean {
  if (!isBedsError(error) || !error.code.startsWith('BEDS_STORE_')) return true;
  return UNDONE.has(error.code) || REFUSED.has(error.code);
}
