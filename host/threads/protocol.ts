import type { ConnectionState } from '#sdk/amqp';
import type { MessagePort } from 'node:worker_threads';
import type { BrokerStatus } from '../brokers/pool.js';
import type { BrokerPlan } from '../roles.js';
import type { StoreStatus } from '../stores/contract.js';
import type { Config } from '../config/schema.js';
import type { SecretUrls } from '../config/secrets.js';
import type { Tally } from '../request/observations.js';
import type { PoisonNotice } from '../request/poison-tracker.js';
import type { WaitingCount } from '../request/waiting-writes.js';
import type { GenerationSource } from '../template/contract.js';
import type { Leftovers } from '../template/template-timers.js';
import type { RetiredInMemory } from '../template/retired-templates.js';
import type { Route } from '../template/registry.js';
import type { LineKind } from '../observe/joined-lines.js';
import type { SpanBatch } from '../observe/trace.js';

/** Version of this protocol; both sides are of one build, so it only guards against a stale file. */
export const THREAD_PROTOCOL = 1;

/** What a broker thread is started with (`workerData`). */
export interface ThreadData {
  readonly protocol: typeof THREAD_PROTOCOL;
  readonly thread: string;
  readonly node: string;
  /** Without its URLs: whoever finds this object finds no password. */
  readonly config: Config;
  /**
   * Holds one message, `SecretUrls`; the thread takes it before any template's code is there. Undefined for a process of its own, which gets
   * them beside this.
   */
  readonly secrets: MessagePort | undefined;
  /** The brokers of this node's roles. */
  readonly brokers: readonly BrokerPlan[];
  /** Signs of life, see `CrashBreadcrumbs`; undefined for a process of its own, whose memory nobody shares. */
  readonly breadcrumbs: SharedArrayBuffer | undefined;
  /** The file in which it writes down whose code runs, see `Trail`; absent: nowhere. */
  readonly trail?: string;
}

/** What a broker thread in a process of its own is started with: the first message that it gets. */
export interface ProcessStart {
  readonly data: ThreadData;
  readonly urls: SecretUrls;
}

/** A request of the supervisor, answered by a ThreadAnswer of the same `seq`. */
export type ThreadCommand =
  | { readonly kind: 'prepare'; readonly source: GenerationSource }
  | { readonly kind: 'discard'; readonly generation: number }
  /** Which generations answer these domains from the next delivery on; what no route names any more drains. */
  | { readonly kind: 'route'; readonly routes: readonly Route[] }
  /** All brokers of one entry of the configuration consume the queue. */
  | { readonly kind: 'consume'; readonly broker: string; readonly queue: string }
  /** All brokers consume the queues that belong to no domain. */
  | { readonly kind: 'consume-own' }
  | { readonly kind: 'cancel'; readonly queue: string }
  /** A thread ended; see `PoisonTracker`. */
  | ({ readonly kind: 'suspect' } & PoisonNotice)
  | { readonly kind: 'status' }
  /** What was seen of requests: answers `Observations`, all of it but the tallies since the last time. */
  | { readonly kind: 'observe' }
  /** Consume nothing more; answered when RabbitMQ has confirmed that. */
  | { readonly kind: 'stop-intake' }
  /** Finish what is in flight, then close connections and end. */
  | { readonly kind: 'stop'; readonly timeoutMs: number };

export interface ThreadRequest {
  readonly seq: number;
  readonly command: ThreadCommand;
}

/** What the thread tells the supervisor. */
export type ThreadMessage =
  | { readonly kind: 'ready' }
  /** It ends for an error, as soon as the supervisor lets it. */
  | { readonly kind: 'ending' }
  | { readonly kind: 'answer'; readonly seq: number; readonly ok: true; readonly value: unknown }
  | { readonly kind: 'answer'; readonly seq: number; readonly ok: false; readonly error: PlainError }
  /** `left`: what the version had not ended by itself; it is ended. `tally`: all that its requests came to. */
  | {
      readonly kind: 'drained';
      readonly generation: number;
      readonly complete: boolean;
      readonly left: Leftovers;
      readonly tally: Tally;
    }
  | ({ readonly kind: 'spans' } & SpanBatch)
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
      /** Absent: the line is never joined with others. */
      readonly joined?: LineKind & { readonly count: number };
    };

/** What a broker thread that has a process of its own tells besides. */
export type ProcessMessage =
  | ThreadMessage
  /** A sign of life. */
  | { readonly kind: 'beat' }
  /** Its process ends, for a reason that is an error. */
  | { readonly kind: 'fatal'; readonly reason: string };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** An error as it travels between threads. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
  readonly stack?: string;
}

export interface ThreadStatus {
  readonly connections: Readonly<Record<string, ConnectionState>>;
  readonly brokers: readonly BrokerStatus[];
  readonly generations: readonly {
    readonly id: number;
    readonly domain: string;
    readonly version: string;
    readonly inFlight: number;
    /** Requests that callers sent, not calls of other domains; `failed` of them failed. */
    readonly served: number;
    readonly failed: number;
    /** Faults that no request ended with. */
    readonly strays: number;
  }[];
  readonly stores: readonly StoreStatus[];
  readonly served: number;
  readonly failed: number;
  /** Writes that wait here for a store that is away. */
  readonly waitingWrites: readonly WaitingCount[];
  readonly repliesPending: number;
  readonly repliesUnroutable: number;
  /** Events that were not published, because RabbitMQ was away or slow. */
  readonly eventsDropped: number;
  readonly heapBytes: number;
  readonly retiredInMemory: readonly RetiredInMemory[];
}
