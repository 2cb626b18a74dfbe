import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { NamedObject, StoreAdapter } from '../../host/stores/contract.js';
import type { Catalogue } from '../../host/deploy/admit/preflight.js';
import type { Finding } from '../../host/template/contract.js';
import type { Drop, DropWatcher, RefusedDrop, RemovedDrop, WatchOptions } from '../../host/deploy/admit/contract.js';
import { watchDrops } from '../../host/deploy/sources/plugin-directory.js';
import { ownTimeMs } from './own-time.js';

/** A directory that goes away with the test. */
export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'beds-admission-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export type Seen =
  | { readonly what: 'complete'; readonly at: number; readonly drop: Drop }
  | { readonly what: 'refused'; readonly at: number; readonly drop: RefusedDrop; readonly findings: readonly Finding[] }
  | { readonly what: 'removed'; readonly at: number; readonly drop: RemovedDrop }
  | { readonly what: 'withdrawn'; readonly at: number; readonly drop: RefusedDrop };

/** Everything a watcher reported, in order, and a way to wait for what comes next. */
export class DropRecord {
  readonly seen: Seen[] = [];
  readonly errors: unknown[] = [];
  readonly recovered: string[] = [];
  #wake: () => void = () => undefined;

  add(event: Seen): void {
    this.seen.push(event);
    this.#wake();
  }

  /** `complete notes-1.0.0`, and so on. */
  get summary(): string[] {
    return this.seen.map(({ what, drop }) => `${what} ${drop.entry}`);
  }

  /** Codes of what was said of the directory as a whole, in order. */
  get troubles(): string[] {
    return this.errors.map((error) => String((error as { code?: unknown }).code).replace('BEDS_ADMISSION_', ''));
  }

  /** Resolves with event number `index` (from 0); rejects when it has not come within `timeoutMs`. */
  async at(index: number, timeoutMs = 20_000): Promise<Seen> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const event = this.seen[index];
      if (event !== undefined) return event;
      const leftMs = end - performance.now();
      if (leftMs <= 0) throw new RangeError(`event ${index} did not come; came: ${this.summary.join(', ')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Codes of the findings of event number `index`, without their common start. */
  async codesAt(index: number): Promise<string[]> {
    const event = await this.at(index);
    return event.what === 'refused' ? event.findings.map(({ code }) => code.replace('BEDS_ADMISSION_', '')) : [];
  }
}

export interface Watching {
  readonly directory: string;
  readonly record: DropRecord;
  readonly watcher: DropWatcher;
}

const NOBODY = 65_534;

/**
 * Runs `work` as nobody where the test runs as root, whom no permission stops; it may become the owner again. The threads
 * that read files change their user with the process, and so does everything else that happens meanwhile.
 */
export async function asPlainUser(work: (becomeOwner: () => void) => Promise<void>): Promise<void> {
  const owner = process.geteuid?.() ?? NOBODY;
  const become = (user: number): void => {
    if (owner === 0) process.seteuid?.(user);
  };
  become(NOBODY);
  try {
    await work(() => {
      become(owner);
    });
  } finally {
    become(owner);
  }
}

/** A watcher over a directory of its own, with short waits. */
export async function startWatching(t: TestContext, options: Partial<WatchOptions> = {}): Promise<Watching> {
  const directory = options.directory ?? join(await temporaryDirectory(t), 'plugins');
  const record = new DropRecord();
  const limits = { scanIntervalMs: 1_000, incompleteMs: 600, maxBundleBytes: 1_000_000, maxFiles: 16 };
  const watcher = await watchDrops(
    { ...limits, ...options, directory },
    {
      complete: (drop) => record.add({ what: 'complete', at: ownTimeMs(), drop }),
      refused: (drop, findings) => record.add({ what: 'refused', at: ownTimeMs(), drop, findings }),
      removed: (drop) => record.add({ what: 'removed', at: ownTimeMs(), drop }),
      withdrawn: (drop) => record.add({ what: 'withdrawn', at: ownTimeMs(), drop }),
      error: (error) => record.errors.push(error),
      recovered: (message) => record.recovered.push(message),
    },
  );
  t.after(() => watcher.close());
  return { directory, record, watcher };
}

/** A store that holds these objects and checks names, kinds and arguments; for faults that need no database. */
export function fakeStore(objects: readonly NamedObject[], store = 'main'): StoreAdapter {
  const connections = { inUse: 0, idle: 0, waiting: 0, most: 1 };
  const capabilities = {
    ...{ transactions: true, readOnlyReads: true, statementDeadline: true, nativeViews: true, accessControl: true },
  };
  const partial: Catalogue = {
    store,
    status: () => ({ store, kind: 'fake', server: 'none', up: true, capabilities, connections }),
    unindexed: 'allow',
    findUnindexed: () => Promise.resolve(undefined),
    names: () => Promise.resolve(objects.map(({ name }) => name)),
    describe: async (names) =>
      new Map(objects.filter(({ name }) => names.includes(name)).map((object) => [object.name, object])),
    check: (use, found) => {
      const finding = (code: 'OBJECT_MISSING' | 'ARGUMENT_UNKNOWN', message: string) =>
        ({ code: `BEDS_PREFLIGHT_${code}`, object: use.name, message, hint: 'Ask the DBA.' }) as const;
      if (found === undefined) return [finding('OBJECT_MISSING', `${use.name} does not exist.`)];
      if (use.kind === 'view' || found.kind === 'view') return [];
      const known = found.args.map(({ name }) => name);
      return Object.keys(use.args)
        .filter((name) => !known.includes(name))
        .map((name) => finding('ARGUMENT_UNKNOWN', `${use.name} has no argument ${name}.`));
    },
  };
  return partial as StoreAdapter;
}
