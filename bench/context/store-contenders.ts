import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { BenchContext, Row, Target } from '../contract.js';
import type { Load } from '../measure/load.js';
import { pairOf, takeTurns, toRow, warmUp } from '../measure/rounds.js';
import { FIGURES, ProcessContender, startPart, type Watched } from './contender.js';
import { type HostUnderTest, startHostUnderTest } from './host-under-test.js';
import { installPeers } from './peers.js';
import type { StoreLoad, StoreOperation, StorePlace } from './serve-store.js';
import { makeMongodbStore, makeMysqlStore } from './stores.js';

/** Who reaches the databases, and by what. bench/README.md says what each is and for whom it is better. */
export const STORE_TITLES = {
  default: 'BEDS, client default',
  unbatched: 'BEDS, one message a request',
  bridge: 'bridge by hand',
  loader: 'bridge with DataLoader',
  safe: 'bridge, as safe',
  moleculer: 'Moleculer',
  bare: 'bare driver',
} as const;

export type StoreContenderName = keyof typeof STORE_TITLES;

/** Connections of everybody to each database. */
const POOL_SIZE = 16;

/** Those that are there: what needs a library of others is missing where that is not installed. */
export interface StoreContenders {
  readonly byName: ReadonlyMap<StoreContenderName, ProcessContender>;
  readonly host: HostUnderTest;
}

export async function startStoreContenders(
  context: BenchContext,
  names: readonly StoreContenderName[],
): Promise<StoreContenders> {
  const { rabbitmq } = context.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  const main = await makeMysqlStore(context);
  const documents = await makeMongodbStore(context);
  const host = await startHostUnderTest(context, {
    domains: ['records', 'documents', 'fanout'],
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
    },
    poolSize: POOL_SIZE,
  });
  const why = await installPeers(context);
  if (why !== undefined) context.skip('peers', why);
  const place: Omit<StorePlace, 'name'> = {
    url: rabbitmq.url,
    prefetch: host.prefetch,
    mysqlUrl: main.runtimeUrl,
    mongodbUrl: documents.runtimeUrl,
    poolSize: POOL_SIZE,
  };
  const byName = new Map<StoreContenderName, ProcessContender>();
  for (const name of names) {
    if (why !== undefined && PROGRAMS[name].isPeer === true) continue;
    byName.set(name, await startContender(context, { name, host, place }));
  }
  return { byName, host };
}

interface Program {
  readonly program: string;
  readonly args?: readonly string[];
  /** Who serves: a process of the same program, the host, or nobody. */
  readonly server: 'own' | 'host' | 'none';
  readonly isPeer?: true;
}

const PROGRAMS: Readonly<Record<StoreContenderName, Program>> = {
  default: { program: 'beds-store', server: 'host' },
  unbatched: { program: 'beds-store', args: ['unbatched'], server: 'host' },
  bridge: { program: 'bridge-store', args: ['plain'], server: 'own' },
  loader: { program: 'bridge-store', args: ['loader'], server: 'own', isPeer: true },
  safe: { program: 'bridge-store', args: ['safe'], server: 'own' },
  moleculer: { program: 'moleculer-store', server: 'own', isPeer: true },
  bare: { program: 'bare-store', server: 'none' },
};

interface ContenderPlan {
  readonly name: StoreContenderName;
  readonly host: HostUnderTest;
  readonly place: Omit<StorePlace, 'name'>;
}

async function startContender(context: BenchContext, { name, host, place }: ContenderPlan): Promise<ProcessContender> {
  const { program, args = [], server } = PROGRAMS[name];
  const own: StorePlace = {
    ...place,
    name: server === 'host' ? host.exchange : `bench-${name}-${randomBytes(4).toString('hex')}`,
  };
  const servers = server === 'host' ? [host.process] : [];
  if (server === 'own') {
    const child = startPart(context, { program, args, part: `server-${name}` });
    await child.call('serve', own);
    servers.push(child);
  }
  const client = startPart(context, { program, args, part: `client-${name}` });
  await client.call('connect', own);
  return new ProcessContender(STORE_TITLES[name], { servers, client, watched: watchedIn(context) });
}

const RABBITMQ = 'RabbitMQ';
const DATABASES = 'the databases';

/** The servers that were started for the benchmark. */
function watchedIn({ services: { rabbitmq, mariadb, mongodb } }: BenchContext): Watched {
  const named = { [RABBITMQ]: [rabbitmq], [DATABASES]: [mariadb, mongodb] };
  return Object.fromEntries(
    Object.entries(named).map(([name, servers]) => [name, servers.flatMap((server) => server?.pid ?? [])]),
  );
}

const WARM_UP_SLICES = 2;

type Promised = Readonly<Partial<Record<'rate' | 'p50' | 'p99' | 'cpu', Target>>>;

/** Two that stand side by side, and what is promised of that. */
export interface StorePair {
  readonly subject: StoreContenderName;
  readonly against: StoreContenderName;
  readonly promised?: Promised;
}

/** One load, and who is compared under it. */
export interface StoreCase {
  readonly title: string;
  readonly operation: StoreOperation;
  readonly inFlight: number;
  readonly pairs: readonly StorePair[];
}

/** Everybody of a case takes turns; a pair of which one is missing has no rows. */
export async function compareStores(
  context: BenchContext,
  { byName }: StoreContenders,
  { scenario, ...each }: StoreCase & { readonly scenario: string },
): Promise<readonly Row[]> {
  const { title, operation, inFlight, pairs } = each;
  const pairsHere = pairs.filter(({ subject, against }) => byName.has(subject) && byName.has(against));
  const names = [...new Set(pairsHere.flatMap(({ subject, against }) => [subject, against]))];
  const words = `${title}, ${inFlight.toLocaleString('en')} in flight`;
  context.say(`${words}: ${names.length} contenders`);
  const busy = names.flatMap((name) => {
    const contender = byName.get(name);
    return contender === undefined
      ? []
      : [[name, contender.with(inFlight, { operation } satisfies Omit<StoreLoad, keyof Load>)] as const];
  });
  // Until V8 has compiled what they run: otherwise the first case would measure that.
  await warmUp(new Map(busy), context, WARM_UP_SLICES);
  const turns = await takeTurns(new Map(busy), context);
  return pairsHere.flatMap(({ subject, against, promised = {} }) => {
    const rounds = pairOf(turns, subject, against);
    const named = { scenario, case: words, subject: STORE_TITLES[subject], against: STORE_TITLES[against] };
    const rows = (Object.keys(FIGURES) as (keyof typeof FIGURES)[]).map((figure) => {
      const target = promised[figure];
      return toRow(rounds, { ...named, ...FIGURES[figure], ...(target === undefined ? {} : { target }) });
    });
    // What RabbitMQ and the databases spend is the same question for every pair: the bridge answers it.
    if (against !== 'bridge') return rows;
    const watched = [RABBITMQ, DATABASES].filter((name) =>
      [...rounds.subject, ...rounds.against].every(({ watchedCpuUs }) => (watchedCpuUs[name] ?? 0) > 0),
    );
    return [
      ...rows,
      ...watched.map((name) =>
        toRow(rounds, { ...named, unit: `µs CPU of ${name}`, of: ({ watchedCpuUs }) => watchedCpuUs[name] ?? 0 }),
      ),
    ];
  });
}
