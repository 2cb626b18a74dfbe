import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const TIMEOUT_MS = 60_000;

/** What a busy thread does to its heap: things that live long enough to become old, and then die. */
const THREAD = `
  import { constants, PerformanceObserver } from 'node:perf_hooks';
  import { parentPort } from 'node:worker_threads';
  let collections = 0;
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections += 1;
  }).observe({ entryTypes: ['gc'] });
  const alive = new Array(100_000);
  let made = 0;
  (function work() {
    for (let i = 0; i < 100_000; i += 1) alive[made++ % alive.length] = { made, text: [made, made, made] };
    if (made < 4_000_000) setImmediate(work);
    else setTimeout(() => parentPort.postMessage(collections), 100);
  })();
`;

const module = JSON.stringify(new URL('../host/threads/handle.js', import.meta.url).href);

/** How often the heap of a thread with the default limit was collected as a whole. */
async function collections(before: string): Promise<number> {
  const program = `
    import { Worker } from 'node:worker_threads';
    import { letHeapsGrow } from ${module};
    ${before}
    new Worker(${JSON.stringify(THREAD)}, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 512 } })
      .on('message', (count) => console.log(count));
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
  return Number(stdout);
}

describe('the heap of a thread with a limit', () => {
  it('is collected less often when it may grow', async () => {
    const [usual, grown] = [await collections(''), await collections('letHeapsGrow();')];
    assert.ok(grown > 0 && grown * 1.5 <= usual, `${String(grown)} collections instead of ${String(usual)}`);
  });
});
