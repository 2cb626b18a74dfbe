import type { Json, JsonObject } from '../template/json.js';
import type { Filter, Page, Scalar, ViewQuery } from '../template/query.js';
import { findNoJson } from '../template/read-value.js';
import { DESCRIBE, type DomainDescription } from '../wire/description.js';
import type { ReplyEnvelope, RequestEnvelope } from '../wire/envelope.js';
import { clientErrors, fromReply } from './client-errors.js';
import type { CallOptions } from './domain-client.js';
import { Target } from './target.js';

/** The members of an envelope that say what is asked. */
export type Body = Pick<RequestEnvelope, 'payload' | 'query' | 'key'>;

/** One call of a domain. */
export interface Ask<R> {
  readonly target: Target;
  readonly body: Body;
  readonly options: CallOptions | undefined;
  readonly take: (reply: ReplyEnvelope) => R;
}

/** `,"name":value` for every member that is there. The names are ours: they need no escapes. */
export function members(values: object): string {
  let text = '';
  for (const name in values) {
    const value: unknown = values[name as keyof typeof values];
    if (value !== undefined) text += `,"${name}":${JSON.stringify(value)}`;
  }
  return text;
}

/** The envelope up to `meta`. Throws BEDS_CLIENT_REQUEST_INVALID for what JSON cannot carry. */
export function headOf(target: Target, id: string, body: Body): string {
  refuseOther(body);
  return `${target.head},"id":${JSON.stringify(id)}${members(body)}`;
}

/** n.b. on the way of each call: `JSON.stringify` would leave out or change what is no JSON, and nobody would notice. */
function refuseOther(body: Body): void {
  for (const name in body) {
    const value: unknown = body[name as keyof Body];
    const found = value === undefined ? undefined : findNoJson(value);
    if (found !== undefined) refuse(`${name}${found.at}`, found.problem);
  }
  if (body.query !== undefined) refuseUndefined(body.query, 'query');
}

/** A comparison with nothing would fall away, and the query would find more than was meant. n.b. the host says what has no form. */
function refuseUndefined(filter: unknown, at: string): void {
  if (typeof filter !== 'object' || filter === null) return;
  const { where, and, or, not } = filter as Filter;
  for (const column in where) {
    const test: unknown = where[column];
    const field = `${at}.where.${column}`;
    if (test === undefined) refuse(field, 'is undefined: leave it out, or compare with null');
    if (typeof test !== 'object') continue;
    for (const operator in test) {
      const value: unknown = (test as Readonly<Record<string, unknown>>)[operator];
      if (value === undefined) refuse(field, `has undefined for ${operator}: leave it out`);
    }
  }
  for (const [name, list] of [
    ['and', and],
    ['or', or],
  ] as const) {
    if (Array.isArray(list)) list.forEach((inner, index) => refuseUndefined(inner, `${at}.${name}[${index}]`));
  }
  refuseUndefined(not, `${at}.not`);
}

function refuse(field: string, problem: string): never {
  throw clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', `${field} ${problem}.`, { field });
}

/** Names that are looked for in any object, by `await` for one: no operation of these is called by its own name. */
const NO_OPERATION: ReadonlySet<string> = new Set(['then', 'catch', 'finally', 'toJSON', 'inspect', 'asymmetricMatch']);
const OPERATION = /^[a-z][A-Za-z0-9_-]{0,62}$/;

/** Calls into one domain, whatever its template says of them. Each further operation is a method of its name. */
export class DomainCalls {
  readonly #domain: string;
  readonly #ask: <R>(call: Ask<R>) => Promise<R>;
  readonly #targets = new Map<string, Target>();

  constructor(domain: string, ask: <R>(call: Ask<R>) => Promise<R>) {
    this.#domain = domain;
    this.#ask = ask;
  }

  create(payload: JsonObject, options?: CallOptions): Promise<JsonObject> {
    return this.#ask({ target: this.#target('create'), body: { payload }, options, take: recordOf });
  }

  async fetch(query: ViewQuery | { readonly key: Scalar } = {}, options?: CallOptions): Promise<Page> {
    const body = 'key' in query ? bodyOfKey(query) : { query };
    return this.#ask({ target: this.#target('fetch'), body, options, take: pageOf });
  }

  async *fetchAll(query: ViewQuery = {}, options?: CallOptions): AsyncIterableIterator<Page> {
    let { cursor } = query;
    do {
      const page: Page = await this.fetch(cursor === undefined ? query : { ...query, cursor }, options);
      yield page;
      ({ cursor } = page);
    } while (cursor !== undefined);
  }

  update(key: Scalar, payload: JsonObject, options?: CallOptions): Promise<JsonObject> {
    return this.#ask({ target: this.#target('update'), body: { key, payload }, options, take: recordOf });
  }

  delete(key: Scalar, options?: CallOptions): Promise<JsonObject> {
    return this.#ask({ target: this.#target('delete'), body: { key }, options, take: recordOf });
  }

  call(operation: string, payload?: JsonObject, options?: CallOptions): Promise<Json> {
    return this.#ask({
      target: this.#target(operation),
      body: payload === undefined ? {} : { payload },
      options,
      take: dataOf,
    });
  }

  /** What the version that serves says of itself. */
  async describe(options?: CallOptions): Promise<DomainDescription> {
    const take = (reply: ReplyEnvelope): DomainDescription => dataOf(reply) as unknown as DomainDescription;
    const description = await this.#ask({ target: this.#target(DESCRIBE), body: {}, options, take });
    DomainCalls.learn(this, description);
    return description;
  }

  /** Takes over what a domain says of its operations. n.b. static: any other name is that of an operation. */
  static learn(calls: DomainCalls, { operations }: Pick<DomainDescription, 'operations'>): void {
    for (const [name, { mode }] of Object.entries(operations)) calls.#targets.get(name)?.learn(mode);
  }

  static targetOf(calls: DomainCalls, op: string): Target {
    return calls.#target(op);
  }

  #target(op: string): Target {
    const known = this.#targets.get(op);
    if (known !== undefined) return known;
    const target = new Target(this.#domain, op);
    if (this.#targets.size >= MAX_OPERATIONS) this.#targets.clear();
    this.#targets.set(op, target);
    return target;
  }
}

/** A program that makes names up must not fill its memory with them. */
const MAX_OPERATIONS = 1_000;

/** Where a name is looked for that no object has: gives what stands for it, once for each object and name. */
export function namedOnDemand(make: (owner: object, name: string) => unknown): object {
  return new Proxy(Object.create(null) as object, {
    get: (_, name, owner: object) => {
      if (name in Object.prototype) return Reflect.get(Object.prototype, name, owner) as unknown;
      const value = typeof name === 'string' && !NO_OPERATION.has(name) ? make(owner, name) : undefined;
      if (value !== undefined) Object.defineProperty(owner, name, { value, configurable: true });
      return value;
    },
  });
}

Object.setPrototypeOf(
  DomainCalls.prototype,
  namedOnDemand((calls, name) =>
    OPERATION.test(name)
      ? (payload?: JsonObject, options?: CallOptions): Promise<Json> =>
          (calls as DomainCalls).call(name, payload, options)
      : undefined,
  ),
);

/** n.b. without a key it would ask for everything; what stands beside it is sent along, for the host to refuse. */
function bodyOfKey({ key, ...rest }: { readonly key: Scalar | undefined }): Body {
  if (key === undefined) {
    throw clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', 'key must be given.', { field: 'key' });
  }
  return Object.keys(rest).length === 0 ? { key } : { key, query: rest };
}

function answered(reply: ReplyEnvelope): Extract<ReplyEnvelope, { ok: true }> {
  if (reply.ok) return reply;
  throw fromReply(reply.error);
}

function dataOf(reply: ReplyEnvelope): Json {
  return answered(reply).data;
}

function recordOf(reply: ReplyEnvelope): JsonObject {
  return answered(reply).data as JsonObject;
}

function pageOf(reply: ReplyEnvelope): Page {
  const { data, page } = answered(reply);
  return { rows: data as readonly JsonObject[], ...page };
}
