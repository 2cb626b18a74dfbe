import { randomBytes } from 'node:crypto';
import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { servicesErrors } from '../errors/dev-servers.js';
import { identify, isSameProcessAlive, type ProcessIdentity } from './processes.js';
import { makePrivateFolder, readJson } from './server-folder.js';

export interface LockOptions {
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** Called once, when another process holds the lock. */
  readonly onWait: (holderPid: number) => void;
}

/**
 * Runs `work` while no other process holds the lock file. The lock of a dead process counts as free.
 * Throws BEDS_SERVICES_BUSY after `waitMs`.
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const release = await acquire(file, options);
  try {
    return await work();
  } finally {
    release();
  }
}

async function acquire(file: string, options: LockOptions): Promise<() => void> {
  makePrivateFolder(dirname(file));
  const deadline = Date.now() + options.waitMs;
  let told = false;
  for (;;) {
    if (take(file)) return () => rmSync(file, { force: true });
    const holder = readJson(file) as ProcessIdentity | undefined;
    if (holder !== undefined && !isSameProcessAlive(holder)) {
      removeStale(file, holder);
      continue;
    }
    if (!told && holder !== undefined) options.onWait(holder.pid);
    told = true;
    if (Date.now() > deadline) {
      throw servicesErrors.make('BEDS_SERVICES_BUSY', `Process ${String(holder?.pid)} has held ${file} for too long.`);
    }
    await delay(100, undefined, { signal: options.signal });
  }
}

// A link appears with its content at once and fails if the name is taken: there is never a lock without a holder in it.
function take(file: string): boolean {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, JSON.stringify(identify(process.pid)), { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

// Two may judge the same lock stale: the second would take away the new lock of the first, so it looks at what it took.
function removeStale(file: string, holder: ProcessIdentity): void {
  const taken = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(file, taken);
    const found = readJson(taken) as ProcessIdentity | undefined;
    if (found?.pid !== holder.pid || found.startedAt !== holder.startedAt) linkSync(taken, file);
  } catch {
    // Somebody else was quicker; the caller looks again.
  } finally {
    rmSync(taken, { force: true });
  }
}
