import { isBedsError } from '@beds/sdk';
import { withTimeout } from '#sdk/time';
import { storeErrors } from '../../errors/store.js';
import type { CallOptions } from '../contract.js';
import type { Deadline } from '../deadline.js';
import { resultBudget } from '../result-budget.js';
import type { ResultHolder } from '../result-budget.js';
import type { Killer } from './killer.js';
import type { Pool } from './pool.js';
import { isDriverError } from './session.js';
import type { Session } from './session.js';
import { isConnectionLoss, toStoreError } from './store-error.js';
import type { Progress } from './work.js';

/** How long a write may still answer after it was told to stop; then nobody knows whether it was committed. */
const STOP_GRACE_MS = 500;

export interface SessionWork<T> {
  readonly mode: CallOptions['mode'];
  readonly progress: Progress;
  /** Names that an error may point at. */
  readonly args?: readonly string[];
  readonly holder?: ResultHolder | undefined;
  readonly run: (session: Session) => Promise<T>;
}

/** Lends a session to a piece of work: bounded, rolled back if it fails, and clean when it goes back. */
export class SessionRunner {
  readonly #pool: Pool;
  readonly #killer: Killer;

  constructor(pool: Pool, killer: Killer) {
    this.#pool = pool;
    this.#killer = killer;
  }

  async use<T>(deadline: Deadline, { mode, progress, args, holder, run }: SessionWork<T>): Promise<T> {
    const session = this.#pool.take(mode) ?? (await this.#pool.wait(deadline));
    if (!deadline.mayStart()) {
      // Nothing was sent: there is nothing to clean.
      this.#pool.release(session);
      throw deadline.reason ?? storeErrors.make('BEDS_STORE_TIMEOUT');
    }
    let failure: unknown;
    try {
      const remainingMs = deadline.remainingMs();
      const work = session.isPrepared(mode, remainingMs)
        ? run(session)
        : session.prepare(mode, remainingMs).then(() => {
            deadline.remainingMs();
            return run(session);
          });
      return await withinDeadline({ session, killer: this.#killer, deadline, mode, progress, work });
    } catch (error) {
      failure = toFailure(error, progress, args);
      if (session.refusal !== undefined)
        failure = await this.#giveUp(session, failure, mode === 'write' && progress.mayHaveCommitted);
      // A failed write is rolled back before its caller learns of it: its locks are gone when the caller tries again.
      if (mode === 'write' && session.alive) await this.#pool.clean(session).catch(() => session.destroy());
      throw failure;
    } finally {
      const heldBytes = session.handOver();
      if (heldBytes > 0) {
        if (holder !== undefined && failure === undefined) holder.hold(heldBytes);
        else resultBudget.giveBack(heldBytes);
      }
      this.#pool.release(session);
    }
  }

  /** Stops in the server what gave a result that is too large; of a write that may have been kept, says whether it was. */
  async #giveUp(session: Session, failure: unknown, mayBeKept: boolean): Promise<unknown> {
    void this.#killer.stop(session.connection.threadId);
    const end = mayBeKept ? await session.howItEnded(STOP_GRACE_MS) : 'undone';
    session.destroy();
    if (end === undefined) return storeErrors.make('BEDS_STORE_INDETERMINATE');
    if (end === 'undone') return failure;
    const message = 'The database gave more for one call than the host takes; what the call wrote was kept.';
    return storeErrors.make('BEDS_STORE_RESULT_TOO_LARGE', message);
  }
}

function toFailure(error: unknown, { mayHaveCommitted }: Progress, args: readonly string[] = []): unknown {
  const known = isBedsError(error) ? error : undefined;
  const lost =
    known === undefined ? isDriverError(error) && isConnectionLoss(error) : known.code === 'BEDS_STORE_UNAVAILABLE';
  if (mayHaveCommitted && lost) return storeErrors.make('BEDS_STORE_INDETERMINATE');
  return known === undefined && isDriverError(error) ? toStoreError(error, args) : error;
}

interface Bounded<T> {
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
async function withinDeadline<T>(bounded: Bounded<T>): Promise<T> {
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
  try {
    if (mode === 'read' || !progress.mayHaveCommitted) throw reason;
    return await withTimeout(work, STOP_GRACE_MS, () => storeErrors.make('BEDS_STORE_INDETERMINATE'));
  } finally {
    session.destroy();
  }
}
