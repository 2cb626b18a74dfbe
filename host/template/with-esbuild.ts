import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { stop } from 'esbuild';
import { putBehindRequests } from './behind-requests.js';

/** Rises each time the helper process was found dead and given up. */
let epoch = 0;

/**
 * Runs work that uses esbuild, once more if its helper process died. n.b. esbuild starts that process once and never again
 * by itself: without this a host whose helper was killed could not admit another bundle.
 */
export async function withEsbuild<T>(work: () => Promise<T>): Promise<T> {
  const begun = epoch;
  try {
    return await watched(work);
  } catch (error) {
    if (!isServiceGone(error)) throw error;
    // Of several calls that failed together, one gives the old process up; the others must not stop the new one.
    if (begun === epoch) {
      epoch += 1;
      await stop();
    }
    return await watched(work);
  }
}

/** The helper starts with the first work, takes all processors that it can get, and must not take them from requests. */
async function watched<T>(work: () => Promise<T>): Promise<T> {
  let helper: ChildProcess | undefined;
  const note = (message: unknown): void => {
    helper = (message as { readonly process: ChildProcess }).process;
  };
  subscribe('child_process', note);
  let working: Promise<T>;
  try {
    // n.b. esbuild starts the process before this returns.
    working = work();
  } finally {
    unsubscribe('child_process', note);
  }
  const result = await working;
  // Only now, when it has all its threads.
  if (helper?.pid !== undefined) putBehindRequests(helper.pid);
  return result;
}

function isServiceGone(error: unknown): boolean {
  return error instanceof Error && /^The service (?:was stopped|is no longer running)/.test(error.message);
}
