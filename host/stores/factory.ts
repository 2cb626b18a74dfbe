import type { StoreConfig } from '../config/schema.js';
import type { StoreAdapter } from './contract.js';
import { createMongodbAdapter } from './mongodb/adapter.js';
import { createMysqlAdapter } from './mysql/adapter.js';

const makers: Readonly<
  Record<StoreConfig['kind'], (options: { readonly store: string; readonly config: StoreConfig }) => StoreAdapter>
> = { mysql: createMysqlAdapter, mongodb: createMongodbAdapter };

/** The adapter of a configured store, not yet open. The only place that knows the kinds. */
export function createAdapter(store: string, config: StoreConfig): StoreAdapter {
  return makers[config.kind]({ store, config });
}
