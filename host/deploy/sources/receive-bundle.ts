import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rolloutErrors } from '../../errors/rollout.js';
import type { Finding } from '../../template/contract.js';
import type { WatchOptions } from '../admit/contract.js';
import { FILE_NAME, takeFingerprint, readDrop } from '../admit/read-drop.js';
import type { BundleBytes } from '../admit/stage.js';
import type { BundleFiles } from '../../admin/contract.js';

/**
 * Makes a bundle of the files that an operator sent, checked as one that was dropped: they are laid down in a folder of the
 * host's own and read from there. Throws BEDS_ROLLOUT_BUNDLE_INVALID with everything that is wrong.
 */
export async function receiveBundle(
  files: BundleFiles,
  {
    directory,
    limits,
  }: { readonly directory: string; readonly limits: Pick<WatchOptions, 'maxBundleBytes' | 'maxFiles'> },
): Promise<BundleBytes> {
  const names = [...files.keys()];
  const wrong = names.filter((name) => !FILE_NAME.test(name));
  if (wrong.length > 0 || names.length === 0)
    throw invalid(`${String(wrong.length)} of its file names are not allowed.`);
  const incoming = join(directory, 'incoming', randomUUID());
  const isFolder = files.has('manifest.json');
  const [first = ''] = names;
  const entry = isFolder ? 'bundle' : first;
  if (!isFolder && names.length > 1) throw invalid('A bundle of several files has a manifest.json.');
  const home = isFolder ? join(incoming, entry) : incoming;
  try {
    await mkdir(home, { recursive: true, mode: 0o700 });
    for (const [name, bytes] of files) await writeFile(join(home, name), bytes, { mode: 0o600 });
    const seen = await takeFingerprint(incoming, entry);
    if (seen === undefined) throw invalid('It holds no file that a bundle has.');
    const reading = await readDrop({ directory: incoming, entry, seen }, limits);
    if (reading.state !== 'complete') throw invalid(wordsOf(reading.findings));
    const { hash, manifest, manifestText, files: read } = reading.drop;
    return { hash, manifest, manifestText, files: read };
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
}

function wordsOf(findings: readonly Finding[]): string {
  return findings.map(({ code, message }) => `${message} (${code})`).join(' ');
}

function invalid(message: string): Error {
  return rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', message);
}
