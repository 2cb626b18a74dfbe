import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { ServingGeneration } from '../request/serving-generation.js';
import type { GenerationSource } from '../template/contract.js';
import type { GenerationRegistry } from '../template/registry.js';
import { publishFault } from '../observe/channels.js';
import { threadErrors } from '../errors/thread.js';
import type { ThreadData } from './protocol.js';

/** What is left of this thread when it is gone: breadcrumbs in memory for the supervisor, a trail on disk for the next start. */
export class RunningCode {
  readonly #breadcrumbs: CrashBreadcrumbs;
  readonly #trail: Trail | undefined;
  readonly #registry: GenerationRegistry<ServingGeneration>;

  constructor(
    { breadcrumbs, trail }: Pick<ThreadData, 'breadcrumbs' | 'trail'>,
    registry: GenerationRegistry<ServingGeneration>,
  ) {
    this.#registry = registry;
    this.#breadcrumbs = new CrashBreadcrumbs(breadcrumbs);
    // Where memory is not shared, the supervisor reads the trail.
    const isPrecise = breadcrumbs === undefined;
    const onFault = (error: unknown): void =>
      publishFault({
        where: 'trail',
        error: threadErrors.make('BEDS_THREAD_TRAIL_UNWRITABLE', undefined, { cause: error }),
      });
    if (trail !== undefined) this.#trail = new Trail({ path: trail, isPrecise, onFault });
  }

  /** Code of this generation is about to run. It is on the path of every request. */
  readonly enter = (generation: number): void => {
    this.#breadcrumbs.enter(generation);
    this.#trail?.enter(generation);
  };

  /** The generation whose code was entered last; 0: none. */
  get lastEntered(): number {
    return this.#breadcrumbs.lastEntered;
  }

  trying(suspect: number, generation: number): void {
    this.#breadcrumbs.trying(suspect, generation);
    this.#trail?.trying(suspect, generation);
  }

  /** Runs what loads a version. */
  async loading(source: GenerationSource, load: () => Promise<void>): Promise<void> {
    if (this.#registry.isLoaded(source.id)) return load();
    this.#breadcrumbs.enter(source.id);
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
    this.#breadcrumbs.beat();
    if (this.#trail === undefined) return;
    const busy = new Set(this.#registry.all.filter(({ inFlight }) => inFlight > 0).map(({ id }) => id));
    this.#trail.sweep((id) => busy.has(id));
  }

  close(): void {
    this.#trail?.close();
  }
}

/* Fields of the breadcrumbs. */
const BEAT = 0;
const GENERATION = 1;
const SUSPECT = 2;
const SUSPECT_GENERATION = 3;
const MAY_END = 4;
const LENGTH = 5;

/** Templates may not call it: it is taken before the thread is sealed. */
const { wait } = Atomics;

/**
 * What a broker thread leaves in shared memory for the supervisor, which reads it when the thread no longer answers:
 * whether it is alive, whose code it was about to run last, and which suspect it was trying.
 */
export class CrashBreadcrumbs {
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

  /** Stops this thread, which is about to end, until the supervisor says that it may. */
  awaitEnd(timeoutMs: number): void {
    wait(this.#cells, MAY_END, 0, timeoutMs);
  }

  mayEnd(): void {
    Atomics.store(this.#cells, MAY_END, 1);
    Atomics.notify(this.#cells, MAY_END);
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

/** A version as the trail names it. */
export interface TrailSource {
  readonly id: number;
  readonly hash: string;
  readonly manifest: { readonly domain: string; readonly version: string };
}

/** One loaded version of a trail. */
export interface TrailEntry {
  readonly id: number;
  readonly hash: string;
  readonly domain: string;
  readonly version: string;
  /** Its code ran, or had run a moment before. */
  readonly isOpen: boolean;
}

export interface TrailHead {
  readonly pid: number;
  /** The generation whose code was entered last; 0 where that is not noted. */
  readonly last: number;
  /** Digest of the suspect that ran, and in which generation; 0: none did. */
  readonly suspect: number;
  readonly suspectGeneration: number;
}

export interface TrailView extends TrailHead {
  readonly entries: readonly TrailEntry[];
}

/** Every line has this many bytes, its end included: so one is replaced without looking at the others. */
export const SLOT_BYTES = 512;
const OPEN = Buffer.from('>');
const QUIET = Buffer.from('.');

const FORMAT = 'beds-trail 1';
/** Names are checked elsewhere; a line must hold whatever they are. */
const MAX_NAME = 120;
/** More versions than a thread ever has; a file that is larger is not ours. */
const MAX_BYTES = 16_384 * SLOT_BYTES;

function makeHead(head: TrailHead): Buffer {
  return line(`${FORMAT} ${JSON.stringify(head)}`);
}

function makeSlot({ id, hash, manifest }: TrailSource, state: Buffer): Buffer {
  const [domain, version] = [manifest.domain.slice(0, MAX_NAME), manifest.version.slice(0, MAX_NAME)];
  return line(`${state.toString()} ${JSON.stringify({ id, hash: hash.slice(0, MAX_NAME), domain, version })}`);
}

/** Reads a trail that any process may have left, in any state; undefined: it is not one, or of another format. */
export function readTrail(path: string): TrailView | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_BYTES) return undefined;
    const [first = '', ...rest] = bytes.toString('utf8').split('\n');
    if (!first.startsWith(`${FORMAT} `)) return undefined;
    const head = JSON.parse(first.slice(FORMAT.length)) as Partial<Record<keyof TrailHead, unknown>>;
    const { pid, last, suspect, suspectGeneration } = head;
    return {
      pid: toNumber(pid),
      last: toNumber(last),
      suspect: toNumber(suspect),
      suspectGeneration: toNumber(suspectGeneration),
      entries: rest.flatMap(parseSlot),
    };
  } catch {
    return undefined;
  }
}

/** Torn lines and those of nobody are left out. */
function parseSlot(text: string): TrailEntry[] {
  try {
    const value = JSON.parse(text.slice(1)) as Partial<Record<keyof TrailEntry, unknown>>;
    const { id, hash, domain, version } = value;
    if (typeof hash !== 'string' || typeof domain !== 'string' || typeof version !== 'string') return [];
    return [{ id: toNumber(id), hash, domain, version, isOpen: text.startsWith(OPEN.toString()) }];
  } catch {
    return [];
  }
}

function toNumber(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : 0;
}

function line(text: string): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES, ' ');
  bytes.write(text, 0, SLOT_BYTES - 1, 'utf8');
  bytes.write('\n', SLOT_BYTES - 1);
  return bytes;
}
