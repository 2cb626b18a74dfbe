import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import type { RoutineRows, JsonObject } from '@beds/sdk';
import { STOP } from '../host/dba/mysql.js';
import type { CallOptions, NamedObject, StoreAdapter } from '../host/stores/contract.js';
import { createMysqlAdapter } from '../host/stores/mysql/adapter.js';
import { eventually } from './support/eventually.js';
import { mysqlStore } from './support/mysql-store.js';
import { privateServices } from './support/services.js';
import { storeLimits } from './support/store-limits.js';

const store = await mysqlStore();
const read: CallOptions = { mode: 'read', timeoutMs: 10_000 };
const write: CallOptions = { mode: 'write', timeoutMs: 10_000 };
const SOON = { timeoutMs: 300 } as const;

/** n.b. a loop: MySQL goes on after a SLEEP that is interrupted. */
await store.dba.query(`
  CREATE TABLE works (id INT PRIMARY KEY);
  CREATE PROCEDURE work_for (IN id INT, IN tenths INT) MODIFIES SQL DATA BEGIN
    DECLARE until DATETIME(6) DEFAULT SYSDATE(6) + INTERVAL tenths * 100000 MICROSECOND; INSERT INTO works VALUES (id);
    WHILE SYSDATE(6) < until DO SET id = id + 1; SET id = id - 1; END WHILE; END;
  CREATE PROCEDURE look_for (IN tenths INT) READS SQL DATA BEGIN
    DECLARE until DATETIME(6) DEFAULT SYSDATE(6) + INTERVAL tenths * 100000 MICROSECOND;
    WHILE SYSDATE(6) < until DO SET tenths = tenths + 1; END WHILE; SELECT CONNECTION_ID() AS connection; END;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account}`);

const own = async (t: TestContext, changes: Parameters<typeof store.adapter>[0]): Promise<StoreAdapter> => {
  const made = store.adapter(changes);
  t.after(() => made.close(1_000));
  await made.open();
  return made;
};
const first = store.adapter({ poolSize: 1 });
after(() => first.close(1_000));
await first.open();
const objects = await first.describe(['work_for', 'look_for']);
type Name = 'work_for' | 'look_for';
type Call = (name: Name, args: JsonObject, options: CallOptions) => Promise<RoutineRows>;
const caller =
  (adapter: StoreAdapter): Call =>
  (name, args, options) =>
    adapter.call(objects.get(name) as NamedObject, args, options);
const stopsByItself = first.status().capabilities.statementDeadline;
const has = async (id: number): Promise<boolean> => {
  const [rows] = await store.dba.query('SELECT 1 FROM works WHERE id = ?', [id]);
  return (rows as unknown[]).length > 0;
};
const idle = (): Promise<void> => eventually('nothing runs any more', async () => (await store.running()) === 0);
const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: unknown) => (error as { code: string }).code,
  );

test('where the server cannot end a statement, the answer says what is known and its slot is not free', async (t) => {
  if (stopsByItself) return t.skip('this server ends statements by the bound of their session');
  const adapter = await own(t, { poolSize: 2, acquireTimeoutMs: 5_000 });
  const started = performance.now();
  const reading = caller(adapter)('look_for', { tenths: 15 }, { ...read, ...SOON });
  await assert.rejects(reading, { code: 'BEDS_STORE_TIMEOUT', message: /may still be working/ });
  const writing = caller(adapter)('work_for', { id: 1, tenths: 15 }, { ...write, ...SOON });
  await assert.rejects(writing, {
    code: 'BEDS_STORE_INDETERMINATE',
    message: /could not be stopped/,
    retryable: false,
  });
  assert.ok(performance.now() - started < 1_500, 'its caller waits for the deadline and a moment');
  assert.equal(adapter.status().connections.inUse, 2);
  assert.equal(await store.running(), 2);
  assert.equal(adapter.status().capabilities.statementDeadline, false, 'which `beds status` says');

  let most = 0;
  let isOver = false;
  const waiting = Promise.all(Array.from({ length: 6 }, () => caller(adapter)('look_for', { tenths: 2 }, read)));
  void waiting.finally(() => (isOver = true));
  while (!isOver) {
    most = Math.max(most, await store.running());
    await delay(20);
  }
  await waiting;
  assert.equal(most, 2, 'never more statements at work than the pool has places');
  await idle();
  assert.equal(await has(1), false, 'what nobody waited for was not kept');
});

test('a transaction that cannot be stopped is told as open, and rolled back when the server is done', async (t) => {
  if (stopsByItself) return t.skip('this server ends statements by the bound of their session');
  const adapter = await own(t, { poolSize: 1 });
  const work = adapter.transaction(
    async (scope) => {
      const object = objects.get('work_for') as NamedObject;
      await Promise.all([scope.call(object, { id: 2, tenths: 12 }), scope.call(object, { id: 3, tenths: 12 })]);
    },
    { ...write, ...SOON },
  );
  await assert.rejects(work, { code: 'BEDS_STORE_INDETERMINATE' });
  const from = performance.now();
  await caller(adapter)('look_for', { tenths: 0 }, read);
  assert.ok(performance.now() - from < 1_800, 'the second call of the transaction was not sent');
  assert.deepEqual([await has(2), await has(3)], [false, false]);
});

test('with the procedure of the DBA statements end with their deadline, and when their caller gives up', async (t) => {
  await store.dba.query(STOP);
  t.after(() => store.dba.query('DROP PROCEDURE beds_stop'));
  await store.dba.query(`GRANT EXECUTE ON PROCEDURE beds_stop TO ${store.account}`);
  const adapter = await own(t, { poolSize: 1 });
  assert.equal(adapter.status().capabilities.statementDeadline, true);
  for (const [id, mode] of [
    [10, 'read'],
    [11, 'write'],
  ] as const) {
    const args = mode === 'read' ? { tenths: 100 } : { id, tenths: 100 };
    const name = mode === 'read' ? 'look_for' : 'work_for';
    await assert.rejects(caller(adapter)(name, args, { mode, ...SOON }), { code: 'BEDS_STORE_TIMEOUT' });
    await idle();
    const signal = AbortSignal.timeout(200);
    const from = performance.now();
    await assert.rejects(caller(adapter)(name, args, { mode, timeoutMs: 8_000, signal }), {
      code: 'BEDS_STORE_TIMEOUT',
    });
    await idle();
    assert.ok(performance.now() - from < 3_000, 'it was ended, not waited for');
    assert.equal(await has(id), false);
  }
  const { rows } = await caller(adapter)('look_for', { tenths: 0 }, read);
  assert.equal(typeof rows[0]?.['connection'], 'number', 'the connection is whole');
});

test('what still runs when the store is closed is ended in the server', async (t) => {
  await store.dba.query(STOP);
  t.after(() => store.dba.query('DROP PROCEDURE beds_stop'));
  await store.dba.query(`GRANT EXECUTE ON PROCEDURE beds_stop TO ${store.account}`);
  const adapter = await own(t, { poolSize: 2 });
  const running = [
    code(caller(adapter)('look_for', { tenths: 100 }, read)),
    code(caller(adapter)('work_for', { id: 20, tenths: 100 }, write)),
  ];
  await eventually('both run', async () => (await store.running()) === 2);
  const from = performance.now();
  await adapter.close(100);
  await idle();
  assert.ok(performance.now() - from < 4_000, 'it was ended, not waited for');
  assert.ok(!(await Promise.all(running)).includes('ok'));
  assert.equal(await has(20), false);
});

test('the procedure ends no connection of another account', async (t) => {
  await store.dba.query(STOP);
  t.after(() => store.dba.query('DROP PROCEDURE beds_stop'));
  const other = `${store.account.slice(0, -5)}x'@'%'`;
  await store.dba.query(`CREATE USER ${other} IDENTIFIED BY 'other';
    GRANT EXECUTE ON ${store.database}.* TO ${other}; GRANT EXECUTE ON PROCEDURE beds_stop TO ${store.account}`);
  t.after(() => store.dba.query(`DROP USER ${other}`));
  const url = new URL(store.url);
  const adapter = await own(t, { poolSize: 1 });
  const { rows } = await caller(adapter)('look_for', { tenths: 0 }, read);
  const connection = Number(rows[0]?.['connection']);
  const running = caller(adapter)('look_for', { tenths: 8 }, read);
  await eventually('it runs', async () => (await store.running()) === 1);
  const end = async (user: string, password: string): Promise<void> => {
    const stranger = await createConnection({ ...hostOf(url), user, password, database: store.database });
    await stranger.query(`CALL beds_stop(${String(connection)})`);
    await stranger.end();
  };
  await end(other.slice(1, other.indexOf("'@")), 'other');
  await running;
  const stopped = caller(adapter)('look_for', { tenths: 50 }, read);
  const outcome = code(stopped);
  await eventually('it runs', async () => (await store.running()) === 1);
  await end(url.username, url.password);
  assert.equal(await outcome, 'BEDS_STORE_TIMEOUT');
});

function hostOf(url: URL): { host: string; port: number } {
  return { host: url.hostname, port: url.port === '' ? 3306 : Number(url.port) };
}

test('an account that may have few connections has its calls wait for one of them', async (t) => {
  const limit = (most: number): Promise<unknown> =>
    store.dba.query(`ALTER USER ${store.account} WITH MAX_USER_CONNECTIONS ${String(most)}`);
  await limit(4);
  t.after(() => limit(0));
  const adapter = await own(t, { poolSize: 16, acquireTimeoutMs: 8_000 });
  const calls = Array.from({ length: 40 }, (_, index) =>
    caller(adapter)(
      index % 2 === 0 ? 'work_for' : 'look_for',
      index % 2 === 0 ? { id: 100 + index, tenths: 1 } : { tenths: 1 },
      {
        ...(index % 2 === 0 ? write : read),
      },
    ),
  );
  await Promise.all(calls);
  const status = adapter.status();
  assert.equal(status.up, true);
  assert.ok(status.connections.idle <= 4);
});

test('connections to a server that takes no writes any more are made anew', async (t) => {
  const { mariadb } = await privateServices(t, ['mariadb']);
  assert.ok(mariadb);
  const dba = await createConnection({ uri: mariadb.url, multipleStatements: true });
  t.after(() => dba.end());
  await dba.query(`CREATE TABLE kept (id INT PRIMARY KEY); CREATE PROCEDURE keep (IN id INT) MODIFIES SQL DATA BEGIN
    INSERT INTO kept VALUES (id); SELECT CONNECTION_ID() AS connection; END; CREATE USER kept_app IDENTIFIED BY 'app';
    GRANT EXECUTE ON beds.* TO kept_app`);
  const url = new URL(mariadb.url);
  url.username = 'kept_app';
  url.password = 'app';
  const adapter = createMysqlAdapter({ store: 'there', config: { kind: 'mysql', url: url.href, ...storeLimits } });
  t.after(() => adapter.close(1_000));
  const keep = (await adapter.describe(['keep'])).get('keep') as NamedObject;
  const connections = async (from: number): Promise<readonly number[]> => {
    const calls = Array.from({ length: 8 }, (_, index) => adapter.call(keep, { id: from + index }, write));
    return (await Promise.all(calls)).map(({ rows }) => Number(rows[0]?.['connection']));
  };
  const before = new Set(await connections(0));
  await dba.query('SET GLOBAL read_only = 1');
  const refused = Promise.all(
    Array.from({ length: 8 }, (_, index) => code(adapter.call(keep, { id: 50 + index }, write))),
  );
  assert.deepEqual([...new Set(await refused)], ['BEDS_STORE_UNAVAILABLE']);
  await dba.query('SET GLOBAL read_only = 0');
  const later = await connections(100);
  assert.deepEqual(
    later.filter((connection) => before.has(connection)),
    [],
  );
});
