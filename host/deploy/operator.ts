import { rolloutErrors } from '../errors/rollout.js';
import { makeFinding } from '../template/make-finding.js';
import type { BundleBytes } from './admit/stage.js';
import type { VersionDiff } from './compatibility/gate.js';
import type { BundleFiles, Operations, QuarantineView, Receipt } from '../admin/contract.js';
import type { DomainView, Inspections } from '../admin/views.js';
import type { Quarantine } from './quarantine.js';
import type { ServedVersion, ServiceRecord } from './service-record.js';
import type { Cause, RolloutPlan, RolloutOptions } from './plan.js';
import type { Rollouts } from './rollouts.js';
import type { Deployments } from './deployments.js';
import { isNamed } from './is-named.js';
import type { PluginEntries } from './sources/plugin-entries.js';

export interface OperatorOptions {
  readonly deployments: Deployments;
  readonly entries: PluginEntries;
  readonly rollouts: Rollouts;
  readonly record: ServiceRecord;
  readonly quarantine: Quarantine;
  readonly inspector: Inspections;
  readonly receive: (files: BundleFiles) => Promise<BundleBytes>;
  readonly plan: (options: RolloutOptions) => RolloutPlan;
  readonly serves: (domain: string) => boolean;
}

/** What goes back is no rollout that `rollback` ends. */
const GOING_BACK: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine', 'rollback', 'restore']);

/** What a person may order of this host, and ask it. */
export class Operator implements Operations, Inspections {
  readonly #options: OperatorOptions;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  get quarantined(): readonly QuarantineView[] {
    return this.#options.quarantine.views;
  }

  domains(domain?: string): Promise<readonly DomainView[]> {
    return this.#options.inspector.domains(domain);
  }

  diff(domain: string, from?: string, to?: string): Promise<VersionDiff> {
    return this.#options.inspector.diff(domain, from, to);
  }

  async deploy(bundles: readonly BundleFiles[], options: RolloutOptions): Promise<readonly Receipt[]> {
    const { deployments, receive, plan, serves } = this.#options;
    const received: BundleBytes[] = [];
    for (const files of bundles) received.push(await receive(files));
    const twice = received.find(({ manifest }, index) =>
      received.slice(0, index).some((other) => other.manifest.domain === manifest.domain),
    );
    if (twice !== undefined) {
      const words = `Domain ${twice.manifest.domain} is in this deploy twice; it can have one version.`;
      throw rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', words);
    }
    const served = received.filter(({ manifest }) => serves(manifest.domain));
    if (served.length === 0) throw rolloutErrors.make('BEDS_ROLLOUT_NOT_SERVED');
    deployments.begin(served, 'deploy', { plan: plan(options) });
    return served.map((bytes) => receipt(bytes, 'is on its way.'));
  }

  rollback(domain: string, version?: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const { deployments, entries, record } = this.#options;
      const deployment = deployments.find(domain);
      const bundle = deployment?.order.bundles.find(({ manifest }) => manifest.domain === domain);
      const isNew = deployment !== undefined && !GOING_BACK.has(deployment.order.cause);
      const isEnded = (): boolean => deployment?.end(makeFinding('BEDS_ROLLOUT_ROLLED_BACK')) === true;
      if (isNew && bundle !== undefined && version === undefined && isEnded()) {
        // Where it lies in the plugin directory, a restart must not begin it again.
        entries.settle(({ hash }) => deployment.has(hash));
        record.setPaused(domain, false);
        return receipt(bundle, 'is taken out again; what served before goes on.');
      }
      const target = this.#target(domain, version);
      deployments.restore(domain, [target.hash], 'rollback');
      return receiptOf(target, domain, 'is on its way back.');
    });
  }

  promote(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const { deployments, record } = this.#options;
      const wasPaused = record.of(domain).paused;
      record.setPaused(domain, false);
      const deployment = deployments.find(domain);
      const bundle = deployment?.order.bundles.find(({ manifest }) => manifest.domain === domain);
      if (deployment === undefined || bundle === undefined) {
        if (!wasPaused) throw rolloutErrors.make('BEDS_ROLLOUT_NOTHING_PENDING');
        return this.#live(domain, 'serves; new versions take over again.');
      }
      deployment.promote();
      return receipt(bundle, 'takes over.');
    });
  }

  pause(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const { deployments, record } = this.#options;
      record.setPaused(domain, true);
      const deployment = deployments.find(domain);
      const bundle = deployment?.order.bundles.find(({ manifest }) => manifest.domain === domain);
      deployment?.canary?.pause();
      if (bundle !== undefined && deployment?.canary !== undefined)
        return receipt(bundle, 'stays a canary until `beds promote`.');
      return this.#live(domain, 'stays; new versions wait until `beds promote`.');
    });
  }

  undeploy(domain: string): Promise<Receipt> {
    return this.#answer(domain, () => {
      const answer = this.#live(domain, 'ends when the requests that it has are answered.');
      void this.#options.deployments.retire(domain, makeFinding('BEDS_ROLLOUT_RETIRED'));
      return answer;
    });
  }

  lift(name: string): Promise<readonly Receipt[]> {
    const lifted = this.#options.quarantine.lift(name);
    if (lifted.length === 0) {
      const words = `Nothing in quarantine is named ${name}: give a hash, its first six digits or more, or a domain.`;
      const hint = '`beds quarantine` lists what is in quarantine.';
      return Promise.reject(rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', words, { hint }));
    }
    const { deployments, rollouts } = this.#options;
    const withheld = new Set(lifted.map(({ domain }) => domain).filter((domain) => rollouts.table.isWithheld(domain)));
    // Nothing else may serve there: whoever lifts it wants it back.
    for (const domain of withheld) deployments.goBack(domain, 'rollback');
    return Promise.resolve(
      lifted.map((view) => {
        const words = withheld.has(view.domain) ? 'is allowed again and serves again.' : 'may be deployed again.';
        return receiptOf(view, view.domain, words);
      }),
    );
  }

  async #answer(domain: string, order: () => Receipt): Promise<Receipt> {
    await Promise.resolve();
    const { deployments, rollouts, record } = this.#options;
    const isKnown =
      rollouts.table.manifestOf(domain) !== undefined ||
      record.of(domain).served.length > 0 ||
      deployments.find(domain) !== undefined;
    if (!isKnown) throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_DOMAIN');
    return order();
  }

  /** The version that an operator means: by its number or hash, or the newest that served before and may serve. */
  #target(domain: string, version: string | undefined): ServedVersion {
    const { record, quarantine, rollouts } = this.#options;
    const live = rollouts.table.live.get(domain)?.source.hash;
    const others = record.of(domain).served.filter(({ hash }) => hash !== live);
    const named = others.find((served) => version !== undefined && isNamed(served, version));
    const target = version === undefined ? others.find(({ hash }) => quarantine.reason(hash) === undefined) : named;
    if (target !== undefined) return target;
    const serving = record.of(domain).served.find(({ hash }) => hash === live);
    const isLive = version !== undefined && serving !== undefined && isNamed(serving, version);
    const why = isLive ? [`${domain} ${serving.version} serves already.`] : [];
    const missing = version === undefined || isLive ? [] : [`No version ${version} of ${domain} is kept.`];
    const kept = [...new Set(others.map((served) => served.version))].join(', ');
    const rest = kept === '' ? `No other version of ${domain} is kept.` : `It may go back to ${kept}.`;
    throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION', [...why, ...missing, rest].join(' '));
  }

  #live(domain: string, words: string): Receipt {
    const live = this.#options.rollouts.table.live.get(domain)?.source;
    if (live !== undefined) return receipt(live, words);
    const [newest] = this.#options.record.of(domain).served;
    return receiptOf({ version: newest?.version ?? '', hash: newest?.hash ?? '' }, domain, words);
  }
}

function receipt({ manifest, hash }: Pick<BundleBytes, 'manifest' | 'hash'>, words: string): Receipt {
  return receiptOf({ version: manifest.version, hash }, manifest.domain, words);
}

function receiptOf({ version, hash }: Pick<ServedVersion, 'version' | 'hash'>, domain: string, words: string): Receipt {
  return { domain, version, hash, words: version === '' ? `${domain} ${words}` : `${domain} ${version} ${words}` };
}
