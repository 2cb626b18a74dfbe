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

const module = JSON.stringify(new URL('../host/template/v8-flags.js', import.meta.url).href);

/** What a program with a thread of its own prints. */
async function printed(program: string): Promise<string> {
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
  return stdout.trim();
}

/** How often the heap of a thread with the default limit was collected as a whole. */
async function collections(before: string): Promise<number> {
  const count = await printed(`
    import { Worker } from 'node:worker_threads';
    import { letHeapsGrow, YOUNG_GENERATION_MB } from ${module};
    ${before}
    const resourceLimits = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: YOUNG_GENERATION_MB };
    new Worker(${JSON.stringify(THREAD)}, { eval: true, resourceLimits })
      .on('message', (count) => console.log(count));
  `);
  return Number(count);
}

/** Loops that fill the heap and never end, each a way that V8 makes fast code of. */
const ENDLESS: Readonly<Record<string, string>> = {
  arrays: 'for (;;) all.push(new Array(1000).fill(all.length));',
  closures: 'for (;;) { const filled = new Array(100).fill(0); all.push(() => filled); }',
  objects: 'for (;;) all.push({ a: 1, b: [all.length] });',
  texts: 'for (;;) all.push(String(all.length).repeat(1000).split(""));',
};

/** A thread as the host starts it; it runs the loop. */
function fillingThread(loop: string, heapMb: number): string {
  return `
    import { Worker } from 'node:worker_threads';
    import { keepLoopsEndable, letHeapsGrow, YOUNG_GENERATION_MB } from ${module};
    letHeapsGrow();
    keepLoopsEndable();
    const resourceLimits = { maxOldGenerationSizeMb: ${String(heapMb)}, maxYoungGenerationSizeMb: YOUNG_GENERATION_MB };
    const thread = new Worker(${JSON.stringify(`const all = []; ${loop}`)}, { eval: true, resourceLimits });
    thread.on('error', ({ code }) => console.log(code));
  `;
}

describe('the heap of a thread with a limit', () => {
  it('is collected less often when it may grow', async () => {
    const [usual, grown] = [await collections(''), await collections('letHeapsGrow();')];
    assert.ok(grown > 0 && grown * 1.5 <= usual, `${String(grown)} collections instead of ${String(usual)}`);
  });

  for (const [kind, loop] of Object.entries(ENDLESS)) {
    it(`ends the thread and nothing else when an endless loop has filled it with ${kind}`, async () => {
      assert.equal(await printed(fillingThread(loop, 64)), 'ERR_WORKER_OUT_OF_MEMORY');
    });
  }

  it('is given up when a thread is ended in the middle of such a loop', async () => {
    const end = `setTimeout(() => thread.terminate().then(() => console.log('ended')), 500);`;
    assert.equal(await printed(`${fillingThread(ENDLESS['arrays'] ?? '', 4_000)}${end}`), 'ended');
  });
});
