export {
  applyObjects,
  type AppliedObjects,
  type ApplyOptions,
  contractObjects,
  planObjects,
  statusObjects,
  undoObjects,
} from './apply-objects.js';
export type { AdministeredStore, DbaProgress } from './contract.js';
export { readRuntimeAccounts, runtimeUrl, type RuntimeAccounts } from './runtime-accounts.js';
