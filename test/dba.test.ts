import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type Document, MongoClient } from 'mongodb';
import mysql, { type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import { resolveConfig } from '../host/author/resolve-config.js';
import { configSchema } from '../host/config/schema.js';
import { applyObjects, type ApplyOptions, type DbaProgress } from '../host/dba/index.js';
import { createdObjects } from '../host/dba/mysql.js';
import { databaseUrl } from './support/mongodb-url.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const { mariadb, mongodb } = await sharedServices(['mariadb', 'mongodb']);
assert.ok(mariadb && mongodb);
const serverUrls = { mysql: mariadb.url, mongodb: mongodb.url };

interface Workplace {
  readonly options: ApplyOptions & { readonly onProgress: (event: DbaProgress) => void };
  readonly events: DbaProgress[];
  /** Writes a file below the folder of domains. */
  readonly write: (name: string, text: string) => void;
  readonly remove: (name: string) => void;
  readonly mongo: MongoClient;
  /** Connects to the database as administrator, or with a runtime URL. */
  readonly connect: (url?: string) => Promise<mysql.Connection>;
}

/** A database of its own on each server, an empty folder of domains and no accounts. */
async function workplace(t: TestContext, folder?: string): Promise<Workplace> {
  const name = `t${randomBytes(5).toString('hex')}`;
  const urlOf = (url: string): string => Object.assign(new URL(url), { pathname: `/${name}` }).href;
  const admin = await mysql.createConnection(serverUrls.mysql);
  await admin.query(`CREATE DATABASE ${name}`);
  const mongo = new MongoClient(databaseUrl(serverUrls.mongodb, name));
  const directory = temporaryDirectory(t);
  const domains = folder ?? join(directory, 'plugins');
  const connections: mysql.Connection[] = [];
  const events: DbaProgress[] = [];
  mkdirSync(domains, { recursive: true });
  t.after(async () => {
    await Promise.all(connections.map((connection) => connection.end()));
    await admin.query(`DROP DATABASE ${name}`);
    const [users] = await admin.query<RowDataPacket[]>("SELECT User FROM mysql.user WHERE User LIKE 'beds\\_main\\_%'");
    for (const { User } of users as { User: string }[]) {
      if (readAccounts(directory)?.stores['main']?.user === User) await admin.query(`DROP USER '${User}'@'%'`);
    }
    await admin.end();
    await mongo.db().dropDatabase();
    await mongo.close();
  });
  const main = { kind: 'mysql', adminUrl: urlOf(serverUrls.mysql) } as const;
  const documents = { kind: 'mongodb', adminUrl: databaseUrl(serverUrls.mongodb, name) } as const;
  return {
    events,
    mongo,
    options: {
      stores: { main, documents },
      folder: domains,
      directory,
      onProgress: (event) => events.push(event),
    },
    write: (file, text) => {
      mkdirSync(dirname(join(domains, file)), { recursive: true });
      writeFileSync(join(domains, file), text);
    },
    remove: (file) => rmSync(join(domains, file)),
    connect: async (url = main.adminUrl) => {
      const connection = await mysql.createConnection(url);
      connections.push(connection);
      return connection;
    },
  };
}

interface AccountsFile {
  readonly stores: Readonly<Record<string, { readonly user: string; readonly password: string } | null>>;
}

function readAccounts(directory: string): AccountsFile | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'runtime-accounts.json'), 'utf8')) as AccountsFile;
  } catch {
    return undefined;
  }
}

const TABLE = 'CREATE TABLE IF NOT EXISTS thing (id INT PRIMARY KEY, name VARCHAR(20))';
const VIEW = 'CREATE OR REPLACE SQL SECURITY DEFINER VIEW thing_list AS SELECT id, name FROM thing';
const ROUTINE = `DROP PROCEDURE IF EXISTS thing_create;
CREATE PROCEDURE thing_create(IN id INT, IN name VARCHAR(20)) SQL SECURITY DEFINER
BEGIN
  CALL _thing_check(name);
  INSERT INTO thing (id, name) VALUES (id, name);
END;`;
const CHECK = `DROP PROCEDURE IF EXISTS _thing_check;
CREATE PROCEDURE _thing_check(IN name VARCHAR(20)) SQL SECURITY DEFINER
BEGIN
  IF name = '' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A thing has a name.'; END IF;
END;`;

function writeThings({ write }: Workplace): void {
  write('things/db/2-view.sql', VIEW);
  write('things/db/10-check.sql', CHECK);
  write('things/db/11-create.sql', ROUTINE);
  write('things/db/1-table.sql', TABLE);
  write('things/package.json', JSON.stringify({ beds: { store: 'main' } }));
}

test('the runtime account reaches views and routines, and the server itself refuses it everything else', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  const { urls } = await applyObjects(place.options);
  const runtime = await place.connect(urls['main']);

  await runtime.query("CALL thing_create(1, 'one')");
  const [rows] = await runtime.query('SELECT * FROM thing_list');
  assert.deepEqual(rows, [{ id: 1, name: 'one' }]);
  const refused = { code: /^ER_(TABLEACCESS|COLUMNACCESS|PROCACCESS|DBACCESS|SPECIFIC_ACCESS)_DENIED_ERROR$/ };
  for (const statement of [
    'SELECT * FROM thing',
    'SELECT * FROM beds_applied',
    "INSERT INTO thing VALUES (2, 'two')",
    'DELETE FROM thing_list',
    "CALL _thing_check('x')",
    'CREATE TABLE other (id INT)',
    'DROP PROCEDURE thing_create',
    'SELECT * FROM mysql.user',
  ]) {
    await assert.rejects(runtime.query(statement), (error: { code: string }) => {
      assert.match(error.code, refused.code, statement);
      return true;
    });
  }
});

test('files go in by the number in their name, once; a changed one again, and its grants with it', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  const first = await applyObjects(place.options);
  assert.deepEqual([first.applied, first.unchanged], [4, 0]);
  assert.deepEqual(
    place.events.flatMap((event) => (event.type === 'applied' ? [event.file] : [])),
    ['1-table.sql', '2-view.sql', '10-check.sql', '11-create.sql'].map((name) => `things/db/${name}`),
  );
  const second = await applyObjects(place.options);
  assert.deepEqual([second.applied, second.unchanged], [0, 4]);
  assert.deepEqual(second.urls, first.urls);

  place.write('things/db/11-create.sql', ROUTINE.replace('VALUES (id, name)', "VALUES (id, CONCAT(name, '!'))"));
  const third = await applyObjects(place.options);
  assert.deepEqual([third.applied, third.unchanged], [1, 3]);
  const runtime = await place.connect(third.urls['main']);
  await runtime.query("CALL thing_create(1, 'one')");
  const [rows] = await runtime.query('SELECT name FROM thing_list');
  assert.deepEqual(rows, [{ name: 'one!' }]);

  const forced = await applyObjects({ ...place.options, force: true });
  assert.deepEqual([forced.applied, forced.unchanged], [4, 0]);
});

test('the account is kept where only its owner can read it, and nowhere else', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  const { urls } = await applyObjects(place.options);
  const file = join(place.options.directory, 'runtime-accounts.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { password } = readAccounts(place.options.directory)?.stores['main'] ?? assert.fail('no account');
  assert.equal(new URL(urls['main'] ?? '').password, password);
  assert.ok(!JSON.stringify(place.events).includes(password));
});

test('a store that has an account in the configuration keeps it: nothing is granted, nobody is made', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  const { main } = place.options.stores as { main: { kind: 'mysql'; adminUrl: string } };
  const { applied } = await applyObjects({ ...place.options, stores: { main: { ...main, ownAccount: true } } });
  assert.equal(applied, 4);
  assert.equal(readAccounts(place.options.directory), undefined);
});

test('a file that the database refuses is named with the reason, and those before it stay', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  place.write('things/db/3-wrong.sql', 'CREATE VIEW wrong AS SELECT missing FROM thing');
  await assert.rejects(applyObjects(place.options), {
    code: 'BEDS_DBA_APPLY_FAILED',
    message: /things\/db\/3-wrong\.sql: .*missing/,
  });
  place.remove('things/db/3-wrong.sql');
  const { applied, unchanged } = await applyObjects(place.options);
  assert.deepEqual([applied, unchanged], [2, 2]);
});

test('what cannot be used is refused in words before anything is done', async (t) => {
  const place = await workplace(t);
  writeThings(place);
  await assert.rejects(applyObjects({ ...place.options, domains: ['nothing'] }), { code: 'BEDS_DBA_DOMAIN_UNKNOWN' });
  place.write('mixed/db/a.sql', TABLE);
  place.write('mixed/db/b.json', '{}');
  await assert.rejects(applyObjects({ ...place.options, domains: ['mixed'] }), { code: 'BEDS_DBA_FILE_INVALID' });
  place.write('client/db/a.sql', 'DELIMITER //\nCREATE VIEW v AS SELECT 1//');
  await assert.rejects(applyObjects({ ...place.options, domains: ['client'] }), {
    code: 'BEDS_DBA_FILE_INVALID',
    message: /DELIMITER/,
  });
  place.write('things/package.json', JSON.stringify({ beds: { store: 'documents' } }));
  await assert.rejects(applyObjects({ ...place.options, domains: ['things'] }), { code: 'BEDS_DBA_STORE_UNKNOWN' });
  const { main } = place.options.stores;
  place.remove('things/package.json');
  const two = { ...place.options, domains: ['things'], stores: { main, second: main } as ApplyOptions['stores'] };
  await assert.rejects(applyObjects(two), { code: 'BEDS_DBA_STORE_UNKNOWN', message: /names no store and 2 stores/ });
  const away = { main: { kind: 'mysql', adminUrl: 'mysql://nobody:secret@127.0.0.1:9/none' } } as const;
  await assert.rejects(applyObjects({ ...place.options, domains: ['things'], stores: away }), {
    code: 'BEDS_DBA_SERVER_UNAVAILABLE',
  });
});

test('entries of the catalogue and indexes go into MongoDB, and a wrong entry is refused with its place', async (t) => {
  const place = await workplace(t);
  const entry = {
    ...{ _id: 'thing_list', kind: 'view', on: 'thing', columns: { id: 'integer' }, body: { pipeline: [] } },
  };
  place.write(
    'things/db/thing.json',
    '{"collection":"thing","indexes":[{"name":"by_id","key":{"id":1},"unique":true}]}',
  );
  place.write('things/db/thing_list.json', JSON.stringify(entry));
  const { applied, urls } = await applyObjects(place.options);
  assert.equal(applied, 2);
  const db = place.mongo.db();
  assert.deepEqual(
    await db.collection<Document & { _id: string }>('beds_objects').findOne({ _id: 'thing_list' }),
    entry,
  );
  const indexes = await db.collection('thing').indexes();
  assert.ok(indexes.some(({ name, unique }) => name === 'by_id' && unique === true));
  assert.equal((await applyObjects(place.options)).unchanged, 2);
  const [granted] = place.events.filter(({ type }) => type === 'granted');
  assert.ok(granted?.type === 'granted');
  if (granted.words.includes('no access control')) {
    assert.equal(urls['documents'], place.options.stores['documents']?.adminUrl);
    assert.equal(readAccounts(place.options.directory)?.stores['documents'], null);
  }
  place.write('things/db/thing_list.json', JSON.stringify({ ...entry, body: { pipeline: [{ $out: 'other' }] } }));
  await assert.rejects(applyObjects(place.options), {
    code: 'BEDS_DBA_FILE_INVALID',
    message: /thing_list\.json is wrong at .*\$out/,
  });
});

test('a configuration that leaves its URLs empty gets those of the servers, with the runtime accounts', () => {
  const config = configSchema.parse({
    stores: { main: { kind: 'mysql' }, documents: { kind: 'mongodb' }, own: { kind: 'mysql', url: 'mysql://a:b@c/d' } },
  });
  const servers = {
    rabbitmq: { url: 'amqp://r' },
    mariadb: { url: 'mysql://admin:secret@127.0.0.1:3306/beds' },
    mongodb: { url: 'mongodb://127.0.0.1:27017/beds' },
  };
  const accounts = { main: { user: 'app', password: 'p/w' }, documents: null };
  const { amqp, stores } = resolveConfig(config, servers, accounts);
  assert.equal(amqp.url, 'amqp://r');
  assert.deepEqual(
    Object.values(stores).map(({ url }) => url),
    ['mysql://app:p%2Fw@127.0.0.1:3306/beds', 'mongodb://127.0.0.1:27017/beds', 'mysql://a:b@c/d'],
  );
  assert.throws(() => resolveConfig(config, {}, accounts), {
    code: 'BEDS_CLI_SERVER_MISSING',
    message: /RabbitMQ does not run; the store main .*; the store documents/,
  });
  assert.throws(() => resolveConfig(config, servers, {}), { code: 'BEDS_CLI_SERVER_MISSING', message: /store main/ });
});

test('what a file creates is read from its statements, not from its comments and texts', () => {
  const sql = `-- CREATE VIEW commented AS SELECT 1;
    /* CREATE VIEW boxed AS SELECT 1; */ # CREATE VIEW hashed AS SELECT 1
    CREATE DEFINER = 'dba'@'%' PROCEDURE \`first\`() SELECT 'CREATE VIEW quoted AS SELECT 1';
    create or replace algorithm = merge sql security definer view second as select 1;
    CREATE FUNCTION IF NOT EXISTS third() RETURNS INT RETURN 1;`;
  assert.deepEqual(
    createdObjects(sql).map(({ kind, name }) => `${kind} ${name}`),
    ['PROCEDURE first', 'VIEW second', 'FUNCTION third'],
  );
});

test('the procedures of cities keep the rules of the business', async (t) => {
  const place = await workplace(t, 'plugins');
  const { urls } = await applyObjects({ ...place.options, domains: ['cities'] });
  const runtime = await place.connect(urls['main']);
  const call = async (statement: string, values: (string | number | null)[] = []): Promise<RowDataPacket[]> => {
    const [sets] = await runtime.query<RowDataPacket[][]>(statement, values);
    return sets[0] ?? [];
  };
  const create = 'CALL city_create(?, ?, ?, ?, ?, ?, ?)';

  const [graz] = await call(create, [null, 'Graz', 'at', null, 222_326, 47.07, 15.44]);
  assert.deepEqual([graz?.['country'], graz?.['admin_code'], graz?.['population']], ['AT', '', 222_326]);
  await assert.rejects(call(create, [null, 'Void', 'AT', null, -1, 0, 0]), { sqlState: '45000', message: /negative/ });
  await assert.rejects(call(create, [null, 'Void', 'AT', null, 1, 91, 0]), { sqlState: '45000', message: /latitude/ });
  await assert.rejects(call(create, [Number(graz?.['id']), 'Twice', 'AT', null, 1, 0, 0]), { code: 'ER_DUP_ENTRY' });

  const [updated] = await call('CALL city_update(?, NULL, NULL, 300000, NULL, NULL)', [Number(graz?.['id'])]);
  assert.deepEqual([updated?.['name'], updated?.['population']], ['Graz', 300_000]);
  assert.deepEqual(await call('CALL city_update(99, NULL, NULL, 1, NULL, NULL)'), []);

  const cities = [
    {
      id: 101,
      name: 'Wien',
      country: 'AT',
      feature_code: 'PPLC',
      population: 1_700_000,
      latitude: 48.2,
      longitude: 16.37,
    },
    { id: 102, name: 'Suva', country: 'FJ', admin_code: 'C', population: 77_000, latitude: -18.1, longitude: 178.4 },
    { id: 103, name: 'Apia', country: 'WS', population: 40_000, latitude: -13.8, longitude: -171.8 },
  ];
  for (const round of [1, 2]) {
    assert.deepEqual(await call('CALL city_import(?)', [JSON.stringify(cities)]), [{ imported: 3 }], String(round));
  }
  await assert.rejects(call("CALL city_import('{}')"), { sqlState: '45000' });
  for (const wrong of [{ population: -5 }, { name: 'x'.repeat(101) }, { id: null }, { latitude: 91 }]) {
    const list = JSON.stringify([cities[1], { ...cities[0], ...wrong }]);
    await assert.rejects(call('CALL city_import(?)', [list]), { sqlState: '45000' }, JSON.stringify(wrong));
  }
  const [total] = await call("CALL city_totals('AT')");
  assert.deepEqual(total, { country: 'AT', cities: 2, population: 2_000_000, largest: 1_700_000 });
  assert.deepEqual(
    (await call('CALL city_totals(NULL)')).map(({ country }: RowDataPacket) => country as string),
    ['AT', 'FJ', 'WS'],
  );
  const [capitals] = await runtime.query('SELECT name FROM capital_list');
  assert.deepEqual(capitals, [{ name: 'Wien' }]);

  // Across the date line: Apia lies east of it, Suva west.
  const near = await call('CALL city_nearest(-15, -179.9, 2)');
  assert.deepEqual(
    near.map(({ name }: RowDataPacket) => name as string),
    ['Suva', 'Apia'],
  );
  const [far] = await call('CALL city_nearest(48.2, 16.37, 1)');
  assert.deepEqual([far?.['name'], far?.['distance_km']], ['Wien', 0]);

  const remove = async (): Promise<number> => {
    const [result] = await runtime.query<ResultSetHeader>('CALL city_delete(102)');
    return result.affectedRows;
  };
  assert.deepEqual([await remove(), await remove()], [1, 0]);
  const [[count]] = await runtime.query<RowDataPacket[]>('SELECT city_count(NULL) AS n, city_count(?) AS fj', ['FJ']);
  assert.deepEqual(count, { n: 3, fj: 0 });
});
