import { threadViews } from '../admin/node-views.js';
import type { ThreadPool } from '../threads/pool.js';
import type { Sample } from './signals.js';
import { type DomainSample, type UsageBook, WHOLE } from './usage-book.js';

const MICROSECONDS = 1e6;
const BYTES = 1_048_576;
const NOTHING: Omit<DomainSample, 'domain'> = { calls: 0, failures: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0 };

export interface SamplerOptions {
  readonly pool: () => ThreadPool;
  readonly usage: UsageBook;
}

/** Makes samples: of the node, and of each domain that has something to tell. */
export class Sampler {
  readonly #options: SamplerOptions;
  /** Versions that took over since the last sample, by domain. */
  readonly swaps = new Map<string, number>();
  #cpu = process.cpuUsage();
  #atMs = performance.now();

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Since the last time. */
  async take(): Promise<readonly Sample[]> {
    const { pool, usage } = this.#options;
    const threads = (await threadViews(pool())).flatMap(({ status }) => (status === undefined ? [] : [status]));
    const inFlight = new Map<string, number>();
    const waiting = new Map<string, number>();
    const memory = new Map<string, number>();
    for (const { generations, waitingWrites, heapBytes } of threads) {
      // n.b. V8 does not say whose a part of a heap is: a domain has memory where it has threads to itself.
      const [only, other] = new Set(generations.map(({ domain }) => domain));
      if (only !== undefined && other === undefined) memory.set(only, (memory.get(only) ?? 0) + heapBytes);
      for (const { domain, inFlight: count } of generations) addTo(inFlight, domain, count);
      for (const { domain, count } of waitingWrites) addTo(waiting, domain, count);
    }
    const counted = new Map(usage.takeDomains().map((each) => [each.domain, each]));
    const swaps = new Map<string, number>();
    for (const [domain, count] of this.swaps) addTo(swaps, domain, count);
    this.swaps.clear();
    const busy = [...inFlight, ...waiting].filter(([, count]) => count > 0).map(([domain]) => domain);
    const names = new Set([WHOLE, ...counted.keys(), ...swaps.keys(), ...memory.keys(), ...busy]);
    const cpuPercent = this.#takeCpu();
    memory.set(WHOLE, process.memoryUsage.rss());
    return [...names].map((domain) => ({
      ...(counted.get(domain) ?? { domain, ...NOTHING }),
      ...{ inFlight: inFlight.get(domain) ?? 0, waiting: waiting.get(domain) ?? 0, swaps: swaps.get(domain) ?? 0 },
      queued: 0,
      memoryMb: Math.round((memory.get(domain) ?? 0) / BYTES),
      cpuPercent: domain === WHOLE ? cpuPercent : 0,
    }));
  }

  /** Of one processor. */
  #takeCpu(): number {
    const used = process.cpuUsage(this.#cpu);
    const ms = performance.now() - this.#atMs;
    this.#cpu = process.cpuUsage();
    this.#atMs = performance.now();
    return Math.round(((used.user + used.system) / MICROSECONDS / (ms / 1_000)) * 1_000) / 10;
  }
}

function addTo(counts: Map<string, number>, domain: string, count: number): void {
  for (const name of [domain, WHOLE]) counts.set(name, (counts.get(name) ?? 0) + count);
}
