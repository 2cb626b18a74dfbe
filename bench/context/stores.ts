import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import mysql from 'mysql2/promise';
import type { BenchContext } from '../contract.js';
import { fieldsOf, RECORD_COUNT } from './records.js';

/** What the DBA of the benchmark delivers. */
const MYSQL_OBJECTS = [
  `CREATE TABLE record (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL, amount INT NOT NULL, note VARCHAR(200) NOT NULL)`,
  `CREATE SQL SECURITY DEFINER VIEW record_list AS SELECT id, name, amount, note FROM record`,
  `CREATE PROCEDURE record_create(IN name VARCHAR(100), IN amount INT, IN note VARCHAR(200)) SQL SECURITY DEFINER
   BEGIN
     INSERT INTO record (name, amount, note) VALUES (name, amount, note);
     SELECT record.id, record.name, record.amount, record.note FROM record WHERE record.id = LAST_INSERT_ID();
   END`,
];

export interface BenchStore {
  /** With the account that both sides use: EXECUTE and SELECT on the objects, nothing else. */
  readonly runtimeUrl: string;
}

export interface MysqlBenchStore extends BenchStore {
  /** How often each name that begins so is in the table. */
  readonly namesLike: (prefix: string) => Promise<ReadonlyMap<string, number>>;
}

/** A database of the scenario's own on MariaDB, with records in it. */
export async function makeMysqlStore(context: BenchContext): Promise<MysqlBenchStore> {
  const { mariadb } = context.services;
  assert.ok(mariadb, 'MariaDB is needed');
  const name = `bench_${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  const dba = await mysql.createConnection(mariadb.url);
  context.atEnd(async () => {
    await dba.query(`DROP DATABASE IF EXISTS ${name}`);
    await dba.query(`DROP USER IF EXISTS '${name}'@'%'`);
    await dba.end();
  });
  await dba.query(`CREATE DATABASE ${name}`);
  await dba.query(`CREATE USER '${name}'@'%' IDENTIFIED BY '${password}'`);
  await dba.query(`USE ${name}`);
  for (const statement of MYSQL_OBJECTS) await dba.query(statement);
  await dba.query(`GRANT SELECT ON ${name}.record_list TO '${name}'@'%'`);
  await dba.query(`GRANT EXECUTE ON PROCEDURE ${name}.record_create TO '${name}'@'%'`);
  const rows = Array.from({ length: RECORD_COUNT }, (_, n) => {
    const { name: title, amount, note } = fieldsOf(n);
    return [title, amount, note];
  });
  await dba.query('INSERT INTO record (name, amount, note) VALUES ?', [rows]);
  const url = new URL(mariadb.url);
  url.username = name;
  url.password = password;
  url.pathname = `/${name}`;
  const namesLike = async (prefix: string): Promise<ReadonlyMap<string, number>> => {
    const [found] = await dba.query<mysql.RowDataPacket[]>(
      'SELECT name, COUNT(*) AS count FROM record WHERE name LIKE ? GROUP BY name',
      [`${prefix}-%`],
    );
    return new Map(found.map((row) => [String(row['name']), Number(row['count'])]));
  };
  return { runtimeUrl: url.href, namesLike };
}

const FIELDS = { id: { type: 'string', from: '_id' }, name: 'string', amount: 'integer', note: 'string' };
const given = (name: string): { readonly $arg: string } => ({ $arg: name });

/** What the DBA of the benchmark delivers. */
const MONGODB_OBJECTS = [
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

/** A database of the scenario's own on the MongoDB server, with records in it. */
export async function makeMongodbStore(context: BenchContext): Promise<BenchStore> {
  const { mongodb } = context.services;
  assert.ok(mongodb, 'MongoDB is needed');
  const url = new ConnectionString(mongodb.url);
  url.pathname = `/bench_${randomBytes(4).toString('hex')}`;
  if (url.username !== '' && !url.searchParams.has('authSource')) url.searchParams.set('authSource', 'admin');
  const dba = new MongoClient(url.href, { serverSelectionTimeoutMS: 5_000 });
  context.atEnd(async () => {
    await dba.db().dropDatabase();
    await dba.close();
  });
  await dba.connect();
  await dba.db().collection<{ _id: string }>('beds_objects').insertMany(MONGODB_OBJECTS);
  const records = Array.from({ length: RECORD_COUNT }, (_, n) => ({ _id: `k${n + 1}`, ...fieldsOf(n) }));
  await dba.db().collection<{ _id: string }>('record').insertMany(records);
  return { runtimeUrl: url.href };
}
