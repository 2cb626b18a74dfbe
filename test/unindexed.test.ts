import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Manifest, ObjectManifest } from '@beds/sdk';
import type { StoreConfig } from '../host/config/schema.js';
import { administerMysql } from '../host/dba/mysql.js';
import { preflight } from '../host/deploy/admit/preflight.js';
import type { StoreAdapter } from '../host/stores/contract.js';
import { mongodbStore } from './support/mongodb-store.js';
import { mysqlStore } from './support/mysql-store.js';
import { sharedServices } from './support/services.js';

const { mariadb } = await sharedServices(['mariadb']);
assert.ok(mariadb);
const mysql = await mysqlStore();
const mongodb = await mongodbStore();

const columns = { id: { type: 'integer' }, name: { type: 'string' }, country: { type: 'string' } } as const;
const use = { kind: 'view', name: 'city_list', columns } as const satisfies ObjectManifest;
const objects = {
  fetch: use,
  own: use,
  byCountry: { ...use, fetchable: true, columns: { id: columns.id, country: columns.country } },
};
const manifest = { store: 'test', key: 'id', objects } as unknown as Manifest;

/** What is said of the manifest where the store is configured so. */
async function said(adapter: StoreAdapter): Promise<object> {
  await adapter.open();
  try {
    const { findings, notices } = await preflight(manifest, new Map([['test', adapter]]));
    return { findings: findings.map(({ message }) => message), notices: notices.map(({ message }) => message) };
  } finally {
    await adapter.close(1_000);
  }
}

const message =
  'No index serves filters by country, and orders by country of city_list: each such fetch reads every row.';

async function saysWhatNoIndexServes(open: (unindexed: StoreConfig['unindexed']) => StoreAdapter): Promise<void> {
  assert.deepEqual(await said(open('allow')), { findings: [], notices: [] });
  assert.deepEqual(await said(open('warn')), { findings: [], notices: [message, message] });
  assert.deepEqual(await said(open('refuse')), { findings: [message, message], notices: [] });
}

test('MySQL: columns of fetchable views that no index serves are said, or keep a version waiting', async () => {
  const user = `beds_${randomUUID().slice(0, 8)}`;
  const account = { user, password: randomUUID() };
  const url = new URL(mysql.url);
  Object.assign(url, { username: user, password: account.password });
  const open = (unindexed: StoreConfig['unindexed']): StoreAdapter => mysql.adapter({ url: url.href, unindexed });
  await mysql.dba
    .query(`CREATE TABLE cities (id INT PRIMARY KEY, name VARCHAR(40), country CHAR(2), born DATE, KEY (name), KEY (born));
    CREATE VIEW city_list AS SELECT * FROM cities; INSERT INTO cities VALUES (1, 'Zug', 'CH', NULL), (2, 'Bern', 'CH', NULL);
    CREATE USER '${user}'@'%' IDENTIFIED BY '${account.password}'; GRANT SELECT ON city_list TO '${user}'@'%'`);
  try {
    // Nobody made the procedure that may explain views.
    assert.deepEqual(await said(open('refuse')), { findings: [], notices: [] });
    const adminUrl = new URL(mariadb.url);
    adminUrl.pathname = `/${mysql.database}`;
    const administrator = await administerMysql(adminUrl.href);
    await administrator.grant([], account);
    await administrator.close();
    await saysWhatNoIndexServes(open);
    await mysql.dba.query('CREATE INDEX country ON cities (country)');
    assert.deepEqual(await said(open('refuse')), { findings: [], notices: [] });
  } finally {
    await mysql.dba.query(`DROP USER IF EXISTS '${user}'@'%'`);
  }
});

test('MongoDB: columns of fetchable views that no index serves are said, or keep a version waiting', async () => {
  const { dba, deliver, open } = mongodb;
  const stored = { id: { type: 'integer', from: '_id' }, name: 'string', country: 'string' };
  await deliver({ _id: 'city_list', kind: 'view', on: 'cities', columns: stored, body: { pipeline: [] } });
  const cities = dba.db().collection('cities');
  await cities.createIndex({ name: 1, _id: 1 });
  await saysWhatNoIndexServes((unindexed) => open({ unindexed }));
  await cities.createIndex({ country: 1 });
  const orders = 'No index serves orders by country of city_list: each such fetch reads every row.';
  assert.deepEqual(await said(open({ unindexed: 'warn' })), { findings: [], notices: [orders, orders] });
});
