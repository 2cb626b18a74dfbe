import { randomUUID } from 'node:crypto';
import { isBedsError, type Json } from '@beds/sdk';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { BedsError, type ReplyEnvelope, type RequestEnvelope } from '#sdk/template';
import type { QueueStatus } from '../amqp/topology.js';
import { requestErrors } from '../errors/request.js';
import type { OperationResult } from './encode.js';
import { sentToOther } from './spans.js';
import type { DomainCall } from './template-context.js';

export interface RemoteOptions {
  readonly url: string;
  /** Shown by RabbitMQ, and in the requests. */
  readonly name: string;
  readonly exchange: string;
  readonly connectTimeoutMs: number;
  readonly queuesOf: (domain: string) => Promise<readonly QueueStatus[]>;
  /** All domains that any node has served. */
  readonly knownDomains: () => Promise<readonly string[]>;
  /** Whether this node serves the domain. */
  readonly serves: (domain: string) => boolean;
  /** Roles that this node does not play, with the domains that they name. */
  readonly rolesOfOthers: Readonly<Record<string, readonly string[]>>;
}

/** All domains that no role names. */
const REST = '*';
const NO_REST: Promise<undefined> = Promise.resolve(undefined);

/** Calls of one thread that may wait for another node. */
const MOST_CALLS = 2_000;

/** For so long it is known whether another node serves a domain. */
const KNOWN_MS = 1_000;
/** Who served a domain this long ago is taken to be on the way back. */
const BACK_WITHIN_MS = 30_000;

/** Nothing was begun for a call that ended so. */
const NOT_BEGUN: ReadonlySet<string> = new Set([
  'BEDS_CLIENT_REQUEST_INVALID',
  'BEDS_CLIENT_UNAVAILABLE',
  'BEDS_CLIENT_UNROUTABLE',
  'BEDS_CLIENT_FORBIDDEN',
  'BEDS_REQUEST_CALL_DEPTH',
  'BEDS_REQUEST_FORBIDDEN',
  'BEDS_REQUEST_INVALID',
  'BEDS_REQUEST_PEER_UNAVAILABLE',
  'BEDS_REQUEST_READ_ONLY',
  'BEDS_REQUEST_ROLE_ABSENT',
  'BEDS_REQUEST_SESSION_UNAVAILABLE',
  'BEDS_REQUEST_SIGN_IN',
  'BEDS_REQUEST_TOO_COMPLEX',
  'BEDS_REQUEST_TOO_LARGE',
  'BEDS_REQUEST_UNKNOWN_DOMAIN',
  'BEDS_REQUEST_UNKNOWN_OPERATION',
  'BEDS_REQUEST_WITHHELD',
]);

/**
 * Calls of templates into domains that other nodes serve: over RabbitMQ, under the deadline of the request that they belong to.
 * The connection is opened at the first of them.
 */
export class RemoteDomains {
  readonly #options: RemoteOptions;
  readonly #idPrefix = randomUUID().slice(0, 13);
  #opening: Promise<BedsClient> | undefined;
  readonly #served = new Map<string, { readonly untilMs: number; readonly isServed: Promise<boolean> }>();
  /** Since when nobody was seen to serve a domain, in terms of performance.now(). */
  readonly #unservedSince = new Map<string, number>();
  /** Of the role that means all others by `*`: a domain that was served when it was looked at. */
  #seenServed: string | undefined;
  readonly #rest = new Asked(() => this.#lookAtRest(), undefined);
  readonly #known = new Asked(() => this.#options.knownDomains(), []);
  #calls = 0;
  #underWay = 0;

  constructor(options: RemoteOptions) {
    this.#options = options;
  }

  /** Rejects with what the other node answered, or with what kept it from answering. */
  async call(call: DomainCall): Promise<OperationResult> {
    const { scope, domain, mode, op } = call;
    if (this.#underWay >= MOST_CALLS) {
      throw requestErrors.make('BEDS_REQUEST_PEER_UNAVAILABLE', 'Too many calls wait for other nodes.');
    }
    // n.b. otherwise in this turn: a write that is not awaited has begun, too.
    if (this.isAway(domain)) await this.#requireNode(domain);
    const mayWrite = mode === 'write' && op !== 'fetch';
    if (mayWrite) scope.beginsWrite();
    this.#underWay += 1;
    try {
      const reply = await this.#send(call);
      if (reply.trace !== undefined) call.span?.trace.heard(reply.trace.spans, reply.trace.left ?? 0);
      if (mayWrite && reply.by?.mode === 'read') scope.keptNothing();
      else if (mayWrite && !reply.ok && NOT_BEGUN.has(reply.error.code)) scope.keptNothing();
      return resultOf(reply);
    } catch (error) {
      if (!isTransport(error)) throw error;
      if (mayWrite && NOT_BEGUN.has(error.code)) scope.keptNothing();
      throw ofTransport(error, mayWrite);
    } finally {
      this.#underWay -= 1;
      if (mayWrite) scope.writeEnded();
    }
  }

  /** Whether another node serves a domain that a role names. Never rejects. */
  isServed(domain: string): Promise<boolean> {
    const known = this.#served.get(domain);
    if (known !== undefined && performance.now() < known.untilMs) return known.isServed;
    const isServed = this.look(domain).then((queues) => isConsumed(queues));
    this.#served.set(domain, { untilMs: performance.now() + KNOWN_MS, isServed });
    return isServed;
  }

  /** Looks at the queues of a domain; undefined: RabbitMQ cannot be asked. Never rejects. */
  async look(domain: string): Promise<readonly QueueStatus[] | undefined> {
    const nowMs = performance.now();
    const queues = await this.#options.queuesOf(domain).catch(() => undefined);
    // n.b. who cannot ask RabbitMQ knows of nobody that he is away.
    if (queues === undefined || isConsumed(queues)) this.#unservedSince.delete(domain);
    else if (!this.#unservedSince.has(domain)) this.#unservedSince.set(domain, nowMs);
    return queues;
  }

  /** A node that was lost is waited for under the deadline of each call; one that does not come back is not. */
  isAway(domain: string): boolean {
    const sinceMs = this.#unservedSince.get(domain);
    return sinceMs !== undefined && performance.now() - sinceMs >= BACK_WITHIN_MS;
  }

  /** The role of others that names a domain, or means it by `*`. */
  roleOf(domain: string): string | undefined {
    return this.#roleThatHas(domain) ?? this.#roleThatHas(REST);
  }

  /**
   * The domains that a role of others means by `*`, while nobody was seen to serve any of them. Undefined: somebody plays the role, there is
   * none, or RabbitMQ cannot be asked. Never rejects.
   */
  rest(): Promise<readonly string[] | undefined> {
    return this.#roleThatHas(REST) === undefined ? NO_REST : this.#rest.get();
  }

  async #lookAtRest(): Promise<readonly string[] | undefined> {
    if (this.#seenServed !== undefined && isConsumed(await this.look(this.#seenServed))) return undefined;
    this.#seenServed = undefined;
    const known = await this.#options.knownDomains();
    const rest = known.filter((domain) => !this.#options.serves(domain) && this.#roleThatHas(domain) === undefined);
    for (const domain of rest) {
      const queues = await this.look(domain);
      if (queues !== undefined && !isConsumed(queues)) continue;
      // n.b. who is looked at no more is not known to be away.
      for (const each of rest) this.#unservedSince.delete(each);
      if (queues !== undefined) this.#seenServed = domain;
      return undefined;
    }
    return rest;
  }

  /** Makes (does not throw) the error of a request to a domain of others that RabbitMQ had no binding for. */
  async unbound(domain: string): Promise<BedsError> {
    const isNamed = this.#roleThatHas(domain) !== undefined;
    if (!isNamed) {
      if ((await this.rest()) !== undefined) return this.absent(domain);
      // n.b. whoever makes up names of domains is not looked after.
      if (!(await this.#known.get()).includes(domain)) return requestErrors.make('BEDS_REQUEST_UNKNOWN_DOMAIN');
    }
    if (await this.isServed(domain)) return requestErrors.make('BEDS_REQUEST_UNKNOWN_OPERATION');
    return isNamed ? this.absent(domain) : requestErrors.make('BEDS_REQUEST_UNKNOWN_DOMAIN');
  }

  #roleThatHas(domain: string): string | undefined {
    const [role] = Object.entries(this.#options.rolesOfOthers).find(([, domains]) => domains.includes(domain)) ?? [];
    return role;
  }

  /** Makes (does not throw) the error of a request to a domain that nobody serves. */
  absent(domain: string): BedsError {
    const role = this.roleOf(domain);
    const words = role === undefined ? undefined : `No node that plays the role ${role} serves this domain.`;
    return requestErrors.make('BEDS_REQUEST_ROLE_ABSENT', words);
  }

  async #requireNode(domain: string): Promise<void> {
    await this.isServed(domain);
    if (this.isAway(domain)) throw this.absent(domain);
  }

  async close(timeoutMs: number): Promise<void> {
    const client = await this.#opening?.catch(() => undefined);
    await client?.close({ drainTimeoutMs: timeoutMs });
  }

  async #send(call: DomainCall): Promise<Answer> {
    const { scope, span } = call;
    if (span !== undefined) sentToOther(span, `${call.domain}.${call.op}`);
    const client = await this.#connected();
    const deadlineMs = Math.max(1, Math.floor(scope.requireTime()));
    this.#calls += 1;
    return client.request(envelopeOf(call, `${this.#idPrefix}-${this.#calls.toString(36)}`, deadlineMs));
  }

  #connected(): Promise<BedsClient> {
    if (this.#opening !== undefined) return this.#opening;
    const { url } = this.#options;
    const userId = decodeURIComponent(new URL(url).username);
    const opening = connectBeds({ ...this.#options, openTelemetry: false, ...(userId === '' ? {} : { userId }) });
    this.#opening = opening;
    opening.catch(() => (this.#opening = undefined));
    return opening;
  }
}

/** What is asked for at most once in a while, and is `otherwise` where it cannot be had. */
class Asked<T> {
  readonly #ask: () => Promise<T>;
  readonly #otherwise: T;
  #untilMs = 0;
  #answer: Promise<T> | undefined;

  constructor(ask: () => Promise<T>, otherwise: T) {
    this.#ask = ask;
    this.#otherwise = otherwise;
  }

  get(): Promise<T> {
    if (this.#answer !== undefined && performance.now() < this.#untilMs) return this.#answer;
    this.#untilMs = Infinity;
    this.#answer = this.#ask()
      .catch(() => this.#otherwise)
      .finally(() => (this.#untilMs = performance.now() + KNOWN_MS));
    return this.#answer;
  }
}

/** n.b. whoever stands in for a host may leave `by` out. */
type Answer = ReplyEnvelope | (ReplyEnvelope & { readonly by?: undefined });

function isConsumed(queues: readonly QueueStatus[] | undefined): boolean {
  return queues?.some(({ consumers }) => consumers > 0) === true;
}

function envelopeOf(call: DomainCall, id: string, deadlineMs: number): RequestEnvelope {
  const { domain, op, input, scope, mode, depth, authority, span } = call;
  const { client, idempotencyKey, tracestate } = scope;
  const traceparent = span === undefined ? scope.traceparent : span.traceparent;
  const { asDomain } = authority;
  const session = authority.user === undefined ? undefined : scope.token;
  const meta = {
    ...(client !== undefined && { client }),
    ...(session !== undefined && { session }),
    ...(asDomain !== undefined && { asDomain }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(traceparent !== undefined && { traceparent }),
    ...(traceparent !== undefined && tracestate !== undefined && { tracestate }),
    ...(span?.trace.kept !== undefined && { trace: true }),
    ...(mode === 'read' && { readOnly: true }),
    depth: scope.depth + depth,
    deadlineMs,
  };
  const { payload, query, key } = input;
  return {
    ...{ v: 1, id, domain, op, meta },
    ...(payload !== undefined && { payload }),
    ...(query !== undefined && { query }),
    ...(key !== undefined && { key }),
  };
}

function resultOf(reply: ReplyEnvelope): OperationResult {
  if (reply.ok) {
    const data: Json = reply.data;
    return { data, ...reply.page };
  }
  const { code, message, status = 'fault', hint = '', retryable, field, problems } = reply.error;
  const details = { retryable, ...(field !== undefined && { field }), ...(problems !== undefined && { problems }) };
  throw new BedsError(code, { message, status, action: hint }, details);
}

function isTransport(error: unknown): error is BedsError {
  return isBedsError(error) && error.code.startsWith('BEDS_CLIENT_');
}

function ofTransport(cause: BedsError, mayWrite: boolean): BedsError {
  const { code, message, field } = cause;
  switch (code) {
    case 'BEDS_CLIENT_TIMEOUT':
      return requestErrors.make(mayWrite ? 'BEDS_REQUEST_INDETERMINATE' : 'BEDS_REQUEST_DEADLINE_EXCEEDED', undefined, {
        cause,
      });
    case 'BEDS_CLIENT_INDETERMINATE':
      return requestErrors.make('BEDS_REQUEST_INDETERMINATE', undefined, { cause });
    case 'BEDS_CLIENT_REQUEST_INVALID':
      return requestErrors.make('BEDS_REQUEST_INVALID', message, { cause, ...(field !== undefined && { field }) });
    default:
      return requestErrors.make('BEDS_REQUEST_PEER_UNAVAILABLE', message, { cause });
  }
}
