import type { ThreadView } from './thread-views.js';
import type { HeldView } from './views.js';

/** Something holds a version that outlived so many full collections of garbage, this long after its end. */
const LEAST_COLLECTIONS = 2;
const LEAST_AGE_MS = 60_000;

/** Retired versions that something keeps in memory, by domain, oldest first. */
export function heldInMemory(threads: readonly ThreadView[]): ReadonlyMap<string, readonly HeldView[]> {
  const held = new Map<string, Map<number, HeldView>>();
  for (const { generation, domain, version, sinceMs, collections } of threads.flatMap(
    ({ status }) => status?.retiredInMemory ?? [],
  )) {
    if (collections < LEAST_COLLECTIONS || sinceMs < LEAST_AGE_MS) continue;
    const ofDomain = held.get(domain) ?? new Map<number, HeldView>();
    const before = ofDomain.get(generation);
    ofDomain.set(generation, {
      ...{ version, generation },
      threads: (before?.threads ?? 0) + 1,
      sinceMs: Math.max(before?.sinceMs ?? 0, sinceMs),
    });
    held.set(domain, ofDomain);
  }
  const sorted = (views: Iterable<HeldView>): HeldView[] => [...views].sort((a, b) => a.generation - b.generation);
  return new Map([...held].map(([domain, views]) => [domain, sorted(views.values())]));
}
