import type { BrokerStatus } from '../brokers/pool.js';
import type { StoreStatus } from '../stores/contract.js';
import type { QueueStatus } from '../amqp/topology.js';
import type { Finding, LifecycleState } from '../template/contract.js';
import type { Leftovers } from '../template/template-timers.js';
import type { LogState } from '../observe/log.js';
import type { ThreadStatus } from '../threads/protocol.js';
import type { VersionDiff } from '../deploy/compatibility/gate.js';
import type { CanaryView, KeptVersion, CallerView, DeclaredObject } from './shown.js';

/** A version as a person wants to see it. */
export interface VersionView {
  readonly version: string;
  readonly hash: string;
  readonly state: LifecycleState;
  /** ISO 8601 instant of the last change of state. */
  readonly since: string;
  readonly generation?: number;
  /** Why it was refused, or what it waits for. */
  readonly findings?: readonly Finding[];
}

/** Harm that a bundle did within `rollout.strikePeriodMs`: broker threads that it ended, or faults that it left behind. */
export interface StrikeView {
  readonly version: string;
  readonly hash: string;
  readonly count: number;
  /** So many of them for faults that no request ended with; the others ended threads. Absent: none. */
  readonly strays?: number;
  /** ISO 8601 instant of the last one. */
  readonly last: string;
}

/** What a retired generation still held when it ended, on all threads; it was ended for it. */
export interface LeftView {
  readonly version: string;
  readonly generation: number;
  readonly left: Leftovers;
}

/** A retired generation that something keeps in memory though garbage was collected. */
export interface HeldView {
  readonly version: string;
  readonly generation: number;
  /** Broker threads that have it. */
  readonly threads: number;
  /** Milliseconds since it ended. */
  readonly sinceMs: number;
}

/** What is known of one domain: the version that serves, and the newest one that does not (yet). */
export interface DomainView {
  readonly domain: string;
  readonly live?: VersionView;
  readonly candidate?: VersionView;
  readonly canary?: CanaryView;
  /** What of the live version's database objects is no longer as it was admitted. Empty or absent: nothing. */
  readonly degraded?: readonly Finding[];
  /** What admission found about the live version that its author should know. Absent: nothing. */
  readonly notices?: readonly Finding[];
  /** An operator stopped rollouts of the domain. */
  readonly paused?: boolean;
  /** Nothing answers: the only version is quarantined. */
  readonly withheld?: boolean;
  /** A process of its own serves it, because its code ran when the host was killed. */
  readonly apart?: boolean;
  /** Newest first; without the live one. */
  readonly kept?: readonly KeptVersion[];
  readonly strikes?: readonly StrikeView[];
  /** Retired generations that left something behind; the last few, newest last. */
  readonly left?: readonly LeftView[];
  /** Faults that no request of the live generation ended with. Absent: none. */
  readonly strays?: number;
  /** Oldest first. */
  readonly held?: readonly HeldView[];
}

/** What a node says of itself when it is asked. */
export interface NodeStatus {
  readonly node: string;
  readonly roles: readonly string[];
  /** Roles that are configured and that this node does not play, with the domains that they name. */
  readonly rolesOfOthers: Readonly<Record<string, readonly string[]>>;
  /** Its account on RabbitMQ: what others say in the name of the node, they say under another one. */
  readonly account: string;
  readonly pid: number;
  readonly nodeVersion: string;
  readonly bedsVersion: string;
  readonly startedAt: string;
  readonly residentBytes: number;
  readonly log: LogState;
  readonly pluginsDirectory: string;
  readonly threads: readonly {
    readonly thread: string;
    readonly group: string;
    readonly state: string;
    /** Absent when the thread did not answer in time. */
    readonly status?: ThreadStatus;
  }[];
  /** What runs beside the control plane: the brokers of an admin node. */
  readonly brokers: readonly BrokerStatus[];
  /** Stores as the control plane sees them. */
  readonly stores: readonly StoreStatus[];
  readonly domains: readonly DomainOfNode[];
}

export interface DomainOfNode extends DomainView {
  readonly queues: readonly QueueStatus[];
  /** What its clients call themselves, as in `CallerView`, busiest first; at most some. Absent: it was not asked for, or nobody has called. */
  readonly calledBy?: readonly string[];
}

/** What a node runs of a domain, as admin nodes compare it with what all shall run. */
export interface RunView {
  readonly domain: string;
  readonly hash: string;
  readonly version: string;
  readonly state: 'serve' | 'paused' | 'retired';
  /** Who decided about it: what lies in the plugin directory, or an order. */
  readonly origin: 'directory' | 'deploy';
  /** It is to serve, and nothing answers. */
  readonly isDown?: true;
  /** A version that is on its way. */
  readonly pending?: string;
}

/** What the control plane answers when it is asked, beside the state that the board keeps. */
export interface Inspections {
  /** The domains with everything that is known of them; `domain`: only that one. */
  domains(domain?: string): Promise<readonly DomainView[]>;
  /**
   * `from` and `to`: a version, or a hash or its beginning; default the live one, and the newest other that is kept.
   * Rejects with `BEDS_ROLLOUT_UNKNOWN_DOMAIN` or `BEDS_ROLLOUT_UNKNOWN_VERSION`.
   */
  diff(domain: string, from?: string, to?: string): Promise<VersionDiff>;
  /** Who called the operations of a domain in the days that are kept, busiest first. */
  callers(domain: string): { readonly callers: readonly CallerView[]; readonly countedDays: number };
  /** Who calls each domain, busiest first; at most some of each. */
  clients(): ReadonlyMap<string, readonly string[]>;
  /** The named objects of every version that serves, or that a rollback would bring back. */
  declaredObjects(): Promise<readonly DeclaredObject[]>;
}
