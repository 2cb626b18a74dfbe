const BEAT = 0;
const GENERATION = 1;
const SUSPECT = 2;
const SUSPECT_GENERATION = 3;
const LENGTH = 4;

/**
 * What a broker thread leaves in shared memory for the supervisor, which reads it when the thread no longer answers:
 * whether it is alive, whose code it was about to run last, and which suspect it was trying.
 */
export class SharedNotes {
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer | undefined = new SharedArrayBuffer(LENGTH * Int32Array.BYTES_PER_ELEMENT)) {
    this.#cells = new Int32Array(buffer);
  }

  get buffer(): SharedArrayBuffer {
    return this.#cells.buffer as SharedArrayBuffer;
  }

  /** Shows that the thread's event loop turns. */
  beat(): void {
    Atomics.add(this.#cells, BEAT, 1);
  }

  get beats(): number {
    return Atomics.load(this.#cells, BEAT);
  }

  /** Notes that code of this generation is about to run. A plain store: it is on the path of every request. */
  enter(generation: number): void {
    this.#cells[GENERATION] = generation;
  }

  /** The generation whose code ran last; 0 before the first request. */
  get lastEntered(): number {
    return Atomics.load(this.#cells, GENERATION);
  }

  /** Notes the digest of the suspect that runs now, and in which generation; 0: none does. */
  trying(suspect: number, generation = 0): void {
    Atomics.store(this.#cells, SUSPECT_GENERATION, generation);
    Atomics.store(this.#cells, SUSPECT, suspect);
  }

  /** Digest of the suspect that runs, or ran when the thread ended. */
  get suspect(): number {
    return Atomics.load(this.#cells, SUSPECT);
  }

  /** Whether the suspect's own code ran last: other requests run beside it, and one of those may have ended the thread. */
  get isSuspectLast(): boolean {
    return Atomics.load(this.#cells, SUSPECT_GENERATION) === this.lastEntered;
  }
}
