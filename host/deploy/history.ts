import { mkdir, open, readFile, rename, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { admissionErrors } from '../errors/admission.js';
import { type Finding, LIFECYCLE_STATES, type LifecycleState } from '../template/contract.js';
import type { Leftovers } from '../template/template-timers.js';
import { publishFault } from '../observe/channels.js';
import type { Cause } from './state.js';

/** One change of state of one version of a domain. */
export interface HistoryEntry {
  /** ISO 8601 instant, UTC. */
  readonly at: string;
  readonly domain: string;
  readonly version: string;
  /** Names the bytes; empty where they could not be read. */
  readonly hash: string;
  readonly state: LifecycleState;
  readonly cause?: Cause;
  readonly findings?: readonly Finding[];
  /** Of `retired`: what the version had not ended by itself, on all threads. */
  readonly left?: Leftovers;
  /** Milliseconds since the bytes were complete. */
  readonly ms?: number;
}

export interface HistoryOptions {
  /** `state.directory`. */
  readonly directory: string;
  /** Entries that are kept of each domain when the file is compacted. Default 200. */
  readonly keepPerDomain?: number;
}

export interface History {
  /** Oldest first; also what the disk did not take. */
  readonly entries: readonly HistoryEntry[];
  /** Resolves when the lines are on disk. Throws `BEDS_ADMISSION_HISTORY_UNWRITABLE`. */
  append(entries: readonly Omit<HistoryEntry, 'at'>[]): Promise<void>;
  close(): Promise<void>;
}

const FILE = 'history.jsonl';
const KEEP_PER_DOMAIN = 200;
/** What is refused may be named after any file: many names must not fill memory. */
const KEEP_IN_ALL = 20_000;
/** Compaction waits until this many more lines than are kept have come together. */
const SLACK = 200;

/** Reads the history without changing the file, from any process; a line that is torn or not ours is skipped. */
export async function readHistory(directory: string): Promise<readonly HistoryEntry[]> {
  const text = await readFile(join(directory, FILE), 'utf8').catch(() => '');
  return text.split('\n').flatMap(parseLine);
}

/** Opens the history for writing; there is one writer. Mends a last line that an interrupted write left torn, now or when the disk has room. */
export async function openHistory(options: HistoryOptions): Promise<History> {
  try {
    await mkdir(options.directory, { recursive: true });
    const path = join(options.directory, FILE);
    const text = await readFile(path, 'utf8').catch(() => '');
    const entries = text.split('\n').flatMap(parseLine);
    const file = await open(path, 'a', 0o600);
    const log = new HistoryLog({ path, file, entries, keepPerDomain: options.keepPerDomain ?? KEEP_PER_DOMAIN });
    if (text !== '' && !text.endsWith('\n')) await log.mend();
    return log;
  } catch (error) {
    throw unwritable(error);
  }
}

interface LogState {
  readonly path: string;
  readonly file: FileHandle;
  readonly entries: readonly HistoryEntry[];
  readonly keepPerDomain: number;
}

class HistoryLog implements History {
  readonly #path: string;
  readonly #keepPerDomain: number;
  #file: FileHandle;
  #entries: HistoryEntry[];
  #limit: number;
  /** The file may end in a part of a line, or lack lines. */
  #isTorn = false;
  readonly #unwritten: HistoryEntry[] = [];
  /** The sender of the command. */
  readonly #awaiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #writing: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor({ path, file, entries, keepPerDomain }: LogState) {
    this.#path = path;
    this.#file = file;
    this.#entries = [...entries];
    this.#keepPerDomain = keepPerDomain;
    this.#limit = entries.length + SLACK;
  }

  get entries(): readonly HistoryEntry[] {
    return this.#entries;
  }

  append(entries: readonly Omit<HistoryEntry, 'at'>[]): Promise<void> {
    const at = new Date().toISOString();
    this.#unwritten.push(...entries.map((entry): HistoryEntry => ({ at, ...entry })));
    const written = new Promise<void>((resolve, reject) => this.#awaiting.push({ resolve, reject }));
    this.#writing ??= this.#writeAll();
    return written;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  /** What comes while one write is under way is written together. */
  async #writeAll(): Promise<void> {
    while (this.#unwritten.length > 0) {
      const lines = this.#unwritten.splice(0);
      const awaiting = this.#awaiting.splice(0);
      // n.b. what the disk does not take is known all the same: operators follow their orders by it.
      this.#entries.push(...lines);
      try {
        if (this.#isTorn || this.#entries.length > this.#limit) await this.#compact();
        else {
          await this.#file.appendFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
          await this.#file.datasync();
        }
        for (const { resolve } of awaiting) resolve();
      } catch (error) {
        this.#isTorn = true;
        for (const { reject } of awaiting) reject(unwritable(error));
      }
    }
    // n.b. in the same turn as the last look: what comes in between would never be written.
    this.#writing = undefined;
  }

  /** Writes the file anew without its torn line. A full disk does not keep a host from starting: the next entry tries again. */
  async mend(): Promise<void> {
    this.#isTorn = true;
    await this.#compact().catch((error: unknown) => publishFault({ where: 'history', error: unwritable(error) }));
  }

  /** Writes the newest entries of each domain to a new file and puts it in place of the old one. */
  async #compact(): Promise<void> {
    const kept = newestOf(this.#entries, this.#keepPerDomain);
    const draft = `${this.#path}.draft`;
    await writeFile(draft, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600, flush: true });
    await rename(draft, this.#path);
    await this.#file.close();
    this.#file = await open(this.#path, 'a', 0o600);
    this.#entries = kept;
    this.#limit = kept.length + SLACK;
    this.#isTorn = false;
  }
}

function newestOf(entries: readonly HistoryEntry[], count: number): HistoryEntry[] {
  const seen = new Map<string, number>();
  const newestFirst = [...entries].reverse().filter(({ domain }) => {
    const rank = (seen.get(domain) ?? 0) + 1;
    seen.set(domain, rank);
    return rank <= count;
  });
  return newestFirst.slice(0, KEEP_IN_ALL).reverse();
}

function parseLine(line: string): HistoryEntry[] {
  try {
    const value = JSON.parse(line) as Partial<HistoryEntry> | null;
    const isEntry = typeof value?.domain === 'string' && LIFECYCLE_STATES.some((state) => state === value.state);
    return isEntry ? [value as HistoryEntry] : [];
  } catch {
    return [];
  }
}

function unwritable(cause: unknown): Error {
  return admissionErrors.make('BEDS_ADMISSION_HISTORY_UNWRITABLE', undefined, { cause });
}
