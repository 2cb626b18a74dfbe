import { mkdir, readdir, lstat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { FSWatcher } from 'chokidar';
import { admissionErrors, type AdmissionCode } from '../../errors/admission.js';
import type { Finding } from '../../template/contract.js';
import type { DropHandlers, DropWatcher, RefusedDrop, WatchOptions } from '../admit/contract.js';
import { takeFingerprint, type Fingerprint, readDrop, type Reading } from '../admit/read-drop.js';

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
    // n.b. what cannot be read cannot be watched, and trying would wake the next look at once.
    const names = await readdir(this.#options.directory);
    if (this.#watched !== undefined && this.#watched !== identity) {
      await this.#events?.close();
      if (this.#closed === undefined) this.#watch();
    }
    this.#watched = identity;
    return { identity, names };
  }

  async #identify(): Promise<string> {
    return `${await identifyDirectory(this.#options.directory)}:${this.#times}`;
  }
}

// What is in it.

/** How long a drop that looks wrong for good must rest before that is believed: copying tools make odd states in between. */
const SETTLE_MS = 200;
/** How long a name may be gone before that is a removal: replacing a folder takes the old one away first. */
const REMOVAL_MS = 250;
/** Removals follow each other for as long as somebody empties a directory; they are judged together, after this at the latest. */
const LONGEST_REMOVAL_MS = 2_000;
/** File systems stamp changes with the tick of a clock: a change this young may be followed by one with an equal stamp. */
const STAMP_TICK_MS = 50;

/** What is known of one name in the plugin directory. */
class Entry {
  mark = '';
  /** Monotonic, milliseconds: when the mark was last seen to differ. */
  restsSince = performance.now();
  /** Wall clock, milliseconds: when it was first seen, or began to change. */
  seenAt = 0;
  /** The stamp is too young to rely on: read once more. */
  isYoung = false;
  goneSince: number | undefined;
  /** Since when its folder has been there without a bundle. */
  hollowSince: number | undefined;
  /** The directory in which it was seen last. */
  directory = '';
  /** Why it is not taken for removed though it is not there. */
  missed: Missed['why'] | undefined;
  pending: Exclude<Reading, { state: 'complete' }> | undefined;
  /** Monotonic, milliseconds: since when it has been malformed without a rest. */
  malformedSince: number | undefined;
  refusal: { readonly text: string; readonly drop: RefusedDrop } | undefined;
  served: { readonly hash: string; readonly domain: string; readonly order: number } | undefined;

  /** It is in the directory. */
  isThere(): void {
    this.goneSince = undefined;
    this.hollowSince = undefined;
    this.missed = undefined;
  }
}

/** What the plugin directory is and holds at one moment. */
interface DirectoryView {
  /** Another directory under the same path has another one. */
  readonly identity: string;
  readonly names: readonly string[];
}

/** A bundle that is not there, and whose domain goes on all the same. */
interface Missed {
  readonly entry: string;
  readonly domain: string;
  /** Another directory took the place of its own; all bundles went at once; its folder is there, without a bundle. */
  readonly why: 'replaced' | 'emptied' | 'hollow';
}

/** What a look found beside drops and removals. */
interface LookResult {
  /** Why what is there could not be looked at, by its name. */
  readonly unreadable: ReadonlyMap<string, unknown>;
  readonly missed: readonly Missed[];
}

/** What is known of every entry of the plugin directory, and what follows from looking at it again. */
class PluginScanner {
  readonly #options: WatchOptions;
  readonly #handlers: DropHandlers;
  readonly #entries = new Map<string, Entry>();
  #order = 0;

  constructor(options: WatchOptions, handlers: DropHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Whether time alone can change what is known, so that looking again soon is worth it. */
  get isUnsettled(): boolean {
    return [...this.#entries.values()].some(
      (entry) =>
        entry.pending !== undefined || entry.isYoung || (entry.goneSince !== undefined && entry.missed === undefined),
    );
  }

  /**
   * Looks at everything once, oldest change first, so that of two versions the one dropped later is reported later.
   * `isStillThere`: whether the path leads to the same directory after that; what was not found in another one is not gone.
   */
  async look({ names, identity }: DirectoryView, isStillThere: () => Promise<boolean>): Promise<LookResult> {
    const present = new Set(names);
    const all = [...new Set([...names, ...this.#entries.keys()])];
    const seen = await Promise.all(all.map((name) => this.#see(name)));
    const canMiss = await isStillThere();
    const unreadable = new Map<string, unknown>();
    for (const { name, print, error } of seen.sort(byAge)) {
      if (error !== undefined) this.#noteUnreadable(name, { error, unreadable });
      else if (print !== undefined) {
        await this.#lookAt(name, print, identity).catch((reason: unknown) => {
          this.#noteUnreadable(name, { error: reason, unreadable });
        });
      } else if (canMiss) this.#lookAtAbsent(name, present.has(name));
    }
    if (canMiss) this.#judgeGone(identity);
    return { unreadable, missed: this.#missed() };
  }

  async #see(name: string): Promise<Seen> {
    return takeFingerprint(this.#options.directory, name).then(
      (print) => ({ name, print }),
      (error: unknown) => ({ name, print: undefined, error }),
    );
  }

  /** It is as it was, as far as anybody knows; it is read again when it can be. */
  #noteUnreadable(name: string, more: { readonly error: unknown; readonly unreadable: Map<string, unknown> }): void {
    more.unreadable.set(name, more.error);
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.isThere();
    entry.mark = '';
    entry.pending = undefined;
    entry.isYoung = false;
  }

  async #lookAt(name: string, print: Fingerprint, directory: string): Promise<void> {
    const now = performance.now();
    const entry = this.#entries.get(name) ?? new Entry();
    this.#entries.set(name, entry);
    entry.isThere();
    entry.directory = directory;
    const isChanged = entry.mark !== print.mark;
    if (isChanged) {
      if (entry.pending === undefined) entry.seenAt = Date.now();
      entry.mark = print.mark;
      entry.restsSince = now;
    }
    if (isChanged || entry.isYoung) await this.#read(name, entry, print);
    const { pending } = entry;
    if (pending === undefined) return;
    if (this.#isOver(entry, pending, now)) this.#refuse(entry, pending);
  }

  /** Whether to believe what a reading says: it rests, or it has been wrong all the time and may never rest. */
  #isOver(entry: Entry, { state }: NonNullable<Entry['pending']>, now: number): boolean {
    const { incompleteMs } = this.#options;
    const isMalformed = state === 'malformed';
    entry.malformedSince = isMalformed ? (entry.malformedSince ?? now) : undefined;
    if (now - (entry.malformedSince ?? now) >= incompleteMs) return true;
    return now - entry.restsSince >= (isMalformed ? Math.min(SETTLE_MS, incompleteMs) : incompleteMs);
  }

  async #read(name: string, entry: Entry, seen: Fingerprint): Promise<void> {
    entry.isYoung = Math.abs(Date.now() - seen.changedAt) < STAMP_TICK_MS;
    const reading = await readDrop({ directory: this.#options.directory, entry: name, seen }, this.#options);
    if (reading.state !== 'complete') {
      entry.pending = reading;
      return;
    }
    const { drop } = reading;
    entry.pending = undefined;
    entry.malformedSince = undefined;
    this.#withdraw(entry, drop.manifest.domain);
    if (entry.served?.hash === drop.hash) return;
    entry.served = { hash: drop.hash, domain: drop.manifest.domain, order: ++this.#order };
    this.#handlers.complete({ ...drop, bornAt: seen.bornAt, changedAt: seen.changedAt, seenAt: entry.seenAt });
  }

  #refuse(entry: Entry, { drop, findings }: NonNullable<Entry['pending']>): void {
    entry.pending = undefined;
    const text = JSON.stringify([drop.hash, findings.map(sameAs)]);
    if (text === entry.refusal?.text) return;
    this.#withdraw(entry, drop.domain ?? drop.entry);
    entry.refusal = { text, drop };
    this.#handlers.refused(drop, findings);
  }

  /** What the entry was refused as, under another name than it has now, is nowhere any more. */
  #withdraw(entry: Entry, domain: string): void {
    const refused = entry.refusal?.drop;
    entry.refusal = undefined;
    if (refused !== undefined && (refused.domain ?? refused.entry) !== domain) this.#handlers.withdrawn(refused);
  }

  /** What was refused ends at once. What serves ends when its name has been gone for a moment. */
  #lookAtAbsent(name: string, isPresent: boolean): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.pending = undefined;
    entry.isYoung = false;
    if (entry.served === undefined) {
      this.#entries.delete(name);
      if (entry.refusal !== undefined) this.#handlers.withdrawn(entry.refusal.drop);
    } else if (isPresent) {
      const now = performance.now();
      entry.hollowSince ??= now;
      // Whoever replaces a folder empties it first.
      if (now - entry.hollowSince >= this.#options.incompleteMs) entry.missed = 'hollow';
    } else {
      entry.goneSince ??= performance.now();
      entry.hollowSince = undefined;
      if (entry.missed === 'hollow') entry.missed = undefined;
    }
  }

  /** Of what has been gone for long enough: what is a removal, and what is an accident of the whole directory. */
  #judgeGone(identity: string): void {
    const gone = this.#dueRemovals();
    const left = this.#complete().filter(([, entry]) => !gone.includes(entry) && entry.missed === undefined);
    const isEmptied = left.length === 0 && gone.filter(({ missed }) => missed === undefined).length > 1;
    for (const [name, entry] of this.#complete().filter((each) => gone.includes(each[1]))) {
      const isReplaced = left.some(([, { served }]) => served?.domain === entry.served?.domain);
      if (isReplaced) this.#remove(name, entry, gone);
      else if (entry.missed !== undefined) continue;
      else if (entry.directory !== identity) entry.missed = 'replaced';
      else if (isEmptied) entry.missed = 'emptied';
      else this.#remove(name, entry, gone);
    }
  }

  /** Names that went together are judged together: with a wait after the last of them. */
  #dueRemovals(): readonly Entry[] {
    const now = performance.now();
    const gone = this.#complete().flatMap(([, entry]) => (entry.goneSince === undefined ? [] : [entry]));
    const last = Math.max(...gone.map(({ goneSince = 0 }) => goneSince));
    return gone.filter(({ goneSince = now }) => {
      const forMs = now - goneSince;
      return forMs >= LONGEST_REMOVAL_MS || (forMs >= REMOVAL_MS && now - last >= REMOVAL_MS);
    });
  }

  #remove(name: string, { refusal, served }: Entry, gone: readonly Entry[]): void {
    this.#entries.delete(name);
    if (refusal !== undefined) this.#handlers.withdrawn(refusal.drop);
    if (served === undefined) return;
    const { hash, domain } = served;
    const others = this.#complete().filter(([, entry]) => entry.served?.domain === domain && !gone.includes(entry));
    const inOrder = others.sort(([, a], [, b]) => (a.served?.order ?? 0) - (b.served?.order ?? 0));
    this.#handlers.removed({ entry: name, hash, domain, others: inOrder.map(([other]) => other) });
  }

  #complete(): (readonly [string, Entry])[] {
    return [...this.#entries].filter(([, { served }]) => served !== undefined);
  }

  #missed(): readonly Missed[] {
    return this.#complete().flatMap(([entry, { served, missed }]) =>
      served === undefined || missed === undefined ? [] : [{ entry, domain: served.domain, why: missed }],
    );
  }
}

/** What makes a finding another one. What grows is too large by another size at each look. */
function sameAs({ code, message }: Finding): string {
  return code === 'BEDS_ADMISSION_TOO_LARGE' ? code : `${code} ${message}`;
}

interface Seen {
  readonly name: string;
  readonly print: Fingerprint | undefined;
  /** Why nothing is known of it. */
  readonly error?: unknown;
}

function byAge(a: Seen, b: Seen): number {
  const age = (a.print?.changedAt ?? 0) - (b.print?.changedAt ?? 0);
  return age === 0 ? a.name.localeCompare(b.name, 'en', { numeric: true }) : age;
}

// What is wrong with it.

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
