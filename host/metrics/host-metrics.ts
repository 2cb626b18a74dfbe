import { Counter, Histogram, Registry } from 'prom-client';
import type { Tally } from '../request/observations.js';
import type { GenerationSource } from '../template/contract.js';
import type { LogState } from '../observe/log-output.js';
import type { Transition } from '../deploy/transition.js';
import { ProcessMetrics } from './process-metrics.js';
import { type OutcomeCount, RequestTotals } from './request-totals.js';
import { type HostState, StateGauges } from './state-gauges.js';
import { VersionSeries } from './version-series.js';

export interface HostMetricsOptions {
  readonly node: string;
  readonly logState: () => LogState;
  /** Versions whose requests may still be counted. */
  readonly sources: () => readonly GenerationSource[];
  /** How things are now; what threads counted is up to date afterwards. */
  readonly state: () => Promise<HostState>;
}

const SWAP_SECONDS = [0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600];
const FLIP_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
/** Entries of the plugin directory that name no domain count under their own name; whoever drops many must not fill memory. */
const MAX_DOMAINS = 1_000;
const OTHERS = '*';

/** What happened on this host since it started, and how it stands, in the text format of Prometheus. */
export class HostMetrics {
  readonly #options: HostMetricsOptions;
  readonly #registry = new Registry();
  readonly #transitions;
  readonly #swap;
  readonly #flip;
  readonly #ends;
  readonly #left;
  readonly #requests: VersionSeries;
  readonly #totals = new RequestTotals();
  readonly #gauges: StateGauges;
  readonly #process: ProcessMetrics;
  readonly #domains = new Set<string>();
  #collecting: Promise<string> | undefined;

  constructor(options: HostMetricsOptions) {
    this.#options = options;
    this.#registry.setDefaultLabels({ node: options.node });
    const registers = [this.#registry];
    this.#transitions = new Counter({
      ...{ name: 'beds_lifecycle_transitions_total', help: 'Changes of state of versions.', registers },
      labelNames: ['domain', 'state'] as const,
    });
    this.#swap = new Histogram({
      ...{ name: 'beds_swap_duration_seconds', help: 'From complete bytes until all threads serve them.', registers },
      ...{ labelNames: ['domain', 'cause'] as const, buckets: SWAP_SECONDS },
    });
    this.#flip = new Histogram({
      ...{ name: 'beds_flip_duration_seconds', help: 'Change of the routes on all threads.', registers },
      buckets: FLIP_SECONDS,
    });
    this.#ends = new Counter({
      ...{ name: 'beds_thread_ends_total', help: 'Broker threads that ended unasked and were replaced.', registers },
      labelNames: ['reason'] as const,
    });
    this.#left = new Counter({
      ...{ name: 'beds_leftovers_total', help: 'Timers and the like that retired versions had not ended.', registers },
      labelNames: ['domain', 'kind'] as const,
    });
    this.#requests = new VersionSeries(this.#registry);
    this.#gauges = new StateGauges(this.#registry);
    this.#process = new ProcessMetrics(this.#registry);
  }

  transition({ domain, state, cause = 'drop', ms, flipMs, left }: Transition): void {
    const name = this.#bounded(domain);
    this.#transitions.inc({ domain: name, state });
    if (state === 'active' && ms !== undefined) this.#swap.observe({ domain: name, cause }, ms / 1_000);
    if (flipMs !== undefined) this.#flip.observe(flipMs / 1_000);
    for (const [kind, count] of Object.entries<number>({ ...left })) {
      if (count > 0) this.#left.inc({ domain: name, kind }, count);
    }
  }

  threadEnded(thread: string, reason: string): void {
    this.#totals.forget(thread);
    this.#ends.inc({ reason: reasonClass(reason) });
  }

  /** What a thread counted so far. */
  tallies(thread: string, tallies: readonly Tally[]): void {
    this.#count(this.#totals.add(thread, tallies));
  }

  /** What a thread counted of a version that it has ended; before the version is forgotten. */
  drained(thread: string, tally: Tally): void {
    this.#count(this.#totals.addLast(thread, tally));
  }

  /** The text format of Prometheus, version 0.0.4. https://prometheus.io/docs/instrumenting/exposition_formats/ */
  text(): Promise<string> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  close(): void {
    this.#process.close();
  }

  async #collect(): Promise<string> {
    this.#gauges.set(await this.#options.state());
    this.#process.collect(this.#options.logState());
    return this.#registry.metrics();
  }

  #count(counts: readonly OutcomeCount[]): void {
    if (counts.length === 0) return;
    const sources = new Map(this.#options.sources().map(({ id, manifest }) => [id, manifest]));
    for (const { generation, outcome, count } of counts) {
      const manifest = sources.get(generation);
      if (manifest !== undefined) this.#requests.add(manifest, outcome, count);
    }
  }

  #bounded(domain: string): string {
    if (!this.#domains.has(domain) && this.#domains.size >= MAX_DOMAINS) return OTHERS;
    this.#domains.add(domain);
    return domain;
  }
}

/** Few and stable words, by what the thread pool and Node say. */
function reasonClass(reason: string): string {
  if (reason.startsWith('no sign of life')) return 'stalled';
  if (/ERR_WORKER_OUT_OF_MEMORY|memory limit/.test(reason)) return 'memory';
  if (reason.startsWith('exit code')) return 'exit';
  if (reason.startsWith('its process was ended')) return 'killed';
  if (reason.startsWith('it could not join')) return 'join';
  return reason.startsWith('it did not carry out') ? 'disobedient' : 'error';
}
