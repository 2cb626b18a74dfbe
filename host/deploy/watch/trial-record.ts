import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { threadErrors } from '../../errors/thread.js';
import { publishFault } from '../../observe/channels.js';
import { readTrail } from '../../threads/trail.js';
import type { Transition } from '../state.js';
import { StateFile } from '../state-file.js';

const suspect = z.object({
  domain: z.string(),
  version: z.string(),
  hash: z.string(),
  /** Milliseconds since 1970 when the host ended under it last, and how often that happened. */
  atMs: z.number(),
  ends: z.number(),
  isOpen: z.boolean(),
});
const schema = z.object({
  v: z.literal(1),
  /** Ends in a row of a host that was not stopped, each soon after its start. */
  shortLives: z.number(),
  suspects: z.array(suspect),
});
type State = z.output<typeof schema>;
export type Suspect = Readonly<z.output<typeof suspect>>;

/** The newest stay. */
const MAX_SUSPECTS = 1_000;
/** After it, that the host ended under a version says nothing any more. */
const REMEMBERED_MS = 86_400_000;

/** Which versions are suspected of having ended the host, over starts that end before they are tried. */
export class TrialRecord {
  readonly #file: StateFile<State>;

  private constructor(file: StateFile<State>) {
    this.#file = file;
  }

  static async open(directory: string): Promise<TrialRecord> {
    const parse = (value: unknown): State | undefined => schema.safeParse(value).data;
    const path = join(directory, 'suspects.json');
    return new TrialRecord(await StateFile.open<State>(path, parse, { v: 1, shortLives: 0, suspects: [] }));
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
