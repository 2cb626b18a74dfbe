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
  readonly #seen = new WeakMap<ThreadHandle, { beats: number; sinceMs: number }>();
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
    // A machine that was suspended, or a starved supervisor, must not be taken for threads that stand still.
    const overslept = nowMs - this.#lastLookMs > this.#options.intervalMs * 4;
    this.#lastLookMs = nowMs;
    for (const thread of this.#options.threads()) {
      if (thread.state !== 'ready') continue;
      const { beats } = thread;
      const seen = this.#seen.get(thread);
      if (seen?.beats !== beats || overslept) {
        this.#seen.set(thread, { beats, sinceMs: nowMs });
      } else if (nowMs - seen.sinceMs > this.#options.stallTimeoutMs) {
        this.#seen.delete(thread);
        this.#options.onStall(thread);
      }
    }
  }
}
