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
  /** Something newer came before it served or was refused. */
  readonly onAbandoned: (domain: string, hash: string) => void;
  /** A domain serves from the stage though its bundle went from the plugin directory while the host was down. */
  readonly onUnseen: (domain: string) => void;
}

const RETRY_MS = 1_000;
/** They bring back what was decided before; what lies in the plugin directory besides is still to be decided. */
const REPEATED: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine']);

/**
 * Takes what happens in the plugin directory, what an operator orders and what served before a restart, and sees it
 * through: one deployment of a domain at a time, the latest wins.
 */
export class Deployments implements DropHandlers {
  readonly #options: DeploymentsOptions;
  readonly #deps: DeploymentDeps;
  readonly #queue = new DomainQueue();
  /** Complete bundles of the plugin directory, by entry. */
  readonly #entries = new Map<string, { readonly hash: string; readonly domain: string }>();
  /** Bytes that were in the plugin directory during this run, as far as they may serve. */
  readonly #seen = new Set<string>();
  /** Those of the plugin directory that were refused. */
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
        const { state, hash } = transition;
        if ((state === 'rejected' || state === 'quarantined') && this.#isDropped(hash)) this.#refused.add(hash);
        options.onTransition(transition);
      },
      onActive: (source, cause) => {
        options.onActive(source, cause);
        if (!REPEATED.has(cause)) this.#settleEntries(source.manifest.domain, source.hash);
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
    const isSettled = this.#options.record.entry(drop.entry) === drop.hash;
    this.#forgetEntry(drop.entry);
    this.#entries.set(drop.entry, { hash: drop.hash, domain });
    this.#see(drop.hash);
    // It lay there already when the host was stopped, and something took over after it: that counts.
    if (isSettled && !this.#isConfirmed(domain, drop.hash)) return;
    this.#refused.delete(drop.hash);
    if (this.isServing(domain, drop.hash) || this.find(domain)?.has(drop.hash) === true) return;
    this.begin([drop], 'drop', { completeAt: drop.completeAt });
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
    this.#forgetEntry(entry);
    this.#options.record.keepEntries(new Set(this.#entries.keys()));
    // Renamed, or there twice: the same bytes are still in the directory.
    if (others.some((other) => this.#entries.get(other)?.hash === hash)) return;
    this.#abandon((deployment) => deployment.has(hash) && deployment.order.cause === 'drop');
    const live = this.#liveHash(domain);
    if (live !== hash) this.#options.onWithdrawn(domain);
    // What an operator deployed does not hang on the directory.
    if (this.#options.record.of(domain).origin === 'deploy') return;
    const remaining = others.flatMap((other) => this.#entries.get(other)?.hash ?? []);
    // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
    const fallback = remaining.findLast((other) => !this.#refused.has(other));
    if (remaining.length === 0) this.#withoutBundle(domain);
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
    const { record, serves, onUnseen } = this.#options;
    record.keepEntries(new Set(this.#entries.keys()));
    const present = new Set([...this.#entries.values()].map(({ domain }) => domain));
    for (const [domain, { isServed, origin }] of record.domains) {
      if (isServed && origin === 'directory' && serves(domain) && !present.has(domain)) onUnseen(domain);
    }
  }

  /** Bytes that must stay in the stage. */
  get inUse(): ReadonlySet<string> {
    const unfinished = [...this.#unfinished].flatMap(({ order }) => order.bundles.map(({ hash }) => hash));
    const live = [...this.#options.rollouts.table.live.values()].map(({ source }) => source.hash);
    const entries = [...this.#entries.values()].map(({ hash }) => hash);
    return new Set([...entries, ...unfinished, ...live, ...this.#options.record.hashes]);
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
    void this.#addStaged(domain, hashes, { cause, isWanted: () => this.#numbers.get(domain) === number });
  }

  /** Admits the version that serves once more, after what is on its way: the database objects that it uses are others now. */
  refresh(domain: string, hash: string): void {
    void this.#addStaged(domain, [hash], { cause: 'refresh', isWanted: () => this.#liveHash(domain) === hash });
  }

  /** Takes a domain out of service after what is on its way; waits for a RabbitMQ that is away. */
  retire(domain: string): Promise<void> {
    this.#supersede([domain]);
    return this.#queue.add([domain], async () => {
      this.#options.record.retire(domain);
      this.#settleEntries(domain);
      this.#options.onWithdrawn(domain);
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

  /** The last bundle of a domain is gone. What was never in the directory does not end with it. */
  #withoutBundle(domain: string): void {
    const live = this.#liveHash(domain);
    const { served, isServed } = this.#options.record.of(domain);
    const current = live ?? (isServed ? served[0]?.hash : undefined);
    if (current === undefined || this.#seen.has(current)) void this.retire(domain);
    else if (live === undefined) this.goBack(domain, 'boot');
  }

  #addStaged(
    domain: string,
    hashes: readonly string[],
    {
      cause,
      tried = [],
      isWanted,
    }: { readonly cause: Cause; readonly tried?: readonly string[]; readonly isWanted: () => boolean },
  ): Promise<void> {
    const waiting = new EventEmitter<{ waiting: [] }>();
    const work = async (): Promise<void> => {
      const bytes = await this.#firstStaged(domain, hashes);
      if (!isWanted() || this.#ending.signal.aborted) return;
      if (bytes === undefined) {
        if (cause === 'quarantine') this.goBack(domain, cause, [...tried, ...hashes]);
        return;
      }
      const order: Order = { bundles: [bytes], plan: this.#planOf(cause), cause, completeAt: Date.now(), tried };
      const deployment = new Deployment(order, this.#deps);
      this.#unfinished.add(deployment);
      void deployment.waiting.then(() => {
        waiting.emit('waiting');
        // What did harm must not go on until somebody delivers.
        if (cause === 'quarantine') deployment.abandon();
      });
      await this.#run(deployment);
    };
    return this.#queue.add([domain], work, once(waiting, 'waiting'));
  }

  #forgetEntry(entry: string): void {
    const hash = this.#entries.get(entry)?.hash;
    this.#entries.delete(entry);
    if (hash !== undefined && !this.#isDropped(hash)) this.#refused.delete(hash);
  }

  #isDropped(hash: string): boolean {
    return [...this.#entries.values()].some((bundle) => bundle.hash === hash);
  }

  /** Thousands of versions may be seen; those that nothing knows any more cannot serve. */
  #see(hash: string): void {
    const { inUse } = this;
    for (const old of this.#seen) if (!inUse.has(old)) this.#seen.delete(old);
    this.#seen.add(hash);
  }

  async #run(deployment: Deployment): Promise<void> {
    await deployment.run();
    this.#unfinished.delete(deployment);
    // It is neither on its way any more nor observed, and nothing more is to come of it.
    if (deployment.isAbandoned && !deployment.isRefused) {
      for (const { manifest, hash } of deployment.order.bundles) this.#options.onAbandoned(manifest.domain, hash);
    }
    if (deployment.isRefused || deployment.order.cause === 'quarantine') this.#fallBack(deployment);
  }

  /** What is on its way for these domains is abandoned; what is still to be loaded for them sees another number. */
  #supersede(domains: readonly string[]): number {
    for (const older of this.#unfinished) {
      // Going back from what did harm is short, and what comes next begins from there.
      const isOfThese = older.domains.some((domain) => domains.includes(domain));
      if (isOfThese && older.order.cause !== 'quarantine') older.supersede(domains);
    }
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

  /** A refused version must not keep what served before from serving again. */
  #fallBack({ domains, order }: Deployment): void {
    if (this.#ending.signal.aborted) return;
    const { cause, bundles, tried = [] } = order;
    const isGoingBack = cause === 'boot' || cause === 'quarantine';
    const failed = isGoingBack ? [...tried, ...bundles.map(({ hash }) => hash)] : [];
    for (const domain of domains) {
      if (!this.#options.record.of(domain).isServed) continue;
      if (this.#isHarmed(domain)) this.goBack(domain, 'quarantine', failed);
      else if (this.#liveHash(domain) === undefined && this.find(domain) === undefined)
        this.goBack(domain, 'boot', failed);
    }
  }

  /** Serves the newest version that served before and is not quarantined; where there is none, callers are told to come back. */
  goBack(domain: string, cause: Cause, tried: readonly string[] = []): void {
    const { record, quarantine } = this.#options;
    const isAllowed = (hash: string): boolean => quarantine.reason(hash) === undefined;
    const hashes = record.of(domain).served.map(({ hash }) => hash);
    const sound = hashes.filter((hash) => isAllowed(hash) && !tried.includes(hash));
    if (sound.length === 0) {
      // Refused is not harmful: such a domain is unknown, as it was before.
      if (this.#isHarmed(domain) || !hashes.some(isAllowed)) this.#withhold(domain, hashes);
      return;
    }
    const pending = cause === 'boot' ? undefined : this.find(domain);
    const number = this.#supersede([domain]);
    const isHarm = cause === 'quarantine';
    if (isHarm) this.#hold(domain);
    const isWanted = (): boolean => (isHarm ? this.#isHarmed(domain) : this.#numbers.get(domain) === number);
    const back = this.#addStaged(domain, sound, { cause, tried, isWanted });
    if (pending !== undefined) void back.then(() => this.#resume(pending, number));
  }

  /** What was on its way when the version before it did harm goes on after that. */
  #resume({ order, domains, isRefused }: Deployment, number: number): void {
    const isNew = order.cause === 'drop' || order.cause === 'deploy';
    const isLatest = domains.every((domain) => (this.#numbers.get(domain) ?? 0) <= number);
    if (isNew && isLatest && !isRefused) this.begin(order.bundles, order.cause, order);
  }

  #hold(domain: string): void {
    const live = this.#options.rollouts.table.live.get(domain);
    if (live === undefined) return;
    this.#options.rollouts.hold(live.source).catch((error: unknown) => {
      publishFault({ where: `queues of ${domain}, whose version did harm`, error, domain });
    });
  }

  #withhold(domain: string, hashes: readonly string[]): void {
    const { rollouts } = this.#options;
    void this.#queue.add([domain], async () => {
      const manifest = rollouts.table.manifestOf(domain) ?? (await this.#firstStaged(domain, hashes))?.manifest;
      if (manifest !== undefined) await rollouts.withhold(manifest);
    });
  }

  /** Whether bytes that are in quarantine serve it. */
  #isHarmed(domain: string): boolean {
    const live = this.#liveHash(domain);
    return live !== undefined && this.#options.quarantine.reason(live) !== undefined;
  }

  /** Something took over, or the domain was retired: what lies in the directory by then is done with. */
  #settleEntries(domain: string, hash?: string): void {
    for (const [entry, bundle] of this.#entries) {
      if (bundle.domain === domain && (bundle.hash === hash || !this.isOnItsWay(bundle.hash)))
        this.#options.record.setEntry(entry, bundle.hash);
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

  /** Whether it is what should serve. */
  #isConfirmed(domain: string, hash: string): boolean {
    const { served, isServed } = this.#options.record.of(domain);
    return isServed && served[0]?.hash === hash;
  }
}
