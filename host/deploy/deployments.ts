import { EventEmitter, once } from 'node:events';
import { sleep } from '#sdk/time';
import type { Finding } from '../template/contract.js';
import { publishFault } from '../observe/channels.js';
import { type BundleBytes, loadStaged, stageBundle } from './admit/stage.js';
import type { ServiceRecord } from './service-record.js';
import { type Cause, makePlan, type RolloutPlan } from './plan.js';
import { Deployment, type DeploymentDeps, type Order } from './deployment.js';
import { DomainQueue } from './domain-queue.js';
import { isRabbitAway } from './findings.js';
import type { PluginEntries } from './sources/plugin-entries.js';

export interface DeploymentsOptions extends Omit<DeploymentDeps, 'isPaused' | 'nextGeneration'> {
  readonly record: ServiceRecord;
  readonly entries: PluginEntries;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
  /** Something newer came before it served or was refused. */
  readonly onAbandoned: (domain: string, hash: string) => void;
  /** What was dropped was refused, and nothing serves the domain. */
  readonly onUnserved: (domain: string, hashes: readonly string[]) => void;
  /** A domain is out of service. */
  readonly onRetired: (domain: string) => void;
}

const RETRY_MS = 1_000;
/** They bring back what was decided before; what lies in the plugin directory besides is still to be decided. */
const REPEATED: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine']);

/** They run beside what is on its way, which may wait for long, and give way to it when it takes over first. */
const BESIDE: ReadonlySet<Cause> = new Set(['boot', 'refresh']);

/**
 * Takes what happens in the plugin directory, what an operator orders and what served before a restart, and sees it
 * through: one deployment of a domain at a time, the latest wins.
 */
export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #deps: DeploymentDeps;
  readonly #queue = new DomainQueue();
  /** Begun, queued or waiting; every one of them can be abandoned. */
  readonly #unfinished = new Set<Deployment>();
  readonly #ending = new AbortController();
  /** The number of what was asked for last, by domain. */
  readonly #numbers = new Map<string, number>();
  #kept: Promise<unknown> = Promise.resolve();
  /** Hashes of versions that serve because the one after them did harm. */
  readonly #restored = new Set<string>();
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
        if (state === 'rejected' || state === 'quarantined') options.entries.setRefused(hash, true);
        options.onTransition(transition);
      },
      onActive: (source, cause) => {
        options.onActive(source, cause);
        if (cause === 'quarantine') this.#restored.add(source.hash);
        else this.#restored.delete(source.hash);
        const { domain } = source.manifest;
        if (!REPEATED.has(cause)) this.#settleEntries(domain, source.hash);
        this.#abandon(({ order, domains }) => order.cause === 'boot' && cause !== 'boot' && domains.includes(domain));
      },
    };
  }

  /** Serves what served when the host was stopped, from the stage. */
  boot(): void {
    for (const [domain, { isServed }] of this.#options.record.domains) {
      if (isServed && this.#options.serves(domain)) this.goBack(domain, 'boot');
    }
  }

  /** Bytes that must stay in the stage. */
  get inUse(): ReadonlySet<string> {
    const unfinished = [...this.#unfinished].flatMap(({ order }) => order.bundles.map(({ hash }) => hash));
    const live = [...this.#options.rollouts.table.live.values()].map(({ source }) => source.hash);
    return new Set([...this.#options.entries.hashes, ...unfinished, ...live, ...this.#options.record.hashes]);
  }

  liveHash(domain: string): string | undefined {
    return this.#options.rollouts.table.live.get(domain)?.source.hash;
  }

  isServing(domain: string, hash: string): boolean {
    return this.liveHash(domain) === hash && !this.#queue.has(domain);
  }

  isOnItsWay(hash: string): boolean {
    return [...this.#unfinished].some((deployment) => deployment.has(hash) && !deployment.isAbandoned);
  }

  /** The newest deployment of a domain that is not over, without what the host repeats by itself beside it. */
  find(domain: string): Deployment | undefined {
    return [...this.#unfinished].findLast(
      ({ order, domains, isAbandoned }) => !isAbandoned && !BESIDE.has(order.cause) && domains.includes(domain),
    );
  }

  /** The bundle is gone from the plugin directory. */
  abandonDrop(hash: string): void {
    this.#abandon((deployment) => deployment.has(hash) && deployment.order.cause === 'drop');
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
    this.#supersede(deployment.domains, cause);
    this.#unfinished.add(deployment);
    void this.#queue.add(deployment.domains, () => this.#run(deployment), deployment.waiting);
  }

  /** Copies a version to the stage that does not serve now, but may when what took its place is gone. */
  keep(bytes: BundleBytes): void {
    const { stageDirectory } = this.#options.admission;
    this.#kept = this.#kept
      .then(() => stageBundle(bytes, stageDirectory))
      .catch((error: unknown) => {
        publishFault({ where: 'stage of a superseded version', error, domain: bytes.manifest.domain });
      });
  }

  /** Sends the first of these that the stage still has whole on its way. */
  restore(domain: string, hashes: readonly string[], cause: Cause): void {
    const number = this.#supersede([domain], cause);
    void this.#addStaged(domain, hashes, { cause, isWanted: () => this.#numbers.get(domain) === number });
  }

  /** Admits the version that serves once more: the database objects that it uses are others now. */
  refresh(domain: string, hash: string): void {
    void this.#addStaged(domain, [hash], { cause: 'refresh', isWanted: () => this.liveHash(domain) === hash });
  }

  /** Takes a domain out of service after what is on its way, for a reason that is noted; waits for a RabbitMQ that is away. */
  retire(domain: string, why: Finding): Promise<void> {
    this.#supersede([domain], 'retire');
    return this.#queue.add([domain], async () => {
      this.#options.record.retire(domain);
      this.#settleEntries(domain);
      this.#options.onRetired(domain);
      const { signal } = this.#ending;
      for (let isNoted = false; !signal.aborted; isNoted = true) {
        try {
          await this.#options.rollouts.retire(domain, why);
          return;
        } catch (error) {
          if (!isRabbitAway(error)) throw error;
          if (!isNoted) publishFault({ where: `retirement of ${domain}, which waits for RabbitMQ`, error, domain });
          await sleep(RETRY_MS, signal);
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
    await this.#kept;
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
      const order: Order = {
        bundles: [bytes],
        plan: this.#planOf(cause),
        cause,
        completeAt: Date.now(),
        tried,
        isWanted,
      };
      const deployment = new Deployment(order, this.#deps);
      this.#unfinished.add(deployment);
      void deployment.waiting.then(() => {
        waiting.emit('waiting');
        // What did harm must not go on until somebody delivers.
        if (cause === 'quarantine') deployment.abandon();
      });
      await this.#run(deployment);
    };
    const place = BESIDE.has(cause) ? `${cause} of ${domain}` : domain;
    return this.#queue.add([place], work, once(waiting, 'waiting'));
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
  #supersede(domains: readonly string[], cause: Cause | 'retire'): number {
    for (const older of this.#unfinished) {
      // Going back from what did harm is short, and what comes next begins from there; what served before a restart must
      // serve again until what was dropped since then does.
      const goesOn = older.order.cause === 'quarantine' || (older.order.cause === 'boot' && cause === 'drop');
      if (!goesOn && older.domains.some((domain) => domains.includes(domain))) older.supersede(domains);
    }
    this.#lastNumber += 1;
    for (const domain of domains) this.#numbers.set(domain, this.#lastNumber);
    return this.#lastNumber;
  }

  async #firstStaged(domain: string, hashes: readonly string[]): Promise<BundleBytes | undefined> {
    await this.#kept;
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
  #fallBack({ domains, order, isAbandoned }: Deployment): void {
    if (this.#ending.signal.aborted) return;
    const { cause, bundles, tried = [] } = order;
    const isGoingBack = cause === 'boot' || cause === 'quarantine';
    const failed = isGoingBack ? [...tried, ...bundles.map(({ hash }) => hash)] : [];
    for (const domain of domains) {
      if (!this.#options.record.of(domain).isServed) {
        const hashes = bundles.map(({ hash }) => hash);
        if (!isAbandoned && this.find(domain) === undefined) this.#options.onUnserved(domain, hashes);
        continue;
      }
      if (this.#isHarmed(domain)) this.goBack(domain, 'quarantine', failed);
      else if (this.liveHash(domain) === undefined && this.find(domain) === undefined)
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
    const number = this.#supersede([domain], cause);
    const isHarm = cause === 'quarantine';
    if (isHarm) this.#hold(domain);
    const isWanted = (): boolean => {
      if (isHarm) return this.#isHarmed(domain);
      return cause === 'boot' ? this.liveHash(domain) === undefined : this.#numbers.get(domain) === number;
    };
    const back = this.#addStaged(domain, sound, { cause, tried, isWanted });
    if (pending !== undefined) void back.then(() => this.#resume(pending, number));
  }

  /** Whether a version is kept that served before the one that serves, and did no harm. One that was gone back to stays. */
  mayGoBack(domain: string): boolean {
    const { record, quarantine } = this.#options;
    const live = this.liveHash(domain);
    if (live === undefined || this.#restored.has(live)) return false;
    return record.of(domain).served.some(({ hash }) => hash !== live && quarantine.reason(hash) === undefined);
  }

  /** What was on its way when the version before it did harm goes on after that. */
  #resume({ order, domains, isRefused }: Deployment, number: number): void {
    const isNew = order.cause === 'drop' || order.cause === 'deploy';
    const isLatest = domains.every((domain) => (this.#numbers.get(domain) ?? 0) <= number);
    const isThere = order.cause === 'deploy' || order.bundles.every(({ hash }) => this.#options.entries.has(hash));
    if (isNew && isLatest && isThere && !isRefused) this.begin(order.bundles, order.cause, order);
  }

  #hold(domain: string): void {
    const live = this.#options.rollouts.table.live.get(domain);
    if (live === undefined) return;
    this.#options.rollouts.hold(live.source).catch((error: unknown) => {
      publishFault({ where: `queues of ${domain}, whose version did harm`, error, domain });
    });
  }

  /** At once: what is on its way for the domain may wait for long. */
  #withhold(domain: string, hashes: readonly string[]): void {
    const { rollouts } = this.#options;
    void this.#queue.add([`withholding of ${domain}`], async () => {
      const manifest = rollouts.table.manifestOf(domain) ?? (await this.#firstStaged(domain, hashes))?.manifest;
      const isStill = this.#isHarmed(domain) || this.liveHash(domain) === undefined;
      if (manifest !== undefined && isStill) await rollouts.withhold(manifest);
    });
  }

  /** Whether bytes that are in quarantine serve it. */
  #isHarmed(domain: string): boolean {
    const live = this.liveHash(domain);
    return live !== undefined && this.#options.quarantine.reason(live) !== undefined;
  }

  /** Something took over, or the domain was retired: what lies in the directory by then is done with. */
  #settleEntries(ofDomain: string, active?: string): void {
    this.#options.entries.settle(
      ({ domain, hash }) => domain === ofDomain && (hash === active || !this.isOnItsWay(hash)),
    );
  }

  #planOf(cause: Cause): RolloutPlan {
    const { settings } = this.#options;
    const isNew = cause === 'drop' || cause === 'deploy';
    return isNew ? makePlan(settings) : makePlan(settings, { canaryPercent: 0, shadowPercent: 0 });
  }
}
