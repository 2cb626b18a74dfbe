import { join } from 'node:path';
import type { StoreAdapter } from '../stores/contract.js';
import type { Config } from '../config/schema.js';
import type { GenerationSource } from '../template/contract.js';
import type { Log } from '../observe/log.js';
import type { DropWatcher } from './admit/contract.js';
import type { Prober } from './admit/probe.js';
import { type StoreLookup, JoinedCatalogue } from './admit/preflight.js';
import { watchDrops } from './sources/watch-drops.js';
import { openCallerLedger, type CallerLedger } from './compatibility/caller-ledger.js';
import { compareManifests } from './compatibility/compare-manifests.js';
import { breakingFindings, joinCallers } from './compatibility/gate.js';
import type { DomainBoard } from './domain-board.js';
import type { Operations } from '../admin/contract.js';
import type { Inspections } from '../admin/views.js';
import { Quarantine } from './quarantine.js';
import { type Origin, ServiceRecord } from './service-record.js';
import type { Drains } from './drains.js';
import { type Cause, makePlan } from './plan.js';
import { RequestObserver, type RequestObserverOptions } from './watch/request-observer.js';
import type { Rollouts } from './rollouts.js';
import { ShadowBoard } from './watch/shadow-board.js';
import { openSchemaWatch, type SchemaWatch } from './watch/schema-watch.js';
import { serveMatcher } from '../roles.js';
import type { ThreadPool } from '../threads/pool.js';
import { Blame, type ThreadLoss } from './watch/blame.js';
import { Deployments } from './deployments.js';
import { Inspector } from './inspector.js';
import { Operator } from './operator.js';
import { PluginDirectory } from './sources/plugin-directory.js';
import { PluginEntries } from './sources/plugin-entries.js';
import { receiveBundle } from './sources/receive-bundle.js';
import { remarksOn } from './remarks.js';
import { StrayWatch } from './watch/stray-watch.js';
import type { Transition } from './transition.js';

export interface VersionControlOptions {
  readonly config: Config;
  /** `state.directory` and `plugins.directory`, absolute. */
  readonly directory: string;
  readonly pluginsDirectory: string;
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly prober: Prober;
  readonly pool: ThreadPool;
  readonly rollouts: Rollouts;
  readonly drains: Drains;
  readonly board: DomainBoard;
  readonly log: Log;
  readonly isRabbitUp: () => boolean;
  readonly onTransition: (transition: Transition) => void;
  readonly onTallies: RequestObserverOptions['onTallies'];
}

/** What is remembered over a restart. */
interface Memory {
  readonly record: ServiceRecord;
  readonly quarantine: Quarantine;
  readonly ledger: CallerLedger;
}

/** Who decides about a domain from then on; the other causes leave that as it was. */
const ORIGINS: Partial<Record<Cause, Origin>> = {
  drop: 'directory',
  deploy: 'deploy',
  // What was gone back to is not what lies in the directory; whoever tidies up there must not end it.
  rollback: 'deploy',
  quarantine: 'deploy',
};

/** Which version of which domain serves, and everything that may change it: what lies in the plugin directory, operators, harm. */
export class VersionControl {
  readonly operations: Operations & Inspections;
  readonly #options: VersionControlOptions;
  readonly #memory: Memory;
  readonly #observer: RequestObserver;
  readonly #entries: PluginEntries;
  readonly #deployments: Deployments;
  readonly #directory: PluginDirectory;
  readonly #blame: Blame;
  readonly #strays: StrayWatch;
  readonly #schema: SchemaWatch;
  readonly #stores: StoreLookup;
  #watcher: DropWatcher | undefined;

  private constructor(options: VersionControlOptions, memory: Memory) {
    const { config, adapters, rollouts, drains, board, log, onTransition } = options;
    this.#options = options;
    this.#memory = memory;
    const shadows = new ShadowBoard();
    this.#observer = new RequestObserver({
      pool: () => options.pool,
      onTallies: (thread, tallies) => {
        options.onTallies(thread, tallies);
        this.#strays.add(thread, tallies);
      },
      onCallers: (counts) => {
        memory.ledger.add(counts);
      },
      onShadows: (reports) => {
        shadows.add(reports);
      },
    });
    const catalogues = new Map([...adapters].map(([store, adapter]) => [store, new JoinedCatalogue(adapter)]));
    this.#stores = { names: [...catalogues.keys()], find: (store) => catalogues.get(store) };
    this.#entries = new PluginEntries(memory.record);
    this.#deployments = this.#openDeployments(shadows);
    this.#directory = this.#openDirectory();
    this.#blame = new Blame({
      ...{ rollouts, drains, deployments: this.#deployments, quarantine: memory.quarantine, onTransition },
    });
    this.#strays = new StrayWatch({
      settings: config.rollout,
      onTooMany: (generation, seen) => this.#blame.strayed(generation, seen),
    });
    this.operations = this.#openOperations();
    this.#schema = openSchemaWatch({
      ...{ intervalMs: config.rollout.schemaCheckMs, stores: this.#stores, log },
      live: () => [...rollouts.table.live.values()].map(({ source }) => source),
      onDegraded: (domain, findings) => {
        board.noteDegraded(domain, findings);
      },
      adopt: ({ hash, manifest }) => {
        this.#deployments.refresh(manifest.domain, hash);
      },
    });
  }

  /** Reads what a run before has left. */
  static async open(options: VersionControlOptions): Promise<VersionControl> {
    const { config, directory } = options;
    const [record, quarantine, ledger] = await Promise.all([
      ServiceRecord.open(directory, config.plugins.keepVersions),
      Quarantine.open(directory, config.rollout),
      openCallerLedger({ directory, days: config.rollout.callerDays }),
    ]);
    return new VersionControl(options, { record, quarantine, ledger });
  }

  /** Resolves when what served before serves again, and what the plugin directory holds besides is decided. */
  async start(): Promise<void> {
    const { config, pluginsDirectory } = this.#options;
    this.#observer.start();
    this.#deployments.boot();
    await this.#deployments.decided();
    const isOptional = this.#memory.record.domains.some(([, { isServed }]) => isServed);
    const options = { ...config.plugins, directory: pluginsDirectory, isOptional };
    this.#watcher = await watchDrops(options, this.#directory);
    await this.#deployments.decided();
  }

  /** Asks the threads what they saw of their requests. Never rejects. */
  async observe(): Promise<void> {
    await this.#observer.observe();
  }

  /** A broker thread ended. Returns whom it is blamed on, for the log. */
  threadLost(loss: ThreadLoss & { readonly thread: string }): ReturnType<Blame['threadLost']> {
    this.#strays.forget(loss.thread);
    return this.#blame.threadLost(loss);
  }

  /** Whether these bytes are in quarantine. */
  isRefused(hash: string): boolean {
    return this.#memory.quarantine.reason(hash) !== undefined;
  }

  isOnItsWay(hash: string): boolean {
    return this.#deployments.isOnItsWay(hash);
  }

  /** A thread that joined could not prepare a version that does not serve yet. */
  unprepared({ manifest: { domain } }: GenerationSource): void {
    const words = 'A broker thread that joined could not prepare it; the log of the same time says why.';
    this.#deployments.find(domain)?.end({ code: 'BEDS_THREAD_PREPARE_FAILED', message: words });
  }

  /** No more swaps: what is on its way is abandoned. The threads must still answer. */
  async close(): Promise<void> {
    const { record, quarantine, ledger } = this.#memory;
    this.#schema.close();
    await this.#watcher?.close();
    await this.#deployments.close();
    await this.#observer.close();
    await Promise.all([record.close(), quarantine.close(), ledger.close()]);
  }

  get #stageDirectory(): string {
    return join(this.#options.directory, 'stage');
  }

  #openDeployments(shadows: ShadowBoard): Deployments {
    const { config, prober, rollouts, board, log, isRabbitUp, onTransition } = this.#options;
    const { record, quarantine, ledger } = this.#memory;
    return new Deployments({
      ...{ settings: config.rollout, rollouts, observer: this.#observer, shadows, quarantine, record },
      onTransition: (transition) => {
        onTransition(transition);
        this.#directory.note(transition);
      },
      onUnserved: (domain, hashes) => {
        this.#directory.unserved(domain, hashes);
      },
      remarks: (next, cause) =>
        remarksOn(next, cause, {
          live: rollouts.table.live.get(next.manifest.domain)?.source,
          served: record.of(next.manifest.domain).served,
        }),
      ...{ entries: this.#entries, serves: serveMatcher(config), isRabbitUp },
      onCanaryWaits: ({ manifest: { domain, version }, hash }, reason) => {
        const fields = { domain, version, hash, reason };
        if (reason === undefined) log.info(fields, `${domain} ${version} canary goes on`);
        else log.warn(fields, `${domain} ${version} canary waits: ${reason}`);
      },
      admission: {
        stageDirectory: this.#stageDirectory,
        keepVersions: config.plugins.keepVersions,
        inUse: () => this.#deployments.inUse,
        prober,
        stores: this.#stores,
      },
      breaks: ({ manifest }) => {
        const live = rollouts.table.live.get(manifest.domain)?.source.manifest;
        if (live === undefined) return [];
        return breakingFindings(joinCallers(compareManifests(live, manifest), manifest.domain, ledger));
      },
      onActive: ({ manifest: { domain, version }, hash }, cause) => {
        // What a start serves was confirmed before, or stands in for what was.
        if (cause !== 'boot') record.confirm(domain, { hash, version }, ORIGINS[cause]);
      },
      onAbandoned: (domain, hash) => {
        board.forgetUnfinished(domain, hash);
      },
      onRetired: (domain) => {
        board.forgetCandidate(domain);
      },
    });
  }

  #openDirectory(): PluginDirectory {
    const { config, board, log, onTransition } = this.#options;
    return new PluginDirectory({
      ...{ deployments: this.#deployments, entries: this.#entries, record: this.#memory.record, onTransition },
      serves: serveMatcher(config),
      onWithdrawn: (domain) => {
        board.forgetCandidate(domain);
      },
      onRecovered: (message) => {
        log.info(message);
      },
      onUnseen: (domain) => {
        log.warn({ domain }, `${domain} serves from the stage; its bundle is no longer in the plugin directory`);
      },
    });
  }

  #openOperations(): Operations & Inspections {
    const { config, directory, rollouts, board } = this.#options;
    const { record, quarantine, ledger } = this.#memory;
    const common = { deployments: this.#deployments, entries: this.#entries, rollouts, record, quarantine };
    const inspector = new Inspector({
      ...{ ...common, ledger, stageDirectory: this.#stageDirectory },
      views: () => board.views(),
    });
    return new Operator({
      ...{ ...common, serves: serveMatcher(config), inspector },
      receive: (files) => receiveBundle(files, { directory, limits: config.plugins }),
      plan: (wish) => makePlan(config.rollout, wish),
    });
  }
}
