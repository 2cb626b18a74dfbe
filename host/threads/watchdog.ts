import type { ThreadHandle } from './thread-handle.js';

export interface WatchdogOptions {
  readonly intervalMs: number;
  /** Silence after which a thread counts as stalled. */
  readonly stallTimeoutMs: number;
  readonly threads: () => readonly ThreadHandle[];
  readonly onStall: (thread: ThreadHandle) => void;
}

/** Notices threads whose event loop no longer turns. It runs on the supervisor's thread, where no template code runs. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #seen = new WeakMap<ThreadHandle, { beats: number; silentMs: number }>();
  readonly #timer: NodeJS.Timeout;
  #lastLookMs = performance.now();

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#look(performance.now());
    }, options.intervalMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(nowMs: number): void {
    const { intervalMs, stallTimeoutMs, threads, onStall } = this.#options;
    // Time in which this thread did not run either says nothing: the machine was suspended, or is too busy.
    const passedMs = Math.min(nowMs - this.#lastLookMs, 2 * intervalMs);
    this.#lastLookMs = nowMs;
    for (const thread of threads()) {
      if (thread.state !== 'ready') continue;
      const { beats } = thread;
      const seen = this.#seen.get(thread);
      if (seen?.beats !== beats) {
        this.#seen.set(thread, { beats, silentMs: 0 });
        continue;
      }
      seen.silentMs += passedMs;
      if (seen.silentMs <= stallTimeoutMs) continue;
      this.#seen.delete(thread);
      onStall(thread);
    }
  }
}
