import type { Suspicion } from '../request/suspects.js';

/** How long a thread that starts is told of a thread that ended. */
const REMEMBERED_MS = 60_000;
/** Suspects that may be innocent; the newest are remembered. */
const MAX_DOUBTFUL = 1_000;

/** Threads that must have ended under one before it is blamed for what it may not have done. */
const MIN_DOUBTFUL_ENDS = 3;

/** What a thread that ended has left; see `SharedNotes`. */
export interface LastWords {
  readonly name: string;
  readonly suspect: number;
  readonly isSuspectLast: boolean;
}

/** What threads that join must know of those that ended; see `Suspects`. */
export class Suspicions {
  #entries: { readonly suspicion: Suspicion; readonly atMs: number }[] = [];

  /** In which threads a suspect ran while other code was entered last. */
  readonly #doubtful = new Map<number, ReadonlySet<string>>();

  /**
   * The suspect that ended this thread; 0: none. One that ran beside other code, which was entered last, may have been there
   * by accident: while a bad version ends one thread after the other, that happens to an innocent one twice.
   */
  convict({ name, suspect, isSuspectLast }: LastWords): number {
    if (suspect === 0 || isSuspectLast) return suspect;
    const threads = new Set([...(this.#doubtful.get(suspect) ?? []), name]);
    this.#doubtful.set(suspect, threads);
    const [oldest] = this.#doubtful.keys();
    if (this.#doubtful.size > MAX_DOUBTFUL && oldest !== undefined) this.#doubtful.delete(oldest);
    return threads.size < MIN_DOUBTFUL_ENDS ? 0 : suspect;
  }

  add(suspicion: Suspicion, nowMs: number): void {
    this.#entries.push({ suspicion, atMs: nowMs });
    this.#entries = this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
  }

  current(nowMs: number): readonly Suspicion[] {
    return this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ suspicion }) => suspicion);
  }
}
