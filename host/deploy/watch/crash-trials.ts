import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '@beds/sdk';
import { z } from 'zod';
import type { Config } from '../../config/schema.js';
import { threadErrors } from '../../errors/thread.js';
import { publishFault } from '../../observe/channels.js';
import type { Log } from '../../observe/log.js';
import type { Finding } from '../../template/contract.js';
import type { Cell, ThreadPool } from '../../threads/pool.js';
import { readTrail, Trail } from '../../threads/trail.js';
import { probeApart } from '../admit/probe-apart.js';
import type { ProbeTask, Prober, ProbeOptions, ProbeWatch } from '../admit/probe.js';
import { loadStaged } from '../admit/stage.js';
import type { Transition } from '../state.js';
import { StateFile } from '../state-file.js';

export interface TrialsOptions {
  /** `state.directory`, absolute. */
  readonly directory: string;
  readonly config: Config;
  readonly log: Log;
}

export interface TrialSubjects {
  readonly pool: ThreadPool;
  readonly deploy: {
    readonly routes: { isServed(domain: string): boolean; rejoin(domain: string): Promise<void> };
    /** Whether a version is on its way to serve, or waits. */
    isOnItsWay(hash: string): boolean;
  };
}

interface Quiet {
  readonly thread: string;
  readonly sinceMs: number;
}

/** A host that lives this long does not end for what a start does. */
const SHORT_LIFE_MS = 60_000;
/** From so many ends in a row on, all code is tried apart where nothing says whose ran. */
const MANY_SHORT_LIVES = 3;
const LOOK_MS = 250;
/** A version that was let back and under which the host ends again is tried so many times as long. */
const LONGER = 4;
const MAX_TRIAL_MS = 3_600_000;
/** A domain that does not come to serve is kept apart so many times as long. */
const PATIENCE = 10;

/**
 * After a host that ended without being stopped: the versions whose code ran then may have done it, or somebody killed the
 * host. So their domains are served by a process of their own, which only they can end, until that has held for a while.
 */
export class Trials {
  readonly #options: TrialsOptions;
  readonly #record: TrialRecord;
  readonly #trail: Trail;
  readonly #lives: NodeJS.Timeout;
  readonly #quiet = new Map<string, Quiet>();
  readonly #startedAtMs = performance.now();
  #watch: NodeJS.Timeout | undefined;
  #isLooking = false;

  private constructor(options: TrialsOptions, record: TrialRecord) {
    this.#options = options;
    this.#record = record;
    this.#trail = new Trail({
      path: ownTrailOf(options.directory),
      onFault: (cause) =>
        publishFault({
          where: 'trail',
          error: threadErrors.make('BEDS_THREAD_TRAIL_UNWRITABLE', undefined, { cause }),
        }),
    });
    this.#lives = setTimeout(() => record.lives(), SHORT_LIFE_MS).unref();
  }

  /** Reads what the run before has left, and begins to write down what this one does. */
  static async open(options: TrialsOptions): Promise<Trials> {
    const { directory, log } = options;
    const { isKilled, suspects } = readLastRun(directory);
    const record = await TrialRecord.open(directory);
    if (isKilled) {
      await record.killed(suspects);
      const words = suspects.length === 0 ? 'no code of a template ran then' : 'code of these versions ran then';
      log.warn({ suspects, shortLives: record.shortLives }, `the host ended without being stopped; ${words}`);
      if (record.shortLives >= MANY_SHORT_LIVES) sayAgain(record.shortLives);
    }
    clearTrails(directory);
    return new Trials(options, record);
  }

  /** The processes that this start needs; none after an end in order. `served`: hashes by domain. */
  async cells(served: ReadonlyMap<string, string>): Promise<readonly Cell[]> {
    const open = this.#record.open;
    if (open.length === 0 && !this.#isEverybodySuspect) return [];
    const manifests = await this.#manifestsOf(served);
    const domains = open.map(({ domain }) => domain);
    const suspects = new Set(domains.length > 0 ? domains : manifests.map(({ domain }) => domain));
    const cells = makeCells(suspects, manifests);
    for (const { group, domains: kept } of cells) {
      this.#options.log.warn({ thread: group, domains: [...kept] }, 'tried in a process of its own');
    }
    return cells;
  }

  /** Probes what is suspected in a process of its own, and writes down what it probes. */
  prober(prober: Prober): Prober {
    const isSuspect = (hash: string): boolean =>
      this.#isEverybodySuspect || this.#record.open.some((suspect) => suspect.hash === hash);
    const { probeTimeoutMs: timeoutMs, probeMemoryMb: memoryMb } = this.#options.config.plugins;
    return new TrialProber(prober, { timeoutMs, memoryMb, trail: this.#trail, isSuspect });
  }

  /** Lets domains back to the threads when their processes have held. */
  watch(subjects: TrialSubjects): void {
    if (subjects.pool.cells.groups.length === 0) return;
    this.#watch = setInterval(() => {
      if (this.#isLooking) return;
      this.#isLooking = true;
      void this.#look(subjects).finally(() => (this.#isLooking = false));
    }, LOOK_MS).unref();
  }

  /** Nothing is tried any more. */
  stopWatching(): void {
    clearInterval(this.#watch);
  }

  /** The host ends in order: nothing that runs is to blame for it. */
  async close(): Promise<void> {
    this.stopWatching();
    clearTimeout(this.#lives);
    this.#trail.close();
    clearTrails(this.#options.directory);
    this.#record.lives();
    await this.#record.close();
  }

  get #isEverybodySuspect(): boolean {
    return this.#record.open.length === 0 && this.#record.shortLives >= MANY_SHORT_LIVES;
  }

  async #look(subjects: TrialSubjects): Promise<void> {
    const { pool, deploy } = subjects;
    const domains = pool.cells.groups.flatMap((group) => [...(pool.cells.get(group)?.domains ?? [])]);
    for (const domain of domains) {
      if (!this.#hasHeld(domain, subjects)) continue;
      await deploy.routes.rejoin(domain).catch((error: unknown) => {
        publishFault({ where: `return of ${domain} to the threads`, error, domain });
      });
      if (pool.cells.groupOf(domain) !== undefined) continue;
      this.#record.tried(domain);
      this.#options.log.info({ domain }, `${domain} is served by the threads again`);
    }
    if (pool.cells.groups.length === 0) this.stopWatching();
  }

  #hasHeld(domain: string, { pool, deploy }: TrialSubjects): boolean {
    const nowMs = performance.now();
    const trialMs = this.#trialMs(domain);
    const group = pool.cells.groupOf(domain);
    const handle = pool.serving.find((member) => member.group === group)?.handle;
    const isUntried = this.#record.open.some((suspect) => suspect.domain === domain && deploy.isOnItsWay(suspect.hash));
    const isServed = !isUntried && deploy.routes.isServed(domain);
    if (handle === undefined || !isServed) {
      this.#quiet.delete(domain);
      return !isServed && nowMs - this.#startedAtMs > PATIENCE * trialMs;
    }
    const quiet = this.#quiet.get(domain);
    if (quiet?.thread !== handle.name) this.#quiet.set(domain, { thread: handle.name, sinceMs: nowMs });
    else if (handle.suspect === 0) return nowMs - quiet.sinceMs > trialMs;
    return false;
  }

  #trialMs(domain: string): number {
    const { trialMs } = this.#options.config.supervisor;
    const ends = this.#record.open.filter((suspect) => suspect.domain === domain).map((suspect) => suspect.ends);
    return Math.min(MAX_TRIAL_MS, trialMs * LONGER ** Math.max(0, Math.max(1, ...ends) - 1));
  }

  async #manifestsOf(served: ReadonlyMap<string, string>): Promise<readonly Manifest[]> {
    const stage = join(this.#options.directory, 'stage');
    const staged = await Promise.all(
      [...served.values()].map((hash) => loadStaged(hash, stage).catch(() => undefined)),
    );
    return staged.flatMap((each) => each?.manifest ?? []);
  }
}

function sayAgain(times: number): void {
  const words = `The host ended ${String(times)} times in a row within a minute of its start, without being stopped.`;
  publishFault({ where: 'start', error: threadErrors.make('BEDS_THREAD_ENDED_AGAIN', words) });
}

/** Processes that there are at most; what is more shares them. */
const MAX_CELLS = 4;

/**
 * Divides the domains that are to be kept apart among processes. Whoever calls one of them, be it through others, goes with it:
 * its code would run in the caller's process.
 */
export function makeCells(suspects: ReadonlySet<string>, manifests: readonly Manifest[]): readonly Cell[] {
  const groups = [...suspects].map((domain) => withCallers(domain, manifests));
  const joined = groups.reduce<ReadonlySet<string>[]>((all, group) => {
    const overlapping = all.filter((other) => [...group].some((domain) => other.has(domain)));
    const others = all.filter((other) => !overlapping.includes(other));
    return [...others, new Set([group, ...overlapping].flatMap((each) => [...each]))];
  }, []);
  const count = Math.min(MAX_CELLS, joined.length);
  return Array.from({ length: count }, (_, index) => {
    const own = joined.filter((_group, place) => place % count === index);
    const domains = new Set(own.flatMap((group) => [...group]));
    const needs = new Set([...reach(domains, manifests)].filter((domain) => !domains.has(domain)));
    // n.b. no group of the configuration has a colon in its name.
    return { group: `apart:${String(index + 1)}`, domains, needs, isSole: own.length === 1 };
  });
}

function withCallers(domain: string, manifests: readonly Manifest[]): ReadonlySet<string> {
  const found = new Set([domain]);
  for (let size = 0; size !== found.size;) {
    size = found.size;
    for (const caller of manifests) if (caller.peers.some((called) => found.has(called))) found.add(caller.domain);
  }
  return found;
}

/** What the code of these domains calls, be it through others. */
function reach(domains: ReadonlySet<string>, manifests: readonly Manifest[]): ReadonlySet<string> {
  const found = new Set(domains);
  for (let size = 0; size !== found.size;) {
    size = found.size;
    for (const { domain, peers: called } of manifests) if (found.has(domain)) called.forEach((one) => found.add(one));
  }
  return found;
}

export interface TrialProberOptions extends ProbeOptions {
  readonly trail: Trail;
  /** Whether these bytes may have ended the host. */
  readonly isSuspect: (hash: string) => boolean;
}

/** A thread that is ended in the middle of a long call is there until that returns. */
const ENDING_MS = 5_000;

/** Writes down what it probes, and probes in a process of its own what may have ended the host. */
class TrialProber implements Prober {
  readonly #prober: Prober;
  readonly #options: TrialProberOptions;
  #lastId = 0;

  constructor(prober: Prober, options: TrialProberOptions) {
    this.#prober = prober;
    this.#options = options;
  }

  async probe(task: Omit<ProbeTask, 'memoryMb'>, watch: ProbeWatch = {}): Promise<readonly Finding[]> {
    const { trail, isSuspect, timeoutMs, memoryMb } = this.#options;
    const { hash, manifest } = task;
    if (hash === undefined) return this.#prober.probe(task, watch);
    this.#lastId += 1;
    const id = this.#lastId;
    trail.load({ id, hash, manifest });
    const findings = isSuspect(hash)
      ? await probeApart({ ...task, memoryMb }, { timeoutMs, signal: watch.signal })
      : await this.#prober.probe(task, watch);
    // What is refused for the time or memory it takes goes on with both until its thread has ended.
    if (findings.length === 0) trail.forget(id);
    else setTimeout(() => trail.forget(id), ENDING_MS).unref();
    return findings;
  }

  expect(): void {
    this.#prober.expect();
  }

  close(): Promise<void> {
    return this.#prober.close();
  }
}

// What is written down of it.

const suspectSchema = z.object({
  domain: z.string(),
  version: z.string(),
  hash: z.string(),
  /** Milliseconds since 1970 when the host ended under it last, and how often that happened. */
  atMs: z.number(),
  ends: z.number(),
  isOpen: z.boolean(),
});
const recordSchema = z.object({
  v: z.literal(1),
  /** Ends in a row of a host that was not stopped, each soon after its start. */
  shortLives: z.number(),
  suspects: z.array(suspectSchema),
});
type RecordOnDisk = z.output<typeof recordSchema>;
export type Suspect = Readonly<z.output<typeof suspectSchema>>;

/** The newest stay. */
const MAX_SUSPECTS = 1_000;
/** After it, that the host ended under a version says nothing any more. */
const REMEMBERED_MS = 86_400_000;

/** Which versions are suspected of having ended the host, over starts that end before they are tried. */
export class TrialRecord {
  readonly #file: StateFile<RecordOnDisk>;

  private constructor(file: StateFile<RecordOnDisk>) {
    this.#file = file;
  }

  static async open(directory: string): Promise<TrialRecord> {
    const parse = (value: unknown): RecordOnDisk | undefined => recordSchema.safeParse(value).data;
    const path = join(directory, 'suspects.json');
    return new TrialRecord(await StateFile.open<RecordOnDisk>(path, parse, { v: 1, shortLives: 0, suspects: [] }));
  }

  get shortLives(): number {
    return this.#file.value.shortLives;
  }

  /** Those that are still to be tried. */
  get open(): readonly Suspect[] {
    return this.#file.value.suspects.filter(({ isOpen }) => isOpen);
  }

  /** The host ended without being stopped, while these ran. Resolves when that is on disk. */
  async killed(
    suspects: readonly Pick<Transition, 'domain' | 'version' | 'hash'>[],
    nowMs = Date.now(),
  ): Promise<void> {
    const { shortLives, suspects: known } = this.#file.value;
    const recent = known.filter(({ atMs, isOpen }) => isOpen || nowMs - atMs < REMEMBERED_MS);
    const hashes = new Set(suspects.map(({ hash }) => hash));
    const added = suspects.map(({ domain, version, hash }) => {
      const ends = (recent.find((before) => before.hash === hash)?.ends ?? 0) + 1;
      return { domain, version, hash, atMs: nowMs, ends, isOpen: true };
    });
    const all = [...recent.filter(({ hash }) => !hashes.has(hash)), ...added].slice(-MAX_SUSPECTS);
    this.#file.set({ v: 1, shortLives: shortLives + 1, suspects: all });
    await this.#file.close();
  }

  /** The host lives long enough, or is stopped. */
  lives(): void {
    if (this.shortLives > 0) this.#file.set({ ...this.#file.value, shortLives: 0 });
  }

  /** The versions of the domain are tried, with whatever outcome. */
  tried(domain: string): void {
    const state = this.#file.value;
    const suspects = state.suspects.map((each) => (each.domain === domain ? { ...each, isOpen: false } : each));
    this.#file.set({ ...state, suspects });
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** What the run before has left, if it ended without being stopped. */
export interface LastRun {
  /** It ended without being stopped. */
  readonly isKilled: boolean;
  /** Versions whose code ran when it ended, or had run a moment before. */
  readonly suspects: readonly Pick<Transition, 'domain' | 'version' | 'hash'>[];
}

const EXTENSION = '.trail';

export function trailDirectoryOf(stateDirectory: string): string {
  return join(stateDirectory, 'trail');
}

/** The supervisor's own trail: it is there as long as a host is not stopped. */
export function ownTrailOf(stateDirectory: string): string {
  return join(trailDirectoryOf(stateDirectory), `supervisor${EXTENSION}`);
}

/** Reads what is there. Never throws: a start must not fail for what the run before has left. */
export function readLastRun(stateDirectory: string): LastRun {
  const directory = trailDirectoryOf(stateDirectory);
  const names = trailNames(directory);
  const suspects = new Map<string, Pick<Transition, 'domain' | 'version' | 'hash'>>();
  let unreadable = 0;
  for (const name of names) {
    const view = readTrail(join(directory, name));
    if (view === undefined) unreadable += 1;
    for (const { hash, domain, version } of view?.entries.filter(({ isOpen }) => isOpen) ?? []) {
      suspects.set(hash, { hash, domain, version });
    }
  }
  if (unreadable > 0) {
    publishFault({ where: 'trail', error: threadErrors.make('BEDS_THREAD_TRAIL_UNREADABLE') });
  }
  return { isKilled: names.length > 0, suspects: [...suspects.values()] };
}

/** Forgets what the run before has left, or this one: it ends in order. */
export function clearTrails(stateDirectory: string): void {
  const directory = trailDirectoryOf(stateDirectory);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of trailNames(directory)) rmSync(join(directory, name), { recursive: true, force: true });
  } catch (error) {
    const words = threadErrors.make('BEDS_THREAD_TRAIL_UNWRITABLE', undefined, { cause: error });
    publishFault({ where: 'trail', error: words });
  }
}

function trailNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(EXTENSION));
  } catch {
    return [];
  }
}
