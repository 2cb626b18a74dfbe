import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { makeHead, makeSlot, OPEN, QUIET, SLOT_BYTES, type TrailSource } from './trail-format.js';

export interface TrailOptions {
  readonly path: string;
  /** Notes each change of whose code runs, instead of whose code ran lately. It costs a system call each. */
  readonly isPrecise?: boolean;
  /** Called once, when the trail cannot be kept: everything goes on without. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Whose code runs, in a small file, for the start after a process that ended without a word: what is written outlives the
 * process, though nothing is flushed. Each loaded version has a line, whose first character says whether its code runs or
 * ran a moment ago; so a version that is asked all the time costs no write at all.
 */
export class Trail {
  readonly #options: TrailOptions;
  readonly #slots = new Map<number, number>();
  readonly #free: number[] = [];
  /** By slot: what the file says, and whether the code was entered since the last look. */
  readonly #open: boolean[] = [];
  readonly #touched: boolean[] = [];
  readonly #preparing = new Set<number>();
  #file: number | undefined;
  #last = 0;
  #suspect: readonly [digest: number, generation: number] = [0, 0];

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#try(() => {
      this.#file = openSync(options.path, 'w', 0o600);
      this.#writeHead();
    });
  }

  /** A version is about to be loaded: its code runs from now on, at the latest until `loaded`. */
  load(source: TrailSource): void {
    const slot = this.#slots.get(source.id) ?? this.#free.pop() ?? this.#slots.size;
    this.#slots.set(source.id, slot);
    this.#preparing.add(source.id);
    this.#open[slot] = true;
    this.#write(makeSlot(source, OPEN), (slot + 1) * SLOT_BYTES);
    this.enter(source.id);
  }

  loaded(id: number): void {
    this.#preparing.delete(id);
  }

  /** The version has ended. */
  forget(id: number): void {
    const slot = this.#slots.get(id);
    this.#preparing.delete(id);
    if (slot === undefined) return;
    this.#slots.delete(id);
    this.#free.push(slot);
    this.#close(slot);
  }

  /** Code of this version is about to run. It is on the path of every request: usually one comparison. */
  enter(id: number): void {
    if (id !== this.#last) this.#change(id);
  }

  /** The digest of the suspect that runs now, and in which generation; 0: none does. */
  trying(digest: number, generation: number): void {
    if (this.#options.isPrecise !== true) return;
    this.#suspect = [digest, generation];
    this.#writeHead();
  }

  /** Versions that were not entered since the last look, and are not busy, do not run. */
  sweep(isBusy: (id: number) => boolean): void {
    for (const [id, slot] of this.#slots) {
      const runs = this.#touched[slot] === true || this.#preparing.has(id) || isBusy(id);
      if (!runs && this.#open[slot] === true) this.#close(slot);
      this.#touched[slot] = false;
    }
    this.#last = 0;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #change(id: number): void {
    this.#last = id;
    if (this.#options.isPrecise === true) this.#writeHead();
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    this.#touched[slot] = true;
    if (this.#open[slot] === true) return;
    this.#open[slot] = true;
    this.#write(OPEN, (slot + 1) * SLOT_BYTES);
  }

  #close(slot: number): void {
    this.#open[slot] = false;
    this.#write(QUIET, (slot + 1) * SLOT_BYTES);
  }

  #writeHead(): void {
    const [suspect, suspectGeneration] = this.#suspect;
    this.#write(makeHead({ pid: process.pid, last: this.#last, suspect, suspectGeneration }), 0);
  }

  #write(text: Buffer, position: number): void {
    const file = this.#file;
    if (file !== undefined) this.#try(() => writeSync(file, text, 0, text.length, position));
  }

  /** n.b. a disk that is full or not to be written must stop nothing; what is half written is emptied, as it misleads. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      const file = this.#file;
      this.#file = undefined;
      try {
        if (file !== undefined) ftruncateSync(file);
        if (file !== undefined) closeSync(file);
      } catch {
        // The first error says it.
      }
      this.#options.onFault(error);
    }
  }
}
