import type { HistoryEntry } from '../deploy/history.js';
import type { Finding, LifecycleState } from '../template/contract.js';
import type { Receipt } from './contract.js';
import type { DomainView, VersionView } from './views.js';
import type { CanaryView } from './shown.js';

/** What a node accepted. */
export interface Accepted {
  readonly node: string;
  /** When it began with the command, by its own clock, ISO 8601. */
  readonly at: string;
  readonly receipts: readonly Receipt[];
}

/** How far a node's rollouts are: its answer to `progress`. */
export interface Progress {
  readonly domains: readonly DomainView[];
  readonly entries: readonly HistoryEntry[];
}

/** How far a version that a command is about has come on one node. */
export interface RolloutStatus {
  readonly node: string;
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  /** `accepted`: nothing is known of it yet. `replaced`: it served, and another one does now. */
  readonly state: LifecycleState | 'accepted' | 'replaced';
  readonly findings: readonly Finding[];
  /** While it is under observation. */
  readonly canary?: CanaryView;
  /** What happened to it since the command, oldest first. */
  readonly changes: readonly HistoryEntry[];
  /** It served before the command and goes on: there is nothing to do. */
  readonly servedBefore?: boolean;
}

/** Reads from a node's answer how far a version has come. */
export function rolloutStatusOf(receipt: Receipt, accepted: Accepted, progress: Progress): RolloutStatus {
  const { domain, version, hash } = receipt;
  const view = progress.domains.find((each) => each.domain === domain);
  const changes = progress.entries.filter((entry) => entry.hash === hash && entry.at >= accepted.at);
  const base = { node: accepted.node, domain, version, hash, changes };
  if (view?.live?.hash === hash && view.live.state === 'active') {
    const servedBefore = view.live.since < accepted.at ? { servedBefore: true } : {};
    return { ...base, state: 'active', findings: [], ...servedBefore };
  }
  const newest = newestOf(view, { ...base, at: accepted.at });
  const canary = view?.canary?.hash === hash ? { canary: view.canary } : {};
  return { ...base, state: stateOf(newest?.state), findings: newest?.findings ?? [], ...canary };
}

/** What the board says of it, when it says so since the command; or else the history. */
function newestOf(
  view: DomainView | undefined,
  { hash, changes, at }: Pick<RolloutStatus, 'hash' | 'changes'> & Pick<Accepted, 'at'>,
): Pick<VersionView, 'state' | 'findings'> | undefined {
  const { candidate } = view ?? {};
  const isOfCommand = candidate?.hash === hash && candidate.since >= at;
  return isOfCommand ? candidate : changes.at(-1);
}

/** It is not what serves: where it did, another one does now. */
function stateOf(state: LifecycleState | undefined): RolloutStatus['state'] {
  if (state === undefined) return 'accepted';
  return state === 'draining' || state === 'retired' || state === 'active' ? 'replaced' : state;
}

const FINAL: ReadonlySet<RolloutStatus['state']> = new Set([
  'active',
  'rejected',
  'quarantined',
  'waiting',
  'replaced',
]);

/** Whether nothing more comes of it without an operator or a DBA; `all` are the versions of the same command. */
export function isDecided(status: RolloutStatus, all: readonly RolloutStatus[]): boolean {
  const { state, canary } = status;
  return FINAL.has(state) || (state === 'canary' && canary?.hold === true) || isHeldUp(status, all);
}

/** Whether it is ready, and another domain of the same command, without which it does not take over, waits for somebody. */
export function isHeldUp({ state, node }: RolloutStatus, all: readonly RolloutStatus[]): boolean {
  return state === 'probed' && all.some((other) => other.node === node && other.state === 'waiting');
}

/** Whether the history, which is written to disk first, tells how it came there. */
export function isTold({ state, changes, servedBefore }: RolloutStatus): boolean {
  return servedBefore === true || state === 'replaced' || changes.some((change) => change.state === state);
}
