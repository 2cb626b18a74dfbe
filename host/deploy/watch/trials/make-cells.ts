import type { Manifest } from '@beds/sdk';
import type { Cell } from '../../../threads/pool.js';

/** Processes that there are at most; what is more shares them. */
const MAX_CELLS = 4;

/**
 * Divides the domains that are to be kept apart among processes. Whoever calls one of them, be it through others, goes with it:
 * its code would run in the caller's process.
 */
export function makeCells(suspects: ReadonlySet<string>, manifests: readonly Manifest[]): readonly Cell[] {
  const groups = [...suspects].map((domain) => withCallers(domain, manifests));
  const joined = groups.reduce<ReadonlySet<string>[]>((all, group) => {
    const overlapping = all.filter((other) => [...group].some((domain) => other.has(domain)));
    const others = all.filter((other) => !overlapping.includes(other));
    return [...others, new Set([group, ...overlapping].flatMap((each) => [...each]))];
  }, []);
  const count = Math.min(MAX_CELLS, joined.length);
  return Array.from({ length: count }, (_, index) => {
    const own = joined.filter((_group, place) => place % count === index);
    const domains = new Set(own.flatMap((group) => [...group]));
    const needs = new Set([...reach(domains, manifests)].filter((domain) => !domains.has(domain)));
    // n.b. no group of the configuration has a colon in its name.
    return { group: `apart:${String(index + 1)}`, domains, needs, isSole: own.length === 1 };
  });
}

function withCallers(domain: string, manifests: readonly Manifest[]): ReadonlySet<string> {
  const found = new Set([domain]);
  for (let size = 0; size !== found.size;) {
    size = found.size;
    for (const caller of manifests) if (caller.domains.some((called) => found.has(called))) found.add(caller.domain);
  }
  return found;
}

/** What the code of these domains calls, be it through others. */
function reach(domains: ReadonlySet<string>, manifests: readonly Manifest[]): ReadonlySet<string> {
  const found = new Set(domains);
  for (let size = 0; size !== found.size;) {
    size = found.size;
    for (const { domain, domains: called } of manifests) if (found.has(domain)) called.forEach((one) => found.add(one));
  }
  return found;
}
