import { createHash } from 'node:crypto';
import type { WrittenLines } from './log.js';

/** One line of the log of a node, as others get it. */
export interface TappedLine {
  /** Sorts as the lines were written, over all nodes whose clocks agree. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** 10 to 60, as pino counts them. */
  readonly level: number;
  readonly message: string;
  readonly domain?: string;
  readonly version?: string;
  readonly requestId?: string;
  readonly traceId?: string;
  /** Of a fault: the same for faults with the same cause. */
  readonly cause?: string;
  readonly code?: string;
  /** Of a fault: the author's file and line. */
  readonly place?: string;
  /** How many lines it stands for. Absent: itself. */
  readonly count?: number;
  /** Everything else that the line has, as JSON. */
  readonly fields?: string;
}

export const LOG_LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
export type LogLevelName = keyof typeof LOG_LEVELS;

/** A number as the name of its level. */
export function levelName(level: number): LogLevelName {
  const found = Object.entries(LOG_LEVELS).findLast(([, number]) => number <= level);
  return (found?.[0] ?? 'trace') as LogLevelName;
}

/** The beginning of the ids of lines of this moment. */
export function lineIdAt(atMs: number): string {
  return Math.max(0, Math.floor(atMs)).toString(36).padStart(9, '0');
}

export interface TapOptions {
  /** In the ids of its lines; different for each process. */
  readonly source: string;
  readonly lines: WrittenLines;
}

/** Lines that are looked at each time; the others wait for the next. */
const MAX_LINES = 2_000;
/** Lines of one template that pass each time; the others are joined. */
const MAX_ALIKE = 20;
/** Templates that are told apart each time. */
const MAX_TEMPLATES = 1_000;
const MAX_MESSAGE = 2_000;
const MAX_FIELDS = 8_192;
const MAX_NAME = 200;

interface Alike {
  /** Lines that passed. */
  passed: number;
  joined: number;
  /** The last of those that are joined. */
  last: TappedLine | undefined;
}

/**
 * Reads what the log wrote for those who collect it. A flood is made small here: of lines that differ in numbers and quoted names only,
 * some pass and the others are joined.
 */
export class LogTap {
  readonly #options: TapOptions;
  #sequence = 0;
  #unread = 0;

  constructor(options: TapOptions) {
    this.#options = options;
  }

  /** Lines that nobody gets, since the process started. */
  get dropped(): number {
    return this.#options.lines.dropped + this.#unread;
  }

  /** Lines since the last time, oldest first; those that were joined come last. */
  take(): readonly TappedLine[] {
    const passed: TappedLine[] = [];
    const seen = new Map<string, Alike>();
    for (const text of this.#options.lines.take(MAX_LINES)) {
      const line = this.#read(text);
      if (line === undefined) continue;
      const template = templateOf(line);
      const alike = seen.get(template) ?? { passed: 0, joined: 0, last: undefined };
      if (seen.size < MAX_TEMPLATES) seen.set(template, alike);
      if (alike.passed < MAX_ALIKE) {
        alike.passed += 1;
        passed.push(line);
        continue;
      }
      alike.joined += line.count ?? 1;
      alike.last = line;
    }
    for (const { joined, last } of seen.values()) {
      if (last !== undefined) passed.push(joined > 1 ? { ...last, count: joined } : last);
    }
    return passed;
  }

  #read(text: string): TappedLine | undefined {
    let parsed: Readonly<Record<string, unknown>>;
    try {
      parsed = JSON.parse(text) as Readonly<Record<string, unknown>>;
    } catch {
      this.#unread += 1;
      return undefined;
    }
    const { level, time, node: _node, msg, domain, version, requestId, traceId, traceparent, ...others } = parsed;
    const { cause, place, lines, more: _more, ...rest } = others;
    const stamped = typeof time === 'string' ? Date.parse(time) : Number(time);
    const when = Number.isFinite(stamped) ? stamped : Date.now();
    this.#sequence += 1;
    const message = typeof msg === 'string' ? msg : '';
    const fault = faultOf(message, { domain, version, cause, place, ...rest });
    const fields = Object.keys(rest).length === 0 ? undefined : JSON.stringify(rest);
    const trace = traceId ?? (typeof traceparent === 'string' ? traceparent.split('-')[1] : undefined);
    return {
      id: `${lineIdAt(when)}-${this.#options.source}-${this.#sequence.toString(36).padStart(6, '0')}`,
      at: when,
      level: typeof level === 'string' ? (LOG_LEVELS[level as LogLevelName] ?? LOG_LEVELS.info) : Number(level),
      message: cut(message, MAX_MESSAGE),
      ...texts({ domain, version, requestId, traceId: trace }),
      ...fault,
      ...(typeof lines === 'number' && lines > 1 ? { count: lines } : {}),
      ...(fields === undefined ? {} : { fields: cut(fields, MAX_FIELDS) }),
    };
  }
}

/** The same for lines that differ in numbers and quoted names only. */
function templateOf({ level, domain = '', message, cause = '' }: TappedLine): string {
  return `${String(level)} ${domain} ${cause} ${message.slice(0, 300).replaceAll(/"[^"]*"|[0-9a-f]{8,}|\d+/g, '#')}`;
}

const FRAME = /^[ \t]+at .*?\(?([^()\s]+:\d+:\d+)\)?$/m;
/** The author's files are named by what they were built from, or by their bundle; those of the host and of Node by where they are. */
const AUTHORS_FRAME = /^[ \t]+at (?:async )?(?:.*\()?(?!\/|file:|node:|[A-Za-z]:\\)([^()\s]+:\d+:\d+)\)?$/m;

/** Letters at the end of a stack in which frames are looked for: callers may have written what stands before them. */
const END_OF_STACK = 8_192;

export function endOfStack(stack: string): string {
  return stack.slice(-END_OF_STACK);
}

/** File and line of a stack: of the author's code, where there is any. */
export function placeOf(stack: string): string | undefined {
  const end = endOfStack(stack);
  return AUTHORS_FRAME.exec(end)?.[1] ?? FRAME.exec(end)?.[1];
}

/** A short name for what tells a cause from others. */
export function causeOf(parts: readonly unknown[]): string {
  const text = parts.map((part) => (typeof part === 'string' ? part : '')).join('\0');
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** What is known of a fault. n.b. not what it says: that may be of the request. */
function faultOf(
  message: string,
  { error, err, domain, version, cause, place }: Readonly<Record<string, unknown>>,
): Pick<TappedLine, 'cause' | 'code' | 'place'> {
  const [, where] = /^fault in (.+?)(?:: [\d,]+ more like it .*)?$/s.exec(message) ?? [];
  if (where === undefined) return {};
  const { stack: given, code } = (error ?? err ?? {}) as Readonly<Record<string, unknown>>;
  const stack = typeof given === 'string' ? given : '';
  const known = { cause: cause ?? causeOf([where, domain, version, code, FRAME.exec(stack)?.[1]]) };
  return texts({ ...known, code, place: place ?? placeOf(stack) });
}

function texts<K extends string>(values: Readonly<Record<K, unknown>>): Partial<Record<K, string>> {
  const kept: Partial<Record<K, string>> = {};
  for (const [name, value] of Object.entries(values) as [K, unknown][]) {
    if (typeof value === 'string' && value !== '') kept[name] = cut(value, MAX_NAME);
  }
  return kept;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
