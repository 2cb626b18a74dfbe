import { join } from 'node:path';
import type { Names } from '../amqp/names.js';
import type { Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import type { Log } from '../observe/log.js';
import { publishFault } from '../observe/channels.js';
import { type BrokerPlan, servedBy } from '../roles.js';
import type { StoreAdapter } from '../stores/contract.js';
import type { Finding } from '../template/contract.js';
import { type Leftovers, NO_LEFTOVERS } from '../template/template-timers.js';
import type { ThreadPool } from '../threads/pool.js';
import type { Drop, DropHandlers, DropWatcher, RefusedDrop, RemovedDrop } from './admit/contract.js';
import { type Catalogues, JoinedCatalogue } from './admit/preflight.js';
import type { Prober } from './admit/probe.js';
import { type CallerLedger, openCallerLedger } from './compatibility/caller-ledger.js';
import { Domains } from './domains.js';
import { Effects } from './effects.js';
import type { HistoryEntry } from './history.js';
import { Operator } from './operator.js';
import { watchDrops } from './sources/plugin-directory.js';
import { bundleOf, filesOf, loadStaged, stageBundle } from './admit/stage.js';
import { culpritOf, domainOf, isOnItsWay, isQuarantined, makePlan } from './reconcile.js';
import type { DesiredVersion, DirectoryChange, Transition, ThreadLoss } from './state.js';
import { ThreadRoutes } from './thread-routes.js';
import { RequestObserver, type RequestObserverOptions } from './watch/request-observer.js';
import { openSchemaWatch, type SchemaWatch } from './watch/schema-watch.js';
import { ShadowBoard } from './watch/shadow-board.js';
import { StrayWatch } from './watch/stray-watch.js';

export interface DeployControllerOptions {
  readonly config: Config;
  /** `state.directory` and `plugins.directory`, absolute. */
  readonly directory: string;
  readonly pluginsDirectory: string;
  /** The brokers of this node's roles. */
  readonly brokers: readonly BrokerPlan[];
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly prober: Prober;
  readonly pool: ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly log: Log;
  readonly history: () => readonly HistoryEntry[];
  readonly isRabbitUp: () => boolean;
  readonly onTransitions: (transitions: readonly Transition[]) => void;
  readonly onTallies: RequestObserverOptions['onTallies'];
  readonly onUsage: RequestObserverOptions['onUsage'];
}

/**
 * Which version of which domain serves: hands what happens (in the plugin directory, to threads, by operators) to the
 * state, and has done what follows from it.
 */
export class DeployController implements DropHandlers {
  readonly operator: Operator;
  readonly routes: ThreadRoutes;
  readonly #options: DeployControllerOptions;
  readonly #domains: Domains;
  readonly #ledger: CallerLedger;
  readonly #effects: Effects;
  readonly #observer: RequestObserver;
  readonly #strays: StrayWatch;
  readonly #stores: Catalogues;
  /** What the present look at the plugin directory found. */
  readonly #changes: DirectoryChange[] = [];
  readonly #drops: Drop[] = [];
  #schema: SchemaWatch | undefined;
  #watcher: DropWatcher | undefined;

  private constructor(options: DeployControllerOptions, domains: Domains, ledger: CallerLedger) {
    const { config, adapters, directory, prober, pool, topology, names, brokers, log, isRabbitUp } = options;
    this.#options = options;
    this.#domains = domains;
    this.#ledger = ledger;
    const shadows = new ShadowBoard();
    this.#strays = new StrayWatch({
      settings: config.rollout,
      onTooMany: (generation, { strays, requests }) => {
        domains.dispatch({ kind: 'strayed', generation, strays, requests });
      },
    });
    this.#observer = new RequestObserver({
      pool: () => pool,
      onTallies: (thread, tallies) => {
        options.onTallies(thread, tallies);
        this.#strays.add(thread, tallies);
      },
      onCallers: (counts) => {
        ledger.add(counts);
      },
      onShadows: (reports) => {
        shadows.add(reports);
      },
      onUsage: options.onUsage,
    });
    this.#stores = new Map([...adapters].map(([store, adapter]) => [store, new JoinedCatalogue(adapter)]));
    this.routes = new ThreadRoutes({ domains, pool, topology, names, config, brokers });
    const stageDirectory = join(directory, 'stage');
    this.#effects = new Effects({
      domains,
      routes: this.routes,
      settings: config.rollout,
      defaultAccess: config.security.defaultAccess,
      observer: this.#observer,
      shadows,
      isRabbitUp,
      log,
      admission: {
        stageDirectory,
        keepVersions: config.plugins.keepVersions,
        prober,
        stores: this.#stores,
      },
      ledger,
    });
    this.operator = new Operator({ domains, effects: this.#effects, routes: this.routes, ledger, config, directory });
  }

  /** Reads what a run before has left. */
  static async open(options: DeployControllerOptions): Promise<DeployController> {
    const { config, brokers, directory, history, log, onTransitions } = options;
    const [domains, ledger] = await Promise.all([
      Domains.open({
        directory,
        history,
        onTransitions,
        rules: {
          settings: config.rollout,
          keepVersions: config.plugins.keepVersions,
          serves: servedBy(brokers),
        },
        onRemark: ({ level, domain, message, fields }) => {
          if (level === 'warn') log.warn({ domain, ...fields }, message);
          else publishFault({ where: domain, error: message, domain, ...fields });
        },
      }),
      openCallerLedger({ directory, days: config.rollout.callerDays }),
    ]);
    return new DeployController(options, domains, ledger);
  }

  /** Resolves when what served before serves again, and what the plugin directory holds besides is decided. */
  async start(): Promise<void> {
    const { config, pluginsDirectory, log } = this.#options;
    this.#observer.start();
    this.#schema = openSchemaWatch({
      intervalMs: config.rollout.schemaCheckMs,
      stores: this.#stores,
      log,
      live: () => this.routes.live,
      onDegraded: (domain, findings) => {
        this.#domains.dispatch({ kind: 'schema', domain, change: 'degraded', findings });
      },
      adopt: ({ hash, manifest: { domain } }) => {
        this.#domains.dispatch({ kind: 'schema', domain, hash, change: 'refit' });
      },
    });
    this.#domains.dispatch({ kind: 'boot' });
    await this.#effects.decided();
    const isOptional = Object.values(this.#domains.state.domains).some(({ isServed }) => isServed);
    this.#watcher = await watchDrops({ ...config.plugins, directory: pluginsDirectory, isOptional }, this);
    await this.#effects.decided();
  }

  /** What all nodes shall run, before anything is served; its bytes are staged. */
  desire(versions: readonly DesiredVersion[]): void {
    this.#domains.dispatch({ kind: 'desired', versions });
  }

  /** The same while this node serves. */
  async follow({ domain, hash, version, state }: DesiredVersion): Promise<void> {
    const before = domainOf(this.#domains.state, domain);
    if (state === 'retired') {
      if (before.isServed) this.#domains.dispatch({ kind: 'retire', domain });
      return;
    }
    if (isQuarantined(this.#domains.state, domain, hash)) return;
    const isThere = before.isServed && before.served[0]?.hash === hash;
    if (!isThere && before.served.some((each) => each.hash === hash)) {
      this.#domains.dispatch({ kind: 'restore', domain, hash });
    } else if (!isThere) {
      this.#effects.keep(await loadStaged(hash, this.#stageDirectory));
      // n.b. it proved itself elsewhere, and what breaks callers was allowed there.
      const proven = { canaryPercent: 0, shadowPercent: 0, allowBreaking: true };
      const plan = makePlan(this.#options.config.rollout, proven);
      this.#domains.dispatch({ kind: 'deploy', versions: [{ domain, version, hash }], plan });
    }
    if ((state === 'paused') !== before.paused) {
      this.#domains.dispatch({ kind: state === 'paused' ? 'pause' : 'promote', domain });
    }
  }

  serves(domain: string): boolean {
    return this.#domains.rules.serves(domain);
  }

  /** Whether the bytes are staged, whole. */
  async has(hash: string): Promise<boolean> {
    return loadStaged(hash, this.#stageDirectory).then(
      () => true,
      () => false,
    );
  }

  /** Stages bytes that came over RabbitMQ. Throws `BEDS_ADMISSION_STAGE_DAMAGED` where they are not what the hash names. */
  async take(hash: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
    await stageBundle(bundleOf(hash, files), this.#stageDirectory);
  }

  async files(hash: string): Promise<ReadonlyMap<string, Buffer>> {
    return filesOf(await loadStaged(hash, this.#stageDirectory));
  }

  get #stageDirectory(): string {
    return join(this.#options.directory, 'stage');
  }

  /** Hashes of what served when the host was stopped, by domain. */
  get served(): ReadonlyMap<string, string> {
    const domains = Object.entries(this.#domains.state.domains);
    return new Map(
      domains.flatMap(
        ([
          name,
          {
            isServed,
            served: [newest],
          },
        ]) => (isServed && newest !== undefined ? [[name, newest.hash] as const] : []),
      ),
    );
  }

  /** Asks the threads what they saw of their requests. Never rejects. */
  async observe(): Promise<void> {
    await this.#observer.observe();
  }

  /** A broker thread ended. Returns whom it is blamed on, for the log. */
  threadLost(loss: ThreadLoss): Pick<Transition, 'domain' | 'version' | 'hash'> | undefined {
    this.#strays.forget(loss.thread);
    const culprit = culpritOf(this.#domains.state, loss);
    this.#domains.dispatch({ kind: 'thread-lost', ...loss });
    this.routes.forget(loss.thread);
    if (culprit === undefined) return undefined;
    const { domain, version, hash } = culprit;
    return { domain, version, hash };
  }

  /** A broker thread ended because it was not needed any more. */
  threadReleased(thread: string): void {
    this.#domains.dispatch({ kind: 'thread-released', thread });
  }

  /** A thread has finished with an old version. */
  drained(generation: number, thread: string, left: Leftovers = NO_LEFTOVERS): void {
    this.#domains.dispatch({ kind: 'drained', generation, thread, left });
  }

  isOnItsWay(hash: string): boolean {
    return isOnItsWay(this.#domains.state, hash);
  }

  /** No more swaps: what is on its way is abandoned. The threads must still answer. */
  async close(): Promise<void> {
    this.#schema?.close();
    await this.#watcher?.close();
    await this.#effects.close();
    await this.#observer.close();
    await Promise.all([this.#domains.close(), this.#ledger.close()]);
  }

  // What happens in the plugin directory.

  complete(drop: Drop): void {
    const { entry, hash, completeAt, bornAt = completeAt, changedAt = completeAt, seenAt = completeAt } = drop;
    const { domain, version } = drop.manifest;
    const begunAt = Math.min(seenAt, changedAt);
    this.#drops.push(drop);
    this.#changes.push({ kind: 'dropped', entry, domain, version, hash, completeAt, bornAt, changedAt, begunAt });
  }

  refused({ domain, entry, version = 'unknown', hash = '' }: RefusedDrop, findings: readonly Finding[]): void {
    this.#changes.push({ kind: 'malformed', domain: domain ?? entry, version, hash, findings });
  }

  removed(drop: RemovedDrop): void {
    this.#changes.push({ kind: 'removed', ...drop });
  }

  withdrawn({ domain, entry }: RefusedDrop): void {
    this.#changes.push({ kind: 'withdrawn', domain: domain ?? entry });
  }

  /** What a look found is one event; nothing is said of one that found nothing. */
  looked({ isWhole }: { readonly isWhole: boolean }): void {
    const changes = this.#changes.splice(0);
    for (const drop of this.#drops.splice(0)) this.#effects.keep(drop);
    if (changes.length === 0 && (!isWhole || this.#domains.state.hasSeenDirectory)) return;
    this.#domains.dispatch({ kind: 'looked', changes, isWhole });
  }

  error(error: unknown): void {
    publishFault({ where: 'plugin directory', error });
  }

  recovered(message: string): void {
    this.#options.log.info(message);
  }
}
