import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Leftovers } from '../../host/template/template-timers.js';
import type { RetiredInMemory } from '../../host/template/retired-templates.js';
import { serveParent } from '../context/child.js';

/** After so many swaps, and a full collection of garbage. */
export interface MemorySample {
  readonly swaps: number;
  /** Of the thread. */
  readonly heapBytes: number;
  /** Of the process. */
  readonly rssBytes: number;
  /** Time of one swap, in milliseconds. */
  readonly swapMs: number;
  readonly bundleBytes: number;
  /** What the versions that ended had not ended by themselves. */
  readonly left: Leftovers;
  /** Versions that ended and were not given back. */
  readonly inMemory: readonly RetiredInMemory[];
}

/** An eighth of what a broker thread has by default: what is kept shows soon. */
const HEAP_MB = 64;
/** n.b. Node 24 lets it grow to more than the rest, where nothing limits it. */
const YOUNG_MB = 32;

const thread = new Worker(new URL('./memory-thread.js', import.meta.url), {
  resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB },
});

async function swap({ count }: { readonly count: number }): Promise<MemorySample> {
  thread.postMessage(count);
  const [sample] = (await once(thread, 'message')) as [MemorySample];
  return sample;
}

serveParent({ calls: { swap }, stop: () => thread.terminate() });
