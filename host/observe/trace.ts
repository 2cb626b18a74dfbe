import type { TraceSpan } from '#sdk/template';

/** W3C trace context as it came: https://www.w3.org/TR/trace-context/ */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

const VERSION_LENGTH = 2;
const TRACE_ID_LENGTH = 32;
const SPAN_ID_LENGTH = 16;
const LENGTH = 55;
const DASH = 0x2d;
const SAMPLED = 1;

/**
 * Undefined for what is no trace context: its caller is served all the same. n.b. no regular expression: a template may change
 * those, and would read every request.
 */
export function parseTraceparent(text: string | undefined): TraceParent | undefined {
  if (text === undefined || text.length < LENGTH || !isHex(text, 0, VERSION_LENGTH)) return undefined;
  const isFirstVersion = text.startsWith('00');
  if (text.startsWith('ff') || (isFirstVersion && text.length !== LENGTH)) return undefined;
  const dashes = [VERSION_LENGTH, 35, 52];
  for (const at of dashes) if (text.charCodeAt(at) !== DASH) return undefined;
  if (text.length > LENGTH && text.charCodeAt(LENGTH) !== DASH) return undefined;
  const traceId = text.slice(3, 3 + TRACE_ID_LENGTH);
  const spanId = text.slice(36, 36 + SPAN_ID_LENGTH);
  if (!isHex(traceId, 0, TRACE_ID_LENGTH) || !isHex(spanId, 0, SPAN_ID_LENGTH) || !isHex(text, 53, 55))
    return undefined;
  if (isZero(traceId) || isZero(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(text.slice(53, 55), 16) & SAMPLED) === SAMPLED };
}

function isHex(text: string, from: number, until: number): boolean {
  for (let at = from; at < until; at += 1) {
    const code = text.charCodeAt(at);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

function isZero(id: string): boolean {
  for (let at = 0; at < id.length; at += 1) if (id.charCodeAt(at) !== 0x30) return false;
  return true;
}

/** The id of the trace, for the log: of a text that is no trace context there is none. */
export function traceIdOf(traceparent: string | undefined): string | undefined {
  return parseTraceparent(traceparent)?.traceId;
}

/** n.b. ids need not be secret, only rare; one is never zero. */
function newId(words: number): string {
  let id = '';
  for (let word = 0; word < words; word += 1)
    id += ((Math.random() * 0xffffffff + 1) >>> 0).toString(16).padStart(8, '0');
  return isZero(id) ? newId(words) : id;
}

/** What a span stands for: `consumer`, a message that is worked on; `client`, a question to another process; else work inside. */
export type SpanKind = 'consumer' | 'client' | 'internal';

export type SpanAttributes = Record<string, string | number | boolean>;

/** A span as it leaves its thread: plain data. */
export interface SpanRecord {
  readonly traceId: string;
  readonly id: string;
  readonly parentId: string | undefined;
  readonly state: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** Code of the error that it ended with. */
  readonly error: string | undefined;
}

/** Where finished spans wait to be exported. */
export interface SpanSink {
  add(span: Span): void;
}

/** Of one request, in a reply: a template may make thousands of calls. */
const MAX_KEPT = 500;
/** Of names and attributes that callers can choose. */
const MAX_TEXT = 255;

/** One trace, as far as one request of this thread belongs to it. */
export class RequestTrace {
  readonly traceId: string;
  readonly state: string | undefined;
  /** Finished spans, for the reply; undefined: it carries none. */
  readonly kept: Span[] | undefined;
  /** Those of other nodes, as their replies said. */
  readonly others: TraceSpan[] = [];
  left = 0;
  readonly #sink: SpanSink | undefined;
  readonly #flags: string;

  constructor(
    parent: TraceParent | undefined,
    {
      sink,
      state,
      isKept,
    }: { readonly sink: SpanSink | undefined; readonly state: string | undefined; readonly isKept: boolean },
  ) {
    this.traceId = parent?.traceId ?? newId(4);
    this.state = parent === undefined ? undefined : state;
    this.kept = isKept ? [] : undefined;
    this.#sink = sink;
    this.#flags = sink === undefined ? '00' : '01';
  }

  traceparent(spanId: string): string {
    return `00-${this.traceId}-${spanId}-${this.#flags}`;
  }

  finished(span: Span): void {
    this.#sink?.add(span);
    if (this.kept === undefined) return;
    if (this.kept.length < MAX_KEPT) this.kept.push(span);
    else this.left += 1;
  }

  /** What another node says of its part. */
  heard(spans: readonly TraceSpan[], left: number): void {
    for (const span of spans) {
      if (this.others.length < MAX_KEPT) this.others.push(span);
      else this.left += 1;
    }
    this.left += left;
  }
}

/** A piece of work with its beginning and its end, in terms of performance.now(). */
export class Span {
  readonly trace: RequestTrace;
  readonly id = newId(2);
  readonly parentId: string | undefined;
  readonly name: string;
  kind: SpanKind;
  readonly startMs: number;
  readonly attributes: SpanAttributes;
  endMs = 0;
  error: string | undefined;

  constructor(trace: RequestTrace, parentId: string | undefined, begun: SpanStart) {
    this.trace = trace;
    this.parentId = parentId;
    this.name = begun.name.slice(0, MAX_TEXT);
    this.kind = begun.kind;
    this.startMs = begun.startMs ?? performance.now();
    this.attributes = begun.attributes;
  }

  get traceparent(): string {
    return this.trace.traceparent(this.id);
  }

  child(begun: SpanStart): Span {
    return new Span(this.trace, this.id, begun);
  }

  set(name: string, value: string | number | boolean | undefined): void {
    if (value !== undefined) this.attributes[name] = typeof value === 'string' ? value.slice(0, MAX_TEXT) : value;
  }

  /** The first end counts. */
  end(error?: unknown): void {
    if (this.endMs !== 0) return;
    this.endMs = performance.now();
    if (error !== undefined) this.error = codeOf(error);
    this.trace.finished(this);
  }
}

export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: SpanAttributes;
  /** Default: now. */
  readonly startMs?: number;
}

/** n.b. what code throws may be anything, and throw when it is read. */
function codeOf(error: unknown): string {
  try {
    const code = (error as { readonly code?: unknown } | null)?.code;
    return typeof code === 'string' ? code.slice(0, MAX_TEXT) : '_OTHER';
  } catch {
    return '_OTHER';
  }
}

/** More than a thread finishes between two signs of life, unless it is flooded. */
const MAX_WAITING = 4_096;

/** What a thread has of spans for the supervisor. */
export interface SpanBatch {
  readonly spans: readonly SpanRecord[];
  /** More were finished than there was room for. */
  readonly dropped: number;
}

/** Finished spans of one thread, within bounds: what does not fit is dropped and counted, and nobody waits. */
export class SpanBuffer implements SpanSink {
  #spans: Span[] = [];
  #dropped = 0;

  add(span: Span): void {
    if (this.#spans.length < MAX_WAITING) this.#spans.push(span);
    else this.#dropped += 1;
  }

  /** What came since the last time; undefined: nothing. n.b. clocks on walls are set now and then, so each time anew. */
  take(): SpanBatch | undefined {
    if (this.#spans.length === 0 && this.#dropped === 0) return undefined;
    const offsetMs = Date.now() - performance.now();
    const spans = this.#spans.map((span) => recordOf(span, offsetMs));
    const dropped = this.#dropped;
    this.#spans = [];
    this.#dropped = 0;
    return { spans, dropped };
  }
}

function recordOf(span: Span, offsetMs: number): SpanRecord {
  const { trace, id, parentId, name, kind, startMs, endMs, attributes, error } = span;
  return {
    ...{ traceId: trace.traceId, id, parentId, state: trace.state, name, kind, attributes, error },
    startMs: startMs + offsetMs,
    endMs: endMs + offsetMs,
  };
}

/** The spans of a trace for a reply, in the order in which they began. `node`: who says it. */
export function spansForReply({ kept = [], others }: RequestTrace, node: string): readonly TraceSpan[] {
  const offsetMs = Date.now() - performance.now();
  const own = kept.map(({ id, parentId, name, startMs, endMs, attributes, error }): TraceSpan => ({
    id,
    ...(parentId === undefined ? {} : { parentId }),
    ...{ name, node, startMs: startMs + offsetMs, ms: Math.round((endMs - startMs) * 1_000) / 1_000 },
    ...(error === undefined ? {} : { error }),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
  }));
  return [...own, ...others].toSorted((a, b) => a.startMs - b.startMs);
}
