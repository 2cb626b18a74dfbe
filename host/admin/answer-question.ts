import { SDK_VERSION } from '@beds/sdk';
import type { StoreAdapter } from '../stores/contract.js';
import type { Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import { operateErrors } from '../errors/operate.js';
import type { LogState } from '../observe/log-output.js';
import type { HistoryEntry } from '../deploy/history.js';
import type { ThreadPool } from '../threads/pool.js';
import type { Operations, QuarantineView } from './contract.js';
import type { AdminAnswer, AdminQuestion } from './protocol.js';
import { refusalsOf } from './refusals.js';
import { heldInMemory } from './held-versions.js';
import { straysOf, threadViews } from './thread-views.js';
import type { DomainView, Inspections, NodeStatus } from './views.js';

/** As much history as fits one answer in comfort. */
const MAX_HISTORY = 200;
/** What a rollout leaves in the history is a few lines. */
const MAX_PROGRESS = 40;

export interface QuestionSources {
  readonly node: string;
  readonly config: Config;
  readonly startedAt: Date;
  readonly pool: ThreadPool;
  readonly stores: readonly StoreAdapter[];
  /** The domains as the board knows them. */
  readonly domains: () => readonly DomainView[];
  readonly topology: Topology;
  readonly history: () => readonly HistoryEntry[];
  /** In Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  readonly logState: () => LogState;
  /** Absent while the host starts. */
  readonly operations: () => (Pick<Operations, 'quarantined'> & Inspections) | undefined;
}

/** What this node answers to a question of the command line. Rejects with the error to be answered. */
export async function answerQuestion(question: AdminQuestion, sources: QuestionSources): Promise<AdminAnswer> {
  const { node } = sources;
  switch (question.op) {
    case 'status':
      return { v: 1, op: 'status', status: await nodeStatus(sources) };
    case 'history':
      return { v: 1, op: 'history', node, entries: entriesOf(question.domain, sources).slice(-MAX_HISTORY) };
    case 'plugins': {
      const domains = await withThreads(await domainsOf(question.domain, sources), sources);
      const quarantined = quarantinedOf(question.domain, sources);
      const refusals = refusalsOf(entriesOf(question.domain, sources)).slice(-MAX_HISTORY);
      return { v: 1, op: 'plugins', node, domains, quarantined, refusals };
    }
    case 'quarantine':
      return { v: 1, op: 'quarantine', node, quarantined: quarantinedOf(undefined, sources) };
    case 'metrics':
      return { v: 1, op: 'metrics', node, text: await sources.metrics() };
    case 'diff': {
      const control = sources.operations();
      if (control === undefined) throw operateErrors.make('BEDS_OPERATE_NOT_READY');
      return { v: 1, op: 'diff', node, diff: await control.diff(question.domain, question.from, question.to) };
    }
    case 'progress': {
      const asked = new Set(question.domains);
      const views = await domainsOf(undefined, sources);
      const entries = [...asked].flatMap((domain) => entriesOf(domain, sources).slice(-MAX_PROGRESS));
      return { v: 1, op: 'progress', node, domains: views.filter(({ domain }) => asked.has(domain)), entries };
    }
  }
}

function entriesOf(domain: string | undefined, sources: QuestionSources): readonly HistoryEntry[] {
  return sources.history().filter((entry) => domain === undefined || entry.domain === domain);
}

function quarantinedOf(domain: string | undefined, sources: QuestionSources): readonly QuarantineView[] {
  const quarantined = sources.operations()?.quarantined ?? [];
  return quarantined.filter((entry) => domain === undefined || entry.domain === domain);
}

async function domainsOf(domain: string | undefined, sources: QuestionSources): Promise<readonly DomainView[]> {
  const known = await sources.operations()?.domains(domain);
  return (known ?? sources.domains()).filter((view) => domain === undefined || view.domain === domain);
}

/** With what only the threads know. */
async function withThreads(
  domains: readonly DomainView[],
  { pool }: Pick<QuestionSources, 'pool'>,
): Promise<readonly DomainView[]> {
  const threads = await threadViews(pool);
  const held = heldInMemory(threads);
  return domains.map((view) => {
    const ofDomain = held.get(view.domain);
    const strays = straysOf(threads, view.live?.generation);
    return { ...view, ...(ofDomain === undefined ? {} : { held: ofDomain }), ...(strays === 0 ? {} : { strays }) };
  });
}

async function nodeStatus(sources: QuestionSources): Promise<NodeStatus> {
  const { config, pool, topology } = sources;
  const domains = await domainsOf(undefined, sources);
  return {
    node: sources.node,
    role: config.node.role,
    pid: process.pid,
    nodeVersion: process.version,
    bedsVersion: SDK_VERSION,
    startedAt: sources.startedAt.toISOString(),
    residentBytes: process.memoryUsage.rss(),
    log: sources.logState(),
    pluginsDirectory: config.plugins.directory,
    threads: await threadViews(pool),
    stores: sources.stores.map((adapter) => adapter.status()),
    domains: await Promise.all(
      domains.map(async (view) => ({
        ...view,
        queues: view.live === undefined ? [] : await topology.status(view.domain).catch(() => []),
      })),
    ),
  };
}
