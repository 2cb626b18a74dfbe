import { setTimeout as delay } from 'node:timers/promises';
import type { CallerCount, Observations, ShadowReport, Tally } from '../../dispatch/observations.js';
import type { ThreadPool } from '../threads/thread-pool.js';
import type { ThreadTallies } from './tally-window.js';

export interface RequestObserverOptions {
  readonly pool: () => ThreadPool;
  /** The present tallies of a thread, as soon as it answers: what ends later in the thread is told later. */
  readonly onTallies: (thread: string, tallies: readonly Tally[]) => void;
  readonly onCallers: (counts: readonly CallerCount[]) => void;
  readonly onShadows: (reports: readonly ShadowReport[]) => void;
}

const INTERVAL_MS = 5_000;
/** A thread that does not answer within it is looked at again the next time. */
const TIMEOUT_MS = 1_000;

/** Asks the threads what they saw of their requests; it is the only one that does, because asking resets what it counts. */
export class RequestObserver {
  readonly #options: RequestObserverOptions;
  readonly #ending = new AbortController();
  #tallies = new Map<string, readonly Tally[]>();
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
      await delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.observe();
    }
  }

  async #ask(): Promise<ThreadTallies> {
    const threads = this.#options.pool().serving;
    const tallies = new Map<string, readonly Tally[]>();
    await Promise.all(
      threads.map(async ({ handle }) => {
        const seen = await handle.request({ kind: 'observe' }, TIMEOUT_MS).catch(() => undefined);
        if (seen === undefined) {
          const last = this.#tallies.get(handle.name);
          if (last !== undefined) tallies.set(handle.name, last);
          return;
        }
        const observations = seen as Observations;
        tallies.set(handle.name, observations.tallies);
        this.#options.onTallies(handle.name, observations.tallies);
        this.#options.onCallers(observations.callers);
        this.#options.onShadows(observations.shadows);
      }),
    );
    this.#tallies = tallies;
    return tallies;
  }
}
