import { lstat, mkdir, readdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { admissionErrors } from '../../errors/admission.js';
import { ClosableWatcher } from './closable-watcher.js';
import type { DropHandlers, DropWatcher, WatchOptions } from './contract.js';
import { DropLedger } from './drop-ledger.js';

/** Events come in bursts; one look answers a burst. */
const BURST_MS = 15;
/** How often to look while something is incomplete or just gone. */
const UNSETTLED_MS = 50;
/** Longest wait for the file system to start reporting; the interval scan works without it. */
const READY_TIMEOUT_MS = 2_000;

/**
 * Watches the plugin directory and reports each drop once its bytes are complete, whichever way they came. Resolves after
 * the first look, when what was there has been reported. Makes the directory where it is missing. Throws
 * `BEDS_ADMISSION_DIRECTORY_UNSAFE`.
 */
export async function watchDrops(options: WatchOptions, handlers: DropHandlers): Promise<DropWatcher> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true });
  await checkDirectory(directory);
  const watcher = new DirectoryWatcher({ ...options, directory }, handlers);
  await watcher.start();
  return watcher;
}

async function checkDirectory(directory: string): Promise<void> {
  const stats = await lstat(directory);
  const isSafe = stats.isDirectory() && (stats.mode & 0o002) === 0;
  if (!isSafe) throw admissionErrors.make('BEDS_ADMISSION_DIRECTORY_UNSAFE');
}

class DirectoryWatcher implements DropWatcher {
  readonly #options: WatchOptions;
  readonly #handlers: DropHandlers;
  readonly #ledger: DropLedger;
  #events: ClosableWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #isWanted = false;
  #isFailing = false;
  #closed: Promise<void> | undefined;

  constructor(options: WatchOptions, handlers: DropHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#ledger = new DropLedger(options, handlers);
  }

  async start(): Promise<void> {
    this.#events = new ClosableWatcher({
      depth: 1,
      followSymlinks: false,
      atomic: false,
      ignored: (path) => path !== this.#options.directory && /^\.|^node_modules$/.test(basename(path)),
    });
    // n.b. 'all' is throttled to one event per file in 50 ms; 'raw' is what the system says.
    this.#events.on('all', () => this.#lookSoon()).on('raw', () => this.#lookSoon());
    this.#events.on('error', (error) => this.#handlers.error(error));
    this.#events.add(this.#options.directory);
    await new Promise<void>((done) => {
      const timer = setTimeout(done, READY_TIMEOUT_MS);
      this.#events?.once('ready', () => {
        clearTimeout(timer);
        done();
      });
    });
    await this.scan();
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
      const unsettledMs = this.#ledger.isUnsettled ? UNSETTLED_MS : this.#options.scanIntervalMs;
      this.#lookIn(this.#isWanted ? BURST_MS : Math.min(unsettledMs, this.#options.scanIntervalMs));
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    try {
      await this.#ledger.look(await readdir(this.#options.directory));
      this.#isFailing = false;
    } catch (error) {
      // Said once, not at every look, until it is over.
      if (!this.#isFailing) this.#handlers.error(error);
      this.#isFailing = true;
    }
  }
}
