import { type BedsError, type ErrorStatus, isBedsError, type Json } from '@beds/sdk';
import type { ServedBy } from '#sdk/template';
import { requestErrors } from '../errors/request.js';
import { textOf } from '../errors/thrown.js';

/** The answer to one request as JSON text; texts are joined when a batch is answered. */
export function encodeSuccess(id: string, result: OperationResult, byJson: string): string {
  const { cursor, count } = result;
  const page = cursor === undefined && count === undefined ? '' : `,"page":${JSON.stringify({ cursor, count })}`;
  return `{"v":1,"id":${JSON.stringify(id)},"ok":true,"data":${encodeData(result.data)}${page},"by":${byJson}}`;
}

export function encodeFailure(id: string, error: BedsError, byJson: string): string {
  const { code, status, message, retryable, field, problems, hint } = error;
  return `{"v":1,"id":${JSON.stringify(id)},"ok":false,"error":${JSON.stringify({ code, status, message, retryable, field, problems, hint })},"by":${byJson}}`;
}

/** The `by` of a reply, which is the same for every request that a generation serves. */
export function encodeServedBy(by: ServedBy): string {
  return JSON.stringify(by);
}

/** Throws BEDS_REQUEST_BAD_RESULT for what is not JSON. */
export function encodeData(data: Json): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (cause) {
    // Cycles and BigInt.
    throw requestErrors.make('BEDS_REQUEST_BAD_RESULT', undefined, { cause });
  }
  // n.b. typed as string, yet undefined for undefined and functions.
  if ((text as string | undefined) === undefined) throw requestErrors.make('BEDS_REQUEST_BAD_RESULT');
  return text;
}

/** n.b. complete, or it does not compile. */
const STATUSES: Readonly<Record<ErrorStatus, true>> = {
  invalid: true,
  forbidden: true,
  'not-found': true,
  conflict: true,
  timeout: true,
  overloaded: true,
  unavailable: true,
  indeterminate: true,
  fault: true,
};

/** The error as a caller may see it: a BEDS error as it is, anything else as a fault of the template. */
export function toReplyError(error: unknown): BedsError {
  if (isBedsError(error) && isWhole(error)) return error;
  return requestErrors.make('BEDS_REQUEST_TEMPLATE_FAULT', undefined, { cause: error });
}

/** Templates make errors of BEDS as well: one that lacks what is counted by, whose text has no end, or that throws when it is read, is none. */
function isWhole(error: BedsError): boolean {
  try {
    const [code, message] = [textOf(error, 'code'), textOf(error, 'message')];
    return code !== undefined && message !== undefined && Object.hasOwn(STATUSES, error.status);
  } catch {
    return false;
  }
}

/** What an operation gives back: a record, rows with the cursor of the next page and their whole number, or any JSON. */
export interface OperationResult {
  readonly data: Json;
  readonly cursor?: string | undefined;
  readonly count?: number | undefined;
}

/** What create, update and delete must return. */
export function checkRecord(value: unknown): Json {
  if (!isObject(value)) throw bad('The operation must return an object.');
  return value as Json;
}

/** What fetch must return: `{ rows, cursor?, count? }`. */
export function checkPage(value: unknown): OperationResult {
  if (!isObject(value) || !Array.isArray(value['rows'])) throw bad('fetchRecords must return a page: { rows: [...] }.');
  const { rows, cursor, count } = value;
  if (cursor !== undefined && typeof cursor !== 'string') throw bad('The cursor of a page must be a string.');
  if (count !== undefined && !Number.isSafeInteger(count)) throw bad('The count of a page must be a whole number.');
  return { data: rows as Json, cursor, count: count as number | undefined };
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
