import { storeErrors } from '../../errors/store.js';
import type { CallOptions } from '../contract.js';
import type { Killer } from './killer.js';
import type { Session } from './session.js';

const EXPIRED = Symbol('expired');

/** How long a write may still answer after it was told to stop; then nobody knows whether it was committed. */
const STOP_GRACE_MS = 500;

/** When the work has to be over. */
export class Deadline {
  readonly mode: CallOptions['mode'];
  readonly signal: AbortSignal | undefined;
  readonly #expiresAt: number;

  constructor({ timeoutMs, signal, mode }: CallOptions) {
    this.mode = mode;
    this.signal = signal;
    this.#expiresAt = performance.now() + timeoutMs;
  }

  /** Milliseconds left, at least 1. Throws BEDS_STORE_TIMEOUT when none are, or the caller has given up. */
  remainingMs(): number {
    const left = this.#expiresAt - performance.now();
    if (left <= 0 || this.signal?.aborted === true) throw storeErrors.make('BEDS_STORE_TIMEOUT');
    return Math.max(1, left);
  }

  /** Waits a little, at most until the deadline. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, Math.min(ms, this.remainingMs())));
  }
}

export interface Bounded<T> {
  readonly session: Session;
  readonly killer: Killer;
  readonly deadline: Deadline;
  /** Whether the session may have been told to commit. */
  readonly mayHaveCommitted: () => boolean;
  readonly run: () => Promise<T>;
}

/**
 * Runs work on a session until the deadline or the caller's signal; then stops it in the server and gives the session
 * up. A read fails at once with BEDS_STORE_TIMEOUT. A write first waits for how it ended: done after all, stopped
 * (BEDS_STORE_TIMEOUT), or not known (BEDS_STORE_INDETERMINATE).
 */
export async function withinDeadline<T>(bounded: Bounded<T>): Promise<T> {
  const { session, killer, deadline, run } = bounded;
  const { signal } = deadline;
  let expire: (() => void) | undefined;
  const expired = new Promise<typeof EXPIRED>((resolve) => (expire = () => resolve(EXPIRED)));
  const timer = setTimeout(() => expire?.(), deadline.remainingMs());
  const onAbort = (): void => expire?.();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const work = run();
    const outcome = await Promise.race([work, expired]);
    if (outcome !== EXPIRED) return outcome;
    void killer.stop(session.connection.threadId);
    return await settle(bounded, work);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

async function settle<T>(bounded: Bounded<T>, work: Promise<T>): Promise<T> {
  const { session, deadline, mayHaveCommitted } = bounded;
  if (deadline.mode === 'read' || !mayHaveCommitted()) {
    work.catch(() => undefined);
    session.destroy();
    throw storeErrors.make('BEDS_STORE_TIMEOUT');
  }
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise<typeof EXPIRED>((resolve) => {
    timer = setTimeout(() => resolve(EXPIRED), STOP_GRACE_MS);
  });
  try {
    const outcome = await Promise.race([work, grace]);
    if (outcome !== EXPIRED) return outcome;
    work.catch(() => undefined);
    throw storeErrors.make('BEDS_STORE_INDETERMINATE');
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
