import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Histogram, Registry, Gauge } from 'prom-client';
import { heldInMemory } from '../admin/held-versions.js';
import { threadViews, type ThreadView } from '../admin/thread-views.js';
import type { DomainView } from '../admin/views.js';
import type { DomainBoard } from '../deploy/domain-board.js';
import type { Drains } from '../deploy/drains.js';
import type { RoutingTable } from '../deploy/routing-table.js';
import type { Transition } from '../deploy/transition.js';
import type { VersionControl } from '../deploy/version-control.js';
import type { LogState } from '../observe/log-output.js';
import type { Tally } from '../request/observations.js';
import type { StoreAdapter } from '../stores/contract.js';
import type { GenerationSource } from '../template/contract.js';
import type { ThreadPool } from '../threads/pool.js';
import { type OutcomeCount, RequestTotals, VersionSeries } from './request-totals.js';

export interface MetricsSources {
  readonly node: string;
  readonly drains: Drains;
  readonly stores: ReadonlyMap<string, StoreAdapter>;
  readonly board: DomainBoard;
  readonly logState: () => LogState;
  readonly pool: () => ThreadPool;
  readonly table: () => RoutingTable;
  /** Absent while the host starts. */
  readonly versions: () => VersionControl | undefined;
}

/** The metrics of a whole host, fed from what its parts know. */
export function openMetrics(sources: MetricsSources): HostMetrics {
  const { node, drains, stores, board, logState, pool, table, versions } = sources;
  return new HostMetrics({
    ...{ node, logState },
    sources: () => [...table().loaded, ...drains.sources],
    state: async () => {
      const [threads] = await Promise.all([threadViews(pool()), versions()?.observe()]);
      return {
        threads,
        domains: board.views(),
        stores: [...stores.values()],
        quarantined: versions()?.operations.quarantined.length ?? 0,
        canaries: new Map([...table().candidates].map(([domain, { share }]) => [domain, share.percent])),
      };
    },
  });
}

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
class StateGauges {
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

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const RESOLUTION_MS = 20;

/** What Prometheus' own clients say of a process, under their names. The library's collectors cannot be stopped. */
class ProcessMetrics {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #cpu: Counter<'mode'>;
  readonly #resident: Gauge;
  readonly #heap: Gauge;
  readonly #lag: Gauge<'quantile'>;
  readonly #droppedLines: Counter;
  #counted = { user: 0, system: 0, droppedLines: 0 };

  constructor(registry: Registry) {
    const registers = [registry];
    this.#cpu = new Counter({
      ...{ name: 'process_cpu_seconds_total', help: 'CPU time of the whole process.', registers, labelNames: ['mode'] },
    });
    this.#resident = new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.', registers });
    this.#heap = new Gauge({
      ...{ name: 'beds_supervisor_heap_bytes', help: 'JavaScript heap in use by the control plane.', registers },
    });
    this.#lag = new Gauge({
      name: 'beds_supervisor_loop_delay_seconds',
      help: 'Delay of the event loop of the control plane since the metrics were asked for last.',
      ...{ labelNames: ['quantile'], registers },
    });
    this.#droppedLines = new Counter({
      ...{ name: 'beds_log_lines_dropped_total', help: 'Lines that the output of the log did not take.', registers },
    });
    const start = new Gauge({
      ...{ name: 'process_start_time_seconds', help: 'When the process started, seconds since 1970.', registers },
    });
    start.set(Math.round(Date.now() / 1_000 - process.uptime()));
    this.#delay.enable();
  }

  collect({ droppedLines }: LogState): void {
    const { user, system } = process.cpuUsage();
    this.#cpu.inc({ mode: 'user' }, Math.max(0, user - this.#counted.user) / MICROSECONDS);
    this.#cpu.inc({ mode: 'system' }, Math.max(0, system - this.#counted.system) / MICROSECONDS);
    this.#droppedLines.inc(droppedLines - this.#counted.droppedLines);
    this.#counted = { user, system, droppedLines };
    const { rss, heapUsed } = process.memoryUsage();
    this.#resident.set(rss);
    this.#heap.set(heapUsed);
    for (const quantile of [0.5, 0.99]) {
      // n.b. what is measured is the interval of a timer: the time that it waits anyway is no delay.
      const measured = this.#delay.percentile(quantile * 100) / NANOSECONDS - RESOLUTION_MS / 1_000;
      this.#lag.set({ quantile: String(quantile) }, Math.max(0, measured));
    }
    this.#delay.reset();
  }

  close(): void {
    this.#delay.disable();
  }
}
