import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import type { Json } from '@beds/sdk';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import { lastFirst, type Teardown } from './services.js';

/** What stands in for a host with the domains `sessions` and `cities`. */
export interface SessionsStand {
  readonly exchange: string;
  /** Tokens that are good now, and refresh tokens with what they give. */
  readonly good: Set<string>;
  readonly next: Map<string, { readonly token: string; readonly refresh: string }>;
  /** What came, as `domain.op session`. */
  readonly seen: string[];
  /** Tokens that messages carried in their headers. */
  readonly shared: string[];
  /** The error that a refresh is answered with. */
  failing: { readonly code: string; readonly status: string } | undefined;
}

/** Starts it on a RabbitMQ; it ends with the test. */
export async function sessionsStand(teardown: Teardown, url: string): Promise<SessionsStand> {
  const model = await connect(url, { noDelay: true });
  lastFirst(teardown, () => model.close());
  const channel = await model.createChannel();
  const state: SessionsStand = {
    exchange: `test.${randomUUID()}`,
    good: new Set(),
    next: new Map(),
    seen: [],
    shared: [],
    failing: undefined,
  };
  await channel.assertExchange(state.exchange, 'topic', { autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, state.exchange, '#');
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const body = JSON.parse(message.content.toString()) as RequestEnvelope | readonly RequestEnvelope[];
      const { replyTo, correlationId, headers } = message.properties as {
        readonly replyTo: string;
        readonly correlationId: string;
        readonly headers?: { readonly 'beds-session'?: string };
      };
      const { 'beds-session': session } = headers ?? {};
      if (session !== undefined) state.shared.push(session);
      const of = (request: RequestEnvelope): RequestEnvelope =>
        session === undefined ? request : { ...request, meta: { session, ...request.meta } };
      const replies = [body].flat().map((request) => answer(state, of(request)));
      channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(Array.isArray(body) ? replies : replies[0])), {
        correlationId,
      });
    },
    { noAck: true },
  );
  return state;
}

function answer(
  { good, next, seen, failing }: SessionsStand,
  { id, domain, op, payload = {}, meta }: RequestEnvelope,
): ReplyEnvelope {
  seen.push(`${domain}.${op} ${meta?.session ?? '-'}`);
  const by = { node: 'n', domain };
  const failed = (code: string, status: string): ReplyEnvelope => ({
    ...({ v: 1, id, ok: false, by } as const),
    error: { code, status: status as 'forbidden', message: 'No.', retryable: false },
  });
  const done = (data: Json): ReplyEnvelope => ({ v: 1, id, ok: true, data, by });
  if (domain === 'sessions' && op === 'signIn') {
    return payload['password'] === 'right'
      ? done({ token: 't1', refresh: 'r1' })
      : failed('BEDS_TEMPLATE_REFUSED', 'forbidden');
  }
  if (domain === 'sessions') {
    if (failing !== undefined) return failed(failing.code, failing.status);
    const tokens = next.get(payload['refresh'] as string);
    if (tokens === undefined) return failed('BEDS_TEMPLATE_REFUSED', 'forbidden');
    good.add(tokens.token);
    return done(tokens);
  }
  if (meta?.session !== undefined && !good.has(meta.session)) return failed('BEDS_REQUEST_SIGN_IN', 'forbidden');
  return done([{ for: meta?.session ?? null }]);
}
