import { open, readFile, rename } from 'node:fs/promises';
import { rolloutErrors } from '../errors/rollout.js';
import { publishFault } from '../observe/channels.js';

/**
 * One JSON value in one file, replaced whole: a host that is killed while it writes leaves the value before or the value
 * after. Writes that are requested during a write are merged into one.
 */
export class StateFile<T> {
  readonly #path: string;
  /** Changed by `set` only. */
  value: T;
  #isDirty = false;
  #writing: Promise<void> | undefined;

  private constructor(path: string, value: T) {
    this.#path = path;
    this.value = value;
  }

  /** Reads the value; throws BEDS_ROLLOUT_STATE_UNREADABLE when it is there and may not be read. What `parse` refuses is set aside under another name, and `empty` is where the host starts. */
  static async open<T>(path: string, parse: (value: unknown) => T | undefined, empty: T): Promise<StateFile<T>> {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw rolloutErrors.make('BEDS_ROLLOUT_STATE_UNREADABLE', `${path} could not be read.`, { cause });
    });
    if (text === undefined) return new StateFile(path, empty);
    const value = parseText(text, parse);
    if (value !== undefined) return new StateFile(path, value);
    const aside = `${path}.damaged-${String(Date.now())}`;
    await rename(path, aside).catch(() => undefined);
    const words = `It is kept as ${aside}; the host starts without it.`;
    publishFault({ where: 'state file', error: rolloutErrors.make('BEDS_ROLLOUT_STATE_UNREADABLE', words) });
    return new StateFile(path, empty);
  }

  /** Takes a new value; a failure to write it is a fault on the diagnostics channel, and tried again with the next one. */
  set(value: T): void {
    this.value = value;
    this.#isDirty = true;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when nothing waits to be written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false;
      await this.#write(`${JSON.stringify(this.value, undefined, 1)}\n`).catch((cause: unknown) => {
        publishFault({ where: 'state file', error: unwritable(cause) });
      });
    }
    // n.b. in the same turn as the last look at the mark: what is set in between would never be written.
    this.#writing = undefined;
  }

  async #write(text: string): Promise<void> {
    const draft = `${this.#path}.draft`;
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(draft, this.#path);
  }
}

function parseText<T>(text: string, parse: (value: unknown) => T | undefined): T | undefined {
  try {
    return parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function unwritable(cause: unknown): Error {
  return rolloutErrors.make('BEDS_ROLLOUT_STATE_UNWRITABLE', undefined, { cause });
}
