import { stop } from 'esbuild';

/** Rises each time the helper process was found dead and given up. */
let epoch = 0;

/**
 * Runs work that uses esbuild, once more if its helper process died. n.b. esbuild starts that process once and never again
 * by itself: without this a host whose helper was killed could not admit another bundle.
 */
export async function withEsbuild<T>(work: () => Promise<T>): Promise<T> {
  const begun = epoch;
  try {
    return await work();
  } catch (error) {
    if (!isServiceGone(error)) throw error;
    // Of several calls that failed together, one gives the old process up; the others must not stop the new one.
    if (begun === epoch) {
      epoch += 1;
      await stop();
    }
    return await work();
  }
}

function isServiceGone(error: unknown): boolean {
  return error instanceof Error && /^The service (?:was stopped|is no longer running)/.test(error.message);
}
