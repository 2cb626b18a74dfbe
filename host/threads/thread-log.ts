import type { ConnectionChange } from '#sdk/amqp';
import { subscribe } from 'node:diagnostics_channel';
import { isBedsError } from '@beds/sdk';
import type { EventPublisher } from '../amqp/event-publisher.js';
import { isError, textOf, wordsFor } from '../errors/thrown.js';
import {
  type BrokerEvent,
  brokerChannel,
  connectionChannel,
  type FaultEvent,
  faultChannel,
  shorten,
  type TemplateLogEvent,
  templateLogChannel,
  type WritesEvent,
  writesChannel,
} from '../observe/channels.js';
import { JoinedLines, joinedText } from '../observe/joined-lines.js';
import { causeOf, endOfStack, placeOf } from '../observe/log-tap.js';
import type { Log } from '../observe/log.js';
import { traceIdOf } from '../observe/trace.js';
import type { LogLevel, ThreadMessage } from './protocol.js';

type LogMessage = Extract<ThreadMessage, { kind: 'log' }>;
type Fields = LogMessage['fields'];

/** The supervisor joins the lines of all threads for longer; this keeps a flood away from it. */
const THREAD_JOIN_MS = 1_000;
const FRAME = /^[ \t]+at .*$/m;
const UNWRITABLE = 'it holds what cannot be written';
/** The fields of a line are written, and sent to another thread, as a whole: of more than this neither is tried. */
const MOST_LETTERS_OF_FIELDS = 4_194_304;

/**
 * Subscribes to what happens in this thread and sends it to the supervisor's log; faults become events as well. What it
 * returns sends what was counted and not said yet.
 */
export function forwardObservations(send: (message: LogMessage) => void, events: EventPublisher): () => void {
  const log = (level: LogLevel, message: string, fields: Fields): void => {
    send({ kind: 'log', level, message, fields });
  };
  const joined = new JoinedLines({
    intervalMs: THREAD_JOIN_MS,
    write: (line, kind, { count }) => {
      sendLine(send, { kind: 'log', ...line, joined: { ...kind, count } });
    },
  });
  // n.b. what others send can cost a connection, and may come many times a second.
  const warn = (
    message: string,
    fields: Fields,
    { of, error }: { readonly of: string; readonly error: unknown },
  ): void => {
    const key = [message, of, ...causeOfFault(error)].join(' ');
    joined.add({ level: 'warn', message, fields }, { key, writer: writerOf() });
  };
  subscribe(connectionChannel.name, (message) => {
    const { connection, state, waitMs, error } = message as ConnectionChange;
    const fields = { connection, waitMs, error: describe(error) };
    if (state === 'waiting' || state === 'blocked') warn(`connection ${state}`, fields, { of: connection, error });
    else log('debug', `connection ${state}`, fields);
  });
  subscribe(brokerChannel.name, (message) => {
    const { broker, event, queue, error } = message as BrokerEvent;
    const fields = { broker, queue, error: describe(error) };
    if (event === 'consuming') log('debug', `broker ${event}`, fields);
    else warn(`broker ${event}`, fields, { of: `${broker} ${queue ?? ''}`, error });
  });
  subscribe(faultChannel.name, (message) => {
    const { where, error, domain, version, hash, requestId, traceparent } = message as FaultEvent;
    const line = { level: 'error', message: `fault in ${where}` } as const;
    const told = causeOfFault(error);
    const key = ['fault', where, domain, version, hash, ...told].join(' ');
    const cause = { cause: causeOf([where, domain, version, ...told]), place: placeOf(stackOf(error)) };
    const traceId = traceIdOf(traceparent);
    const fields = { domain, version, hash, requestId, traceId, traceparent, ...cause, error: describe(error) };
    joined.add({ ...line, fields }, { key, writer: writerOf(domain, version) });
    events.publish({ topic: `fault.${domain ?? 'host'}`, data: { where, domain, version, hash, requestId } });
  });
  subscribe(writesChannel.name, (message) => {
    const { event, domain, store, code, error } = message as WritesEvent;
    if (event === 'waiting') log('warn', `writes of ${domain} wait for store ${store}`, { domain, store, code, error });
    else log('info', `writes of ${domain} go on`, { domain, store });
  });
  subscribe(templateLogChannel.name, (message) => addTemplateLine(joined, message as TemplateLogEvent));
  return () => joined.flush();
}

function addTemplateLine(joined: JoinedLines, logged: TemplateLogEvent): void {
  const { level, fields, message: given, ...event } = logged;
  const rest = { ...event, traceId: traceIdOf(event.traceparent) };
  // n.b. typed as text, and given by code that need not be.
  const text = shorten(typeof given === 'string' ? given : wordsFor(given));
  const isTooMuch = leftOf(fields, MOST_LETTERS_OF_FIELDS) < 0;
  const json = isTooMuch ? UNWRITABLE : jsonOf(fields);
  const key = ['log', level, rest.domain, rest.version, text, json].join(' ');
  const isWhole = !isTooMuch && shorten(json) === json;
  joined.add(
    { level, message: text, fields: { ...rest, fields: isWhole ? fields : shorten(json) } },
    { key, writer: writerOf(rest.domain, rest.version) },
  );
}

function writerOf(domain = 'the host', version = ''): string {
  return `${domain} ${version}`.trim();
}

/** Which faults are the same: not what they say, which may be of the request, but their code and where they were made. */
function causeOfFault(error: unknown): readonly string[] {
  return [textOf(error, 'code') ?? '', FRAME.exec(endOfStack(stackOf(error)))?.[0] ?? ''];
}

function stackOf(error: unknown): string {
  return typeof error === 'string' ? error : (textOf(error, 'stack') ?? '');
}

/** n.b. what a template logs may be what no other thread can be sent, and its request must not end for that. */
function sendLine(send: (message: LogMessage) => void, message: LogMessage): void {
  try {
    send(message);
  } catch {
    const { domain, version, requestId } = message.fields;
    send({ ...message, fields: { domain, version, requestId, fields: UNWRITABLE } });
  }
}

/** What is left of so many letters and bytes after this value; below 0: it has more, or cannot be looked at. */
function leftOf(value: unknown, letters: number, seen = new Set<object>()): number {
  if (typeof value === 'string') return letters - value.length;
  if (typeof value !== 'object' || value === null || seen.has(value)) return letters - 1;
  seen.add(value);
  try {
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return letters - value.byteLength;
    if (value instanceof Map || value instanceof Set)
      return value.size > letters ? -1 : leftOf([...(value as Iterable<unknown>)], letters, seen);
    let left = letters - (Array.isArray(value) ? value.length : 1);
    // n.b. of an error what matters is not enumerable.
    const names = left < 0 ? [] : Object.getOwnPropertyNames(value);
    for (const name of names) {
      if (left < 0) break;
      left = leftOf((value as Readonly<Record<string, unknown>>)[name], left - name.length, seen);
    }
    return left;
  } catch {
    return -1;
  } finally {
    // n.b. what stands in several places is written in each of them: only circles are not.
    seen.delete(value);
  }
}

function jsonOf(fields: unknown): string {
  try {
    // n.b. typed as always text; of a symbol there is none.
    const json: unknown = JSON.stringify(fields);
    return typeof json === 'string' ? json : '';
  } catch {
    return '';
  }
}

function describe(error: unknown): unknown {
  if (typeof error === 'string') return shorten(error);
  if (!isError(error))
    return typeof error === 'object' || typeof error === 'function' ? shorten(wordsFor(error)) : error;
  const code = isBedsError(error) ? error.code : textOf(error, 'code');
  const stack = textOf(error, 'stack');
  return {
    message: shorten(wordsFor(error)),
    ...(code === undefined ? {} : { code: shorten(code) }),
    ...(stack === undefined ? {} : { stack: shorten(stack) }),
  };
}

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
        const lines = joined.count > 1 ? { lines: joined.count } : {};
        log[line.level]({ ...line.fields, ...fields, ...lines }, message);
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
