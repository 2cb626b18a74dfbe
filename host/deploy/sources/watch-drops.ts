import { mkdir, readdir, lstat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { FSWatcher } from 'chokidar';
import { admissionErrors, type AdmissionCode } from '../../errors/admission.js';
import type { DropHandlers, DropWatcher, WatchOptions } from '../admit/contract.js';
import { type DirectoryView, PluginScanner, type LookResult, type Missed } from './plugin-scanner.js';

/** Events come in bursts; one look answers a burst. */
const BURST_MS = 15;
/** How often to look while something is incomplete or just gone. */
const UNSETTLED_MS = 50;
/** How long there may be no directory before that is said. */
const MISSING_MS = 250;
/** Longest wait for the file system to start reporting; the interval scan works without it. */
const READY_TIMEOUT_MS = 2_000;

/**
 * Watches the plugin directory and reports each drop once its bytes are complete, whichever way they came. Resolves after
 * the first look, when what was there has been reported. Makes the directory where it is missing. One that cannot be used
 * is reported as such, at any time; without `isOptional` the first look throws `BEDS_ADMISSION_DIRECTORY_UNSAFE` or
 * `_UNREADABLE` instead.
 */
export async function watchDrops(options: WatchOptions, handlers: DropHandlers): Promise<DropWatcher> {
  const directory = resolve(options.directory);
  try {
    await mkdir(directory, { recursive: true });
    await identifyDirectory(directory);
    await readdir(directory);
  } catch (error) {
    if (options.isOptional !== true) throw unusable(error);
  }
  const watcher = new DirectoryWatcher({ ...options, directory }, handlers);
  await watcher.start();
  return watcher;
}

function unusable(error: unknown): unknown {
  if (isBedsError(error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  const isFile = code === 'EEXIST' || code === 'ENOTDIR';
  if (isFile) return admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE', undefined, { cause: error });
  const message = `The plugin directory cannot be read (${code ?? 'unknown'}).`;
  return admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNREADABLE', message, { cause: error });
}

function watchedPathOf(details: unknown): string | undefined {
  return (details as { readonly watchedPath?: string } | undefined)?.watchedPath;
}

class DirectoryWatcher implements DropWatcher {
  readonly #options: WatchOptions;
  readonly #handlers: DropHandlers;
  readonly #scanner: PluginScanner;
  readonly #troubles: DirectoryTroubles;
  #events: ClosableWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #isWanted = false;
  /** The directory that is watched: undefined before the first look, empty while there is none to be watched. */
  #watched: string | undefined;
  /** One more with each time that the directory went: a new one may get the number of the old one. */
  #times = 0;
  /** Monotonic, milliseconds: since when there has been no directory. */
  #missingSince: number | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: WatchOptions, handlers: DropHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#scanner = new PluginScanner(options, handlers);
    this.#troubles = new DirectoryTroubles(handlers);
  }

  async start(): Promise<void> {
    const events = this.#watch();
    await new Promise<void>((done) => {
      const timer = setTimeout(done, READY_TIMEOUT_MS);
      events.once('ready', () => {
        clearTimeout(timer);
        done();
      });
    });
    await this.scan();
  }

  #watch(): ClosableWatcher {
    const { directory } = this.#options;
    const events = new ClosableWatcher({
      depth: 1,
      followSymlinks: false,
      atomic: false,
      // The looks say what may not be read, once.
      ignorePermissionErrors: true,
      ignored: (path) => path !== directory && /^\.|^node_modules$/.test(basename(path)),
    });
    // n.b. 'all' is throttled to one event per file in 50 ms; 'raw' is what the system says.
    events.on('all', (event, path) => {
      if (event === 'unlinkDir' && path === directory) this.#times += 1;
      this.#lookSoon();
    });
    events.on('raw', (event, path, details) => {
      // n.b. a directory that went is named like an entry of it; one that is made anew at once often has the same number.
      const isItself = event === 'rename' && path === basename(directory) && watchedPathOf(details) === directory;
      if (isItself) this.#times += 1;
      this.#lookSoon();
    });
    events.on('ready', () => this.#lookSoon());
    events.on('error', (error) => this.#handlers.error(error));
    events.add(directory);
    this.#events = events;
    return events;
  }

  async scan(): Promise<void> {
    await this.#looking;
    await this.#look();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#events?.close();
    await this.#looking;
    clearTimeout(this.#timer);
  }

  #lookSoon(): void {
    this.#isWanted = true;
    if (this.#looking === undefined) this.#lookIn(BURST_MS);
  }

  #lookIn(ms: number): void {
    if (this.#closed !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms);
  }

  /** One look at a time; a second caller joins the first. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
      const isJustMissing = performance.now() - (this.#missingSince ?? -Infinity) < MISSING_MS;
      const isUnsettled = this.#scanner.isUnsettled || isJustMissing;
      const unsettledMs = isUnsettled ? UNSETTLED_MS : this.#options.scanIntervalMs;
      this.#lookIn(this.#isWanted ? BURST_MS : Math.min(unsettledMs, this.#options.scanIntervalMs));
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    try {
      const view = await this.#readDirectory();
      const result = await this.#scanner.look(view, async () => (await this.#identify()) === view.identity);
      this.#missingSince = undefined;
      this.#troubles.looked(result);
      this.#handlers.looked?.({ isWhole: result.unreadable.size === 0 });
    } catch (error) {
      this.#watched = '';
      if (!this.#isJustMissing(error)) this.#troubles.failed(error);
    }
  }

  /** Whoever puts another directory in the place of this one takes this one away first. */
  #isJustMissing(error: unknown): boolean {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      this.#missingSince = undefined;
      return false;
    }
    this.#times += 1;
    this.#missingSince ??= performance.now();
    return performance.now() - this.#missingSince < MISSING_MS;
  }

  /** n.b. the system reports what happens in the directory that was there, also when the path leads to another one now. */
  async #readDirectory(): Promise<DirectoryView> {
    const identity = await this.#identify();
    if (this.#watched !== undefined && this.#watched !== identity) {
      await this.#events?.close();
      if (this.#closed === undefined) this.#watch();
    }
    this.#watched = identity;
    return { identity, names: await readdir(this.#options.directory) };
  }

  async #identify(): Promise<string> {
    return `${await identifyDirectory(this.#options.directory)}:${this.#times}`;
  }
}

/** Names in a message are an example of what is wrong, not a list. */
const MOST_NAMES = 10;

interface Trouble {
  readonly names: readonly string[];
  readonly message: string;
  readonly cause?: unknown;
}

const MISSED: Readonly<Record<Missed['why'], AdmissionCode>> = {
  replaced: 'BEDS_ADMISSION_DIRECTORY_REPLACED',
  emptied: 'BEDS_ADMISSION_DIRECTORY_EMPTIED',
  hollow: 'BEDS_ADMISSION_FOLDER_EMPTIED',
};

const OVER: Partial<Record<AdmissionCode, string>> = {
  BEDS_ADMISSION_DIRECTORY_UNSAFE: 'the plugin directory can be trusted again',
  BEDS_ADMISSION_DIRECTORY_UNREADABLE: 'the plugin directory and all that is in it can be looked at again',
  BEDS_ADMISSION_DIRECTORY_REPLACED: 'the plugin directory lacks no bundle that serves any more',
  BEDS_ADMISSION_DIRECTORY_EMPTIED: 'the plugin directory lacks no bundle that serves any more',
  BEDS_ADMISSION_FOLDER_EMPTIED: 'every folder of a bundle that serves holds one again',
};

/** What is wrong with the plugin directory: said when it begins, for each name once, and when it is over. */
class DirectoryTroubles {
  readonly #handlers: Pick<DropHandlers, 'error' | 'recovered'>;
  readonly #said = new Map<AdmissionCode, Set<string>>();

  constructor(handlers: Pick<DropHandlers, 'error' | 'recovered'>) {
    this.#handlers = handlers;
  }

  /** The directory as such could not be looked at: what was said of its bundles holds. */
  failed(error: unknown): void {
    if (isBedsError(error) && error.code === 'BEDS_ADMISSION_DIRECTORY_UNSAFE') {
      this.#begin(error.code, { names: [''], message: error.message });
      return;
    }
    const message = `The plugin directory cannot be read (${codeOf(error)}); what serves goes on.`;
    this.#begin('BEDS_ADMISSION_DIRECTORY_UNREADABLE', { names: [''], message, cause: error });
  }

  /** All that one look found; what it did not find any more is over. */
  looked({ unreadable, missed }: LookResult): void {
    const found = new Map<AdmissionCode, Trouble>();
    if (unreadable.size > 0) {
      const names = [...unreadable.keys()];
      const [cause] = unreadable.values();
      const message = `${listed(names)} in the plugin directory cannot be looked at (${codeOf(cause)}); what serves goes on.`;
      found.set('BEDS_ADMISSION_DIRECTORY_UNREADABLE', { names, message, cause });
    }
    for (const [why, code] of Object.entries(MISSED)) {
      const of = missed.filter((each) => each.why === why);
      if (of.length > 0) found.set(code, missing(code, of));
    }
    for (const code of this.#said.keys()) if (!found.has(code)) this.#end(code);
    for (const [code, trouble] of found) this.#begin(code, trouble);
  }

  #begin(code: AdmissionCode, { names, message, cause }: Trouble): void {
    const said = this.#said.get(code) ?? new Set();
    this.#said.set(code, said);
    if (names.every((name) => said.has(name))) return;
    for (const name of names) said.add(name);
    this.#handlers.error(admissionErrors.make(code, message, { cause }));
  }

  #end(code: AdmissionCode): void {
    this.#said.delete(code);
    this.#handlers.recovered?.(OVER[code] ?? code);
  }
}

function missing(code: AdmissionCode, missed: readonly Missed[]): Trouble {
  const names = missed.map(({ entry }) => entry);
  const domains = [...new Set(missed.map(({ domain }) => domain))];
  const message = `${admissionErrors.specs[code].message} Missing: ${listed(names)}, of ${listed(domains)}.`;
  return { names, message };
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return names.length > MOST_NAMES ? `${shown} and ${names.length - MOST_NAMES} more` : shown;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
}

const OTHERS_MAY_WRITE = 0o002n;

/**
 * Which directory the path leads to: another one under the same path is told apart. Throws
 * `BEDS_ADMISSION_DIRECTORY_UNSAFE`, or the system's error.
 */
async function identifyDirectory(directory: string): Promise<string> {
  const stats = await lstat(directory, { bigint: true });
  if (!stats.isDirectory()) {
    const message = 'plugins.directory is not a real directory; nothing is taken from it.';
    throw admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE', message);
  }
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0n) {
    const message = 'Everyone on this machine may write to the plugin directory; nothing is taken from it.';
    throw admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE', message);
  }
  return `${stats.dev}:${stats.ino}`;
}

/**
 * chokidar's watcher, but closed for good. n.b. its own, when files vanish around `close()`, finishes handling that
 * afterwards and calls `add()` to wait for their return, which opens it again: the process would never end by itself.
 */
class ClosableWatcher extends FSWatcher {
  #isClosed = false;

  override add(...args: Parameters<FSWatcher['add']>): this {
    if (!this.#isClosed) super.add(...args);
    return this;
  }

  override close(): Promise<void> {
    this.#isClosed = true;
    return super.close();
  }
}
