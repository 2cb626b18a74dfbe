import { Gauge, type Registry } from 'prom-client';
import type { StoreAdapter } from '../stores/contract.js';
import type { ThreadView } from '../admin/thread-views.js';
import type { DomainView } from '../admin/views.js';
import { heldInMemory } from '../admin/held-versions.js';

/** How the host stands at one moment. */
export interface HostState {
  readonly domains: readonly DomainView[];
  readonly threads: readonly ThreadView[];
  readonly stores: readonly StoreAdapter[];
  readonly quarantined: number;
  /** Percent of the callers that a candidate answers, by domain; nothing where there is none. */
  readonly canaries: ReadonlyMap<string, number>;
}

const THREAD_STATES = ['starting', 'ready', 'stopping'] as const;

/** Metrics that say how things are, not what happened. */
export class StateGauges {
  readonly #live;
  readonly #degraded;
  readonly #canary;
  readonly #quarantined;
  readonly #threads;
  readonly #heap;
  readonly #inFlight;
  readonly #retired;
  readonly #stores;
  readonly #waiting;

  constructor(registry: Registry) {
    const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> =>
      new Gauge<L>({ name, help, labelNames: [...labelNames], registers: [registry] });
    this.#live = gauge('beds_live_version_info', 'The version that serves a domain; always 1.', [
      ...(['domain', 'version', 'hash'] as const),
    ]);
    this.#degraded = gauge('beds_degraded', '1: database objects of the domain are no longer as admitted.', ['domain']);
    this.#canary = gauge('beds_canary_percent', 'Percent of the callers that a canary answers.', ['domain']);
    this.#quarantined = gauge('beds_quarantined', 'Bundles that are refused for the harm they did.', []);
    this.#threads = gauge('beds_threads', 'Broker threads by state.', ['state']);
    this.#heap = gauge('beds_thread_heap_bytes', 'JavaScript heap in use by a broker thread.', ['thread']);
    this.#inFlight = gauge('beds_thread_messages_in_flight', 'Messages that a thread has and did not settle yet.', [
      'thread',
    ]);
    this.#retired = gauge('beds_retired_in_memory', 'Versions that ended and that something holds in memory.', [
      'domain',
    ]);
    this.#stores = gauge('beds_store_up', '1: the control plane reaches the store.', ['store']);
    this.#waiting = gauge('beds_writes_waiting', 'Writes that broker threads hold until a store is back.', [
      ...(['domain', 'store'] as const),
    ]);
  }

  set(state: HostState): void {
    this.#setDomains(state);
    this.#setThreads(state.threads);
    this.#quarantined.set(state.quarantined);
    for (const adapter of state.stores) {
      const { store, up } = adapter.status();
      this.#stores.set({ store }, Number(up));
    }
  }

  #setDomains({ domains, canaries, threads }: HostState): void {
    for (const gauge of [this.#live, this.#degraded, this.#canary, this.#retired]) gauge.reset();
    for (const { domain, live, degraded = [] } of domains) {
      if (live === undefined) continue;
      this.#live.set({ domain, version: live.version, hash: live.hash }, 1);
      this.#degraded.set({ domain }, Number(degraded.length > 0));
      this.#canary.set({ domain }, canaries.get(domain) ?? 0);
    }
    for (const [domain, held] of heldInMemory(threads)) this.#retired.set({ domain }, held.length);
  }

  #setThreads(threads: HostState['threads']): void {
    for (const gauge of [this.#heap, this.#inFlight, this.#waiting]) gauge.reset();
    for (const state of THREAD_STATES) {
      this.#threads.set({ state }, threads.filter((thread) => thread.state === state).length);
    }
    for (const { thread, status } of threads) {
      if (status === undefined) continue;
      this.#heap.set({ thread }, status.heapBytes);
      this.#inFlight.set(
        { thread },
        status.brokers.reduce((sum, { inFlight }) => sum + inFlight, 0),
      );
      for (const { domain, store, count } of status.waitingWrites) this.#waiting.inc({ domain, store }, count);
    }
  }
}
