import type { Json, JsonObject } from '../template/json.js';
import type { Page, Scalar, ViewQuery } from '../template/query.js';
import type { ReplyEnvelope, RequestEnvelope } from '../wire/envelope.js';
import { clientErrors, fromReply } from './client-errors.js';
import type { CallOptions, CustomCallOptions, DomainClient } from './domain-client.js';

/** The members of an envelope that say what is asked. */
export type Body = Pick<RequestEnvelope, 'payload' | 'query' | 'key'>;

/** What all calls of an operation have in common. */
export interface Target {
  readonly routingKey: string;
  /** The beginning of the envelope. */
  readonly head: string;
}

/** One call of a domain. */
export interface Ask<R> {
  readonly target: Target;
  readonly body: Body;
  readonly options: CustomCallOptions | undefined;
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

export function targetOf(domain: string, op: string): Target {
  return { routingKey: `${domain}.${op}`, head: `{"v":1${members({ domain, op })}` };
}

/** The envelope up to `meta`. Throws what JSON throws. */
export function headOf(target: Target, id: string, body: Body): string {
  return `${target.head},"id":${JSON.stringify(id)}${members(body)}`;
}

/** A domain whose template is not known. */
interface AnyDomain extends Omit<DomainClient, 'call'> {
  call(operation: string, input: JsonObject, options?: CustomCallOptions): Promise<Json>;
}

/** The calls into one domain, whatever its template says of them. */
export function domainCalls(domain: string, ask: <R>(call: Ask<R>) => Promise<R>): AnyDomain {
  const targets = new Map<string, Target>();
  const to = (op: string): Target => {
    const known = targets.get(op);
    if (known !== undefined) return known;
    const target = targetOf(domain, op);
    targets.set(op, target);
    return target;
  };
  const fetch = async (query: ViewQuery | { readonly key: Scalar }, options?: CallOptions): Promise<Page> => {
    const body = 'key' in query ? bodyOfKey(query) : { query };
    return ask({ target: to('fetch'), body, options: { ...options, mode: 'read' }, take: pageOf });
  };
  return {
    create: (payload, options) => ask({ target: to('create'), body: { payload }, options, take: recordOf }),
    fetch,
    async *fetchAll(query, options) {
      let { cursor } = query;
      do {
        const page: Page = await fetch(cursor === undefined ? query : { ...query, cursor }, options);
        yield page;
        ({ cursor } = page);
      } while (cursor !== undefined);
    },
    update: (key, payload, options) => ask({ target: to('update'), body: { key, payload }, options, take: recordOf }),
    delete: (key, options) => ask({ target: to('delete'), body: { key }, options, take: recordOf }),
    call: (operation, payload, options) => ask({ target: to(operation), body: { payload }, options, take: dataOf }),
  };
}

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
  return { rows: data as readonly JsonObject[], ...(page !== undefined && { cursor: page.cursor }) };
}
