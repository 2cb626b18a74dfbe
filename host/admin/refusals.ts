import type { LifecycleState } from '../template/lifecycle.js';
import type { HistoryEntry } from '../deploy/history.js';

const REFUSALS: ReadonlySet<LifecycleState> = new Set(['rejected', 'waiting', 'superseded']);
/** What ends a wait: the version goes on, or is in quarantine, which is a list of its own and may be lifted. */
const ENDINGS: ReadonlySet<LifecycleState> = new Set(['active', 'quarantined']);

/**
 * The newest entry of each version, by its bytes, that was refused or waits and has not served since; the newest last. A
 * version that waited is left out as soon as another one of its domain is received: that one took its place.
 */
export function refusalsOf(entries: readonly HistoryEntry[]): readonly HistoryEntry[] {
  const refusals = new Map<string, HistoryEntry>();
  for (const entry of entries) {
    const version = `${entry.domain} ${entry.hash === '' ? entry.version : entry.hash}`;
    if (entry.state === 'received') endWaits(refusals, entry);
    const isRefusal = REFUSALS.has(entry.state) && entry.findings !== undefined && entry.findings.length > 0;
    // n.b. deleted first: a key that is set again would keep its old place.
    if (isRefusal || ENDINGS.has(entry.state)) refusals.delete(version);
    if (isRefusal) refusals.set(version, entry);
  }
  return [...refusals.values()];
}

/** Of versions of the domain with other bytes. */
function endWaits(refusals: Map<string, HistoryEntry>, { domain, hash }: HistoryEntry): void {
  for (const [key, refusal] of refusals) {
    if (refusal.domain === domain && refusal.state === 'waiting' && refusal.hash !== hash) refusals.delete(key);
  }
}
