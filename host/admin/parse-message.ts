import { z } from 'zod';
import { operateErrors } from '../errors/operate.js';
import { FILE_NAME } from '../deploy/sources/read-drop.js';
import type { BundleFiles } from './contract.js';
import { MAX_BUNDLES, type AdminQuestion, type Order } from './protocol.js';

export interface OrderLimits {
  /** Bytes of one bundle, all its files together. */
  readonly maxBundleBytes: number;
  /** Files of one bundle. */
  readonly maxFiles: number;
}

const domain = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'is no name of a domain');
/** A version, or a hash or its beginning. */
const version = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/, 'is no version');
const lifted = z.union([domain, z.string().regex(/^[0-9a-f]{6,64}$/)], 'is neither a hash nor a domain');
const percent = z.number().min(0).max(100);
const v = z.literal(1);

const question = z.discriminatedUnion('op', [
  z.strictObject({ v, op: z.literal('status') }),
  z.strictObject({ v, op: z.literal('history'), domain: domain.optional() }),
  z.strictObject({ v, op: z.literal('plugins'), domain: domain.optional() }),
  z.strictObject({ v, op: z.literal('quarantine') }),
  z.strictObject({ v, op: z.literal('metrics') }),
  z.strictObject({ v, op: z.literal('diff'), domain, from: version.optional(), to: version.optional() }),
  z.strictObject({ v, op: z.literal('progress'), domains: z.array(domain).min(1).max(MAX_BUNDLES) }),
]);

const base = { v, node: z.string().max(200).optional(), by: z.string().max(200).optional() };
const wish = z.strictObject({
  canaryPercent: percent.optional(),
  shadowPercent: percent.optional(),
  forMs: z.int().min(1).max(86_400_000).optional(),
  allowBreaking: z.boolean().optional(),
  hold: z.boolean().optional(),
});

const order = z.discriminatedUnion('op', [
  z.strictObject({
    ...base,
    op: z.literal('deploy'),
    bundles: z
      .array(z.record(z.string().regex(FILE_NAME), z.string()))
      .min(1)
      .max(MAX_BUNDLES),
    wish: wish.default({}),
  }),
  z.strictObject({ ...base, op: z.literal('rollback'), domain, version: version.optional() }),
  z.strictObject({ ...base, op: z.literal('promote'), domain }),
  z.strictObject({ ...base, op: z.literal('pause'), domain }),
  z.strictObject({ ...base, op: z.literal('retire'), domain }),
  z.strictObject({ ...base, op: z.literal('lift'), name: lifted }),
]);

/** The JSON object of a message. Throws `BEDS_OPERATE_INVALID`. */
export function parseJson(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  throw invalid('It is no JSON object.');
}

/** Throws `BEDS_OPERATE_INVALID` with what is wrong. */
export function parseQuestion(value: unknown): AdminQuestion {
  return defined(check(question, value));
}

/** The largest order that can be valid, bytes. */
export function maxOrderBytes({ maxBundleBytes, maxFiles }: OrderLimits): number {
  const names = maxFiles * 160;
  return Math.min(MAX_MESSAGE_BYTES, MAX_BUNDLES * (Math.ceil(maxBundleBytes / 3) * 4 + names) + 4_096);
}

/** RabbitMQ's own limit before release 4. */
const MAX_MESSAGE_BYTES = 134_217_728;

/** Throws `BEDS_OPERATE_INVALID` or `BEDS_OPERATE_TOO_LARGE`. */
export function parseOrder(value: unknown, limits: OrderLimits): Order {
  const parsed = check(order, value);
  if (parsed.op !== 'deploy') return defined(parsed);
  const bundles = parsed.bundles.map((files, index) => decode(files, index, limits));
  return defined({ ...parsed, bundles, wish: defined(parsed.wish) });
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function decode(files: Readonly<Record<string, string>>, index: number, limits: OrderLimits): BundleFiles {
  const entries = Object.entries(files);
  const which = `Bundle ${index + 1}`;
  if (entries.length === 0) throw invalid(`${which} has no files.`);
  if (entries.length > limits.maxFiles) {
    const message = `${which} has ${entries.length} files; plugins.maxFiles is ${limits.maxFiles}.`;
    throw operateErrors.make('BEDS_OPERATE_TOO_LARGE', message);
  }
  let bytes = 0;
  const decoded = new Map<string, Buffer>();
  for (const [name, text] of entries) {
    if (text.length % 4 !== 0 || !BASE64.test(text)) throw invalid(`${which}: ${name} is not in base64.`);
    const content = Buffer.from(text, 'base64');
    bytes += content.length;
    decoded.set(name, content);
  }
  if (bytes <= limits.maxBundleBytes) return decoded;
  const message = `${which} has ${bytes} bytes; plugins.maxBundleBytes is ${limits.maxBundleBytes}.`;
  throw operateErrors.make('BEDS_OPERATE_TOO_LARGE', message);
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 5).map(({ path, code, message }) => {
    const text = code === 'unrecognized_keys' ? 'has a member that is not known' : message;
    return `${path.length === 0 ? 'It' : path.map(String).join('.').slice(0, 100)} ${text}`;
  });
  throw invalid(`${problems.join('; ')}.`);
}

function invalid(message: string): Error {
  return operateErrors.make('BEDS_OPERATE_INVALID', message);
}

type Defined<T> = T extends object ? { [K in keyof T]: Exclude<T[K], undefined> } : T;

/** What was left out stays out, instead of being there as undefined. */
function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Defined<T>;
}
