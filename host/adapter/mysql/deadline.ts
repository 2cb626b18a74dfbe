import { storeErrors } from '../../errors/store.js';
import type { CallOptions } from '../contract.js';
import type { Deadline } from '../deadline.js';
import type { Killer } from './killer.js';
import type { Progress } from './send.js';
import type { Session } from './session.js';

/** How long a write may still answer after it was told to stop; then nobody knows whether it was committed. */
export const STOP_GRACE_MS = 500;

export interface Bounded<T> {
  readonly session: Session;
  readonly killer: Killer;
  readonly deadline: Deadline;
  readonly mode: CallOptions['mode'];
  readonly progress: Progress;
  readonly work: Promise<T>;
}

/**
 * Waits for work on a session until the deadline; then stops it in the server and gives the session up. A read fails at
 * once with BEDS_STORE_TIMEOUT. A write first waits for how it ended: done after all, stopped (BEDS_STORE_TIMEOUT), or
 * not known (BEDS_STORE_INDETERMINATE).
 */
export async function withinDeadline<T>(bounded: Bounded<T>): Promise<T> {
  const { session, killer, deadline, work } = bounded;
  try {
    return await deadline.race(work);
  } catch (error) {
    const { reason } = deadline;
    if (reason === undefined || error !== reason) throw error;
    void killer.stop(session.connection.threadId);
    return await settle(bounded, reason);
  }
}

async function settle<T>({ session, mode, progress, work }: Bounded<T>, reason: Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    if (mode === 'read' || !progress.mayHaveCommitted) throw reason;
    const grace = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(storeErrors.make('BEDS_STORE_INDETERMINATE')), STOP_GRACE_MS);
    });
    return await Promise.race([work, grace]);
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
