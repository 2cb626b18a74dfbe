import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { threadErrors } from '../../../errors/thread.js';
import { publishFault } from '../../../observe/channels.js';
import { readTrail } from '../../../threads/trail.js';
import type { Accused } from '../../quarantine.js';

/** What the run before has left, if it ended without being stopped. */
export interface LastRun {
  /** It ended without being stopped. */
  readonly isKilled: boolean;
  /** Versions whose code ran when it ended, or had run a moment before. */
  readonly suspects: readonly Accused[];
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
  const suspects = new Map<string, Accused>();
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
