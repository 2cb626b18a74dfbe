import type { BedsClient } from './beds-client.js';
import { Session, type SessionOptions, tokensOf } from './session.js';

export interface SignInOptions extends SessionOptions {
  /** Where it happens, for the user's list of sessions: `{ address: '203.0.113.7', device: 'Firefox on Linux' }`. */
  readonly where?: { readonly address?: string; readonly device?: string };
  readonly deadlineMs?: number;
}

/**
 * Signs a user of the domain `users` in: `cities.fetch({}, { session })` and `connectBeds({ session })` take what it gives. Rejects with what
 * the domain answers to a wrong name or password.
 */
export async function signIn(
  client: BedsClient,
  { name, password }: { readonly name: string; readonly password: string },
  { where, deadlineMs, ...options }: SignInOptions = {},
): Promise<Session> {
  const input = { name, password, ...(where !== undefined && { where: { ...where } }) };
  const terms = { session: null, ...(deadlineMs !== undefined && { deadlineMs }) };
  return new Session(tokensOf(await client.domain('sessions').call('signIn', input, terms)), options);
}
