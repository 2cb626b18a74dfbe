import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { createConnection } from 'mysql2/promise';
import type { Connection } from 'mysql2/promise';
import type { NamedObject, StoreAdapter } from '../../host/stores/contract.js';
import { createMysqlAdapter } from '../../host/stores/mysql/adapter.js';
import type { StoreConfig } from '../../host/config/schema.js';
import { sharedServices } from './services.js';
import { storeLimits } from './store-limits.js';

/** A database of this test file's own, with the DBA's connection and a runtime account that has no rights yet. */
export interface MysqlStore {
  readonly dba: Connection;
  readonly database: string;
  /** Of the runtime account. */
  readonly url: string;
  /** `'name'@'%'`, for GRANT. */
  readonly account: string;
  /** An adapter with the runtime account; not opened. */
  adapter(changes?: Partial<StoreConfig>): StoreAdapter;
  /** Statements in this database that the server works on now; a routine's run in its definer's name. */
  running(): Promise<number>;
}

/** Call it at the top level of a test file: what it makes ends with the file. */
export async function mysqlStore(): Promise<MysqlStore> {
  let end = (): Promise<void> => Promise.resolve();
  // n.b. these hooks run in the order in which they are registered: this one before the server's own.
  after(() => end());
  const { mariadb } = await sharedServices(['mariadb']);
  assert.ok(mariadb);
  const id = randomUUID().slice(0, 8);
  const [database, user, password] = [`beds_adapter_${id}`, `beds_${id}`, randomUUID()];
  const account = `'${user}'@'%'`;
  const dba = await createConnection({ uri: mariadb.url, multipleStatements: true });
  end = async () => {
    await dba.query(`DROP DATABASE IF EXISTS ${database}; DROP USER IF EXISTS ${account}`);
    await dba.end();
  };
  await dba.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE ${database};
    CREATE USER ${account} IDENTIFIED BY '${password}'`);
  const url = new URL(mariadb.url);
  url.protocol = 'mysql:';
  url.pathname = `/${database}`;
  url.username = user;
  url.password = password;
  url.search = '';
  return {
    dba,
    database,
    url: url.href,
    account,
    adapter: (changes = {}) =>
      createMysqlAdapter({ store: 'test', config: { kind: 'mysql', url: url.href, ...storeLimits, ...changes } }),
    running: async () => {
      const [rows] = await dba.query(
        `SELECT COUNT(*) AS running FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = ? AND COMMAND <> 'Sleep' AND INFO IS NOT NULL AND ID <> CONNECTION_ID()`,
        [database],
      );
      return Number((rows as { running: number }[])[0]?.running);
    },
  };
}

/** Finds the objects that a test has described, by name. */
export function finderOf(objects: ReadonlyMap<string, NamedObject>): (name: string) => NamedObject {
  return (name) => {
    const found = objects.get(name);
    assert.ok(found, name);
    return found;
  };
}
