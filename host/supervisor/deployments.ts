import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { Finding, GenerationSource } from '../generation/contract.js';
import type { LifecycleState } from '../generation/lifecycle.js';
import { publishFault } from '../observe/channels.js';
import { admit, type AdmissionDeps, type AdmissionResult, type ProbedSource } from './admission/admit.js';
import type { Drop, DropHandlers, RefusedDrop, RemovedDrop } from './admission/contract.js';
import { preflight } from './admission/preflight.js';
import { type BundleBytes, loadStaged } from './admission/stage.js';
import type { Rollouts } from './rollout/rollouts.js';

/** A version changed its state. */
export interface Transition {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly state: LifecycleState;
  readonly generation?: number;
  readonly findings?: readonly Finding[];
  readonly ms?: number;
}

export interface DeploymentsOptions {
  readonly admission: AdmissionDeps;
  readonly rollouts: Rollouts;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
  readonly onTransition: (transition: Transition) => void;
  /** What did not serve is no longer in the plugin directory; `domain` is the entry's name where the bundle named none. */
  readonly onWithdrawn: (domain: string) => void;
}

/** One version on its way. */
interface Deployment {
  readonly bytes: BundleBytes;
  readonly domain: string;
  readonly version: string;
  readonly completeAt: number;
  readonly aborter: AbortController;
  /** Emits 'waiting' when the database or RabbitMQ is away. */
  readonly events: EventEmitter<{ waiting: [] }>;
}

/** What is under way for a domain, one after the other. */
interface Work {
  /** Over, or waiting for a server. */
  readonly decided: Promise<void>;
  readonly done: Promise<void>;
}

const RETRY_MS = 1_000;

/** Takes what happens in the plugin directory and sees it through: one rollout a domain at a time, the latest wins. */
export class Deployments implements DropHandlers {
  readonly #options: DeploymentsOptions;
  readonly #current = new Map<string, Work>();
  readonly #entries = new Map<string, string>();
  readonly #refused = new Set<string>();
  /** Begun, queued or waiting; every one of them can be abandoned. */
  readonly #unfinished = new Set<Deployment>();
  #nextGeneration = 1;
  #closed = false;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
  }

  complete(drop: Drop): void {
    this.#entries.set(drop.entry, drop.hash);
    this.#refused.delete(drop.hash);
    this.#begin(drop, drop.completeAt);
  }

  refused(drop: RefusedDrop, findings: readonly Finding[]): void {
    this.#options.onTransition({
      domain: drop.domain ?? drop.entry,
      version: drop.version ?? 'unknown',
      hash: drop.hash ?? '',
      state: 'rejected',
      findings,
    });
  }

  removed({ entry, domain, hash, others }: RemovedDrop): void {
    this.#entries.delete(entry);
    // Renamed, or there twice: the same bytes are still in the directory.
    if (others.some((other) => this.#entries.get(other) === hash)) return;
    this.#abandon((deployment) => deployment.domain === domain && deployment.bytes.hash === hash);
    const live = this.#options.rollouts.live.get(domain)?.source.hash;
    if (live !== hash) this.#options.onWithdrawn(domain);
    const remaining = others.flatMap((other) => this.#entries.get(other) ?? []);
    // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
    const fallback = remaining.findLast((other) => !this.#refused.has(other));
    if (remaining.length === 0) this.#afterCurrent(domain, () => this.#retire(domain));
    else if (fallback !== undefined && !this.#isOnItsWay(fallback) && (live === undefined || !remaining.includes(live)))
      this.#afterCurrent(domain, () => this.#restore(fallback));
  }

  withdrawn({ domain, entry }: RefusedDrop): void {
    this.#options.onWithdrawn(domain ?? entry);
  }

  error(error: unknown): void {
    publishFault({ where: 'plugin directory', error });
  }

  /** Bundles that are in the plugin directory, whether they serve or not. */
  get present(): readonly string[] {
    return [...this.#entries.values()];
  }

  /** Resolves when every version that is on its way serves, is refused or waits for its database. */
  async decided(): Promise<void> {
    await Promise.all([...this.#current.values()].map(({ decided }) => decided));
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#current.size > 0) await Promise.all([...this.#current.values()].map(({ done }) => done));
  }

  /** Abandons what is on its way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#abandon(() => true);
    await this.settled();
  }

  /** Waits for a RabbitMQ that is away; until then the domain is served as before. */
  async #retire(domain: string): Promise<void> {
    for (let isNoted = false; !this.#closed; isNoted = true) {
      try {
        await this.#options.rollouts.retire(domain);
        return;
      } catch (error) {
        if (!isRabbitAway(error)) throw error;
        if (!isNoted) publishFault({ where: `retirement of ${domain}, which waits for RabbitMQ`, error, domain });
        await delay(RETRY_MS);
      }
    }
  }

  async #restore(hash: string): Promise<void> {
    const bytes = await loadStaged(hash, this.#options.admission.stageDirectory);
    this.#begin(bytes, Date.now());
  }

  #begin(bytes: BundleBytes, completeAt: number): void {
    const { domain, version } = bytes.manifest;
    if (this.#options.rollouts.live.get(domain)?.source.hash === bytes.hash && !this.#current.has(domain)) return;
    const deployment: Deployment = {
      ...{ bytes, domain, version, completeAt },
      aborter: new AbortController(),
      events: new EventEmitter(),
    };
    this.#abandon((older) => older.domain === domain);
    this.#unfinished.add(deployment);
    this.#afterCurrent(domain, () => this.#deploy(deployment), deployment);
  }

  #abandon(which: (deployment: Deployment) => boolean): void {
    for (const deployment of this.#unfinished) {
      if (which(deployment)) deployment.aborter.abort();
    }
  }

  #isOnItsWay(hash: string): boolean {
    return [...this.#unfinished].some(({ bytes, aborter }) => bytes.hash === hash && !aborter.signal.aborted);
  }

  /** Runs work for a domain after what is under way for it. Work never overlaps within a domain. */
  #afterCurrent(domain: string, work: () => Promise<void>, deployment?: Deployment): void {
    if (this.#closed) return;
    const before = this.#current.get(domain);
    const done = (before?.done ?? Promise.resolve())
      .then(work)
      .catch((error: unknown) => {
        publishFault({ where: `rollout of ${domain}`, error, domain });
      })
      .finally(() => {
        if (deployment !== undefined) this.#unfinished.delete(deployment);
        if (this.#current.get(domain)?.done === done) this.#current.delete(domain);
      });
    const waiting = deployment === undefined ? [] : [once(deployment.events, 'waiting')];
    this.#current.set(domain, { done, decided: Promise.race([done, ...waiting]).then(() => undefined) });
  }

  async #deploy(deployment: Deployment): Promise<void> {
    const { signal } = deployment.aborter;
    if (signal.aborted) return;
    if (!this.#options.serves(deployment.domain)) return;
    const result = await this.#admit(deployment);
    if (!result.ok) {
      if (!signal.aborted) this.#note(deployment, 'rejected', { findings: result.findings });
      return;
    }
    const source: GenerationSource = { ...result.source, id: this.#nextGeneration++ };
    try {
      await this.#activate(source, deployment);
    } catch (error) {
      if (!signal.aborted) this.#note(deployment, 'rejected', { findings: [toFinding(error)], generation: source.id });
    }
  }

  /** A RabbitMQ that is away is waited for: nothing of the version has run then. */
  async #activate(source: GenerationSource, deployment: Deployment): Promise<void> {
    const { signal } = deployment.aborter;
    for (let isNoted = false; ; isNoted = true) {
      try {
        await this.#options.rollouts.activate(source, signal, deployment.completeAt);
        return;
      } catch (error) {
        if (signal.aborted || !isRabbitAway(error)) throw error;
        if (!isNoted) this.#note(deployment, 'waiting', { findings: [toFinding(error)], generation: source.id });
        deployment.events.emit('waiting');
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  /** What the DBA can still deliver is waited for, line by line; anything else that the preflight finds refuses the version. */
  async #admit(deployment: Deployment): Promise<AdmissionResult> {
    const { signal } = deployment.aborter;
    const { admission } = this.#options;
    let result = await admit(deployment.bytes, admission, {
      signal,
      onProgress: (state) => {
        this.#note(deployment, state);
      },
    });
    let noted = '';
    while (!result.ok && result.step === 'preflight' && isDeliverable(result.findings) && !signal.aborted) {
      const { findings } = result;
      if (noted !== JSON.stringify(findings)) this.#note(deployment, 'waiting', { findings });
      noted = JSON.stringify(findings);
      deployment.events.emit('waiting');
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      result = await this.#askDatabaseAgain(result.probed);
    }
    return result;
  }

  async #askDatabaseAgain(probed: ProbedSource): Promise<AdmissionResult> {
    const { objects, findings } = await preflight(probed.manifest, this.#options.admission.stores);
    if (findings.length > 0) return { ok: false, step: 'preflight', findings, probed };
    return { ok: true, source: { ...probed, objects } };
  }

  #note(
    deployment: Deployment,
    state: LifecycleState,
    more: { findings?: readonly Finding[]; generation?: number } = {},
  ): void {
    const { domain, version, bytes, completeAt } = deployment;
    if (state === 'rejected') this.#refused.add(bytes.hash);
    this.#options.onTransition({ domain, version, hash: bytes.hash, state, ms: Date.now() - completeAt, ...more });
  }
}

/** What needs no change of the bundle: a database that is away, an object, a column or a grant that is missing. */
const DELIVERABLE: ReadonlySet<string> = new Set([
  'BEDS_ADMISSION_STORE_UNAVAILABLE',
  'BEDS_PREFLIGHT_OBJECT_MISSING',
  'BEDS_PREFLIGHT_COLUMN_MISSING',
  'BEDS_PREFLIGHT_GRANT_MISSING',
]);

function isDeliverable(findings: readonly Finding[]): boolean {
  return findings.length > 0 && findings.every(({ code }) => DELIVERABLE.has(code));
}

function isRabbitAway(error: unknown): boolean {
  return isBedsError(error) && error.code === 'BEDS_AMQP_UNAVAILABLE';
}

function toFinding(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  return { code: isBedsError(error) ? error.code : 'BEDS_THREAD_PREPARE_FAILED', message };
}
