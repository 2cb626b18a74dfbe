import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import type { Bed } from '../contract.js';
import { fieldsOf, RECORD_COUNT } from './records.js';

/** What the DBA of the benchmark delivers. */
const OBJECTS = [
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

/** A database of the question's own on MariaDB, with records in it. */
export async function makeMysqlStore(bed: Bed): Promise<MysqlBenchStore> {
  const { mariadb } = bed.services;
  assert.ok(mariadb, 'MariaDB is needed');
  const name = `bench_${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  const dba = await mysql.createConnection(mariadb.url);
  bed.atEnd(async () => {
    await dba.query(`DROP DATABASE IF EXISTS ${name}`);
    await dba.query(`DROP USER IF EXISTS '${name}'@'%'`);
    await dba.end();
  });
  await dba.query(`CREATE DATABASE ${name}`);
  await dba.query(`CREATE USER '${name}'@'%' IDENTIFIED BY '${password}'`);
  await dba.query(`USE ${name}`);
  for (const statement of OBJECTS) await dba.query(statement);
  await dba.query(`GRANT SELECT ON ${name}.record_list TO '${name}'@'%'`);
  await dba.query(`GRANT EXECUTE ON PROCEDURE ${name}.record_create TO '${name}'@'%'`);
  const rows = Array.from({ length: RECORD_COUNT }, (_, n) => Object.values(fieldsOf(n)));
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
