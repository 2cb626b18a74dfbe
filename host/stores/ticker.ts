const TICK_MS = 10;

/** Something that ends by itself when its time has come. */
export interface Ticking {
  /** `nowMs` is of performance.now(). */
  tick(nowMs: number): void;
}

const ticking = new Set<Ticking>();
let timer: NodeJS.Timeout | undefined;

/** One timer looks at all calls of a thread every 10 ms: for each to have one of its own costs more than the looking. */
export const ticker = {
  add(entry: Ticking): void {
    ticking.add(entry);
    timer ??= setInterval(tickAll, TICK_MS);
  },
  remove(entry: Ticking): void {
    ticking.delete(entry);
  },
};

function tickAll(): void {
  const nowMs = performance.now();
  for (const entry of ticking) entry.tick(nowMs);
  // n.b. not stopped with the last entry but with a tick that finds none: the next call mostly comes at once.
  if (ticking.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
