/**
 * What the dashboard's server and its page say to each other. Types only: the page is compiled for browsers and imports
 * nothing else of the host. What nodes say of themselves is typed there, once.
 */
import type {
  CallerView,
  CanaryView,
  DeadLetterDetail,
  DeadLetterView,
  DeclaredObject,
  DesignPart,
  DesignPlan,
  DesignsPart,
  DesignStage,
  DesignStep,
  DesignView,
  Drift,
  KeptVersion,
  LetterList,
  ObjectUse,
  UsageRow,
  Verdict,
} from '../admin/shown.js';

export type {
  CallerView,
  DeadLetterDetail,
  DeadLetterView,
  DeclaredObject,
  DesignPart,
  DesignPlan,
  DesignsPart,
  DesignStage,
  DesignStep,
  DesignView,
  Drift,
  LetterList,
  ObjectUse,
  UsageRow,
};

/** From the least to the most: each may do what those before it may. */
export const ROLES = ['viewer', 'operator', 'dba'] as const;
export type Role = (typeof ROLES)[number];

/** Who is signed in. */
export interface Me {
  readonly name: string;
  /** Empty where he signed in with the key of the host. */
  readonly id: string;
  /** The highest of his roles that counts here; absent: he may not even look. */
  readonly role?: Role;
}

/** What a page needs to know first. */
export interface SignedIn {
  readonly me: Me;
  readonly maxBundleBytes: number;
}

/** How one can sign in here, now. */
export interface SignInWays {
  /** Some node has the domain `sessions` live. */
  readonly accounts: boolean;
  /** The key of the host counts: the dashboard is reached from this machine only. */
  readonly key: boolean;
}

/** Why something was not done, in words for a person. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly findings?: readonly FindingView[];
}

export interface FindingView {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export type Health = 'well' | 'attention' | 'trouble' | 'unknown';

/** One thing that is not as it should be. */
export interface Trouble {
  readonly level: 'attention' | 'trouble';
  readonly words: string;
  /** The page that shows more of it. */
  readonly path: string;
}

/** The first thing that one sees. */
export interface Summary {
  readonly health: Health;
  /** One sentence that says whether all is well. */
  readonly sentence: string;
  readonly troubles: readonly Trouble[];
  readonly nodes: number;
  readonly domains: number;
  /** ISO 8601: failures are counted since then, at most an hour ago. */
  readonly countedSince: string;
  /** The time since then in words: `the last hour`. */
  readonly countedOver: string;
  readonly failures: number;
  /** Requests that callers asked wrongly: they were answered as they should be. */
  readonly refused: number;
}

export interface BrokerPart {
  readonly name: string;
  readonly type: string;
  readonly thread: string;
  readonly state: string;
  readonly queues: readonly string[];
  readonly inFlight: number;
  readonly perSecond: number;
  readonly restarts: number;
  readonly lastError?: { readonly message: string; readonly at: string };
}

export interface NodePart {
  readonly node: string;
  /** ISO 8601: since then it has not answered. Absent: it answers. */
  readonly silentSince?: string;
  readonly roles: readonly string[];
  readonly pid: number;
  readonly nodeVersion: string;
  readonly bedsVersion: string;
  readonly startedAt: string;
  readonly residentMb: number;
  readonly droppedLogLines: number;
  readonly threads: readonly {
    readonly thread: string;
    readonly group: string;
    readonly state: string;
    readonly answers: boolean;
    readonly heapMb?: number;
    readonly connections: Readonly<Record<string, string>>;
    readonly served: number;
    readonly failed: number;
  }[];
  readonly brokers: readonly BrokerPart[];
  readonly stores: readonly {
    readonly store: string;
    readonly kind: string;
    readonly up: boolean;
    readonly inUse: number;
    readonly most: number;
    readonly waiting: number;
    readonly lastError?: string;
  }[];
}

export interface VersionPart {
  readonly version: string;
  readonly hash: string;
  readonly state: string;
  readonly since: string;
  readonly findings?: readonly FindingView[];
}

/** A domain on one node. */
export interface DomainOnNode {
  readonly node: string;
  readonly live?: VersionPart;
  readonly candidate?: VersionPart;
  readonly canary?: CanaryView;
  readonly paused: boolean;
  readonly withheld: boolean;
  readonly apart: boolean;
  readonly degraded: readonly FindingView[];
  readonly notices: readonly FindingView[];
  readonly kept: readonly KeptVersion[];
}

export interface DomainPart {
  readonly domain: string;
  readonly nodes: readonly DomainOnNode[];
  /** Messages that wait, and who takes them. */
  readonly queues: readonly { readonly queue: string; readonly ready: number; readonly consumers: number }[];
  /** Over the last samples. */
  readonly requestsPerSecond: number;
  /** 95 % of its requests took at most this long. Absent: nobody measures. */
  readonly p95Ms?: number;
  /** What its clients call themselves, as in `CallerView`, busiest first; at most some. */
  readonly callers: readonly string[];
  /** Since `Summary.countedSince`. */
  readonly failures: number;
  readonly refused: number;
  /** The failures by where they happened and why, the most first. */
  readonly failed: readonly {
    readonly node: string;
    readonly version: string;
    readonly outcome: string;
    readonly count: number;
  }[];
}

/** What a page of one domain asks for once, and again when the domain changes. */
export interface DomainDetails {
  readonly domain: string;
  readonly history: readonly HistoryPart[];
  readonly refusals: readonly HistoryPart[];
  readonly quarantined: readonly {
    readonly node: string;
    readonly version: string;
    readonly hash: string;
    readonly since: string;
    readonly code: string;
    readonly message: string;
  }[];
  readonly callers: readonly CallerView[];
  /** Days over which callers were counted. */
  readonly countedDays: number;
  /** Calls of operations by the version that answered, of today. */
  readonly operations: readonly OperationPart[];
}

export type OperationPart = Pick<
  UsageRow,
  'version' | 'operation' | 'calls' | 'failures' | 'p95Ms' | 'firstAt' | 'lastAt'
>;

export interface HistoryPart {
  readonly node: string;
  readonly at: string;
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly state: string;
  readonly cause?: string;
  readonly ms?: number;
  readonly findings?: readonly FindingView[];
}

export interface LetterFilter {
  readonly domain?: string;
  readonly operation?: string;
  readonly reason?: string;
  readonly after?: string;
}

/** What the domain `logs` keeps of a log line. */
export interface LogLine {
  /** Sorts as lines were written, over all nodes. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** 10 to 60: trace, debug, info, warn, error, fatal. */
  readonly level: number;
  readonly node: string;
  readonly domain: string;
  readonly version: string;
  readonly message: string;
  /** Of a fault: the same for faults with the same cause. Otherwise empty. */
  readonly cause: string;
  readonly code: string;
  /** Of a fault: the author's file and line. */
  readonly place: string;
  readonly requestId: string;
  readonly traceId: string;
  /** How many lines it stands for. */
  readonly count: number;
  /** Everything else that the line has, as JSON. */
  readonly fields: string;
}

export interface LogFilter {
  readonly domain?: string;
  readonly node?: string;
  readonly level?: number;
  readonly requestId?: string;
  readonly cause?: string;
  /** Milliseconds since 1970. */
  readonly since?: number;
  readonly limit?: number;
}

/** Faults with the same cause. */
export interface FaultGroup {
  readonly cause: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly domain: string;
  readonly version: string;
  readonly code: string;
  readonly place: string;
  readonly message: string;
}

/** Of one moment, or of all between it and the next point. */
export interface SeriesPoint {
  readonly at: number;
  readonly calls: number;
  readonly failures: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly inFlight: number;
  /** Messages in queues. */
  readonly queued: number;
  readonly waiting: number;
  /** Of a domain: of the threads that serve nothing else. */
  readonly memoryMb: number;
  readonly cpuPercent: number;
  readonly swaps: number;
}

export interface Series {
  /** Milliseconds from one point to the next. */
  readonly stepMs: number;
  readonly points: readonly SeriesPoint[];
}

export interface SeriesAsked {
  /** Empty: all together. */
  readonly domain?: string;
  readonly node?: string;
  readonly from: number;
  readonly to: number;
  readonly points: number;
}

/** How much the objects of the stores are used, and by whom. */
export interface ObjectsView {
  /** Of the one that was asked for. */
  readonly verdict?: Verdict;
  readonly declared: readonly DeclaredObject[];
  readonly uses: readonly ObjectUse[];
  /** From when on calls were counted, milliseconds since 1970. */
  readonly since: number;
  /** Whether calls are kept over restarts of nodes. */
  readonly isKept: boolean;
}

/** What the domain `users` says of a user. */
export interface UserPart {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly disabled: boolean;
  readonly created_at: number;
  readonly password_at: number;
}

/** What the domain `sessions` says of a session. */
export interface SessionPart {
  readonly id: string;
  readonly user_id: string;
  readonly place: { readonly address?: string | null; readonly device?: string | null } | null;
  readonly created_at: number;
  readonly refreshed_at: number;
  readonly idle_until: number;
}

/** What may be done to a user or a session. */
export const USER_ORDERS = ['disable', 'enable', 'setRoles', 'endSessions', 'endSession', 'create'] as const;
export type UserOrder = (typeof USER_ORDERS)[number];

/** What all nodes shall run, as an admin node keeps it, and where that is not so. */
export interface FleetPart {
  readonly desired: Readonly<
    Record<string, { readonly version: string; readonly hash: string; readonly state: string; readonly at: number }>
  >;
  readonly drift: readonly Drift[];
}

/** Who ordered what, and what came of it. */
export interface AuditPart {
  readonly seq: number;
  readonly at: number;
  readonly user_id: string;
  readonly user_name: string;
  readonly op: string;
  readonly target: string;
  readonly step: string;
  readonly outcome: string;
  readonly words: string;
  readonly source: string;
}

/** One moment of the whole installation. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly requestsPerSecond: number;
  readonly failuresPerSecond: number;
}

/** An event of the stream: what changed since the event before. Its parts are `summary`, `fleet`, `designs`, `node:<name>`, `domain:<name>` and `design:<domain>`. */
export interface Change {
  /** Which run of the server this is. */
  readonly epoch: string;
  /** It takes the place of all that was there. */
  readonly whole: boolean;
  readonly parts: Readonly<Record<string, unknown>>;
  readonly gone: readonly string[];
}

/** Orders that the page may give. */
export const ORDERS = [
  'deploy',
  'check',
  'rollback',
  'promote',
  'pause',
  'undeploy',
  'lift',
  'deadLetter',
  'deadResend',
  'deadDrop',
] as const;
export type OrderName = (typeof ORDERS)[number];

export interface Order {
  /** Made for this one order: the same order is not carried out twice. */
  readonly id: string;
  /** Milliseconds since 1970 when the person confirmed it: a late one is refused. */
  readonly at: number;
  readonly op: OrderName;
  readonly input: Readonly<Record<string, unknown>>;
  /** The hashes of the versions that the person saw live, by node: the order is refused where that has changed. */
  readonly seen?: Readonly<Record<string, string>>;
}

/** What came of an order. */
export interface OrderOutcome {
  readonly accepted: readonly {
    readonly node: string;
    readonly receipts: readonly {
      readonly domain: string;
      readonly version: string;
      readonly hash: string;
      readonly words: string;
      readonly notices?: readonly FindingView[];
      readonly letter?: DeadLetterDetail;
    }[];
  }[];
  readonly refused: readonly { readonly node: string; readonly problem: Problem }[];
  readonly silent: readonly string[];
}
