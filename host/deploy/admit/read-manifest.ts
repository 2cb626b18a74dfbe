import { createHash } from 'node:crypto';
import { parseManifest, type Manifest } from '@beds/sdk';
import { type Finding, makeFinding } from '../../template/contract.js';

/** Longest manifest that is read at all. */
export const MAX_MANIFEST_BYTES = 262_144;

/** What identifies a bundle in history and messages, as far as its manifest can be read. */
export interface ManifestNames {
  /** SHA-256 of the manifest's bytes, hex. */
  readonly hash: string;
  readonly domain?: string;
  readonly version?: string;
}

export type ManifestReading =
  | { readonly state: 'valid'; readonly names: ManifestNames; readonly manifest: Manifest }
  /** Not JSON: more bytes may follow. */
  | { readonly state: 'unfinished'; readonly findings: readonly Finding[] }
  | { readonly state: 'invalid'; readonly names: ManifestNames; readonly findings: readonly Finding[] };

/** Valid ones by their hash: the same bytes are one manifest for ever, so that a swap parses it once. */
const known = new Map<string, ManifestReading>();
/** Far more than a host looks at again and again. */
const MOST_KNOWN = 1_000;

/** Reads the text of a manifest; reports everything that is wrong with it at once. */
export function readManifest(text: string): ManifestReading {
  const hash = sha256(text);
  const before = known.get(hash);
  if (before !== undefined) return before;
  const parsed = parseManifest(text);
  if (parsed.ok) {
    const { domain, version } = parsed.manifest;
    const reading: ManifestReading = { state: 'valid', names: { hash, domain, version }, manifest: parsed.manifest };
    known.set(hash, reading);
    const [oldest] = known.keys();
    if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
    return reading;
  }
  const findings = parsed.problems.map(({ field, message }) =>
    makeFinding('BEDS_ADMISSION_MANIFEST_INVALID', `Manifest: ${field.slice(0, 100)} ${message}.`),
  );
  const value = parseObject(text);
  if (value === undefined) return { state: 'unfinished', findings };
  const domain = nameOf(value['domain']);
  const version = nameOf(value['version']);
  const names = { hash, ...(domain && { domain }), ...(version && { version }) };
  return { state: 'invalid', names, findings };
}

/** Whether these are the bytes that the manifest names. */
export function checkHashes(manifest: Manifest, files: ReadonlyMap<string, Buffer>): Finding[] {
  return Object.entries(manifest.files).flatMap(([name, expected]) => {
    const bytes = files.get(name);
    if (bytes?.length !== expected.bytes) {
      return [incomplete(`${name} has ${bytes?.length ?? 0} bytes and should have ${expected.bytes}.`)];
    }
    if (sha256(bytes) === expected.sha256) return [];
    return [makeFinding('BEDS_ADMISSION_HASH_MISMATCH', `${name} has other bytes than were built.`)];
  });
}

export function incomplete(message: string): Finding {
  return makeFinding('BEDS_ADMISSION_INCOMPLETE', message);
}

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Names end up in messages: what does not look like a name is not repeated. */
function nameOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/.test(value) ? value : undefined;
}
