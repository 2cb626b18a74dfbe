import { type HrTime, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { backoffMs, settlesWithin } from '#sdk/time';
import type { Config } from '../config/schema.js';
import type { Log } from './log.js';
import type { SpanBatch, SpanKind as OwnKind, SpanRecord } from './trace.js';

type ReadableSpan = Parameters<OTLPTraceExporter['export']>[0][number];

/** What became of finished spans, since the host started. */
export interface TraceCounts {
  readonly exported: number;
  /** There was no room for them. */
  readonly dropped: number;
  /** The collector did not take them. */
  readonly failed: number;
  readonly waiting: number;
}

export interface TraceExporterOptions {
  readonly node: string;
  readonly version: string;
  readonly settings: Config['tracing'];
  readonly log: Pick<Log, 'warn' | 'info'>;
}

/** Spans of one export: a few hundred kilobytes. */
const BATCH = 512;
/** Collectors like batches better than single spans. */
const GATHER_MS = 1_000;
const RETRY = { minMs: 1_000, maxMs: 30_000 } as const;

/**
 * Hands the spans of all threads to a collector, on the supervisor's thread: nobody waits for it. One export is under way at once.
 * What a collector does not take in time is dropped and counted.
 */
export class TraceExporter {
  readonly #options: TraceExporterOptions;
  readonly #exporter: OTLPTraceExporter;
  readonly #resource: ReadableSpan['resource'];
  readonly #scope: ReadableSpan['instrumentationScope'];
  #waiting: SpanRecord[] = [];
  #timer: NodeJS.Timeout | undefined;
  #exporting: Promise<void> | undefined;
  #failures = 0;
  #exported = 0;
  #dropped = 0;
  #failed = 0;
  #isClosed = false;

  constructor(options: TraceExporterOptions) {
    const { node, version, settings } = options;
    this.#options = options;
    this.#exporter = new OTLPTraceExporter({
      url: settings.endpoint,
      headers: Object.fromEntries(settings.headers.map(headerOf)),
      timeoutMillis: settings.timeoutMs,
      concurrencyLimit: 1,
    });
    this.#resource = resourceFromAttributes({
      'service.name': settings.serviceName,
      'service.version': version,
      'service.instance.id': node,
    });
    this.#scope = { name: 'beds', version };
  }

  get counts(): TraceCounts {
    return {
      exported: this.#exported,
      dropped: this.#dropped,
      failed: this.#failed,
      waiting: this.#waiting.length,
    };
  }

  add({ spans, dropped }: SpanBatch): void {
    this.#dropped += dropped;
    const room = Math.max(0, this.#options.settings.maxWaiting - this.#waiting.length);
    for (const span of spans.slice(0, room)) this.#waiting.push(span);
    this.#dropped += Math.max(0, spans.length - room);
    if (this.#waiting.length > 0 && !this.#isClosed) this.#later(GATHER_MS);
  }

  /** Sends what is there, at most `timeoutMs`; the rest counts as failed. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const rest = async (): Promise<void> => {
      await this.#exporting;
      while (this.#waiting.length > 0 && this.#failures === 0) await this.#export();
    };
    await settlesWithin(rest(), timeoutMs);
    this.#failed += this.#waiting.length;
    this.#waiting = [];
    await settlesWithin(this.#exporter.shutdown(), timeoutMs);
  }

  #later(ms: number): void {
    if (this.#timer !== undefined || this.#exporting !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#exporting = this.#export().finally(() => {
        this.#exporting = undefined;
        if (this.#waiting.length === 0 || this.#isClosed) return;
        const isMore = this.#waiting.length >= BATCH;
        this.#later(this.#failures > 0 ? backoffMs(this.#failures, RETRY) : isMore ? 0 : GATHER_MS);
      });
    }, ms);
    this.#timer.unref();
  }

  /** Never rejects. */
  async #export(): Promise<void> {
    const batch = this.#waiting.splice(0, BATCH);
    const error = await new Promise<Error | undefined>((resolve) => {
      try {
        const spans = batch.map((record) => this.#readable(record));
        this.#exporter.export(spans, (result) => resolve(result.error));
      } catch (thrown) {
        resolve(thrown instanceof Error ? thrown : new TypeError('the exporter failed'));
      }
    });
    const { log } = this.#options;
    if (error === undefined) {
      this.#exported += batch.length;
      if (this.#failures > 0) log.info({ failed: this.#failed }, 'the collector takes spans again');
      this.#failures = 0;
      return;
    }
    this.#failed += batch.length;
    this.#failures += 1;
    if (this.#failures === 1) log.warn({ error: error.message.slice(0, 300) }, 'the collector takes no spans');
  }

  #readable(record: SpanRecord): ReadableSpan {
    const { traceId, id, parentId, name, kind, startMs, endMs, attributes, error } = record;
    const context = (spanId: string): SpanContext => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED });
    return {
      name,
      kind: KINDS[kind],
      spanContext: () => ({ ...context(id), ...stateOf(record) }),
      ...(parentId === undefined ? {} : { parentSpanContext: context(parentId) }),
      startTime: hrTime(startMs),
      endTime: hrTime(endMs),
      duration: hrTime(endMs - startMs),
      status: error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
      attributes: error === undefined ? attributes : { ...attributes, 'error.type': error },
      links: [],
      events: [],
      ended: true,
      resource: this.#resource,
      instrumentationScope: this.#scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }
}

const KINDS: Readonly<Record<OwnKind, SpanKind>> = {
  consumer: SpanKind.CONSUMER,
  client: SpanKind.CLIENT,
  internal: SpanKind.INTERNAL,
};

/** Passed on as it came: only its owners know what it means. */
function stateOf({ state }: SpanRecord): Pick<SpanContext, 'traceState'> {
  if (state === undefined) return {};
  const traceState: NonNullable<SpanContext['traceState']> = {
    serialize: () => state,
    get: () => undefined,
    set: () => traceState,
    unset: () => traceState,
  };
  return { traceState };
}

function headerOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
}

const NANOSECONDS = 1_000_000;

/** Seconds, and nanoseconds of the next one. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * NANOSECONDS)];
}
