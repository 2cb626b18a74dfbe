import { parentPort, workerData } from 'node:worker_threads';
import { makeSwapProbe } from '../probes/swap-probe.js';
import type { MemorySample } from './memory.js';

/** Swaps as many times as a message says, and tells what is in memory then. */
const { head } = (workerData ?? {}) as { readonly head?: string };
const probe = await makeSwapProbe(head);
let swaps = 0;

parentPort?.on('message', (count: number) => {
  void run(count).then((sample) => parentPort?.postMessage(sample));
});

async function run(count: number): Promise<MemorySample> {
  const startedAtMs = performance.now();
  for (let n = 0; n < count; n++) await probe.swap();
  const swapMs = (performance.now() - startedAtMs) / count;
  swaps += count;
  // What ends with a turn of the loop is given back with the next collection.
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, rss } = process.memoryUsage();
  const { bundleBytes, left, retiredInMemory } = probe;
  return { swaps, heapBytes: heapUsed, rssBytes: rss, swapMs, bundleBytes, left, inMemory: retiredInMemory };
}
