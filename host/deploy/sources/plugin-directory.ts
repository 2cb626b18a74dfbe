import type { Finding } from '../../template/contract.js';
import { makeFinding } from '../../template/make-finding.js';
import { publishFault } from '../../observe/channels.js';
import type { Drop, DropHandlers, RefusedDrop, RemovedDrop } from '../admit/contract.js';
import type { ServiceRecord } from '../service-record.js';
import type { Deployments } from '../deployments.js';
import { DropSelection } from './drop-selection.js';
import type { PluginEntries } from './plugin-entries.js';
import type { Transition } from '../transition.js';

export interface PluginDirectoryOptions {
  readonly deployments: Deployments;
  readonly entries: PluginEntries;
  readonly record: ServiceRecord;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
  readonly onTransition: (transition: Transition) => void;
  /** What did not serve is no longer in the plugin directory; `domain` is the entry's name where the bundle named none. */
  readonly onWithdrawn: (domain: string) => void;
  /** What was wrong with the directory is over. */
  readonly onRecovered: (message: string) => void;
  /** A domain serves from the stage though its bundle went from the plugin directory while the host was down. */
  readonly onUnseen: (domain: string) => void;
}

/** What follows from what happens in the plugin directory. */
export class PluginDirectory implements DropHandlers {
  readonly #options: PluginDirectoryOptions;
  readonly #selection: DropSelection;
  #isReconciled = false;

  constructor(options: PluginDirectoryOptions) {
    this.#options = options;
    this.#selection = new DropSelection(options);
  }

  complete(drop: Drop): void {
    const { deployments, entries, record } = this.#options;
    const { domain, version } = drop.manifest;
    const { served, isServed } = record.of(domain);
    const isSettled = record.entry(drop.entry) === drop.hash;
    const isConfirmed = isServed && served[0]?.hash === drop.hash;
    entries.set(drop.entry, { hash: drop.hash, domain, version }, deployments.inUse);
    // It lay there already when the host was stopped, and something was decided after it: that counts.
    if (isSettled && !isConfirmed) return;
    entries.setRefused(drop.hash, false);
    const isThere = deployments.isServing(domain, drop.hash) || deployments.isOnItsWay(drop.hash);
    if (!isThere || !isSettled) this.#selection.add(drop, isThere);
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
    const { deployments, entries, record, onWithdrawn } = this.#options;
    entries.delete(entry);
    // Renamed, or there twice: the same bytes are still in the directory.
    if (others.some((other) => entries.hashOf(other) === hash)) return;
    deployments.abandonDrop(hash);
    const live = deployments.liveHash(domain);
    if (live !== hash) {
      onWithdrawn(domain);
      this.#selection.removed(domain, hash);
    }
    // What an operator deployed does not hang on the directory.
    if (record.of(domain).origin === 'deploy') return;
    const remaining = others.flatMap((other) => entries.hashOf(other) ?? []);
    // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
    const fallback = entries.highestOf(others);
    if (remaining.length === 0) this.#withoutBundle(domain, entry);
    // What serves from the stage does not hang on the bundles that lie there.
    else if (this.#isFromBefore(domain)) return;
    // What took its place in the same look is not staged yet, and is begun by itself.
    else if (this.#selection.isFinding(domain)) return;
    else if (fallback !== undefined && !deployments.isOnItsWay(fallback) && !(live && remaining.includes(live)))
      deployments.restore(domain, [fallback], 'restore');
  }

  withdrawn({ domain, entry }: RefusedDrop): void {
    this.#options.onWithdrawn(domain ?? entry);
  }

  error(error: unknown): void {
    publishFault({ where: 'plugin directory', error });
  }

  recovered(message: string): void {
    this.#options.onRecovered(message);
  }

  looked({ isWhole }: { readonly isWhole: boolean }): void {
    this.#selection.decide();
    if (!isWhole || this.#isReconciled) return;
    this.#isReconciled = true;
    this.#reconcile();
  }

  /** Takes note of what became of a version. */
  note(transition: Transition): void {
    this.#selection.note(transition);
  }

  /** A version was refused, and nothing serves its domain. */
  unserved(domain: string, hashes: readonly string[]): void {
    this.#selection.refused(domain, hashes);
  }

  /** All of the directory was seen for the first time: entries that are gone since the last run are forgotten. */
  #reconcile(): void {
    const { entries, record, serves, onUnseen } = this.#options;
    entries.keepRecorded();
    for (const [domain, { isServed, origin }] of record.domains) {
      if (isServed && origin === 'directory' && serves(domain) && !entries.domains.has(domain)) onUnseen(domain);
    }
  }

  /** The last bundle of a domain is gone. What was never in the directory does not end with it. */
  #withoutBundle(domain: string, entry: string): void {
    const { deployments } = this.#options;
    const words = `${entry}, the last bundle of ${domain}, was removed from the plugin directory.`;
    if (!this.#isFromBefore(domain)) void deployments.retire(domain, makeFinding('BEDS_ROLLOUT_REMOVED', words));
    else if (deployments.liveHash(domain) === undefined) deployments.goBack(domain, 'boot');
  }

  /** What serves, or is to serve again, was not in the directory since the host started. */
  #isFromBefore(domain: string): boolean {
    const { deployments, entries, record } = this.#options;
    const { served, isServed } = record.of(domain);
    const current = deployments.liveHash(domain) ?? (isServed ? served[0]?.hash : undefined);
    return current !== undefined && !entries.wasSeen(current);
  }
}
