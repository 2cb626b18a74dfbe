import { type BedsError, isBedsError } from '@beds/sdk';
import {
  BSON,
  MongoBulkWriteError,
  MongoClientClosedError,
  MongoCompatibilityError,
  MongoError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerClosedError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from 'mongodb';
import { storeErrors } from '../../errors/store.js';
import { refusalOf } from '../refusals.js';
import { isDocument } from './body.js';

type Code = keyof typeof storeErrors.specs;

/** What was being done, as far as it decides whether something may have been kept. */
export interface Attempt {
  readonly write: boolean;
  /** The write touches several documents, each on its own. */
  readonly many: boolean;
}

/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const MEANINGS: readonly (readonly [Code, readonly number[]])[] = [
  ['BEDS_STORE_DENIED', [13]],
  // 18: the account is not let in, which says nothing about an object. 134: nothing is confirmed yet that may be read.
  // 371, 14031: writes are blocked, the disk is full.
  ['BEDS_STORE_UNAVAILABLE', [18, 134, 371, 391, 14031]],
  ['BEDS_STORE_CONFLICT', [11000, 11001, 12582]],
  ['BEDS_STORE_TIMEOUT', [50, 262, 290, 11601]],
  ['BEDS_STORE_DEADLOCK', [24, 46, 63, 107, 112, 117, 150, 225, 239, 246, 249, 250, 251, 267, 272, 13388]],
  ['BEDS_STORE_OVERLOADED', [261, 264, 365, 402, 433, 449, 450, 462]],
  // 27, 291: an index that the object needs is not there.
  ['BEDS_STORE_OBJECT_CHANGED', [26, 27, 165, 166, 167, 182, 291]],
  ['BEDS_STORE_NOT_SUPPORTED', [20, 59, 72, 115, 148, 168, 224, 238, 263, 322, 323, 324, 40324, 40414, 40415]],
  ['BEDS_STORE_RESULT_TOO_LARGE', [146, 292, 16819, 16820, 16945]],
  ['BEDS_STORE_INVALID_VALUE', [2, 4, 9, 14, 15, 16, 21, 22, 28, 29, 30, 34, 40, 52, 53, 54, 55, 56, 57, 61, 66]],
  ['BEDS_STORE_INVALID_VALUE', [111, 116, 121, 153, 159, 170, 171, 207, 241, 257, 357, 378, 388, 10003, 10334]],
];

const CODES: ReadonlyMap<number, Code> = new Map(
  MEANINGS.flatMap(([code, numbers]) => numbers.map((number) => [number, code] as const)),
);

/** The server did nothing: it is not, or no longer, the one that takes writes. */
const NOT_PRIMARY = new Set([94, 133, 10058, 10107, 13435, 13436]);
/** The server went away, or lost another one, with the operation perhaps done. */
const INTERRUPTED = new Set(
  [6, 7, 64, 75, 79, 89, 91, 100, 189, 202, 217, 279, 355, 407, 453, 9001].concat([11600, 11602, 46841, 91331]),
);
/** What it was reading from is gone: the cursor, the plan, the collection's files. */
const INVALIDATED = new Set([43, 136, 175, 237, 314]);

/**
 * Numbers without a name: what an expression or an operator finds in the values that it is given, such as a division by zero.
 * https://github.com/mongodb/mongo/blob/master/docs/exception_architecture.md
 */
function isAssertion(code: number): boolean {
  return (code >= 15_900 && code < 52_000) || code >= 1_000_000;
}

/**
 * Labels that say that nothing reached the server, or that nothing of it was done. n.b. of a server to which no connection could be
 * made the driver says that it is overloaded.
 */
const HARMLESS = ['HandshakeError', 'PoolRequestedRetry', 'NoWritesPerformed'];
const NOT_CONNECTED = 'SystemOverloadedError';

/** The BEDS error for anything the driver throws. Its text and its cause carry nothing of the request. */
export function toStoreError(error: unknown, attempt: Attempt): BedsError {
  if (isBedsError(error)) return error;
  const code = codeOf(error, attempt);
  const said = code === 'BEDS_STORE_INVALID_VALUE' ? saidByValidator(error) : undefined;
  const made = said ?? storeErrors.make(code, sayWhy(code, error), { cause: describe(error) });
  const kept = sayKept(made, error, attempt);
  if (kept === undefined) return made;
  const { message, cause, field } = made;
  return storeErrors.make(made.code as Code, `${message} ${kept}`, { cause, ...(field !== undefined && { field }) });
}

/** What a write of several documents keeps although it is refused; undefined: nothing, or the code says so. */
function sayKept({ status }: BedsError, error: unknown, { write, many }: Attempt): string | undefined {
  if (!write || !many || (status !== 'invalid' && status !== 'conflict')) return undefined;
  if (error instanceof MongoBulkWriteError) {
    // n.b. some servers count those that failed, too.
    const kept = Math.min(error.insertedCount, [error.writeErrors].flat()[0]?.index ?? Infinity);
    return kept === 0 ? undefined : `Of the documents, the first ${kept} were kept.`;
  }
  return error instanceof MongoServerError ? 'Documents that were changed before stay changed.' : undefined;
}

function codeOf(error: unknown, attempt: Attempt): Code {
  if (isUnwritable(error)) return attempt.write ? 'BEDS_STORE_INVALID_VALUE' : 'BEDS_STORE_VALUE_UNFIT';
  // n.b. what is too large for a message is found before anything is sent.
  if (error instanceof RangeError || error instanceof MongoInvalidArgumentError) return 'BEDS_STORE_INVALID_VALUE';
  if (!(error instanceof MongoError)) return 'BEDS_STORE_FAULT';
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

/** Whether the driver could not write, or read, a value as BSON: text that is no UTF-8, for one. */
function isUnwritable(error: unknown): boolean {
  return error instanceof BSON.BSONError;
}

function serverCode(error: MongoServerError, attempt: Attempt & { readonly lost: Code }): Code {
  const { lost, write } = attempt;
  const code = Number(error.code);
  // n.b. of several documents the first ones are kept, and of what only its confirmation is missing, all.
  const isPartlyKept = error instanceof MongoBulkWriteError && error.insertedCount > 0;
  const many = attempt.many && (isPartlyKept || !(error instanceof MongoBulkWriteError));
  if (NOT_PRIMARY.has(code)) return isPartlyKept ? lost : 'BEDS_STORE_UNAVAILABLE';
  if (INTERRUPTED.has(code)) return isHarmless(error) ? 'BEDS_STORE_UNAVAILABLE' : lost;
  const known = INVALIDATED.has(code) ? 'BEDS_STORE_UNAVAILABLE' : knownCode(error, code);
  // One document changes as a whole or not at all; of many, some may have been changed already.
  return CUT_SHORT.has(known) && write && many && !isHarmless(error) ? 'BEDS_STORE_INDETERMINATE' : known;
}

/** Verdicts after which the same call would be made again. */
const CUT_SHORT: ReadonlySet<Code> = new Set([
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_DEADLOCK',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_UNAVAILABLE',
]);

/** n.b. of an index that a `hint` names and that is not there the server says no more than that a value is bad. */
const NO_SUCH_INDEX = 'hint provided does not correspond to an existing index';

function knownCode(error: MongoServerError, code: number): Code {
  if (code === 2 && error.message.includes(NO_SUCH_INDEX)) return 'BEDS_STORE_OBJECT_CHANGED';
  const known = CODES.get(code);
  if (known !== undefined) return known;
  if (error.hasErrorLabel('SystemOverloadedError')) return 'BEDS_STORE_OVERLOADED';
  if (error.hasErrorLabel('TransientTransactionError')) return 'BEDS_STORE_DEADLOCK';
  return isAssertion(code) ? 'BEDS_STORE_INVALID_VALUE' : 'BEDS_STORE_FAULT';
}

function isHarmless(error: MongoError): boolean {
  if (error instanceof MongoNetworkError && error.hasErrorLabel(NOT_CONNECTED)) return true;
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

/** What the server says of names, its own and the DBA's, and never of values. Undefined: the usual words are enough. */
function sayWhy(code: Code, error: unknown): string | undefined {
  if (code === 'BEDS_STORE_RESULT_TOO_LARGE') {
    return 'MongoDB would need more memory to sort or group these documents than it may use: filter more, ask for fewer rows, or order by columns that an index holds.';
  }
  if (code === 'BEDS_STORE_CONFLICT') return sayDuplicate(error);
  if (code !== 'BEDS_STORE_INVALID_VALUE') return undefined;
  if (!(error instanceof MongoServerError))
    return 'A value is larger than MongoDB takes, or is none that it can store.';
  if (error.code !== DOCUMENT_INVALID)
    return `MongoDB cannot do this with the values that it is given (error ${String(error.code)}).`;
  const reasons = [...reasonsIn(errorInfoOf(error))].slice(0, MOST_REASONS);
  return `The validator of the collection refuses the document${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}.`;
}

/** What the DBA wrote for callers into a rule of a validator: `description: '[conflict] …'`. */
function saidByValidator(error: unknown): BedsError | undefined {
  if (!(error instanceof MongoServerError) || error.code !== DOCUMENT_INVALID) return undefined;
  for (const text of descriptionsIn(errorInfoOf(error))) {
    const refusal = refusalOf(text, { cause: describe(error) });
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function* descriptionsIn(details: unknown): Generator<string> {
  const inner = Array.isArray(details) ? details : isDocument(details) ? PARTS.map((part) => details[part]) : [];
  if (isDocument(details) && typeof details['description'] === 'string') yield details['description'];
  for (const part of inner) yield* descriptionsIn(part);
}

const DOCUMENT_INVALID = 121;
const MOST_REASONS = 10;
const NAME = /^[\w.-]{1,120}$/;

function nameOf(value: unknown): string | undefined {
  return typeof value === 'string' && NAME.test(value) ? value : undefined;
}

/** https://www.mongodb.com/docs/manual/core/index-unique/ */
function sayDuplicate(error: unknown): string | undefined {
  if (!(error instanceof MongoServerError)) return undefined;
  const fields = isDocument(error['keyPattern']) ? Object.keys(error['keyPattern']) : [];
  // n.b. the first one is the server's own; values come after it.
  const index = nameOf(/ index: (?:\S*\$)?(\S+) dup key/.exec(error.message)?.[1]);
  if (index === '_id_' || fields.join() === '_id') return undefined;
  if (fields.length > 0 && fields.every(nameOf)) return `Another record has the same ${fields.join(', ')}.`;
  return index === undefined ? undefined : `Another record has the same values in the unique index ${index}.`;
}

function errorInfoOf(error: MongoServerError): unknown {
  const { errInfo } = error instanceof MongoBulkWriteError ? ([error.writeErrors].flat()[0]?.err ?? error) : error;
  return isDocument(errInfo) ? errInfo['details'] : undefined;
}

/**
 * What a validator has against a document: fields and rules, without the values.
 * https://www.mongodb.com/docs/manual/core/schema-validation/handle-invalid-documents/
 */
function* reasonsIn(details: unknown, path = ''): Generator<string> {
  if (Array.isArray(details)) {
    for (const one of details) yield* reasonsIn(one, path);
    return;
  }
  if (!isDocument(details)) return;
  const below = nameOf(details['propertyName']);
  const here = [path, below ?? ''].filter(Boolean).join('.');
  const inner = PARTS.map((part) => details[part]).filter((part) => Array.isArray(part) || isDocument(part));
  if (inner.length > 0) {
    for (const part of inner) yield* reasonsIn(part, here);
    return;
  }
  const missing = [details['missingProperties'], details['additionalProperties']].flat().filter(nameOf);
  const words = typeof details['description'] === 'string' ? details['description'] : details['reason'];
  const rule = nameOf(String(details['operatorName']).replace('$', '')) ?? 'a rule';
  const of = [here, ...missing].filter(Boolean).join(', ') || fieldIn(details['specifiedAs']);
  yield `${of === '' ? '' : `${of}: `}${typeof words === 'string' ? `${words} (${rule})` : rule}`;
}

const PARTS = [
  'schemaRulesNotSatisfied',
  'propertiesNotSatisfied',
  'patternPropertiesNotSatisfied',
  'schemasNotSatisfied',
  'clausesNotSatisfied',
  'clausesSatisfied',
  'dependenciesNotSatisfied',
  'details',
];

/** The field of a rule such as `{ stars: { $gt: 0 } }`. */
function fieldIn(rule: unknown): string {
  const [field] = isDocument(rule) ? Object.keys(rule) : [];
  return field === undefined || field.startsWith('$') ? '' : (nameOf(field) ?? '');
}
