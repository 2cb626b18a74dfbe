import { createHash, createHmac, randomBytes } from 'node:crypto';

const FAMILY_BYTES = 16;
const SECRET_BYTES = 32;

/** What a caller is given. */
export interface Pair {
  /** `bs_…`, for `meta.session`. */
  readonly token: string;
  /** `br_…`, for the next pair. All refresh tokens of a session begin with the same bytes, which nobody can guess. */
  readonly refresh: string;
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function pairOf(token: Buffer, family: Buffer, secret: Buffer): Pair {
  const refresh = Buffer.concat([family, secret]);
  return { token: `bs_${token.toString('base64url')}`, refresh: `br_${refresh.toString('base64url')}` };
}

export function newPair(): Pair {
  return pairOf(randomBytes(SECRET_BYTES), randomBytes(FAMILY_BYTES), randomBytes(SECRET_BYTES));
}

export function newSalt(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function bytesOf(refresh: string): Buffer | undefined {
  if (!refresh.startsWith('br_')) return undefined;
  const bytes = Buffer.from(refresh.slice(3), 'base64url');
  return bytes.length === FAMILY_BYTES + SECRET_BYTES ? bytes : undefined;
}

/** The hash of what all refresh tokens of a session have in common; undefined: it is none. */
export function familyOf(refresh: string): string | undefined {
  const bytes = bytesOf(refresh);
  return bytes === undefined ? undefined : sha256(bytes.subarray(0, FAMILY_BYTES));
}

/**
 * The pair after this refresh token. It follows from the token, which is not kept, and the salt, which is: two tabs that refresh at
 * the same moment get the same, and neither an old token nor the database alone is enough to make it.
 */
export function nextPair(refresh: string, salt: string): Pair {
  const bytes = bytesOf(refresh) ?? Buffer.alloc(0);
  const derive = (what: string): Buffer => createHmac('sha256', bytes).update(`${what}\0${salt}`).digest();
  return pairOf(derive('token'), bytes.subarray(0, FAMILY_BYTES), derive('refresh'));
}
