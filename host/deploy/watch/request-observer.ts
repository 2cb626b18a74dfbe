import { settlesWithin, sleep } from '#sdk/time';
import type { CallerCount, Observations, ShadowReport, Tally, UsageCount } from '../../request/observations.js';
import type { ThreadHandle } from '../../threads/handle.js';
import type { ThreadPool } from '../../threads/pool.js';
import type { ThreadTallies } from './tally-window.js';

export interface RequestObserverOptions {
  readonly pool: () => ThreadPool;
  /** The present tallies of a thread, as soon as it answers: what ends later in the thread is told later. */
  readonly onTallies: (thread: string, tallies: readonly Tally[]) => void;
  readonly onCallers: (counts: readonly CallerCount[]) => void;
  readonly onShadows: (reports: readonly ShadowReport[]) => void;
  readonly onUsage: (counts: readonly UsageCount[]) => void;
}

const INTERVAL_MS = 5_000;
/** A look does not wait longer for a thread; what it answers later still counts. */
const LOOK_MS = 1_000;
/** A thread that is silent for so long has ended, or is about to be. */
const TIMEOUT_MS = 60_000;

/** Asks the threads what they saw of their requests; it is the only one that does, because asking resets what it counts. */
export class RequestObserver {
  readonly #options: RequestObserverOptions;
  readonly #ending = new AbortController();
  readonly #tallies = new Map<string, readonly Tally[]>();
  readonly #pending = new Map<ThreadHandle, Promise<void>>();
  #asking: Promise<ThreadTallies> | undefined;

  constructor(options: RequestObserverOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#observeOnAndOn();
  }

  /** Asks now, or joins a question that is under way. Never rejects. */
  observe(): Promise<ThreadTallies> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Asks a last time. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.observe();
  }

  async #observeOnAndOn(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await sleep(INTERVAL_MS, signal);
      if (!signal.aborted) await this.observe();
    }
  }

  async #ask(): Promise<ThreadTallies> {
    const threads = this.#options.pool().serving.map(({ handle }) => handle);
    await settlesWithin(Promise.all(threads.map((handle) => this.#askThread(handle))), LOOK_MS);
    const names = new Set(threads.map(({ name }) => name));
    for (const name of this.#tallies.keys()) if (!names.has(name)) this.#tallies.delete(name);
    return new Map(this.#tallies);
  }

  /** One question at a time: its answer takes with it what the thread has counted. */
  #askThread(handle: ThreadHandle): Promise<void> {
    const pending = this.#pending.get(handle);
    if (pending !== undefined) return pending;
    const asked = handle
      .request({ kind: 'observe' }, TIMEOUT_MS)
      .then((seen) => {
        this.#take(handle.name, seen as Observations);
      })
      .catch(() => undefined)
      .finally(() => this.#pending.delete(handle));
    this.#pending.set(handle, asked);
    return asked;
  }

  #take(thread: string, { tallies, callers, shadows, usage }: Observations): void {
    this.#tallies.set(thread, tallies);
    this.#options.onTallies(thread, tallies);
    this.#options.onCallers(callers);
    this.#options.onShadows(shadows);
    this.#options.onUsage(usage);
  }
}
