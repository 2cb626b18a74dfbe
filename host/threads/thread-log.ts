import type { Log } from '../observe/log.js';
import { JoinedLines, joinedText } from '../observe/joined-lines.js';
import type { ThreadMessage } from './protocol.js';

/** Equal lines of all threads within it become two: the first, and how many more there were. */
const JOIN_MS = 10_000;

/** Brings what broker threads say into the log; a template that says the same again and again does not fill it. */
export class ThreadLog {
  readonly #log: Log;
  readonly #joined: JoinedLines;

  constructor(log: Log, intervalMs = JOIN_MS) {
    this.#log = log;
    this.#joined = new JoinedLines({
      intervalMs,
      write: (line, kind, joined) => {
        const { message, fields } = joinedText(line, kind, { ...joined, intervalMs });
        log[line.level]({ ...line.fields, ...fields }, message);
      },
    });
  }

  write(thread: string, { level, message, fields, joined }: Extract<ThreadMessage, { kind: 'log' }>): void {
    if (joined === undefined) this.#log[level]({ thread, ...fields }, message);
    // What is not written need not be counted.
    else if (this.#log.isLevelEnabled(level)) {
      this.#joined.add({ level, message, fields: { thread, ...fields } }, joined, joined.count);
    }
  }

  /** Says what was counted and not said yet. */
  close(): void {
    this.#joined.flush();
  }
}
