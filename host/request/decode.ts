import { isAscii, isUtf8 } from 'node:buffer';
import {
  isKnownQuery,
  partsOfQuery,
  placeOf,
  type RequestEnvelope,
  type UnknownName,
  unknownNames,
  unknownText,
} from '@beds/sdk';
import { MALFORMED_HEADERS } from '../amqp/guarded-amqplib.js';
import { nearest } from '../config/nearest.js';
import { requestErrors } from '../errors/request.js';

function meant(name: string, known: readonly string[]): string {
  const found = nearest(name, known);
  return found === undefined ? '' : ` (did you mean ${found}?)`;
}

/** Refuses names that nobody knows, all of them at once; `field` is the first one. */
export function unknownError(
  code: 'BEDS_REQUEST_MALFORMED' | 'BEDS_REQUEST_INVALID',
  unknown: readonly UnknownName[],
): Error {
  const [first] = unknown;
  const field = first === undefined ? '' : placeOf(first);
  return requestErrors.make(code, unknownText(unknown, meant), field === '' ? {} : { field });
}

/** Bounds that hold before a body is parsed. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly maxDepth: number;
  /** Object keys and array elements together. */
  readonly maxKeys: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Judges a body before it is parsed, without recursion, and gives its text. */
function scanBody(body: Buffer, limits: BodyLimits): string {
  if (body.length > limits.maxBodyBytes) throw requestErrors.make('BEDS_REQUEST_TOO_LARGE');
  const isPlain = isAscii(body);
  if (!isPlain && !isUtf8(body)) {
    throw requestErrors.make('BEDS_REQUEST_CONTENT_TYPE', 'The body is not valid UTF-8.');
  }
  // Nothing has to be decoded then: copying bytes takes a third of the time.
  const text = isPlain ? body.toString('latin1') : body.toString('utf8');
  if (mayBeTooComplex(text, limits)) refuseTooComplex(body, limits);
  return text;
}

/**
 * Whether it is worth counting. What is not longer than so many elements has no more of them, and what has few opening
 * brackets, be they in strings, nests no deeper: that is said of most requests in a fraction of the time.
 */
function mayBeTooComplex(text: string, { maxDepth, maxKeys }: BodyLimits): boolean {
  if (text.length > maxKeys) return true;
  let opened = 0;
  for (const bracket of ['{', '[']) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      opened += 1;
      if (opened > maxDepth) return true;
    }
  }
  return false;
}

/**
 * Counts in one pass over the bytes. `JSON.parse` takes 200,000 levels without complaint, and then whatever walks the result
 * overflows the stack.
 */
function refuseTooComplex(body: Buffer, limits: BodyLimits): void {
  let depth = 0;
  let elements = 0;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at];
    if (byte === QUOTE) {
      at = endOfString(body, at + 1);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      elements += 1;
      if (depth > limits.maxDepth) throw requestErrors.make('BEDS_REQUEST_TOO_COMPLEX', 'The body nests too deeply.');
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    } else if (byte === COMMA) {
      elements += 1;
    }
  }
  if (elements > limits.maxKeys)
    throw requestErrors.make('BEDS_REQUEST_TOO_COMPLEX', 'The body has too many elements.');
}

/** Up to this length a loop finds the end of a string before a call into native code has begun to look for it. */
const SHORT_STRING_BYTES = 48;

/** Position of the quote that ends the string which begins at `from`; the end of the body if there is none. */
function endOfString(body: Buffer, from: number): number {
  const shortEnd = Math.min(body.length, from + SHORT_STRING_BYTES);
  let at = from;
  while (at < shortEnd) {
    const byte = body[at];
    if (byte === QUOTE) return at;
    at += byte === BACKSLASH ? 2 : 1;
  }
  let quote = body.indexOf(QUOTE, at);
  while (quote !== -1) {
    // n.b. backslashes before `at` are whole pairs, so counting them too changes nothing.
    let backslashes = 0;
    while (body[quote - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote;
    quote = body.indexOf(QUOTE, quote + 1);
  }
  return body.length;
}

const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const SUSPICIOUS = /__proto__|constructor|prototype|\\u/;

/**
 * Refuses keys that could reach a prototype, at any depth. The walk happens only when the text may contain such a key:
 * literally, or written with escapes.
 */
function refuseForbiddenKeys(text: string, parsed: unknown): void {
  if (SUSPICIOUS.test(text)) walk(parsed);
}

function walk(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    value.forEach(walk);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    if (FORBIDDEN_KEYS.has(key)) throw requestErrors.make('BEDS_REQUEST_FORBIDDEN_KEY');
    walk(inner);
  }
}

export interface EnvelopeLimits extends BodyLimits {
  /** Most requests in one message. */
  readonly maxBatch: number;
}

/** What the properties of a message must say before its body is looked at. */
export interface ContentProperties {
  readonly contentType?: unknown;
  readonly contentEncoding?: unknown;
  readonly headers?: object | undefined;
}

export interface DecodedMessage {
  readonly requests: readonly RequestEnvelope[];
  /** Whether the body was an array, and so wants an array for an answer. */
  readonly isBatch: boolean;
}

/** Bytes to envelopes. Throws BEDS_REQUEST_* naming the field; nothing of the input appears in an error. */
export function decodeMessage(body: Buffer, properties: ContentProperties, limits: EnvelopeLimits): DecodedMessage {
  checkContent(properties);
  const text = scanBody(body, limits);
  const parsed = parse(text);
  refuseForbiddenKeys(text, parsed);
  if (!Array.isArray(parsed)) return { requests: [checkEnvelope(parsed)], isBatch: false };
  if (parsed.length === 0 || parsed.length > limits.maxBatch) {
    throw requestErrors.make(
      'BEDS_REQUEST_TOO_COMPLEX',
      'A batch must hold at least one and at most limits.maxBatch requests.',
    );
  }
  return { requests: parsed.map((entry, place) => checkEnvelope(entry, place)), isBatch: true };
}

function checkContent({ contentType, contentEncoding, headers }: ContentProperties): void {
  if (headers !== undefined && MALFORMED_HEADERS in headers) {
    throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'The headers are nested too deeply or name a prototype.');
  }
  const typeIsFine =
    contentType === undefined ||
    contentType === 'application/json' ||
    (typeof contentType === 'string' && /^application\/json(;.*)?$/i.test(contentType));
  const encodingIsFine =
    contentEncoding === undefined ||
    (typeof contentEncoding === 'string' && /^(utf-?8|identity|)$/i.test(contentEncoding));
  if (!typeIsFine || !encodingIsFine) throw requestErrors.make('BEDS_REQUEST_CONTENT_TYPE');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'The body is not JSON.');
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= 255;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return value === null || typeof value !== 'object';
}

function isDuration(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/** From 2001 to 5138. n.b. seconds would be decades ago, and nanoseconds always in the future. */
function isInstant(value: unknown): boolean {
  return typeof value === 'number' && value >= 1e12 && value < 1e14;
}

/** Whether a field is right; undefined where there is no such field. n.b. a `switch` over names is a third of a look-up. */
type Check = (name: string, value: unknown) => boolean | undefined;

const checkField: Check = (name, value) => {
  switch (name) {
    case 'v':
      return value === 1;
    case 'id':
    case 'domain':
    case 'op':
      return isText(value);
    case 'payload':
    case 'meta':
      return isObject(value);
    case 'query':
      if (!isObject(value)) return false;
      return isKnownQuery(value as object) ? wrongInQuery(value as Query) === undefined : undefined;
    case 'key':
      return isScalar(value);
    default:
      return undefined;
  }
};

const checkMetaField: Check = (name, value) => {
  switch (name) {
    case 'client':
    case 'session':
    case 'idempotencyKey':
    case 'traceparent':
      return isText(value);
    case 'deadlineMs':
      return isDuration(value);
    case 'sentAt':
      return isInstant(value);
    default:
      return undefined;
  }
};

type Query = Readonly<Record<'where' | 'order' | 'limit' | 'cursor', unknown>>;

/** n.b. a template that answers by itself would see nothing in `where: [{ … }]`, and so give every row. */
function wrongInQuery({ where, order, limit, cursor }: Query): WrongField | undefined {
  if (where !== undefined && where !== null && !isObject(where)) {
    return { name: 'query.where', problem: 'has the wrong type or value: it must be a JSON object' };
  }
  if (order !== undefined && order !== null && !(Array.isArray(order) && order.every(isObject))) {
    return { name: 'query.order', problem: 'has the wrong type or value: it must be a list of JSON objects' };
  }
  if (limit !== undefined && limit !== null && typeof limit !== 'number') {
    return { name: 'query.limit', problem: 'has the wrong type or value: it must be a number' };
  }
  if (cursor !== undefined && cursor !== null && typeof cursor !== 'string') {
    return { name: 'query.cursor', problem: 'has the wrong type or value: it must be a text' };
  }
  return undefined;
}

/** What a field must be, for whoever sent something else. */
const EXPECTED: Readonly<Record<string, string>> = {
  v: 'it must be 1',
  ...Object.fromEntries(
    ['id', 'domain', 'op', 'client', 'session', 'idempotencyKey', 'traceparent'].map((name) => [
      name,
      'it must be a text of 1 to 255 characters',
    ]),
  ),
  ...Object.fromEntries(['payload', 'query', 'meta'].map((name) => [name, 'it must be a JSON object'])),
  key: 'it must be a text, a number, true, false or null',
  deadlineMs: 'it must be a number of milliseconds above 0',
  sentAt: 'it must be milliseconds since 1970',
};

const META_NAMES = ['client', 'session', 'deadlineMs', 'sentAt', 'idempotencyKey', 'traceparent'] as const;
const META_REQUIRED = ['client'] as const;
const NAMES = ['v', 'id', 'domain', 'op', 'payload', 'query', 'key', 'meta'] as const;
const REQUIRED = ['v', 'id', 'domain', 'op'] as const;

/** `place`: of the request in a batch. */
function checkEnvelope(value: unknown, place?: number): RequestEnvelope {
  if (!isObject(value)) throw malformed(place, { name: '', problem: 'must be a JSON object' });
  const envelope = value as Record<string, unknown>;
  const wrong = wrongField(envelope, REQUIRED, checkField);
  if (wrong === 'unknown') throw unknownIn(envelope, place);
  if (wrong?.name === 'query' && isObject(envelope['query'])) {
    throw malformed(place, wrongInQuery(envelope['query'] as Query) ?? wrong);
  }
  if (wrong !== undefined) throw malformed(place, wrong);
  if (envelope['meta'] === undefined) return value as RequestEnvelope;
  const wrongInMeta = wrongField(envelope['meta'] as Record<string, unknown>, META_REQUIRED, checkMetaField);
  if (wrongInMeta === undefined) return value as RequestEnvelope;
  if (wrongInMeta === 'unknown') throw unknownIn(envelope, place);
  throw malformed(place, { ...wrongInMeta, name: `meta.${wrongInMeta.name}` });
}

interface WrongField {
  /** Empty: the envelope itself. */
  readonly name: string;
  readonly problem: string;
}

/** What is wrong first; a name that nobody knows is said before what is missing, as it mostly is the same mistake. */
function wrongField(
  fields: Readonly<Record<string, unknown>>,
  required: readonly string[],
  check: Check,
): WrongField | 'unknown' | undefined {
  let wrong: WrongField | undefined;
  for (const name of required) if (!Object.hasOwn(fields, name)) wrong ??= { name, problem: 'is missing' };
  for (const name in fields) {
    const isRight = check(name, fields[name]);
    if (isRight === undefined) return 'unknown';
    if (!isRight)
      wrong ??= { name, problem: `has the wrong type or value: ${EXPECTED[name] ?? 'see host/PROTOCOL.md'}` };
  }
  return wrong;
}

/** Names all that is unknown in the envelope at once. */
function unknownIn(envelope: Readonly<Record<string, unknown>>, place: number | undefined): Error {
  const prefix = place === undefined ? '' : `[${String(place)}]`;
  const below = (name: string): string => (prefix === '' ? name : `${prefix}.${name}`);
  const unknown = unknownNames([
    { path: prefix, value: envelope, known: NAMES },
    { path: below('meta'), value: envelope['meta'], known: META_NAMES },
    ...partsOfQuery(envelope['query'], below('query')),
  ]);
  return unknownError('BEDS_REQUEST_MALFORMED', unknown);
}

function malformed(place: number | undefined, { name, problem }: WrongField): Error {
  const field = [place === undefined ? '' : `[${String(place)}]`, name].filter((part) => part !== '').join('.');
  if (field === '') return requestErrors.make('BEDS_REQUEST_MALFORMED', `The envelope ${problem}.`);
  return requestErrors.make('BEDS_REQUEST_MALFORMED', `${field} ${problem}.`, { field });
}
