import { rolloutErrors } from '../errors/rollout.js';
import { loadStaged, type StagedBundle } from './admit/stage.js';
import type { CallerLedger } from './compatibility/caller-ledger.js';
import { diffVersions, type VersionDiff } from './compatibility/gate.js';
import type { CanaryView, DomainView, Inspections, SideView, StrikeView } from '../admin/views.js';
import { type Quarantine, STRAYS } from './quarantine.js';
import type { ServedVersion, ServiceRecord } from './service-record.js';
import type { CanaryProgress } from './canary.js';
import { type Outcome, ownFailures, percentile95Ms, strayFaults } from './watch/guard.js';
import type { Rollouts } from './rollouts.js';
import type { Deployments } from './deployments.js';
import { isNamed } from './is-named.js';

export interface InspectorOptions {
  readonly stageDirectory: string;
  readonly rollouts: Rollouts;
  readonly deployments: Deployments;
  readonly record: ServiceRecord;
  readonly quarantine: Quarantine;
  readonly ledger: CallerLedger;
  /** What the board knows of each domain. */
  readonly views: () => readonly DomainView[];
}

/** Answers what a person asks about the versions of this host. */
export class Inspector implements Inspections {
  readonly #options: InspectorOptions;

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  domains(domain?: string): Promise<readonly DomainView[]> {
    const known = new Map(this.#options.views().map((view) => [view.domain, view]));
    for (const [name] of this.#options.record.domains) if (!known.has(name)) known.set(name, { domain: name });
    const views = [...known.values()].filter((view) => domain === undefined || view.domain === domain);
    return Promise.resolve(views.map((view) => this.#complete(view)));
  }

  async diff(domain: string, from?: string, to?: string): Promise<VersionDiff> {
    const kept = this.#versions(domain);
    if (kept.length === 0) throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_DOMAIN');
    const live = this.#options.rollouts.table.live.get(domain)?.source.hash ?? kept[0]?.hash;
    const before = find(kept, from ?? live);
    const after = find(
      kept.filter(({ hash }) => hash !== before.hash),
      to,
    );
    const { ledger } = this.#options;
    return diffVersions(await this.#load(before), await this.#load(after), ledger);
  }

  #complete(view: DomainView): DomainView {
    const { record, rollouts, deployments, quarantine } = this.#options;
    const { domain } = view;
    const canary = deployments.find(domain)?.canary?.progress;
    const strikes = this.#strikes(domain);
    const live = rollouts.table.live.get(domain)?.source.hash;
    const kept = record.of(domain).served.filter(({ hash }) => hash !== live);
    const { candidate, ...rest } = view;
    // What was lifted out of quarantine counts as never tried.
    const isLifted = candidate?.state === 'quarantined' && quarantine.reason(candidate.hash) === undefined;
    return {
      ...(isLifted ? rest : view),
      ...(canary === undefined ? {} : { canary: this.#canaryView(domain, canary) }),
      ...(record.of(domain).paused ? { paused: true } : {}),
      ...(rollouts.table.isWithheld(domain) ? { withheld: true } : {}),
      ...(rollouts.isApart(domain) ? { apart: true } : {}),
      ...(kept.length === 0 ? {} : { kept }),
      ...(strikes.length === 0 ? {} : { strikes }),
    };
  }

  #canaryView(domain: string, progress: CanaryProgress): CanaryView {
    const pair = progress.pairs.find((candidate) => candidate.domain === domain);
    const source = this.#options.rollouts.table.candidates.get(domain)?.source;
    const { percent, shadowPercent, forMs, elapsedMs, paused, waits } = progress;
    return {
      ...{ version: source?.manifest.version ?? '', hash: source?.hash ?? '' },
      ...{ percent, shadowPercent, forMs, elapsedMs, hold: paused },
      ...(waits === undefined ? {} : { waits }),
      candidate: sideOf(pair?.of),
      active: sideOf(pair?.beside),
      ...(shadowPercent === 0 || pair === undefined ? {} : { shadow: pair.shadow }),
    };
  }

  #strikes(domain: string): readonly StrikeView[] {
    const { record, quarantine, rollouts } = this.#options;
    const candidate = rollouts.table.candidates.get(domain)?.source;
    const known = [
      ...record.of(domain).served,
      ...(candidate ? [{ ...candidate.manifest, hash: candidate.hash }] : []),
    ];
    return known.flatMap(({ version, hash }) => {
      const strikes = quarantine.strikes(hash);
      const last = strikes.at(-1);
      if (last === undefined) return [];
      const strays = strikes.filter(({ reason }) => reason.startsWith(STRAYS)).length;
      const left = strays === 0 ? {} : { strays };
      return [{ version, hash, count: strikes.length, ...left, last: new Date(last.atMs).toISOString() }];
    });
  }

  /** What may be compared: what is on its way or observed, then what served, newest first. */
  #versions(domain: string): readonly Pick<ServedVersion, 'hash' | 'version'>[] {
    const { deployments, record, quarantine } = this.#options;
    const pending = deployments.find(domain)?.order.bundles.filter(({ manifest }) => manifest.domain === domain) ?? [];
    const quarantined = quarantine.views.filter((view) => view.domain === domain);
    return [
      ...pending.map(({ manifest: { version }, hash }) => ({ version, hash })),
      ...record.of(domain).served,
      ...quarantined.toReversed(),
    ];
  }

  async #load({ hash, version }: Pick<ServedVersion, 'hash' | 'version'>): Promise<StagedBundle> {
    try {
      return await loadStaged(hash, this.#options.stageDirectory);
    } catch (cause) {
      throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', `Version ${version} is no longer kept.`, { cause });
    }
  }
}

function find(
  kept: readonly Pick<ServedVersion, 'hash' | 'version'>[],
  name: string | undefined,
): Pick<ServedVersion, 'hash' | 'version'> {
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
