/**
 * Runs as a process of its own, in a session of its own, between a command and one server.
 *
 * Reason: a command that is killed cannot clean up. Its end of this process's standard input closes however it dies
 * (SIGKILL too), and that ends the server. A Ctrl-C in the terminal does not reach this session, so the command
 * decides when the server stops.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { ServerCommand } from './contract.js';
import { identify, type ProcessIdentity } from '../process-identity.js';

/** One JSON line each, from the command to the guard on its standard input. The end of the input means: stop. */
export type ToGuard =
  | {
      readonly type: 'launch';
      readonly commands: readonly ServerCommand[];
      readonly logFile: string;
      readonly stopTimeoutMs: number;
    }
  | { readonly type: 'stop' };

/** One JSON line each, from the guard to the command on its standard output. */
export type FromGuard =
  | { readonly type: 'started'; readonly processes: readonly ProcessIdentity[] }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null };

class Guard {
  readonly #children: ChildProcess[] = [];
  #stopTimeoutMs = 10_000;
  #stopping = false;

  receive(message: ToGuard): void {
    if (message.type === 'stop') this.stop();
    else this.#launch(message);
  }

  /** Ends the server in order, then by force; its exit ends this process. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const server = this.#children.at(-1);
    if (server === undefined || hasExited(server)) {
      this.#finish();
      return;
    }
    server.kill('SIGTERM');
    setTimeout(() => killGroup(server), this.#stopTimeoutMs).unref();
  }

  #launch(message: Extract<ToGuard, { type: 'launch' }>): void {
    this.#stopTimeoutMs = message.stopTimeoutMs;
    const log = openSync(message.logFile, 'a', 0o600);
    try {
      for (const command of message.commands) this.#children.push(this.#spawn(command, log));
    } finally {
      closeSync(log);
    }
    const server = this.#children.at(-1);
    server?.once('exit', (code, signal) => {
      send({ type: 'exited', code, signal });
      this.#finish();
    });
    const processes = this.#children.map((child) => identify(child.pid ?? 0)).filter((each) => each !== undefined);
    send({ type: 'started', processes });
  }

  #spawn(command: ServerCommand, log: number): ChildProcess {
    const child = spawn(command.command, command.args, {
      cwd: command.cwd,
      env: command.env,
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.once('error', (error) => {
      send({ type: 'failed', reason: `${command.command}: ${error.message}` });
      this.#finish();
    });
    return child;
  }

  /** Whatever is left of any process group goes; then nothing keeps this process, and it ends. */
  #finish(): void {
    for (const child of this.#children) killGroup(child);
    process.stdin.destroy();
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone, which is what was wanted.
  }
}

function send(message: FromGuard): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const guard = new Guard();
// The command may be gone: a write to it then fails, and there is nobody to tell.
process.stdout.on('error', () => undefined);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => guard.stop());
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => guard.receive(JSON.parse(line) as ToGuard));
lines.on('close', () => guard.stop());
process.stdin.on('error', () => guard.stop());
