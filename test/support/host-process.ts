import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { endOfLog, eventually } from './eventually.js';
import type { LogLine, TestHost } from './host.js';
import type { Teardown } from './services.js';

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
  logged(what: string, fits: (line: LogLine) => boolean, withinMs?: number): Promise<LogLine>;
}

/** Starts what `host` was, after that was stopped, in a process that may be lost. */
export function startHostProcess(
  teardown: Teardown,
  host: Pick<TestHost, 'config' | 'pluginsDirectory'>,
  config: Readonly<Record<string, unknown>> = {},
): HostProcess {
  const child = fork(new URL('./host-process-main.js', import.meta.url), [], {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
  });
  const ended = once(child, 'exit').then(([, signal]) => signal as string | null);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  teardown.after(() => end('SIGKILL'));
  const log: LogLine[] = [];
  readLog(child, log);
  const serving = Promise.race([once(child, 'message'), ended.then(() => ['it ended'])]).then(([word]) => {
    assert.equal(word, 'serving');
  });
  serving.catch(() => undefined);
  child.send({ config: { ...host.config, ...config }, projectRoot: dirname(host.pluginsDirectory) });
  return {
    ...{ pid: child.pid ?? 0, log, serving, ended },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    logged: async (what, fits, withinMs) => {
      await eventually(
        () => `log line: ${what}; the last ones are:\n${endOfLog(log)}`,
        () => log.some(fits),
        withinMs,
      );
      return log.find(fits) as LogLine;
    },
  };
}

function readLog(child: ChildProcess, log: LogLine[]): void {
  if (child.stdout === null) return;
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) log.push(JSON.parse(line) as LogLine);
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
  teardown.after(() => clearInterval(timer));
  return { killed };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
