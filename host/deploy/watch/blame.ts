import { generationFile } from '../../template/compile.js';
import type { Finding, GenerationSource } from '../../template/contract.js';
import { makeFinding } from '../../template/make-finding.js';
import { publishFault } from '../../observe/channels.js';
import { type Accused, type Quarantine, STRAYS } from '../quarantine.js';
import type { Drains } from '../drains.js';
import type { Rollouts } from '../rollouts.js';
import type { Deployments } from '../deployments.js';
import type { Transition } from '../transition.js';

/** A broker thread that ended without being asked to. */
export interface ThreadLoss {
  readonly reason: string;
  /** The generation whose code the thread entered last. */
  readonly generation: number;
  /** It was a process of its own that was killed; `sole`: one domain and its callers were all that it served. */
  readonly killed?: 'sole' | 'shared';
}

export interface BlameOptions {
  readonly rollouts: Rollouts;
  readonly drains: Drains;
  readonly deployments: Deployments;
  readonly quarantine: Quarantine;
  readonly onTransition: (transition: Transition) => void;
}

/** Ends that name no culprit by themselves: whose code was entered last did it. */
const BY_LAST_ENTERED = /no sign of life|ERR_WORKER_OUT_OF_MEMORY|memory limit|exit code|process was ended/;

/** Finds whose code ended a thread, counts it against the bytes, and takes those that do it again and again out of service. */
export class Blame {
  readonly #options: BlameOptions;

  constructor(options: BlameOptions) {
    this.#options = options;
  }

  /** Returns whom it blames, for the log. */
  threadLost(loss: ThreadLoss): { domain: string; version: string; hash: string } | undefined {
    const source = this.#culprit(loss);
    if (source === undefined) return undefined;
    const { domain, version } = source.manifest;
    const accused = { domain, version, hash: source.hash };
    const verdict = this.#judge(accused, loss);
    const { rollouts, deployments, quarantine } = this.#options;
    if (rollouts.table.candidates.get(domain)?.source === source) {
      deployments.find(domain)?.canary?.threadEnded(source.id, loss.reason);
    } else if (verdict !== undefined) {
      quarantine.add(accused, verdict);
      this.#options.onTransition({ ...accused, state: 'quarantined', generation: source.id, findings: [verdict] });
      if (rollouts.table.live.get(domain)?.source.hash === source.hash) deployments.goBack(domain, 'quarantine');
    }
    return accused;
  }

  /** A thread may end by accident. A process that was made for suspects proves it, if nobody else ran in it. */
  #judge(accused: Accused, { reason, killed }: ThreadLoss): Finding | undefined {
    const { quarantine } = this.#options;
    const verdict = quarantine.strike(accused, reason);
    if (verdict !== undefined || killed === undefined || quarantine.reason(accused.hash) !== undefined) return verdict;
    const isProven = killed === 'sole' || quarantine.strikes(accused.hash).length > 1;
    const words = `It was tried apart after the host had ended under it, and ${reason}.`;
    return isProven ? makeFinding('BEDS_ROLLOUT_ENDED_PROCESS', words) : undefined;
  }

  /**
   * A version that serves goes on leaving faults that no request ended with. Its callers have their answers: so it gives way to
   * a version before it, and stays where there is none.
   */
  strayed(generation: number, { strays, requests }: { readonly strays: number; readonly requests: number }): void {
    const { rollouts, deployments, quarantine } = this.#options;
    const source = [...rollouts.table.live.values()].find((live) => live.source.id === generation)?.source;
    if (source === undefined) return;
    const { domain, version } = source.manifest;
    const accused = { domain, version, hash: source.hash };
    const words = `${String(strays)} faults that no request ended with, beside ${String(requests)} requests`;
    publishFault({ where: `code that ${domain} ${version} leaves running`, error: words, ...accused });
    if (!deployments.mayGoBack(domain)) return;
    const verdict = quarantine.strike(accused, `${STRAYS}: ${words}`);
    if (verdict === undefined) return;
    quarantine.add(accused, verdict);
    this.#options.onTransition({ ...accused, state: 'quarantined', generation: source.id, findings: [verdict] });
    deployments.goBack(domain, 'quarantine');
  }

  #culprit({ reason, generation }: ThreadLoss): GenerationSource | undefined {
    const { rollouts, drains } = this.#options;
    const known = [...rollouts.table.loaded, ...drains.sources];
    // Two generations of one version have the same name in a stack: the one that was entered last, then.
    const named = known.filter(({ manifest }) => reason.includes(generationFile(manifest)));
    const inStack = named.find(({ id }) => id === generation) ?? named[0];
    if (inStack !== undefined || !BY_LAST_ENTERED.test(reason)) return inStack;
    return known.find(({ id }) => id === generation);
  }
}
