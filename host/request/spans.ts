import type { RequestEnvelope, User } from '#sdk/template';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { Config } from '../config/schema.js';
import {
  parseTraceparent,
  RequestTrace,
  Span,
  type SpanAttributes,
  type SpanSink,
  spansForReply,
} from '../observe/trace.js';
import type { NamedObject, StoreAdapter } from '../stores/contract.js';

/**
 * The spans of a request, named and described as OpenTelemetry's conventions for messaging and databases say:
 * https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/, https://opentelemetry.io/docs/specs/semconv/database/
 * Nothing here is called for a request that is not traced, and no value of a request gets into a span.
 */

export interface TracingOptions {
  readonly node: string;
  readonly config: Pick<Config, 'tracing'>;
  /** Where spans go that are exported; undefined: none is. */
  readonly sink: SpanSink | undefined;
}

/** Decides which requests are traced. */
export class Tracing {
  /** Whether any request may be, without asking for it. */
  readonly isOn: boolean;
  readonly #options: TracingOptions;
  readonly #replyRoles: ReadonlySet<string>;

  constructor(options: TracingOptions) {
    this.#options = options;
    this.isOn = options.sink !== undefined;
    this.#replyRoles = new Set(options.config.tracing.replyRoles);
  }

  /** The span of a whole request; undefined: it is not traced. Whoever calls says by `traceparent` whether it is. */
  begin({ request, delivery, receivedAtMs }: Begun): Span | undefined {
    const { domain, op, id, meta } = request;
    const parent = parseTraceparent(meta?.traceparent);
    const isKept = meta?.trace === true && this.#replyRoles.size > 0;
    const isSampled = parent?.isSampled ?? Math.random() < this.#options.config.tracing.sampleRatio;
    const sink = isSampled ? this.#options.sink : undefined;
    if (sink === undefined && !isKept) return undefined;
    const trace = new RequestTrace(parent, { sink, state: meta?.tracestate, isKept });
    const span = new Span(trace, parent?.spanId, {
      name: `process ${domain}.${op}`,
      kind: 'consumer',
      startMs: receivedAtMs,
      attributes: {
        'messaging.system': 'rabbitmq',
        'messaging.operation.type': 'process',
        'messaging.operation.name': 'process',
        'messaging.destination.name': delivery.exchange,
        'messaging.rabbitmq.destination.routing_key': delivery.routingKey,
        'messaging.message.body.size': delivery.body.length,
        'beds.domain': domain,
        'beds.operation': op,
        'beds.node': this.#options.node,
      },
    });
    span.set('messaging.message.conversation_id', id);
    span.set('beds.client', meta?.client);
    if (delivery.redelivered) span.set('messaging.rabbitmq.message.redelivered', true);
    if (meta?.sentAt !== undefined) span.set('beds.waited_ms', Math.max(0, Date.now() - meta.sentAt));
    return span;
  }

  /** The reply with the spans of its request, where that asked for them, its user may know, and there is room. */
  addTo(text: string, { trace }: Span, asker: Asker): string {
    if (trace.kept === undefined || !this.#mayKnow(asker)) return text;
    const { traceId, left } = trace;
    const told = { traceId, spans: spansForReply(trace, this.#options.node), ...(left === 0 ? {} : { left }) };
    const whole = `${text.slice(0, -1)},"trace":${JSON.stringify(told)}}`;
    return Buffer.byteLength(whole) <= asker.maxBytes ? whole : text;
  }

  /** n.b. a host asks for a request that it has looked at itself. */
  #mayKnow({ user, isHost }: Asker): boolean {
    if (this.#replyRoles.has('*') || isHost) return true;
    return user?.roles.some((role) => this.#replyRoles.has(role)) === true;
  }
}

/** Who gets a reply. */
interface Asker {
  readonly user: User | undefined;
  readonly isHost: boolean;
  /** Of the reply. */
  readonly maxBytes: number;
}

interface Begun {
  readonly request: RequestEnvelope;
  readonly delivery: Delivery;
  readonly receivedAtMs: number;
}

/** What a store is called there. */
const systems = new WeakMap<StoreAdapter, string>();

function systemOf(adapter: StoreAdapter): string {
  const known = systems.get(adapter);
  if (known !== undefined) return known;
  const { kind, server, up } = adapter.status();
  const system = kind === 'mysql' && server.toLowerCase().includes('mariadb') ? 'mariadb' : kind;
  if (up) systems.set(adapter, system);
  return system;
}

function databaseAttributes(adapter: StoreAdapter): SpanAttributes {
  return { 'db.system.name': systemOf(adapter), 'beds.store': adapter.store };
}

/** A call of a named object. */
export function spanOfCall(parent: Span, { kind, name }: NamedObject, adapter: StoreAdapter): Span {
  const attributes = databaseAttributes(adapter);
  const isView = kind === 'view';
  const operation = isView ? 'SELECT' : 'CALL';
  attributes['db.operation.name'] = operation;
  attributes[isView ? 'db.collection.name' : 'db.stored_procedure.name'] = name;
  attributes['db.query.summary'] = `${operation} ${name}`;
  return parent.child({ name: `${operation} ${name}`, kind: 'client', attributes });
}

export function spanOfTransaction(parent: Span, adapter: StoreAdapter): Span {
  return parent.child({ name: 'transaction', kind: 'internal', attributes: databaseAttributes(adapter) });
}

/** A call of another domain, here or elsewhere. */
export function spanOfPeer(parent: Span, domain: string, op: string): Span {
  const attributes = { 'beds.domain': domain, 'beds.operation': op };
  return parent.child({ name: `${domain}.${op}`, kind: 'internal', attributes });
}

/** The call goes to another node. */
export function sentToOther(span: Span, routingKey: string): void {
  span.kind = 'client';
  span.set('messaging.system', 'rabbitmq');
  span.set('messaging.operation.type', 'send');
  span.set('messaging.operation.name', 'send');
  span.set('messaging.rabbitmq.destination.routing_key', routingKey);
}
