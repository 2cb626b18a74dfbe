import { SDK_VERSION } from '@beds/sdk';
import type { StoreAdapter } from '../adapter/contract.js';
import type { Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import type { DomainBoard } from './domain-board.js';
import type { HistoryEntry } from './history.js';
import type { AdminAnswer, AdminQuestion, NodeStatus } from './status.js';
import type { ThreadPool } from './threads/thread-pool.js';

const STATUS_TIMEOUT_MS = 1_000;
/** As much history as fits one answer in comfort. */
const MAX_HISTORY = 200;

export interface AdminSources {
  readonly node: string;
  readonly config: Config;
  readonly startedAt: Date;
  readonly pool: ThreadPool;
  readonly stores: readonly StoreAdapter[];
  readonly board: DomainBoard;
  readonly topology: Topology;
  readonly history: () => readonly HistoryEntry[];
}

/** What this node answers to a question of the command line. */
export async function answerAdmin(question: AdminQuestion, sources: AdminSources): Promise<AdminAnswer> {
  if (question.op === 'status') return { v: 1, op: 'status', status: await nodeStatus(sources) };
  const entries = sources.history().filter(({ domain }) => question.domain === undefined || domain === question.domain);
  return { v: 1, op: 'history', node: sources.node, entries: entries.slice(-MAX_HISTORY) };
}

async function nodeStatus(sources: AdminSources): Promise<NodeStatus> {
  const { config, pool, board, topology } = sources;
  return {
    node: sources.node,
    role: config.node.role,
    pid: process.pid,
    nodeVersion: process.version,
    bedsVersion: SDK_VERSION,
    startedAt: sources.startedAt.toISOString(),
    residentBytes: process.memoryUsage.rss(),
    pluginsDirectory: config.plugins.directory,
    threads: await Promise.all(
      pool.all.map(async ({ group, handle }) => {
        const status = await handle.status(STATUS_TIMEOUT_MS).catch(() => undefined);
        return { thread: handle.name, group, state: handle.state, ...(status === undefined ? {} : { status }) };
      }),
    ),
    stores: sources.stores.map((adapter) => adapter.status()),
    domains: await Promise.all(
      board.views().map(async (view) => ({
        ...view,
        queues: view.live === undefined ? [] : await topology.status(view.domain).catch(() => []),
      })),
    ),
  };
}
