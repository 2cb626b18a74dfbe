import type { Suspicion } from '../../dispatch/suspects.js';

/** How long a thread that starts is told of a thread that ended. */
const REMEMBERED_MS = 60_000;
/** Suspects that may be innocent; the newest are remembered. */
const MAX_DOUBTFUL = 1_000;

/** What a thread that ended has left; see `SharedNotes`. */
export interface LastWords {
  readonly name: string;
  readonly suspect: number;
  readonly isSuspectLast: boolean;
}

/** What threads that join must know of those that ended; see `Suspects`. */
export class Suspicions {
  #entries: { readonly suspicion: Suspicion; readonly atMs: number }[] = [];

  /** In which thread a suspect ran while other code was entered last. */
  readonly #doubtful = new Map<number, string>();

  /**
   * The suspect that ended this thread; 0: none. One that ran beside other code, which was entered last, may have been there
   * by accident: once is no proof.
   */
  convict({ name, suspect, isSuspectLast }: LastWords): number {
    if (suspect === 0 || isSuspectLast) return suspect;
    const before = this.#doubtful.get(suspect);
    this.#doubtful.set(suspect, name);
    const [oldest] = this.#doubtful.keys();
    if (this.#doubtful.size > MAX_DOUBTFUL && oldest !== undefined) this.#doubtful.delete(oldest);
    return before === undefined || before === name ? 0 : suspect;
  }

  add(suspicion: Suspicion, nowMs: number): void {
    this.#entries.push({ suspicion, atMs: nowMs });
    this.#entries = this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
  }

  current(nowMs: number): readonly Suspicion[] {
    return this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ suspicion }) => suspicion);
  }
}
