import { SDK_VERSION } from '#sdk/template';
import { accountOf } from '../access/programs.js';
import type { Topology } from '../amqp/topology.js';
import type { BrokerStatus } from '../brokers/pool.js';
import type { Config } from '../config/schema.js';
import type { HistoryEntry } from '../deploy/history.js';
import type { LogState } from '../observe/log.js';
import { playedRoles, rolesOfOthers } from '../roles.js';
import type { StoreAdapter } from '../stores/contract.js';
import type { LifecycleState } from '../template/contract.js';
import type { ThreadPool } from '../threads/pool.js';
import type { DomainOfNode, DomainView, HeldView, Inspections, NodeStatus } from './views.js';

export type ThreadView = NodeStatus['threads'][number];

const THREAD_TIMEOUT_MS = 1_000;

interface StatusSources {
  readonly node: string;
  readonly config: Config;
  readonly startedAt: Date;
  readonly pool: ThreadPool;
  readonly stores: readonly StoreAdapter[];
  readonly topology: Topology;
  readonly logState: () => LogState;
  readonly brokers: () => readonly BrokerStatus[];
  /** Undefined: the host has not started yet. */
  readonly operations: () => Pick<Inspections, 'clients'> | undefined;
}

/** What a node says of itself. */
export async function nodeStatus(
  sources: StatusSources,
  domains: readonly DomainView[],
  { isWithQueues }: { readonly isWithQueues: boolean },
): Promise<NodeStatus> {
  const { config, pool, topology } = sources;
  const clients = isWithQueues ? sources.operations()?.clients() : undefined;
  return {
    node: sources.node,
    roles: playedRoles(config),
    rolesOfOthers: rolesOfOthers(config),
    account: accountOf(config.amqp.url),
    pid: process.pid,
    nodeVersion: process.version,
    bedsVersion: SDK_VERSION,
    startedAt: sources.startedAt.toISOString(),
    residentBytes: process.memoryUsage.rss(),
    log: sources.logState(),
    pluginsDirectory: config.plugins.directory,
    threads: await threadViews(pool),
    brokers: sources.brokers(),
    stores: sources.stores.map((adapter) => adapter.status()),
    domains: isWithQueues
      ? await Promise.all(domains.map((view) => withTraffic(view, topology, clients)))
      : domains.map((view) => ({ ...view, queues: [] })),
  };
}

/** A domain with what waits for it, and who calls it. */
async function withTraffic(
  view: DomainView,
  topology: Topology,
  clients: ReturnType<Inspections['clients']> | undefined,
): Promise<DomainOfNode> {
  const calledBy = clients?.get(view.domain);
  const queues = view.live === undefined ? [] : await topology.status(view.domain).catch(() => []);
  return { ...view, queues, ...(calledBy === undefined ? {} : { calledBy }) };
}

/** Every thread with what it says of itself, as far as it answers within a second. Never rejects. */
export function threadViews(pool: ThreadPool): Promise<readonly ThreadView[]> {
  return Promise.all(
    pool.all.map(async ({ group, handle }) => {
      const status = await handle.status(THREAD_TIMEOUT_MS).catch(() => undefined);
      return { thread: handle.name, group, state: handle.state, ...(status === undefined ? {} : { status }) };
    }),
  );
}

/** The domains with what only the threads know. */
export async function withThreads(domains: readonly DomainView[], pool: ThreadPool): Promise<DomainView[]> {
  const threads = await threadViews(pool);
  const held = heldInMemory(threads);
  return domains.map((view) => {
    const ofDomain = held.get(view.domain);
    const strays = straysOf(threads, view.live?.generation);
    return { ...view, ...(ofDomain === undefined ? {} : { held: ofDomain }), ...(strays === 0 ? {} : { strays }) };
  });
}

/** Faults that no request of a generation ended with, on all threads. */
export function straysOf(threads: readonly ThreadView[], generation: number | undefined): number {
  const all = threads.flatMap(({ status }) => status?.generations ?? []);
  return all.reduce((total, { id, strays }) => total + (id === generation ? strays : 0), 0);
}

/** Something holds a version that outlived so many full collections of garbage, this long after its end. */
const LEAST_COLLECTIONS = 2;
const LEAST_AGE_MS = 60_000;

/** Retired versions that something keeps in memory, by domain, oldest first. */
export function heldInMemory(threads: readonly ThreadView[]): ReadonlyMap<string, readonly HeldView[]> {
  const held = new Map<string, Map<number, HeldView>>();
  for (const { generation, domain, version, sinceMs, collections } of threads.flatMap(
    ({ status }) => status?.retiredInMemory ?? [],
  )) {
    if (collections < LEAST_COLLECTIONS || sinceMs < LEAST_AGE_MS) continue;
    const ofDomain = held.get(domain) ?? new Map<number, HeldView>();
    const before = ofDomain.get(generation);
    ofDomain.set(generation, {
      version,
      generation,
      threads: (before?.threads ?? 0) + 1,
      sinceMs: Math.max(before?.sinceMs ?? 0, sinceMs),
    });
    held.set(domain, ofDomain);
  }
  const sorted = (views: Iterable<HeldView>): HeldView[] => [...views].sort((a, b) => a.generation - b.generation);
  return new Map([...held].map(([domain, views]) => [domain, sorted(views.values())]));
}

const REFUSALS: ReadonlySet<LifecycleState> = new Set(['rejected', 'waiting', 'superseded']);
/** What ends a wait: the version goes on, or is in quarantine, which is a list of its own and may be lifted. */
const ENDINGS: ReadonlySet<LifecycleState> = new Set(['active', 'quarantined']);

/**
 * The newest entry of each version, by its bytes, that was refused or waits and has not served since; the newest last. A
 * version that waited is left out as soon as another one of its domain is received: that one took its place.
 */
export function refusalsOf(entries: readonly HistoryEntry[]): HistoryEntry[] {
  const refusals = new Map<string, HistoryEntry>();
  for (const entry of entries) {
    const version = `${entry.domain} ${entry.hash === '' ? entry.version : entry.hash}`;
    if (entry.state === 'received') endWaits(refusals, entry);
    const isRefusal = REFUSALS.has(entry.state) && entry.findings !== undefined && entry.findings.length > 0;
    // n.b. deleted first: a key that is set again would keep its old place.
    if (isRefusal || ENDINGS.has(entry.state)) refusals.delete(version);
    if (isRefusal) refusals.set(version, entry);
  }
  return [...refusals.values()];
}

/** Of versions of the domain with other bytes. */
function endWaits(refusals: Map<string, HistoryEntry>, { domain, hash }: HistoryEntry): void {
  for (const [key, refusal] of refusals) {
    if (refusal.domain === domain && refusal.state === 'waiting' && refusal.hash !== hash) refusals.delete(key);
  }
}
