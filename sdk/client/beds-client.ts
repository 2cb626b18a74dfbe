import { randomUUID } from 'node:crypto';
import { isBedsError } from '../template/errors.js';
import { DESCRIBE, type DomainDescription } from '../wire/description.js';
import { REQUEST_EXCHANGE, type ReplyEnvelope, type RequestEnvelope } from '../wire/envelope.js';
import { BrokerLink } from './broker-link.js';
import { clientErrors } from './client-errors.js';
import { type Ask, type Body, DomainCalls, headOf, members, namedOnDemand } from './domain-calls.js';
import type { CallOptions, DomainClient, DomainClients } from './domain-client.js';
import type { Caller, CallRequest } from './pending-call.js';
import { RequestPipeline } from './request-pipeline.js';
import { Session, type SessionTokens, tokensOf } from './session.js';
import type { Target } from './target.js';

export interface ConnectOptions {
  /** `amqp://` or `amqps://`. */
  readonly url: string;
  /** This program's name for itself, in every request. */
  readonly name: string;
  /**
   * AMQP `user-id` of every message. RabbitMQ refuses one that is not the name of the account, so a host knows which program asks.
   * Default: none.
   */
  readonly userId?: string;
  /** For whom it calls: a session of `signIn`, its tokens as they were kept, or a token alone. Default: nobody. */
  readonly session?: Session | SessionTokens | string;
  /** Default 'beds.request'. */
  readonly exchange?: string;
  /** Milliseconds that a call has when it names none. Default 10_000. */
  readonly defaultDeadlineMs?: number;
  /** Longest wait for the first connection, and for each attempt after it was lost. Default 10_000. */
  readonly connectTimeoutMs?: number;
  /** Bounds of a message that carries calls made in one event-loop turn. Default 100 calls, 262_144 bytes; false: one call each. */
  readonly batching?: { readonly maxCount?: number; readonly maxBytes?: number } | false;
  /** Most times that a read, or a write that its domain declares idempotent, is sent again after a lost connection. Default 3. */
  readonly retries?: number;
  /** Whether calls belong to the trace of the active OpenTelemetry context, where the program has `@opentelemetry/api`. Default true. */
  readonly openTelemetry?: boolean;
}

const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_DRAIN_TIMEOUT_MS = 5_000;
const DEFAULT_RETRIES = 3;
const DEFAULT_BATCH = { maxCount: 100, maxBytes: 262_144 };
/** How long a host may take to say what an operation is, when the connection was lost before any answer said it. */
const ASK_TIMEOUT_MS = 2_000;
/** Domains whose operations are remembered. */
const MAX_DOMAINS = 1_000;

/** Calls BEDS domains over one connection, which comes back by itself. Made by `connectBeds`. */
export class BedsClient {
  readonly #options: ConnectOptions;
  readonly #defaultDeadlineMs: number;
  readonly #link: BrokerLink;
  readonly #pipeline: RequestPipeline;
  readonly #idPrefix = randomUUID().slice(0, 13);
  readonly #clientMember: string;
  readonly #session: Session | string | undefined;
  readonly #domains = new Map<string, DomainCalls>();
  /** What is being asked of domains, by name. */
  readonly #asked = new Map<string, Promise<void>>();
  /** Tells the trace of the code that calls; undefined: there is none. */
  #activeTrace: (() => ActiveTrace | undefined) | undefined;
  #nextId = 0;
  #lastCaller: Caller | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#defaultDeadlineMs = options.defaultDeadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#clientMember = members({ client: options.name });
    const { session } = options;
    const isPlain = typeof session !== 'object' || session instanceof Session;
    this.#session = isPlain ? session : new Session(session);
    const { url, name, userId, exchange = REQUEST_EXCHANGE, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
    this.#link = new BrokerLink(
      { url, name, userId, exchange, connectTimeoutMs },
      {
        up: () => this.#pipeline.up(),
        down: (loss) => this.#pipeline.down(loss),
        reply: (content, correlationId) => this.#pipeline.reply(content, correlationId),
        returned: (messageId) => this.#pipeline.returned(messageId),
      },
    );
    const { batching = DEFAULT_BATCH, retries = DEFAULT_RETRIES } = options;
    const bounds = batching === false ? { ...DEFAULT_BATCH, maxCount: 1 } : { ...DEFAULT_BATCH, ...batching };
    this.#pipeline = new RequestPipeline(this.#link, { ...bounds, retries, ask: (target) => this.#learn(target) });
  }

  /** Whether there is a connection now. Calls made without one wait for it, until their deadline. */
  get isConnected(): boolean {
    return this.#link.isUp;
  }

  /** Calls that wait for their reply. */
  get pending(): number {
    return this.#pipeline.size;
  }

  /** Used by `connectBeds`. */
  async open(): Promise<void> {
    if (this.#options.openTelemetry !== false) this.#activeTrace = await openActiveTrace();
    await this.#link.open();
  }

  /** Calls into one domain; `client.domain<typeof template>('cities')` types them. Without types they are JSON. */
  domain<T = undefined>(domain: string): DomainClient<T> {
    // The types of a template narrow what is JSON there.
    return this.#calls(domain) as unknown as DomainClient<T>;
  }

  /** Sends an envelope as it is (with `meta.client` and a deadline where it has none); resolves to the reply, be it a failure. */
  request(envelope: RequestEnvelope, signal?: AbortSignal): Promise<ReplyEnvelope> {
    const { v, id, domain, op, meta, payload, query, key, ...unknown } = envelope;
    const version: unknown = v;
    const [field = version === undefined || version === 1 ? undefined : 'v'] = Object.keys(unknown);
    if (field !== undefined) {
      const message = 'The envelope has a member that is unknown, or another version than 1.';
      return Promise.reject(clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', message, { field }));
    }
    const target = DomainCalls.targetOf(this.#calls(domain), op);
    const trace = meta?.traceparent === undefined ? this.#activeTrace?.() : undefined;
    return this.#submit(() => ({
      id,
      target,
      head: headOf(target, id, { payload, query, key } as Body),
      meta: `,${JSON.stringify({ client: this.#options.name, session: tokenOf(this.#session), ...trace, ...meta, deadlineMs: undefined, sentAt: undefined }).slice(1, -1)}`,
      caller: undefined,
      deadlineMs: meta?.deadlineMs ?? this.#defaultDeadlineMs,
      sentAt: meta?.sentAt,
      signal,
      take: (reply) => reply,
    }));
  }

  /** Takes no more calls, waits for those under way, at most `drainTimeoutMs` (default 5_000), and disconnects. */
  close(options: { readonly drainTimeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainTimeoutMs ?? DEFAULT_DRAIN_TIMEOUT_MS);
    return this.#closing;
  }

  async #close(drainTimeoutMs: number): Promise<void> {
    await this.#pipeline.drain(drainTimeoutMs);
    await this.#link.close();
  }

  #calls(domain: string): DomainCalls {
    const known = this.#domains.get(domain);
    if (known !== undefined) return known;
    const calls = new DomainCalls(domain, (ask) => this.#ask(ask));
    if (this.#domains.size >= MAX_DOMAINS) this.#domains.clear();
    this.#domains.set(domain, calls);
    return calls;
  }

  /** Asks the domain what its operations are. Where nobody says it, they stay unknown, and are taken for writes. */
  #learn({ domain, isKnown }: Target): Promise<void> {
    if (isKnown) return Promise.resolve();
    const asked =
      this.#asked.get(domain) ??
      this.#describe(domain)
        .catch(() => undefined)
        .finally(() => this.#asked.delete(domain));
    this.#asked.set(domain, asked);
    return asked;
  }

  async #describe(domain: string): Promise<void> {
    const calls = this.#calls(domain);
    const body = `${headOf(DomainCalls.targetOf(calls, DESCRIBE), this.#newId(), {})},"meta":{"deadlineMs":${ASK_TIMEOUT_MS}${this.#clientMember}}}`;
    const content = await this.#link.ask(`${domain}.${DESCRIBE}`, body, ASK_TIMEOUT_MS);
    if (content === undefined) return;
    const reply = JSON.parse(content.toString()) as ReplyEnvelope;
    if (reply.ok) DomainCalls.learn(calls, reply.data as unknown as DomainDescription);
  }

  #newId(): string {
    this.#nextId += 1;
    return `${this.#idPrefix}-${this.#nextId.toString(36)}`;
  }

  #ask<R>(ask: Ask<R>): Promise<R> {
    const session = ask.options?.session === undefined ? this.#session : ask.options.session;
    return session instanceof Session ? this.#askAs(ask, session) : this.#send(ask, session ?? undefined);
  }

  /** n.b. a request that is refused for its session was not carried out: it is sent once more, with the next token. */
  async #askAs<R>(ask: Ask<R>, session: Session): Promise<R> {
    const { token } = session.tokens;
    try {
      return await this.#send(ask, token);
    } catch (error) {
      if (!isRefusedSession(error)) throw error;
    }
    await session.refreshAfter(token, (refresh) => this.#refresh(refresh));
    try {
      return await this.#send(ask, session.tokens.token);
    } catch (error) {
      throw isRefusedSession(error)
        ? clientErrors.make('BEDS_CLIENT_SESSION_ENDED', undefined, { cause: error })
        : error;
    }
  }

  async #refresh(refresh: string): Promise<SessionTokens> {
    return tokensOf(await this.#calls('sessions').call('refresh', { refresh }, { session: null }));
  }

  #send<R>({ target, body, options, take }: Ask<R>, token: string | undefined): Promise<R> {
    const id = this.#newId();
    const trace = this.#activeTrace?.();
    const isPlain = options === undefined && trace === undefined;
    return this.#submit(() => ({
      id,
      target,
      head: headOf(target, id, body),
      meta: isPlain ? this.#clientMember : this.#metaOf(options, trace),
      caller: token === undefined ? undefined : this.#callerOf(token),
      deadlineMs: options?.deadlineMs ?? this.#defaultDeadlineMs,
      signal: options?.signal,
      take,
    }));
  }

  /** What the caller says of its trace itself comes first. */
  #metaOf({ traceparent, tracestate, idempotencyKey }: CallOptions = {}, trace?: ActiveTrace): string {
    const own = this.#clientMember;
    if (traceparent !== undefined) return own + members({ traceparent, tracestate, idempotencyKey });
    if (trace === undefined && idempotencyKey === undefined) return own;
    return own + members({ ...trace, idempotencyKey });
  }

  /** n.b. it is the same for many calls in a row. */
  #callerOf(token: string): Caller {
    if (this.#lastCaller?.token !== token) this.#lastCaller = { token, member: members({ session: token }) };
    return this.#lastCaller;
  }

  #submit<R>(write: () => CallRequest<R>): Promise<R> {
    try {
      if (this.#closing !== undefined) throw clientErrors.make('BEDS_CLIENT_CLOSED');
      const request = write();
      if (isDeadline(request.deadlineMs)) return this.#pipeline.submit(request);
      const message = `deadlineMs must be ${DEADLINE_BOUNDS}.`;
      throw clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', message, { field: 'deadlineMs' });
    } catch (error) {
      return Promise.reject(
        isBedsError(error) ? error : clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', undefined, { cause: error }),
      );
    }
  }
}

/** RabbitMQ closes the channel over an expiration that 32 bits do not hold. https://www.rabbitmq.com/docs/ttl */
const MAX_DEADLINE_MS = 4_294_967_295;
const DEADLINE_BOUNDS = `a number of milliseconds above 0, at most ${String(MAX_DEADLINE_MS)}`;

function isDeadline(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value <= MAX_DEADLINE_MS;
}

function checkOptions({ url, name, defaultDeadlineMs }: ConnectOptions): void {
  if (defaultDeadlineMs !== undefined && !isDeadline(defaultDeadlineMs)) {
    const field = 'defaultDeadlineMs';
    throw clientErrors.make('BEDS_CLIENT_OPTIONS_INVALID', `${field} must be ${DEADLINE_BOUNDS}.`, { field });
  }
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol !== 'amqp:' && protocol !== 'amqps:') {
    throw clientErrors.make('BEDS_CLIENT_OPTIONS_INVALID', 'url must be an amqp:// or amqps:// URL.', { field: 'url' });
  }
  if (typeof name !== 'string' || name === '') {
    throw clientErrors.make('BEDS_CLIENT_OPTIONS_INVALID', 'name must be a text.', { field: 'name' });
  }
}

function tokenOf(session: Session | string | undefined): string | undefined {
  return session instanceof Session ? session.tokens.token : session;
}

function isRefusedSession(error: unknown): boolean {
  return isBedsError(error) && error.code === 'BEDS_REQUEST_SIGN_IN';
}

const DOMAIN = /^[a-z][a-z0-9-]{0,62}$/;

// A domain is a member of its name.
Object.setPrototypeOf(
  BedsClient.prototype,
  namedOnDemand((client, name) => (DOMAIN.test(name) ? (client as BedsClient).domain(name) : undefined)),
);

/**
 * Connects to RabbitMQ. `connectBeds<{ cities: typeof cities }>(…)` gives a client whose `cities` has the operations of that domain.
 * Rejects with BEDS_CLIENT_OPTIONS_INVALID, or BEDS_CLIENT_UNAVAILABLE after `connectTimeoutMs`.
 */
export async function connectBeds<Domains = Record<never, never>>(
  options: ConnectOptions,
): Promise<BedsClient & DomainClients<Domains>> {
  checkOptions(options);
  const client = new BedsClient(options);
  await client.open();
  // Its domains are made when they are asked for.
  return client as BedsClient & DomainClients<Domains>;
}

/** What the trace of the code that calls is, as the request says it. */
interface ActiveTrace {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** The part of `@opentelemetry/api` that is used: whoever does without the package needs no types of it either. */
interface OpenTelemetry {
  readonly trace: {
    getSpanContext(context: unknown): SpanContext | undefined;
  };
  readonly context: { active(): unknown };
  readonly isSpanContextValid: (context: SpanContext) => boolean;
}

interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly traceState?: { serialize(): string } | undefined;
}

/** By the standard longer ones need not be passed on, and a host refuses them. */
const MAX_STATE_CHARACTERS = 512;

/**
 * What tells the trace of the active OpenTelemetry context, where the program has `@opentelemetry/api`; undefined: it has not, and no
 * call pays for it. Never rejects.
 */
async function openActiveTrace(): Promise<(() => ActiveTrace | undefined) | undefined> {
  const api = await loadApi();
  return api === undefined ? undefined : () => activeTrace(api);
}

async function loadApi(): Promise<OpenTelemetry | undefined> {
  try {
    // n.b. an optional peer: bundlers must not insist on it.
    const name = '@opentelemetry/api';
    const module = (await import(name)) as Partial<OpenTelemetry> & { readonly default?: Partial<OpenTelemetry> };
    const { trace, context, isSpanContextValid } = module.trace === undefined ? (module.default ?? {}) : module;
    return trace && context && isSpanContextValid ? { trace, context, isSpanContextValid } : undefined;
  } catch {
    return undefined;
  }
}

/** n.b. the code of others: what it throws must not keep the call from being made. */
function activeTrace({ trace, context, isSpanContextValid }: OpenTelemetry): ActiveTrace | undefined {
  try {
    const span = trace.getSpanContext(context.active());
    if (span === undefined || !isSpanContextValid(span)) return undefined;
    const { traceId, spanId, traceFlags, traceState } = span;
    const traceparent = `00-${traceId}-${spanId}-${(traceFlags & 1) === 1 ? '01' : '00'}`;
    const state = traceState?.serialize() ?? '';
    return state === '' || state.length > MAX_STATE_CHARACTERS ? { traceparent } : { traceparent, tracestate: state };
  } catch {
    return undefined;
  }
}
