import type { RolloutWish } from '../deploy/plan.js';
import type { HistoryEntry } from '../deploy/history.js';
import type { Finding } from '../template/contract.js';
import type { VersionDiff } from '../deploy/compatibility/gate.js';
import type { BundleFiles, QuarantineView, Receipt } from './contract.js';
import type { DomainView, NodeStatus } from './views.js';

/** A question that the command line asks all nodes, over `<prefix>.admin`. It changes nothing. */
export type AdminQuestion =
  | { readonly v: 1; readonly op: 'status' }
  | { readonly v: 1; readonly op: 'history'; readonly domain?: string }
  /** Everything that is known of the domains. */
  | { readonly v: 1; readonly op: 'plugins'; readonly domain?: string }
  | { readonly v: 1; readonly op: 'quarantine' }
  | { readonly v: 1; readonly op: 'diff'; readonly domain: string; readonly from?: string; readonly to?: string }
  /** What is counted and measured, in Prometheus' text format. */
  | { readonly v: 1; readonly op: 'metrics' }
  /** How rollouts are getting on: short, because it is asked again and again. */
  | { readonly v: 1; readonly op: 'progress'; readonly domains: readonly string[] };

export type AdminAnswer =
  | { readonly v: 1; readonly op: 'status'; readonly status: NodeStatus }
  | { readonly v: 1; readonly op: 'history'; readonly node: string; readonly entries: readonly HistoryEntry[] }
  | {
      readonly v: 1;
      readonly op: 'plugins';
      readonly node: string;
      readonly domains: readonly DomainView[];
      readonly quarantined: readonly QuarantineView[];
      /** The newest entry of each version that was refused or waits and did not serve since, oldest first. */
      readonly refusals: readonly HistoryEntry[];
    }
  | { readonly v: 1; readonly op: 'quarantine'; readonly node: string; readonly quarantined: readonly QuarantineView[] }
  | { readonly v: 1; readonly op: 'diff'; readonly node: string; readonly diff: VersionDiff }
  | { readonly v: 1; readonly op: 'metrics'; readonly node: string; readonly text: string }
  | {
      readonly v: 1;
      readonly op: 'progress';
      readonly node: string;
      readonly domains: readonly DomainView[];
      /** The newest of each domain, oldest first. */
      readonly entries: readonly HistoryEntry[];
    };

/** An order of an operator, over `<prefix>.operate`. */
export type Order = (
  | { readonly op: 'deploy'; readonly bundles: readonly BundleFiles[]; readonly wish: RolloutWish }
  | { readonly op: 'rollback'; readonly domain: string; readonly version?: string }
  | { readonly op: 'promote' | 'pause' | 'retire'; readonly domain: string }
  /** A hash or its beginning, or a domain. */
  | { readonly op: 'lift'; readonly name: string }
) & {
  /** Only this node acts; the others do not answer. */
  readonly node?: string;
  /** Who asks, as they call themselves. */
  readonly by?: string;
};

export type OrderName = Order['op'];

/** Why a question or an order was refused. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly findings?: readonly Finding[];
}

/** The answer to a question or an order that was refused. `op` is empty where the message named none. */
export interface RefusedAnswer {
  readonly v: 1;
  readonly op: string;
  readonly node: string;
  readonly ok: false;
  readonly error: Refusal;
}

/** What one node answers to an order. */
export type OrderAnswer =
  | {
      readonly v: 1;
      readonly op: OrderName;
      readonly node: string;
      readonly ok: true;
      /** ISO 8601 instant, by the node's clock, when it began with the order: what the history has since is its work. */
      readonly at: string;
      readonly receipts: readonly Receipt[];
    }
  | RefusedAnswer;

/** Bundles in one order. */
export const MAX_BUNDLES = 32;
