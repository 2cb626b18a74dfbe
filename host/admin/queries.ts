import { z } from 'zod';
import type { Topology } from '../amqp/topology.js';
import type { BrokerStatus } from '../brokers/pool.js';
import type { Config } from '../config/schema.js';
import type { VersionDiff } from '../deploy/compatibility/gate.js';
import type { HistoryEntry } from '../deploy/history.js';
import { adminErrors } from '../errors/admin.js';
import type { LogState } from '../observe/log.js';
import type { StoreAdapter } from '../stores/contract.js';
import type { ThreadPool } from '../threads/pool.js';
import { domain, letterFields, letterId, MAX_BUNDLES, VERSION } from './commands.js';
import type { Operations, QuarantineView } from './contract.js';
import type { DeadLetterDesk } from './dead-letters.js';
import type { DomainView, Inspections, NodeStatus } from './views.js';
import { nodeStatus, refusalsOf, withThreads } from './node-views.js';
import { fieldHelp, type Definition, type Fields, type InputOf } from './protocol.js';
import type { CallerView, DeclaredObject, DeadLetterView, LetterList, UsageRow } from './shown.js';

/** The sources of the answers. */
export interface QuerySources {
  readonly node: string;
  readonly config: Config;
  readonly startedAt: Date;
  readonly pool: ThreadPool;
  readonly stores: readonly StoreAdapter[];
  /** The domains and their versions. */
  readonly domains: () => readonly DomainView[];
  readonly topology: Topology;
  readonly history: () => readonly HistoryEntry[];
  /** In Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** What was counted of operations and objects today. */
  readonly usage: { rows(object?: string): readonly UsageRow[] };
  readonly logState: () => LogState;
  readonly letters: DeadLetterDesk;
  /** Of this node, beside those of its threads. */
  readonly brokers: () => readonly BrokerStatus[];
  /** Absent while the host starts. */
  readonly operations: () => (Pick<Operations, 'quarantined'> & Inspections) | undefined;
}

export interface QueryDefinition<F extends Fields = Fields, R extends z.ZodType = z.ZodType> extends Definition<F> {
  /** The result. Members are typed but not checked further: a node of another release may send more. */
  readonly result: R;
  /** `untilMs`: how long whoever asks waits, in terms of performance.now(). */
  answer(input: InputOf<F>, sources: QuerySources, untilMs: number): Promise<z.output<R>> | z.output<R>;
}

/** Entries of history in one answer. */
const MAX_HISTORY = 200;
/** Dead letters in one answer. */
export const MAX_LISTED_LETTERS = 500;
/** Callers in one answer. */
const MAX_CALLERS = 200;
/** A rollout leaves a few entries in the history. */
const MAX_PROGRESS = 40;

const version = (description: string): z.ZodExactOptional<z.ZodString> =>
  z.string().regex(VERSION, 'is not a version').exactOptional().register(fieldHelp, { description });
const anyDomain = domain.exactOptional().register(fieldHelp, { description: 'Only this domain. Default: all.' });

/** Every query to a node. Queries change nothing. */
export const QUERIES = {
  status: query({
    summary: 'Show nodes, threads, domains with their versions, stores and queues.',
    fields: {
      queues: z.boolean().exactOptional().register(fieldHelp, {
        description: 'false: without the queues of the domains, for whoever looks often. Default: true.',
      }),
    },
    result: view<NodeStatus>(),
    answer: async ({ queues = true }, sources) =>
      nodeStatus(sources, await domainsOf(undefined, sources), { isWithQueues: queues }),
  }),
  versions: query({
    summary: 'Show the state of each domain, its versions, and why one was refused.',
    fields: { domain: anyDomain },
    result: z.object({
      domains: z.array(view<DomainView>()),
      quarantined: z.array(view<QuarantineView>()),
      /** The newest entry of each version that was refused or waits and did not serve since, oldest first. */
      refusals: z.array(view<HistoryEntry>()),
    }),
    answer: async (input, sources) => ({
      domains: await withThreads(await domainsOf(input.domain, sources), sources.pool),
      quarantined: quarantinedOf(input.domain, sources),
      refusals: refusalsOf(entriesOf(input.domain, sources)).slice(-MAX_HISTORY),
    }),
  }),
  history: query({
    summary: 'Show the state changes of the versions of each domain.',
    fields: { domain: anyDomain },
    result: z.object({ entries: z.array(view<HistoryEntry>()) }),
    answer: (input, sources) => ({ entries: entriesOf(input.domain, sources).slice(-MAX_HISTORY) }),
  }),
  diff: query({
    summary: 'Show what changes for callers from one version of a domain to another.',
    fields: {
      domain,
      from: version('A version, or a hash or its first digits. Default: the serving version.'),
      to: version('A version, or a hash or its first digits. Default: the newest other version that is kept.'),
    },
    result: z.object({ diff: view<VersionDiff>() }),
    answer: async (input, sources) => {
      const operations = sources.operations();
      if (operations === undefined) throw adminErrors.make('BEDS_ADMIN_NOT_READY');
      return { diff: await operations.diff(input.domain, input.from, input.to) };
    },
  }),
  callers: query({
    summary: 'Show who calls the operations of a domain, and how often.',
    fields: { domain },
    result: z.object({
      callers: z.array(view<CallerView>()),
      /** Days that callers were counted over, as a fraction. */
      countedDays: z.number(),
      /** Calls of the operations by the version that answered, since the node started, of today. */
      operations: z.array(view<UsageRow>()),
    }),
    answer: (input, sources) => {
      const operations = sources.operations();
      if (operations === undefined) throw adminErrors.make('BEDS_ADMIN_NOT_READY');
      const { callers, countedDays } = operations.callers(input.domain);
      const counted = sources.usage.rows('').filter((row) => row.domain === input.domain);
      return { callers: callers.slice(0, MAX_CALLERS), countedDays, operations: counted.slice(0, MAX_CALLERS) };
    },
  }),
  quarantine: query({
    summary: 'Show the quarantined bundles.',
    fields: {},
    result: z.object({ quarantined: z.array(view<QuarantineView>()) }),
    answer: (_, sources) => ({ quarantined: quarantinedOf(undefined, sources) }),
  }),
  metrics: query({
    summary: 'Print the metrics in the text format of Prometheus.',
    fields: {},
    result: z.object({ text: z.string() }),
    answer: async (_, sources) => ({ text: await sources.metrics() }),
  }),
  dead: query({
    summary: 'List the dead letters: requests that nobody carried out and whose callers could not be told.',
    byOneNode: true,
    fields: {
      ...letterFields,
      after: letterId.exactOptional().register(fieldHelp, { description: 'Begin behind this letter.' }),
      limit: z
        .int()
        .min(1)
        .max(MAX_LISTED_LETTERS)
        .exactOptional()
        .register(fieldHelp, {
          description: `At most so many letters, the oldest first. Default 100, at most ${MAX_LISTED_LETTERS}.`,
        }),
    },
    result: z.object({
      letters: z.array(view<DeadLetterView>()),
      total: z.int(),
      seen: z.int(),
      matching: z.int(),
      kinds: z.array(view<LetterList['kinds'][number]>()),
    }),
    answer: async ({ limit = 100, after, ...filter }, { letters }, untilMs) => {
      const list = await letters.list(filter, { limit, after, untilMs });
      return { ...list, letters: [...list.letters], kinds: [...list.kinds] };
    },
  }),
  objects: query({
    summary: 'Show who uses the objects of the stores, and whether one may be dropped.',
    fields: {
      name: z
        .string()
        .min(1)
        .max(200)
        .exactOptional()
        .register(fieldHelp, { description: 'Only this object: a view, procedure or function. Default: all.' }),
    },
    result: z.object({
      /** Who may call it, whether he did or not. */
      declared: z.array(view<DeclaredObject>()),
      /** Calls since the node started, of today. */
      usage: z.array(view<UsageRow>()),
      startedAt: z.string(),
    }),
    answer: async ({ name }, sources) => ({
      declared: ((await sources.operations()?.declaredObjects()) ?? []).filter(
        ({ object }) => name === undefined || object === name,
      ),
      usage: sources.usage.rows(name).filter(({ object }) => object !== ''),
      startedAt: sources.startedAt.toISOString(),
    }),
  }),
  progress: query({
    summary: 'Show the progress of rollouts, briefly, for clients that poll.',
    fields: {
      domains: z.array(domain).min(1).max(MAX_BUNDLES).register(fieldHelp, { description: 'The domains.' }),
    },
    result: z.object({
      domains: z.array(view<DomainView>()),
      /** The newest of each domain, oldest first. */
      entries: z.array(view<HistoryEntry>()),
    }),
    answer: async ({ domains }, sources) => {
      const asked = new Set(domains);
      const views = await domainsOf(undefined, sources);
      return {
        domains: views.filter((each) => asked.has(each.domain)),
        entries: [...asked].flatMap((name) => entriesOf(name, sources).slice(-MAX_PROGRESS)),
      };
    },
  }),
};

export type QueryName = keyof typeof QUERIES;
export type QueryInput<N extends QueryName> = z.input<z.ZodObject<(typeof QUERIES)[N]['fields'], z.core.$strict>>;
export type QueryResult<N extends QueryName> = z.output<(typeof QUERIES)[N]['result']>;

/** Infers the types of a definition. */
function query<F extends Fields, R extends z.ZodType>(definition: QueryDefinition<F, R>): QueryDefinition<F, R> {
  return definition;
}

/** An object that only TypeScript knows more of. */
function view<T extends object>(): z.ZodCustom<T, T> {
  return z.custom<T>((value) => typeof value === 'object' && value !== null);
}

function entriesOf(name: string | undefined, sources: QuerySources): HistoryEntry[] {
  return sources.history().filter((entry) => name === undefined || entry.domain === name);
}

function quarantinedOf(name: string | undefined, sources: QuerySources): QuarantineView[] {
  const quarantined = sources.operations()?.quarantined ?? [];
  return quarantined.filter((entry) => name === undefined || entry.domain === name);
}

async function domainsOf(name: string | undefined, sources: QuerySources): Promise<DomainView[]> {
  const known = await sources.operations()?.domains(name);
  return (known ?? sources.domains()).filter((each) => name === undefined || each.domain === name);
}
