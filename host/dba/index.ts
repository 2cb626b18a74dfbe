export { applyObjects, type AppliedObjects, type ApplyOptions } from './apply-objects.js';
export type { AdministeredStore, DbaProgress } from './contract.js';
export { readRuntimeAccounts, runtimeUrl, type RuntimeAccounts } from './runtime-accounts.js';
