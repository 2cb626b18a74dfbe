import type { Json } from '@beds/sdk';
import { requestErrors } from '../errors/request.js';

/** What an operation gives back: a record, rows with the cursor of the next page, or any JSON. */
export interface OperationResult {
  readonly data: Json;
  readonly cursor?: string | undefined;
}

/** What create, update and delete must return. */
export function checkRecord(value: unknown): Json {
  if (!isObject(value)) throw bad('The operation must return an object.');
  return value as Json;
}

/** What fetch must return: `{ rows, cursor? }`. */
export function checkPage(value: unknown): OperationResult {
  if (!isObject(value) || !Array.isArray(value['rows'])) throw bad('fetchRecords must return a page: { rows: [...] }.');
  const { rows, cursor } = value;
  if (cursor !== undefined && typeof cursor !== 'string') throw bad('The cursor of a page must be a string.');
  return { data: rows as Json, cursor };
}

/** Throws BEDS_REQUEST_RESULT_TOO_LARGE. */
export function checkSize(text: string, maxBytes: number): void {
  // A character has at most three bytes in UTF-8, so most replies need no counting.
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    throw requestErrors.make('BEDS_REQUEST_RESULT_TOO_LARGE');
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(message: string): Error {
  return requestErrors.make('BEDS_REQUEST_BAD_RESULT', message);
}
