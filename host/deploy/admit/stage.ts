import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { admissionErrors } from '../../errors/admission.js';
import type { Drop } from './contract.js';
import { checkHashes, readManifest } from './read-drop.js';

/** The bytes of a bundle, wherever they came from: a drop or the stage. */
export type BundleBytes = Pick<Drop, 'hash' | 'manifest' | 'manifestText' | 'files'>;

/** A private copy of a bundle, named by its hash, that nothing in the plugin directory can change any more. */
export interface StagedBundle extends BundleBytes {
  /** Absolute path of the folder. */
  readonly directory: string;
}

export interface PruneOptions {
  readonly stageDirectory: string;
  /** Versions of each domain that stay, newest first. */
  readonly keepVersions: number;
  /** Hashes that stay whatever their age: what serves, drains or waits. */
  readonly inUse: ReadonlySet<string>;
}

/** A draft is renamed within moments of being made. */
const DRAFT_MAX_AGE_MS = 3_600_000;
const MANIFEST = 'manifest.json';
const HASH = /^[0-9a-f]{64}$/;

/**
 * Copies the bytes to `<stageDirectory>/<hash>`, whole or not at all. A copy that is there and intact is used again. Throws
 * `BEDS_ADMISSION_STAGE_UNWRITABLE`.
 */
export async function stageBundle(bytes: BundleBytes, stageDirectory: string): Promise<StagedBundle> {
  try {
    return await stage(bytes, stageDirectory);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code;
    const message = why === undefined ? undefined : `The bundle could not be copied to the stage (${why}).`;
    throw admissionErrors.make('BEDS_ADMISSION_STAGE_UNWRITABLE', message, { cause });
  }
}

async function stage(bytes: BundleBytes, stageDirectory: string): Promise<StagedBundle> {
  const directory = join(stageDirectory, bytes.hash);
  const existing = await loadStaged(bytes.hash, stageDirectory).catch(() => undefined);
  if (existing !== undefined) {
    const now = new Date();
    // n.b. it only says which copies are old; a disk that may be read is enough for what is there.
    await utimes(directory, now, now).catch(() => undefined);
    return existing;
  }
  const draft = join(stageDirectory, `.draft-${randomUUID()}`);
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    await writeFile(join(draft, 'manifest.json'), bytes.manifestText, { mode: 0o400 });
    for (const [name, content] of bytes.files) await writeFile(join(draft, name), content, { mode: 0o400 });
    await rm(directory, { recursive: true, force: true });
    await rename(draft, directory);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  const { hash, manifest, manifestText, files } = bytes;
  rememberDomain(hash, manifest.domain);
  return { hash, manifest, manifestText, files, directory };
}

/** Files of a bundle with its manifest, checked against the hash. Throws `BEDS_ADMISSION_STAGE_DAMAGED`. */
export function bundleOf(hash: string, all: ReadonlyMap<string, Buffer>): BundleBytes {
  const manifestText = all.get(MANIFEST)?.toString('utf8') ?? '';
  const reading = readManifest(manifestText);
  const files = new Map([...all].filter(([name]) => name !== MANIFEST));
  if (reading.state !== 'valid' || reading.names.hash !== hash)
    throw admissionErrors.make('BEDS_ADMISSION_STAGE_DAMAGED');
  const { manifest } = reading;
  const isWhole = Object.keys(manifest.files).length === files.size && checkHashes(manifest, files).length === 0;
  if (!isWhole) throw admissionErrors.make('BEDS_ADMISSION_STAGE_DAMAGED');
  return { hash, manifest, manifestText, files };
}

/** The files of a bundle, with its manifest. */
export function filesOf({ manifestText, files }: BundleBytes): ReadonlyMap<string, Buffer> {
  return new Map([[MANIFEST, Buffer.from(manifestText, 'utf8')], ...files]);
}

/** Reads a staged bundle and checks every byte. Throws `BEDS_ADMISSION_STAGE_DAMAGED`. */
export async function loadStaged(hash: string, stageDirectory: string): Promise<StagedBundle> {
  const damaged = (): Error => admissionErrors.make('BEDS_ADMISSION_STAGE_DAMAGED');
  if (!HASH.test(hash)) throw damaged();
  const directory = join(stageDirectory, hash);
  const manifestText = await readFile(join(directory, 'manifest.json'), 'utf8').catch(() => undefined);
  if (manifestText === undefined) throw damaged();
  const reading = readManifest(manifestText);
  if (reading.state !== 'valid' || reading.names.hash !== hash) throw damaged();
  const { manifest } = reading;
  const files = new Map<string, Buffer>();
  for (const name of Object.keys(manifest.files)) {
    const content = await readFile(join(directory, name)).catch(() => undefined);
    if (content !== undefined) files.set(name, content);
  }
  if (checkHashes(manifest, files).length > 0) throw damaged();
  return { hash, manifest, manifestText, files, directory };
}

/** Removes the oldest copies of each domain beyond `keepVersions`, and drafts that a killed host left behind. */
export async function pruneStage({ stageDirectory, keepVersions, inUse }: PruneOptions): Promise<void> {
  await removeOldDrafts(stageDirectory);
  const kept = new Map<string, number>();
  for (const { hash, domain } of await listStaged(stageDirectory)) {
    const count = (kept.get(domain) ?? 0) + 1;
    kept.set(domain, count);
    if (count > keepVersions && !inUse.has(hash)) await removeStaged(hash, stageDirectory);
  }
}

/** Out of the way first: the same bytes may be dropped again while the files go one by one. */
async function removeStaged(hash: string, stageDirectory: string): Promise<void> {
  const aside = join(stageDirectory, `.draft-${randomUUID()}`);
  await rename(join(stageDirectory, hash), aside).catch(() => undefined);
  await rm(aside, { recursive: true, force: true });
}

async function removeOldDrafts(stageDirectory: string): Promise<void> {
  const names = await readdir(stageDirectory).catch((): string[] => []);
  for (const name of names.filter((candidate) => candidate.startsWith('.draft-'))) {
    const path = join(stageDirectory, name);
    const ageMs = await stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    if (ageMs > DRAFT_MAX_AGE_MS) await rm(path, { recursive: true, force: true });
  }
}

/** Bytes of one hash are of one domain for ever: each manifest is read for it once. */
const domainsByHash = new Map<string, string>();
/** Far more than are ever staged; then all of them are read again. */
const MOST_REMEMBERED = 10_000;

function rememberDomain(hash: string, domain: string): void {
  if (domainsByHash.size > MOST_REMEMBERED) domainsByHash.clear();
  domainsByHash.set(hash, domain);
}

async function listStaged(stageDirectory: string): Promise<{ hash: string; domain: string }[]> {
  const names = await readdir(stageDirectory).catch((): string[] => []);
  const staged = await Promise.all(
    names
      .filter((name) => HASH.test(name))
      .map(async (hash) => {
        const domain = domainsByHash.get(hash) ?? (await readDomain(hash, stageDirectory));
        // Another domain's pruning may have taken it meanwhile.
        const mtimeMs = await stat(join(stageDirectory, hash)).then(
          (stats) => stats.mtimeMs,
          () => 0,
        );
        return { hash, domain, mtimeMs };
      }),
  );
  return staged.sort((a, b) => b.mtimeMs - a.mtimeMs);
}

async function readDomain(hash: string, stageDirectory: string): Promise<string> {
  const text = await readFile(join(stageDirectory, hash, 'manifest.json'), 'utf8').catch(() => '');
  const reading = readManifest(text);
  if (reading.state !== 'valid' || reading.names.hash !== hash) return 'unknown';
  const { domain } = reading.manifest;
  rememberDomain(hash, domain);
  return domain;
}
