import type { Suspicion } from '../../dispatch/suspects.js';

/** How long a thread that starts is told of a thread that ended. */
const REMEMBERED_MS = 60_000;

/** What threads that join must know of those that ended; see `Suspects`. */
export class Suspicions {
  #entries: { readonly suspicion: Suspicion; readonly atMs: number }[] = [];

  add(suspicion: Suspicion, nowMs: number): void {
    this.#entries.push({ suspicion, atMs: nowMs });
    this.#entries = this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
  }

  current(nowMs: number): readonly Suspicion[] {
    return this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ suspicion }) => suspicion);
  }
}
