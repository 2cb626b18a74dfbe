export type {
  MariadbService,
  ProvisionOptions,
  ServerState,
  Service,
  ServiceKind,
  ServiceName,
  ServiceProgress,
  ServiceSource,
  Services,
  ServicesState,
  StartOptions,
} from './contract.js';
export { readServices } from './server-state.js';
export { startServices } from './start-services.js';
