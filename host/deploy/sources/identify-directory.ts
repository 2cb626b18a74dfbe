import { lstat } from 'node:fs/promises';
import { admissionErrors } from '../../errors/admission.js';

const OTHERS_MAY_WRITE = 0o002n;

/**
 * Which directory the path leads to: another one under the same path is told apart. Throws
 * `BEDS_ADMISSION_DIRECTORY_UNSAFE`, or the system's error.
 */
export async function identifyDirectory(directory: string): Promise<string> {
  const stats = await lstat(directory, { bigint: true });
  if (!stats.isDirectory()) {
    const message = 'plugins.directory is not a real directory; nothing is taken from it.';
    throw admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE', message);
  }
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0n) {
    const message = 'Everyone on this machine may write to the plugin directory; nothing is taken from it.';
    throw admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE', message);
  }
  return `${stats.dev}:${stats.ino}`;
}
