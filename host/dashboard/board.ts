import { randomUUID } from 'node:crypto';

interface Entry {
  /** JSON; undefined: it is gone. */
  readonly text: string | undefined;
  readonly revision: number;
}

/** What is gone is remembered for so many entries, so that whoever comes back is told. */
const MAX_GONE = 1_000;
/** The text of the last steps is kept: all browsers that keep up ask for the same one. */
const MAX_STEPS = 8;

/**
 * The live state, in parts that each have a key. Every change of it is a revision; whoever has an earlier one is given what
 * changed since and nothing more. Who is slow so skips what was overtaken, and costs no memory.
 */
export class Board {
  readonly epoch = randomUUID().slice(0, 8);
  readonly #entries = new Map<string, Entry>();
  readonly #steps = new Map<number, string>();
  #revision = 0;
  /** Before this revision it is not known any more what has gone. */
  #oldest = 0;

  get revision(): number {
    return this.#revision;
  }

  /** Takes the place of everything; true: something is another than before. */
  replace(parts: ReadonlyMap<string, unknown>): boolean {
    const next = this.#revision + 1;
    let isChanged = false;
    const put = (key: string, text: string | undefined): void => {
      isChanged = true;
      this.#entries.delete(key);
      this.#entries.set(key, { text, revision: next });
    };
    for (const [key, part] of parts) {
      const text = JSON.stringify(part);
      if (this.#entries.get(key)?.text !== text) put(key, text);
    }
    for (const [key, { text }] of [...this.#entries]) {
      if (text !== undefined && !parts.has(key)) put(key, undefined);
    }
    if (!isChanged) return false;
    this.#revision = next;
    this.#steps.clear();
    this.#forgetGone();
    return true;
  }

  /** An event of server-sent events with what changed after `revision`; 0: everything. */
  eventSince(revision: number): string {
    const known = this.#steps.get(revision);
    if (known !== undefined) return known;
    const changed = [...this.#entries].filter(([, entry]) => entry.revision > revision);
    const parts = changed.flatMap(([key, { text }]) => (text === undefined ? [] : `${JSON.stringify(key)}:${text}`));
    const gone = revision === 0 ? [] : changed.flatMap(([key, { text }]) => (text === undefined ? [key] : []));
    // n.b. JSON has no line break of its own, which would end the field.
    const data = `{"epoch":"${this.epoch}","whole":${String(revision === 0)},"parts":{${parts.join(',')}},"gone":${JSON.stringify(gone)}}`;
    const event = `id: ${this.epoch}.${String(this.#revision)}\nevent: change\ndata: ${data}\n\n`;
    if (this.#steps.size >= MAX_STEPS) this.#steps.clear();
    this.#steps.set(revision, event);
    return event;
  }

  /** The revision that a `Last-Event-ID` stands for; 0 where it is not of this run, or was never given out. */
  revisionOf(eventId: string | undefined): number {
    const [epoch, text = ''] = (eventId ?? '').split('.');
    const revision = /^\d{1,15}$/.test(text) ? Number(text) : 0;
    return epoch === this.epoch && revision <= this.#revision && revision >= this.#oldest ? revision : 0;
  }

  #forgetGone(): void {
    const gone = [...this.#entries].filter(([, { text }]) => text === undefined);
    for (const [key, { revision }] of gone.slice(0, Math.max(0, gone.length - MAX_GONE))) {
      this.#entries.delete(key);
      this.#oldest = Math.max(this.#oldest, revision);
    }
  }
}
