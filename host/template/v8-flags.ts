import { setFlagsFromString } from 'node:v8';

/** As an option of Node, for a process. */
export const CODE_FROM_TEXT_FLAG = '--disallow-code-generation-from-strings';

/**
 * Lets no thread that is started afterwards make code from text: no `eval`, no constructor of functions, however it was
 * reached. What `makeFunction` returns still works there. Threads that run already keep what they had.
 */
export function denyCodeFromText(): void {
  setFlagsFromString(CODE_FROM_TEXT_FLAG);
}

/**
 * Size of the heap for what is new, as Node 20 has it. Where a heap is full, Node gives V8 16 MB more to end the thread with;
 * Node 24 lets twice as much that is new wait to be moved, and V8 ends the process when that does not fit.
 * `Worker::NearHeapLimit`: https://github.com/nodejs/node/blob/v24.11.0/src/node_worker.cc
 */
export const YOUNG_GENERATION_MB = 48;

/** The first major version of Node whose V8 unrolls loops in Turboshaft. */
const UNROLLS_LOOPS_SINCE = 22;

/**
 * Lets the heap of a thread grow to four times what is alive in it before it is collected as a whole, as V8 does where a heap
 * has no limit. With a limit below its own (2 or 4 GB) it takes 1.3 to 2 times; a busy broker thread then collected its 17 MB
 * four times a second, which took a fifth of its processor time. The limit itself, `threads.<group>.heapMb`, stays what it is.
 * `MemoryController::MaxGrowingFactor`: https://github.com/v8/v8/blob/11.3.244/src/heap/heap-controller.cc
 */
export function letHeapsGrow(): void {
  setFlagsFromString('--heap-growing-percent=300');
}

/**
 * Lets every thread that is started afterwards be ended while it runs a loop. V8 takes the check for that out of loops which it
 * takes for short ones, in Node 22 and later also out of some that are endless: `for (;;) all.push(new Array(1000).fill(0))`
 * then went on without limit, its thread could not be terminated, and it took gigabytes.
 */
export function keepLoopsEndable(): void {
  if (Number.parseInt(process.versions.node, 10) < UNROLLS_LOOPS_SINCE) return;
  setFlagsFromString('--no-turboshaft-loop-unrolling');
}
