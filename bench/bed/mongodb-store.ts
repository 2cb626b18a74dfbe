import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import type { Bed } from '../contract.js';
import type { BenchStore } from './mysql-store.js';
import { fieldsOf, RECORD_COUNT } from './records.js';

const FIELDS = { id: { type: 'string', from: '_id' }, name: 'string', amount: 'integer', note: 'string' };
const given = (name: string): { readonly $arg: string } => ({ $arg: name });

/** What the DBA of the benchmark delivers. */
const OBJECTS = [
  { _id: 'record_list', kind: 'view', on: 'record', columns: FIELDS, body: { pipeline: [] } },
  {
    _id: 'record_create',
    kind: 'procedure',
    on: 'record',
    op: 'insertOne',
    args: { id: 'string', name: 'string', amount: 'integer', note: 'string' },
    body: { document: { _id: given('id'), name: given('name'), amount: given('amount'), note: given('note') } },
    returns: FIELDS,
  },
];

/** A database of the question's own on the MongoDB server, with records in it. */
export async function makeMongodbStore(bed: Bed): Promise<BenchStore> {
  const { mongodb } = bed.services;
  assert.ok(mongodb, 'MongoDB is needed');
  const url = new ConnectionString(mongodb.url);
  url.pathname = `/bench_${randomBytes(4).toString('hex')}`;
  if (url.username !== '' && !url.searchParams.has('authSource')) url.searchParams.set('authSource', 'admin');
  const dba = new MongoClient(url.href, { serverSelectionTimeoutMS: 5_000 });
  bed.atEnd(async () => {
    await dba.db().dropDatabase();
    await dba.close();
  });
  await dba.connect();
  await dba.db().collection<{ _id: string }>('beds_objects').insertMany(OBJECTS);
  const records = Array.from({ length: RECORD_COUNT }, (_, n) => ({ _id: `k${n + 1}`, ...fieldsOf(n) }));
  await dba.db().collection<{ _id: string }>('record').insertMany(records);
  return { runtimeUrl: url.href };
}
