import { type Collection, MongoClient } from 'mongodb';
import { createPool, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import {
  documentKeyOf,
  type Found,
  type PageQuestion,
  pageShape,
  type RecordFields,
  type StoredRecord,
  sumUp,
} from './records.js';

/** What every contender is asked for, by itself or over its wire. Each call takes one value that JSON carries. */
export interface StoreCalls {
  readonly fetch: (key: number) => Promise<StoredRecord | null>;
  readonly create: (fields: RecordFields) => Promise<StoredRecord>;
  readonly page: (question: PageQuestion) => Promise<readonly StoredRecord[]>;
  /** As many reads at once as there are keys. */
  readonly many: (keys: readonly number[]) => Promise<Found>;
  /** The same in each of the two databases. */
  readonly both: (keys: readonly number[]) => Promise<Found>;
  readonly documentFetch: (key: number) => Promise<StoredRecord | null>;
  readonly documentCreate: (document: RecordFields & { readonly id: string }) => Promise<StoredRecord>;
}

/** Where the databases are. */
export interface Databases {
  readonly mysqlUrl: string;
  readonly mongodbUrl: string;
  /** Connections to each of them. */
  readonly poolSize: number;
}

interface Document extends RecordFields {
  readonly _id: string;
}

type Row = StoredRecord & RowDataPacket;

/** The databases as whoever has no host between would use them: a pool each, and prepared statements (`execute` of mysql2). */
export interface BareDatabases {
  readonly calls: StoreCalls;
  /** The records with these keys by one statement, in whatever order. */
  readonly fetchAll: (keys: readonly number[]) => Promise<readonly StoredRecord[]>;
  readonly close: () => Promise<void>;
}

export async function openDatabases({ mysqlUrl, mongodbUrl, poolSize }: Databases): Promise<BareDatabases> {
  const pool = createPool({ uri: mysqlUrl, connectionLimit: poolSize });
  await pool.query('SELECT 1');
  const mongodb = new MongoClient(mongodbUrl, { maxPoolSize: poolSize });
  await mongodb.connect();
  const documents: Collection<Document> = mongodb.db().collection('record');
  const fetch: StoreCalls['fetch'] = async (key) => {
    const [rows] = await pool.execute<Row[]>('SELECT id, name, amount, note FROM record_list WHERE id = ?', [key]);
    return rows[0] ?? null;
  };
  const documentFetch: StoreCalls['documentFetch'] = async (key) => {
    const found = await documents.findOne({ _id: documentKeyOf(key) });
    return found === null ? null : recordOf(found);
  };
  const read = (record: Promise<StoredRecord | null>): Promise<readonly StoredRecord[]> =>
    record.then((found) => (found === null ? [] : [found]));
  return {
    calls: {
      fetch,
      documentFetch,
      create: async ({ name, amount, note }) => {
        const call = 'CALL record_create(?, ?, ?)';
        const [sets] = await pool.execute<[Row[], ResultSetHeader]>(call, [name, amount, note]);
        return sets[0][0] as StoredRecord;
      },
      page: async (question) => {
        const { sql, values } = pageShape(question);
        const [rows] = await pool.execute<Row[]>(sql, [...values(question.from)]);
        return rows;
      },
      many: async (keys) => sumUp(await Promise.all(keys.map((key) => read(fetch(key))))),
      both: async (keys) =>
        sumUp(await Promise.all(keys.flatMap((key) => [read(fetch(key)), read(documentFetch(key))]))),
      documentCreate: async ({ id, ...fields }) => {
        const document = { _id: id, ...fields };
        await documents.insertOne(document);
        return recordOf(document);
      },
    },
    fetchAll: async (keys) => {
      const [rows] = await pool.query<Row[]>('SELECT id, name, amount, note FROM record_list WHERE id IN (?)', [keys]);
      return rows;
    },
    close: async () => {
      await pool.end();
      await mongodb.close();
    },
  };
}

function recordOf({ _id, name, amount, note }: Document): StoredRecord {
  return { id: _id, name, amount, note };
}
