import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { admissionErrors } from '../errors/admission.js';
import { publishFault } from '../observe/channels.js';

const FILE = 'host.pid';
/** No room for a number: what served must serve again all the same. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT'];

/**
 * Claims the directory of stage and history for this process: two hosts would tell each other's history and clear away each
 * other's staged versions. Throws BEDS_ADMISSION_STATE_IN_USE while another live process holds it, or BEDS_ADMISSION_STATE_UNWRITABLE; on a
 * full disk nothing is claimed, which is a fault on the diagnostics channel. Returns the release.
 */
export function claimState(directory: string): () => void {
  const path = join(directory, FILE);
  const holder = holderOf(path);
  if (holder !== undefined && holder !== process.pid && isAlive(holder)) {
    throw admissionErrors.make(
      'BEDS_ADMISSION_STATE_IN_USE',
      `Process ${String(holder)} keeps its state in ${directory}.`,
    );
  }
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, String(process.pid), { mode: 0o600 });
  } catch (cause) {
    const error = admissionErrors.make('BEDS_ADMISSION_STATE_UNWRITABLE', undefined, { cause });
    if (!FULL.includes((cause as NodeJS.ErrnoException).code)) throw error;
    publishFault({ where: 'claim of state.directory', error });
  }
  return () => {
    if (holderOf(path) === process.pid) rmSync(path, { force: true });
  };
}

function holderOf(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Alive, and another user's.
    return (error as { code?: unknown }).code === 'EPERM';
  }
}
