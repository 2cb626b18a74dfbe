import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';

interface MemorySample {
  readonly swaps: number;
  readonly left: Readonly<Record<string, number>>;
  readonly inMemory: readonly Readonly<Record<string, unknown>>[];
}

interface Swaps {
  readonly count: number;
  readonly heapMb: number;
  readonly head?: string;
}

/** Prepares, routes, asks and retires so many versions, one after the other, in a thread with a bounded heap. */
async function swapInThread(t: TestContext, { count, heapMb, head }: Swaps): Promise<MemorySample> {
  // Threads that are started from now on may ask for a collection.
  setFlagsFromString('--expose-gc');
  const file = new URL('../bench/processes/memory-thread.js', import.meta.url);
  const thread = new Worker(file, { workerData: { head }, resourceLimits: { maxOldGenerationSizeMb: heapMb } });
  t.after(() => thread.terminate());
  thread.postMessage(count);
  const [sample] = (await once(thread, 'message')) as [MemorySample];
  return sample;
}

describe('the memory of versions that have ended', () => {
  it('is given back: 1,000 swaps of more text than the heap holds', { timeout: 240_000 }, async (t) => {
    const { swaps, left, inMemory } = await swapInThread(t, { count: 1_000, heapMb: 64 });
    assert.equal(swaps, 1_000);
    // Each forgot an interval, a timer and a loop that waits; the last one serves.
    assert.deepEqual(left, { timers: 2 * 999, intervals: 999, immediates: 0 });
    assert.deepEqual(inMemory, []);
  });

  it('is missed, by name, where something that all share holds them', { timeout: 240_000 }, async (t) => {
    const head = `(Array.prototype[Symbol.for('shared')] ??= []).push(() => f3);`;
    const { inMemory } = await swapInThread(t, { count: 61, heapMb: 256, head });
    assert.equal(inMemory.length, 50, 'as many as are remembered');
    assert.equal(inMemory.at(-1)?.['generation'], 60);
    for (const { domain, version, generation, sinceMs, collections } of inMemory) {
      assert.equal(`${String(domain)}@${String(version)}`, `swapped@1.0.${String(generation)}`);
      assert.ok(Number(sinceMs) >= 0 && Number(collections) >= 2, `${String(sinceMs)} ${String(collections)}`);
    }
  });
});
