import { constants, PerformanceObserver } from 'node:perf_hooks';

/** A version that ended and whose template was not reclaimed. */
export interface RetiredInMemory {
  readonly generation: number;
  readonly domain: string;
  readonly version: string;
  /** Time since it ended, in milliseconds. */
  readonly sinceMs: number;
  /**
   * Full collections of garbage that it outlived. From two on something holds it; before, nothing can be said: the engine
   * collects when it needs memory, and a quiet thread may not for hours.
   */
  readonly collections: number;
}

interface Retired {
  readonly domain: string;
  readonly version: string;
  readonly template: WeakRef<object>;
  readonly endedAtMs: number;
  readonly endedAtCollection: number;
}

/** More are of no use to anybody, and whoever leaks with every swap must not leak here as well. */
const MOST = 50;

/** Remembers the versions that ended in this thread until their memory is given back, without keeping it. */
export class RetiredTemplates {
  readonly #retired = new Map<number, Retired>();
  readonly #reclaimed = new FinalizationRegistry<number>((generation) => this.#retired.delete(generation));
  readonly #observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      // n.b. the types do not know that entries of garbage collection have it.
      const { detail } = entry as { readonly detail?: { readonly kind?: number } };
      if (detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) this.#collections += 1;
    }
  });
  #collections = 0;

  add(ended: Pick<RetiredInMemory, 'generation' | 'domain' | 'version'>, template: object): void {
    if (this.#retired.size === 0) this.#observer.observe({ entryTypes: ['gc'] });
    const { generation, ...names } = ended;
    this.#retired.set(generation, {
      ...names,
      template: new WeakRef(template),
      endedAtMs: performance.now(),
      endedAtCollection: this.#collections,
    });
    this.#reclaimed.register(template, generation);
    const [oldest] = this.#retired.keys();
    if (this.#retired.size > MOST && oldest !== undefined) this.#retired.delete(oldest);
  }

  /** Oldest first. */
  get inMemory(): readonly RetiredInMemory[] {
    const nowMs = performance.now();
    return [...this.#retired]
      .filter(([, { template }]) => template.deref() !== undefined)
      .map(([generation, { domain, version, endedAtMs, endedAtCollection }]) => ({
        ...{ generation, domain, version },
        sinceMs: Math.round(nowMs - endedAtMs),
        collections: this.#collections - endedAtCollection,
      }));
  }
}
