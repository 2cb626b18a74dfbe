import type { FetchImplementation, JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Config } from '../config/schema.js';
import { type ReadToken, type Resolved, userOf } from './access.js';

type Settings = Config['openid'];

/** Keys that are not known are looked for at most this often: who makes up names of keys costs the provider nothing. */
const COOLDOWN_MS = 10_000;
const FETCH_TIMEOUT_MS = 5_000;
/** A provider that could not be reached is not asked again in this time: nor does who makes up tokens burden one that is in trouble. */
const AWAY_MS = 1_000;
/** Keys older than the first are looked for anew; while that fails they count until they are as old as the second. */
const FRESH_MS = 600_000;
const KEPT_MS = 3_600_000;

/** What a token may be wrong with: it is nobody's then. Any other failure says nothing of the token. */
const WRONG: ReadonlySet<unknown> = new Set([
  'ERR_JOSE_ALG_NOT_ALLOWED',
  'ERR_JOSE_NOT_SUPPORTED',
  'ERR_JWK_INVALID',
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
  'ERR_JWKS_NO_MATCHING_KEY',
  'ERR_JWS_INVALID',
  'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  'ERR_JWT_CLAIM_VALIDATION_FAILED',
  'ERR_JWT_EXPIRED',
  'ERR_JWT_INVALID',
]);

/**
 * Reads access tokens of the configured OpenID provider; undefined where none is configured. Issuer, audience and algorithms are those
 * of the configuration, the keys those of its URL: a token has no say in any of them.
 */
export async function loadTokenReader(
  openid: Settings,
  { cooldownMs = COOLDOWN_MS, freshMs = FRESH_MS }: { readonly cooldownMs?: number; readonly freshMs?: number } = {},
): Promise<ReadToken | undefined> {
  const { issuer, audience, jwksUrl, clockSkewSeconds } = openid;
  if (issuer === '') return undefined;
  const { jwtVerify } = await import('jose');
  const keys = await loadKeys(jwksUrl, { cooldownMs, freshMs });
  const terms = { issuer, audience, algorithms: [...openid.algorithms], clockTolerance: clockSkewSeconds };
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, { ...terms, requiredClaims: ['sub', 'exp'] });
      return resolvedOf(payload, openid);
    } catch (error) {
      if (isWrong(error)) return undefined;
      throw error;
    }
  };
}

function isWrong(error: unknown): boolean {
  return WRONG.has((error as { readonly code?: unknown }).code);
}

/** The keys of a provider, as they are there; while it is away, as they were. */
async function loadKeys(
  jwksUrl: string,
  { cooldownMs, freshMs }: { readonly cooldownMs: number; readonly freshMs: number },
): Promise<JWTVerifyGetKey> {
  const { createLocalJWKSet, createRemoteJWKSet, customFetch } = await import('jose');
  let [fetchedAtMs, askedAtMs] = [-Infinity, -Infinity];
  const ask: FetchImplementation = async (url, options) => {
    const nowMs = performance.now();
    if (nowMs - askedAtMs < Math.min(AWAY_MS, cooldownMs))
      throw new Error('The provider was asked for its keys a moment ago.');
    askedAtMs = nowMs;
    const response = await fetch(url, options);
    if (response.ok) fetchedAtMs = nowMs;
    return response;
  };
  const remote = createRemoteJWKSet(new URL(jwksUrl), {
    ...{ cooldownDuration: cooldownMs, cacheMaxAge: freshMs, timeoutDuration: FETCH_TIMEOUT_MS },
    [customFetch]: ask,
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      const kept = remote.jwks();
      if (isWrong(error) || kept === undefined || performance.now() - fetchedAtMs > KEPT_MS) throw error;
      return createLocalJWKSet(kept)(header, token).catch(() => {
        throw error;
      });
    }
  };
}

function resolvedOf(claims: JWTPayload, { rolesClaim, idPrefix }: Settings): Resolved | undefined {
  const { sub = '', exp = 0, jti, sid, name, preferred_username: shown } = claims;
  const roles = claimOf(claims, rolesClaim) ?? [];
  const user = userOf({
    id: sub === '' ? '' : idPrefix + sub,
    name: shown ?? name,
    roles: typeof roles === 'string' ? roles.split(' ').filter((role) => role !== '') : roles,
    session: sid ?? jti ?? sub,
  });
  return user === undefined ? undefined : { user, untilMs: exp * 1_000 };
}

/** A claim by its name, or by the way to it: `realm_access.roles`. */
function claimOf(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return name.split('.').reduce<unknown>((value, part) => {
    const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, part);
    return isThere ? (value as Readonly<Record<string, unknown>>)[part] : undefined;
  }, claims);
}
