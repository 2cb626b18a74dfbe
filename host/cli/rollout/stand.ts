import type { Finding } from '../../template/contract.js';
import type { LifecycleState } from '../../template/lifecycle.js';
import type { HistoryEntry } from '../../deploy/history.js';
import type { Receipt } from '../../admin/contract.js';
import type { AdminAnswer } from '../../admin/protocol.js';
import type { CanaryView, DomainView, VersionView } from '../../admin/views.js';

/** What a node accepted. */
export interface Accepted {
  readonly node: string;
  /** When it began with the order, by its own clock, ISO 8601. */
  readonly at: string;
  readonly receipts: readonly Receipt[];
}

export type ProgressAnswer = Extract<AdminAnswer, { op: 'progress' }>;

/** Where a version that was ordered stands on one node. */
export interface Stand {
  readonly node: string;
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  /** `accepted`: nothing is known of it yet. `replaced`: it served, and another one does now. */
  readonly state: LifecycleState | 'accepted' | 'replaced';
  readonly findings: readonly Finding[];
  /** While it is under observation. */
  readonly canary?: CanaryView;
  /** What happened to it since the order, oldest first. */
  readonly changes: readonly HistoryEntry[];
  /** It served before the order and goes on: there is nothing to do. */
  readonly servedBefore?: boolean;
}

/** Reads from a node's answer how far a version has come. */
export function standOf(receipt: Receipt, accepted: Accepted, answer: ProgressAnswer): Stand {
  const { domain, version, hash } = receipt;
  const view = answer.domains.find((each) => each.domain === domain);
  const changes = answer.entries.filter((entry) => entry.hash === hash && entry.at >= accepted.at);
  const base = { node: accepted.node, domain, version, hash, changes };
  if (view?.live?.hash === hash && view.live.state === 'active') {
    const servedBefore = view.live.since < accepted.at ? { servedBefore: true } : {};
    return { ...base, state: 'active', findings: [], ...servedBefore };
  }
  const newest = newestOf(view, { ...base, at: accepted.at });
  const canary = view?.canary?.hash === hash ? { canary: view.canary } : {};
  return { ...base, state: stateOf(newest?.state), findings: newest?.findings ?? [], ...canary };
}

/** What the board says of it, when it says so since the order; or else the history. */
function newestOf(
  view: DomainView | undefined,
  { hash, changes, at }: Pick<Stand, 'hash' | 'changes'> & Pick<Accepted, 'at'>,
): Pick<VersionView, 'state' | 'findings'> | undefined {
  const { candidate } = view ?? {};
  const isOfOrder = candidate?.hash === hash && candidate.since >= at;
  return isOfOrder ? candidate : changes.at(-1);
}

/** It is not what serves: where it did, another one does now. */
function stateOf(state: LifecycleState | undefined): Stand['state'] {
  if (state === undefined) return 'accepted';
  return state === 'draining' || state === 'retired' || state === 'active' ? 'replaced' : state;
}

const FINAL: ReadonlySet<Stand['state']> = new Set(['active', 'rejected', 'quarantined', 'waiting', 'replaced']);

/** Whether nothing more comes of it without an operator or a DBA; `all` are the stands of the same order. */
export function isDecided(stand: Stand, all: readonly Stand[]): boolean {
  const { state, canary } = stand;
  return FINAL.has(state) || (state === 'canary' && canary?.hold === true) || isHeldUp(stand, all);
}

/** Whether it is ready, and another domain of the same order, without which it does not take over, waits for somebody. */
export function isHeldUp({ state, node }: Stand, all: readonly Stand[]): boolean {
  return state === 'probed' && all.some((other) => other.node === node && other.state === 'waiting');
}

/** Whether the history, which is written to disk first, tells how it came to stand there. */
export function isTold({ state, changes, servedBefore }: Stand): boolean {
  return servedBefore === true || state === 'replaced' || changes.some((change) => change.state === state);
}
