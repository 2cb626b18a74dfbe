import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFinding } from '../../template/make-finding.js';
import type { Finding } from '../../template/contract.js';

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
