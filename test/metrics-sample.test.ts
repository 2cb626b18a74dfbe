import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Sampler } from '../host/metrics/sample.js';
import { UsageBook, WHOLE } from '../host/metrics/usage-book.js';
import type { ThreadPool } from '../host/threads/pool.js';

const MB = 1_048_576;

interface Thread {
  readonly heapMb: number;
  /** Requests in flight by the domains that the thread serves. */
  readonly serves: Readonly<Record<string, number>>;
}

/** Threads that say this of themselves; undefined: one that does not answer. */
function poolOf(threads: readonly (Thread | undefined)[]): ThreadPool {
  const all = threads.map((thread, index) => ({
    group: 'default',
    handle: {
      ...{ name: `t${String(index)}`, state: 'ready' },
      status: () =>
        thread === undefined
          ? Promise.reject(new TypeError('it does not answer'))
          : Promise.resolve({
              heapBytes: thread.heapMb * MB,
              generations: Object.entries(thread.serves).map(([domain, inFlight]) => ({ domain, inFlight })),
              waitingWrites: [],
            }),
    },
  }));
  return { all } as unknown as ThreadPool;
}

async function memoryOf(threads: readonly (Thread | undefined)[]): Promise<Readonly<Record<string, number>>> {
  const pool = poolOf(threads);
  const samples = await new Sampler({ pool: () => pool, usage: new UsageBook() }).take();
  return Object.fromEntries(samples.map(({ domain, memoryMb }) => [domain, memoryMb]));
}

describe('the memory in a sample', () => {
  it('is that of all threads that serve one domain alone', async () => {
    const memory = await memoryOf([
      { heapMb: 10, serves: { cities: 0 } },
      { heapMb: 21, serves: { cities: 3 } },
      { heapMb: 7, serves: { orders: 0 } },
    ]);
    assert.deepEqual([memory['cities'], memory['orders']], [31, 7]);
  });

  it('counts no thread that a domain shares, that serves nothing, or that does not answer', async () => {
    const memory = await memoryOf([
      { heapMb: 10, serves: { cities: 1 } },
      { heapMb: 500, serves: { cities: 1, orders: 1 } },
      { heapMb: 900, serves: {} },
      undefined,
    ]);
    assert.deepEqual([memory['cities'], memory['orders']], [10, 0]);
  });

  it('is of the whole node what the system says, not the sum of its heaps', async () => {
    const memory = await memoryOf([{ heapMb: 100_000, serves: { cities: 1 } }]);
    const residentMb = process.memoryUsage.rss() / MB;
    assert.ok(Math.abs((memory[WHOLE] ?? 0) - residentMb) < residentMb / 2);
  });
});
