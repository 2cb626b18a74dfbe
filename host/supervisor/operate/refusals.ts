import type { LifecycleState } from '../../generation/lifecycle.js';
import type { HistoryEntry } from '../history.js';

const REFUSALS: ReadonlySet<LifecycleState> = new Set(['rejected', 'waiting', 'quarantined']);

/** The newest entry of each version, by its bytes, that was refused or waits and has not served since; the newest last. */
export function refusalsOf(entries: readonly HistoryEntry[]): readonly HistoryEntry[] {
  const refusals = new Map<string, HistoryEntry>();
  for (const entry of entries) {
    const version = `${entry.domain} ${entry.hash === '' ? entry.version : entry.hash}`;
    const isRefusal = REFUSALS.has(entry.state) && entry.findings !== undefined && entry.findings.length > 0;
    // n.b. deleted first: a key that is set again would keep its old place.
    if (isRefusal || entry.state === 'active') refusals.delete(version);
    if (isRefusal) refusals.set(version, entry);
  }
  return [...refusals.values()];
}
