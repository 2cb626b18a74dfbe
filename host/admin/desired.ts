import { z } from 'zod';
import type { Drift } from './shown.js';

/** What all nodes shall run of a domain. */
export const desiredVersion = z.object({
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  version: z.string().max(100),
  state: z.enum(['serve', 'paused', 'retired']),
  /** When it was decided, milliseconds since 1970, by the clock of the node where it was. */
  at: z.number(),
  /** The revision that brought it. */
  revision: z.number(),
  /** What was desired before and is still kept, newest first. */
  previous: z.array(z.string()).readonly().default([]),
});
export type Desired = z.output<typeof desiredVersion>;
export type DesiredDomains = Readonly<Record<string, Desired>>;
export const desiredDomains = z.record(z.string().max(63), desiredVersion);

/** What a node runs of a domain. */
export const run = z.object({
  domain: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  version: z.string().max(100),
  state: z.enum(['serve', 'paused', 'retired']),
  origin: z.enum(['directory', 'deploy']),
  isDown: z.literal(true).exactOptional(),
  pending: z.string().max(100).exactOptional(),
  /** Since when, by its own clock; 0: it does not know. */
  at: z.number(),
});
export type Run = z.output<typeof run>;

/** What a node says of itself. */
export const report = z.object({
  /** It has a name of its own, under which it comes back. */
  isNamed: z.boolean(),
  roles: z.array(z.string().max(100)).max(100).readonly(),
  runs: z.array(run).max(1_000).readonly(),
});
export type Report = z.output<typeof report>;

export interface Member extends Report {
  readonly node: string;
  /** When it reported, by the clock of the admin node. */
  readonly at: number;
}

/** Nodes report more often. */
export const REPORT_MS = 5_000;
/** A node that has not reported for so long is away. */
const AWAY_MS = 20_000;
/** A node without a name of its own that is away for so long comes back as another one. */
const GONE_MS = 60_000;
/** So long what was ordered may take until it is kept here. */
const SETTLING_MS = 15_000;
/** Bundles that are kept of each domain, beside the one that shall run. */
const KEPT = 3;

export interface Circumstances {
  readonly nowMs: number;
  /** Whether a node with these roles serves a domain. */
  readonly serves: (roles: readonly string[], domain: string) => boolean;
}

/** A node that is away and never comes back. */
export function isGone({ isNamed, at }: Member, nowMs: number): boolean {
  return !isNamed && nowMs - at > GONE_MS;
}

/**
 * What shall run from now on, of what nodes report: what was ordered, once it is done on all that are there; what was dropped, once it is
 * the same on all that serve the domain, away or not. Later decisions take the place of earlier ones, so that a node which was away
 * brings nothing back.
 */
export function agreed(
  desired: DesiredDomains,
  members: readonly Member[],
  { nowMs, serves }: Circumstances,
): readonly Run[] {
  const fresh = members.filter(({ at }) => nowMs - at <= AWAY_MS);
  const domains = [...new Set(fresh.flatMap(({ runs }) => runs.map(({ domain }) => domain)))];
  return domains.flatMap((domain) => {
    const runs = fresh.flatMap((member) => runOf(member, domain) ?? []);
    const [first] = runs;
    if (
      first === undefined ||
      !runs.every((each) => isSame(each, first) && each.pending === undefined && each.isDown !== true)
    )
      return [];
    const before = own(desired, domain);
    if (before === undefined && first.state === 'retired') return [];
    // n.b. a node whose clock is ahead must not outdo what is ordered after it.
    const at = Math.min(nowMs, Math.max(...runs.map((each) => each.at)));
    if (before !== undefined && (isSame(before, first) || at <= before.at)) return [];
    const isOnlyPaused = before?.hash === first.hash && before.state !== 'retired' && first.state !== 'retired';
    const isOrdered = isOnlyPaused || runs.every(({ origin }) => origin === 'deploy');
    const isEverywhere = members
      .filter(({ roles }) => serves(roles, domain))
      .every((member) => {
        const its = runOf(member, domain);
        return its !== undefined && isSame(its, first);
      });
    return isOrdered || isEverywhere ? [{ ...first, at }] : [];
  });
}

/** The next revision, and the bundles that nobody needs any more then. */
export function withAgreed(
  desired: DesiredDomains,
  runs: readonly Run[],
  revision: number,
): { readonly desired: DesiredDomains; readonly dropped: readonly string[] } {
  const dropped: string[] = [];
  const entries = runs.map(({ domain, hash, version, state, at }): [string, Desired] => {
    const before = own(desired, domain);
    const former = before === undefined ? [] : [before.hash, ...before.previous];
    const previous = former.filter((each) => each !== hash);
    dropped.push(...previous.slice(KEPT));
    return [domain, { hash, version, state, at, revision, previous: previous.slice(0, KEPT) }];
  });
  return { desired: { ...desired, ...Object.fromEntries(entries) }, dropped };
}

export function driftOf(
  desired: DesiredDomains,
  members: readonly Member[],
  { nowMs, serves }: Circumstances,
): readonly Drift[] {
  return members.flatMap((member) => {
    const { node, at, isNamed, roles } = member;
    const agoMs = nowMs - at;
    if (agoMs > AWAY_MS) {
      const does = `has not reported for ${Math.round(agoMs / 1_000)} s`;
      return isNamed ? [{ node, domain: '', shall: 'be there', does }] : [];
    }
    return Object.entries(desired).flatMap(([domain, shall]) => {
      if (!serves(roles, domain)) return [];
      const its = runOf(member, domain);
      const does = deviation(shall, its, nowMs);
      return does === undefined ? [] : [{ node, domain, shall: wordsOf(shall), does }];
    });
  });
}

/** Undefined: it runs what it shall, or what it runs is about to be what all shall run. */
function deviation(shall: Desired, its: Run | undefined, nowMs: number): string | undefined {
  if (its === undefined) return shall.state === 'retired' ? undefined : 'has none';
  const isSettling = its.at > shall.at && nowMs - its.at < SETTLING_MS;
  if (isSettling) return undefined;
  const onItsWay = its.pending === undefined ? '' : `, ${its.pending} is on its way`;
  if (shall.state === 'retired') return its.state === 'retired' ? undefined : `${wordsOf(its)}${onItsWay}`;
  if (its.isDown === true) return `does not answer${onItsWay}`;
  return isSame(shall, its) ? undefined : `${wordsOf(its)}${onItsWay}`;
}

function wordsOf({ version, state, hash }: Pick<Run, 'version' | 'state' | 'hash'>): string {
  return state === 'retired' ? 'nothing' : `${version} (${hash.slice(0, 12)})${state === 'paused' ? ', paused' : ''}`;
}

/** n.b. of what is out of service it does not matter which version that was. */
export function isSame(one: Pick<Run, 'hash' | 'state'>, other: Pick<Run, 'hash' | 'state'>): boolean {
  return one.state === other.state && (one.state === 'retired' || one.hash === other.hash);
}

function runOf({ runs }: Member, domain: string): Run | undefined {
  return runs.find((each) => each.domain === domain);
}

function own(desired: DesiredDomains, domain: string): Desired | undefined {
  return Object.hasOwn(desired, domain) ? desired[domain] : undefined;
}
