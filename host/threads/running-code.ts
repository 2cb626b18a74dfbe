import type { ServingGeneration } from '../request/serving-generation.js';
import type { GenerationSource } from '../template/contract.js';
import type { GenerationRegistry } from '../template/registry.js';
import { publishFault } from '../observe/channels.js';
import { threadErrors } from '../errors/thread.js';
import type { ThreadData } from './protocol.js';
import { SharedNotes } from './shared-notes.js';
import { Trail } from './trail.js';

/** What is left of this thread when it is gone: notes in memory for the supervisor, a trail on disk for the next start. */
export class RunningCode {
  readonly #notes: SharedNotes;
  readonly #trail: Trail | undefined;
  readonly #registry: GenerationRegistry<ServingGeneration>;

  constructor({ notes, trail }: Pick<ThreadData, 'notes' | 'trail'>, registry: GenerationRegistry<ServingGeneration>) {
    this.#registry = registry;
    this.#notes = new SharedNotes(notes);
    // Where memory is not shared, the supervisor reads the trail.
    const isPrecise = notes === undefined;
    const onFault = (error: unknown): void =>
      publishFault({
        where: 'trail',
        error: threadErrors.make('BEDS_THREAD_TRAIL_UNWRITABLE', undefined, { cause: error }),
      });
    if (trail !== undefined) this.#trail = new Trail({ path: trail, isPrecise, onFault });
  }

  /** Code of this generation is about to run. It is on the path of every request. */
  enter(generation: number): void {
    this.#notes.enter(generation);
    this.#trail?.enter(generation);
  }

  /** The generation whose code was entered last; 0: none. */
  get lastEntered(): number {
    return this.#notes.lastEntered;
  }

  trying(suspect: number, generation: number): void {
    this.#notes.trying(suspect, generation);
    this.#trail?.trying(suspect, generation);
  }

  /** Runs what loads a version. */
  async loading(source: GenerationSource, load: () => Promise<void>): Promise<void> {
    if (this.#registry.isLoaded(source.id)) return load();
    this.#notes.enter(source.id);
    this.#trail?.load(source);
    try {
      await load();
      this.#trail?.loaded(source.id);
    } catch (error) {
      this.#trail?.forget(source.id);
      throw error;
    }
  }

  /** The version has ended. */
  forget(generation: number): void {
    this.#trail?.forget(generation);
  }

  /** Shows that the thread's event loop turns. */
  beat(): void {
    this.#notes.beat();
    if (this.#trail === undefined) return;
    const busy = new Set(this.#registry.all.filter(({ inFlight }) => inFlight > 0).map(({ id }) => id));
    this.#trail.sweep((id) => busy.has(id));
  }

  close(): void {
    this.#trail?.close();
  }
}
