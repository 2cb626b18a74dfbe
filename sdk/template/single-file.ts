import { createHash } from 'node:crypto';
import { parseManifest } from './check-manifest.js';
import type { DefinitionProblem } from './definition-rules.js';
import type { Manifest } from './manifest.js';

/**
 * A bundle in one file: a first line with the manifest, then code with its source map inline. The manifest covers what
 * follows it from the line's end on (so that line numbers are those of the file), which tells a copy that is still being
 * written from one that is complete.
 */
export type SingleFile =
  | { readonly state: 'complete'; readonly manifest: Manifest; readonly body: Uint8Array }
  | { readonly state: 'incomplete' }
  | { readonly state: 'invalid'; readonly problems: readonly DefinitionProblem[] };

const PREFIX = Buffer.from('//! beds-manifest ');
const MAX_HEADER_BYTES = 262_144;
const NEW_LINE = 0x0a;

/** A comment that holds the source map of the code before it. */
const INLINE_MAP = /\n\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/;

function refuse(field: string, message: string): SingleFile {
  return { state: 'invalid', problems: [{ field, message }] };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The name, size and hash that a manifest gives of these bytes. */
export function describeFile(bytes: Uint8Array): { readonly sha256: string; readonly bytes: number } {
  return { sha256: sha256(bytes), bytes: bytes.byteLength };
}

/** Puts the manifest in front of `body`, which begins with a line's end. */
export function writeSingleFile(manifest: Manifest, body: Uint8Array): Uint8Array {
  return Buffer.concat([PREFIX, Buffer.from(JSON.stringify(manifest)), body]);
}

/** Takes a single-file bundle apart and verifies its bytes. */
export function readSingleFile(bytes: Uint8Array): SingleFile {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = buffer.subarray(0, PREFIX.length);
  if (!start.equals(PREFIX.subarray(0, start.length))) {
    return refuse('manifest', `must be the first line, after "${PREFIX.toString().trim()}"`);
  }
  const end = buffer.indexOf(NEW_LINE);
  if (end < 0 && buffer.length <= MAX_HEADER_BYTES) return { state: 'incomplete' };
  if (end < 0 || end > MAX_HEADER_BYTES) return refuse('manifest', `must be shorter than ${MAX_HEADER_BYTES} bytes`);
  const parsed = parseManifest(buffer.toString('utf8', PREFIX.length, end));
  if (!parsed.ok) return { state: 'invalid', problems: parsed.problems };
  return verifyBody(parsed.manifest, buffer.subarray(end));
}

function verifyBody(manifest: Manifest, body: Uint8Array): SingleFile {
  const names = Object.keys(manifest.files);
  const expected = manifest.files[manifest.entry];
  if (expected === undefined || names.length !== 1) return refuse('files', 'must name the entry and nothing else');
  if (body.byteLength < expected.bytes) return { state: 'incomplete' };
  const field = `files.${manifest.entry}`;
  if (body.byteLength > expected.bytes) return refuse(field, 'is longer than the manifest says');
  if (sha256(body) !== expected.sha256) return refuse(field, 'does not have the hash that the manifest says');
  return { state: 'complete', manifest, body };
}

/** Takes the inline source map off a bundle's text. `sourceMap` is JSON; empty where there is none. */
export function splitSourceMap(text: string): { readonly code: string; readonly sourceMap: string } {
  const found = INLINE_MAP.exec(text);
  if (found?.[1] === undefined) return { code: text, sourceMap: '' };
  return { code: text.slice(0, found.index + 1), sourceMap: Buffer.from(found[1], 'base64').toString('utf8') };
}
