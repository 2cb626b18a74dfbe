import { MongoClient, type Collection } from 'mongodb';
import { createPool, type Pool } from 'mysql2/promise';
import type { BareStoreOptions } from '../bed/bare-store.js';
import { nextKeys } from '../bed/records.js';
import { serveParent } from '../bed/serve-parent.js';
import { closedLoop, type Load } from '../measure/closed-loop.js';

/** The same calls by the bare drivers, as whoever has no host between would write them. */
export interface BareFanoutOptions {
  readonly mysql: BareStoreOptions;
  readonly mongodb: BareStoreOptions;
}

interface Stored {
  readonly _id: string;
}

let pool: Pool | undefined;
let client: MongoClient | undefined;
let counter = 0;

async function askBoth(from: Pool, records: Collection<Stored>): Promise<unknown> {
  counter += 1;
  return Promise.all(
    nextKeys(counter).flatMap((key): Promise<unknown>[] => [
      from.execute('SELECT id, name, amount, note FROM record_list WHERE id = ?', [key]),
      records.findOne({ _id: `k${String(key)}` }),
    ]),
  );
}

serveParent({
  calls: {
    start: async ({ mysql, mongodb }: BareFanoutOptions) => {
      pool = createPool({ uri: mysql.url, connectionLimit: mysql.poolSize });
      await pool.query('SELECT 1');
      client = new MongoClient(mongodb.url, { maxPoolSize: mongodb.poolSize });
      await client.connect();
    },
    run: async (load: Load) => {
      const from = pool;
      const records = client?.db().collection<Stored>('record');
      return from && records && closedLoop(() => askBoth(from, records), load);
    },
  },
  stop: async () => {
    await pool?.end();
    await client?.close();
  },
});
