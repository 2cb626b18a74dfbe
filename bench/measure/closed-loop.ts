import assert from 'node:assert/strict';
import { withTimeout } from '#sdk/time';
import type { Sample } from '../contract.js';

export interface Load {
  /** Operations under way at any time; the next begins when one ends. */
  readonly inFlight: number;
  readonly durationMs: number;
}

/** What a closed loop came to. */
export interface LoopSample extends Sample {
  readonly operations: number;
}

/** Beyond the slice itself; whoever answers nothing for so long has stopped. */
const DRAIN_TIMEOUT_MS = 15_000;

/** Runs an operation over and over, with a fixed number under way. Rejects with the first failure, or when answers stop. */
export async function closedLoop(operation: () => Promise<unknown>, load: Load): Promise<LoopSample> {
  const { inFlight, durationMs } = load;
  const latenciesMs: number[] = [];
  const startedAt = performance.now();
  const until = startedAt + durationMs;
  const lane = async (): Promise<void> => {
    for (let askedAt = performance.now(); askedAt < until;) {
      await operation();
      const now = performance.now();
      latenciesMs.push(now - askedAt);
      askedAt = now;
    }
  };
  const lanes = Promise.all(Array.from({ length: inFlight }, lane));
  const message = `operations were still unanswered ${DRAIN_TIMEOUT_MS} ms after their slice`;
  await withTimeout(lanes, durationMs + DRAIN_TIMEOUT_MS, () => new assert.AssertionError({ message }));
  const seconds = (performance.now() - startedAt) / 1_000;
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number => latenciesMs[Math.floor((latenciesMs.length - 1) * share)] ?? 0;
  const operations = latenciesMs.length;
  return { operations, perSecond: operations / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}
