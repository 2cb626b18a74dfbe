import { randomUUID } from 'node:crypto';
import { MongoClient, type Collection } from 'mongodb';
import { createPool, type Pool } from 'mysql2/promise';
import { serveParent } from '../context/child.js';
import { fieldsOf, keyOf, nextKeys } from '../context/records.js';
import { closedLoop, type Load } from '../measure/load.js';

/** Where the databases are; of those that are asked. */
export interface BareStoreOptions {
  readonly mysqlUrl?: string;
  readonly mongodbUrl?: string;
  readonly poolSize: number;
}

/** One slice of load on the bare drivers. */
export interface BareStoreSlice extends Load {
  readonly operation: keyof typeof operations;
}

interface Stored {
  readonly _id: string;
  readonly name: string;
}

let pool: Pool | undefined;
let client: MongoClient | undefined;
let records: Collection<Stored> | undefined;
let counter = 0;

const FETCH = 'SELECT id, name, amount, note FROM record_list WHERE id = ?';

/** The same objects by `execute` (prepared) of mysql2 and by MongoDB's driver, as whoever has no host between would write it. */
const operations = {
  mysqlFetch: async (key = keyOf(++counter)) => pool?.execute(FETCH, [key]),
  mysqlCreate: async () => {
    const { name, amount, note } = fieldsOf(++counter);
    return pool?.execute('CALL record_create(?, ?, ?)', [name, amount, note]);
  },
  mongodbFetch: async (key = keyOf(++counter)) => records?.findOne({ _id: `k${String(key)}` }),
  mongodbCreate: async () => records?.insertOne({ _id: randomUUID(), ...fieldsOf(++counter) }),
  fanout: async () => {
    const ask = async (key: number): Promise<unknown> =>
      Promise.all([operations.mysqlFetch(key), operations.mongodbFetch(key)]);
    return Promise.all(nextKeys(++counter).map(ask));
  },
};

serveParent({
  calls: {
    start: async ({ mysqlUrl, mongodbUrl, poolSize }: BareStoreOptions) => {
      if (mysqlUrl !== undefined) {
        pool = createPool({ uri: mysqlUrl, connectionLimit: poolSize });
        await pool.query('SELECT 1');
      }
      if (mongodbUrl === undefined) return;
      client = new MongoClient(mongodbUrl, { maxPoolSize: poolSize });
      await client.connect();
      records = client.db().collection<Stored>('record');
    },
    run: ({ operation, ...load }: BareStoreSlice) => closedLoop(() => operations[operation](), load),
  },
  stop: async () => {
    await pool?.end();
    await client?.close();
  },
});
