import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { servicesErrors } from '../errors/dev-servers.js';
import type { ServerCommand } from './contract.js';
import type { FromGuard, ToGuard } from './guard.js';
import { endProcesses, identify, type ProcessIdentity } from '../process-identity.js';

type GuardChild = ChildProcessByStdio<Writable, Readable, null>;

const GUARD_FILE = fileURLToPath(new URL('guard.js', import.meta.url));
const GUARD_START_TIMEOUT_MS = 15_000;
/** How long a server may take to end in order before it is killed. */
const STOP_TIMEOUT_MS = 15_000;

/** Not for the guard: options and reporters of the command it serves. */
const PRIVATE_VARIABLES = new Set(['NODE_OPTIONS', 'NODE_TEST_CONTEXT', 'NODE_V8_COVERAGE', 'NODE_CHANNEL_FD']);

/** A server (and its helper processes) under a guard: gone when this process is gone, however it ends. */
export class GuardedProcess {
  readonly guard: ProcessIdentity;
  /** The last one is the server. */
  readonly processes: readonly ProcessIdentity[];
  /** Resolves to how the server ended, for whatever reason; nothing of it is left then. */
  readonly ended: Promise<string>;
  readonly #child: GuardChild;

  constructor(child: GuardChild, processes: readonly ProcessIdentity[], exited: Promise<string>) {
    this.#child = child;
    this.processes = processes;
    this.guard = identify(child.pid ?? 0) ?? { pid: child.pid ?? 0, startedAt: '' };
    // n.b. a guard that was killed itself leaves the server behind: then it is ended from here.
    this.ended = exited.then((how) => endProcesses(processes, 0).then(() => how));
  }

  /** Ends the server in order, by force after a while. */
  async stop(): Promise<void> {
    this.hold(true);
    send(this.#child, { type: 'stop' });
    const timer = setTimeout(() => void endProcesses(this.processes, 0), STOP_TIMEOUT_MS + 5_000);
    await this.ended;
    clearTimeout(timer);
  }

  /** SIGKILL to the server, as a crash would. */
  async kill(): Promise<void> {
    this.hold(true);
    for (const each of this.processes.toReversed()) {
      try {
        process.kill(-each.pid, 'SIGKILL');
      } catch {
        // It is gone already.
      }
    }
    await this.ended;
  }

  /** Whether a running server keeps this process from ending by itself. It must not: the guard sees to the server. */
  hold(on: boolean): void {
    const handles: readonly unknown[] = [this.#child, this.#child.stdin, this.#child.stdout];
    for (const handle of handles as readonly { ref(): void; unref(): void }[]) {
      if (on) handle.ref();
      else handle.unref();
    }
  }
}

/** Starts the programs under a guard. Throws BEDS_SERVICES_START_FAILED when one cannot be run at all. */
export function launchGuarded(commands: readonly ServerCommand[], logFile: string): Promise<GuardedProcess> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !PRIVATE_VARIABLES.has(name)));
  const child = spawn(process.execPath, [GUARD_FILE], { detached: true, stdio: ['pipe', 'pipe', 'ignore'], env });
  child.stdin.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer);
      child.stdin.end();
      reject(servicesErrors.make('BEDS_SERVICES_START_FAILED', reason));
    };
    const timer = setTimeout(() => fail('The guard process did not start in time.'), GUARD_START_TIMEOUT_MS);
    let how = 'its guard was killed';
    const exited = new Promise<string>((settle) => child.once('exit', () => settle(how)));
    child.once('error', (error) => fail(`The guard process could not be run: ${error.message}`));
    child.once('exit', () => fail('The guard process ended at once.'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as FromGuard;
      if (message.type === 'failed') fail(message.reason);
      if (message.type === 'exited') how = describeExit(message);
      if (message.type !== 'started') return;
      clearTimeout(timer);
      resolve(new GuardedProcess(child, message.processes, exited));
    });
    send(child, { type: 'launch', commands, logFile, stopTimeoutMs: STOP_TIMEOUT_MS });
  });
}

function describeExit(message: Extract<FromGuard, { type: 'exited' }>): string {
  return message.signal === null
    ? `it exited with status ${String(message.code)}`
    : `it was ended by ${message.signal}`;
}

function send(child: GuardChild, message: ToGuard): void {
  child.stdin.write(`${JSON.stringify(message)}\n`);
}
