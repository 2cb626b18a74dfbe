import type { Worker } from 'node:worker_threads';
import { settlesWithin } from '#sdk/time';

/** How long a thread may take to end: a busy machine needs some time for what usually takes none. */
const ENDS_WITHIN_MS = 5_000;
const abandoned = new Set<Worker>();

/**
 * Ends a thread; false where it does not end. Only JavaScript can be interrupted: a call into native code (`pbkdf2Sync` with too many
 * rounds, a prime of too many bits) goes on until it is done, which may be never. No JavaScript runs there any more, so whoever
 * waits for the end goes on without it.
 */
export async function endThread(worker: Worker): Promise<boolean> {
  if (await settlesWithin(worker.terminate(), ENDS_WITHIN_MS)) return true;
  abandon(worker);
  return false;
}

/** n.b. Node would wait for the thread, and for what it prints, before the process ends. */
function abandon(worker: Worker): void {
  worker.unref();
  for (const printed of [worker.stdout, worker.stderr]) printed.push(null);
  if (abandoned.size === 0) process.on('exit', endHard);
  abandoned.add(worker);
  worker.once('exit', () => {
    abandoned.delete(worker);
    if (abandoned.size === 0) process.off('exit', endHard);
  });
}

function endHard(): void {
  process.kill(process.pid, 'SIGKILL');
}
