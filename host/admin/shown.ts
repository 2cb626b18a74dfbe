/**
 * What nodes say of themselves, as it goes to whoever asks: types only, and none of Node, because the page of the dashboard is compiled with them
 * as well.
 */

/** How one side of a canary fared since the canary began, over all threads. */
export interface SideView {
  readonly requests: number;
  /** Percent of the requests that failed; 0 without requests. */
  readonly errorPercent: number;
  /** 95 % of the requests took at most this long; absent without requests. */
  readonly p95Ms?: number;
  /** Faults that no request ended with; absent: none. */
  readonly strays?: number;
}

export interface ShadowDifference {
  /** Shape of the answer, without its values: `{id: integer, name: string}[2]`, or the code of the error. */
  readonly active: string;
  readonly candidate: string;
  readonly count: number;
}

/** What the copies of reads showed of one candidate, over all threads. */
export interface ShadowView {
  readonly compared: number;
  readonly skipped: number;
  readonly different: number;
  /** Copies that failed where the serving version answered. */
  readonly failed: number;
  /** Most frequent first. */
  readonly differences: readonly (ShadowDifference & { readonly operation: string })[];
}

/** A version under observation, beside the one that answers its domain. */
export interface CanaryView {
  readonly version: string;
  readonly hash: string;
  /** Percent of the callers that it answers. */
  readonly percent: number;
  /** Percent of the reads that it gets a copy of. */
  readonly shadowPercent: number;
  /** How long it must hold. */
  readonly forMs: number;
  readonly elapsedMs: number;
  /** It stays a canary until an operator promotes it: `--hold`, or `beds pause`. */
  readonly hold: boolean;
  /** What it waits for that is not in the version; its time stands still, and nothing is judged. */
  readonly waits?: string;
  readonly candidate: SideView;
  /** The version that serves, over the same time. */
  readonly active: SideView;
  /** What shadowing found. */
  readonly shadow?: ShadowView;
}

/** A version whose bytes are in the stage, so that one may go back to it. */
export interface KeptVersion {
  readonly version: string;
  readonly hash: string;
  /** ISO 8601 instant when it was staged or last served. */
  readonly at: string;
}

/** How often a client called an operation. */
export interface CallerView {
  readonly operation: string;
  /** What the client calls itself; empty where it does not, `*` for those beyond the bound. */
  readonly client: string;
  readonly callsPerDay: number;
}

/** A named object that a version of a domain may call. */
export interface DeclaredObject {
  readonly store: string;
  readonly object: string;
  readonly kind: string;
  readonly domain: string;
  readonly version: string;
  /** `candidate`: it is on its way. `kept`: a rollback would bring it back. */
  readonly state: 'live' | 'candidate' | 'kept';
  /** How its code calls it. */
  readonly alias: string;
}

/** Calls of an operation, or of a named object by an operation of a version, on one day of this host. */
export interface UsageRow {
  /** Days since 1970, UTC. */
  readonly day: number;
  readonly domain: string;
  readonly version: string;
  readonly operation: string;
  /** Empty: the operation itself. */
  readonly object: string;
  readonly kind: string;
  readonly store: string;
  readonly calls: number;
  readonly failures: number;
  readonly p95Ms: number;
  /** Milliseconds since 1970; exact to the interval at which threads are asked. */
  readonly firstAt: number;
  readonly lastAt: number;
}

/** How much one version of a domain uses an object, as far as anybody counted. */
export interface ObjectUse {
  readonly store: string;
  readonly object: string;
  readonly domain: string;
  readonly version: string;
  readonly operation: string;
  readonly calls: number;
  readonly callsPerDay?: number;
  readonly p95Ms: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** Whether an object may be dropped, in plain words. */
export interface Verdict {
  readonly isSafe: boolean;
  readonly words: readonly string[];
}

/** A node that does not run what it shall. */
export interface Drift {
  readonly node: string;
  /** Empty: all of them. */
  readonly domain: string;
  /** `1.2.0`, `nothing`. */
  readonly shall: string;
  readonly does: string;
}

/** What whoever sends a letter again should know. */
export type LetterCaution =
  /** The request may have been carried out: read before it is sent again. */
  | 'may-have-run'
  /** It ended the thread or the process that ran it. */
  | 'ended-its-thread'
  /** It is refused again as it is. */
  | 'unreadable';

/** A message that nobody carried out, as a list shows it. */
export interface DeadLetterView {
  /** Digest of the whole message. Messages that are equal to the last byte have the same. */
  readonly id: string;
  readonly domain: string;
  readonly operation: string;
  /** Code of the error that a host met; where RabbitMQ moved the message by itself, its word: expired, rejected, delivery_limit, maxlen. */
  readonly reason: string;
  readonly message: string;
  /** ISO 8601 instants: when a host first received it, and when it became a dead letter; absent where nobody said so. */
  readonly since?: string;
  readonly diedAt?: string;
  readonly bytes: number;
  /** Deliveries of the request before it became a dead letter, as far as RabbitMQ counted them. */
  readonly deliveries?: number;
  /** How often an operator sent it again. */
  readonly resent: number;
  /** The account that published it, where RabbitMQ checked that; else the caller's name for itself. */
  readonly from?: string;
  readonly caution?: LetterCaution;
}

/** The whole letter, bounded, without tokens and passwords. */
export interface DeadLetterDetail extends DeadLetterView {
  readonly properties: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, unknown>>;
  /** As text; JSON has no line breaks here. */
  readonly body: string;
  readonly isCut: boolean;
}

export interface LetterList {
  /** The oldest first. */
  readonly letters: readonly DeadLetterView[];
  /** In the queue when it was looked at. */
  readonly total: number;
  /** Of these, how many were looked at. */
  readonly seen: number;
  /** How many of them fit. */
  readonly matching: number;
  readonly kinds: readonly {
    readonly domain: string;
    readonly operation: string;
    readonly reason: string;
    readonly count: number;
  }[];
}

/** How far a design is: described, waiting for an answer, made, not made, and tried on a database. */
export type DesignStage = 'begun' | 'waiting' | 'review' | 'refused' | 'proved';

/** What may be done with a design. */
export type DesignStep =
  'begin' | 'answer' | 'change' | 'go-on' | 'prove' | 'plan' | 'stop' | 'drop-change' | 'set-aside' | DesignDbaStep;
/** What somebody with the role dba may do. */
export type DesignDbaStep = 'apply' | 'contract' | 'undo';

/** A design, as everybody is told of it while it goes on. */
export interface DesignPart {
  readonly domain: string;
  readonly stage: DesignStage;
  /** Another one after each step: orders say which they have seen. */
  readonly mark: string;
  /** Of the database, where it was planned. */
  readonly planned?: string;
  /** What goes on now. */
  readonly working?: {
    readonly step: DesignStep;
    readonly by: string;
    /** Milliseconds since 1970. */
    readonly since: number;
    /** What it said last, the newest at the end. */
    readonly lines: readonly string[];
  };
  /** The step that ended with its host; it goes on when the same order is given again. */
  readonly interrupted?: DesignStep;
  readonly hasFailed: boolean;
}

/** Whether domains can be designed here, and with what. */
export interface DesignsPart {
  readonly state: 'on' | 'off' | 'no-admin-node';
  /** Who answers prompts: `files` is a person, who pastes answers. */
  readonly provider: string;
  /** Names of the stores, and what they are. */
  readonly stores: readonly { readonly name: string; readonly kind: string }[];
}

/** A design with all that a person needs who decides about it. */
export interface DesignView extends DesignPart {
  readonly store: string;
  readonly brief: string;
  /** What the revision under way is to have different. */
  readonly change?: string;
  /** What was there before the change is there still: the change can be dropped. */
  readonly mayDrop: boolean;
  /** Something of it is, or was, in a database. */
  readonly isApplied: boolean;
  /** For whoever answers in place of a model. */
  readonly prompt?: string;
  readonly problems: readonly { readonly path: string; readonly message: string; readonly severity?: string }[];
  /** Why the last step came to nothing. */
  readonly failure?: { readonly code: string; readonly message: string; readonly hint?: string };
  /** Of one that was refused. */
  readonly why?: string;
  /** What the domain will do, in plain words. */
  readonly words: string;
  /** Text of domain.json; empty: there is none yet. */
  readonly document: string;
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly proof?: {
    readonly ok: boolean;
    readonly server: string;
    readonly steps: readonly { readonly name: string; readonly tried: number; readonly failures: readonly string[] }[];
    readonly notices: readonly string[];
  };
  /** A file is not any more as it was proved. */
  readonly isChanged: boolean;
  readonly plan?: DesignPlan;
}

/** What would be done to the database, as `beds db plan` has it. */
export interface DesignPlan {
  readonly store: string;
  readonly state: 'new' | 'current' | 'change' | 'unfinished' | 'expanded' | 'refused';
  readonly from?: number;
  readonly to: number;
  readonly expand: readonly DesignPlanStep[];
  readonly contract: readonly DesignPlanStep[];
  readonly losses: readonly { readonly rows: number; readonly words: string }[];
  readonly blocks: readonly { readonly rows: number; readonly words: string }[];
  readonly refused: readonly string[];
  readonly drift: readonly string[];
  readonly notices: readonly string[];
  readonly retired: readonly string[];
  readonly users?: readonly {
    readonly node: string;
    readonly domain: string;
    readonly version: string;
    readonly state: string;
    readonly objects: readonly string[];
  }[];
}

interface DesignPlanStep {
  readonly words: string;
  readonly lock: string;
  readonly sql: readonly string[];
}
