import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerState, ServiceName, ServicesState } from './contract.js';
import { endProcesses } from './end-process.js';
import { readJson, writePrivateFile } from './private-file.js';
import { isSameProcessAlive } from './process-identity.js';

const NAMES: readonly ServiceName[] = ['rabbitmq', 'mariadb', 'mongodb'];

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
  const running = NAMES.map((name) => findRunning(directory, name)).filter((each) => each !== undefined);
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
  if (!existsSync(file)) return '(it wrote no log)';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
}
