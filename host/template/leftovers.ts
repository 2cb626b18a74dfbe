/** What a version still held when its last request was done and its `teardown` had run: what its author forgot to end. */
export interface Leftovers {
  /** Timers that had not fired, and waits of node:timers/promises. */
  readonly timers: number;
  readonly intervals: number;
  /** setImmediate calls that had not run: a loop of them never ends by itself. */
  readonly immediates: number;
}

export const NO_LEFTOVERS: Leftovers = Object.freeze({ timers: 0, intervals: 0, immediates: 0 });

export function addLeftovers(a: Leftovers, b: Leftovers): Leftovers {
  return {
    timers: a.timers + b.timers,
    intervals: a.intervals + b.intervals,
    immediates: a.immediates + b.immediates,
  };
}

export function isNothing({ timers, intervals, immediates }: Leftovers): boolean {
  return timers + intervals + immediates === 0;
}

/** `2 intervals, 1 timer`; empty where nothing was left. */
export function describeLeftovers(left: Leftovers): string {
  const words = { intervals: 'interval', timers: 'timer', immediates: 'immediate' } as const;
  return (['intervals', 'timers', 'immediates'] as const)
    .filter((kind) => left[kind] > 0)
    .map((kind) => `${String(left[kind])} ${words[kind]}${left[kind] === 1 ? '' : 's'}`)
    .join(', ');
}
