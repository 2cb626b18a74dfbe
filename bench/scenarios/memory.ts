import { join } from 'node:path';
import { Child } from '../context/child.js';
import type { BenchContext, Scenario, Row } from '../contract.js';
import { toRow } from '../measure/rounds.js';
import type { MemorySample } from '../processes/memory.js';

const STEPS = 10;
/** Swaps of a step, for each millisecond that is measured in all: 200 by default, 1,000 with `--rounds 25`. */
const SWAPS_PER_MS = 200 / (5 * 700);
const MEGABYTE = 1_048_576;

/** What is kept of versions that ended. */
export const memoryScenario: Scenario = {
  name: 'memory',
  description: 'memory of a broker thread after many swaps of a 60 KB bundle that forgets its timers',
  need: [],
  timeLimitMs: 240_000,
  run: async (context) => {
    const child = new Child({
      program: 'memory',
      logFile: join(context.folder, 'memory.log'),
      nodeOptions: ['--expose-gc'],
    });
    context.atEnd(() => child.stop());
    const samples = await measure(context, child);
    sayMore(context, samples);
    return [
      ...toRows(samples, { subject: 'heap of the thread', of: ({ heapBytes }) => heapBytes / MEGABYTE }),
      ...toRows(samples, { subject: 'resident memory', of: ({ rssBytes }) => rssBytes / MEGABYTE }),
    ];
  },
};

async function measure(context: BenchContext, child: Child): Promise<readonly MemorySample[]> {
  const count = Math.max(10, Math.round(context.effort.rounds * context.effort.sliceMs * SWAPS_PER_MS));
  context.say(`${(count * STEPS).toLocaleString('en')} swaps`);
  const samples: MemorySample[] = [];
  for (let step = 0; step < STEPS; step++) {
    context.signal.throwIfAborted();
    samples.push(await child.call<MemorySample>('swap', { count }));
  }
  return samples;
}

interface Part {
  readonly subject: string;
  readonly of: (sample: MemorySample) => number;
}

/** Each step beside the first, when everything that is loaded once is there. */
function toRows([first, ...later]: readonly MemorySample[], part: Part): readonly Row[] {
  if (first === undefined) return [];
  const swaps = (sample: MemorySample): string => `${sample.swaps.toLocaleString('en')} swaps`;
  return later.map((sample) =>
    toRow(
      { subject: [sample], against: [first] },
      {
        scenario: 'memory',
        case: swaps(sample),
        against: `after ${swaps(first)}`,
        unit: 'MB',
        ...part,
        ...(sample === later.at(-1) ? { target: { ratioAtMost: 1.25 } } : {}),
      },
    ),
  );
}

function sayMore(context: BenchContext, samples: readonly MemorySample[]): void {
  const last = samples.at(-1);
  if (last === undefined) return;
  const perSwap = (of: (sample: MemorySample) => number): string => `${slope(samples, of).toFixed(0)} bytes`;
  const heap = perSwap(({ heapBytes }) => heapBytes);
  context.say(`each swap adds ${heap} of heap and ${perSwap(({ rssBytes }) => rssBytes)} of resident memory`);
  const { timers, intervals, immediates } = last.left;
  context.say(
    `${String(timers)} timers, ${String(intervals)} intervals and ${String(immediates)} immediates were ended for the ` +
      `versions; ${String(last.inMemory.length)} of the last versions are in memory; a swap took ${last.swapMs.toFixed(2)} ms`,
  );
}

/** Of the straight line that fits best. */
function slope(samples: readonly MemorySample[], of: (sample: MemorySample) => number): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanX = mean(samples.map(({ swaps }) => swaps));
  const meanY = mean(samples.map(of));
  const products = samples.map((sample) => (sample.swaps - meanX) * (of(sample) - meanY));
  return mean(products) / mean(samples.map(({ swaps }) => (swaps - meanX) ** 2));
}
