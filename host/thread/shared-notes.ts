const BEAT = 0;
const GENERATION = 1;
const LENGTH = 2;

/**
 * What a broker thread leaves in shared memory for the supervisor, which reads it when the thread no longer answers:
 * whether it is alive, and whose code it was about to run last.
 */
export class SharedNotes {
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(LENGTH * Int32Array.BYTES_PER_ELEMENT)) {
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
}
