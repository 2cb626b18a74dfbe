import { makeFinding } from '../../template/make-finding.js';
import { compareVersions } from '../compare-versions.js';
import type { Step } from '../reconcile.js';
import type { Burst, DroppedVersion, FoundVersion } from '../state.js';

/** A complete bundle that a look at the plugin directory found. */
export interface Dropped extends Omit<FoundVersion, 'isThere'> {
  readonly domain: string;
}

/** A complete bundle that is gone. */
export interface Removed {
  readonly entry: string;
  readonly domain: string;
  readonly hash: string;
  /** Entries of the same domain that are complete and still there, oldest first. */
  readonly others: readonly string[];
}

/** Between two files of one copy. */
const NEXT_FILE_MS = 25;
/** File systems stamp changes with the tick of a clock, which lags behind. */
const TICK_MS = 10;
/** A file that is older than its predecessor's arrival by more was moved here: its age says nothing. */
const MOVED_MS = 2_000;

/** It is decided when the look is over, together with what else the look found of its domain. */
export function dropped(step: Step, { domain, ...found }: Dropped): void {
  const { entry, hash, version } = found;
  const { served, isServed } = step.domain(domain);
  const isSettled = own(step.state.settled, entry) === hash;
  const isConfirmed = isServed && served[0]?.hash === hash;
  deleteEntry(step, entry);
  step.state = { ...step.state, entries: { ...step.state.entries, [entry]: { domain, version, hash } } };
  step.patchVersion(domain, { hash, version }, { wasSeen: true });
  step.forgetVersions(domain);
  // It lay there already when the host was stopped, and something was decided after it: that counts.
  if (isSettled && !isConfirmed) return;
  step.patchVersion(domain, { hash, version }, { isRefused: false });
  const isThere = step.isServing(domain, hash) || step.isOnItsWay(hash);
  if (isThere && isSettled) return;
  step.patch(domain, { found: [...step.domain(domain).found, { ...found, isThere }] });
}

export function removed(step: Step, { entry, domain, hash, others }: Removed): void {
  deleteEntry(step, entry);
  forgetSettled(step, (name) => name === entry);
  const hashOf = (name: string): string | undefined => own(step.state.entries, name)?.hash;
  // Renamed, or there twice: the same bytes are still in the directory.
  if (others.some((other) => hashOf(other) === hash)) return;
  for (const item of step.state.queue) {
    if (item.kind === 'rollout' && item.cause === 'drop' && item.stage !== 'flipped') {
      if (item.members.some((member) => member.hash === hash)) step.abandon(item);
    }
  }
  const live = step.live(domain)?.hash;
  if (live !== hash) {
    step.forgetCandidate(domain);
    // The next of those that were dropped with it is tried, if it is an advance.
    if (step.domain(domain).burst?.decidedAt === undefined) tryNext(step, domain, hash);
  }
  // What an operator deployed does not hang on the directory.
  if (step.domain(domain).origin === 'deploy') return;
  const remaining = others.flatMap((other) => hashOf(other) ?? []);
  // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
  const fallback = highestOf(step, others);
  if (remaining.length === 0) withoutBundle(step, domain, entry);
  // What serves from the stage does not hang on the bundles that lie there.
  else if (isFromBefore(step, domain)) return;
  // What took its place in the same look is begun by itself.
  else if (step.domain(domain).found.length > 0) return;
  else if (fallback !== undefined && !step.isOnItsWay(fallback) && !(live !== undefined && remaining.includes(live)))
    step.restore(domain, [fallback], 'restore');
}

/** A look is over: what it found together is decided together. */
export function looked(step: Step, { isWhole }: { readonly isWhole: boolean }): void {
  for (const [name, { found }] of Object.entries(step.state.domains)) {
    if (found.length === 0) continue;
    step.patch(name, { found: [] });
    if (step.rules.serves(name)) choose(step, name, found);
  }
  if (!isWhole || step.state.hasSeenDirectory) return;
  step.state = { ...step.state, hasSeenDirectory: true };
  const { entries } = step.state;
  // All of them gone at once is an accident, such as a volume that is not mounted: they must not be taken for new ones
  // when they are back.
  if (Object.keys(entries).length > 0) forgetSettled(step, (name) => !Object.hasOwn(entries, name));
  const inDirectory = new Set(Object.values(entries).map(({ domain }) => domain));
  for (const [domain, { isServed, origin }] of Object.entries(step.state.domains)) {
    if (!isServed || origin !== 'directory' || !step.rules.serves(domain) || inDirectory.has(domain)) continue;
    const message = `${domain} serves from the stage; its bundle is no longer in the plugin directory`;
    step.remarks.push({ level: 'warn', domain, message, fields: {} });
  }
}

/** The next of those that were dropped together with `hash`, where that is the best of them, is begun if it is an advance. */
export function tryNext(step: Step, domain: string, hash: string): void {
  const { burst, versions } = step.domain(domain);
  if (burst?.best.hash !== hash) return;
  const runnersUp = burst.members
    .filter((member) => member.hash !== hash)
    .toSorted((a, b) => compareVersions(b.version, a.version));
  const next = runnersUp.find((each) => step.isInDirectory(each.hash) && versions[each.hash]?.isRefused !== true);
  const live = step.live(domain);
  if (next === undefined || step.isOnItsWay(next.hash) || next.hash === live?.hash) return;
  if (live !== undefined && compareVersions(next.version, live.version) <= 0) return;
  addToBurst(step, domain, next, runnersUp);
  step.restore(domain, [next.hash], 'drop');
}

/** Of several versions that were dropped together the highest is begun; what it supersedes is said and kept. */
function choose(step: Step, domain: string, found: readonly FoundVersion[]): void {
  // Of two that are the same the later one.
  const ranked = found.toReversed().sort((a, b) => compareVersions(b.version, a.version));
  const [best] = ranked;
  if (best === undefined) return;
  const others = ranked.filter(({ hash }) => hash !== best.hash);
  const former = formerOf(step, domain, best);
  if (former !== undefined && compareVersions(best.version, former.version) < 0) {
    for (const each of [best, ...others]) supersede(step, domain, { each, by: former });
    addToBurst(step, domain, former, ranked);
    return;
  }
  const isOvertaken = former !== undefined && step.domain(domain).burst?.decidedAt === undefined;
  addToBurst(step, domain, best, others);
  for (const each of others) supersede(step, domain, { each, by: best });
  if (isOvertaken) sayHigher(step, domain, { each: former, by: best });
  if (best.isThere) return;
  const { version, hash, completeAt } = best;
  step.begin({ versions: [{ domain, version, hash }], cause: 'drop', completeAt });
}

/** What was dropped together with it before, as long as it lies there under another name and was not refused. */
function formerOf(step: Step, domain: string, dropped: DroppedVersion): DroppedVersion | undefined {
  const { burst, versions } = step.domain(domain);
  if (burst === undefined || !belongs(step, burst, dropped)) return undefined;
  const { best } = burst;
  if (best.entry === dropped.entry || best.hash === dropped.hash) return undefined;
  const isThere = own(step.state.entries, best.entry)?.hash === best.hash;
  return isThere && versions[best.hash]?.isRefused !== true ? best : undefined;
}

/**
 * Copying tools put one file after the other into the directory: what somebody began to put there before the version
 * before it took over, or right after the last one, belongs to it.
 */
function belongs(
  step: Step,
  { best, decidedAt, changedAt }: Burst,
  { begunAt, bornAt }: Pick<DroppedVersion, 'begunAt' | 'bornAt'>,
): boolean {
  if (decidedAt === undefined) return step.isOnItsWay(best.hash);
  const from = bornAt >= changedAt - MOVED_MS ? Math.min(bornAt, begunAt) : begunAt;
  return from <= Math.max(decidedAt - TICK_MS, changedAt + NEXT_FILE_MS);
}

/** Members come to `best`, which takes the place of the one before. */
function addToBurst(
  step: Step,
  domain: string,
  ...[best, members]: [best: DroppedVersion, members: readonly DroppedVersion[]]
): void {
  const { burst } = step.domain(domain);
  const before = burst !== undefined && belongs(step, burst, best) ? burst : undefined;
  const all = [...(before?.members ?? []), ...members, best].map(
    ({ entry, hash, version, begunAt, bornAt, changedAt }) => ({ entry, hash, version, begunAt, bornAt, changedAt }),
  );
  step.patch(domain, {
    burst: {
      best,
      decidedAt: before?.best.hash === best.hash ? before.decidedAt : undefined,
      changedAt: Math.max(...all.map(({ changedAt }) => changedAt)),
      members: [...new Map(all.map((member) => [member.hash, member])).values()],
    },
  });
}

/** It is kept in the stage: where the other one goes, it may serve. */
function supersede(
  step: Step,
  domain: string,
  pair: { readonly each: FoundVersion; readonly by: DroppedVersion },
): void {
  const { hash } = pair.each;
  step.state = { ...step.state, toStage: [...step.state.toStage.filter((other) => other !== hash), hash] };
  sayHigher(step, domain, pair);
  // The other one was decided without it, and a restart must not take it for a new one.
  if (step.domain(domain).burst?.decidedAt !== undefined) step.settle((entry) => entry.hash === hash);
}

function sayHigher(
  step: Step,
  domain: string,
  { each: { entry, version, hash }, by }: { readonly each: DroppedVersion; readonly by: DroppedVersion },
): void {
  const isEqual = compareVersions(version, by.version) === 0;
  const both =
    version === by.version ? `both ${domain} ${version}, with other bytes` : `versions of ${domain} of equal rank`;
  const words = isEqual
    ? `${entry} and ${by.entry} were dropped together and are ${both}; ${by.entry} came last.`
    : `${domain} ${version} (${entry}) was dropped together with ${by.version} (${by.entry}), which is higher.`;
  const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
  step.note({ domain, version, hash, state: 'superseded', cause: 'drop', findings });
}

/** The last bundle of a domain is gone. What was never in the directory does not end with it. */
function withoutBundle(step: Step, domain: string, entry: string): void {
  const words = `${entry}, the last bundle of ${domain}, was removed from the plugin directory.`;
  if (!isFromBefore(step, domain)) step.retire(domain, makeFinding('BEDS_ROLLOUT_REMOVED', words));
  else if (step.live(domain) === undefined) step.goBack(domain, 'boot');
}

/** What serves, or is to serve again, was not in the directory since the host started. */
function isFromBefore(step: Step, name: string): boolean {
  const { served, isServed, versions } = step.domain(name);
  const current = step.live(name)?.hash ?? (isServed ? served[0]?.hash : undefined);
  return current !== undefined && versions[current]?.wasSeen !== true;
}

/** Of those that were not refused, the highest version; of two that are the same the later name. */
function highestOf(step: Step, names: readonly string[]): string | undefined {
  const candidates = names
    .flatMap((name) => own(step.state.entries, name) ?? [])
    .filter(({ domain, hash }) => step.domain(domain).versions[hash]?.isRefused !== true);
  return candidates.reduce<(typeof candidates)[number] | undefined>(
    (best, entry) => (best !== undefined && compareVersions(best.version, entry.version) > 0 ? best : entry),
    undefined,
  )?.hash;
}

/** Other bytes under its name, or none: that it was refused counts no longer where it is nowhere else. */
function deleteEntry(step: Step, name: string): void {
  const entry = own(step.state.entries, name);
  if (entry === undefined) return;
  const { [name]: _, ...entries } = step.state.entries;
  step.state = { ...step.state, entries };
  if (step.isInDirectory(entry.hash)) return;
  step.patchVersion(entry.domain, entry, { isRefused: false });
  step.forgetVersions(entry.domain);
}

function forgetSettled(step: Step, which: (name: string) => boolean): void {
  const { settled } = step.state;
  const kept = Object.entries(settled).filter(([name]) => !which(name));
  if (kept.length < Object.keys(settled).length) step.state = { ...step.state, settled: Object.fromEntries(kept) };
}

/** n.b. an entry may be named like what every object has. */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
