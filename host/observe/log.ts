import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import type { Config } from '../config/schema.js';

/** How the output takes the log. */
export interface LogState {
  /** Lines that nobody will see. */
  readonly droppedLines: number;
  /** Lines that the output has not taken yet. */
  readonly waitingLines: number;
  /** Why lines wait: `ENOSPC` on a full disk, `EPIPE` where the reader is gone, `EAGAIN` where it does not read. */
  readonly code?: string;
}

export interface LogOutputOptions {
  /** Most bytes of lines that wait for the output; further lines are dropped. Default 1 MiB. */
  readonly maxWaitingBytes?: number;
}

const MAX_WAITING_BYTES = 1_048_576;
const RETRY_MS = 100;
const STDOUT = 1;

/**
 * Where the log goes. It never waits and never throws: a full disk, a reader that stands still and a reader that is gone cost lines of
 * the log, not the host. What the output does not take waits here, within bounds; what is beyond them is dropped and counted.
 */
export class LogOutput {
  readonly #fd: number;
  readonly #maxWaitingBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  #code = '';
  #dropped = 0;
  #reported = 0;
  #isClosed = false;
  /**
   * Called when the output takes lines again: how many were dropped, and why, see `LogState`. Set by whoever writes the log, who
   * knows the form of a line.
   */
  onDropped: ((lines: number, code: string) => void) | undefined;

  /** `fd`: of a file, or of a pipe, socket or terminal that does not block (`O_NONBLOCK`). */
  constructor(fd: number, { maxWaitingBytes = MAX_WAITING_BYTES }: LogOutputOptions = {}) {
    this.#fd = fd;
    this.#maxWaitingBytes = maxWaitingBytes;
  }

  get state(): LogState {
    const waitingLines = this.#waiting.length;
    return { droppedLines: this.#dropped, waitingLines, ...(waitingLines === 0 ? {} : { code: this.#code }) };
  }

  /** Takes one whole line; what pino asks of a stream. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#isClosed || (this.#waiting.length > 0 && this.#waitingBytes + bytes.length > this.#maxWaitingBytes)) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#retry === undefined) this.#flush();
  }

  /** Waits until everything is written, at most `timeoutMs`; the rest is dropped, and so is what comes later. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    const untilMs = performance.now() + timeoutMs;
    this.#flush();
    while (this.#waiting.length > 0 && performance.now() < untilMs) await delay(Math.min(RETRY_MS, timeoutMs));
    clearTimeout(this.#retry);
    this.#isClosed = true;
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
    if (this.#fd !== STDOUT) closeSync(this.#fd);
  }

  #flush(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    while (this.#writeSome());
    if (this.#waiting.length > 0) {
      this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
      this.#retry.unref();
      return;
    }
    const dropped = this.#dropped - this.#reported;
    if (dropped === 0) return;
    this.#reported = this.#dropped;
    this.onDropped?.(dropped, this.#code);
  }

  /** Whether more may be written at once. A line of which a part was written is never dropped: the next one would be glued to it. */
  #writeSome(): boolean {
    const [first] = this.#waiting;
    if (first === undefined) return false;
    try {
      const written = writeSync(this.#fd, first);
      this.#waitingBytes -= written;
      if (written < first.length) this.#waiting[0] = first.subarray(written);
      else this.#waiting.shift();
      return true;
    } catch (error) {
      this.#code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      return false;
    }
  }
}

/** Standard output, made so that writing to it does not block. */
export function stdoutOutput(): LogOutput {
  return new LogOutput(nonBlockingStdout());
}

/** A file of its own, begun anew. Throws what opening it does. */
export function fileOutput(path: string): LogOutput {
  return new LogOutput(openSync(path, 'w', 0o600));
}

/**
 * A pipe or a terminal is opened once more, because O_NONBLOCK belongs to what was opened and others share it: a shell whose terminal stops
 * blocking is broken. A file cannot block for want of a reader, and opened again it would begin at its start.
 * https://man7.org/linux/man-pages/man2/open.2.html
 */
function nonBlockingStdout(): number {
  const stats = fstatSync(STDOUT);
  if (stats.isFile()) return STDOUT;
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${String(STDOUT)}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // n.b. a socket cannot be opened again. Node makes pipes and sockets non-blocking when it makes its stream, which is when it is asked for.
    return process.stdout.fd;
  }
}

/** Whether standard output is read by journald: as it is configured, or as systemd says by device and inode. https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
export function isJournal(format: Config['log']['format']): boolean {
  if (format !== 'auto') return format === 'journald';
  const { dev, ino } = fstatSync(STDOUT);
  return process.env['JOURNAL_STREAM'] === `${String(dev)}:${String(ino)}`;
}

/** Priorities of syslog, by the levels of the log. */
const PRIORITIES: Readonly<Record<string, number>> = { fatal: 2, error: 3, warn: 4, info: 6, debug: 7, trace: 7 };

/** The line with its priority before it, which journald takes off: https://man7.org/linux/man-pages/man3/sd-daemon.3.html */
function withPriority(line: string): string {
  const [, level = ''] = /^\{"level":"([a-z]+)"/.exec(line) ?? [];
  return `<${String(PRIORITIES[level] ?? PRIORITIES['info'])}>${line}`;
}

export type Log = Logger;

/** Lines that wait to be looked at by whoever collects them. */
const MAX_LINES = 5_000;
const MAX_CHARACTERS = 4_194_304;

/** What the log wrote, for whoever collects it: they look at it later, when nobody waits for them. */
export class WrittenLines {
  readonly #lines: string[] = [];
  #characters = 0;
  #dropped = 0;

  /** Lines that nobody gets, since the process started: too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  add(line: string): void {
    if (this.#lines.length >= MAX_LINES || this.#characters >= MAX_CHARACTERS) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push(line);
    this.#characters += line.length;
  }

  /** The oldest of them. */
  take(most: number): readonly string[] {
    const taken = this.#lines.splice(0, most);
    for (const line of taken) this.#characters -= line.length;
    return taken;
  }
}

/** The host's log: JSON lines, as whoever collects them expects; secrets are never handed to it. */
export function createLog(options: {
  readonly node: string;
  readonly level: Config['log']['level'];
  readonly output: LogOutput;
  /** Get every line as well. */
  readonly lines?: WrittenLines | undefined;
  /** Each line begins with its priority, for journald. */
  readonly hasPriorities?: boolean;
}): Log {
  const { node, level, output, lines, hasPriorities = false } = options;
  const stream = {
    write: (line: string): void => {
      output.write(hasPriorities ? withPriority(line) : line);
      lines?.add(line);
    },
  };
  const log = pino(
    {
      level,
      base: { node },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  output.onDropped = (dropped, code) =>
    log.warn({ dropped, code }, 'log lines were dropped: the output did not take them');
  return log;
}
