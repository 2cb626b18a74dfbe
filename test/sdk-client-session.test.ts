import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { connect } from 'amqplib';
import type { Json, JsonObject } from '@beds/sdk';
import { type BedsClient, connectBeds, type ConnectOptions, Session, signIn } from '@beds/sdk/client';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq']);
const url = services.rabbitmq?.url ?? assert.fail('RabbitMQ was asked for');

/** What stands in for a host with the domains `sessions` and `cities`. */
interface Stand {
  readonly exchange: string;
  /** Tokens that are good now, and refresh tokens with what they give. */
  readonly good: Set<string>;
  readonly next: Map<string, { readonly token: string; readonly refresh: string }>;
  /** What came, as `domain.op session`. */
  readonly seen: string[];
  /** The error that a refresh is answered with. */
  failing: { readonly code: string; readonly status: string } | undefined;
}

async function stand(teardown: Teardown): Promise<Stand> {
  const model = await connect(url, { noDelay: true });
  lastFirst(teardown, () => model.close());
  const channel = await model.createChannel();
  const state: Stand = {
    exchange: `test.${randomUUID()}`,
    good: new Set(),
    next: new Map(),
    seen: [],
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
      const replies = [body].flat().map((request) => answer(state, request));
      const { replyTo, correlationId } = message.properties as {
        readonly replyTo: string;
        readonly correlationId: string;
      };
      channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(Array.isArray(body) ? replies : replies[0])), {
        correlationId,
      });
    },
    { noAck: true },
  );
  return state;
}

function answer(
  { good, next, seen, failing }: Stand,
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

async function clientOf(
  teardown: Teardown,
  { exchange }: Stand,
  options: Partial<ConnectOptions> = {},
): Promise<BedsClient> {
  const client = await connectBeds({ url, name: 'test', exchange, ...options });
  lastFirst(teardown, () => client.close());
  return client;
}

const who = async (client: BedsClient, session?: Session | string | null): Promise<unknown> => {
  const { rows } = await client.domain('cities').fetch({}, session === undefined ? undefined : { session });
  return (rows[0] as JsonObject)['for'];
};

describe('a client with a session', () => {
  it('calls for its user, unless a call is for another one or for nobody', async (t) => {
    const state = await stand(t);
    for (const token of ['ann', 'bob']) state.good.add(token);
    const client = await clientOf(t, state, { session: 'ann' });
    assert.deepEqual([await who(client), await who(client, 'bob'), await who(client, null)], ['ann', 'bob', null]);
    const reply = await client.request({ v: 1, id: 'a', domain: 'cities', op: 'fetch' });
    assert.deepEqual(reply.ok && reply.data, [{ for: 'ann' }]);
    const nobody = await clientOf(t, state);
    assert.deepEqual([await who(nobody), await who(nobody, 'ann')], [null, 'ann']);
  });

  it('signs in without the session that it had, and is told what the domain says', async (t) => {
    const state = await stand(t);
    state.good.add('t1');
    const client = await clientOf(t, state, { session: 'old' });
    await assert.rejects(signIn(client, { name: 'ann', password: 'wrong' }), { code: 'BEDS_TEMPLATE_REFUSED' });
    const session = await signIn(client, { name: 'ann', password: 'right' });
    assert.deepEqual(session.tokens, { token: 't1', refresh: 'r1' });
    assert.equal(await who(client, session), 't1');
    assert.deepEqual(state.seen.slice(0, 2), ['sessions.signIn -', 'sessions.signIn -']);
  });

  it('takes the next token by itself, once for all calls that were refused', async (t) => {
    const state = await stand(t);
    state.next.set('r1', { token: 't2', refresh: 'r2' });
    const kept: unknown[] = [];
    const session = new Session({ token: 't1', refresh: 'r1' }, { onRefreshed: (tokens) => kept.push(tokens) });
    const client = await clientOf(t, state, { session });
    const all = await Promise.all(Array.from({ length: 20 }, () => who(client)));
    assert.deepEqual(new Set(all), new Set(['t2']));
    assert.deepEqual(
      state.seen.filter((asked) => asked.startsWith('sessions')),
      ['sessions.refresh -'],
    );
    assert.deepEqual(kept, [{ token: 't2', refresh: 'r2' }]);
    assert.equal(await who(client), 't2');
  });

  it('goes on with tokens that were kept', async (t) => {
    const state = await stand(t);
    state.next.set('r1', { token: 't2', refresh: 'r2' });
    const client = await clientOf(t, state, { session: { token: 't1', refresh: 'r1' } });
    assert.equal(await who(client), 't2');
  });

  it('says in one way that the session has ended: no refresh, a refused one, or one that helps nothing', async (t) => {
    const state = await stand(t);
    const client = await clientOf(t, state);
    state.next.set('useless', { token: 't2', refresh: 'r2' });
    const ended = [new Session({ token: 't1' }), new Session({ token: 't1', refresh: 'replayed' })];
    for (const session of ended) await assert.rejects(who(client, session), { code: 'BEDS_CLIENT_SESSION_ENDED' });
    const useless = new Session({ token: 't1', refresh: 'useless' }, { onRefreshed: () => state.good.clear() });
    await assert.rejects(who(client, useless), { code: 'BEDS_CLIENT_SESSION_ENDED' });
    assert.equal(state.seen.filter((asked) => asked.startsWith('cities')).length, 4, 'nothing is sent a third time');
  });

  it('has not ended where it could not be refreshed now', async (t) => {
    const state = await stand(t);
    const session = new Session({ token: 't1', refresh: 'r1' });
    const client = await clientOf(t, state, { session });
    state.failing = { code: 'BEDS_REQUEST_ROLE_ABSENT', status: 'unavailable' };
    await assert.rejects(who(client), { code: 'BEDS_REQUEST_ROLE_ABSENT' });
    state.failing = undefined;
    state.next.set('r1', { token: 't2', refresh: 'r2' });
    assert.equal(await who(client), 't2');
  });

  it('is not what is printed', () => {
    const session = new Session({ token: 'secret', refresh: 'secret' });
    assert.doesNotMatch(inspect({ session }) + JSON.stringify({ session }), /secret/);
  });
});
