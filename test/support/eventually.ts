import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits, with a bound, until something holds. The bound is for what never does: it costs nothing, and a busy machine needs it. */
export async function eventually(
  what: string | (() => string),
  holds: () => unknown,
  withinMs = 30_000,
): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() >= untilMs) {
      assert.fail(`not within ${String(withinMs)} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await delay(10);
  }
}

/** Gives what must not happen the time in which it would: of nothing there is no event that could be awaited. */
export function quietFor(ms: number): Promise<void> {
  return delay(ms);
}

/** The end of a log, for whoever reads why something did not come. */
export function endOfLog(log: readonly object[]): string {
  return log
    .slice(-20)
    .map((line) => JSON.stringify(line))
    .join('\n');
}
