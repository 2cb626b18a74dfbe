import { makeFinding } from '../../template/make-finding.js';
import type { Drop } from '../admit/contract.js';
import type { ServiceRecord } from '../service-record.js';
import { compareVersions } from '../compare-versions.js';
import type { Deployments } from '../deployments.js';
import { DropBursts, type DroppedVersion } from './drop-bursts.js';
import type { PluginEntries } from './plugin-entries.js';
import type { Transition } from '../transition.js';

export interface DropSelectionOptions {
  readonly deployments: Deployments;
  readonly entries: PluginEntries;
  readonly record: ServiceRecord;
  readonly serves: (domain: string) => boolean;
  readonly onTransition: (transition: Transition) => void;
}

interface Candidate extends DroppedVersion {
  readonly drop: Drop;
  /** It serves or is on its way already. */
  readonly isThere: boolean;
}

/** Of several versions of a domain that were dropped together, the highest is begun; what it supersedes is said and kept. */
export class DropSelection {
  readonly #options: DropSelectionOptions;
  readonly #bursts: DropBursts;
  /** What this look found, by domain. */
  readonly #found = new Map<string, Candidate[]>();

  constructor(options: DropSelectionOptions) {
    this.#options = options;
    this.#bursts = new DropBursts((hash) => options.deployments.isOnItsWay(hash));
  }

  add(drop: Drop, isThere: boolean): void {
    const { hash, entry, completeAt } = drop;
    const { domain, version } = drop.manifest;
    const { bornAt = completeAt, changedAt = completeAt, seenAt = completeAt } = drop;
    const begunAt = Math.min(seenAt, changedAt);
    const candidate = { drop, isThere, entry, hash, version, begunAt, bornAt, changedAt };
    this.#found.set(domain, [...(this.#found.get(domain) ?? []), candidate]);
  }

  /** Whether this look found versions of the domain, which are decided at its end. */
  isFinding(domain: string): boolean {
    return this.#found.has(domain);
  }

  /** A look is over: what it found together is decided together. */
  decide(): void {
    const found = [...this.#found];
    this.#found.clear();
    for (const [domain, candidates] of found) if (this.#options.serves(domain)) this.#decide(domain, candidates);
  }

  /** Takes note of what became of a version. */
  note({ domain, hash, state }: Transition): void {
    if (DECIDED.has(state)) this.#bursts.decided(domain, hash);
  }

  /** Nothing serves a domain whose version was refused: the next of those that were dropped with it is tried. */
  refused(domain: string, hashes: readonly string[]): void {
    for (const hash of hashes) this.#tryNext(domain, hash);
  }

  /** What was on its way is gone from the directory: the next of those that were dropped with it is tried, if it is an advance. */
  removed(domain: string, hash: string): void {
    if (!this.#bursts.isDecided(domain)) this.#tryNext(domain, hash);
  }

  #decide(domain: string, candidates: readonly Candidate[]): void {
    // Of two that are the same the later one.
    const ranked = [...candidates].reverse().sort((a, b) => compareVersions(b.version, a.version));
    const [best] = ranked;
    if (best === undefined) return;
    const others = ranked.filter(({ hash }) => hash !== best.hash);
    const former = this.#former(domain, best);
    if (former !== undefined && compareVersions(best.version, former.version) < 0) {
      for (const each of [best, ...others]) this.#supersede(domain, each, former);
      this.#bursts.add(domain, former, ranked);
      return;
    }
    const isOvertaken = former !== undefined && !this.#bursts.isDecided(domain);
    this.#bursts.add(domain, best, others);
    for (const each of others) this.#supersede(domain, each, best);
    if (isOvertaken) this.#say(domain, former, best);
    if (!best.isThere) this.#options.deployments.begin([best.drop], 'drop', { completeAt: best.drop.completeAt });
  }

  /** What was dropped together with it before, as long as it lies there under another name and was not refused. */
  #former(domain: string, { entry, hash, ...rest }: DroppedVersion): DroppedVersion | undefined {
    const { entries } = this.#options;
    const former = this.#bursts.bestBeside(domain, { entry, hash, ...rest });
    if (former === undefined || former.entry === entry || former.hash === hash) return undefined;
    const isThere = entries.hashOf(former.entry) === former.hash;
    return isThere && !entries.isRefused(former.hash) ? former : undefined;
  }

  /** It is kept in the stage: where the other one goes, it may serve. */
  #supersede(domain: string, { drop, ...version }: Candidate, by: DroppedVersion): void {
    const { deployments, entries } = this.#options;
    deployments.keep(drop);
    this.#say(domain, version, by);
    // The other one was decided without it, and a restart must not take it for a new one.
    if (this.#bursts.isDecided(domain)) entries.settle(({ hash }) => hash === version.hash);
  }

  #say(domain: string, { entry, version, hash }: DroppedVersion, by: DroppedVersion): void {
    const isEqual = compareVersions(version, by.version) === 0;
    const both =
      version === by.version ? `both ${domain} ${version}, with other bytes` : `versions of ${domain} of equal rank`;
    const words = isEqual
      ? `${entry} and ${by.entry} were dropped together and are ${both}; ${by.entry} came last.`
      : `${domain} ${version} (${entry}) was dropped together with ${by.version} (${by.entry}), which is higher.`;
    const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
    this.#options.onTransition({ domain, version, hash, state: 'superseded', cause: 'drop', findings });
  }

  #tryNext(domain: string, hash: string): void {
    const { deployments, entries, record } = this.#options;
    const live = deployments.liveHash(domain);
    const liveVersion = record.of(domain).served.find((served) => served.hash === live)?.version;
    const runnersUp = this.#bursts.runnersUp(domain, hash);
    const next = runnersUp.find((each) => entries.has(each.hash) && !entries.isRefused(each.hash));
    if (next === undefined || deployments.isOnItsWay(next.hash) || next.hash === live) return;
    if (liveVersion !== undefined && compareVersions(next.version, liveVersion) <= 0) return;
    this.#bursts.add(domain, next, runnersUp);
    deployments.restore(domain, [next.hash], 'drop');
  }
}

/** Nothing more comes of it by itself soon. */
const DECIDED: ReadonlySet<Transition['state']> = new Set(['waiting', 'canary', 'active', 'rejected', 'quarantined']);
