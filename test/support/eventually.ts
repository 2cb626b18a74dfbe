import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits, with a bound, until something holds. */
export async function eventually(what: string, holds: () => unknown, withinMs = 10_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!(await holds())) {
    assert.ok(performance.now() < untilMs, `not within ${String(withinMs)} ms: ${what}`);
    await delay(10);
  }
}
