import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { BedsClient } from '@beds/sdk/client';
import type { BareStoreSlice } from '../bed/bare-store.js';
import { Child } from '../bed/child.js';
import { startHostUnderTest } from '../bed/host-under-test.js';
import { makeMongodbStore } from '../bed/mongodb-store.js';
import { makeMysqlStore } from '../bed/mysql-store.js';
import { fieldsOf, keyOf } from '../bed/records.js';
import type { Bed, Question, Row, Sample } from '../contract.js';
import { closedLoop } from '../measure/closed-loop.js';
import { interleave, type Pair } from '../measure/interleave.js';
import { toRow } from '../measure/to-row.js';

const IN_FLIGHT = 50;
const POOL_SIZE = 16;
const TARGET = { ratioAtLeast: 0.85 };

type Operation = BareStoreSlice['operation'];

interface Side {
  readonly title: string;
  readonly bareTitle: string;
  readonly bare: Child;
  readonly operations: Readonly<Record<Operation, () => Promise<unknown>>>;
}

/** Records that everybody asks for at the same time, where reads are shared. */
const SHARED_COUNTS = [1, 100];

/** What the way over RabbitMQ and the host costs a program that could have asked its database itself. */
export const storeQuestion: Question = {
  name: 'store',
  words: 'fetch by key and create through the host, against the bare drivers',
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  longestMs: 180_000,
  run: async (bed) => {
    const rows: Row[] = [];
    const { sides, client } = await prepare(bed);
    for (const side of sides) {
      for (const operation of ['fetch', 'create'] as const) {
        bed.say(`${operation} on ${side.title}, ${IN_FLIGHT} in flight`);
        rows.push(await compare(side, operation, bed));
      }
    }
    for (const count of SHARED_COUNTS) rows.push(await compareShared(client, count, bed));
    return rows;
  },
};

/** What a view gains that says that identical reads may share one. */
async function compareShared(client: BedsClient, count: number, bed: Bed): Promise<Row> {
  bed.say(`the same ${count} records for all, ${IN_FLIGHT} in flight`);
  const records = client.domain('records');
  const read = (operation: string) => (durationMs: number) =>
    closedLoop(() => records.call(operation, { count }, { mode: 'read' }), { inFlight: IN_FLIGHT, durationMs });
  return toRow(await interleave({ subject: read('firstShared'), against: read('first') }, bed), {
    question: 'store',
    case: `the same ${count} records, mariadb`,
    subject: 'BEDS, shared view',
    against: 'BEDS, view',
    unit: 'ops/s',
    of: ({ perSecond }) => perSecond,
  });
}

async function compare(side: Side, operation: Operation, bed: Bed): Promise<Row> {
  const pair: Pair<Sample> = {
    subject: (durationMs) => closedLoop(side.operations[operation], { inFlight: IN_FLIGHT, durationMs }),
    against: (durationMs) => {
      const slice: BareStoreSlice = { operation, inFlight: IN_FLIGHT, durationMs };
      return side.bare.call<Sample>('run', slice);
    },
  };
  return toRow(await interleave(pair, bed), {
    question: 'store',
    case: `${operation}, ${side.title}`,
    subject: 'BEDS, client default',
    against: side.bareTitle,
    unit: 'ops/s',
    of: ({ perSecond }) => perSecond,
    target: TARGET,
  });
}

async function prepare(bed: Bed): Promise<{ readonly sides: readonly Side[]; readonly client: BedsClient }> {
  const main = await makeMysqlStore(bed);
  const documents = await makeMongodbStore(bed);
  const { client } = await startHostUnderTest(bed, {
    domains: ['records', 'documents'],
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
    },
    poolSize: POOL_SIZE,
  });
  const { mariadb, mongodb } = bed.services;
  const sides = [
    {
      title: mariadb?.kind ?? 'mariadb',
      bareTitle: 'bare mysql2',
      bare: await startBare(bed, 'bare-mysql', main.runtimeUrl),
      operations: await checked(recordOperations(client)),
    },
    {
      title: mongodb?.kind ?? 'mongodb',
      bareTitle: 'bare mongodb',
      bare: await startBare(bed, 'bare-mongodb', documents.runtimeUrl),
      operations: await checked(documentOperations(client)),
    },
  ];
  return { sides, client };
}

async function startBare(bed: Bed, program: string, url: string): Promise<Child> {
  const bare = new Child({ program, logFile: join(bed.folder, `${program}.log`) });
  bed.atEnd(() => bare.stop());
  await bare.call('start', { url, poolSize: POOL_SIZE });
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
