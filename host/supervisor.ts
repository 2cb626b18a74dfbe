import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ConnectionChange } from '#sdk/amqp';
import { SDK_VERSION } from '#sdk/template';
import type { ChannelModel } from 'amqplib';
import type { StoreAdapter, StoreStatus } from './stores/contract.js';
import { keepOpen, type MakeAdapters } from './stores/factory.js';
import { AmqpConnection } from './amqp/connection.js';
import { makeNames, type Names } from './amqp/names.js';
import { Topology } from './amqp/topology.js';
import { planBrokers } from './brokers/plan.js';
import { directoriesOf } from './config/load.js';
import type { Config } from './config/schema.js';
import type { Log, LogState } from './observe/log.js';
import type { TraceExporter } from './observe/trace-exporter.js';
import type { LogTap } from './observe/log-tap.js';
import { connectionChannel, type FaultEvent, faultChannel, lifecycleChannel } from './observe/channels.js';
import type { Transition } from './deploy/state.js';
import { openProber, type Prober } from './deploy/admit/probe.js';
import { DeployController } from './deploy/deploy-controller.js';
import { type History, openHistory } from './deploy/history.js';
import { type HostMetrics, openMetrics } from './metrics/host-metrics.js';
import { Sampler } from './metrics/sample.js';
import { Signals } from './metrics/signals.js';
import { UsageBook } from './metrics/usage-book.js';
import { hasFleet, nodeName, playedRoles } from './roles.js';
import { AdminNode, type OwnDesk } from './admin/admin-node.js';
import { FleetMember } from './admin/fleet-member.js';
import { openOrderKey, OrderGate } from './admin/orders.js';
import { AdminServer } from './admin/server.js';
import { claimState } from './deploy/state-claim.js';
import { ThreadLog } from './threads/thread-log.js';
import { trailDirectoryOf, Trials } from './deploy/watch/crash-trials.js';
import { ThreadPool, type ThreadPoolOptions } from './threads/pool.js';

export interface SupervisorOptions {
  readonly config: Config;
  /** Directories of the configuration are relative to it. */
  readonly projectRoot: string;
  readonly log: Log;
  readonly logState: () => LogState;
  /** Gets every line of the log, for those who collect them; absent: nobody does. */
  readonly tap?: LogTap | undefined;
  /** The host cannot go on; the process should stop it and end with a failure. */
  readonly onFatal: (error: Error) => void;
  readonly makeAdapters: MakeAdapters;
}

/** What a collector gets for the last spans. */
const TRACES_CLOSE_MS = 1_000;

/** The composition root of the control plane. It owns the threads, and no template code ever runs on its own. */
export class Supervisor {
  readonly node: string;
  readonly #options: SupervisorOptions;
  readonly #names: Names;
  readonly #startedAt = new Date();
  readonly #adapters: ReadonlyMap<string, StoreAdapter>;
  readonly #control: AmqpConnection;
  readonly #topology: Topology;
  readonly #prober: Prober;
  readonly #pool: ThreadPool;
  readonly #ending = new AbortController();
  readonly #admin: AdminServer;
  readonly #gate: OrderGate;
  /** Undefined: it is none. */
  readonly #adminNode: AdminNode | undefined;
  /** Undefined: no admin node keeps what all nodes shall run. */
  #fleet: FleetMember | undefined;
  readonly #metrics: HostMetrics;
  readonly #threadLog: ThreadLog;
  /** Undefined: no span is exported. */
  #traces: TraceExporter | undefined;
  readonly #usage = new UsageBook();
  readonly #sampler: Sampler;
  readonly #signals: Signals;
  #model: ChannelModel | undefined;
  #history: History | undefined;
  #deploy: DeployController | undefined;
  /** The threads take commands. */
  #isStarted = false;
  #trials: Trials | undefined;
  #reassert: NodeJS.Timeout | undefined;
  readonly #cleanUps: (() => void)[] = [];
  #stopping: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    const { config, log, logState, makeAdapters } = options;
    this.#options = options;
    this.node = nodeName(config);
    this.#threadLog = new ThreadLog(log);
    this.#names = makeNames(config.amqp.prefix);
    this.#adapters = makeAdapters((store) => ({ ...store, poolSize: 2 }));
    this.#control = new AmqpConnection({ ...config.amqp, name: `${this.node}/control` }, (model) => this.#setUp(model));
    const brokers = planBrokers(config);
    const ownQueues = brokers.flatMap((plan) => plan.ownQueues);
    this.#topology = new Topology({ names: this.#names, settings: config.topology, ownQueues }, () => this.#model);
    this.#prober = openProber({ timeoutMs: config.plugins.probeTimeoutMs, memoryMb: config.plugins.probeMemoryMb });
    this.#metrics = openMetrics({
      node: this.node,
      stores: this.#adapters,
      logState,
      traces: () => this.#traces?.counts,
      pool: () => this.#pool,
      deploy: () => this.#deploy,
    });
    this.#pool = new ThreadPool({
      config,
      node: this.node,
      brokers: brokers.filter(({ place }) => place === 'thread'),
      trailDirectory: trailDirectoryOf(this.#directory),
      onMessage: ({ name }, message) => this.#onMessage(name, message),
      onJoin: async (thread, group) => this.#deploy?.routes.join(thread, group),
      onLost: (loss) => this.#onLost(loss),
      onReleased: (thread) => this.#deploy?.threadReleased(thread),
      onGiveUp: options.onFatal,
    });
    const ofAdmin = brokers.filter(({ place }) => place === 'supervisor');
    const key = ofAdmin.length === 0 ? undefined : openOrderKey(config, this.#directory);
    if (key !== undefined) {
      const ofKey = { key, directory: this.#directory, projectRoot: options.projectRoot, brokers: ofAdmin };
      this.#adminNode = new AdminNode({ node: this.node, config, log, ...ofKey });
    }
    this.#gate = new OrderGate({ config, ownKey: key, directory: this.#directory });
    this.#sampler = new Sampler({ pool: () => this.#pool, usage: this.#usage });
    this.#signals = new Signals({
      ...{ node: this.node, config, names: this.#names, tap: options.tap },
      stores: () => [...this.#adapters.values()].map((adapter) => adapter.status()),
      domains: () => this.#deploy?.routes.live.map(({ manifest }) => manifest.domain) ?? [],
      sample: () => this.#sampler.take(),
      usage: () => this.#usage.takeChanged(),
    });
    this.#admin = new AdminServer({
      node: this.node,
      config,
      log,
      gate: this.#gate,
      operations: () => (this.#stopping === undefined && this.#isStarted ? this.#deploy?.operator : undefined),
      sources: {
        startedAt: this.#startedAt,
        pool: this.#pool,
        topology: this.#topology,
        stores: [...this.#adapters.values()],
        metrics: () => this.#metrics.text(),
        logState,
        domains: () => this.#deploy?.operator.views ?? [],
        history: () => this.#history?.entries ?? [],
        brokers: () => this.#adminNode?.brokers ?? [],
        usage: this.#usage,
      },
    });
  }

  /** Resolves when the host serves what the plugin directory holds. Rejects with what keeps it from starting. */
  async start(): Promise<void> {
    const { config, projectRoot, log } = this.#options;
    const { state: directory, plugins: pluginsDirectory } = directoriesOf(projectRoot, config);
    this.#cleanUps.push(observeHost(log), () => this.#threadLog.close());
    this.#cleanUps.push(claimState(directory));
    this.#traces = await openTraces(this.node, this.#options);
    this.#trials = await Trials.open({ directory, config, log });
    this.#history = await openHistory({ directory });
    this.#control.start();
    await this.#control.ready(config.supervisor.startTimeoutMs);
    await this.#topology.assertBase();
    const { signal } = this.#ending;
    const keeping = [...this.#adapters.values()].map((adapter) => keepOpen(adapter, signal, reportTo(log)));
    await Promise.all(keeping);
    const deploy = await DeployController.open({
      config,
      directory,
      pluginsDirectory,
      brokers: planBrokers(config),
      adapters: this.#adapters,
      prober: this.#trials.prober(this.#prober),
      pool: this.#pool,
      topology: this.#topology,
      names: this.#names,
      log,
      history: () => this.#history?.entries ?? [],
      isRabbitUp: () => this.#control.state === 'up',
      onTransitions: (transitions) => this.#record(transitions),
      onTallies: (thread, tallies) => this.#metrics.tallies(thread, tallies),
      onUsage: (counts) => this.#usage.add(counts),
    });
    this.#deploy = deploy;
    if (hasFleet(config)) {
      const model = (): ChannelModel | undefined => this.#model;
      this.#fleet = await FleetMember.open({
        node: this.node,
        config,
        log,
        directory,
        gate: this.#gate,
        model,
        deploy,
      });
      await this.#fleet.prepare();
    }
    this.#pool.cells.set(await this.#trials.cells(deploy.served));
    await this.#pool.start();
    this.#isStarted = true;
    await deploy.start();
    this.#trials.watch({ pool: this.#pool, deploy });
    const onUnasserted = (error: unknown): void => log.warn({ error: wordsOf(error) }, 'queues could not be asserted');
    const reassert = (): void => void deploy.routes.reassert().catch(onUnasserted);
    this.#reassert = setInterval(reassert, config.topology.checkIntervalMs);
    await this.#adminNode?.start();
    this.#fleet?.start();
    this.#signals.start();
    log.info(
      { roles: playedRoles(config), domains: deploy.routes.live.map(({ manifest }) => manifest.domain) },
      'serving',
    );
  }

  /** For the dashboard of this node. Undefined: it is no admin node. */
  get ownDesk(): OwnDesk | undefined {
    return this.#adminNode?.ownDesk;
  }

  /** No more swaps → threads finish, bounded → connections close. A second call joins the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { drainTimeoutMs } = this.#options.config.supervisor;
    this.#ending.abort();
    clearInterval(this.#reassert);
    this.#trials?.stopWatching();
    await this.#fleet?.stop();
    await this.#adminNode?.stop(drainTimeoutMs);
    await this.#deploy?.close();
    await this.#pool.stop(drainTimeoutMs);
    await this.#traces?.close(TRACES_CLOSE_MS);
    await this.#prober.close();
    await Promise.all([...this.#adapters.values()].map((adapter) => adapter.close(1_000)));
    await Promise.all([this.#admin, this.#control].map((open) => open.close(2_000)));
    await this.#history?.close();
    await this.#trials?.close();
    this.#metrics.close();
    for (const cleanUp of this.#cleanUps) cleanUp();
    this.#options.log.info('stopped');
    await this.#signals.close(500);
  }

  async #setUp(model: ChannelModel): Promise<void> {
    this.#model = model;
    model.once('close', () => {
      if (this.#model === model) this.#model = undefined;
    });
    await this.#topology.assertBase().catch((error: unknown) => {
      this.#options.log.error({ error: wordsOf(error) }, 'topology could not be asserted');
    });
    await this.#admin.attach(model);
  }

  #onMessage(thread: string, message: Parameters<ThreadPoolOptions['onMessage']>[1]): void {
    if (message.kind === 'drained') {
      this.#metrics.drained(thread, message.tally);
      this.#deploy?.drained(message.generation, thread, message.left);
    } else if (message.kind === 'spans') this.#traces?.add(message);
    else this.#threadLog.write(thread, message);
  }

  #onLost(loss: Parameters<ThreadPoolOptions['onLost']>[0]): void {
    this.#metrics.threadEnded(loss.thread, loss.reason);
    const blamed = this.#deploy?.threadLost(loss);
    this.#options.log.error({ ...loss, ...blamed }, 'broker thread ended; it is replaced');
    const [first = ''] = loss.reason.split('\n');
    this.#signals.alert('thread-ended', `Broker thread ${loss.thread} ended: ${first}`, { ...blamed });
  }

  get #directory(): string {
    return directoriesOf(this.#options.projectRoot, this.#options.config).state;
  }

  #alertOf({ domain, version, hash, findings }: Transition): void {
    const [finding] = findings ?? [];
    const kind = finding?.code.startsWith('BEDS_ROLLOUT_GUARD_') === true ? 'rolled-back' : 'quarantined';
    const words = kind === 'rolled-back' ? 'was rolled back by the guard' : 'is quarantined';
    const fields = { domain, version, hash, code: finding?.code };
    this.#signals.alert(kind, `${domain} ${version} ${words}: ${finding?.message ?? 'no reason is known'}`, fields);
  }

  /** Changes of state: on the diagnostics channel, in the metrics, in the log, for graphs, in the durable history. */
  #record(transitions: readonly Transition[]): void {
    const { log } = this.#options;
    const { swaps } = this.#sampler;
    const levels = transitions.map(levelOf);
    const lines = transitions.map(({ generation: _, flipMs, cause, ...entry }) => ({
      ...entry,
      ...(cause === undefined ? {} : { cause }),
    }));
    this.#fleet?.changed();
    for (const transition of transitions) lifecycleChannel.publish(transition);
    for (const transition of transitions) this.#metrics.transition(transition);
    for (const [index, transition] of transitions.entries()) {
      const { domain, version, state } = transition;
      log[levels[index] ?? 'info'](transition, `${domain} ${version} ${state}`);
      if (state === 'active') swaps.set(domain, (swaps.get(domain) ?? 0) + 1);
      if (state === 'quarantined') this.#alertOf(transition);
    }
    this.#history
      ?.append(lines)
      .catch((error: unknown) => log.error({ err: error }, 'the history could not be written'));
  }
}

function reportTo(log: Log): (status: StoreStatus) => void {
  return ({ store, server, up, lastError, why }) => {
    if (up) log.info({ store, server }, `store ${store} is there`);
    else log.warn({ store, code: lastError }, `store ${store} cannot be reached: ${why ?? 'nobody says why'}`);
  };
}

/** n.b. nothing of OpenTelemetry is loaded where no collector is configured. */
async function openTraces(node: string, options: SupervisorOptions): Promise<TraceExporter | undefined> {
  const { tracing: settings } = options.config;
  if (settings.endpoint === '') return undefined;
  const { TraceExporter } = await import('./observe/trace-exporter.js');
  return new TraceExporter({ node, version: SDK_VERSION, settings, log: options.log });
}

function wordsOf(error: unknown): unknown {
  return error instanceof Error ? error.message : error;
}

/** Brings what happens on the supervisor's own thread into the log, until the returned function is called. */
function observeHost(log: Log): () => void {
  const onConnection = (message: unknown): void => {
    const { connection, state, waitMs, error } = message as ConnectionChange;
    const level = state === 'waiting' || state === 'blocked' ? 'warn' : 'debug';
    log[level]({ connection, waitMs, err: error }, `connection ${state}`);
  };
  const onFault = (message: unknown): void => {
    const { where, error, ...rest } = message as FaultEvent;
    log.error({ ...rest, err: error }, `fault in ${where}`);
  };
  subscribe(connectionChannel.name, onConnection);
  subscribe(faultChannel.name, onFault);
  return () => {
    unsubscribe(connectionChannel.name, onConnection);
    unsubscribe(faultChannel.name, onFault);
  };
}

function levelOf({ state, left, findings = [] }: Transition): 'info' | 'warn' | 'error' {
  if (state === 'rejected' || state === 'quarantined') return 'error';
  return state === 'waiting' || left !== undefined || findings.length > 0 ? 'warn' : 'info';
}
