import type { JWTPayload } from 'jose';
import type { Config } from '../config/schema.js';
import { type ReadToken, type Resolved, userOf } from './access.js';

type Settings = Config['openid'];

/** Keys that are not known are looked for at most this often: who makes up names of keys costs the provider nothing. */
const COOLDOWN_MS = 10_000;
const FETCH_TIMEOUT_MS = 5_000;

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
export async function loadTokenReader(openid: Settings, cooldownMs = COOLDOWN_MS): Promise<ReadToken | undefined> {
  const { issuer, audience, jwksUrl, clockSkewSeconds } = openid;
  if (issuer === '') return undefined;
  const { createRemoteJWKSet, jwtVerify } = await import('jose');
  const keys = createRemoteJWKSet(new URL(jwksUrl), {
    cooldownDuration: cooldownMs,
    timeoutDuration: FETCH_TIMEOUT_MS,
  });
  const terms = { issuer, audience, algorithms: [...openid.algorithms], clockTolerance: clockSkewSeconds };
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, { ...terms, requiredClaims: ['sub', 'exp'] });
      return resolvedOf(payload, openid);
    } catch (error) {
      if (WRONG.has((error as { readonly code?: unknown }).code)) return undefined;
      throw error;
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
