import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcessAlive, type ProcessIdentity } from '../process-identity.js';

const POLL_MS = 25;

/** Sends a signal only if the process is still the one meant. Returns false when it was not there. */
function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals, group = false): boolean {
  if (!isSameProcessAlive(identity)) return false;
  try {
    process.kill(group ? -identity.pid : identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Ends processes that are not children of this one: SIGTERM, and SIGKILL to what is left after `graceMs`.
 * Resolves when they are gone, at the latest 5 s after the SIGKILL.
 */
export async function endProcesses(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const signalled = processes.filter((each) => signalProcess(each, 'SIGTERM'));
  const left = await waitGone(signalled, graceMs);
  for (const each of left) if (!signalProcess(each, 'SIGKILL', true)) signalProcess(each, 'SIGKILL');
  await waitGone(left, 5_000);
}

/** Resolves to those still alive after `timeoutMs`. */
async function waitGone(processes: readonly ProcessIdentity[], timeoutMs: number): Promise<ProcessIdentity[]> {
  const deadline = Date.now() + timeoutMs;
  let left = processes.filter(isSameProcessAlive);
  while (left.length > 0 && Date.now() < deadline) {
    await delay(POLL_MS);
    left = left.filter(isSameProcessAlive);
  }
  return left;
}
