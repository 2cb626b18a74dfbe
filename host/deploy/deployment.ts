import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { sleep } from '#sdk/time';
import type { Config } from '../config/schema.js';
import type { RolloutCode } from '../errors/rollout.js';
import type { Finding, GenerationSource } from '../template/contract.js';
import type { LifecycleState } from '../template/lifecycle.js';
import { makeFinding } from '../template/make-finding.js';
import { type AdmissionDeps, admit, type AdmissionResult, type ProbedSource } from './admit/admit.js';
import { preflight } from './admit/preflight.js';
import type { BundleBytes } from './admit/stage.js';
import type { Quarantine } from './quarantine.js';
import { Canary, type Objection } from './canary.js';
import type { Cause, RolloutPlan } from './plan.js';
import type { RequestObserver } from './watch/request-observer.js';
import type { Rollouts } from './rollouts.js';
import type { ShadowBoard } from './watch/shadow-board.js';
import { Surroundings, type SurroundingsOptions } from './watch/surroundings.js';
import { isDeliverable, isRabbitAway, toFinding } from './findings.js';
import type { Transition } from './transition.js';

export interface DeploymentDeps {
  readonly settings: Config['rollout'];
  readonly admission: AdmissionDeps;
  readonly rollouts: Rollouts;
  readonly observer: RequestObserver;
  readonly shadows: ShadowBoard;
  readonly quarantine: Quarantine;
  /** What callers of the serving version lose; empty: nothing. */
  readonly breaks: (next: GenerationSource) => readonly Finding[];
  /** What is to be said of a version that is about to take over. */
  readonly remarks: (next: GenerationSource, cause: Cause) => readonly Finding[];
  readonly isPaused: (domain: string) => boolean;
  readonly isRabbitUp: SurroundingsOptions['isRabbitUp'];
  /** A canary waits for what is not in its version, and for what; undefined: it goes on. */
  readonly onCanaryWaits: (source: GenerationSource, reason: string | undefined) => void;
  readonly nextGeneration: () => number;
  readonly onTransition: (transition: Transition) => void;
  /** A version took over. */
  readonly onActive: (source: GenerationSource, cause: Cause) => void;
}

/** Versions that are to take over together, one of each domain. */
export interface Order {
  readonly bundles: readonly BundleBytes[];
  readonly plan: RolloutPlan;
  readonly cause: Cause;
  /** When the bytes were complete, milliseconds since 1970. */
  readonly completeAt: number;
  /** Versions that were tried before it for the same reason, in vain. */
  readonly tried?: readonly string[];
  /** Asked when it could take over: whether it still should. Default: it should. */
  readonly isWanted?: () => boolean;
}

const RETRY_MS = 1_000;
/** An operator, or the host itself, knows what it does: these go back to what was served before. */
const UNGATED: ReadonlySet<Cause> = new Set(['rollback', 'restore', 'boot', 'quarantine', 'refresh']);
/** What quarantines the bytes; anything else only ends their rollout. */
const HARM: ReadonlySet<string> = new Set<RolloutCode>([
  'BEDS_ROLLOUT_GUARD_ERRORS',
  'BEDS_ROLLOUT_GUARD_LATENCY',
  'BEDS_ROLLOUT_GUARD_THREAD',
]);
/** What quarantines the bytes before they ever served. */
const FATAL = 'BEDS_ADMISSION_ENDED_PROCESS';
const PAUSABLE: ReadonlySet<Cause> = new Set(['drop', 'deploy', 'restore']);

/** The way of one order from its bytes to the requests: admit → gate → prepare → canary → active; or refused, or abandoned. */
export class Deployment {
  readonly order: Order;
  readonly #deps: DeploymentDeps;
  readonly #aborter = new AbortController();
  readonly #events = new EventEmitter<{ waiting: []; resumed: [] }>();
  readonly #generations = new Map<string, number>();
  #canary: Canary | undefined;
  #isHurried = false;
  #isRefused = false;
  #isTakingOver = false;

  constructor(order: Order, deps: DeploymentDeps) {
    this.order = order;
    this.#deps = deps;
  }

  get domains(): readonly string[] {
    return this.order.bundles.map(({ manifest }) => manifest.domain);
  }

  /** Resolves when it waits for a database, its administrator, RabbitMQ or an operator for the first time. */
  readonly waiting = once(this.#events, 'waiting');

  get isAbandoned(): boolean {
    return this.#aborter.signal.aborted;
  }

  /** It ended without serving, for reasons of its own. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  get canary(): Canary | undefined {
    return this.#canary;
  }

  has(hash: string): boolean {
    return this.order.bundles.some((bundle) => bundle.hash === hash);
  }

  /** A newer version came, or its bundle is gone. */
  abandon(): void {
    this.#aborter.abort();
  }

  /** Newer versions came of these domains; its versions of other domains cannot take over without them. */
  supersede(domains: readonly string[]): void {
    if (this.isAbandoned) return;
    const others = this.order.bundles.filter(({ manifest }) => !domains.includes(manifest.domain));
    this.abandon();
    const words = `Something newer was asked of ${domains.join(', ')}, and they were to take over together.`;
    const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
    for (const bundle of others) this.#note(bundle, 'rejected', { findings });
  }

  /** What waits for an operator, or is observed, takes over now. */
  promote(): void {
    this.#events.emit('resumed');
    if (this.domains.some((domain) => this.#deps.isPaused(domain))) return;
    this.#isHurried = true;
    this.#canary?.promote();
  }

  /** Ends it for a reason, which is noted. False: it is too late, it takes over. */
  end(finding: Finding): boolean {
    if (this.isAbandoned) return true;
    if (this.#isTakingOver) return false;
    if (this.#canary !== undefined) this.#canary.end([{ finding }]);
    else {
      this.#refuse(new Map(), finding);
      this.abandon();
    }
    return true;
  }

  /** Never rejects for what is wrong with the versions: that is noted. */
  async run(): Promise<void> {
    if (this.isAbandoned) return;
    try {
      const sources = await this.#admitAll();
      if (sources === undefined || !this.#passes(sources)) return;
      await this.#untilResumed();
      await this.#takeOver(sources);
    } catch (error) {
      if (!this.isAbandoned) this.#refuse(new Map(), toFinding(error));
    }
  }

  /** Undefined: one of them is refused, and so are all. */
  async #admitAll(): Promise<readonly GenerationSource[] | undefined> {
    const results = await Promise.all(
      this.order.bundles.map(async (bundle) => [bundle, await this.#admit(bundle)] as const),
    );
    if (this.isAbandoned) return undefined;
    const refused = results.flatMap(([{ hash }, result]) => (result.ok ? [] : [[hash, result.findings] as const]));
    if (refused.length > 0) {
      this.#refuse(new Map(refused), makeFinding('BEDS_ROLLOUT_TOGETHER'));
      return undefined;
    }
    return results.flatMap(([, result]) => {
      if (!result.ok) return [];
      const source = { ...result.source, id: this.#deps.nextGeneration() };
      this.#generations.set(source.hash, source.id);
      return [source];
    });
  }

  /** What the DBA can still deliver is waited for, line by line; anything else that is found refuses the version. */
  async #admit(bundle: BundleBytes): Promise<AdmissionResult> {
    const { admission, quarantine } = this.#deps;
    const { signal } = this.#aborter;
    const banned = quarantine.reason(bundle.hash);
    if (banned !== undefined) return { ok: false, step: 'stage', findings: [banned] };
    let result = await admit(bundle, admission, {
      signal,
      onProgress: (state) => {
        this.#note(bundle, state);
      },
    });
    let noted = '';
    while (!result.ok && result.step === 'preflight' && isDeliverable(result.findings) && !signal.aborted) {
      const { findings } = result;
      if (noted !== JSON.stringify(findings)) this.#wait(bundle, findings);
      noted = JSON.stringify(findings);
      await sleep(RETRY_MS, signal);
      if (!signal.aborted) result = await this.#askDatabaseAgain(result.probed);
    }
    return result;
  }

  async #askDatabaseAgain(probed: ProbedSource): Promise<AdmissionResult> {
    const { objects, findings } = await preflight(probed.manifest, this.#deps.admission.stores);
    if (findings.length > 0) return { ok: false, step: 'preflight', findings, probed };
    return { ok: true, source: { ...probed, objects } };
  }

  #passes(sources: readonly GenerationSource[]): boolean {
    const { plan, cause } = this.order;
    if (plan.allowBreaking || UNGATED.has(cause)) return true;
    const broken = sources.flatMap((source) => {
      const findings = this.#deps.breaks(source);
      return findings.length === 0 ? [] : [[source.hash, findings] as const];
    });
    if (broken.length > 0) this.#refuse(new Map(broken), makeFinding('BEDS_ROLLOUT_TOGETHER'));
    return broken.length === 0;
  }

  /** `promote` of one domain does not speak for another of the same rollout that is paused. */
  async #untilResumed(): Promise<void> {
    const { signal } = this.#aborter;
    const isPaused = (): boolean => this.domains.some((domain) => this.#deps.isPaused(domain));
    if (!PAUSABLE.has(this.order.cause)) return;
    for (let isNoted = false; isPaused(); isNoted = true) {
      const resumed = once(this.#events, 'resumed', { signal });
      if (!isNoted) this.#waitAll(makeFinding('BEDS_ROLLOUT_PAUSED'));
      await resumed;
    }
  }

  async #takeOver(sources: readonly GenerationSource[]): Promise<void> {
    const { rollouts } = this.#deps;
    await this.#prepare(sources);
    const remarks = new Map(sources.map((source) => [source.id, this.#deps.remarks(source, this.order.cause)]));
    const flipMs = await this.#flip(sources).catch(async (error: unknown) => {
      await rollouts.discard(sources);
      await rollouts.withdrawCandidates(sources);
      throw error;
    });
    if (flipMs === undefined) return;
    for (const source of sources) {
      const findings = [...(remarks.get(source.id) ?? []), ...this.#deps.shadows.findings(source.id)];
      this.#noteSource(source, 'active', {
        flipMs: Math.round(flipMs * 100) / 100,
        ...(findings.length === 0 ? {} : { findings }),
      });
      this.#deps.onActive(source, this.order.cause);
    }
  }

  /** Undefined: they did not hold. */
  async #flip(sources: readonly GenerationSource[]): Promise<number | undefined> {
    // Once more: they may have been paused while the threads prepared them.
    await this.#untilResumed();
    if (!(await this.#holds(sources))) return undefined;
    const { flipMs } = await this.#deps.rollouts.activate(sources, () => {
      if (this.order.isWanted?.() === false) this.abandon();
      this.#aborter.signal.throwIfAborted();
      this.#isTakingOver = true;
    });
    return flipMs;
  }

  /** A RabbitMQ that is away is waited for: nothing of the versions has run then. */
  async #prepare(sources: readonly GenerationSource[]): Promise<void> {
    const { signal } = this.#aborter;
    for (let isNoted = false; ; isNoted = true) {
      try {
        await this.#deps.rollouts.prepare(sources, signal);
        for (const source of sources) this.#noteSource(source, 'prepared');
        return;
      } catch (error) {
        if (signal.aborted || !isRabbitAway(error)) throw error;
        if (!isNoted) this.#waitAll(toFinding(error));
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  /** Whether the versions held as canaries; those that did not are out again and in quarantine. */
  async #holds(sources: readonly GenerationSource[]): Promise<boolean> {
    const { plan } = this.order;
    const { rollouts } = this.#deps;
    const isBeside = sources.some(({ manifest }) => rollouts.table.live.has(manifest.domain));
    if (this.#isHurried || !isBeside || (plan.canaryPercent === 0 && plan.shadowPercent === 0)) return true;
    this.#canary = this.#makeCanary(sources);
    try {
      const { shadowPercent, canaryPercent: percent } = plan;
      await rollouts.routeCandidates(sources, { percent, shadowPercent });
      this.#aborter.signal.throwIfAborted();
      for (const source of sources) this.#noteSource(source, 'canary');
      this.#events.emit('waiting');
      const verdict = await this.#canary.watch(this.#aborter.signal);
      if (verdict.kind === 'promote') return true;
      await rollouts.withdrawCandidates(sources);
      this.#condemn(sources, verdict.objections);
      return false;
    } finally {
      this.#canary = undefined;
    }
  }

  #makeCanary(sources: readonly GenerationSource[]): Canary {
    const { settings, observer, shadows, rollouts, admission, isRabbitUp, onCanaryWaits } = this.#deps;
    const { plan } = this.order;
    return new Canary({
      ...{ plan, settings, observer, shadows },
      surroundings: new Surroundings({ sources: this.#needed(sources), stores: admission.stores, isRabbitUp }),
      onWait: (reason) => {
        for (const source of sources) onCanaryWaits(source, reason);
      },
      pairs: sources.map(({ id, manifest: { domain } }) => ({
        domain,
        candidate: id,
        active: rollouts.table.live.get(domain)?.source.id,
      })),
      widen: (percent) => rollouts.routeCandidates(sources, { percent, shadowPercent: plan.shadowPercent }),
    });
  }

  /** These and what they call, and so on. */
  #needed(sources: readonly GenerationSource[]): readonly GenerationSource[] {
    const needed = new Map(sources.map((source) => [source.manifest.domain, source]));
    // n.b. a map gives what is added to it meanwhile as well.
    for (const { manifest } of needed.values()) {
      for (const domain of manifest.domains) {
        const called = this.#deps.rollouts.table.live.get(domain)?.source;
        if (called !== undefined && !needed.has(domain)) needed.set(domain, called);
      }
    }
    return [...needed.values()];
  }

  /** What did harm is quarantined; what an operator ended, or what came with it, is only refused. */
  #condemn(sources: readonly GenerationSource[], objections: readonly Objection[]): void {
    this.#isRefused = true;
    for (const source of sources) {
      const { hash, manifest } = source;
      const own = objections.filter(({ domain }) => domain === undefined || domain === manifest.domain);
      const findings = own.length === 0 ? [makeFinding('BEDS_ROLLOUT_TOGETHER')] : own.map(({ finding }) => finding);
      const harm = own.find(({ finding }) => HARM.has(finding.code))?.finding;
      if (harm !== undefined) this.#deps.quarantine.add({ ...manifest, hash }, harm);
      this.#noteSource(source, harm === undefined ? 'rejected' : 'quarantined', { findings });
    }
  }

  #refuse(findings: ReadonlyMap<string, readonly Finding[]>, otherwise: Finding): void {
    this.#isRefused = true;
    for (const bundle of this.order.bundles) {
      const own = findings.get(bundle.hash) ?? [otherwise];
      const { quarantine } = this.#deps;
      const fatal = own.find(({ code }) => code === FATAL);
      if (fatal !== undefined) quarantine.add({ ...bundle.manifest, hash: bundle.hash }, fatal);
      // It may have been blamed meanwhile for what ended its rollout.
      const isBanned = quarantine.reason(bundle.hash) !== undefined;
      this.#note(bundle, isBanned ? 'quarantined' : 'rejected', { findings: own });
    }
  }

  #waitAll(finding: Finding): void {
    for (const bundle of this.order.bundles) this.#wait(bundle, [finding]);
  }

  #wait(bundle: BundleBytes, findings: readonly Finding[]): void {
    this.#note(bundle, 'waiting', { findings });
    this.#events.emit('waiting');
  }

  #noteSource(source: GenerationSource, state: LifecycleState, more: Partial<Transition> = {}): void {
    this.#note(source, state, more);
  }

  #note(bundle: Pick<BundleBytes, 'hash' | 'manifest'>, state: LifecycleState, more: Partial<Transition> = {}): void {
    const { domain, version } = bundle.manifest;
    const { cause, completeAt } = this.order;
    const generation = this.#generations.get(bundle.hash);
    this.#deps.onTransition({
      ...{ domain, version, hash: bundle.hash, state, cause },
      ms: Date.now() - completeAt,
      ...(generation === undefined ? {} : { generation }),
      ...more,
    });
  }
}
