export type { ServerState, Service, ServiceName, Services, StartOptions } from './contract.js';
export { readServices } from './server-state.js';
export { startServices } from './start-services.js';
