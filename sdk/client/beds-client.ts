import { randomUUID } from 'node:crypto';
import type { Json, JsonObject } from '../template/json.js';
import type { Page, Scalar, ViewQuery } from '../template/query.js';
import { REQUEST_EXCHANGE, type ReplyEnvelope, type RequestEnvelope } from '../wire/envelope.js';
import { BrokerLink } from './broker-link.js';
import { clientErrors, fromReply } from './client-errors.js';
import type { CallOptions, CustomCallOptions, DomainClient } from './domain-client.js';
import type { CallRequest } from './pending-call.js';
import { RequestPipeline } from './request-pipeline.js';

export interface ConnectOptions {
  /** `amqp://` or `amqps://`. */
  readonly url: string;
  /** This program's name for itself, in every request. */
  readonly name: string;
  /** Default 'beds.request'. */
  readonly exchange?: string;
  /** Milliseconds that a call has when it names none. Default 10_000. */
  readonly defaultDeadlineMs?: number;
  /** Longest wait for the first connection, and for each attempt after it was lost. Default 10_000. */
  readonly connectTimeoutMs?: number;
  /** Bounds of a message that carries calls made in one event-loop turn. Default 100 calls, 262_144 bytes; false: one call each. */
  readonly batching?: { readonly maxCount?: number; readonly maxBytes?: number } | false;
  /** Most times that a read, or a write that the caller calls idempotent, is sent again after a lost connection. Default 3. */
  readonly retries?: number;
}

/** The members of an envelope that say what is asked. */
type Ask = Pick<RequestEnvelope, 'payload' | 'query' | 'key'>;

const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_DRAIN_TIMEOUT_MS = 5_000;
const DEFAULT_RETRIES = 3;
const DEFAULT_BATCH = { maxCount: 100, maxBytes: 262_144 };

/** `,"name":value` for every member that is there. */
function members(values: Readonly<Record<string, unknown>>): string {
  let text = '';
  for (const name in values) {
    const value = values[name];
    if (value !== undefined) text += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
  }
  return text;
}

function unwrap(reply: ReplyEnvelope): Extract<ReplyEnvelope, { ok: true }> {
  if (reply.ok) return reply;
  throw fromReply(reply.error);
}

/** Calls BEDS domains over one connection, which comes back by itself. Made by `connectBeds`. */
export class BedsClient {
  readonly #options: ConnectOptions;
  readonly #link: BrokerLink;
  readonly #pipeline: RequestPipeline;
  readonly #idPrefix = randomUUID().slice(0, 13);
  #nextId = 0;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectOptions) {
    this.#options = options;
    const { url, name, exchange = REQUEST_EXCHANGE, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
    this.#link = new BrokerLink(
      { url, name, exchange, connectTimeoutMs },
      {
        up: () => this.#pipeline.up(),
        down: (code) => this.#pipeline.down(code),
        reply: (content, correlationId) => this.#pipeline.reply(content, correlationId),
        returned: (messageId) => this.#pipeline.returned(messageId),
      },
    );
    const { batching = DEFAULT_BATCH, retries = DEFAULT_RETRIES } = options;
    const bounds = batching === false ? { ...DEFAULT_BATCH, maxCount: 1 } : { ...DEFAULT_BATCH, ...batching };
    this.#pipeline = new RequestPipeline(this.#link, { ...bounds, retries });
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
    await this.#link.open();
  }

  /** Calls into one domain; `client.domain<typeof template>('cities')` types them. */
  domain<T = undefined>(domain: string): DomainClient<T> {
    const ask = async (
      op: string,
      body: Ask,
      options?: CustomCallOptions,
    ): Promise<Extract<ReplyEnvelope, { ok: true }>> => unwrap(await this.#ask({ domain, op, body, options }));
    const fetch = async (query: ViewQuery | { readonly key: Scalar }, options?: CallOptions): Promise<Page> => {
      const { data, page } = await ask('fetch', 'key' in query ? { key: query.key } : { query }, {
        ...options,
        mode: 'read',
      });
      return { rows: data as readonly JsonObject[], ...(page !== undefined && { cursor: page.cursor }) };
    };
    const client = {
      create: async (payload: JsonObject, options?: CallOptions) => (await ask('create', { payload }, options)).data,
      fetch,
      async *fetchAll(query: ViewQuery, options?: CallOptions) {
        let { cursor } = query;
        do {
          const page: Page = await fetch(cursor === undefined ? query : { ...query, cursor }, options);
          yield page;
          ({ cursor } = page);
        } while (cursor !== undefined);
      },
      update: async (key: Scalar, payload: JsonObject, options?: CallOptions) =>
        (await ask('update', { key, payload }, options)).data,
      delete: async (key: Scalar, options?: CallOptions) => (await ask('delete', { key }, options)).data,
      call: async (operation: string, input: JsonObject, options?: CustomCallOptions) =>
        (await ask(operation, { payload: input }, options)).data,
    };
    // The types of a template narrow what is JSON here.
    return client as unknown as DomainClient<T>;
  }

  /** Sends an envelope as it is (with `meta.client` and a deadline where it has none); resolves to the reply, be it a failure. */
  async request(envelope: RequestEnvelope, signal?: AbortSignal): Promise<ReplyEnvelope> {
    const { id, domain, op, meta, payload, query, key } = envelope;
    const isRead = op === 'fetch';
    return this.#submit(
      { domain, op, body: { payload, query, key } as Ask },
      {
        id,
        deadlineMs: meta?.deadlineMs ?? this.#options.defaultDeadlineMs ?? DEFAULT_DEADLINE_MS,
        meta: { client: this.#options.name, ...meta, deadlineMs: undefined },
        isRead,
        mayResend: isRead,
        signal,
      },
    );
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

  #ask(call: {
    readonly domain: string;
    readonly op: string;
    readonly body: Ask;
    readonly options: CustomCallOptions | undefined;
  }): Promise<ReplyEnvelope> {
    const { deadlineMs, signal, idempotencyKey, idempotent, session, traceparent, mode } = call.options ?? {};
    const isRead = mode === 'read';
    this.#nextId += 1;
    return this.#submit(call, {
      id: `${this.#idPrefix}-${this.#nextId.toString(36)}`,
      deadlineMs: deadlineMs ?? this.#options.defaultDeadlineMs ?? DEFAULT_DEADLINE_MS,
      meta: {
        client: this.#options.name,
        session,
        traceparent,
        idempotencyKey,
      },
      isRead,
      mayResend: isRead || idempotent === true,
      signal,
    });
  }

  async #submit(
    { domain, op, body }: { readonly domain: string; readonly op: string; readonly body: Ask },
    terms: Omit<CallRequest, 'routingKey' | 'head' | 'meta'> & {
      readonly meta: Readonly<Record<string, Json | undefined>>;
    },
  ): Promise<ReplyEnvelope> {
    if (this.#closing !== undefined) throw clientErrors.make('BEDS_CLIENT_CLOSED');
    if (!(terms.deadlineMs > 0)) {
      throw clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', 'deadlineMs must be above 0.', { field: 'deadlineMs' });
    }
    let head: string;
    try {
      head = `{"v":1${members({ id: terms.id, domain, op, ...body })}`;
    } catch (cause) {
      throw clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', undefined, { cause });
    }
    return this.#pipeline.submit({ ...terms, routingKey: `${domain}.${op}`, head, meta: members(terms.meta) });
  }
}

function checkOptions({ url, name }: ConnectOptions): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol !== 'amqp:' && protocol !== 'amqps:') {
    throw clientErrors.make('BEDS_CLIENT_OPTIONS_INVALID', 'url must be an amqp:// or amqps:// URL.', { field: 'url' });
  }
  if (typeof name !== 'string' || name === '') {
    throw clientErrors.make('BEDS_CLIENT_OPTIONS_INVALID', 'name must be a text.', { field: 'name' });
  }
}

/** Connects to RabbitMQ. Rejects with BEDS_CLIENT_OPTIONS_INVALID, or BEDS_CLIENT_UNAVAILABLE after `connectTimeoutMs`. */
export async function connectBeds(options: ConnectOptions): Promise<BedsClient> {
  checkOptions(options);
  const client = new BedsClient(options);
  await client.open();
  return client;
}
