import { sleep } from '#sdk/time';
import type { StoreConfig } from '../config/schema.js';
import type { StoreAdapter, StoreStatus } from './contract.js';

type MakeAdapter = (options: { readonly store: string; readonly config: StoreConfig }) => StoreAdapter;

/** The only place that knows the kinds. */
const KINDS: Readonly<Record<StoreConfig['kind'], () => Promise<MakeAdapter>>> = {
  mysql: async () => (await import('./mysql/adapter.js')).createMysqlAdapter,
  mongodb: async () => (await import('./mongodb/adapter.js')).createMongodbAdapter,
};

/** An adapter for each configured store, by its name, not yet open. `complete` adds what the configuration does not say. */
export type MakeAdapters = (
  complete: (config: StoreConfig, store: string) => StoreConfig,
) => ReadonlyMap<string, StoreAdapter>;

/**
 * Imports what the configured stores need and no other driver: each costs every thread some 0.1 s of processor time. A thread
 * calls it before it is sealed, because nothing can be imported afterwards.
 */
export async function loadAdapters(stores: Readonly<Record<string, StoreConfig>>): Promise<MakeAdapters> {
  const loaded = await Promise.all(
    Object.entries(stores).map(async ([store, config]) => ({ store, config, make: await KINDS[config.kind]() })),
  );
  return (complete) =>
    new Map(loaded.map(({ store, config, make }) => [store, make({ store, config: complete(config, store) })]));
}

const CHECK_MS = 1_000;

/**
 * Opens a store; resolves after the first attempt, whatever came of it. Until `signal` is aborted it is opened again whenever
 * that failed or no connection is left, so that what only opening finds out is found out, and its status is true, without
 * a request. `report` gets the status whenever the store is found to be away, or back.
 */
export async function keepOpen(
  adapter: StoreAdapter,
  signal: AbortSignal,
  report: (status: StoreStatus) => void = () => undefined,
): Promise<void> {
  const isOpen = await tryOpen(adapter);
  if (!isOpen) report(adapter.status());
  void keep(adapter, { isOpenAtFirst: isOpen, signal, report });
}

interface Keeping {
  readonly isOpenAtFirst: boolean;
  readonly signal: AbortSignal;
  readonly report: (status: StoreStatus) => void;
}

async function keep(adapter: StoreAdapter, { isOpenAtFirst, signal, report }: Keeping): Promise<void> {
  let isOpen = isOpenAtFirst;
  while (!signal.aborted) {
    await sleep(CHECK_MS, signal);
    if (signal.aborted) return;
    const { inUse, idle } = adapter.status().connections;
    if (isOpen && inUse + idle > 0) continue;
    const wasOpen = isOpen;
    isOpen = await tryOpen(adapter);
    if (isOpen !== wasOpen) report(adapter.status());
  }
}

/** Why it failed is in the adapter's status. */
function tryOpen(adapter: StoreAdapter): Promise<boolean> {
  return adapter.open().then(
    () => true,
    () => false,
  );
}
