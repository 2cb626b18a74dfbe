import { Counter, type Registry } from 'prom-client';
import type { RequestOutcome } from './request-totals.js';

interface Version {
  readonly domain: string;
  readonly version: string;
}

/** Versions of a domain that are counted apart. Prometheus keeps what it was told of older ones. */
const MAX_VERSIONS = 8;

/** Requests by version: the newest versions of each domain, so that thousands of swaps leave no more. */
export class VersionSeries {
  readonly #counter: Counter<'domain' | 'version' | 'outcome'>;
  readonly #strays: Counter<'domain' | 'version'>;
  /** Outcomes by version by domain; the version that was counted last comes last. */
  readonly #known = new Map<string, Map<string, Set<RequestOutcome>>>();

  constructor(registry: Registry) {
    this.#counter = new Counter({
      name: 'beds_requests_total',
      help: 'Requests of callers by the version that answered and how they ended.',
      labelNames: ['domain', 'version', 'outcome'],
      registers: [registry],
    });
    this.#strays = new Counter({
      name: 'beds_stray_faults_total',
      help: 'Faults that no request ended with, by the version whose code left them.',
      labelNames: ['domain', 'version'],
      registers: [registry],
    });
  }

  add({ domain, version }: Version, outcome: RequestOutcome, count: number): void {
    const versions = this.#known.get(domain) ?? new Map<string, Set<RequestOutcome>>();
    this.#known.set(domain, versions);
    const outcomes = versions.get(version) ?? new Set();
    versions.delete(version);
    versions.set(version, outcomes.add(outcome));
    if (outcome === 'stray') this.#strays.inc({ domain, version }, count);
    else this.#counter.inc({ domain, version, outcome }, count);
    const [oldest] = versions;
    if (versions.size > MAX_VERSIONS && oldest !== undefined) this.#forget(domain, versions, oldest);
  }

  #forget(
    domain: string,
    versions: Map<string, Set<RequestOutcome>>,
    [version, outcomes]: readonly [string, ReadonlySet<RequestOutcome>],
  ): void {
    versions.delete(version);
    for (const outcome of outcomes) {
      if (outcome === 'stray') this.#strays.remove({ domain, version });
      else this.#counter.remove({ domain, version, outcome });
    }
  }
}
