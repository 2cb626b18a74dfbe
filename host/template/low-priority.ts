import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** How much nicer what prepares versions is: about a third of the time of a thread that answers requests, where both want it. */
const NICER_BY = 5;
const NICEST = 19;

/**
 * Starts a thread that runs behind those that answer requests, from its first moment on. Where the system does not list its
 * threads, or it is not clear which one is new, the thread runs like all others.
 */
export function startAtLowPriority<T>(start: () => T): T {
  const before = new Set(listThreads('self'));
  const started = start();
  const [fresh, ...others] = before.size === 0 ? [] : listThreads('self').filter((thread) => !before.has(thread));
  if (fresh !== undefined && others.length === 0) lower(fresh);
  return started;
}

/** Lets another process run behind the threads that answer requests. */
export function lowerPriority(pid: number): void {
  const threads = listThreads(pid);
  // n.b. on Linux each thread has a priority of its own, which those that it starts inherit.
  for (const thread of threads.length === 0 ? [pid] : threads) lower(thread);
}

function listThreads(pid: number | 'self'): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

function lower(id: number): void {
  try {
    // n.b. from where the host itself is: one that was started with a niceness of its own must not be overtaken.
    setPriority(id, Math.min(NICEST, getPriority() + NICER_BY));
  } catch {
    // It has ended, or the system does not allow it: it runs like all others.
  }
}
