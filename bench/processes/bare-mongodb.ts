import { randomUUID } from 'node:crypto';
import { MongoClient, type Collection } from 'mongodb';
import { serveParent } from '../bed/serve-parent.js';
import { fieldsOf, keyOf } from '../bed/records.js';
import type { BareStoreOptions, BareStoreSlice } from '../bed/bare-store.js';
import { closedLoop } from '../measure/closed-loop.js';

interface Stored {
  readonly _id: string;
  readonly name: string;
}

/** The same collection by MongoDB's driver, as whoever has no host between would write it. */
let client: MongoClient | undefined;
let counter = 0;

const operations = {
  fetch: (records: Collection<Stored>) => records.findOne({ _id: `k${keyOf(++counter)}` }),
  create: (records: Collection<Stored>) => records.insertOne({ _id: randomUUID(), ...fieldsOf(++counter) }),
};

serveParent({
  calls: {
    start: async ({ url, poolSize }: BareStoreOptions) => {
      client = new MongoClient(url, { maxPoolSize: poolSize });
      await client.connect();
    },
    run: async ({ operation, ...load }: BareStoreSlice) => {
      const records = client?.db().collection<Stored>('record');
      return records && closedLoop(async () => operations[operation](records), load);
    },
  },
  stop: async () => client?.close(),
});
