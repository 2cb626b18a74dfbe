import { isAscii, isUtf8 } from 'node:buffer';
import type { Problem } from '@beds/sdk';
import {
  isPlainName,
  MOST_PROBLEMS,
  ORDER_NAMES,
  placeOf,
  QUERY_NAMES,
  type RequestEnvelope,
  type RequestMeta,
  sayProblems,
  SESSION,
  type UnknownName,
  unknownNames,
} from '#sdk/template';
import { MALFORMED_HEADERS } from '../amqp/guarded-amqplib.js';
import { meant } from '#sdk/nearest';
import { requestErrors } from '../errors/request.js';

/** Bounds that hold before a body is parsed. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly maxDepth: number;
  /** Object keys and array elements together. */
  readonly maxKeys: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OTHER, STRING, OPENS, CLOSES, SEPARATES] = [0, 1, 2, 3, 4] as const;

/** What a byte of JSON is. n.b. no byte of a longer character is one of these. */
const KINDS = new Uint8Array(256);
KINDS[QUOTE] = STRING;
for (const bracket of Buffer.from('{[')) KINDS[bracket] = OPENS;
for (const bracket of Buffer.from('}]')) KINDS[bracket] = CLOSES;
for (const comma of Buffer.from(',')) KINDS[comma] = SEPARATES;

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
 * overflows the stack. n.b. most messages with several requests come by here: a look into a table is what costs least.
 */
function refuseTooComplex(body: Buffer, limits: BodyLimits): void {
  let depth = 0;
  let elements = 0;
  for (let at = 0; at < body.length; at++) {
    const kind = KINDS[body[at] ?? OTHER];
    if (kind === OTHER) continue;
    if (kind === STRING) {
      at = endOfString(body, at + 1);
    } else if (kind === SEPARATES) {
      elements += 1;
    } else if (kind === OPENS) {
      depth += 1;
      elements += 1;
      if (depth > limits.maxDepth) throw requestErrors.make('BEDS_REQUEST_TOO_COMPLEX', 'The body nests too deeply.');
    } else {
      depth -= 1;
    }
  }
  if (elements > limits.maxKeys)
    throw requestErrors.make('BEDS_REQUEST_TOO_COMPLEX', 'The body has too many elements.');
}

/** Up to this length a loop finds the end of a string before a call into native code has begun to look for it. */
const SHORT_STRING_BYTES = 64;

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

/**
 * Refuses keys that could reach a prototype, at any depth. The walk happens only when the text may contain such a key:
 * literally, or written with escapes. n.b. no regular expression: a template may change those, and would read every request.
 */
function refuseForbiddenKeys(text: string, parsed: unknown): void {
  // n.b. V8 finds texts of less than seven characters by their first one: the rarer that is, the faster.
  const mayHaveOne =
    (text.includes('__') && text.includes('__proto__')) ||
    (text.includes('uctor') && text.includes('constructor')) ||
    (text.includes('protot') && text.includes('prototype')) ||
    text.includes('\\u');
  if (mayHaveOne) walk(parsed);
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
  readonly appId?: unknown;
  readonly headers?: object | undefined;
}

export interface DecodedMessage {
  readonly requests: readonly RequestEnvelope[];
  /** Whether the body was an array, and so wants an array for an answer. */
  readonly isBatch: boolean;
}

/** Bytes to envelopes. Throws BEDS_REQUEST_* naming each field that is wrong; nothing of the input appears in an error. */
export function decodeMessage(body: Buffer, properties: ContentProperties, limits: EnvelopeLimits): DecodedMessage {
  checkContent(properties);
  const text = scanBody(body, limits);
  const parsed = parse(text);
  refuseForbiddenKeys(text, parsed);
  if (!Array.isArray(parsed)) return { requests: requestsOf([parsed], text, properties), isBatch: false };
  if (parsed.length === 0 || parsed.length > limits.maxBatch) {
    throw requestErrors.make(
      'BEDS_REQUEST_TOO_COMPLEX',
      'A batch must hold at least one and at most limits.maxBatch requests.',
    );
  }
  return { requests: requestsOf(parsed, text, properties), isBatch: true };
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
    throw requestErrors.make('BEDS_REQUEST_MALFORMED', `The body is not JSON${whyNotJson(text)}.`);
  }
}

/** What libraries of other languages write. */
function whyNotJson(text: string): string {
  if (text.startsWith('\ufeff')) return ': it begins with a byte order mark';
  return /[[:,]\s*(?:-?Infinity|NaN)\b/.test(text) ? ': NaN and Infinity cannot be written in it' : '';
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= 255;
}

/** Tokens of OpenID providers are longer than names are. */
const MAX_TOKEN_CHARACTERS = 8_192;

function isToken(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_TOKEN_CHARACTERS;
}

/** What has to be passed on at least: https://www.w3.org/TR/trace-context/#tracestate-limits */
const MAX_STATE_CHARACTERS = 512;

/** n.b. nobody looks into it, but it goes into messages and logs of others. */
function isTraceState(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > MAX_STATE_CHARACTERS) return false;
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object';
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
    case 'query':
    case 'meta':
      return isObject(value);
    case 'key':
      return isScalar(value);
    default:
      return undefined;
  }
};

const checkMetaField: Check = (name, value) => {
  switch (name) {
    case 'client':
    case 'asDomain':
    case 'idempotencyKey':
    case 'traceparent':
      return isText(value);
    case 'session':
      return isToken(value);
    case 'tracestate':
      return isTraceState(value);
    case 'deadlineMs':
      return isDuration(value);
    case 'sentAt':
      return isInstant(value);
    case 'depth':
      return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
    case 'readOnly':
    case 'trace':
      return typeof value === 'boolean';
    default:
      return undefined;
  }
};

const TEXT = 'must be a text of 1 to 255 characters';
const OBJECT = 'must be a JSON object';
const TOKEN = `must be a text of 1 to ${MAX_TOKEN_CHARACTERS.toLocaleString('en')} characters`;

/** What a field must be, for whoever sent something else. */
const EXPECTED: Readonly<Record<string, string>> = {
  v: 'must be 1',
  id: TEXT,
  domain: TEXT,
  op: TEXT,
  payload: OBJECT,
  query: OBJECT,
  meta: OBJECT,
  key: 'must be a text, a number, true or false',
  'meta.client': TEXT,
  'meta.session': TOKEN,
  'meta.idempotencyKey': TEXT,
  'meta.traceparent': TEXT,
  'meta.tracestate': `must be a text of at most ${MAX_STATE_CHARACTERS} printable characters`,
  'meta.trace': 'must be true or false',
  'meta.deadlineMs': 'must be a number of milliseconds above 0',
  'meta.sentAt': 'must be milliseconds since 1970',
  'meta.depth': 'must be an integer from 0 to 255',
  'meta.readOnly': 'must be true or false',
  'meta.asDomain': TEXT,
};

const NAMES = ['v', 'id', 'domain', 'op', 'payload', 'query', 'key', 'meta'] as const;
const REQUIRED = ['v', 'id', 'domain', 'op'] as const;
const META_NAMES = [
  'client',
  'session',
  'deadlineMs',
  'sentAt',
  'idempotencyKey',
  'traceparent',
  'tracestate',
  'trace',
  'depth',
  'readOnly',
  'asDomain',
] as const;

/** The envelopes of a message. Throws BEDS_REQUEST_MALFORMED with all that is wrong in any of them. */
function requestsOf(
  values: readonly unknown[],
  text: string,
  properties: ContentProperties,
): readonly RequestEnvelope[] {
  if (!areEnvelopes(values)) {
    values.forEach(dropNulls);
    if (!areEnvelopes(values)) throw malformed(values, text.startsWith('['));
  }
  addFromMessage(values, properties);
  return values;
}

/**
 * Takes null for absent, as languages write it that always name every field. n.b. within `payload` and `where` a null is a
 * value, and a name that nobody knows is one also where it is null.
 */
function dropNulls(value: unknown): void {
  const envelope = drop(value, NAMES);
  drop(envelope?.['meta'], META_NAMES);
}

/** n.b. the envelope's own nulls are met as wrong values; those of a query are looked at by nobody before the template. */
function dropNullsOfQuery(query: unknown): void {
  const order = drop(query, QUERY_NAMES)?.['order'];
  if (Array.isArray(order)) for (const entry of order) drop(entry, ORDER_NAMES);
}

function drop(value: unknown, names: readonly string[]): Record<string, unknown> | undefined {
  if (!isObject(value)) return undefined;
  const fields = value as Record<string, unknown>;
  for (const name of names) if (fields[name] === null) Reflect.deleteProperty(fields, name);
  return fields;
}

function areEnvelopes(values: readonly unknown[]): values is readonly RequestEnvelope[] {
  for (const value of values) if (!isEnvelope(value)) return false;
  return true;
}

function isEnvelope(value: unknown): boolean {
  if (!isObject(value)) return false;
  const envelope = value as Record<(typeof NAMES)[number], unknown>;
  const { v, id, domain, op } = envelope;
  if (v === undefined || id === undefined || domain === undefined || op === undefined) return false;
  if (!areRight(envelope, checkField)) return false;
  const { meta, query } = envelope;
  if (query !== undefined) dropNullsOfQuery(query);
  return meta === undefined || areRight(meta as Record<string, unknown>, checkMetaField);
}

function areRight(fields: Readonly<Record<string, unknown>>, check: Check): boolean {
  for (const name in fields) if (check(name, fields[name]) !== true) return false;
  return true;
}

interface MessageHeaders {
  readonly traceparent?: unknown;
  readonly tracestate?: unknown;
  readonly [SESSION]?: unknown;
}

const NO_HEADERS: MessageHeaders = {};

/** What instrumentations and libraries write into the message counts for each of its requests that does not say it itself. */
function addFromMessage(requests: readonly RequestEnvelope[], { appId, headers }: ContentProperties): void {
  const { traceparent: trace, tracestate: state, [SESSION]: token } = (headers ?? NO_HEADERS) as MessageHeaders;
  if (token !== undefined) addSession(requests, token);
  if (appId === undefined && trace === undefined) return;
  const more: RequestMeta = {
    ...(isText(appId) ? { client: appId as string } : {}),
    ...(isText(trace) ? { traceparent: trace as string } : {}),
    ...(isText(trace) && isTraceState(state) ? { tracestate: state as string } : {}),
  };
  for (const request of requests) (request as { meta?: RequestMeta }).meta = { ...more, ...request.meta };
}

/** n.b. who cannot be known from what is written there is not nobody. */
function addSession(requests: readonly RequestEnvelope[], token: unknown): void {
  if (!isToken(token)) throw requestErrors.make('BEDS_REQUEST_MALFORMED', `The header ${SESSION} ${TOKEN}.`);
  const session = token as string;
  for (const request of requests as readonly { meta?: { session?: string } }[]) {
    if (request.meta === undefined) request.meta = { session };
    else request.meta.session ??= session;
  }
}

/** Says all that is wrong. What is unknown comes first: what is missing is mostly the same mistake. */
function malformed(values: readonly unknown[], isBatch: boolean): Error {
  const places = values.map((value, place) => ({ value, prefix: isBatch ? `[${String(place)}]` : '' }));
  const unknown = places.flatMap(({ value, prefix }) => unknownIn(value, prefix));
  const problems = [
    ...unknown.map((each, index) => unknownProblem(each, index < MOST_PROBLEMS)),
    ...places.flatMap(({ value, prefix }) => wrongIn(value, prefix)),
  ];
  const { message, details } = sayProblems(problems);
  const known = [...new Set(unknown.map((each) => each.known))].map((names) => ` Known there: ${names.join(', ')}.`);
  return requestErrors.make('BEDS_REQUEST_MALFORMED', message + known.join(''), details);
}

/** n.b. a name that is no identifier may be a value in the wrong place: it is not repeated. */
function unknownProblem(each: UnknownName, isTold: boolean): Problem {
  const { path, name, known } = each;
  if (isPlainName(name)) return { field: placeOf(each), message: `is unknown${isTold ? meant(name, known) : ''}` };
  return { field: path, message: `${path === '' ? 'The envelope has' : 'has'} a name that is no identifier` };
}

function unknownIn(value: unknown, prefix: string): readonly UnknownName[] {
  if (!isObject(value)) return [];
  const envelope = value as Readonly<Record<string, unknown>>;
  return unknownNames([
    { path: prefix, value: envelope, known: NAMES },
    { path: below(prefix, 'meta'), value: envelope['meta'], known: META_NAMES },
  ]);
}

function wrongIn(value: unknown, prefix: string): readonly Problem[] {
  if (!isObject(value)) return [{ field: prefix, message: prefix === '' ? `The envelope ${OBJECT}` : OBJECT }];
  const envelope = value as Readonly<Record<string, unknown>>;
  const problems: Problem[] = [];
  for (const name of REQUIRED) {
    if (!Object.hasOwn(envelope, name)) problems.push({ field: below(prefix, name), message: 'is missing' });
  }
  const look = (fields: Readonly<Record<string, unknown>>, path: string, check: Check): void => {
    for (const [name, given] of Object.entries(fields)) {
      if (check(name, given) === false) problems.push(wrongField(below(path, name), given, prefix));
    }
  };
  look(envelope, prefix, checkField);
  const { meta } = envelope;
  if (isObject(meta)) look(meta as Record<string, unknown>, below(prefix, 'meta'), checkMetaField);
  return problems;
}

function wrongField(field: string, value: unknown, prefix: string): Problem {
  const name = prefix === '' ? field : field.slice(prefix.length + 1);
  const message = EXPECTED[name] ?? 'has the wrong type or value';
  // n.b. an empty map of PHP or Lua is written as an empty list.
  const isEmptyList = message === OBJECT && Array.isArray(value) && value.length === 0;
  return { field, message: isEmptyList ? `${message}: {}, not []` : message };
}

function below(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
