import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 25;

/** A process that cannot be mistaken for a later one with the same id. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time as the system gives it; empty where it could not be read. */
  readonly startedAt: string;
}

/** Identity of a running process; undefined when it is gone (or only waits to be reaped). */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startTimeFromProc(pid) : startTimeFromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export function isSameProcessAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startedAt === identity.startedAt;
}

// The command name in field 2 may hold spaces and parentheses, so fields count from the last ')'.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
function startTimeFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function startTimeFromPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5_000 });
    const text = line.trim();
    return text === '' || text.startsWith('Z') ? undefined : text.replace(/^\S+\s+/, '');
  } catch {
    return undefined;
  }
}

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
