import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startAdminNode } from '../context/admin-node.js';
import { type ContenderSample, FIGURES, ProcessContender, startPart, type Watched } from '../context/contender.js';
import { startBedsContender } from '../context/echo-contenders.js';
import { type HostUnderTest, newPrefix, startHostUnderTest } from '../context/host-under-test.js';
import type { StoreLoad, StorePlace } from '../context/serve-store.js';
import { makeMongodbStore, makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Row, Scenario, Target } from '../contract.js';
import type { Load } from '../measure/load.js';
import { type Contender, pairOf, takeTurns, toRow, warmUp } from '../measure/rounds.js';

const POOL_SIZE = 16;
const WARM_UP_SLICES = 3;
/** A node tells samples every five seconds: each slice is to hold one. */
const LEAST_SLICE_MS = 5_000;
const ADMIN = 'the admin node';

/** A host of each kind. The first is what the others are compared with; the second differs in nothing, and shows what two processes differ by. */
const TITLES = {
  off: 'BEDS, nothing on',
  again: 'BEDS, nothing on, once more',
  on: 'BEDS, admin, graph and logs on',
  traced: 'BEDS, every request traced',
  sampled: 'BEDS, traced, no request sampled',
} as const;

type Kind = keyof typeof TITLES;
type Other = Exclude<Kind, 'off'>;
type FigureName = keyof typeof figures;

const figures = {
  ...FIGURES,
  host: { unit: 'µs CPU of the host', of: ({ serverCpuUs }: ContenderSample): number => serverCpuUs },
  all: {
    unit: 'µs CPU of host and admin node',
    of: ({ serverCpuUs, watchedCpuUs }: ContenderSample): number => serverCpuUs + (watchedCpuUs[ADMIN] ?? 0),
  },
} as const;

/** Nothing on the request path slows because there is an admin node. What tracing costs is told, not promised. */
const TARGETS: Readonly<Partial<Record<Other, Readonly<Partial<Record<FigureName, Target>>>>>> = {
  on: { rate: { ratioAtLeast: 0.98 }, host: { ratioAtMost: 1.02 } },
};

interface Case {
  readonly title: string;
  readonly others: readonly Other[];
  readonly with: (host: Measured) => Contender<ContenderSample>;
}

interface Measured {
  readonly echo: ProcessContender;
  readonly store: ProcessContender;
}

const CASES: readonly Case[] = [
  { title: 'echo, 500 in flight', others: ['again', 'on', 'traced', 'sampled'], with: ({ echo }) => echo.with(500) },
  { title: 'fetch by key, mariadb, 50 in flight', others: ['again', 'on', 'traced'], with: asking('fetch') },
  { title: 'create, mariadb, 50 in flight', others: ['again', 'on', 'traced'], with: asking('create') },
];

function asking(operation: StoreLoad['operation']): Case['with'] {
  return ({ store }) => store.with(50, { operation } satisfies Omit<StoreLoad, keyof Load>);
}

/** What a host that is looked after costs its callers: orders, desired state, logs and graphs kept by another process; traces exported. */
export const adminScenario: Scenario = {
  name: 'admin',
  description: 'echo and store with an admin node, graphs and logs, and with tracing, against the same without',
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  timeLimitMs: 720_000,
  run: async (context) => {
    const hosts = new Map<Kind, Measured>();
    for (const kind of kindsOf(context)) {
      context.say(`starts: ${TITLES[kind]}`);
      hosts.set(kind, await start(context, kind));
    }
    const rows: Row[] = [];
    for (const each of CASES) rows.push(...(await measure(context, hosts, each)));
    return rows;
  },
};

/** n.b. each host is a process that a smoke run has to start. */
function kindsOf({ effort }: BenchContext): readonly Kind[] {
  return (Object.keys(TITLES) as Kind[]).filter((kind) => !effort.isSmoke || (kind !== 'sampled' && kind !== 'again'));
}

async function measure(
  context: BenchContext,
  hosts: ReadonlyMap<Kind, Measured>,
  { title, others, with: busy }: Case,
): Promise<readonly Row[]> {
  context.say(title);
  const { effort } = context;
  const contenders = new Map(
    (['off', ...others] as const).flatMap((kind) => {
      const host = hosts.get(kind);
      return host === undefined ? [] : [[TITLES[kind], busy(host)] as const];
    }),
  );
  await warmUp(contenders, context, WARM_UP_SLICES);
  const sliceMs = effort.isSmoke ? effort.sliceMs : Math.max(effort.sliceMs, LEAST_SLICE_MS);
  const turns = await takeTurns(contenders, { effort: { ...effort, sliceMs }, signal: context.signal });
  return others
    .filter((kind) => hosts.has(kind))
    .flatMap((kind) => {
      const rounds = pairOf(turns, TITLES[kind], TITLES.off);
      const names = { scenario: 'admin', case: title, subject: TITLES[kind], against: TITLES.off };
      const told = (Object.keys(figures) as FigureName[]).filter((name) => name !== 'all' || kind === 'on');
      return told.map((name) => {
        const target = TARGETS[kind]?.[name];
        return toRow(rounds, { ...names, ...figures[name], ...(target === undefined ? {} : { target }) });
      });
    });
}

/** The same host each time, with a database and names in RabbitMQ of its own. */
async function start(context: BenchContext, kind: Kind): Promise<Measured> {
  const { rabbitmq } = context.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  const prefix = newPrefix();
  const main = await makeMysqlStore(context);
  const documents = await makeMongodbStore(context);
  const admin = kind === 'on' ? await startAdminNode(context, prefix) : undefined;
  const host = await startHostUnderTest(context, {
    ...{
      node: kind,
      prefix,
      domains: ['echo', 'records', 'documents', 'fanout'],
      poolSize: POOL_SIZE,
      roles: ['appServer'],
    },
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
      // n.b. with such a store, which it does not open, there is to be an admin node.
      ...(admin === undefined ? {} : { admin: { kind: 'mysql', url: '', roles: ['admin'] } }),
    },
    sections: { ...(await sectionsOf(context, kind)), ...admin?.sections },
  });
  const { pid } = admin?.process ?? {};
  const watched: Watched = pid === undefined ? {} : { [ADMIN]: [pid] };
  const named: Named = { title: TITLES[kind], hosts: [host], watched };
  return {
    echo: await startBedsContender(context, { ...named, kind: 'default' }),
    store: await startStore(context, named, {
      ...{ url: rabbitmq.url, name: host.exchange, prefetch: host.prefetch, poolSize: POOL_SIZE },
      ...{ mysqlUrl: main.runtimeUrl, mongodbUrl: documents.runtimeUrl },
    }),
  };
}

async function sectionsOf(context: BenchContext, kind: Kind): Promise<Readonly<Record<string, unknown>>> {
  const log = { level: 'info', publish: kind === 'on' };
  if (kind !== 'traced' && kind !== 'sampled') return { log };
  return { log, tracing: { endpoint: await startCollector(context), sampleRatio: kind === 'traced' ? 1 : 0 } };
}

/** Takes spans and forgets them: what a collector does with them is its own affair. */
async function startCollector(context: BenchContext): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.atEnd(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1/traces`;
}

interface Named {
  readonly title: string;
  readonly hosts: readonly HostUnderTest[];
  readonly watched: Watched;
}

async function startStore(
  context: BenchContext,
  { title, hosts, watched }: Named,
  place: StorePlace,
): Promise<ProcessContender> {
  const client = startPart(context, { program: 'beds-store', part: `client-${place.name}` });
  await client.call('connect', place);
  return new ProcessContender(title, { servers: hosts.map((host) => host.process), client, watched });
}
