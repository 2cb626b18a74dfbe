import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { BedsClient } from '@beds/sdk/client';
import { Child } from '../context/child.js';
import { startHostUnderTest } from '../context/host-under-test.js';
import { fieldsOf, keyOf } from '../context/records.js';
import { makeMongodbStore, makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Scenario, Row, Sample } from '../contract.js';
import { closedLoop } from '../measure/load.js';
import { interleave, type Pair, toRow } from '../measure/rounds.js';
import type { BareStoreOptions, BareStoreSlice } from '../processes/bare-store.js';

const IN_FLIGHT = 50;
const POOL_SIZE = 16;
const TARGET = { ratioAtLeast: 0.85 };

type Operation = 'fetch' | 'create';

interface Side {
  readonly title: string;
  readonly bareTitle: string;
  readonly bare: Child;
  readonly bareOperations: Readonly<Record<Operation, BareStoreSlice['operation']>>;
  readonly operations: Readonly<Record<Operation, () => Promise<unknown>>>;
}

/** Records that everybody asks for at the same time, where reads are shared. */
const SHARED_COUNTS = [1, 100];

/** What the way over RabbitMQ and the host costs a program that could have asked its database itself. */
export const storeScenario: Scenario = {
  name: 'store',
  description: 'fetch by key and create through the host, against the bare drivers',
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  timeLimitMs: 180_000,
  run: async (context) => {
    const rows: Row[] = [];
    const { sides, client } = await prepare(context);
    for (const side of sides) {
      for (const operation of ['fetch', 'create'] as const) {
        context.say(`${operation} on ${side.title}, ${IN_FLIGHT} in flight`);
        rows.push(await compare(side, operation, context));
      }
    }
    for (const count of SHARED_COUNTS) rows.push(await compareShared(client, count, context));
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

async function compare(side: Side, operation: Operation, context: BenchContext): Promise<Row> {
  const pair: Pair<Sample> = {
    subject: (durationMs) => closedLoop(side.operations[operation], { inFlight: IN_FLIGHT, durationMs }),
    against: (durationMs) => {
      const slice = { operation: side.bareOperations[operation], inFlight: IN_FLIGHT, durationMs };
      return side.bare.call<Sample>('run', slice satisfies BareStoreSlice);
    },
  };
  return toRow(await interleave(pair, context), {
    scenario: 'store',
    case: `${operation}, ${side.title}`,
    subject: 'BEDS, client default',
    against: side.bareTitle,
    unit: 'ops/s',
    of: ({ perSecond }) => perSecond,
    target: TARGET,
  });
}

async function prepare(
  context: BenchContext,
): Promise<{ readonly sides: readonly Side[]; readonly client: BedsClient }> {
  const main = await makeMysqlStore(context);
  const documents = await makeMongodbStore(context);
  const { client } = await startHostUnderTest(context, {
    domains: ['records', 'documents'],
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
    },
    poolSize: POOL_SIZE,
  });
  const { mariadb, mongodb } = context.services;
  const sides = [
    {
      title: mariadb?.kind ?? 'mariadb',
      bareTitle: 'bare mysql2',
      bare: await startBare(context, { mysqlUrl: main.runtimeUrl, poolSize: POOL_SIZE }),
      bareOperations: { fetch: 'mysqlFetch', create: 'mysqlCreate' } as const,
      operations: await checked(recordOperations(client)),
    },
    {
      title: mongodb?.kind ?? 'mongodb',
      bareTitle: 'bare mongodb',
      bare: await startBare(context, { mongodbUrl: documents.runtimeUrl, poolSize: POOL_SIZE }),
      bareOperations: { fetch: 'mongodbFetch', create: 'mongodbCreate' } as const,
      operations: await checked(documentOperations(client)),
    },
  ];
  return { sides, client };
}

async function startBare(context: BenchContext, options: BareStoreOptions): Promise<Child> {
  const kind = options.mysqlUrl === undefined ? 'mongodb' : 'mysql';
  const bare = new Child({ program: 'bare-store', logFile: join(context.folder, `bare-${kind}.log`) });
  context.atEnd(() => bare.stop());
  await bare.call('start', options);
  return bare;
}

function recordOperations(client: BedsClient): Side['operations'] {
  const records = client.domain('records');
  let counter = 0;
  return {
    fetch: () => records.fetch({ key: keyOf(++counter) }),
    create: () => records.create(fieldsOf(++counter)),
  };
}

function documentOperations(client: BedsClient): Side['operations'] {
  const documents = client.domain('documents');
  let counter = 0;
  return {
    fetch: () => documents.fetch({ key: `k${keyOf(++counter)}` }),
    create: () => documents.create({ id: randomUUID(), ...fieldsOf(++counter) }),
  };
}

/** A fast wrong answer must not win. */
async function checked(operations: Side['operations']): Promise<Side['operations']> {
  const page = (await operations.fetch()) as { readonly rows: readonly unknown[] };
  assert.equal(page.rows.length, 1, 'fetch finds the record');
  const created = (await operations.create()) as { readonly name?: unknown };
  assert.equal(typeof created.name, 'string', 'create returns the record');
  return operations;
}
