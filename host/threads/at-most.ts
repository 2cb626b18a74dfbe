import { setTimeout as delay } from 'node:timers/promises';

/** Waits for the work, at most `ms`. Rejects when the work does. */
export async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  const waiting = new AbortController();
  const timeout = delay(ms, undefined, { ref: false, signal: waiting.signal }).catch(() => undefined);
  try {
    await Promise.race([work, timeout]);
  } finally {
    waiting.abort();
  }
}
