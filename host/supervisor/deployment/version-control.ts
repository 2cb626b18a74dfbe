import { join } from 'node:path';
import type { StoreAdapter } from '../../adapter/contract.js';
import type { Config } from '../../config/schema.js';
import type { DropWatcher } from '../admission/contract.js';
import type { Prober } from '../admission/probe.js';
import { watchDrops } from '../admission/watch-drops.js';
import { Quarantine } from '../record/quarantine.js';
import { ServiceRecord } from '../record/service-record.js';
import type { Drains } from '../rollout/drains.js';
import { makePlan } from '../rollout/plan.js';
import { RequestObserver } from '../rollout/request-observer.js';
import type { Rollouts } from '../rollout/rollouts.js';
import { serveMatcher } from '../serve-matcher.js';
import type { ThreadPool } from '../threads/thread-pool.js';
import { Blame, type ThreadLoss } from './blame.js';
import { Deployments } from './deployments.js';
import { Operator } from './operator.js';
import { receiveBundle } from './receive-bundle.js';
import type { Transition } from './transition.js';

export interface VersionControlOptions {
  readonly config: Config;
  /** `services.directory` and `plugins.directory`, absolute. */
  readonly directory: string;
  readonly pluginsDirectory: string;
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly prober: Prober;
  readonly pool: ThreadPool;
  readonly rollouts: Rollouts;
  readonly drains: Drains;
  readonly onTransition: (transition: Transition) => void;
  readonly onWithdrawn: (domain: string) => void;
}

/** Which version of which domain serves, and everything that may change it: what lies in the plugin directory, operators, harm. */
export class VersionControl {
  readonly operator: Operator;
  readonly #options: VersionControlOptions;
  readonly #record: ServiceRecord;
  readonly #quarantine: Quarantine;
  readonly #observer: RequestObserver;
  readonly #deployments: Deployments;
  readonly #blame: Blame;
  #watcher: DropWatcher | undefined;

  private constructor(options: VersionControlOptions, memory: { record: ServiceRecord; quarantine: Quarantine }) {
    const { config, directory, adapters, rollouts, onTransition } = options;
    const { record, quarantine } = memory;
    this.#options = options;
    this.#record = record;
    this.#quarantine = quarantine;
    this.#observer = new RequestObserver({
      pool: () => options.pool,
      onCallers: () => undefined,
      onShadows: () => undefined,
    });
    const serves = serveMatcher(config);
    this.#deployments = new Deployments({
      ...{ settings: config.rollout, rollouts, observer: this.#observer, quarantine, record, serves, onTransition },
      admission: {
        stageDirectory: join(directory, 'stage'),
        keepVersions: config.plugins.keepVersions,
        inUse: () => this.#deployments.inUse,
        prober: options.prober,
        stores: { names: [...adapters.keys()], find: (store) => adapters.get(store) },
      },
      breaks: () => [],
      onActive: ({ manifest: { domain, version }, hash }, cause) => {
        const origin = cause === 'drop' ? 'directory' : cause === 'deploy' ? 'deploy' : undefined;
        record.confirm(domain, { hash, version }, origin);
      },
      onWithdrawn: options.onWithdrawn,
    });
    this.#blame = new Blame({
      ...{ rollouts, drains: options.drains, deployments: this.#deployments, quarantine, onTransition },
    });
    this.operator = new Operator({
      ...{ deployments: this.#deployments, rollouts, record, quarantine, serves },
      receive: (files) => receiveBundle(files, { directory, limits: config.plugins }),
      plan: (wish) => makePlan(config.rollout, wish),
    });
  }

  /** Reads what a run before has left. */
  static async open(options: VersionControlOptions): Promise<VersionControl> {
    const { config, directory } = options;
    const [record, quarantine] = await Promise.all([
      ServiceRecord.open(directory, config.plugins.keepVersions),
      Quarantine.open(directory, config.rollout),
    ]);
    return new VersionControl(options, { record, quarantine });
  }

  /** Resolves when what served before serves again, and what the plugin directory holds besides is decided. */
  async start(): Promise<void> {
    const { config, pluginsDirectory } = this.#options;
    this.#observer.start();
    this.#deployments.boot();
    await this.#deployments.decided();
    this.#watcher = await watchDrops({ ...config.plugins, directory: pluginsDirectory }, this.#deployments);
    this.#deployments.reconcile();
    await this.#deployments.decided();
  }

  /** A broker thread ended. Returns whom it is blamed on, for the log. */
  threadLost(loss: ThreadLoss): ReturnType<Blame['threadLost']> {
    return this.#blame.threadLost(loss);
  }

  /** No more swaps: what is on its way is abandoned. The threads must still answer. */
  async close(): Promise<void> {
    await this.#watcher?.close();
    await this.#deployments.close();
    await this.#observer.close();
    await Promise.all([this.#record.close(), this.#quarantine.close()]);
  }
}
