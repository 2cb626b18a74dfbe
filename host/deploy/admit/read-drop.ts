import { createHash } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { lstat, readdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isBedsError, type Manifest } from '@beds/sdk';
import { parseManifest } from '#sdk/template';
import { type AdmissionCode, admissionErrors } from '../../errors/admission.js';
import { type Finding, makeFinding } from '../../template/contract.js';
import type { Drop, RefusedDrop, WatchOptions } from './contract.js';

/**
 * What one look at a drop found. `incomplete` may become complete by more bytes; `malformed` will not, but is believed only
 * when nothing changes for a moment: tools that copy make odd intermediate states.
 */
export type Reading =
  | { readonly state: 'complete'; readonly drop: Drop }
  | { readonly state: 'incomplete' | 'malformed'; readonly drop: RefusedDrop; readonly findings: readonly Finding[] };

export interface DropPlace {
  readonly directory: string;
  readonly entry: string;
  readonly seen: Fingerprint;
}

/** The first line of a single-file bundle is this, then the manifest as JSON without a line break. */
const SINGLE_FILE_MARK = Buffer.from('//! beds-manifest ');
const NEW_LINE = 0x0a;

type Limits = Pick<WatchOptions, 'maxBundleBytes' | 'maxFiles'>;

/**
 * Reads the bytes once, and only when their sizes promise that they are complete. Rejects with the system's error only,
 * where nothing could be found out.
 */
export async function readDrop(place: DropPlace, limits: Limits): Promise<Reading> {
  const findings = [...place.seen.findings, ...checkLimits(place.seen, limits)];
  if (findings.length > 0) return refuse(place, 'malformed', findings);
  try {
    return place.seen.form === 'file' ? await readSingle(place) : await readFolder(place);
  } catch (error) {
    if (!isBedsError(error)) throw error;
    const finding = makeFinding(error.code as AdmissionCode, error.message);
    const state = error.code === 'BEDS_ADMISSION_INCOMPLETE' ? 'incomplete' : 'malformed';
    return refuse(place, state, [finding]);
  }
}

function checkLimits(seen: Fingerprint, limits: Limits): Finding[] {
  const bytes = [...seen.sizes.values()].reduce((sum, size) => sum + size, 0);
  const findings: Finding[] = [];
  if (bytes > limits.maxBundleBytes) {
    const message = `The bundle has ${bytes} bytes; plugins.maxBundleBytes is ${limits.maxBundleBytes}.`;
    findings.push(makeFinding('BEDS_ADMISSION_TOO_LARGE', message));
  }
  if (seen.sizes.size > limits.maxFiles) {
    const message = `The bundle has ${seen.sizes.size} files; plugins.maxFiles is ${limits.maxFiles}.`;
    findings.push(makeFinding('BEDS_ADMISSION_TOO_MANY_FILES', message));
  }
  return findings;
}

async function readSingle(place: DropPlace): Promise<Reading> {
  const { directory, entry, seen } = place;
  const bytes = await readRegularFile(join(directory, entry), entry, seen.sizes.get(entry) ?? 0);
  const head = bytes.subarray(0, MAX_MANIFEST_BYTES);
  const end = head.indexOf(NEW_LINE);
  const start = head.subarray(0, SINGLE_FILE_MARK.length);
  const isMarked = start.equals(SINGLE_FILE_MARK.subarray(0, start.length));
  if (!isMarked || (end === -1 && bytes.length >= MAX_MANIFEST_BYTES)) {
    const finding = makeFinding('BEDS_ADMISSION_MANIFEST_MISSING', 'The first line of the file is not a manifest.');
    return refuse(place, 'malformed', [finding]);
  }
  if (end === -1) return refuse(place, 'incomplete', [incomplete('The file ends within its manifest.')]);
  const manifestText = head.toString('utf8', SINGLE_FILE_MARK.length, end);
  const reading = readManifest(manifestText);
  if (reading.state !== 'valid') return refuseManifest(place, reading);
  const { entry: code, files } = reading.manifest;
  if (Object.keys(files).length !== 1) {
    const finding = makeFinding(
      'BEDS_ADMISSION_MANIFEST_INVALID',
      'The manifest of a single file names its entry only.',
    );
    return refuse(place, 'malformed', [finding], reading.names);
  }
  // n.b. the line's end belongs to the code, so that line numbers are those of the dropped file.
  return judge({ ...place, ...reading, manifestText, files: new Map([[code, bytes.subarray(end)]]) });
}

async function readFolder(place: DropPlace): Promise<Reading> {
  const { directory, entry, seen } = place;
  const size = seen.sizes.get('manifest.json');
  if (size === undefined) {
    const finding = makeFinding('BEDS_ADMISSION_MANIFEST_MISSING', 'The folder has no manifest.json.');
    return refuse(place, 'incomplete', [finding]);
  }
  const path = join(directory, entry, 'manifest.json');
  const limit = Math.min(size, MAX_MANIFEST_BYTES);
  const manifestText = (await readRegularFile(path, 'manifest.json', limit)).toString('utf8');
  const reading = readManifest(manifestText);
  if (reading.state !== 'valid') return refuseManifest(place, reading);
  const findings = compareNames(reading.manifest, seen);
  if (findings.length > 0) return refuse(place, 'incomplete', findings, reading.names);
  const files = new Map<string, Buffer>();
  for (const [name, { bytes }] of Object.entries(reading.manifest.files)) {
    files.set(name, await readRegularFile(join(directory, entry, name), name, bytes));
  }
  return judge({ ...place, ...reading, manifestText, files });
}

/** Sizes come before bytes: a slow copy is looked at many times and must not be read and hashed each time. */
function compareNames({ files }: Manifest, seen: Fingerprint): Finding[] {
  const lacking = Object.entries(files).flatMap(([name, { bytes }]) => {
    const found = seen.sizes.get(name);
    if (found === undefined) return [incomplete(`${name} is missing.`)];
    return found === bytes ? [] : [incomplete(`${name} has ${found} bytes and should have ${bytes}.`)];
  });
  const extra = [...seen.sizes.keys()].filter((name) => name !== 'manifest.json' && !Object.hasOwn(files, name));
  return [
    ...lacking,
    ...extra.map((name) => makeFinding('BEDS_ADMISSION_FILE_EXTRA', `${name} is not in the manifest.`)),
  ];
}

interface ReadBytes extends DropPlace {
  readonly names: ManifestNames;
  readonly manifest: Manifest;
  readonly manifestText: string;
  readonly files: ReadonlyMap<string, Buffer>;
}

function judge(read: ReadBytes): Reading {
  const { entry, seen, names, manifest, manifestText, files } = read;
  const findings = checkHashes(manifest, files);
  if (findings.length > 0) return refuse(read, 'incomplete', findings, names);
  const completeAt = Date.now();
  const drop: Drop = { entry, form: seen.form, hash: names.hash, manifest, manifestText, files, completeAt };
  return { state: 'complete', drop };
}

function refuse(
  { entry, seen }: DropPlace,
  state: 'incomplete' | 'malformed',
  ...[findings, names]: [findings: readonly Finding[], names?: ManifestNames]
): Reading {
  return { state, drop: { entry, form: seen.form, ...names }, findings };
}

function refuseManifest(place: DropPlace, reading: Exclude<ManifestReading, { state: 'valid' }>): Reading {
  if (reading.state === 'unfinished') return refuse(place, 'incomplete', reading.findings);
  return refuse(place, 'malformed', reading.findings, reading.names);
}

/** What the file system says of an entry without reading its bytes. Two equal `mark`s mean that nothing was touched. */
export interface Fingerprint {
  readonly form: 'file' | 'folder';
  readonly mark: string;
  /** Latest change of any part, milliseconds since 1970. */
  readonly changedAt: number;
  /** When the entry was made, milliseconds since 1970. */
  readonly bornAt: number;
  /** Files of a folder, or the entry itself, with their sizes. */
  readonly sizes: ReadonlyMap<string, number>;
  /** What is wrong with the entry whatever its bytes are. */
  readonly findings: readonly Finding[];
}

const ENTRY_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/;
/** What a file of a bundle may be called. */
export const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const OTHERS_MAY_WRITE = 0o002n;

/**
 * Undefined when there is no such entry, or when it is none of ours: a source folder, a text file, a hidden name. Rejects
 * with the system's error when that could not be found out: what cannot be looked at is not gone.
 */
export async function takeFingerprint(directory: string, entry: string): Promise<Fingerprint | undefined> {
  if (entry.startsWith('.')) return undefined;
  const stats = await lstatOrUndefined(join(directory, entry));
  if (stats === undefined) return undefined;
  if (stats.isDirectory()) return folderFingerprint(directory, entry, stats);
  if (!entry.endsWith('.mjs') && !(await isLinkToFolder(stats, join(directory, entry)))) return undefined;
  const findings = [...checkName(entry, ENTRY_NAME), ...checkFile(entry, stats)];
  return {
    form: 'file',
    mark: markOf(stats),
    changedAt: changedAt(stats),
    bornAt: Number(stats.birthtimeMs),
    sizes: new Map([[entry, Number(stats.size)]]),
    findings,
  };
}

async function folderFingerprint(
  directory: string,
  entry: string,
  folder: BigIntStats,
): Promise<Fingerprint | undefined> {
  const names = await readdir(join(directory, entry)).catch(absent);
  if (names === undefined) return undefined;
  const isSource = names.includes('template.ts') && !names.includes('manifest.json');
  if (isSource || !(names.includes('manifest.json') || names.includes('index.mjs'))) return undefined;
  const marks = [`${folder.dev}:${folder.ino}:${folder.mode}`];
  const sizes = new Map<string, number>();
  const findings = [...checkName(entry, ENTRY_NAME), ...checkWritable(entry, folder)];
  let latest = changedAt(folder);
  for (const name of names.sort()) {
    const stats = await lstatOrUndefined(join(directory, entry, name));
    if (stats === undefined) continue;
    marks.push(`${name}=${markOf(stats)}`);
    sizes.set(name, Number(stats.size));
    findings.push(...checkName(name, FILE_NAME), ...checkFile(name, stats));
    latest = Math.max(latest, changedAt(stats));
  }
  return {
    ...{ form: 'folder', mark: marks.join('|'), changedAt: latest, sizes, findings },
    bornAt: Number(folder.birthtimeMs),
  };
}

function checkName(name: string, allowed: RegExp): Finding[] {
  return allowed.test(name) ? [] : [makeFinding('BEDS_ADMISSION_NAME_INVALID', 'A name in the drop is not allowed.')];
}

function checkFile(name: string, stats: BigIntStats): Finding[] {
  if (!stats.isFile()) return [makeFinding('BEDS_ADMISSION_NOT_REGULAR', `${name} is not a plain file.`)];
  const linked = stats.nlink > 1n ? [makeFinding('BEDS_ADMISSION_HARD_LINK', `${name} has a second name.`)] : [];
  return [...linked, ...checkWritable(name, stats)];
}

function checkWritable(name: string, stats: BigIntStats): Finding[] {
  return (stats.mode & OTHERS_MAY_WRITE) === 0n
    ? []
    : [makeFinding('BEDS_ADMISSION_WRITABLE', `Everyone may write to ${name}.`)];
}

/** A linked folder is refused with a reason; a linked text file is nobody's business. */
async function isLinkToFolder(stats: BigIntStats, path: string): Promise<boolean> {
  if (!stats.isSymbolicLink()) return false;
  const names = await readdir(path).catch((): string[] => []);
  return names.includes('manifest.json');
}

function markOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.mode}:${stats.nlink}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}

function changedAt(stats: BigIntStats): number {
  return Number((stats.mtimeNs > stats.ctimeNs ? stats.mtimeNs : stats.ctimeNs) / 1_000_000n);
}

async function lstatOrUndefined(path: string): Promise<BigIntStats | undefined> {
  return lstat(path, { bigint: true }).catch(absent);
}

/** Nothing has that name. Any other error says nothing of what is there. */
function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

// n.b. without O_NONBLOCK, opening a pipe waits for a writer; without O_NOFOLLOW, a name could lead anywhere.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The bytes of a plain file with one name, at most `maxBytes`. Throws `BEDS_ADMISSION_NOT_REGULAR`, `_HARD_LINK`,
 * `_TOO_LARGE`, `_UNREADABLE`, or `_INCOMPLETE` when the file changed or went away meanwhile; the system's error where
 * nothing could be found out.
 */
async function readRegularFile(path: string, name: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, FLAGS).catch((error: unknown) => {
    throw openError(error, name);
  });
  try {
    const before = await file.stat({ bigint: true });
    if (!before.isFile()) throw admissionErrors.make('BEDS_ADMISSION_NOT_REGULAR', `${name} is not a plain file.`);
    if (before.nlink > 1n) throw admissionErrors.make('BEDS_ADMISSION_HARD_LINK', `${name} has a second name.`);
    if (before.size > maxBytes) throw admissionErrors.make('BEDS_ADMISSION_TOO_LARGE', `${name} is too large.`);
    const bytes = Buffer.alloc(Number(before.size));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const after = await file.stat({ bigint: true });
    if (bytesRead !== bytes.length || after.mtimeNs !== before.mtimeNs || after.size !== before.size) {
      throw admissionErrors.make('BEDS_ADMISSION_INCOMPLETE', `${name} changed while it was read.`);
    }
    return bytes;
  } finally {
    await file.close();
  }
}

function openError(error: unknown, name: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return admissionErrors.make('BEDS_ADMISSION_INCOMPLETE', `${name} went away.`);
  if (code === 'ELOOP' || code === 'EMLINK') {
    return admissionErrors.make('BEDS_ADMISSION_NOT_REGULAR', `${name} is a symbolic link.`);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return admissionErrors.make('BEDS_ADMISSION_UNREADABLE', `${name} cannot be read (${code}).`);
  }
  // It says nothing of the file: no descriptor is left, the volume does not answer.
  return error;
}

// The manifest, and the bytes that it names.

/** Longest manifest that is read at all. */
const MAX_MANIFEST_BYTES = 262_144;

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

function incomplete(message: string): Finding {
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
