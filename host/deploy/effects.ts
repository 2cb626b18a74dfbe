import { setTimeout as delay } from 'node:timers/promises';
import { type BedsError, isBedsError, type Manifest } from '@beds/sdk';
import type { Config } from '../config/schema.js';
import type { Log } from '../observe/log.js';
import { publishFault } from '../observe/channels.js';
import { type Finding, type GenerationSource, makeFinding } from '../template/contract.js';
import { type AdmissionDeps, type AdmissionResult, type AdmissionWatch, admit, admitted } from './admit/admit.js';
import { preflight } from './admit/preflight.js';
import { type BundleBytes, loadStaged, stageBundle } from './admit/stage.js';
import { Canary, type CanaryProgress } from './watch/canary.js';
import type { CallerLedger } from './compatibility/caller-ledger.js';
import { compareManifests } from './compatibility/compare-manifests.js';
import { breakingFindings, joinCallers } from './compatibility/gate.js';
import type { Domains } from './domains.js';
import { domainOf, hashesInUse, isDecided, liveOf, rolloutOf } from './reconcile.js';
import type { Command, DeployEvent, Generation, Member, Passed, Retirement, Rollout } from './state.js';
import type { ThreadRoutes } from './thread-routes.js';
import type { RequestObserver } from './watch/request-observer.js';
import type { ShadowBoard } from './watch/shadow-board.js';
import { Surroundings } from './watch/surroundings.js';

export interface EffectsOptions {
  readonly domains: Domains;
  readonly routes: ThreadRoutes;
  readonly admission: Omit<AdmissionDeps, 'inUse'>;
  readonly settings: Config['rollout'];
  readonly defaultAccess: Config['security']['defaultAccess'];
  readonly observer: RequestObserver;
  readonly shadows: ShadowBoard;
  readonly isRabbitUp: () => boolean;
  readonly ledger: CallerLedger;
  readonly log: Log;
}

interface Running {
  readonly command: Command;
  readonly aborter: AbortController;
  readonly done: Promise<void>;
}

const RETRY_MS = 1_000;

/** The one place that acts: does what follows from the state, and says what came of it. */
export class Effects {
  readonly #options: EffectsOptions;
  readonly #running = new Map<string, Running>();
  /** Bytes that may not be in the stage yet, by hash. */
  readonly #bytes = new Map<string, BundleBytes>();
  /** What was admitted, by rollout and hash. */
  readonly #admitted = new Map<string, Omit<GenerationSource, 'id'>>();
  readonly #canaries = new Map<number, Canary>();
  readonly #awaiting = new Set<() => void>();
  /** Rollouts and generations that there were when it was last looked for what is over. */
  #there: ReadonlySet<string> = new Set();
  #isClosed = false;

  constructor(options: EffectsOptions) {
    this.#options = options;
    options.domains.onChange = () => this.sync();
  }

  /** Keeps the bytes of a version until the stage has them, or nobody wants them any more. */
  keep(bytes: BundleBytes): void {
    this.#bytes.set(bytes.hash, bytes);
  }

  /** What admission would say of a version that nobody deploys, and what callers of the serving one would lose by it. */
  async judge(
    bytes: BundleBytes,
  ): Promise<{ readonly findings: readonly Finding[]; readonly notices: readonly Finding[] }> {
    const { settings } = this.#options;
    const result = await admit(bytes, this.#admission);
    const lost = settings.breaking === 'allow' ? [] : this.#breaks(bytes.manifest);
    if (!result.ok) return { findings: [...result.findings, ...lost], notices: [] };
    return { findings: lost, notices: result.source.notices ?? [] };
  }

  progressOf(rollout: Rollout): CanaryProgress | undefined {
    return this.#canaries.get(rollout.id)?.progress;
  }

  /** Resolves when every version that is on its way serves, is refused, is observed or waits for somebody outside. */
  async decided(): Promise<void> {
    while (!isDecided(this.#options.domains.state) && !this.#isClosed) await this.#changed();
  }

  /** Begins what the state asks for, and ends what it does not ask for any more. */
  sync(): void {
    for (const wake of this.#awaiting) wake();
    this.#awaiting.clear();
    if (this.#isClosed) return;
    const { commands } = this.#options.domains;
    const wanted = new Set(commands.map(({ key }) => key));
    for (const [key, { aborter }] of this.#running) if (!wanted.has(key)) aborter.abort();
    for (const command of commands) {
      if (this.#running.has(command.key)) continue;
      const isBlocked = [...this.#running.values()].some((other) => isBlockedBy(command, other.command));
      if (!isBlocked) this.#start(command);
    }
    this.#forget();
  }

  /** Nothing new is begun; resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const wake of this.#awaiting) wake();
    for (const { aborter } of this.#running.values()) aborter.abort();
    while (this.#running.size > 0) await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#awaiting.add(resolve));
  }

  #start(command: Command): void {
    const aborter = new AbortController();
    const done = Promise.resolve()
      .then(() => this.#carryOut(command, aborter.signal))
      .catch((error: unknown) => {
        if (!aborter.signal.aborted) this.#failed(command, error);
      })
      .finally(() => {
        this.#running.delete(command.key);
        this.sync();
      });
    this.#running.set(command.key, { command, aborter, done });
  }

  async #carryOut(command: Command, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    switch (command.kind) {
      case 'admit':
        return this.#admit(command, signal);
      case 'prepare':
        return this.#prepare(command.rollout, signal);
      case 'trial':
        return this.#try(command.rollout, signal);
      case 'activate':
        return this.#activate(command.rollout);
      case 'withdraw':
        return this.#withdraw(command);
      case 'discard':
        return this.#options.routes.discard(command.generation.id);
      case 'hold':
        return this.#hold(command.generation);
      case 'release':
        return this.#release(command.generation);
      case 'withhold':
        return this.#withhold(command.domain);
      case 'retire':
        return this.#retire(command.retirement, signal);
      case 'stage':
        return this.#stage(command.hash);
    }
  }

  /** What a command that failed leaves, so that it is not begun again and again. */
  #failed(command: Command, error: unknown): void {
    switch (command.kind) {
      case 'admit':
      case 'prepare':
      case 'trial':
      case 'activate':
        return this.#tell({ kind: 'failed', rollout: command.rollout.id, finding: toFinding(error) });
      case 'withdraw':
        publishFault({ where: 'withdrawal of a canary', error });
        return this.#withdrawn(command);
      case 'discard':
        return this.#tell({ kind: 'discarded', generation: command.generation.id });
      case 'hold': {
        const { domain, id } = command.generation;
        publishFault({ where: `queues of ${domain}, whose version did harm`, error, domain });
        return this.#tell({ kind: 'held', domain, generation: id });
      }
      case 'release': {
        const { domain } = command.generation;
        publishFault({ where: `queues of ${domain}, whose version is allowed again`, error, domain });
        return this.#tell({ kind: 'held', domain, generation: undefined });
      }
      case 'withhold':
        publishFault({ where: `withholding of ${command.domain}`, error, domain: command.domain });
        return this.#tell({ kind: 'withhold', domain: command.domain, threads: {} });
      case 'retire': {
        const { id, domain } = command.retirement;
        publishFault({ where: `rollout of ${domain}`, error, domain });
        return this.#tell({ kind: 'retirement-done', retirement: id });
      }
      case 'stage':
        publishFault({ where: 'stage of a superseded version', error });
        return this.#tell({ kind: 'staged', hash: command.hash });
    }
  }

  #tell(event: DeployEvent): void {
    this.#options.domains.dispatch(event);
  }

  /** What the DBA can still deliver is waited for, line by line; anything else that is found refuses the version. */
  async #admit({ rollout, member }: { rollout: Rollout; member: Member }, signal: AbortSignal): Promise<void> {
    const { hash } = member;
    const about = { rollout: rollout.id, hash };
    const tell = (event: DeployEvent): void => {
      if (!signal.aborted) this.#tell(event);
    };
    const bytes = await this.#bytesOf(member);
    if (bytes === undefined) {
      tell({ ...about, kind: 'missing' });
      return;
    }
    // The outcome of the probe is reported with the next state.
    let passed: Passed['passed'] = [];
    const onProgress: AdmissionWatch['onProgress'] = (state) => {
      if (state === 'probed') passed = [state];
      else tell({ ...about, kind: 'progress', passed: [state] });
    };
    let result = await this.#admitOnceStaged(bytes, { signal, onProgress }, (finding) => {
      tell({ ...about, kind: 'waits', findings: [finding], passed });
    });
    for (let noted = ''; !signal.aborted && isWaiting(result);) {
      const { findings } = result;
      const text = JSON.stringify(findings);
      if (text !== noted) tell({ ...about, kind: 'waits', findings, passed });
      noted = text;
      passed = [];
      await delay(RETRY_MS, undefined, { signal });
      result = await this.#askDatabaseAgain(result);
    }
    if (!result.ok) {
      tell({ ...about, kind: 'refused', findings: result.findings, passed });
      return;
    }
    if (signal.aborted) return;
    const { domain, version, peers } = bytes.manifest;
    for (const { code, message } of result.source.notices ?? []) {
      this.#options.log.warn({ domain, version, code }, message);
    }
    this.#admitted.set(`${rollout.id} ${hash}`, result.source);
    tell({ ...about, kind: 'admitted', findings: this.#breaks(bytes.manifest), peers, passed });
  }

  /** Waits for a stage that takes nothing now: a disk that is full is no fault of the bundle. */
  async #admitOnceStaged(
    bytes: BundleBytes,
    watch: AdmissionWatch & { readonly signal: AbortSignal },
    onWait: (finding: Finding) => void,
  ): Promise<AdmissionResult> {
    for (let isNoted = false; ; isNoted = true) {
      try {
        return await admit(bytes, this.#admission, watch);
      } catch (error) {
        if (watch.signal.aborted || !isStageAway(error)) throw error;
        if (!isNoted) onWait(makeFinding('BEDS_ADMISSION_STAGE_UNWRITABLE', error.message));
        await delay(RETRY_MS, undefined, { signal: watch.signal });
      }
    }
  }

  /** What callers of the serving version lose; empty: nothing. */
  #breaks(next: Manifest): readonly Finding[] {
    const live = this.#options.routes.liveSource(next.domain)?.manifest;
    if (live === undefined) return [];
    const { ledger, defaultAccess } = this.#options;
    return breakingFindings(joinCallers(compareManifests(live, next, defaultAccess), next.domain, ledger));
  }

  get #admission(): AdmissionDeps {
    return { ...this.#options.admission, inUse: hashesInUse(this.#options.domains.state) };
  }

  async #askDatabaseAgain({ probed }: WaitingResult): Promise<AdmissionResult> {
    const flight = await preflight(probed.manifest, this.#options.admission.stores);
    const { findings } = flight;
    if (findings.length > 0) return { ok: false, step: 'preflight', findings, probed };
    return { ok: true, source: admitted(probed, flight) };
  }

  async #bytesOf({ domain, hash }: Pick<Member, 'domain' | 'hash'>): Promise<BundleBytes | undefined> {
    const kept = this.#bytes.get(hash);
    if (kept !== undefined) return kept;
    try {
      return await loadStaged(hash, this.#options.admission.stageDirectory);
    } catch (error) {
      publishFault({ where: `staged copy ${hash}`, error, domain });
      return undefined;
    }
  }

  /** A RabbitMQ that is away is waited for: nothing of the versions has run then. */
  async #prepare(rollout: Rollout, signal: AbortSignal): Promise<void> {
    const { routes } = this.#options;
    const sources = this.#sourcesOf(rollout);
    for (const source of sources) routes.add(source);
    for (let isNoted = false; ; isNoted = true) {
      try {
        await routes.prepare(sources, signal);
        this.#tell({ kind: 'prepared', rollout: rollout.id });
        return;
      } catch (error) {
        if (signal.aborted || !isRabbitAway(error)) throw error;
        if (!isNoted) this.#tell({ kind: 'rabbit-away', rollout: rollout.id, finding: toFinding(error) });
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  async #try(rollout: Rollout, signal: AbortSignal): Promise<void> {
    const { routes } = this.#options;
    const { id, plan } = rollout;
    const sources = this.#sourcesOf(rollout);
    const canary = this.#makeCanary(rollout, sources);
    this.#canaries.set(id, canary);
    try {
      await routes.routeCandidates(id, sources, plan.canaryPercent);
      signal.throwIfAborted();
      this.#tell({ kind: 'trial-begun', rollout: id });
      const objections = await canary.watch(signal);
      if (!signal.aborted) this.#tell({ kind: 'verdict', rollout: id, objections });
    } finally {
      this.#canaries.delete(id);
    }
  }

  #makeCanary({ id, plan }: Rollout, sources: readonly GenerationSource[]): Canary {
    const { settings, observer, shadows, routes, admission, isRabbitUp, log } = this.#options;
    return new Canary({
      plan,
      settings,
      observer,
      shadows,
      isHeld: () => rolloutOf(this.#options.domains.state, id)?.isHeld === true,
      surroundings: new Surroundings({ sources: this.#needed(sources), stores: admission.stores, isRabbitUp }),
      onWait: (reason) => {
        for (const { hash, manifest } of sources) {
          const { domain, version } = manifest;
          const fields = { domain, version, hash, reason };
          if (reason === undefined) log.info(fields, `${domain} ${version} canary goes on`);
          else log.warn(fields, `${domain} ${version} canary waits: ${reason}`);
        }
      },
      pairs: sources.map(({ id: candidate, manifest: { domain } }) => ({
        domain,
        candidate,
        active: domainOf(this.#options.domains.state, domain).live,
      })),
      widen: (percent) => routes.routeCandidates(id, sources, percent),
    });
  }

  /** These and what they call, and so on. */
  #needed(sources: readonly GenerationSource[]): readonly GenerationSource[] {
    const needed = new Map(sources.map((source) => [source.manifest.domain, source]));
    // n.b. a map gives what is added to it meanwhile as well.
    for (const { manifest } of needed.values()) {
      for (const domain of manifest.peers) {
        const called = this.#options.routes.liveSource(domain);
        if (called !== undefined && !needed.has(domain)) needed.set(domain, called);
      }
    }
    return [...needed.values()];
  }

  async #activate(rollout: Rollout): Promise<void> {
    const { routes, shadows } = this.#options;
    const sources = this.#sourcesOf(rollout);
    const flipMs = await routes.activate(rollout.id, sources);
    if (flipMs === undefined) return;
    const isShadowed = rollout.plan.shadowPercent > 0;
    const findings = isShadowed ? Object.fromEntries(sources.map(({ id }) => [id, shadows.findings(id)])) : {};
    this.#tell({ kind: 'flipped', rollout: rollout.id, flipMs, findings });
  }

  async #withdraw(command: Extract<Command, { kind: 'withdraw' }>): Promise<void> {
    await this.#options.routes.withdrawCandidates(command.generations.map(({ id }) => id));
    this.#withdrawn(command);
  }

  #withdrawn({ owner = 0, generations }: Extract<Command, { kind: 'withdraw' }>): void {
    this.#tell({ kind: 'candidates-out', generations: generations.map(({ id }) => id), threads: {} });
    this.#tell({ kind: 'candidates-gone', rollout: owner });
  }

  async #hold({ domain, id }: Generation): Promise<void> {
    await this.#options.routes.hold(domain, id);
    this.#tell({ kind: 'held', domain, generation: id });
  }

  async #release({ domain }: Generation): Promise<void> {
    await this.#options.routes.release(domain);
    this.#tell({ kind: 'held', domain, generation: undefined });
  }

  async #withhold(domain: string): Promise<void> {
    const { routes } = this.#options;
    const known = routes.manifestOf(domain);
    const { state } = this.#options.domains;
    // n.b. the first version of a domain has taken over before it is written down as one that served.
    const live = liveOf(state, domain);
    const served = domainOf(state, domain).served.map(({ hash }) => hash);
    for (const hash of live === undefined ? served : [live.hash].concat(served)) {
      const manifest = known ?? (await this.#bytesOf({ domain, hash }))?.manifest;
      if (manifest !== undefined) return routes.withhold(manifest, hash);
    }
    this.#tell({ kind: 'withhold', domain, threads: {} });
  }

  /** Waits for a RabbitMQ that is away. */
  async #retire({ id, domain, why }: Retirement, signal: AbortSignal): Promise<void> {
    for (let isNoted = false; ; isNoted = true) {
      try {
        await this.#options.routes.retire(domain, why);
        this.#tell({ kind: 'retirement-done', retirement: id });
        return;
      } catch (error) {
        if (!isRabbitAway(error)) throw error;
        if (!isNoted) publishFault({ where: `retirement of ${domain}, which waits for RabbitMQ`, error, domain });
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  async #stage(hash: string): Promise<void> {
    const bytes = this.#bytes.get(hash);
    if (bytes !== undefined) await stageBundle(bytes, this.#options.admission.stageDirectory);
    this.#tell({ kind: 'staged', hash });
  }

  #sourcesOf({ id, members }: Rollout): readonly GenerationSource[] {
    return members.flatMap(({ hash, generation }) => {
      const source = this.#admitted.get(`${id} ${hash}`);
      return source === undefined || generation === undefined ? [] : [{ ...source, id: generation }];
    });
  }

  /** Bytes and code are large: they go as soon as nothing needs them. */
  #forget(): void {
    const { queue, generations, toStage } = this.#options.domains.state;
    const members = queue.flatMap((item) => (item.kind === 'rollout' ? item.members : []));
    const there = new Set([...queue.map(({ id }) => `rollout ${String(id)}`), ...Object.keys(generations)]);
    const isSomethingOver = [...this.#there].some((each) => !there.has(each));
    this.#there = there;
    if (isSomethingOver) {
      const rollouts = new Set(queue.map(({ id }) => id));
      for (const key of this.#admitted.keys()) if (!rollouts.has(Number.parseInt(key, 10))) this.#admitted.delete(key);
      const numbers = [
        ...Object.keys(generations).map(Number),
        ...members.flatMap(({ generation }) => generation ?? []),
      ];
      this.#options.routes.keepSources(new Set(numbers));
    }
    if (this.#bytes.size === 0) return;
    const needed = new Set(members.map(({ hash }) => hash).concat(toStage));
    for (const hash of this.#bytes.keys()) if (!needed.has(hash)) this.#bytes.delete(hash);
  }
}

/** One owner acts in a place at a time, and does one thing at a time; it may admit several versions at once. */
export function isBlockedBy({ owner, places, kind }: Command, running: Command): boolean {
  if (owner !== undefined && running.owner === owner) return running.kind !== kind || kind !== 'admit';
  return running.places.some((place) => places.includes(place));
}

type WaitingResult = Extract<AdmissionResult, { step: 'preflight' }>;

function isWaiting(result: AdmissionResult): result is WaitingResult {
  return !result.ok && result.step === 'preflight' && result.findings.every(({ code }) => DELIVERABLE.has(code));
}

/** What needs no change of the bundle: a database that is away, an object, a column or a grant that is missing. */
const DELIVERABLE: ReadonlySet<string> = new Set([
  'BEDS_ADMISSION_STORE_UNAVAILABLE',
  'BEDS_PREFLIGHT_OBJECT_MISSING',
  'BEDS_PREFLIGHT_COLUMN_MISSING',
  'BEDS_PREFLIGHT_GRANT_MISSING',
]);

function isStageAway(error: unknown): error is BedsError {
  return isBedsError(error) && error.code === 'BEDS_ADMISSION_STAGE_UNWRITABLE';
}

function isRabbitAway(error: unknown): boolean {
  return isBedsError(error) && error.code === 'BEDS_AMQP_UNAVAILABLE';
}

function toFinding(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  return { code: isBedsError(error) ? error.code : 'BEDS_THREAD_PREPARE_FAILED', message };
}
