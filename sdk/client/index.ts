export { type BedsClient, connectBeds, type ConnectOptions } from './beds-client.js';
export { clientErrors } from './client-errors.js';
export type { CallOptions, DomainClient } from './domain-client.js';
