import type { RequestEnvelope } from '@beds/sdk';
import { requestErrors } from '../errors/request.js';
import { type BodyLimits, refuseForbiddenKeys, scanBody } from './scan.js';

export interface EnvelopeLimits extends BodyLimits {
  /** Most requests in one message. */
  readonly maxBatch: number;
}

/** What the properties of a message must say before its body is looked at. */
export interface ContentProperties {
  readonly contentType?: unknown;
  readonly contentEncoding?: unknown;
}

export interface DecodedMessage {
  readonly requests: readonly RequestEnvelope[];
  /** Whether the body was an array, and so wants an array for an answer. */
  readonly isBatch: boolean;
}

/** Bytes to envelopes. Throws BEDS_REQUEST_* naming the field; nothing of the input appears in an error. */
export function decodeMessage(body: Buffer, properties: ContentProperties, limits: EnvelopeLimits): DecodedMessage {
  checkContent(properties);
  scanBody(body, limits);
  const text = body.toString('utf8');
  const parsed = parse(text);
  refuseForbiddenKeys(text, parsed);
  if (!Array.isArray(parsed)) return { requests: [checkEnvelope(parsed, '')], isBatch: false };
  if (parsed.length === 0 || parsed.length > limits.maxBatch) {
    throw requestErrors.make(
      'BEDS_REQUEST_TOO_COMPLEX',
      'A batch must hold at least one and at most limits.maxBatch requests.',
    );
  }
  return { requests: parsed.map((entry, index) => checkEnvelope(entry, `[${String(index)}].`)), isBatch: true };
}

function checkContent({ contentType, contentEncoding }: ContentProperties): void {
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

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value.length > 0 && value.length <= 255;
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isScalar: Check = (value) => value === null || ['string', 'number', 'boolean'].includes(typeof value);
const isDuration: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value > 0;

const REQUIRED: ReadonlyMap<string, Check> = new Map<string, Check>([
  ['v', (value) => value === 1],
  ['id', isText],
  ['domain', isText],
  ['op', isText],
]);

const ENVELOPE: ReadonlyMap<string, Check> = new Map<string, Check>([
  ...REQUIRED,
  ['payload', isObject],
  ['query', isObject],
  ['key', isScalar],
  ['meta', isObject],
]);

const META: ReadonlyMap<string, Check> = new Map<string, Check>([
  ['client', isText],
  ['session', isText],
  ['deadlineMs', isDuration],
  ['idempotencyKey', isText],
  ['traceparent', isText],
]);

function checkEnvelope(value: unknown, path: string): RequestEnvelope {
  if (!isObject(value)) throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'An envelope must be a JSON object.');
  const envelope = value as Record<string, unknown>;
  for (const name of REQUIRED.keys()) {
    if (!Object.hasOwn(envelope, name)) throw malformed(`${path}${name}`, 'is missing');
  }
  checkFields(envelope, ENVELOPE, path);
  const meta = envelope['meta'] as Record<string, unknown> | undefined;
  if (meta !== undefined) {
    if (!Object.hasOwn(meta, 'client')) throw malformed(`${path}meta.client`, 'is missing');
    checkFields(meta, META, `${path}meta.`);
  }
  return value as RequestEnvelope;
}

function checkFields(
  fields: Readonly<Record<string, unknown>>,
  checks: ReadonlyMap<string, Check>,
  path: string,
): void {
  for (const name in fields) {
    const check = checks.get(name);
    if (check === undefined) throw malformed(path, 'has an unknown field');
    if (!check(fields[name])) throw malformed(`${path}${name}`, 'has the wrong type or value');
  }
}

function malformed(path: string, problem: string): Error {
  const field = path.replace(/\.$/, '');
  if (field === '') return requestErrors.make('BEDS_REQUEST_MALFORMED', `The envelope ${problem}.`);
  return requestErrors.make('BEDS_REQUEST_MALFORMED', `${field} ${problem}.`, { field });
}
