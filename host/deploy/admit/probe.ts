import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Manifest } from '@beds/sdk';
import { startAtLowPriority } from '../../template/low-priority.js';
import { denyCodeFromText, keepLoopsEndable } from '../../template/v8-flags.js';
import { type Finding, makeFinding } from '../../template/contract.js';
import { endThread } from '../../threads/end-thread.js';

export interface ProbeOptions {
  /** Time to load and pass the self-test, in milliseconds. */
  readonly timeoutMs: number;
  /** Heap of the thread in megabytes; its buffers may hold as much again. */
  readonly memoryMb: number;
}

export interface ProbeWatch {
  readonly signal?: AbortSignal | undefined;
  /** Called at most once, before any of the bundle's code ran. */
  readonly onCompiled?: (codeCache: Uint8Array) => void;
}

export interface Prober {
  /** Runs the bundle in a thread of its own. Empty: it loads, keeps the contract and passes its self-test. Does not throw. */
  probe(task: Omit<ProbeTask, 'memoryMb'>, watch?: ProbeWatch): Promise<readonly Finding[]>;
  /** A probe will be needed soon: starts a thread now if none is ready. */
  expect(): void;
  /** Ends running probes and the thread that was kept ready. */
  close(): Promise<void>;
}

/** `probe-thread.ts` with all that it imports; `bootstrap.mjs` makes it. */
const PROGRAM = new URL('../../../threads/probe-thread.js', import.meta.url);
/** The next thread is started when the swap that used the last one is likely over: it would take a core from it. */
const SPARE_DELAY_MS = 50;
/**
 * More than there are cores take longer each, and the memory that they take together would be held against each of them: of fifty
 * domains that came at once some were refused for it.
 */
const MAX_AT_ONCE = Math.min(4, Math.max(2, availableParallelism()));
/** Longest wait for a new thread to take its task: a busy machine starts it late, and that is no fault of the bundle. */
const START_TIMEOUT_MS = 60_000;
/** Buffers are not in a thread's heap limit; the memory of the whole process is the only sign while a thread is busy. */
const RESIDENT_CHECK_MS = 20;
const RESIDENT_MARGIN_MB = 64;
const MEGABYTE = 1_048_576;

/** Keeps one thread started and waiting, because starting it takes longer than the whole probe of an ordinary template. */
export function openProber(options: ProbeOptions): Prober {
  return new ThreadProber(options);
}

class ThreadProber implements Prober {
  readonly #options: ProbeOptions;
  readonly #running = new Set<Worker>();
  readonly #waiting: (() => void)[] = [];
  #atWork = 0;
  #spare: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.#spare = this.#startThread();
  }

  async probe(task: Omit<ProbeTask, 'memoryMb'>, watch: ProbeWatch = {}): Promise<readonly Finding[]> {
    if (this.#atWork >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#atWork += 1;
    try {
      return await this.#probeNow(task, watch);
    } finally {
      // n.b. the next one takes this one's place, so that nobody who comes now overtakes it.
      const next = this.#waiting.shift();
      if (next === undefined) this.#atWork -= 1;
      else next();
    }
  }

  async #probeNow(task: Omit<ProbeTask, 'memoryMb'>, watch: ProbeWatch): Promise<readonly Finding[]> {
    if (watch.signal?.aborted === true || this.#closed !== undefined) return [makeFinding('BEDS_ADMISSION_SUPERSEDED')];
    const thread = this.#takeThread();
    this.#running.add(thread);
    try {
      return await new Attempt(thread, this.#options).run({ ...task, memoryMb: this.#options.memoryMb }, watch);
    } finally {
      // Nobody waits for its end but close().
      void endThread(thread).finally(() => this.#running.delete(thread));
      this.#keepSpare();
    }
  }

  expect(): void {
    clearTimeout(this.#timer);
    if (this.#closed === undefined) this.#spare ??= this.#startThread();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all([...this.#running, ...(this.#spare ? [this.#spare] : [])].map(endThread));
  }

  /** n.b. the number of a thread that ended is -1. */
  #takeThread(): Worker {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare !== undefined && spare.threadId !== -1 ? spare : this.#startThread();
  }

  #keepSpare(): void {
    clearTimeout(this.#timer);
    if (this.#closed !== undefined) return;
    this.#timer = setTimeout(() => this.expect(), SPARE_DELAY_MS).unref();
  }

  #startThread(): Worker {
    return startAtLowPriority(() => startThread(this.#options));
  }
}

function startThread({ memoryMb }: ProbeOptions): Worker {
  denyCodeFromText();
  keepLoopsEndable();
  const thread = new Worker(PROGRAM, {
    name: 'beds-probe',
    env: {},
    execArgv: [],
    stdin: false,
    // Captured and dropped: what a template prints must not mix with what the host prints.
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: memoryMb, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
  });
  thread.stdout.resume();
  thread.stderr.resume();
  // n.b. an 'error' without a listener would be thrown in the supervisor.
  thread.on('error', () => undefined);
  thread.unref();
  return thread;
}

/** One probe of one bundle: whichever sign comes first decides. */
class Attempt {
  readonly #thread: Worker;
  readonly #options: ProbeOptions;
  #phase: ProbePhase = 'load';
  #timer: NodeJS.Timeout | undefined;
  #decide: (findings: readonly Finding[]) => void = () => undefined;
  #onCompiled: ProbeWatch['onCompiled'];

  constructor(thread: Worker, options: ProbeOptions) {
    this.#thread = thread;
    this.#options = options;
  }

  async run(task: ProbeTask, { signal, onCompiled }: ProbeWatch): Promise<readonly Finding[]> {
    this.#onCompiled = onCompiled;
    const decided = new Promise<readonly Finding[]>((decide) => {
      this.#decide = decide;
    });
    const thread = this.#thread;
    thread.ref();
    thread.on('message', (message: FromProbe) => this.#hear(message));
    thread.on('error', (error) => this.#decide([this.#explainError(error)]));
    thread.on('exit', () => this.#decide([makeFinding('BEDS_ADMISSION_PROBE_FAILED')]));
    this.#timer = setTimeout(() => this.#decide([makeFinding('BEDS_ADMISSION_PROBE_FAILED')]), START_TIMEOUT_MS);
    const resident = this.#watchResident();
    const abort = (): void => this.#decide([makeFinding('BEDS_ADMISSION_SUPERSEDED')]);
    signal?.addEventListener('abort', abort, { once: true });
    thread.postMessage({ type: 'probe', v: 1, task } satisfies ToProbe);
    try {
      return await decided;
    } finally {
      clearTimeout(this.#timer);
      clearInterval(resident);
      signal?.removeEventListener('abort', abort);
      thread.removeAllListeners('message').removeAllListeners('exit');
    }
  }

  #hear(message: FromProbe): void {
    if (message.type === 'phase') this.#enter(message.phase);
    if (message.type === 'compiled') {
      this.#onCompiled?.(message.codeCache);
      // n.b. what the bundle's code may say later counts for nothing.
      this.#onCompiled = undefined;
    }
    if (message.type === 'done') this.#decide(message.findings);
  }

  /** The bundle's time begins when the thread has it, not when a busy machine starts the thread. */
  #enter(phase: ProbePhase): void {
    this.#phase = phase;
    if (phase !== 'load') return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#decide([this.#explainTimeout()]), this.#options.timeoutMs);
  }

  #watchResident(): NodeJS.Timeout {
    const limit = process.memoryUsage.rss() + (2 * this.#options.memoryMb + RESIDENT_MARGIN_MB) * MEGABYTE;
    return setInterval(() => {
      if (process.memoryUsage.rss() > limit) this.#decide([makeFinding('BEDS_ADMISSION_MEMORY')]);
    }, RESIDENT_CHECK_MS);
  }

  #explainError(error: unknown): Finding {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_WORKER_OUT_OF_MEMORY') return makeFinding('BEDS_ADMISSION_MEMORY');
    return makeFinding('BEDS_ADMISSION_PROBE_FAILED');
  }

  #explainTimeout(): Finding {
    const code = this.#phase === 'load' ? 'BEDS_ADMISSION_LOAD_TIMEOUT' : 'BEDS_ADMISSION_SELF_TEST_TIMEOUT';
    return makeFinding(code);
  }
}

/** What a probe thread is asked to try, once in its life. */
export interface ProbeTask {
  /** Names the bytes, for whoever writes down what runs. */
  readonly hash?: string;
  /** The bundle as broker threads will run it: as a module, it would be given what Node gives to modules. */
  readonly code: string;
  readonly codeCache?: Uint8Array;
  readonly sourceMap: string;
  readonly manifest: Manifest;
  /** Megabytes that the thread's buffers may hold; its heap is limited from outside. */
  readonly memoryMb: number;
}

export interface ToProbe {
  readonly type: 'probe';
  readonly v: 1;
  readonly task: ProbeTask;
}

export type ProbePhase = 'load' | 'self-test';

export type FromProbe =
  | { readonly type: 'ready'; readonly v: 1 }
  | { readonly type: 'phase'; readonly v: 1; readonly phase: ProbePhase }
  /** Said once, before any of the bundle's code ran. */
  | { readonly type: 'compiled'; readonly v: 1; readonly codeCache: Uint8Array }
  /** Empty findings: the version may go on. */
  | { readonly type: 'done'; readonly v: 1; readonly findings: readonly Finding[] };
