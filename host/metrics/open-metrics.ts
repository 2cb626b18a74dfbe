import type { StoreAdapter } from '../stores/contract.js';
import type { LogState } from '../observe/log-output.js';
import type { VersionControl } from '../deploy/version-control.js';
import type { DomainBoard } from '../deploy/domain-board.js';
import { threadViews } from '../admin/thread-views.js';
import type { Drains } from '../deploy/drains.js';
import type { RoutingTable } from '../deploy/routing-table.js';
import type { ThreadPool } from '../threads/pool.js';
import { HostMetrics } from './host-metrics.js';

export interface MetricsSources {
  readonly node: string;
  readonly drains: Drains;
  readonly stores: ReadonlyMap<string, StoreAdapter>;
  readonly board: DomainBoard;
  readonly logState: () => LogState;
  readonly pool: () => ThreadPool;
  readonly table: () => RoutingTable;
  /** Absent while the host starts. */
  readonly versions: () => VersionControl | undefined;
}

/** The metrics of a whole host, fed from what its parts know. */
export function openMetrics(sources: MetricsSources): HostMetrics {
  const { node, drains, stores, board, logState, pool, table, versions } = sources;
  return new HostMetrics({
    ...{ node, logState },
    sources: () => [...table().loaded, ...drains.sources],
    state: async () => {
      const [threads] = await Promise.all([threadViews(pool()), versions()?.observe()]);
      return {
        threads,
        domains: board.views(),
        stores: [...stores.values()],
        quarantined: versions()?.operations.quarantined.length ?? 0,
        canaries: new Map([...table().candidates].map(([domain, { share }]) => [domain, share.percent])),
      };
    },
  });
}
