import { sleep } from '#sdk/time';
import type { StoreAdapter } from './contract.js';

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
