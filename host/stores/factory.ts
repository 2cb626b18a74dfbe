import { sleep } from '#sdk/time';
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

const CHECK_MS = 1_000;

/**
 * Opens a store; resolves after the first attempt, whatever came of it. Until `signal` is aborted it is opened again whenever
 * that failed or no connection is left, so that what only opening finds out is found out, and its status is true, without
 * a request.
 */
export async function keepOpen(adapter: StoreAdapter, signal: AbortSignal): Promise<void> {
  const isOpen = await tryOpen(adapter);
  void keep(adapter, isOpen, signal);
}

async function keep(adapter: StoreAdapter, isOpenAtFirst: boolean, signal: AbortSignal): Promise<void> {
  let isOpen = isOpenAtFirst;
  while (!signal.aborted) {
    await sleep(CHECK_MS, signal);
    if (signal.aborted) return;
    const { inUse, idle } = adapter.status().connections;
    if (!isOpen || inUse + idle === 0) isOpen = await tryOpen(adapter);
  }
}

/** Why it failed is in the adapter's status. */
function tryOpen(adapter: StoreAdapter): Promise<boolean> {
  return adapter.open().then(
    () => true,
    () => false,
  );
}
