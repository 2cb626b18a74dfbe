import type { BedsClient } from '@beds/sdk/client';
import { compareStores, type StoreCase, type StorePair, startStoreContenders } from '../context/store-contenders.js';
import type { BenchContext, Row, Scenario } from '../contract.js';
import { closedLoop } from '../measure/load.js';
import { interleave, toRow } from '../measure/rounds.js';

const IN_FLIGHT = 50;
const MANY_IN_FLIGHT = 500;

const FETCH_OTHERS: readonly StorePair[] = [
  { subject: 'default', against: 'loader' },
  { subject: 'default', against: 'moleculer' },
  { subject: 'unbatched', against: 'loader' },
  { subject: 'loader', against: 'bridge' },
];

const ONE_MESSAGE: StorePair = {
  subject: 'unbatched',
  against: 'bridge',
  promised: { rate: { ratioAtLeast: 1.5 }, cpu: { ratioAtMost: 0.65 } },
};

const CASES: readonly StoreCase[] = [
  {
    title: 'fetch by key, mariadb',
    operation: 'fetch',
    inFlight: IN_FLIGHT,
    pairs: [
      {
        subject: 'default',
        against: 'bridge',
        promised: { rate: { ratioAtLeast: 3 }, cpu: { ratioAtMost: 0.25 } },
      },
      ONE_MESSAGE,
      { subject: 'default', against: 'bare', promised: { rate: { ratioAtLeast: 1 } } },
      ...FETCH_OTHERS,
    ],
  },
  {
    title: 'fetch by key, mariadb',
    operation: 'fetch',
    inFlight: MANY_IN_FLIGHT,
    pairs: [
      {
        subject: 'default',
        against: 'bridge',
        promised: { rate: { ratioAtLeast: 5 }, cpu: { ratioAtMost: 0.15 } },
      },
      ONE_MESSAGE,
      { subject: 'default', against: 'bare', promised: { rate: { ratioAtLeast: 1.5 } } },
      ...FETCH_OTHERS,
    ],
  },
  {
    title: 'create, mariadb',
    operation: 'create',
    inFlight: IN_FLIGHT,
    pairs: [
      {
        subject: 'default',
        against: 'bridge',
        promised: { rate: { ratioAtLeast: 1.5 }, cpu: { ratioAtMost: 0.55 } },
      },
      { subject: 'default', against: 'safe', promised: { rate: { ratioAtLeast: 2.5 } } },
      { subject: 'default', against: 'bare', promised: { rate: { ratioAtLeast: 0.9 } } },
      { subject: 'default', against: 'moleculer' },
      {
        subject: 'unbatched',
        against: 'bridge',
        promised: { rate: { ratioAtLeast: 1.1 }, cpu: { ratioAtMost: 0.85 } },
      },
      { subject: 'unbatched', against: 'safe' },
    ],
  },
  {
    title: 'pages of eight shapes, mariadb',
    operation: 'page',
    inFlight: IN_FLIGHT,
    pairs: [
      {
        subject: 'default',
        against: 'bridge',
        promised: { rate: { ratioAtLeast: 0.95 }, cpu: { ratioAtMost: 1.05 } },
      },
      { subject: 'unbatched', against: 'bridge' },
      { subject: 'default', against: 'bare' },
      { subject: 'default', against: 'moleculer' },
    ],
  },
  ...(['documentFetch', 'documentCreate'] as const).map((operation): StoreCase => ({
    title: `${operation === 'documentFetch' ? 'fetch by key' : 'create'}, mongodb`,
    operation,
    inFlight: IN_FLIGHT,
    pairs: [
      { subject: 'default', against: 'bridge' },
      { subject: 'unbatched', against: 'bridge' },
      { subject: 'default', against: 'bare', promised: { rate: { ratioAtLeast: 0.85 } } },
      { subject: 'default', against: 'moleculer' },
    ],
  })),
  // Last: V8 has compiled what everybody runs.
  {
    title: 'fetch by key, mariadb',
    operation: 'fetch',
    inFlight: 1,
    pairs: [
      // It was 1.25 before calls went together; whoever has nobody to go with must not wait for that.
      { subject: 'default', against: 'bridge', promised: { p50: { ratioAtMost: 1.31 } } },
      { subject: 'default', against: 'bare' },
    ],
  },
];

/** Records that everybody asks for at the same time, where reads are shared. */
const SHARED_COUNTS = [1, 100];

/** What a program pays for reaching its database over RabbitMQ: with BEDS, with what it would write by hand, with others. */
export const storeScenario: Scenario = {
  name: 'store',
  description: 'fetch, create and pages through the host, against bridges by hand, Moleculer and the bare drivers',
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  timeLimitMs: 420_000,
  run: async (context) => {
    const names = ['default', 'unbatched', 'bridge', 'loader', 'safe', 'moleculer', 'bare'] as const;
    const contenders = await startStoreContenders(context, names);
    const rows: Row[] = [];
    for (const each of CASES) {
      rows.push(...(await compareStores(context, contenders, { scenario: 'store', ...each })));
    }
    for (const count of SHARED_COUNTS) rows.push(await compareShared(contenders.host.client, count, context));
    return rows;
  },
};

/** What a view gains that says that identical reads may share one. */
async function compareShared(client: BedsClient, count: number, context: BenchContext): Promise<Row> {
  context.say(`the same ${count} records for all, ${IN_FLIGHT} in flight`);
  const records = client.domain('records');
  const read = (operation: string) => (durationMs: number) =>
    closedLoop(() => records.call(operation, { count }), { inFlight: IN_FLIGHT, durationMs });
  return toRow(await interleave({ subject: read('firstShared'), against: read('first') }, context), {
    scenario: 'store',
    case: `the same ${count} records, mariadb`,
    subject: 'BEDS, shared view',
    against: 'BEDS, view',
    unit: 'ops/s',
    of: ({ perSecond }) => perSecond,
  });
}
