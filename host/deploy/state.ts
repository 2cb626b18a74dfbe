import type { Finding, LifecycleState } from '../template/contract.js';
import type { Leftovers } from '../template/template-timers.js';
import type { LeftView, VersionView } from '../admin/views.js';
import type { Config } from '../config/schema.js';

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

/** What one look at the plugin directory found, and counts as new. */
export interface FoundVersion extends DroppedVersion {
  readonly completeAt: number;
  /** It serves or is on its way already. */
  readonly isThere: boolean;
}

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

/** A broker thread that ended without being asked to. */
export interface ThreadLoss {
  readonly thread: string;
  readonly reason: string;
  /** The generation whose code the thread entered last. */
  readonly generation: number;
  /** It was a process of its own that was killed; `sole`: one domain and its callers were all that it served. */
  readonly killed?: 'sole' | 'shared';
}

/** How a version is to take over. */
export interface RolloutPlan {
  /** Percent of the callers that it answers at first; 0: none. */
  readonly canaryPercent: number;
  /** Percent of the reads that it gets a copy of; 0: none. With either of them it is a canary first. */
  readonly shadowPercent: number;
  /** How long it must hold as a canary. */
  readonly forMs: number;
  readonly allowBreaking: boolean;
  /** Stay a canary until an operator promotes it. */
  readonly hold: boolean;
}

/** The options of a command. The configuration has the others. */
export type RolloutOptions = Partial<RolloutPlan>;

/**
 * Why a version is on its way:
 * - `drop`: it came into the plugin directory
 * - `deploy`, `rollback`: an operator ordered it
 * - `restore`: the bundle that had taken its place is gone from the plugin directory
 * - `boot`: it served when the host was stopped
 * - `quarantine`: the version that had taken its place is in quarantine
 * - `refresh`: the DBA changed an object that it uses
 */
export type Cause = 'drop' | 'deploy' | 'rollback' | 'restore' | 'boot' | 'quarantine' | 'refresh';

/** A version on its way. */
export interface Member {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly admission: 'open' | 'waiting' | 'admitted' | 'refused';
  readonly generation: number | undefined;
  /** Why it was refused; of one that was admitted: what callers of the serving version lose. */
  readonly findings: readonly Finding[];
  /** Findings that are reported when it takes over. */
  readonly remarks: readonly Finding[];
  /** Domains that it calls; known when it is admitted. */
  readonly peers: readonly string[];
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
  /** It runs beside what is on its way, waits for what is away, and gives way to whatever takes over first. */
  readonly isBeside: boolean;
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
  /** In the order of the requests. */
  readonly queue: readonly (Rollout | Retirement)[];
  /** Complete bundles in the plugin directory, by name. */
  readonly entries: Readonly<
    Record<string, { readonly domain: string; readonly version: string; readonly hash: string }>
  >;
  /** The bytes that an entry had when its domain was last decided, by this run or one before. */
  readonly settled: Readonly<Record<string, string>>;
  /** Bytes that were decided under a name that nobody knows any more; until all of the plugin directory was seen. */
  readonly settledBytes: readonly string[];
  /** Bytes that are to be copied to the stage though they do not serve now. */
  readonly toStage: readonly string[];
  /** All of the plugin directory was seen in this run. */
  readonly hasSeenDirectory: boolean;
  /** Domains of which nothing was known before an admin node said what shall run: it has decided about what lies in the plugin directory. */
  readonly given: readonly string[];
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
  settledBytes: [],
  toStage: [],
  hasSeenDirectory: false,
  given: [],
};

/** A domain of which nothing is known. */
export const UNKNOWN: Domain = {
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
  burst: undefined,
  shown: { live: undefined, candidate: undefined, superseded: undefined, left: [] },
};

/** One shared empty value, so that comparing references finds no difference. */
export const NO_STRIKES: readonly Strike[] = [];

/** What decisions go by that does not change while a host runs. */
export interface Rules {
  readonly settings: Config['rollout'];
  /** Versions of a domain that one may go back to. */
  readonly keepVersions: number;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
}

/** Something that a person should know and that changes no version's state. */
export interface Remark {
  readonly level: 'warn' | 'fault';
  readonly domain: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** What a look at the plugin directory found to be otherwise than before. */
export type DirectoryChange =
  | ({ readonly kind: 'dropped' } & Dropped)
  | ({ readonly kind: 'removed' } & Removed)
  /** What lies there cannot become a bundle. */
  | ({ readonly kind: 'malformed'; readonly findings: readonly Finding[] } & Pick<
      Transition,
      'domain' | 'version' | 'hash'
    >)
  /** What was malformed is gone, or is something else now. */
  | { readonly kind: 'withdrawn'; readonly domain: string };

/** What all nodes shall run of a domain. */
export interface DesiredVersion {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly state: 'serve' | 'paused' | 'retired';
}

/** Something that happened. The first group comes from outside, the second is what became of commands. */
export type DeployEvent =
  | { readonly kind: 'boot' }
  /** What shall run, as an admin node says; before `boot`. */
  | { readonly kind: 'desired'; readonly versions: readonly DesiredVersion[] }
  /** A look at the plugin directory is over; `isWhole`: everything in it could be looked at. */
  | { readonly kind: 'looked'; readonly changes: readonly DirectoryChange[]; readonly isWhole: boolean }
  | {
      readonly kind: 'deploy';
      readonly versions: readonly Pick<Member, 'domain' | 'version' | 'hash'>[];
      readonly plan: RolloutPlan;
    }
  | { readonly kind: 'restore'; readonly domain: string; readonly hash: string }
  /** An operator or the host ends what is on its way. */
  | { readonly kind: 'end'; readonly rollout: number; readonly finding: Finding; readonly orderedFor?: string }
  | { readonly kind: 'promote' | 'pause' | 'retire'; readonly domain: string }
  /** A hash or its beginning, or a domain. */
  | { readonly kind: 'lift'; readonly name: string }
  | ({ readonly kind: 'thread-lost' } & ThreadLoss)
  | { readonly kind: 'thread-released'; readonly thread: string }
  /** A version goes on leaving faults that no request ended with. */
  | { readonly kind: 'strayed'; readonly generation: number; readonly strays: number; readonly requests: number }
  | { readonly kind: 'schema'; readonly domain: string; readonly hash: string; readonly change: 'refit' }
  | {
      readonly kind: 'schema';
      readonly domain: string;
      readonly change: 'degraded';
      readonly findings: readonly Finding[];
    }
  | CommandResult;

/** Steps of its admission that a version has passed since it was last told of. */
export interface Passed {
  readonly hash: string;
  readonly passed: readonly Extract<LifecycleState, 'verified' | 'probed'>[];
}

export type CommandResult =
  | ({ readonly kind: 'progress'; readonly rollout: number } & Passed)
  /** The stage has no sound copy of it. */
  | { readonly kind: 'missing'; readonly rollout: number; readonly hash: string }
  | ({
      readonly kind: 'waits' | 'refused';
      readonly rollout: number;
      readonly findings: readonly Finding[];
    } & Passed)
  | ({
      readonly kind: 'admitted';
      readonly rollout: number;
      /** What callers of the serving version lose. */
      readonly findings: readonly Finding[];
      /** Domains that it calls. */
      readonly peers: readonly string[];
    } & Passed)
  | { readonly kind: 'prepared'; readonly rollout: number }
  | { readonly kind: 'rabbit-away' | 'failed'; readonly rollout: number; readonly finding: Finding }
  | { readonly kind: 'trial-routed'; readonly rollout: number; readonly percent: number }
  | { readonly kind: 'trial-begun'; readonly rollout: number }
  | { readonly kind: 'verdict'; readonly rollout: number; readonly objections: readonly Objection[] }
  | { readonly kind: 'candidates-out'; readonly generations: readonly number[]; readonly threads: ThreadNames }
  | { readonly kind: 'candidates-gone'; readonly rollout: number }
  | { readonly kind: 'discarded'; readonly generation: number }
  /** The routes are about to change; the last moment at which it may be unwanted. */
  | { readonly kind: 'flip'; readonly rollout: number; readonly threads: ThreadNames }
  | {
      readonly kind: 'flipped';
      readonly rollout: number;
      readonly flipMs: number;
      /** What shadowing found, by generation. */
      readonly findings: Readonly<Record<number, readonly Finding[]>>;
    }
  /** Undefined: not held any more. */
  | { readonly kind: 'held'; readonly domain: string; readonly generation: number | undefined }
  /** `hash`: a version that names the operations; without it none is known. */
  | { readonly kind: 'withhold'; readonly domain: string; readonly hash?: string; readonly threads: ThreadNames }
  | {
      readonly kind: 'out-of-service';
      readonly domain: string;
      readonly why: Finding;
      readonly threads: ThreadNames;
    }
  | { readonly kind: 'retirement-done'; readonly retirement: number }
  | { readonly kind: 'staged'; readonly hash: string }
  | { readonly kind: 'drained'; readonly generation: number; readonly thread: string; readonly left: Leftovers };

/** Names of the threads that have a generation, by generation. */
export type ThreadNames = Readonly<Record<number, readonly string[]>>;

/**
 * Something to be done. Commands follow from the state: one is wanted as long as the state says so, is aborted when it no
 * longer does, and may be begun again, with the same effect, by a host that was killed meanwhile.
 */
export type Command = {
  readonly key: string;
  readonly owner: number | undefined;
  readonly places: readonly string[];
} & (
  | { readonly kind: 'admit'; readonly rollout: Rollout; readonly member: Member }
  | { readonly kind: 'prepare' | 'trial' | 'activate'; readonly rollout: Rollout }
  | { readonly kind: 'withdraw'; readonly generations: readonly Generation[] }
  | { readonly kind: 'discard'; readonly generation: Generation }
  | { readonly kind: 'hold' | 'release'; readonly generation: Generation }
  | { readonly kind: 'withhold'; readonly domain: string }
  | { readonly kind: 'retire'; readonly retirement: Retirement }
  | { readonly kind: 'stage'; readonly hash: string }
);
