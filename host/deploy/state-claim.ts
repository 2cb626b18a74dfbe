import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { admissionErrors } from '../errors/admission.js';
import { publishFault } from '../observe/channels.js';
import { identify, isSameProcessAlive, type ProcessIdentity } from '../process-identity.js';

const FILE = 'host.pid';
/** No room for a number: what served must serve again all the same. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT'];

/**
 * Claims the directory of stage and history for this process: two hosts would tell each other's history and clear away each
 * other's staged versions. A process is known by its id and its start: after a crash in a container, the next one often has the same id. Throws BEDS_ADMISSION_STATE_IN_USE while another live process holds it, or BEDS_ADMISSION_STATE_UNWRITABLE; on a
 * full disk nothing is claimed, which is a fault on the diagnostics channel. Returns the release.
 */
export function claimState(directory: string): () => void {
  const path = join(directory, FILE);
  const holder = holderOf(path);
  if (holder !== undefined && holder.pid !== process.pid && isSameProcessAlive(holder)) {
    throw admissionErrors.make(
      'BEDS_ADMISSION_STATE_IN_USE',
      `Process ${String(holder.pid)} keeps its state in ${directory}.`,
    );
  }
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, `${String(process.pid)} ${identify(process.pid)?.startedAt ?? ''}\n`, { mode: 0o600 });
  } catch (cause) {
    const error = admissionErrors.make('BEDS_ADMISSION_STATE_UNWRITABLE', undefined, { cause });
    if (!FULL.includes((cause as NodeJS.ErrnoException).code)) throw error;
    publishFault({ where: 'claim of state.directory', error });
  }
  return () => {
    if (holderOf(path)?.pid === process.pid) rmSync(path, { force: true });
  };
}

function holderOf(path: string): ProcessIdentity | undefined {
  try {
    const [, pid, startedAt] = /^(\d{1,10}) (.*)\n$/.exec(readFileSync(path, 'utf8')) ?? [];
    return pid === undefined || startedAt === undefined ? undefined : { pid: Number(pid), startedAt };
  } catch {
    return undefined;
  }
}
