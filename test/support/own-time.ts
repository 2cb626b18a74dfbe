const TICK_MS = 10;

let nowMs = 0;
let lastMs = performance.now();

setInterval(() => {
  const atMs = performance.now();
  nowMs += Math.min(atMs - lastMs, 2 * TICK_MS);
  lastMs = atMs;
}, TICK_MS).unref();

/**
 * A clock that all but stands still while the machine leaves this process no time. What must happen soon is bounded by it:
 * on a busy machine everything is late, and this clock with it.
 */
export function ownTimeMs(): number {
  return nowMs;
}
