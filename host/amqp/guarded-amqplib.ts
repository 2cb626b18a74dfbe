import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import type * as Amqplib from 'amqplib';
import { amqpErrors } from '../errors/amqp.js';

/**
 * amqplib decodes header tables by recursion: one 30 KB message whose tables nest about 5,000 deep overflows the stack,
 * closes the connection, is redelivered and does so again. It also sets the prototype of the decoded object from a header
 * named `__proto__`. This guard looks at the bytes first, without recursion, and replaces such tables by a mark.
 * Same class as CVE-2026-69220 in RabbitMQ's Java client, which limits the depth to 32.
 */

/** The deepest table that is decoded. */
export const MAX_HEADER_DEPTH = 32;

/** Stands in for the headers of a message whose tables are nested too deeply or name a prototype. */
export const MALFORMED_HEADERS = 'beds-malformed-headers';

interface Codec {
  decodeFields: (this: void, slice: Buffer) => Record<string, unknown>;
}

const FIXED_SIZES: Readonly<Record<string, number>> = {
  b: 1,
  B: 1,
  t: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
  d: 8,
  l: 8,
  T: 8,
  V: 0,
};

const PROTO = Buffer.from('__proto__');

/** Whether the bytes of a field table may be handed to the decoder. Malformed bytes may: it throws on them by itself. */
export function isHarmlessTable(slice: Buffer): boolean {
  const ends: { until: number; isTable: boolean }[] = [{ until: slice.length, isTable: true }];
  let offset = 0;
  for (;;) {
    let current = ends.at(-1);
    while (current !== undefined && offset >= current.until) {
      ends.pop();
      current = ends.at(-1);
    }
    if (current === undefined) return true;
    if (current.isTable) {
      const keyLength = slice[offset] ?? 0;
      if (keyLength === PROTO.length && slice.subarray(offset + 1, offset + 1 + keyLength).equals(PROTO)) return false;
      offset += 1 + keyLength;
    }
    if (offset >= slice.length) return true;
    const tag = String.fromCharCode(slice[offset] ?? 0);
    offset += 1;
    const fixed = FIXED_SIZES[tag];
    if (fixed !== undefined) {
      offset += fixed;
      continue;
    }
    if (offset + 4 > slice.length) return true;
    const length = slice.readUInt32BE(offset);
    offset += 4;
    if (tag === 'F' || tag === 'A') {
      if (ends.length >= MAX_HEADER_DEPTH) return false;
      ends.push({ until: offset + length, isTable: tag === 'F' });
    } else if (tag === 'S' || tag === 'x') {
      offset += length;
    } else {
      return true;
    }
  }
}

interface Definitions {
  encodeProperties(classId: number, channel: number, size: number, fields: Record<string, unknown>): Buffer;
  decode(classId: number, buffer: Buffer): { readonly headers?: Record<string, unknown> };
}

/** Class id of basic.*, and what precedes the properties in a content header frame: https://www.rabbitmq.com/amqp-0-9-1-reference */
const BASIC = 60;
const FRAME_HEADER_BYTES = 7 + 12;

/**
 * Loads amqplib with the guard in front of its decoder, proves that it took effect, and gives the module. It is a copy of
 * the host's own, because amqplib binds its decoder when it is loaded: whoever loaded it before (the SDK's client, say)
 * has one without the guard.
 */
function requireGuarded(): typeof Amqplib {
  const require = createRequire(import.meta.url);
  const entry = require.resolve('amqplib');
  const directory = dirname(entry);
  const loadedBefore = Object.entries(require.cache).filter(([path]) => path.startsWith(directory + sep));
  for (const [path] of loadedBefore) Reflect.deleteProperty(require.cache, path);
  const codec = require(join(directory, 'lib', 'codec.js')) as Codec;
  const decode = codec.decodeFields;
  codec.decodeFields = (slice) => (isHarmlessTable(slice) ? decode(slice) : { [MALFORMED_HEADERS]: true });
  assertGuarded(require(join(directory, 'lib', 'defs.js')) as Definitions);
  const amqplib = require(entry) as typeof Amqplib;
  // n.b. Node insists on finding what an `import` has parsed and not yet run.
  for (const [path, module] of loadedBefore) require.cache[path] = module;
  return amqplib;
}

/** Decodes a message's properties as a connection does. */
function assertGuarded(definitions: Definitions): void {
  let headers: Record<string, unknown> = {};
  for (let depth = 0; depth < MAX_HEADER_DEPTH + 8; depth++) headers = { t: headers };
  const frame = definitions.encodeProperties(BASIC, 1, 0, { headers });
  const decoded = definitions.decode(BASIC, frame.subarray(FRAME_HEADER_BYTES));
  if (decoded.headers?.[MALFORMED_HEADERS] !== true) throw amqpErrors.make('BEDS_AMQP_GUARD_MISSING');
}

const guarded = requireGuarded();

/** amqplib's, with the guard in front of its decoder. */
export const { connect } = guarded;
/**
 * What the SDK's client takes of amqplib besides: in what threads run there is one copy, this one (`bundleThreads` in `bootstrap.mjs`).
 *
 * @public
 */
export const { IllegalOperationError } = guarded;
