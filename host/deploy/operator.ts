import { join } from 'node:path';
import type { Manifest } from '@beds/sdk';
import { rolloutErrors } from '../errors/rollout.js';
import type { Config } from '../config/schema.js';
import { makeFinding } from '../template/contract.js';
import type { BundleFiles, Operations, QuarantineView, Receipt } from '../admin/contract.js';
import type { DomainView, Inspections, RunView, StrikeView } from '../admin/views.js';
import { type BundleBytes, loadStaged, type StagedBundle } from './admit/stage.js';
import type { CallerLedger } from './compatibility/caller-ledger.js';
import { diffVersions, type VersionDiff } from './compatibility/gate.js';
import type { CanaryProgress } from './watch/canary.js';
import type { Domains } from './domains.js';
import type { Effects } from './effects.js';
import {
  domainOf,
  generationOf,
  isNamed,
  isQuarantined,
  liftedBy,
  liveOf,
  makePlan,
  pendingOf,
  STRAYS,
  strikesOf,
} from './reconcile.js';
import { receiveBundle } from './sources/receive-bundle.js';
import { type Cause, type Domain, type RolloutOptions, type ServedVersion } from './state.js';
import type { ThreadRoutes } from './thread-routes.js';
import { type Outcome, ownFailures, percentile95Ms, strayFaults } from './watch/guard.js';
import type { SideView, CanaryView, DeclaredObject } from '../admin/shown.js';

export interface OperatorOptions {
  readonly domains: Domains;
  readonly effects: Effects;
  readonly routes: ThreadRoutes;
  readonly ledger: CallerLedger;
  readonly config: Config;
  /** `state.directory`, absolute. */
  readonly directory: string;
}

type Named = Pick<ServedVersion, 'hash' | 'version'>;

/** What goes back is no rollout that `rollback` ends. */
const GOING_BACK: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine', 'rollback', 'restore']);

/** These bring no other version. */
const BESIDE: ReadonlySet<Cause> = new Set(['boot', 'refresh']);
/** Of each domain, where only their names are told. */
const MAX_NAMED_CLIENTS = 10;

/** What a person may order of this host, and ask it: events for the state, and views of it. */
export class Operator implements Operations, Inspections {
  readonly #options: OperatorOptions;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  // Orders.

  async deploy(bundles: readonly BundleFiles[], options: RolloutOptions): Promise<readonly Receipt[]> {
    const { domains, effects, config, directory } = this.#options;
    const received: BundleBytes[] = [];
    for (const files of bundles) received.push(await receiveBundle(files, { directory, limits: config.plugins }));
    const twice = received.find(({ manifest }, index) =>
      received.slice(0, index).some((other) => other.manifest.domain === manifest.domain),
    );
    if (twice !== undefined) {
      const words = `Domain ${twice.manifest.domain} is in this deploy twice; it can have one version.`;
      throw rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', words);
    }
    const served = received.filter(({ manifest }) => domains.rules.serves(manifest.domain));
    if (served.length === 0) throw rolloutErrors.make('BEDS_ROLLOUT_NOT_SERVED');
    for (const bytes of served) effects.keep(bytes);
    const versions = served.map(({ hash, manifest: { domain, version } }) => ({ domain, version, hash }));
    domains.dispatch({ kind: 'deploy', versions, plan: makePlan(config.rollout, options) });
    return versions.map((each) => receiptOf(each, 'is on its way.'));
  }

  async check(bundles: readonly BundleFiles[]): Promise<readonly Receipt[]> {
    const { domains, effects, config, directory } = this.#options;
    const received: BundleBytes[] = [];
    for (const files of bundles) received.push(await receiveBundle(files, { directory, limits: config.plugins }));
    // n.b. a node of another role has not the stores of the domain, and nothing to say of it.
    const served = received.filter(({ manifest }) => domains.rules.serves(manifest.domain));
    if (served.length === 0) throw rolloutErrors.make('BEDS_ROLLOUT_NOT_SERVED');
    const judged = await Promise.all(served.map((bytes) => effects.judge(bytes)));
    const findings = judged.flatMap((each) => each.findings);
    if (findings.length > 0) throw Object.assign(rolloutErrors.make('BEDS_ROLLOUT_CHECK_FAILED'), { findings });
    return served.map(({ hash, manifest: { domain, version } }, index) => {
      const notices = judged[index]?.notices ?? [];
      const receipt = receiptOf({ domain, version, hash }, 'would serve.');
      return notices.length === 0 ? receipt : { ...receipt, notices };
    });
  }

  rollback(domain: string, version?: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const { domains } = this.#options;
      const pending = pendingOf(this.#state, domain);
      const member = pending?.members.find((each) => each.domain === domain);
      const isNew = pending !== undefined && pending.stage !== 'flipped' && !GOING_BACK.has(pending.cause);
      if (isNew && member !== undefined && version === undefined) {
        const finding = makeFinding('BEDS_ROLLOUT_ROLLED_BACK');
        domains.dispatch({ kind: 'end', rollout: pending.id, finding, orderedFor: domain });
        return receiptOf(member, 'is taken out again; what served before goes on.');
      }
      const target = this.#target(domain, version);
      domains.dispatch({ kind: 'restore', domain, hash: target.hash });
      return receiptOf({ ...target, domain }, 'is on its way back.');
    });
  }

  promote(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const wasPaused = domainOf(this.#state, domain).paused;
      const member = pendingOf(this.#state, domain)?.members.find((each) => each.domain === domain);
      this.#options.domains.dispatch({ kind: 'promote', domain });
      if (member !== undefined) return receiptOf(member, 'takes over.');
      if (!wasPaused) throw rolloutErrors.make('BEDS_ROLLOUT_NOTHING_PENDING');
      return this.#live(domain, 'serves; new versions take over again.');
    });
  }

  pause(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const pending = pendingOf(this.#state, domain);
      const member = pending?.members.find((each) => each.domain === domain);
      this.#options.domains.dispatch({ kind: 'pause', domain });
      if (member !== undefined && pending?.stage === 'trial')
        return receiptOf(member, 'stays a canary until `beds promote`.');
      return this.#live(domain, 'stays; new versions wait until `beds promote`.');
    });
  }

  undeploy(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const answer = this.#live(domain, 'ends when the requests that it has are answered.');
      this.#options.domains.dispatch({ kind: 'retire', domain });
      return answer;
    });
  }

  lift(name: string): Promise<readonly Receipt[]> {
    const lifted = liftedBy(this.#state, name);
    if (lifted.length === 0) {
      const words = `Nothing in quarantine is named ${name}: give a hash, its first six digits or more, or a domain.`;
      const hint = '`beds quarantine` lists what is in quarantine.';
      return Promise.reject(rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', words, { hint }));
    }
    const receipts = lifted.map((each) => {
      const isWithheld = domainOf(this.#state, each.domain).withheld !== undefined;
      return receiptOf(each, isWithheld ? 'is allowed again and serves again.' : 'may be deployed again.');
    });
    this.#options.domains.dispatch({ kind: 'lift', name });
    return Promise.resolve(receipts);
  }

  async #answer(domain: string, order: () => Receipt): Promise<Receipt> {
    await Promise.resolve();
    const { live, trial, withheld, served } = domainOf(this.#state, domain);
    const isKnown = (live ?? trial ?? withheld) !== undefined || served.length > 0;
    if (!isKnown && pendingOf(this.#state, domain) === undefined) throw this.#unknown(domain);
    return order();
  }

  /** The version that an operator means: by its number or hash, or the newest that served before and may serve. */
  #target(domain: string, version: string | undefined): ServedVersion {
    const live = liveOf(this.#state, domain)?.hash;
    const { served } = domainOf(this.#state, domain);
    const others = served.filter(({ hash }) => hash !== live);
    const target = others.find((each) =>
      version === undefined ? !isQuarantined(this.#state, domain, each.hash) : isNamed(each, version),
    );
    if (target !== undefined) return target;
    const serving = served.find(({ hash }) => hash === live);
    const isLive = version !== undefined && serving !== undefined && isNamed(serving, version);
    const why = isLive ? [`${domain} ${serving.version} serves already.`] : [];
    const missing = version === undefined || isLive ? [] : [`No version ${version} of ${domain} is kept.`];
    const kept = [...new Set(others.map((each) => each.version))].join(', ');
    const rest = kept === '' ? `No other version of ${domain} is kept.` : `It may go back to ${kept}.`;
    throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', [...why, ...missing, rest].join(' '));
  }

  #live(domain: string, words: string): Receipt {
    const { version, hash } = liveOf(this.#state, domain) ??
      domainOf(this.#state, domain).served[0] ?? { version: '', hash: '' };
    return receiptOf({ domain, version, hash }, words);
  }

  // Questions.

  /** What this node runs, for the admin nodes. */
  get runs(): readonly RunView[] {
    return Object.keys(this.#state.domains).flatMap((domain) => {
      const { served, isServed, paused, origin } = domainOf(this.#state, domain);
      const live = liveOf(this.#state, domain);
      const [newest] = served;
      const shown = live ?? newest;
      const pending = pendingOf(this.#state, domain);
      const member = pending?.members.find((each) => each.domain === domain);
      const isOnItsWay = member !== undefined && pending?.stage !== 'flipped' && !BESIDE.has(pending?.cause ?? 'boot');
      if (shown === undefined) return [];
      const state = isServed ? (paused ? 'paused' : 'serve') : 'retired';
      return [
        {
          ...({ domain, hash: shown.hash, version: shown.version, state, origin } as const),
          ...(isServed && live === undefined ? { isDown: true as const } : {}),
          ...(isOnItsWay ? { pending: member.version } : {}),
        },
      ];
    });
  }

  get quarantined(): readonly QuarantineView[] {
    return Object.entries(this.#state.domains)
      .flatMap(([domain, { versions }]) =>
        Object.entries(versions).flatMap(([hash, { version, quarantine }]) =>
          quarantine === undefined ? [] : [{ domain, version, hash, ...quarantine }],
        ),
      )
      .sort((a, b) => a.since.localeCompare(b.since));
  }

  /** The domains with everything that the state knows of them. */
  get views(): readonly DomainView[] {
    return Object.keys(this.#state.domains)
      .sort()
      .flatMap((domain) => this.#view(domain) ?? []);
  }

  domains(domain?: string): Promise<readonly DomainView[]> {
    return Promise.resolve(this.views.filter((view) => domain === undefined || view.domain === domain));
  }

  async diff(domain: string, from?: string, to?: string): Promise<VersionDiff> {
    const kept = this.#versions(domain);
    if (kept.length === 0) throw this.#unknown(domain);
    const live = liveOf(this.#state, domain)?.hash ?? kept[0]?.hash;
    const before = find(kept, from ?? live);
    const others = kept.filter(({ hash }) => hash !== before.hash);
    const after = find(others, to);
    const { ledger, config } = this.#options;
    const { defaultAccess } = config.security;
    return diffVersions(await this.#load(before), await this.#load(after), { ledger, defaultAccess });
  }

  /** A node of another role has nothing to do with a domain, and does not keep the others from what was ordered. */
  #unknown(domain: string): Error {
    const isOurs = this.#options.domains.rules.serves(domain);
    return rolloutErrors.make(isOurs ? 'BEDS_ROLLOUT_UNKNOWN_DOMAIN' : 'BEDS_ROLLOUT_NOT_SERVED');
  }

  callers(domain: string): ReturnType<Inspections['callers']> {
    const { ledger } = this.#options;
    return { callers: ledger.callersOfDomain(domain), countedDays: ledger.countedDays() };
  }

  clients(): ReturnType<Inspections['clients']> {
    return this.#options.ledger.clientsByDomain(MAX_NAMED_CLIENTS);
  }

  /** n.b. what is only kept is read from the stage; what is no longer there nobody can go back to. */
  async declaredObjects(): Promise<readonly DeclaredObject[]> {
    const loaded = this.#options.routes.loaded;
    const kept = Object.values(this.#state.domains)
      .flatMap(({ served }) => served)
      .filter(({ hash }) => !loaded.some((source) => source.hash === hash));
    const staged = await Promise.all(kept.map((each) => this.#load(each).catch(() => undefined)));
    const isLive = ({ hash, manifest }: (typeof loaded)[number]): boolean =>
      liveOf(this.#state, manifest.domain)?.hash === hash;
    return [
      ...loaded.flatMap((source) => objectsOf(source.manifest, isLive(source) ? 'live' : 'candidate')),
      ...staged.flatMap((bundle) => (bundle === undefined ? [] : objectsOf(bundle.manifest, 'kept'))),
    ];
  }

  get #state(): Domains['state'] {
    return this.#options.domains.state;
  }

  /** Undefined: nothing that a person would look for. */
  #view(name: string): DomainView | undefined {
    const { served, paused, withheld, degraded, shown } = domainOf(this.#state, name);
    const { live, left } = shown;
    const strikes = this.#strikes(name);
    const canary = this.#canary(name);
    const liveHash = liveOf(this.#state, name)?.hash;
    const kept = served.filter(({ hash }) => hash !== liveHash);
    const newest = shown.candidate ?? shown.superseded;
    const notices = this.#options.routes.liveSource(name)?.notices;
    // What was lifted out of quarantine counts as never tried.
    const isLifted = newest?.state === 'quarantined' && !isQuarantined(this.#state, name, newest.hash);
    const candidate = isLifted ? undefined : newest;
    if (!isWorthShowing(domainOf(this.#state, name))) return undefined;
    return {
      domain: name,
      ...(live === undefined ? {} : { live }),
      ...(candidate === undefined ? {} : { candidate }),
      ...(degraded.length === 0 ? {} : { degraded }),
      ...(notices === undefined ? {} : { notices }),
      ...(left.length === 0 ? {} : { left }),
      ...(canary === undefined ? {} : { canary }),
      ...(paused ? { paused } : {}),
      ...(withheld === undefined ? {} : { withheld: true }),
      ...(this.#options.routes.isApart(name) ? { apart: true } : {}),
      ...(kept.length === 0 ? {} : { kept }),
      ...(strikes.length === 0 ? {} : { strikes }),
    };
  }

  #canary(domain: string): CanaryView | undefined {
    const pending = pendingOf(this.#state, domain);
    const progress: CanaryProgress | undefined =
      pending === undefined ? undefined : this.#options.effects.progressOf(pending);
    if (progress === undefined) return undefined;
    const pair = progress.pairs.find((candidate) => candidate.domain === domain);
    const generation = generationOf(this.#state, domainOf(this.#state, domain).trial);
    const { percent, shadowPercent, forMs, elapsedMs, paused, waits } = progress;
    return {
      version: generation?.version ?? '',
      hash: generation?.hash ?? '',
      percent,
      shadowPercent,
      forMs,
      elapsedMs,
      hold: paused,
      ...(waits === undefined ? {} : { waits }),
      candidate: sideOf(pair?.of),
      active: sideOf(pair?.beside),
      ...(shadowPercent === 0 || pair === undefined ? {} : { shadow: pair.shadow }),
    };
  }

  #strikes(domain: string): readonly StrikeView[] {
    const { served, trial, versions } = domainOf(this.#state, domain);
    const candidate = generationOf(this.#state, trial);
    const { strikePeriodMs } = this.#options.config.rollout;
    return [...served, ...(candidate === undefined ? [] : [candidate])].flatMap(({ version, hash }) => {
      const known = versions[hash];
      const strikes = known === undefined ? [] : strikesOf(known, Date.now(), strikePeriodMs);
      const last = strikes.at(-1);
      if (last === undefined) return [];
      const strays = strikes.filter(({ reason }) => reason.startsWith(STRAYS)).length;
      const left = strays === 0 ? {} : { strays };
      return [{ version, hash, count: strikes.length, ...left, last: new Date(last.atMs).toISOString() }];
    });
  }

  /** What may be compared: what is on its way or observed, then what served, newest first. */
  #versions(domain: string): readonly Named[] {
    const pending = pendingOf(this.#state, domain)?.members.filter((member) => member.domain === domain) ?? [];
    const quarantined = this.quarantined.filter((view) => view.domain === domain);
    return [...pending, ...domainOf(this.#state, domain).served, ...quarantined.toReversed()];
  }

  async #load({ hash, version }: Named): Promise<StagedBundle> {
    try {
      return await loadStaged(hash, join(this.#options.directory, 'stage'));
    } catch (cause) {
      throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', `Version ${version} is no longer kept.`, { cause });
    }
  }
}

function objectsOf({ domain, version, store, objects }: Manifest, state: DeclaredObject['state']): DeclaredObject[] {
  return Object.entries(objects).map(([alias, { name, kind }]) => ({
    ...{ store, object: name, kind, domain, version, state, alias },
  }));
}

function isWorthShowing({ served, paused, shown: { live, candidate, left } }: Domain): boolean {
  return (live ?? candidate) !== undefined || left.length > 0 || served.length > 0 || paused;
}

function receiptOf({ domain, version, hash }: Named & { readonly domain: string }, words: string): Receipt {
  return { domain, version, hash, words: version === '' ? `${domain} ${words}` : `${domain} ${version} ${words}` };
}

function find(kept: readonly Named[], name: string | undefined): Named {
  const found = kept.find((bytes) => name === undefined || isNamed(bytes, name));
  if (found !== undefined) return found;
  const names = [...new Set(kept.map(({ version }) => version))].join(', ');
  const rest = names === '' ? 'No other version is kept.' : `Kept versions: ${names}.`;
  const words =
    name === undefined ? rest : `No other version ${name} is kept. ${rest}`.replace(' No other version is kept.', '');
  throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', words);
}

function sideOf(outcome: Outcome | undefined): SideView {
  const strays = outcome === undefined ? 0 : strayFaults(outcome);
  const left = strays === 0 ? {} : { strays };
  if (outcome === undefined || outcome.requests === 0) return { requests: 0, errorPercent: 0, ...left };
  const p95Ms = percentile95Ms(outcome.latency);
  const errorPercent = (ownFailures(outcome) / outcome.requests) * 100;
  const measured = Number.isFinite(p95Ms) && p95Ms > 0 ? { p95Ms: Math.round(p95Ms * 10) / 10 } : {};
  return { requests: outcome.requests, errorPercent: Math.round(errorPercent * 10) / 10, ...measured, ...left };
}
