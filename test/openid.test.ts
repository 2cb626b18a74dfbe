import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from 'jose';
import { Access } from '../host/access/access.js';
import { loadTokenReader } from '../host/access/openid.js';
import { crossCheck } from '../host/config/cross-checks.js';
import { type Config, configSchema } from '../host/config/schema.js';
import type { User } from '#sdk/template';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { eventually } from './support/eventually.js';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const ISSUER = 'https://login.example.org/realms/zug';
const AUDIENCE = 'beds';

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

async function makeKey(kid: string, alg = 'ES256'): Promise<Key> {
  return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
}

async function publicJwk({ kid, alg, publicKey }: Key): Promise<JWK> {
  return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
}

/** A provider on this machine: its keys can be changed, and it can be away. */
interface Provider {
  readonly url: string;
  keys: readonly JWK[];
  isAway: boolean;
  asked: number;
}

async function startProvider(teardown: Teardown, ...keys: readonly Key[]): Promise<Provider> {
  const server = createServer((_request, response) => {
    provider.asked += 1;
    response.writeHead(provider.isAway ? 503 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: provider.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lastFirst(teardown, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const provider: Provider = {
    url: `http://127.0.0.1:${String(port)}/keys`,
    keys: await Promise.all(keys.map(publicJwk)),
    isAway: false,
    asked: 0,
  };
  return provider;
}

function openidOf(provider: Provider, more: Partial<Config['openid']> = {}): Config['openid'] {
  const openid = { issuer: ISSUER, audience: AUDIENCE, jwksUrl: provider.url, ...more };
  return configSchema.parse({ openid }).openid;
}

interface TokenOptions {
  readonly issuer?: string;
  readonly audience?: string | readonly string[];
  readonly subject?: string | null;
  /** Seconds from now. */
  readonly expires?: number | null;
  readonly notBefore?: number;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

function tokenOf({ kid, alg, privateKey }: Key, options: TokenOptions = {}): Promise<string> {
  const {
    issuer = ISSUER,
    audience = AUDIENCE,
    subject = 'ann',
    expires = 60,
    notBefore,
    claims = {},
    header = {},
  } = options;
  const now = Math.floor(Date.now() / 1_000);
  const token = new SignJWT({ roles: ['clerk'], preferred_username: 'Ann', sid: 'sid-1', ...claims })
    .setProtectedHeader({ alg, kid, ...header })
    .setIssuer(issuer)
    .setAudience(audience as string);
  if (subject !== null) token.setSubject(subject);
  if (expires !== null) token.setExpirationTime(now + expires);
  if (notBefore !== undefined) token.setNotBefore(now + notBefore);
  return token.sign(privateKey, header['crit'] === undefined ? {} : { crit: { 'x-beds': false } });
}

async function accessTo(
  provider: Provider,
  more: Partial<Config['openid']> = {},
  { cooldownMs = 0, freshMs }: { readonly cooldownMs?: number; readonly freshMs?: number } = {},
): Promise<Access> {
  const { security } = configSchema.parse({});
  const times = { cooldownMs, ...(freshMs !== undefined && { freshMs }) };
  const readToken = await loadTokenReader(openidOf(provider, more), times);
  const resolve = (): Promise<never> => assert.fail('the provider is asked and not sessions');
  const access: Access = new Access({ security, resolve, readToken, listen: () => access.listening(true) });
  return access;
}

const asked = (access: Access, token: string): Promise<User | undefined> => access.ask(token, 5_000);

describe('the token of an OpenID provider', () => {
  it('says who is signed in, and is not verified again while it is kept', async (t) => {
    const key = await makeKey('k1');
    const provider = await startProvider(t, key);
    const access = await accessTo(provider);
    const token = await tokenOf(key);
    assert.deepEqual(await asked(access, token), { id: 'ann', name: 'Ann', roles: ['clerk'], session: 'sid-1' });
    assert.equal(access.known(token, performance.now())?.id, 'ann');
    for (let n = 0; n < 20; n += 1) await asked(access, await tokenOf(key, { claims: { n } }));
    assert.equal(provider.asked, 1, 'keys are kept');
  });

  it('has its roles where the configuration says, and an id of its own kind', async (t) => {
    const key = await makeKey('k1');
    const provider = await startProvider(t, key);
    const access = await accessTo(provider, { rolesClaim: 'realm_access.roles', idPrefix: 'oidc:' });
    const claims = { realm_access: { roles: ['admin'] }, roles: ['not these'] };
    const user = await asked(access, await tokenOf(key, { claims }));
    assert.deepEqual([user?.id, user?.roles], ['oidc:ann', ['admin']]);
    const named = await accessTo(provider, { rolesClaim: 'https://example.org/roles' });
    const asText = await tokenOf(key, { claims: { 'https://example.org/roles': 'clerk auditor' } });
    assert.deepEqual((await asked(named, asText))?.roles, ['clerk', 'auditor']);
    const none = await tokenOf(key, { claims: { roles: { clerk: true } } });
    assert.equal(await asked(await accessTo(provider), none), undefined);
  });

  it('is nobody’s when it is not signed, signed by another key, or for others', async (t) => {
    const [key, other, rsa] = await Promise.all([makeKey('k1'), makeKey('k1'), makeKey('k2', 'RS256')]);
    const provider = await startProvider(t, key, rsa);
    const access = await accessTo(provider);
    const good = await tokenOf(key);
    const [header = '', body = '', signature = ''] = good.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
    const raised = Buffer.from(JSON.stringify({ ...claims, roles: ['admin'] })).toString('base64url');
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    // n.b. the public key of the provider is known to everybody: as the secret of an HMAC it must not count.
    const secret = new TextEncoder().encode(await exportSPKI(rsa.publicKey));
    const now = Math.floor(Date.now() / 1_000);
    const confused = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', kid: 'k2' })
      .setExpirationTime(now + 60)
      .sign(secret);
    const bad: Readonly<Record<string, string>> = {
      none: new UnsecuredJWT(claims).encode(),
      'none, in another spelling': `${encoded({ alg: 'nOnE', kid: 'k1' })}.${body}.`,
      'none, with the signature of another': `${encoded({ alg: 'none', kid: 'k1' })}.${body}.${signature}`,
      'no signature': `${header}.${body}.`,
      'other claims': `${header}.${raised}.${signature}`,
      'another key of the same name': await tokenOf(other),
      'a key of its own in the header': await tokenOf(other, { header: { jwk: await publicJwk(other) } }),
      'the address of a key in the header': await tokenOf(other, { header: { jku: 'http://127.0.0.1:1/keys' } }),
      'a name of a key that is a path': await tokenOf(other, { header: { kid: '../../../../dev/null' } }),
      'a name of a key that is a query': await tokenOf(other, { header: { kid: "k1' UNION SELECT 'secret" } }),
      'a name of a key that nobody has': await tokenOf(other, { header: { kid: '__proto__' } }),
      'the public key as a secret': confused,
      'the algorithm of another key': `${encoded({ alg: 'RS256', kid: 'k1' })}.${body}.${signature}`,
      'what it says is critical and nobody knows': await tokenOf(key, { header: { crit: ['x-beds'], 'x-beds': 1 } }),
      'another audience': await tokenOf(key, { audience: 'shop' }),
      'another issuer': await tokenOf(key, { issuer: `${ISSUER}/` }),
      'no user': await tokenOf(key, { subject: null }),
      'no end': await tokenOf(key, { expires: null }),
      'its end': await tokenOf(key, { expires: -31 }),
      'its beginning to come': await tokenOf(key, { notBefore: 31 }),
      'no JSON': 'a.b.c',
    };
    for (const [what, token] of Object.entries(bad)) assert.equal(await asked(access, token), undefined, what);
    assert.equal((await asked(access, good))?.id, 'ann');
    assert.equal((await asked(access, await tokenOf(key, { audience: ['shop', AUDIENCE] })))?.id, 'ann');
  });

  it('may be signed by the configured algorithms only, whatever keys the provider has', async (t) => {
    const key = await makeKey('k1', 'ES384');
    const provider = await startProvider(t, key);
    assert.equal(await asked(await accessTo(provider), await tokenOf(key)), undefined);
    assert.equal((await asked(await accessTo(provider, { algorithms: ['ES384'] }), await tokenOf(key)))?.id, 'ann');
  });

  it('counts within the tolerated difference of clocks, and is kept no longer than it counts', async (t) => {
    const key = await makeKey('k1');
    const provider = await startProvider(t, key);
    const access = await accessTo(provider);
    assert.equal((await asked(access, await tokenOf(key, { notBefore: 25 })))?.id, 'ann');
    const late = await tokenOf(key, { expires: -25 });
    assert.equal((await asked(access, late))?.id, 'ann');
    assert.equal(access.known(late, performance.now()), undefined);
  });

  it('may be signed by keys that come later, and not by those that are gone', async (t) => {
    const [first, second] = await Promise.all([makeKey('k1'), makeKey('k2')]);
    const provider = await startProvider(t, first);
    const access = await accessTo(provider);
    assert.equal((await asked(access, await tokenOf(first)))?.id, 'ann');
    assert.equal(await asked(access, await tokenOf(second)), undefined);
    provider.keys = [await publicJwk(second)];
    assert.equal((await asked(access, await tokenOf(second, { claims: { n: 1 } })))?.id, 'ann');
    assert.equal(await asked(access, await tokenOf(first, { claims: { n: 2 } })), undefined);
  });

  it('makes nobody ask the provider again and again by naming keys that there are not', async (t) => {
    const [key, other] = await Promise.all([makeKey('k1'), makeKey('k2')]);
    const provider = await startProvider(t, key);
    const access = await accessTo(provider, {}, { cooldownMs: 60_000 });
    for (let n = 0; n < 50; n += 1) await asked(access, await tokenOf(other, { header: { kid: `k-${String(n)}` } }));
    assert.equal(provider.asked, 1);
  });

  it('cannot be read while the keys cannot be had, which says nothing of it', async (t) => {
    const key = await makeKey('k1');
    const provider = await startProvider(t, key);
    provider.isAway = true;
    const access = await accessTo(provider);
    const token = await tokenOf(key);
    await assert.rejects(asked(access, token), { code: 'BEDS_REQUEST_SESSION_UNAVAILABLE', retryable: true });
    provider.isAway = false;
    assert.equal((await asked(access, token))?.id, 'ann');
  });

  it('makes nobody ask a provider again and again that is away', async (t) => {
    const key = await makeKey('k1');
    const provider = await startProvider(t, key);
    provider.isAway = true;
    const access = await accessTo(provider, {}, { cooldownMs: 60_000 });
    const unavailable = { code: 'BEDS_REQUEST_SESSION_UNAVAILABLE', retryable: true };
    const beganMs = performance.now();
    for (let n = 0; n < 50; n += 1)
      await assert.rejects(asked(access, await tokenOf(key, { claims: { n } })), unavailable);
    const seconds = Math.ceil((performance.now() - beganMs) / 1_000);
    assert.ok(provider.asked <= seconds, `${String(provider.asked)} times in ${String(seconds)} s`);
    provider.isAway = false;
    await eventually('it is asked again', async () => {
      return (await asked(access, await tokenOf(key)).catch(() => undefined))?.id === 'ann';
    });
  });

  it('counts by the keys that were there while the provider is away, and by no others', async (t) => {
    const [key, other] = await Promise.all([makeKey('k1'), makeKey('k2')]);
    const provider = await startProvider(t, key);
    const access = await accessTo(provider, {}, { freshMs: 0 });
    assert.equal((await asked(access, await tokenOf(key)))?.id, 'ann');
    provider.isAway = true;
    assert.equal((await asked(access, await tokenOf(key, { subject: 'bob' })))?.id, 'bob');
    const forged = await tokenOf({ ...other, kid: 'k1' });
    assert.equal(await asked(access, forged), undefined);
    await assert.rejects(asked(access, await tokenOf(other)), { code: 'BEDS_REQUEST_SESSION_UNAVAILABLE' });
  });

  it('needs a configuration that pins whom it is for and where the keys are', () => {
    const problems = (openid: object): readonly string[] =>
      crossCheck(configSchema.parse({ openid: { issuer: ISSUER, audience: 'beds', ...openid } })).flatMap(
        ({ paths }) => paths[0],
      );
    assert.deepEqual(problems({ jwksUrl: 'https://login.example.org/keys' }), []);
    assert.deepEqual(problems({ jwksUrl: 'http://127.0.0.1:8080/keys' }), []);
    assert.deepEqual(problems({ jwksUrl: 'http://login.example.org/keys' }), ['openid.jwksUrl']);
    assert.deepEqual(problems({ audience: '', jwksUrl: '' }), ['openid.audience', 'openid.jwksUrl']);
    for (const algorithms of [['none'], ['HS256'], []]) {
      assert.equal(configSchema.safeParse({ openid: { algorithms } }).success, false);
    }
  });
});

describe('a host with an OpenID provider', () => {
  it('lets its users in, in threads that are sealed', async (t) => {
    const key = await makeKey('k1', 'RS256');
    const provider = await startProvider(t, key);
    const host = await startTestHost(t, { services, config: { openid: openidOf(provider) } });
    const who = { mode: 'read', run: 'return ctx.user;' } as const;
    await writeBundle(host.pluginsDirectory, { objects: {}, operations: { who }, access: { who: ['clerk'] } });
    await host.active('notes', '1.0.0');
    const notes = (await host.connectClient()).domain('notes');
    const user = { id: 'ann', name: 'Ann', roles: ['clerk'], session: 'sid-1' };
    assert.deepEqual(await notes.call('who', {}, { session: await tokenOf(key) }), user);
    await assert.rejects(notes.call('who', {}, { session: await tokenOf(key, { audience: 'shop' }) }), {
      code: 'BEDS_REQUEST_SIGN_IN',
    });
    await assert.rejects(notes.call('who', {}, { session: await tokenOf(key, { claims: { roles: [] } }) }), {
      code: 'BEDS_REQUEST_FORBIDDEN',
    });
  });
});
