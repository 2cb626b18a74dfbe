export { type BedsClient, connectBeds, type ConnectOptions } from './beds-client.js';
export { clientErrors } from './client-errors.js';
export type { CallOptions, DomainClient } from './domain-client.js';
export { Session, type SessionOptions, type SessionTokens } from './session.js';
export { signIn, type SignInOptions } from './sign-in.js';
