import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { endOfLog } from './eventually.js';
import type { LogLine, TestHost } from './host.js';
import { lastFirst, type Teardown } from './services.js';

/** One life of a host in a process of its own. */
export interface HostProcess {
  readonly pid: number;
  readonly log: readonly LogLine[];
  /** Resolves when it serves. */
  readonly serving: Promise<void>;
  /** Resolves when the process is gone, with the signal that ended it. */
  readonly ended: Promise<string | null>;
  kill(): Promise<void>;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** Resolves with the first line that fits, also one from before; rejects when the process ends without it. */
  logged(what: string, fits: (line: LogLine) => boolean): Promise<LogLine>;
}

/** Starts what `host` was, after that was stopped, in a process that may be lost. */
export function startHostProcess(
  teardown: Teardown,
  host: Pick<TestHost, 'config' | 'pluginsDirectory'> & { readonly env?: Readonly<Record<string, string>> },
  config: Readonly<Record<string, unknown>> = {},
): HostProcess {
  const child = fork(new URL('./host-process-main.js', import.meta.url), [], {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
    env: { ...process.env, ...host.env },
  });
  const ended = once(child, 'exit').then(([, signal]) => signal as string | null);
  const closed = once(child, 'close');
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  // Before its folder goes: it writes there as long as it lives.
  lastFirst(teardown, () => end('SIGKILL'));
  const log: LogLine[] = [];
  const lines = new EventEmitter();
  readLog(child, (line) => {
    log.push(line);
    lines.emit('line');
  });
  const serving = Promise.race([once(child, 'message'), ended.then(() => ['it ended'])]).then(([word]) => {
    assert.equal(word, 'serving');
  });
  serving.catch(() => undefined);
  child.send({ config: { ...host.config, ...config }, projectRoot: dirname(host.pluginsDirectory) });
  return {
    ...{ pid: child.pid ?? 0, log, serving, ended },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    logged: (what, fits) => heard({ lines, log, closed }, { what, fits }),
  };
}

function readLog({ stdout }: ChildProcess, onLine: (line: LogLine) => void): void {
  if (stdout === null) return;
  createInterface({ input: stdout }).on('line', (line) => {
    if (line.startsWith('{')) onLine(JSON.parse(line) as LogLine);
  });
}

/** The log of a process: `lines` says when there is one more, `closed` when there is none any more. */
interface Log {
  readonly lines: EventEmitter;
  readonly log: readonly LogLine[];
  readonly closed: Promise<unknown>;
}

interface Awaited {
  readonly what: string;
  readonly fits: (line: LogLine) => boolean;
}

function heard({ lines, log, closed }: Log, { what, fits }: Awaited): Promise<LogLine> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const found = log.find(fits);
      if (found === undefined) return;
      lines.off('line', look);
      resolve(found);
    };
    lines.on('line', look);
    look();
    void closed.then(() => {
      lines.off('line', look);
      reject(new assert.AssertionError({ message: `it ended without a log line: ${what}\n${endOfLog(log)}` }));
    });
  });
}

/** Processes that this one has started, as the system lists them. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const stat = readText(`/proc/${name}/stat`);
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid ? [Number(name)] : [];
  });
}

export interface OomKiller {
  /** Whom it has killed. */
  readonly killed: readonly number[];
}

/**
 * Does what the system does when memory is short: it kills the host, or a process that the host has started, when that has
 * more than `limitMb`.
 */
export function startOomKiller(teardown: Teardown, pidOf: () => number, limitMb: number): OomKiller {
  const killed: number[] = [];
  const timer = setInterval(() => {
    const pid = pidOf();
    for (const each of [pid, ...childrenOf(pid)]) {
      const pages = Number(readText(`/proc/${String(each)}/statm`).split(' ')[1] ?? 0);
      if (pages * 4_096 < limitMb * 1_048_576 || killed.includes(each)) continue;
      killed.push(each);
      process.kill(each, 'SIGKILL');
    }
  }, 20);
  lastFirst(teardown, () => clearInterval(timer));
  return { killed };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
