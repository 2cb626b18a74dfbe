import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { settlesWithin } from '#sdk/time';

export interface ChildOptions {
  /** A file of processes/, without extension. */
  readonly program: string;
  /** Everything that it prints goes there. */
  readonly logFile: string;
  readonly nodeOptions?: readonly string[];
  readonly args?: readonly string[];
}

const CALL_TIMEOUT_MS = 45_000;
const STOP_TIMEOUT_MS = 10_000;
const TAIL_CHARACTERS = 2_000;

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
}

/** A process of the benchmark, asked over its IPC channel. It ends with us, whatever way that happens. */
export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #waiters = new Map<number, Waiter>();
  readonly #ended: Promise<void>;
  #seq = 0;
  #stopping: Promise<void> | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    const file = fileURLToPath(new URL(`../processes/${options.program}.js`, import.meta.url));
    mkdirSync(dirname(options.logFile), { recursive: true });
    const log = openSync(options.logFile, 'a');
    const { args = [], nodeOptions = [] } = options;
    this.#process = fork(file, args, { stdio: ['ignore', log, log, 'ipc'], execArgv: [...nodeOptions] });
    closeSync(log);
    this.#process.on('message', (answer: Answer) => {
      this.#settle(answer);
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        for (const { reject } of this.#waiters.values()) reject(this.#failure('ended before it answered'));
        this.#waiters.clear();
        resolve();
      };
      this.#process.once('error', end).once('exit', end);
    });
  }

  /** Undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Calls a function of the process; bounded. */
  async call<T>(name: string, input?: unknown): Promise<T> {
    const seq = ++this.#seq;
    const answered = new Promise<unknown>((resolve, reject) => this.#waiters.set(seq, { resolve, reject }));
    if (!this.#process.connected) throw this.#failure('has ended');
    this.#process.send({ seq, name, input });
    const timer = setTimeout(() => {
      this.#waiters.get(seq)?.reject(this.#failure(`did not answer '${name}' in time`));
    }, CALL_TIMEOUT_MS);
    return (await answered.finally(() => {
      clearTimeout(timer);
      this.#waiters.delete(seq);
    })) as T;
  }

  /** Microseconds of processor time that all threads of the process took so far. */
  async cpuUs(): Promise<number> {
    const { user, system } = await this.call<NodeJS.CpuUsage>('cpu');
    return user + system;
  }

  /** Bytes of resident memory of the process. */
  memoryBytes(): Promise<number> {
    return this.call<number>('memory');
  }

  /** Ends it in order, by force after a while; a second call joins the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    // The other side takes the end of the channel for the end of its work.
    if (this.#process.connected) this.#process.disconnect();
    if (!(await settlesWithin(this.#ended, STOP_TIMEOUT_MS))) this.#process.kill('SIGKILL');
    await this.#ended;
  }

  #settle(answer: Answer): void {
    const waiter = this.#waiters.get(answer.seq);
    if (answer.ok) waiter?.resolve(answer.value);
    else waiter?.reject(this.#failure(`failed: ${answer.message}`));
  }

  #failure(what: string): Error {
    const { program, logFile } = this.#options;
    const printed = readFileSync(logFile, 'utf8').slice(-TAIL_CHARACTERS);
    return new assert.AssertionError({ message: `the process ${program} ${what}\n${printed}` });
  }
}

/** What the benchmark asks one of its processes, over the IPC channel. */
export interface Call {
  readonly seq: number;
  readonly name: string;
  readonly input: unknown;
}

export type Answer =
  | { readonly seq: number; readonly ok: true; readonly value: unknown }
  | { readonly seq: number; readonly ok: false; readonly message: string };

/** A change of state of a version, as the host announced it. */
export interface Step {
  readonly version: string;
  readonly state: string;
  /** Milliseconds since its bytes were complete. */
  readonly ms?: number;
  /** Milliseconds that the flip on all threads took, where the host says so. */
  readonly flipMs?: number;
  /** When it was announced, in milliseconds of the host's own monotonic clock. */
  readonly at: number;
}

export interface Served {
  /** Functions that the parent may call, by name. */
  readonly calls: Readonly<Record<string, (input: never) => Promise<unknown>>>;
  /** Lets go of everything that keeps the process alive. */
  readonly stop: () => Promise<unknown>;
}

/** Of all threads of the process; every program answers them. */
const USAGE: Served['calls'] = {
  cpu: () => Promise.resolve(process.cpuUsage()),
  memory: () => Promise.resolve(process.memoryUsage.rss()),
};

/** Answers the parent's calls until it goes or says so; then the process ends by itself. */
export function serveParent({ calls, stop }: Served): void {
  const answer = (message: Answer): void => {
    if (process.connected) process.send?.(message);
  };
  process.on('message', ({ seq, name, input }: Call) => {
    const call = USAGE[name] ?? calls[name];
    const work = call?.(input as never) ?? Promise.resolve(undefined);
    work.then(
      (value) => {
        answer({ seq, ok: true, value: value ?? null });
      },
      (error: unknown) => {
        answer({ seq, ok: false, message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      },
    );
  });
  process.once('disconnect', () => {
    void stop();
  });
  // The terminal sends Ctrl-C to the whole group; the parent decides when we end.
  process.on('SIGINT', () => undefined);
}
