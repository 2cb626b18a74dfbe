import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { admissionErrors } from '../../errors/admission.js';

// n.b. without O_NONBLOCK, opening a pipe waits for a writer; without O_NOFOLLOW, a name could lead anywhere.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The bytes of a plain file with one name, at most `maxBytes`. Throws `BEDS_ADMISSION_NOT_REGULAR`, `_HARD_LINK`,
 * `_TOO_LARGE`, `_UNREADABLE`, or `_INCOMPLETE` when the file changed or went away meanwhile; the system's error where
 * nothing could be found out.
 */
export async function readRegularFile(path: string, name: string, maxBytes: number): Promise<Buffer> {
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
