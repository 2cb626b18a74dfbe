import { join } from 'node:path';
import { isBedsError, type Manifest } from '@beds/sdk';
import type { Finding } from '../../template/contract.js';
import { makeFinding } from '../../template/make-finding.js';
import type { AdmissionCode } from '../../errors/admission.js';
import type { Drop, RefusedDrop, WatchOptions } from '../admit/contract.js';
import type { Fingerprint } from './fingerprint.js';
import {
  MAX_MANIFEST_BYTES,
  readManifest,
  sha256,
  type ManifestNames,
  type ManifestReading,
} from '../admit/read-manifest.js';
import { readRegularFile } from './read-regular-file.js';

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

function incomplete(message: string): Finding {
  return makeFinding('BEDS_ADMISSION_INCOMPLETE', message);
}
