import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { inspect, promisify } from 'node:util';
import type { JsonObject } from '@beds/sdk';
import { type BedsClient, connectBeds, type ConnectOptions, Session, signIn } from '@beds/sdk/client';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';
import { sessionsStand, type SessionsStand } from './support/sessions-stand.js';

const services = await sharedServices(['rabbitmq']);
const url = services.rabbitmq?.url ?? assert.fail('RabbitMQ was asked for');

async function clientOf(
  teardown: Teardown,
  { exchange }: SessionsStand,
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
    const state = await sessionsStand(t, url);
    for (const token of ['ann', 'bob']) state.good.add(token);
    const client = await clientOf(t, state, { session: 'ann' });
    assert.deepEqual([await who(client), await who(client, 'bob'), await who(client, null)], ['ann', 'bob', null]);
    const reply = await client.request({ v: 1, id: 'a', domain: 'cities', op: 'fetch' });
    assert.deepEqual(reply.ok && reply.data, [{ for: 'ann' }]);
    const nobody = await clientOf(t, state);
    assert.deepEqual([await who(nobody), await who(nobody, 'ann')], [null, 'ann']);
  });

  it('says once for all calls of a message for whom they are, where that is one user', async (t) => {
    const state = await sessionsStand(t, url);
    const long = 'l'.repeat(2_049);
    for (const token of ['ann', 'bob', long]) state.good.add(token);
    const client = await clientOf(t, state, { session: 'ann' });
    const all = (sessions: readonly (string | null | undefined)[]): Promise<unknown[]> =>
      Promise.all(sessions.map((session) => who(client, session)));
    assert.deepEqual(await all([undefined, 'ann', undefined]), ['ann', 'ann', 'ann']);
    assert.deepEqual(state.shared, ['ann']);
    assert.deepEqual(await all(['bob', undefined, 'bob']), ['bob', 'ann', 'bob']);
    assert.deepEqual(await all(['bob', null]), ['bob', null]);
    assert.deepEqual(await all([null, 'bob']), [null, 'bob']);
    const plain = client.request({ v: 1, id: 'p', domain: 'cities', op: 'fetch', meta: { session: 'bob' } });
    assert.deepEqual(await all([undefined, undefined]), ['ann', 'ann']);
    const reply = await plain;
    assert.deepEqual(reply.ok && reply.data, [{ for: 'bob' }]);
    assert.deepEqual(await all([long, long]), [long, long], 'too long for the headers of a message');
    assert.deepEqual(state.shared, ['ann'], 'what goes with others in a message speaks for itself');
  });

  it('signs in without the session that it had, and is told what the domain says', async (t) => {
    const state = await sessionsStand(t, url);
    state.good.add('t1');
    const client = await clientOf(t, state, { session: 'old' });
    await assert.rejects(signIn(client, { name: 'ann', password: 'wrong' }), { code: 'BEDS_TEMPLATE_REFUSED' });
    const session = await signIn(client, { name: 'ann', password: 'right' });
    assert.deepEqual(session.tokens, { token: 't1', refresh: 'r1' });
    assert.equal(await who(client, session), 't1');
    assert.deepEqual(state.seen.slice(0, 2), ['sessions.signIn -', 'sessions.signIn -']);
  });

  it('takes the next token by itself, once for all calls that were refused', async (t) => {
    const state = await sessionsStand(t, url);
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
    const state = await sessionsStand(t, url);
    state.next.set('r1', { token: 't2', refresh: 'r2' });
    const client = await clientOf(t, state, { session: { token: 't1', refresh: 'r1' } });
    assert.equal(await who(client), 't2');
  });

  it('says in one way that the session has ended: no refresh, a refused one, or one that helps nothing', async (t) => {
    const state = await sessionsStand(t, url);
    const client = await clientOf(t, state);
    state.next.set('useless', { token: 't2', refresh: 'r2' });
    const ended = [new Session({ token: 't1' }), new Session({ token: 't1', refresh: 'replayed' })];
    for (const session of ended) await assert.rejects(who(client, session), { code: 'BEDS_CLIENT_SESSION_ENDED' });
    const useless = new Session({ token: 't1', refresh: 'useless' }, { onRefreshed: () => state.good.clear() });
    await assert.rejects(who(client, useless), { code: 'BEDS_CLIENT_SESSION_ENDED' });
    assert.equal(state.seen.filter((asked) => asked.startsWith('cities')).length, 4, 'nothing is sent a third time');
  });

  it('has not ended where it could not be refreshed now', async (t) => {
    const state = await sessionsStand(t, url);
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

describe('the example of a server for browsers', () => {
  it('keeps the tokens to itself, and lets in who has its cookie and comes from its own pages', async (t) => {
    const state = await sessionsStand(t, url);
    for (const token of ['t1', 't2']) state.good.add(token);
    const origin = 'https://shop.example.org';
    const env = { ...process.env, BEDS_URL: url, BEDS_EXCHANGE: state.exchange, PORT: '0', ORIGIN: origin };
    const server = spawn(process.execPath, ['sdk/docs/browsers/server.mjs'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    lastFirst(t, () => {
      server.kill();
      return Promise.resolve();
    });
    const [line] = (await once(server.stdout, 'data')) as [Buffer];
    const base = line.toString().trim();
    const post = (
      path: string,
      body: object,
      headers: Readonly<Record<string, string>> = { origin },
    ): Promise<Response> => fetch(`${base}${path}`, { method: 'POST', body: JSON.stringify(body), headers });
    assert.equal((await fetch(`${base}/cities`)).status, 401);
    assert.equal((await post('/sign-in', { name: 'ann', password: 'right' }, {})).status, 403, 'another page');
    const wrong = await post('/sign-in', { name: 'ann', password: 'wrong' });
    assert.deepEqual([wrong.status, wrong.headers.get('set-cookie')], [403, null]);
    const brought = { origin, cookie: `id=${'a'.repeat(43)}` };
    const signedIn = await post('/sign-in', { name: 'ann', password: 'right' }, brought);
    const cookie = signedIn.headers.get('set-cookie') ?? '';
    assert.ok(!cookie.includes('a'.repeat(43)), 'what a page brings is not taken over');
    assert.match(cookie, /^id=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/);
    const mine = { cookie: cookie.split(';')[0] ?? '' };
    const cities = await fetch(`${base}/cities?country=CH`, { headers: mine });
    assert.deepEqual([cities.status, await cities.json()], [200, [{ for: 't1' }]]);
    assert.equal((await fetch(`${base}/cities`, { headers: { cookie: `id=${'a'.repeat(43)}` } })).status, 401);
    state.good.clear();
    state.next.set('r1', { token: 't2', refresh: 'r2' });
    assert.equal((await fetch(`${base}/cities`, { headers: mine })).status, 200, 'it goes on by itself');
    state.good.clear();
    const ended = await fetch(`${base}/cities`, { headers: mine });
    assert.deepEqual([ended.status, ((await ended.json()) as JsonObject)['code']], [401, 'BEDS_CLIENT_SESSION_ENDED']);
    assert.doesNotMatch(cookie + JSON.stringify([...ended.headers]), /\bt[12]\b|\br[12]\b/);
  });
});

describe('the client in Python', () => {
  it('goes on with the next token, once', async () => {
    const script = `
import sys, types
for name in ("pika", "pika.exceptions"): sys.modules[name] = types.ModuleType(name)
for name in ("AMQPError", "NackError", "UnroutableError"): setattr(sys.modules["pika.exceptions"], name, Exception)
sys.path.insert(0, "sdk/docs/clients"); sys.dont_write_bytecode = True
from beds import Beds, BedsError
asked = []
def once(domain, op, session=None, payload=None, **members):
    asked.append((op, session))
    if domain == "sessions": return {"data": {"token": "t1" if op == "signIn" else "t2", "refresh": "r"}}
    if session not in good: raise BedsError("BEDS_REQUEST_SIGN_IN", "No.")
    return {"data": session}
beds = Beds("amqp://localhost", client="test"); beds._once = once
good = {"t1", "other"}
assert beds.sign_in("ann", "secret") == {"token": "t1", "refresh": "r"}
assert beds.call("cities", "count") == "t1"
assert beds.call("cities", "count", session="other") == "other"
good = {"t2"}
assert beds.call("cities", "count") == "t2"
good = set()
try: beds.call("cities", "count"); raise SystemExit("let in")
except BedsError as error: assert error.code == "BEDS_REQUEST_SIGN_IN"
beds.sign_out()
assert asked == [("signIn", None), ("count", "t1"), ("count", "other"), ("count", "t1"), ("refresh", None), ("count", "t2"),
                 ("count", "t2"), ("refresh", None), ("count", "t2"), ("signOut", None)], asked
`;
    await promisify(execFile)('python3', ['-c', script]);
  });
});
