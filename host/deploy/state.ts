import { z } from 'zod';
import type { Finding } from '../template/contract.js';
import type { Leftovers } from '../template/leftovers.js';
import type { LifecycleState } from '../template/lifecycle.js';
import type { LeftView, VersionView } from '../admin/views.js';
import type { HistoryEntry } from './history.js';
import type { Cause, RolloutPlan } from './plan.js';

/** A version that served, by its bytes. */
export interface ServedVersion {
  readonly hash: string;
  readonly version: string;
  /** ISO 8601 instant at which it took over. */
  readonly at: string;
}

/** Who decided about a domain: what lies in the plugin directory, or what was ordered, by an operator or after harm. */
export type Origin = 'directory' | 'deploy';

export interface Strike {
  readonly atMs: number;
  readonly reason: string;
}

/** What is known of bytes beside where they serve. */
export interface KnownVersion {
  readonly version: string;
  readonly strikes: readonly Strike[];
  /** These bytes are refused until an operator lifts that. */
  readonly quarantine: { readonly since: string; readonly code: string; readonly message: string } | undefined;
  /** They were refused since they were last put into the plugin directory. */
  readonly isRefused: boolean;
  /** They lay in the plugin directory during this run. */
  readonly wasSeen: boolean;
}

/** A bundle of the plugin directory, without its bytes. Times are wall clock, milliseconds since 1970. */
export interface DroppedVersion {
  readonly entry: string;
  readonly hash: string;
  readonly version: string;
  /** When somebody began to put it there, as far as that shows. */
  readonly begunAt: number;
  /** When the file or folder was made, here or where it was moved from. */
  readonly bornAt: number;
  /** Its last change. */
  readonly changedAt: number;
}

/** What one look at the plugin directory found; it is decided when the look is over. */
export interface FoundVersion extends DroppedVersion {
  readonly completeAt: number;
  /** It serves or is on its way already. */
  readonly isThere: boolean;
}

/** Versions of a domain that were dropped together. */
export interface Burst {
  readonly best: DroppedVersion;
  /** When the best one served, waited or was refused. */
  readonly decidedAt: number | undefined;
  /** Of the one that came last. */
  readonly changedAt: number;
  readonly members: readonly DroppedVersion[];
}

/** Everything that is known of a domain. What follows `versions` is true of this run only. */
export interface Domain {
  /** Newest first; the first serves, where the domain is in service. */
  readonly served: readonly ServedVersion[];
  readonly isServed: boolean;
  readonly origin: Origin;
  /** No new version takes over until an operator promotes it. */
  readonly paused: boolean;
  /** By hash. */
  readonly versions: Readonly<Record<string, KnownVersion>>;
  /** The generation that answers. */
  readonly live: number | undefined;
  /** The generation that is observed beside it. */
  readonly trial: number | undefined;
  /** Nothing answers because all that served is in quarantine: the hash of a version that names its operations. */
  readonly withheld: string | undefined;
  readonly isToBeWithheld: boolean;
  /** The generation whose requests wait in their queues, because it does harm. */
  readonly held: number | undefined;
  /** What serves does so because the version after it did harm. */
  readonly isRestored: boolean;
  /** Database objects of the live version that are no longer as it was admitted. */
  readonly degraded: readonly Finding[];
  readonly found: readonly FoundVersion[];
  readonly burst: Burst | undefined;
  /** What a person sees. */
  readonly shown: {
    readonly live: VersionView | undefined;
    /** The newest version that does not serve, or not yet. */
    readonly candidate: VersionView | undefined;
    /** It lies in the plugin directory beside a higher one; shown where nothing is on its way. */
    readonly superseded: VersionView | undefined;
    /** Retired generations that left something behind, newest last. */
    readonly left: readonly LeftView[];
  };
}

/** A version as the broker threads have it. */
export interface Generation {
  readonly id: number;
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  /** The rollout that brought it. */
  readonly rollout: number;
  readonly state: 'prepared' | 'candidate' | 'live' | 'draining';
  /** Of a candidate: whom it answers. */
  readonly share: { readonly percent: number; readonly shadowPercent: number; readonly salt: number } | undefined;
  /** Of one that drains: the threads that still have it, what they had to end for it, and why nothing takes its place. */
  readonly threads: readonly string[];
  readonly left: Leftovers;
  readonly why: Finding | undefined;
}

/** A version on its way. */
export interface Member {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly admission: 'open' | 'waiting' | 'admitted' | 'refused';
  readonly generation: number | undefined;
  /** Why it was refused; of one that was admitted: what callers of the serving version lose. */
  readonly findings: readonly Finding[];
  /** What whoever brought it is told when it takes over. */
  readonly remarks: readonly Finding[];
}

/** A reason to end a canary; without a domain it goes for all of them. */
export interface Objection {
  readonly domain?: string;
  readonly finding: Finding;
}

/**
 * Where a rollout stands, in this order:
 * - `queued`: others of its domains come first
 * - `admit`: its bytes are staged, verified, probed and compared with the database
 * - `ready`: it may be prepared, unless an operator paused one of its domains
 * - `prepare`: the threads load it
 * - `prepared`: it may answer, unless paused
 * - `trial`: it is a canary
 * - `withdraw`: it was a canary and is taken out again
 * - `activate`: the threads are about to route to it
 * - `flipped`: it answers; nothing calls it back
 */
export type Stage =
  'queued' | 'admit' | 'ready' | 'prepare' | 'prepared' | 'trial' | 'withdraw' | 'activate' | 'flipped';

/** Versions that are to take over together, one of each domain, or not at all. */
export interface Rollout {
  readonly kind: 'rollout';
  readonly id: number;
  readonly cause: Cause;
  readonly plan: RolloutPlan;
  /** When the bytes were complete, milliseconds since 1970. */
  readonly completeAt: number;
  readonly members: readonly Member[];
  /** Staged versions of its only domain that stand in, in this order, where the copy before is damaged. */
  readonly alternatives: readonly string[];
  /** Versions that were tried before it for the same reason, in vain. */
  readonly tried: readonly string[];
  readonly stage: Stage;
  /** An operator promoted it: it is no canary. */
  readonly isHurried: boolean;
  /** A canary that stays one until an operator promotes it. */
  readonly isHeld: boolean;
  /** It waited for a database, its administrator, RabbitMQ, time or an operator: a start does not wait for it. */
  readonly hasWaited: boolean;
  readonly isPauseNoted: boolean;
  /** Why it is withdrawn. */
  readonly objections: readonly Objection[];
}

/** A domain is taken out of service, after what was asked before. */
export interface Retirement {
  readonly kind: 'retirement';
  readonly id: number;
  readonly domain: string;
  readonly why: Finding;
  readonly hasBegun: boolean;
}

export interface State {
  readonly lastId: number;
  readonly lastGeneration: number;
  readonly domains: Readonly<Record<string, Domain>>;
  readonly generations: Readonly<Record<string, Generation>>;
  /** In the order in which they were asked for. */
  readonly queue: readonly (Rollout | Retirement)[];
  /** Complete bundles in the plugin directory, by name. */
  readonly entries: Readonly<
    Record<string, { readonly domain: string; readonly version: string; readonly hash: string }>
  >;
  /** The bytes that an entry had when its domain was last decided, by this run or one before. */
  readonly settled: Readonly<Record<string, string>>;
  /** Bytes that are to be copied to the stage though they do not serve now. */
  readonly toStage: readonly string[];
  /** All of the plugin directory was seen in this run. */
  readonly hasSeenDirectory: boolean;
}

/** A version changed its state. */
export interface Transition {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly state: LifecycleState;
  readonly cause?: Cause;
  readonly generation?: number;
  readonly findings?: readonly Finding[];
  /** Milliseconds since the bytes were complete. */
  readonly ms?: number;
  /** Milliseconds that the change of the routes took on all threads; of `canary` and `active`. */
  readonly flipMs?: number;
  /** Of `retired`: what the version had not ended by itself, on all threads; absent where it left nothing. */
  readonly left?: Leftovers;
}

export const EMPTY_STATE: State = {
  lastId: 0,
  lastGeneration: 0,
  domains: {},
  generations: {},
  queue: [],
  entries: {},
  settled: {},
  toStage: [],
  hasSeenDirectory: false,
};

const UNKNOWN: Domain = {
  served: [],
  isServed: false,
  origin: 'directory',
  paused: false,
  versions: {},
  live: undefined,
  trial: undefined,
  withheld: undefined,
  isToBeWithheld: false,
  held: undefined,
  isRestored: false,
  degraded: [],
  found: [],
  burst: undefined,
  shown: { live: undefined, candidate: undefined, superseded: undefined, left: [] },
};

/** They run beside what is on its way, which may wait for long, and give way to it when it takes over first. */
const BESIDE: ReadonlySet<Cause> = new Set(['boot', 'refresh']);

export function domainOf(state: State, name: string): Domain {
  return Object.hasOwn(state.domains, name) ? (state.domains[name] ?? UNKNOWN) : UNKNOWN;
}

export function generationOf(state: State, id: number | undefined): Generation | undefined {
  return id === undefined ? undefined : state.generations[id];
}

export function liveOf(state: State, domain: string): Generation | undefined {
  return generationOf(state, domainOf(state, domain).live);
}

export function rolloutsOf(state: State): readonly Rollout[] {
  return state.queue.filter((item) => item.kind === 'rollout');
}

export function rolloutOf(state: State, id: number): Rollout | undefined {
  return rolloutsOf(state).find((rollout) => rollout.id === id);
}

export function domainsOf(item: Rollout | Retirement): readonly string[] {
  return item.kind === 'retirement' ? [item.domain] : item.members.map(({ domain }) => domain);
}

/** Of what shares a place, only the first acts. */
export function placesOf(item: Rollout | Retirement): readonly string[] {
  const isBeside = item.kind === 'rollout' && BESIDE.has(item.cause);
  return isBeside ? domainsOf(item).map((domain) => `${item.cause} of ${domain}`) : domainsOf(item);
}

/** The newest rollout of a domain, without what the host repeats by itself beside it. */
export function pendingOf(state: State, domain: string): Rollout | undefined {
  return rolloutsOf(state).findLast((rollout) => !BESIDE.has(rollout.cause) && domainsOf(rollout).includes(domain));
}

export function isOnItsWay(state: State, hash: string): boolean {
  return rolloutsOf(state).some(({ members }) => members.some((member) => member.hash === hash));
}

/** Nothing is asked of the domain, and these bytes serve it. */
export function isServing(state: State, domain: string, hash: string): boolean {
  return liveOf(state, domain)?.hash === hash && !state.queue.some((item) => placesOf(item).includes(domain));
}

export function isQuarantined(state: State, domain: string, hash: string): boolean {
  return domainOf(state, domain).versions[hash]?.quarantine !== undefined;
}

/** Whether bytes that are in quarantine serve it. */
export function isHarmed(state: State, domain: string): boolean {
  const live = liveOf(state, domain);
  return live !== undefined && isQuarantined(state, domain, live.hash);
}

export function isInDirectory(state: State, hash: string): boolean {
  return Object.values(state.entries).some((entry) => entry.hash === hash);
}

/** Fewer digits of a hash could be taken for a version. */
const MIN_HASH_DIGITS = 6;

/** Whether a person means these bytes: by the version, or by the hash or its beginning, at least six digits. */
export function isNamed(bytes: { readonly version: string; readonly hash: string }, name: string): boolean {
  return bytes.version === name || (name.length >= MIN_HASH_DIGITS && bytes.hash.startsWith(name));
}

/** Bytes that must stay in the stage: what serves, what one may go back to, and what may still come. */
export function hashesInUse(state: State): ReadonlySet<string> {
  return new Set([
    ...Object.values(state.entries).map(({ hash }) => hash),
    ...rolloutsOf(state).flatMap(({ members }) => members.map(({ hash }) => hash)),
    ...Object.values(state.generations).flatMap(({ state: is, hash }) => (is === 'draining' ? [] : [hash])),
    ...Object.values(state.domains).flatMap(({ served }) => served.map(({ hash }) => hash)),
  ]);
}

/** Everything that is asked serves, was refused, is observed or waits for somebody outside. */
export function isDecided(state: State): boolean {
  const isOpen = (item: Rollout | Retirement): boolean => item.kind === 'retirement' || !item.hasWaited;
  return !state.queue.some(isOpen) && !Object.values(state.domains).some(({ isToBeWithheld }) => isToBeWithheld);
}

export function strikesOf({ strikes }: KnownVersion, nowMs: number, periodMs: number): readonly Strike[] {
  return strikes.filter(({ atMs }) => nowMs - atMs < periodMs);
}

const versionSchema = z.object({
  version: z.string(),
  strikes: z.array(z.object({ atMs: z.number(), reason: z.string() })),
  quarantine: z.object({ since: z.string(), code: z.string(), message: z.string() }).optional(),
});
const domainSchema = z.object({
  served: z.array(z.object({ hash: z.string(), version: z.string(), at: z.string() })),
  isServed: z.boolean(),
  origin: z.enum(['directory', 'deploy']),
  paused: z.boolean(),
  versions: z.record(z.string(), versionSchema),
});
const fileSchema = z.object({
  v: z.literal(1),
  domains: z.record(z.string(), domainSchema),
  settled: z.record(z.string(), z.string()),
});

/** The state as the disk has it: without what is true of one run of the host only. */
export type StateOnDisk = z.output<typeof fileSchema>;

export function parseStateOnDisk(value: unknown): StateOnDisk | undefined {
  return fileSchema.safeParse(value).data;
}

/** n.b. what was dropped is found again in the plugin directory; an operator follows what he ordered. */
export function toDisk(state: State): StateOnDisk {
  const retiring = new Set(state.queue.flatMap((item) => (item.kind === 'retirement' ? [item.domain] : [])));
  const domains = Object.entries(state.domains).filter(([, domain]) => isWorthKeeping(domain));
  return {
    v: 1,
    domains: Object.fromEntries(
      domains.map(([name, { served, isServed, origin, paused, versions }]) => {
        const kept = Object.entries(versions).filter(([, known]) => isKnownForHarm(known));
        return [
          name,
          {
            served: served.map(({ hash, version, at }) => ({ hash, version, at })),
            isServed: isServed && !retiring.has(name),
            origin,
            paused,
            versions: Object.fromEntries(
              kept.map(([hash, { version, strikes, quarantine }]) => [
                hash,
                { version, strikes: [...strikes], quarantine },
              ]),
            ),
          },
        ];
      }),
    ),
    settled: state.settled,
  };
}

/** Whether the disk would have the same of both; cheap, because what did not change is the same object. */
export function isSameOnDisk(a: State, b: State): boolean {
  if (a.settled !== b.settled) return false;
  const retiring = (state: State): string =>
    state.queue.flatMap((item) => (item.kind === 'retirement' ? [item.domain] : [])).join();
  if (a.queue !== b.queue && retiring(a) !== retiring(b)) return false;
  if (a.domains === b.domains) return true;
  const names = new Set([...Object.keys(a.domains), ...Object.keys(b.domains)]);
  return [...names].every((name) => {
    const [before, after] = [domainOf(a, name), domainOf(b, name)];
    return (
      before === after ||
      (before.served === after.served &&
        before.isServed === after.isServed &&
        before.origin === after.origin &&
        before.paused === after.paused &&
        hasSameHarm(before, after))
    );
  });
}

function hasSameHarm({ versions: a }: Domain, { versions: b }: Domain): boolean {
  if (a === b) return true;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((hash) => {
    const [before, after] = [a[hash], b[hash]];
    return (
      (before?.strikes ?? NO_STRIKES) === (after?.strikes ?? NO_STRIKES) && before?.quarantine === after?.quarantine
    );
  });
}

/** One for all, so that nothing is told from nothing by comparing references. */
export const NO_STRIKES: readonly Strike[] = [];

function isWorthKeeping({ served, paused, versions }: Domain): boolean {
  return served.length > 0 || paused || Object.values(versions).some(isKnownForHarm);
}

export function isKnownForHarm({ strikes, quarantine }: KnownVersion): boolean {
  return strikes.length > 0 || quarantine !== undefined;
}

/** Where a host begins that left this behind. */
export function fromDisk({ domains, settled }: StateOnDisk): State {
  return {
    ...EMPTY_STATE,
    settled,
    domains: Object.fromEntries(
      Object.entries(domains).map(([name, { served, isServed, origin, paused, versions }]) => [
        name,
        {
          ...UNKNOWN,
          served,
          isServed,
          origin,
          paused,
          versions: Object.fromEntries(
            Object.entries(versions).map(([hash, { version, strikes, quarantine }]) => [
              hash,
              { version, strikes, quarantine, isRefused: false, wasSeen: false },
            ]),
          ),
        },
      ]),
    ),
  };
}

/** What the history says of the state, for a host whose file is damaged: who served, was retired, did harm. */
export function fromHistory(entries: readonly HistoryEntry[], keepVersions: number): StateOnDisk {
  const domains: StateOnDisk['domains'] = {};
  for (const { domain: name, hash, version, state, at, findings = [] } of entries) {
    const domain = (domains[name] ??= { served: [], isServed: false, origin: 'deploy', paused: false, versions: {} });
    if (state === 'active') {
      const others = domain.served.filter((served) => served.hash !== hash);
      domain.served = [{ hash, version, at }, ...others].slice(0, keepVersions);
      domain.isServed = true;
      // It was lifted before it served again.
      domain.versions = Object.fromEntries(Object.entries(domain.versions).filter(([known]) => known !== hash));
    } else if (state === 'quarantined') {
      const [{ code, message } = { code: '', message: '' }] = findings;
      domain.versions[hash] = { version, strikes: [], quarantine: { since: at, code, message } };
    } else if (state === 'retired' && findings.length > 0 && domain.served[0]?.hash === hash) domain.isServed = false;
  }
  const worth = Object.entries(domains).filter(
    ([, { served, versions }]) => served.length > 0 || Object.keys(versions).length > 0,
  );
  return { v: 1, domains: Object.fromEntries(worth), settled: {} };
}

export interface RolloutRequest {
  readonly id: number;
  readonly cause: Cause;
  readonly plan: RolloutPlan;
  readonly completeAt: number;
  readonly versions: readonly Pick<Member, 'domain' | 'version' | 'hash'>[];
  readonly alternatives?: readonly string[];
  readonly tried?: readonly string[];
}

export function newRollout(request: RolloutRequest): Rollout {
  const { id, cause, plan, completeAt, versions, alternatives = [], tried = [] } = request;
  return {
    kind: 'rollout',
    id,
    cause,
    plan,
    completeAt,
    members: versions.map(({ domain, version, hash }) => ({
      domain,
      version,
      hash,
      admission: 'open',
      generation: undefined,
      findings: [],
      remarks: [],
    })),
    alternatives,
    tried,
    stage: 'queued',
    isHurried: false,
    isHeld: plan.hold,
    hasWaited: false,
    isPauseNoted: false,
    objections: [],
  };
}
