import type { QueueStatus } from '../amqp/topology.js';
import type { StoreStatus } from '../adapter/contract.js';
import type { ThreadStatus } from '../thread/protocol.js';
import type { DomainView } from './domain-board.js';
import type { HistoryEntry } from './history.js';

/** What a node says of itself when it is asked. */
export interface NodeStatus {
  readonly node: string;
  readonly role: string;
  readonly pid: number;
  readonly nodeVersion: string;
  readonly bedsVersion: string;
  readonly startedAt: string;
  readonly residentBytes: number;
  readonly pluginsDirectory: string;
  readonly threads: readonly {
    readonly thread: string;
    readonly group: string;
    readonly state: string;
    /** Absent when the thread did not answer in time. */
    readonly status?: ThreadStatus;
  }[];
  /** Stores as the control plane sees them. */
  readonly stores: readonly StoreStatus[];
  readonly domains: readonly (DomainView & { readonly queues: readonly QueueStatus[] })[];
}

/** A question that the command line asks all nodes, over the admin exchange. */
export type AdminQuestion =
  { readonly v: 1; readonly op: 'status' } | { readonly v: 1; readonly op: 'history'; readonly domain?: string };

export type AdminAnswer =
  | { readonly v: 1; readonly op: 'status'; readonly status: NodeStatus }
  | { readonly v: 1; readonly op: 'history'; readonly node: string; readonly entries: readonly HistoryEntry[] };
