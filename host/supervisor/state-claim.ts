import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { admissionErrors } from '../errors/admission.js';

const FILE = 'host.pid';

/**
 * Claims the directory of stage and history for this process: two hosts would tell each other's history and clear away each
 * other's staged versions. Throws BEDS_ADMISSION_STATE_IN_USE while another live process holds it. Returns the release.
 */
export function claimState(directory: string): () => void {
  const path = join(directory, FILE);
  mkdirSync(directory, { recursive: true });
  const holder = holderOf(path);
  if (holder !== undefined && holder !== process.pid && isAlive(holder)) {
    throw admissionErrors.make(
      'BEDS_ADMISSION_STATE_IN_USE',
      `Process ${String(holder)} keeps its state in ${directory}.`,
    );
  }
  writeFileSync(path, String(process.pid), { mode: 0o600 });
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
