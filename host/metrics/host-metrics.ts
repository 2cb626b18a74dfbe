import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Histogram, Registry } from 'prom-client';
import { heldInMemory, threadViews, type ThreadView } from '../admin/node-views.js';
import type { DomainView } from '../admin/views.js';
import { brokerDefinitions } from '../brokers/definitions.js';
import type { DeployController } from '../deploy/deploy-controller.js';
import type { Transition } from '../deploy/state.js';
import type { LogState } from '../observe/log.js';
import type { TraceCounts } from '../observe/trace-exporter.js';
import type { Tally } from '../request/observations.js';
import type { StoreAdapter } from '../stores/contract.js';
import type { GenerationSource } from '../template/contract.js';
import type { ThreadPool } from '../threads/pool.js';
import { type Declare, declareIn, type OutcomeCount, RequestTotals, VersionSeries } from './request-totals.js';

interface MetricsSources {
  readonly node: string;
  readonly stores: ReadonlyMap<string, StoreAdapter>;
  readonly logState: () => LogState;
  /** Undefined: no span is exported. */
  readonly traces: () => TraceCounts | undefined;
  readonly pool: () => ThreadPool;
  /** Absent while the host starts. */
  readonly deploy: () => DeployController | undefined;
}

/** The metrics of a whole host, fed from what its parts know. */
export function openMetrics(sources: MetricsSources): HostMetrics {
  const { node, stores, logState, traces, pool, deploy } = sources;
  return new HostMetrics({
    ...{ node, logState, traces },
    sources: () => deploy()?.routes.all ?? [],
    state: async () => {
      const [threads] = await Promise.all([threadViews(pool()), deploy()?.observe()]);
      return {
        threads,
        domains: deploy()?.operator.views ?? [],
        stores: [...stores.values()],
        quarantined: deploy()?.operator.quarantined.length ?? 0,
        canaries: deploy()?.routes.canaries ?? new Map(),
      };
    },
  });
}

interface HostMetricsOptions {
  readonly node: string;
  readonly logState: () => LogState;
  readonly traces: () => TraceCounts | undefined;
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
  readonly #declare = declareIn(this.#registry);
  readonly #transitions = this.#declare.counter(
    'beds_lifecycle_transitions_total',
    'Changes of state of versions.',
    'domain',
    'state',
  );
  readonly #ends = this.#declare.counter(
    'beds_thread_ends_total',
    'Broker threads that ended unasked and were replaced.',
    'reason',
  );
  readonly #left = this.#declare.counter(
    'beds_leftovers_total',
    'Timers and the like that retired versions had not ended.',
    'domain',
    'kind',
  );
  readonly #swap = new Histogram({
    name: 'beds_swap_duration_seconds',
    help: 'From complete bytes until all threads serve them.',
    labelNames: ['domain', 'cause'] as const,
    buckets: SWAP_SECONDS,
    registers: [this.#registry],
  });
  readonly #flip = new Histogram({
    name: 'beds_flip_duration_seconds',
    help: 'Change of the routes on all threads.',
    buckets: FLIP_SECONDS,
    registers: [this.#registry],
  });
  readonly #requests = new VersionSeries(this.#declare);
  readonly #totals = new RequestTotals();
  readonly #setState = stateGauges(this.#declare);
  readonly #setBrokers = brokerGauges(this.#declare);
  readonly #process = processMetrics(this.#declare);
  readonly #spans = spanCounter(this.#declare);
  readonly #domains = new Set<string>();
  #collecting: Promise<string> | undefined;

  constructor(options: HostMetricsOptions) {
    this.#options = options;
    this.#registry.setDefaultLabels({ node: options.node });
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
    const state = await this.#options.state();
    this.#setState(state);
    this.#setBrokers(state.threads);
    this.#process.collect(this.#options.logState());
    this.#spans(this.#options.traces());
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
interface HostState {
  readonly domains: readonly DomainView[];
  readonly threads: readonly ThreadView[];
  readonly stores: readonly StoreAdapter[];
  readonly quarantined: number;
  /** Percent of the callers that a candidate answers, by domain; nothing where there is none. */
  readonly canaries: ReadonlyMap<string, number>;
}

const THREAD_STATES = ['starting', 'ready', 'stopping'] as const;

/** Metrics that say how things are, not what happened. */
function stateGauges({ gauge }: Declare): (state: HostState) => void {
  const live = gauge(
    'beds_live_version_info',
    'The version that serves a domain; always 1.',
    'domain',
    'version',
    'hash',
  );
  const degraded = gauge('beds_degraded', '1: database objects of the domain are no longer as admitted.', 'domain');
  const canary = gauge('beds_canary_percent', 'Percent of the callers that a canary answers.', 'domain');
  const quarantined = gauge('beds_quarantined', 'Bundles that are refused for the harm they did.');
  const threadCount = gauge('beds_threads', 'Broker threads by state.', 'state');
  const heap = gauge('beds_thread_heap_bytes', 'JavaScript heap in use by a broker thread.', 'thread');
  const inFlight = gauge(
    'beds_thread_messages_in_flight',
    'Messages that a thread has and did not settle yet.',
    'thread',
  );
  const retired = gauge('beds_retired_in_memory', 'Versions that ended and that something holds in memory.', 'domain');
  const storeUp = gauge('beds_store_up', '1: the control plane reaches the store.', 'store');
  const waiting = gauge(
    'beds_writes_waiting',
    'Writes that broker threads hold until a store is back.',
    'domain',
    'store',
  );
  return (state) => {
    for (const each of [live, degraded, canary, retired, heap, inFlight, waiting]) each.reset();
    for (const view of state.domains) {
      if (view.live === undefined) continue;
      const { domain } = view;
      live.set({ domain, version: view.live.version, hash: view.live.hash }, 1);
      degraded.set({ domain }, Number((view.degraded ?? []).length > 0));
      canary.set({ domain }, state.canaries.get(domain) ?? 0);
    }
    for (const [domain, held] of heldInMemory(state.threads)) retired.set({ domain }, held.length);
    quarantined.set(state.quarantined);
    for (const { store, up } of state.stores.map((adapter) => adapter.status())) storeUp.set({ store }, Number(up));
    for (const name of THREAD_STATES) {
      threadCount.set({ state: name }, state.threads.filter((thread) => thread.state === name).length);
    }
    for (const { thread, status } of state.threads) {
      if (status === undefined) continue;
      heap.set({ thread }, status.heapBytes);
      const messages = status.brokers.reduce((sum, broker) => sum + broker.inFlight, 0);
      inFlight.set({ thread }, messages);
      for (const { domain, store, count } of status.waitingWrites) waiting.inc({ domain, store }, count);
    }
  };
}

/** Every broker of every thread, with what its type counts by itself. */
function brokerGauges({ gauge }: Declare): (threads: HostState['threads']) => void {
  const declare = (name: string, help: string): ReturnType<typeof gauge<'thread' | 'broker' | 'type'>> =>
    gauge(name, help, 'thread', 'broker', 'type');
  const up = declare('beds_broker_up', '1: the broker consumes all that it is to consume.');
  const inFlight = declare('beds_broker_messages_in_flight', 'Messages that a broker has and did not settle yet.');
  const messages = declare('beds_broker_messages', 'Messages that a broker took since its thread started.');
  const restarts = declare('beds_broker_restarts', 'How often a broker was opened again since its thread started.');
  const declared = [...brokerDefinitions.values()].flatMap(({ metrics }) => Object.entries(metrics));
  const ofTypes = new Map(declared.map(([name, help]) => [name, declare(name, help)]));
  return (threads) => {
    for (const each of [up, inFlight, messages, restarts, ...ofTypes.values()]) each.reset();
    for (const { thread, status } of threads) {
      for (const { name: broker, type, ...seen } of status?.brokers ?? []) {
        const labels = { thread, broker, type };
        up.set(labels, Number(seen.state === 'consuming' || seen.state === 'idle'));
        inFlight.set(labels, seen.inFlight);
        messages.set(labels, seen.messages);
        restarts.set(labels, seen.restarts);
        for (const [name, value] of Object.entries(seen.metrics ?? {})) ofTypes.get(name)?.set(labels, value);
      }
    }
  };
}

/** What became of the spans of traces; nothing while no collector is configured. */
function spanCounter({ counter }: Declare): (counts: TraceCounts | undefined) => void {
  const total = counter('beds_trace_spans_total', 'Finished spans, by what became of them.', 'outcome');
  const seen = { exported: 0, dropped: 0, failed: 0 };
  return (counts) => {
    if (counts === undefined) return;
    for (const outcome of ['exported', 'dropped', 'failed'] as const) {
      total.inc({ outcome }, counts[outcome] - seen[outcome]);
      seen[outcome] = counts[outcome];
    }
  };
}

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const RESOLUTION_MS = 20;

interface ProcessMetrics {
  readonly collect: (log: LogState) => void;
  readonly close: () => void;
}

/** What Prometheus' own clients say of a process, under their names. The library's collectors cannot be stopped. */
function processMetrics({ counter, gauge }: Declare): ProcessMetrics {
  const cpu = counter('process_cpu_seconds_total', 'CPU time of the whole process.', 'mode');
  const resident = gauge('process_resident_memory_bytes', 'Resident memory.');
  const heap = gauge('beds_supervisor_heap_bytes', 'JavaScript heap in use by the control plane.');
  const lag = gauge(
    'beds_supervisor_loop_delay_seconds',
    'Delay of the event loop of the control plane since the metrics were asked for last.',
    'quantile',
  );
  const dropped = counter('beds_log_lines_dropped_total', 'Lines that the output of the log did not take.');
  const start = gauge('process_start_time_seconds', 'When the process started, seconds since 1970.');
  start.set(Math.round(Date.now() / 1_000 - process.uptime()));
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let counted = { user: 0, system: 0, droppedLines: 0 };
  const collect = ({ droppedLines }: LogState): void => {
    const { user, system } = process.cpuUsage();
    cpu.inc({ mode: 'user' }, Math.max(0, user - counted.user) / MICROSECONDS);
    cpu.inc({ mode: 'system' }, Math.max(0, system - counted.system) / MICROSECONDS);
    dropped.inc(droppedLines - counted.droppedLines);
    counted = { user, system, droppedLines };
    const { rss, heapUsed } = process.memoryUsage();
    resident.set(rss);
    heap.set(heapUsed);
    for (const quantile of [0.5, 0.99]) {
      // n.b. what is measured is the interval of a timer: the time that it waits anyway is no delay.
      const measured = delay.percentile(quantile * 100) / NANOSECONDS - RESOLUTION_MS / 1_000;
      lag.set({ quantile: String(quantile) }, Math.max(0, measured));
    }
    delay.reset();
  };
  return { collect, close: () => delay.disable() };
}
