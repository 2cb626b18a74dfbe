import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, linkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { serviceNames, type ServerState, type ServiceName, type ServicesState } from './contract.js';
import { pickPorts } from './ports.js';
import { endProcesses, identify, isSameProcessAlive, type ProcessIdentity } from '../process-identity.js';
import { setTimeout as delay } from 'node:timers/promises';
import { servicesErrors } from '../errors/dev-servers.js';

/** What is kept of a server in its folder: its address from one run to the next, and its state while it runs. */

/** Makes a folder that only its owner can enter. */
export function makePrivateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Writes a file that only its owner can read, all of it or nothing. */
export function writePrivateFile(path: string, text: string, mode = 0o600): void {
  makePrivateFolder(dirname(path));
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}

/** Undefined when the file is absent or is not JSON. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** What a server keeps from one run to the next, so that its data stay readable and its URL stays the same. */
export interface ServerMemory {
  readonly password: string;
  readonly ports: readonly number[];
}

/** Remembered, or made anew: the password once, the ports again when another program took one. */
export async function recallServer(folder: string, portCount: number): Promise<ServerMemory> {
  const file = join(folder, 'private.json');
  const known = readJson(file) as Partial<ServerMemory> | undefined;
  const memory: ServerMemory = {
    // Letters and digits only: it is written into URLs, SQL and configuration files.
    password: known?.password ?? randomBytes(24).toString('hex'),
    ports: await pickPorts(portCount, known?.ports),
  };
  writePrivateFile(file, JSON.stringify(memory));
  return memory;
}

/** Forgets the ports: the next start picks others. */
export function forgetPorts(folder: string, password: string): void {
  writePrivateFile(join(folder, 'private.json'), JSON.stringify({ password }));
}

// One file per server and not one for all: each has one writer, so no update is lost between commands.
function stateFile(directory: string, name: ServiceName): string {
  return join(directory, name, 'state.json');
}

function readState(directory: string, name: ServiceName): ServerState | undefined {
  const state = readJson(stateFile(directory, name)) as ServerState | undefined;
  return state?.version === 1 && state.name === name ? state : undefined;
}

/** A server of this directory that runs now and is under its guard. */
export function findRunning(directory: string, name: ServiceName): ServerState | undefined {
  const state = readState(directory, name);
  if (state?.process === undefined || state.guard === undefined) return undefined;
  return isSameProcessAlive(state.process) && isSameProcessAlive(state.guard) ? state : undefined;
}

/** The servers of a directory that run now, so that other commands of the same checkout find them. */
export function readServices(directory: string): ServicesState | undefined {
  const running = serviceNames.map((name) => findRunning(directory, name)).filter((each) => each !== undefined);
  return running.length === 0 ? undefined : Object.fromEntries(running.map((each) => [each.name, each]));
}

export function writeState(directory: string, state: ServerState): void {
  writePrivateFile(stateFile(directory, state.name), JSON.stringify(state, undefined, 2));
}

export function removeState(directory: string, name: ServiceName): void {
  rmSync(stateFile(directory, name), { force: true });
}

/** Ends what a killed command and a killed guard left behind. */
export async function endStale(directory: string, name: ServiceName): Promise<void> {
  const state = readState(directory, name);
  if (state === undefined) return;
  await endProcesses(state.guard === undefined ? [] : [state.guard], 20_000);
  // The server first: its helpers must outlive it to let it end in order.
  for (const each of state.processes.toReversed()) await endProcesses([each], 10_000);
  removeState(directory, name);
}

/** The last lines of a log, for an error message. */
export function logTail(file: string, lines = 15): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(it wrote no log)';
  }
}

export interface LockOptions {
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** Called once, when another process holds the lock. */
  readonly onWait: (holderPid: number) => void;
}

/**
 * Runs `work` while no other process holds the lock file. The lock of a dead process counts as free.
 * Throws BEDS_SERVICES_BUSY after `waitMs`.
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const release = await acquire(file, options);
  try {
    return await work();
  } finally {
    release();
  }
}

async function acquire(file: string, options: LockOptions): Promise<() => void> {
  makePrivateFolder(dirname(file));
  const deadline = Date.now() + options.waitMs;
  let told = false;
  for (;;) {
    if (take(file)) return () => rmSync(file, { force: true });
    const holder = readJson(file) as ProcessIdentity | undefined;
    if (holder !== undefined && !isSameProcessAlive(holder)) {
      removeStale(file, holder);
      continue;
    }
    if (!told && holder !== undefined) options.onWait(holder.pid);
    told = true;
    if (Date.now() > deadline) {
      throw servicesErrors.make('BEDS_SERVICES_BUSY', `Process ${String(holder?.pid)} has held ${file} for too long.`);
    }
    await delay(100, undefined, { signal: options.signal });
  }
}

// A link appears with its content at once and fails if the name is taken: there is never a lock without a holder in it.
function take(file: string): boolean {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, JSON.stringify(identify(process.pid)), { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

// Two may judge the same lock stale: the second would take away the new lock of the first, so it looks at what it took.
function removeStale(file: string, holder: ProcessIdentity): void {
  const taken = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(file, taken);
    const found = readJson(taken) as ProcessIdentity | undefined;
    if (found?.pid !== holder.pid || found.startedAt !== holder.startedAt) linkSync(taken, file);
  } catch {
    // Somebody else was quicker; the caller looks again.
  } finally {
    rmSync(taken, { force: true });
  }
}
