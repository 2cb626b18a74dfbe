export { type BedsClient, connectBeds, type ConnectOptions } from './beds-client.js';
export { clientErrors } from './client-errors.js';
export type { CallOptions, CustomCallOptions, DomainClient } from './domain-client.js';
/** For programs that use amqplib themselves, as the host does. */
export { joinWrites } from './joined-writes.js';
