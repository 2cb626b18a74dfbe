/** Waits with a bound, and the pause between attempts: said once for the host and the SDK. It is no door of the package. */

/** Settles as `work` does, or rejects with what `makeError` makes when that takes longer. What nobody waits for any more may fail as it likes. */
export function withTimeout<T>(work: Promise<T>, timeoutMs: number, makeError: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(makeError()), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Whether `work` ended in time, well or badly. Never rejects. */
export function settlesWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs, false);
    const settled = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    work.then(settled, settled);
  });
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, signal.aborted ? 0 : ms);
    signal.addEventListener('abort', wake);
  });
}

/**
 * Wait before attempt `attempt` (0 is the first retry): exponential with full jitter, so that many who lost the same server
 * do not come back in step. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(attempt: number, range: { readonly minMs: number; readonly maxMs: number }): number {
  const ceilingMs = Math.min(range.maxMs, range.minMs * 2 ** Math.min(attempt, 20));
  return Math.max(1, Math.round(Math.random() * ceilingMs));
}
