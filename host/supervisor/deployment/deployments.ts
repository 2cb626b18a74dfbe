import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Finding } from '../../generation/contract.js';
import { publishFault } from '../../observe/channels.js';
import type { Drop, DropHandlers, RefusedDrop, RemovedDrop } from '../admission/contract.js';
import { type BundleBytes, loadStaged } from '../admission/stage.js';
import type { ServiceRecord } from '../record/service-record.js';
import { type Cause, makePlan, type RolloutPlan } from '../rollout/plan.js';
import { Deployment, type DeploymentDeps, type Order } from './deployment.js';
import { DomainQueue } from './domain-queue.js';
import { isRabbitAway } from './findings.js';

export interface DeploymentsOptions extends Omit<DeploymentDeps, 'isPaused' | 'nextGeneration'> {
  readonly record: ServiceRecord;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
  /** What did not serve is no longer in the plugin directory; `domain` is the entry's name where the bundle named none. */
  readonly onWithdrawn: (domain: string) => void;
}

const RETRY_MS = 1_000;

/**
 * Takes what happens in the plugin directory, what an operator orders and what served before a restart, and sees it
 * through: one deployment of a domain at a time, the latest wins.
 */
export class Deployments implements DropHandlers {
  readonly #options: DeploymentsOptions;
  readonly #deps: DeploymentDeps;
  readonly #queue = new DomainQueue();
  /** Complete bundles of the plugin directory: hash by entry. */
  readonly #entries = new Map<string, string>();
  readonly #refused = new Set<string>();
  /** Begun, queued or waiting; every one of them can be abandoned. */
  readonly #unfinished = new Set<Deployment>();
  readonly #ending = new AbortController();
  /** The number of what was asked for last, by domain. */
  readonly #numbers = new Map<string, number>();
  #lastNumber = 0;
  #nextGeneration = 1;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#deps = {
      ...options,
      isPaused: (domain) => options.record.of(domain).paused,
      nextGeneration: () => this.#nextGeneration++,
      onTransition: (transition) => {
        if (transition.state === 'rejected' || transition.state === 'quarantined') this.#refused.add(transition.hash);
        options.onTransition(transition);
      },
    };
  }

  /** Serves what served when the host was stopped, from the stage. */
  boot(): void {
    for (const [domain, { isServed }] of this.#options.record.domains) {
      if (isServed && this.#options.serves(domain)) this.goBack(domain, 'boot');
    }
  }

  complete(drop: Drop): void {
    const { domain } = drop.manifest;
    const { record } = this.#options;
    const isUnchanged = record.entry(drop.entry) === drop.hash;
    this.#entries.set(drop.entry, drop.hash);
    record.setEntry(drop.entry, drop.hash);
    // It lay there already when the host was stopped, and something else was ordered after it: that counts.
    if (isUnchanged && this.#isSuperseded(domain, drop.hash)) return;
    this.#refused.delete(drop.hash);
    if (!this.isServing(domain, drop.hash)) this.begin([drop], 'drop', { completeAt: drop.completeAt });
  }

  refused(drop: RefusedDrop, findings: readonly Finding[]): void {
    this.#options.onTransition({
      domain: drop.domain ?? drop.entry,
      version: drop.version ?? 'unknown',
      hash: drop.hash ?? '',
      state: 'rejected',
      cause: 'drop',
      findings,
    });
  }

  removed({ entry, domain, hash, others }: RemovedDrop): void {
    this.#entries.delete(entry);
    this.#options.record.keepEntries(new Set(this.#entries.keys()));
    // Renamed, or there twice: the same bytes are still in the directory.
    if (others.some((other) => this.#entries.get(other) === hash)) return;
    this.#abandon((deployment) => deployment.has(hash) && deployment.order.cause === 'drop');
    const live = this.#liveHash(domain);
    if (live !== hash) this.#options.onWithdrawn(domain);
    // What an operator deployed does not hang on the directory.
    if (this.#options.record.of(domain).origin === 'deploy') return;
    const remaining = others.flatMap((other) => this.#entries.get(other) ?? []);
    // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
    const fallback = remaining.findLast((other) => !this.#refused.has(other));
    if (remaining.length === 0) void this.retire(domain);
    else if (fallback !== undefined && !this.isOnItsWay(fallback) && (live === undefined || !remaining.includes(live)))
      this.restore(domain, [fallback], 'restore');
  }

  withdrawn({ domain, entry }: RefusedDrop): void {
    this.#options.onWithdrawn(domain ?? entry);
  }

  error(error: unknown): void {
    publishFault({ where: 'plugin directory', error });
  }

  /** The directory was read for the first time: entries that are gone since the last run are forgotten. */
  reconcile(): void {
    this.#options.record.keepEntries(new Set(this.#entries.keys()));
  }

  /** Bytes that must stay in the stage. */
  get inUse(): ReadonlySet<string> {
    const unfinished = [...this.#unfinished].flatMap(({ order }) => order.bundles.map(({ hash }) => hash));
    const live = [...this.#options.rollouts.table.live.values()].map(({ source }) => source.hash);
    return new Set([...this.#entries.values(), ...unfinished, ...live, ...this.#options.record.hashes]);
  }

  isServing(domain: string, hash: string): boolean {
    return this.#liveHash(domain) === hash && !this.#queue.has(domain);
  }

  isOnItsWay(hash: string): boolean {
    return [...this.#unfinished].some((deployment) => deployment.has(hash) && !deployment.isAbandoned);
  }

  /** The newest deployment of a domain that is not over. */
  find(domain: string): Deployment | undefined {
    return [...this.#unfinished].findLast(({ domains, isAbandoned }) => !isAbandoned && domains.includes(domain));
  }

  /** Sends versions on their way, together; older ones of their domains that are still on theirs are abandoned. */
  begin(
    bundles: readonly BundleBytes[],
    cause: Cause,
    { plan, completeAt = Date.now() }: { readonly plan?: RolloutPlan; readonly completeAt?: number } = {},
  ): void {
    if (this.#ending.signal.aborted) return;
    const wanted = bundles.filter(({ manifest }) => this.#options.serves(manifest.domain));
    if (wanted.length === 0) return;
    const deployment = new Deployment(
      { bundles: wanted, plan: plan ?? this.#planOf(cause), cause, completeAt },
      this.#deps,
    );
    this.#supersede(deployment.domains);
    this.#unfinished.add(deployment);
    void this.#queue.add(deployment.domains, () => this.#run(deployment), deployment.waiting);
  }

  /** Sends the first of these that the stage still has whole on its way. */
  restore(domain: string, hashes: readonly string[], cause: Cause): void {
    const number = this.#supersede([domain]);
    this.#addStaged(domain, hashes, { cause, isWanted: () => this.#numbers.get(domain) === number });
  }

  /** Admits the version that serves once more, after what is on its way: the database objects that it uses are others now. */
  refresh(domain: string, hash: string): void {
    this.#addStaged(domain, [hash], { cause: 'refresh', isWanted: () => this.#liveHash(domain) === hash });
  }

  /** Serves the newest version that served before and is not quarantined; where there is none, callers are told to come back. */
  goBack(domain: string, cause: Cause): void {
    const { record, quarantine, rollouts } = this.#options;
    const hashes = record.of(domain).served.map(({ hash }) => hash);
    const sound = hashes.filter((hash) => quarantine.reason(hash) === undefined);
    if (sound.length > 0) this.restore(domain, sound, cause);
    else
      void this.#queue.add([domain], async () => {
        const manifest = rollouts.table.manifestOf(domain) ?? (await this.#firstStaged(domain, hashes))?.manifest;
        if (manifest !== undefined) await rollouts.withhold(manifest);
      });
  }

  /** Takes a domain out of service after what is on its way; waits for a RabbitMQ that is away. */
  retire(domain: string): Promise<void> {
    this.#supersede([domain]);
    return this.#queue.add([domain], async () => {
      this.#options.record.retire(domain);
      const { signal } = this.#ending;
      for (let isNoted = false; !signal.aborted; isNoted = true) {
        try {
          await this.#options.rollouts.retire(domain);
          return;
        } catch (error) {
          if (!isRabbitAway(error)) throw error;
          if (!isNoted) publishFault({ where: `retirement of ${domain}, which waits for RabbitMQ`, error, domain });
          await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
        }
      }
    });
  }

  /** Resolves when every version that is on its way serves, is refused, is observed or waits for somebody outside. */
  decided(): Promise<void> {
    return this.#queue.decided();
  }

  /** Abandons what is on its way. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#abandon(() => true);
    await this.#queue.settled();
  }

  #addStaged(
    domain: string,
    hashes: readonly string[],
    { cause, isWanted }: { readonly cause: Cause; readonly isWanted: () => boolean },
  ): void {
    const waiting = new EventEmitter<{ waiting: [] }>();
    const work = async (): Promise<void> => {
      const bytes = await this.#firstStaged(domain, hashes);
      if (bytes === undefined || !isWanted() || this.#ending.signal.aborted) return;
      const order: Order = { bundles: [bytes], plan: this.#planOf(cause), cause, completeAt: Date.now() };
      const deployment = new Deployment(order, this.#deps);
      this.#unfinished.add(deployment);
      void deployment.waiting.then(() => waiting.emit('waiting'));
      await this.#run(deployment);
    };
    void this.#queue.add([domain], work, once(waiting, 'waiting'));
  }

  async #run(deployment: Deployment): Promise<void> {
    await deployment.run();
    this.#unfinished.delete(deployment);
    if (deployment.isRefused) this.#fallBack(deployment);
  }

  /** What is on its way for these domains is abandoned; what is still to be loaded for them sees another number. */
  #supersede(domains: readonly string[]): number {
    this.#abandon((older) => older.domains.some((domain) => domains.includes(domain)));
    this.#lastNumber += 1;
    for (const domain of domains) this.#numbers.set(domain, this.#lastNumber);
    return this.#lastNumber;
  }

  async #firstStaged(domain: string, hashes: readonly string[]): Promise<BundleBytes | undefined> {
    for (const hash of hashes) {
      try {
        return await loadStaged(hash, this.#options.admission.stageDirectory);
      } catch (error) {
        publishFault({ where: `staged copy ${hash}`, error, domain });
      }
    }
    return undefined;
  }

  #abandon(which: (deployment: Deployment) => boolean): void {
    for (const deployment of this.#unfinished) {
      if (which(deployment)) deployment.abandon();
    }
  }

  /** A refused version must not keep what served before the start from serving again. */
  #fallBack({ domains, order }: Deployment): void {
    if (order.cause === 'boot' || order.cause === 'quarantine') return;
    for (const domain of domains) {
      const { isServed } = this.#options.record.of(domain);
      if (isServed && this.#liveHash(domain) === undefined && this.find(domain) === undefined)
        this.goBack(domain, 'boot');
    }
  }

  #planOf(cause: Cause): RolloutPlan {
    const { settings } = this.#options;
    const isNew = cause === 'drop' || cause === 'deploy';
    return isNew ? makePlan(settings) : makePlan(settings, { canaryPercent: 0, shadowPercent: 0 });
  }

  #liveHash(domain: string): string | undefined {
    return this.#options.rollouts.table.live.get(domain)?.source.hash;
  }

  #isSuperseded(domain: string, hash: string): boolean {
    const { served, isServed } = this.#options.record.of(domain);
    const index = served.findIndex((version) => version.hash === hash);
    return index > 0 || (index === 0 && !isServed);
  }
}
