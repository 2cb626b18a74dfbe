import { type BedsError, isBedsError } from '@beds/sdk';
import {
  MongoClientClosedError,
  MongoCompatibilityError,
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerClosedError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from 'mongodb';
import { storeErrors } from '../../errors/store.js';

type Code = keyof typeof storeErrors.specs;

/** What was being done, as far as it decides whether something may have been kept. */
export interface Attempt {
  readonly write: boolean;
  /** The write touches several documents, each on its own. */
  readonly many: boolean;
}

// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
const CODES = new Map<number, Code>([
  [13, 'BEDS_STORE_DENIED'],
  // The account is not let in: that says nothing about an object.
  [18, 'BEDS_STORE_UNAVAILABLE'],
  [11000, 'BEDS_STORE_CONFLICT'],
  [11001, 'BEDS_STORE_CONFLICT'],
  [12582, 'BEDS_STORE_CONFLICT'],
  [50, 'BEDS_STORE_TIMEOUT'],
  [262, 'BEDS_STORE_TIMEOUT'],
  [24, 'BEDS_STORE_DEADLOCK'],
  [112, 'BEDS_STORE_DEADLOCK'],
  [251, 'BEDS_STORE_DEADLOCK'],
  [26, 'BEDS_STORE_OBJECT_CHANGED'],
  [166, 'BEDS_STORE_OBJECT_CHANGED'],
  [121, 'BEDS_STORE_INVALID_VALUE'],
  [10334, 'BEDS_STORE_INVALID_VALUE'],
  [17280, 'BEDS_STORE_INVALID_VALUE'],
  [17419, 'BEDS_STORE_INVALID_VALUE'],
  [20, 'BEDS_STORE_NOT_SUPPORTED'],
  [59, 'BEDS_STORE_NOT_SUPPORTED'],
  [115, 'BEDS_STORE_NOT_SUPPORTED'],
  [238, 'BEDS_STORE_NOT_SUPPORTED'],
  [263, 'BEDS_STORE_NOT_SUPPORTED'],
  [40324, 'BEDS_STORE_NOT_SUPPORTED'],
]);

/** The server did nothing: it is not, or no longer, the one that takes writes. */
const NOT_PRIMARY = new Set([133, 10058, 10107, 13435, 13436]);
/** The server went away, or lost another one, with the operation perhaps done. */
const INTERRUPTED = new Set([6, 7, 64, 79, 89, 91, 100, 189, 9001, 11600, 11602]);

/** Labels that say that nothing reached the server, or that nothing of it was done. */
const HARMLESS = ['HandshakeError', 'PoolRequestedRetry', 'NoWritesPerformed'];

/** The BEDS error for anything the driver throws. Its text and its cause carry nothing of the request. */
export function toStoreError(error: unknown, attempt: Attempt): BedsError {
  if (isBedsError(error)) return error;
  return storeErrors.make(codeOf(error, attempt), undefined, { cause: describe(error) });
}

function codeOf(error: unknown, attempt: Attempt): Code {
  if (!(error instanceof MongoError)) return 'BEDS_STORE_FAULT';
  if (error.hasErrorLabel('SystemOverloadedError')) return 'BEDS_STORE_OVERLOADED';
  // Slots keep the driver's queue empty but for connections that the server does not let be made.
  if (error instanceof MongoServerSelectionError || error.name === 'MongoWaitQueueTimeoutError') {
    return 'BEDS_STORE_UNAVAILABLE';
  }
  const lost = attempt.write ? 'BEDS_STORE_INDETERMINATE' : 'BEDS_STORE_UNAVAILABLE';
  if (error instanceof MongoWriteConcernError) return lost;
  if (error instanceof MongoNetworkError) return isHarmless(error) ? 'BEDS_STORE_UNAVAILABLE' : lost;
  if (isClosed(error)) return 'BEDS_STORE_CLOSED';
  if (error instanceof MongoCompatibilityError) return 'BEDS_STORE_NOT_SUPPORTED';
  return error instanceof MongoServerError ? serverCode(error, { ...attempt, lost }) : 'BEDS_STORE_FAULT';
}

function serverCode(error: MongoServerError, { many, lost, write }: Attempt & { readonly lost: Code }): Code {
  const code = Number(error.code);
  if (NOT_PRIMARY.has(code)) return 'BEDS_STORE_UNAVAILABLE';
  if (INTERRUPTED.has(code)) return isHarmless(error) ? 'BEDS_STORE_UNAVAILABLE' : lost;
  const known = CODES.get(code) ?? 'BEDS_STORE_FAULT';
  // One document changes as a whole or not at all; of many, some may have been changed already.
  const isCutShort = known === 'BEDS_STORE_TIMEOUT' || known === 'BEDS_STORE_DEADLOCK';
  return isCutShort && write && many && !isHarmless(error) ? 'BEDS_STORE_INDETERMINATE' : known;
}

function isHarmless(error: MongoError): boolean {
  return error.name === 'MongoPoolClearedError' || HARMLESS.some((label) => error.hasErrorLabel(label));
}

function isClosed(error: MongoError): boolean {
  return (
    error instanceof MongoTopologyClosedError ||
    error instanceof MongoNotConnectedError ||
    error instanceof MongoServerClosedError ||
    error instanceof MongoClientClosedError ||
    error.name === 'MongoPoolClosedError'
  );
}

/** n.b. the message of a server error repeats values: `dup key: { email: "…" }`. */
function describe(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof MongoError)) return { name: error instanceof Error ? error.name : typeof error };
  return { name: error.name, code: error.code, labels: [...error.errorLabels] };
}
