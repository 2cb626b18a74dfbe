import { createHash } from 'node:crypto';

/** One line of a log. */
export interface Line {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Which lines are the same for a reader, and who writes them. */
export interface LineKind {
  /** Lines with the same key are equal. */
  readonly key: string;
  /** Lines that are not equal are bounded for each writer. */
  readonly writer: string;
  /** The line says no more than that others were left out. */
  readonly isSummary?: boolean;
}

/** How many lines one stands for. */
export interface Joined {
  readonly count: number;
  /** It is the first of its kind, and one of the count; otherwise all of them came after that. */
  readonly isFirst: boolean;
}

export interface JoinedLinesOptions {
  readonly intervalMs: number;
  readonly write: (line: Line, kind: LineKind, joined: Joined) => void;
  /** Lines that a writer may write in an interval though no two are equal. Default 2,000. */
  readonly maxLines?: number;
}

interface Kept {
  readonly line: Line;
  readonly kind: LineKind;
  more: number;
}

interface Writer {
  lines: number;
  /** Lines beyond the bound, by level. */
  readonly beyond: Map<Line['level'], Kept>;
}

const MAX_LINES = 2_000;
/** Maximum kinds of lines that are joined. Further kinds are written as they are, within the bound on lines. */
const MAX_KINDS = 1_000;
/** Writers come and go with versions; beyond this many they count together. */
const MAX_WRITERS = 1_000;
const OTHERS = '*';
const MAX_KEY_LENGTH = 300;
/** Of a line that is kept to be counted. */
const MAX_KEPT_CHARACTERS = 500;

/**
 * Joins equal lines of a log: the first is written at once, and in each interval one line says how many more there were. Who
 * writes many that are not equal is bounded too. What is left out is counted, and the count is written.
 */
export class JoinedLines {
  readonly #options: JoinedLinesOptions;
  readonly #kinds = new Map<string, Kept>();
  readonly #writers = new Map<string, Writer>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: JoinedLinesOptions) {
    this.#options = options;
  }

  /** `count`: how many lines it stands for. */
  add(line: Line, kind: LineKind, count = 1): void {
    const key = boundedKey(kind.key);
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.more += count;
      return;
    }
    this.#timer ??= setInterval(() => this.flush(), this.#options.intervalMs).unref();
    const writer = this.#writer(kind.writer);
    if (writer.lines >= (this.#options.maxLines ?? MAX_LINES) && kind.isSummary !== true) {
      const beyond = writer.beyond.get(line.level);
      if (beyond === undefined) writer.beyond.set(line.level, { line: briefly(line), kind, more: count });
      else beyond.more += count;
      return;
    }
    writer.lines += 1;
    if (this.#kinds.size < MAX_KINDS) this.#kinds.set(key, { line: briefly(line), kind, more: 0 });
    this.#options.write(line, kind, { count, isFirst: true });
  }

  /** Says what was left out so far. */
  flush(): void {
    for (const [key, kept] of this.#kinds) {
      if (kept.more === 0) this.#kinds.delete(key);
      else this.#say(kept);
    }
    for (const { beyond } of this.#writers.values()) for (const kept of beyond.values()) this.#sayBeyond(kept);
    this.#writers.clear();
    if (this.#kinds.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #say(kept: Kept): void {
    const { line, kind, more } = kept;
    kept.more = 0;
    this.#options.write(line, kind, { count: more, isFirst: false });
  }

  #sayBeyond({ line, kind, more }: Kept): void {
    const { level, fields } = line;
    const { domain, version, hash } = fields;
    const message = `further lines of ${kind.writer} were left out`;
    const summary: Line = { level, message, fields: { domain, version, hash } };
    const key = `left out ${kind.writer} ${level}`;
    this.#options.write(summary, { key, writer: kind.writer, isSummary: true }, { count: more, isFirst: false });
  }

  #writer(name: string): Writer {
    const key = this.#writers.has(name) || this.#writers.size < MAX_WRITERS ? name : OTHERS;
    let writer = this.#writers.get(key);
    if (writer === undefined) this.#writers.set(key, (writer = { lines: 0, beyond: new Map() }));
    return writer;
  }
}

/** The text of a line with how many it stands for, and the number as a field. */
export function joinedText(
  { message }: Line,
  { isSummary }: LineKind,
  { count, isFirst, intervalMs }: Joined & { readonly intervalMs: number },
): { readonly message: string; readonly fields: Readonly<Record<string, number>> } {
  if (isSummary === true) return { message: `${message}: ${count.toLocaleString('en')}`, fields: { leftOut: count } };
  const more = isFirst ? count - 1 : count;
  if (more === 0) return { message, fields: {} };
  const words = `${more.toLocaleString('en')} more like it in ${intervalMs / 1_000} s`;
  return { message: `${message}: ${words}`, fields: { more } };
}

function boundedKey(key: string): string {
  return key.length <= MAX_KEY_LENGTH ? key : createHash('sha1').update(key).digest('base64');
}

/** What is kept of a line for its count: whose it is and what it said, not all that hung on it, nor what is of the first alone. */
function briefly({ level, message, fields }: Line): Line {
  const { requestId: _request, traceparent: _trace, traceId: _id, thread: _thread, ...shared } = fields;
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(shared)) {
    if (typeof value === 'string') kept[name] = value.slice(0, MAX_KEPT_CHARACTERS);
    else if (typeof value === 'number' || typeof value === 'boolean') kept[name] = value;
  }
  return { level, message: message.slice(0, MAX_KEPT_CHARACTERS), fields: kept };
}
