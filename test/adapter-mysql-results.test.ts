import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { isBedsError, type RoutineRows } from '@beds/sdk';
import type { CallOptions } from '../host/stores/contract.js';
import { resultBudget, ResultBudget } from '../host/stores/result-budget.js';
import { RequestScope } from '../host/request/request-scope.js';
import { eventually } from './support/eventually.js';
import type { HeavyReading } from './support/heavy-reader.js';
import { finderOf, mysqlStore } from './support/mysql-store.js';

const MEGABYTE = 1_048_576;
const store = await mysqlStore();
const read: CallOptions = { mode: 'read', timeoutMs: 20_000 };
const write: CallOptions = { mode: 'write', timeoutMs: 20_000 };
const tooLarge = { code: 'BEDS_STORE_RESULT_TOO_LARGE', status: 'invalid', retryable: false };

await store.dba.query(`
  CREATE TABLE digits (d INT PRIMARY KEY); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
  CREATE TABLE numbers (n INT PRIMARY KEY);
  INSERT INTO numbers SELECT a.d + 10 * b.d + 100 * c.d FROM digits a, digits b, digits c;
  CREATE TABLE marks (id INT PRIMARY KEY);
  CREATE VIEW page_list AS SELECT n AS id, CONCAT(n, REPEAT('x', ${String(MEGABYTE)})) AS text FROM numbers;
  CREATE PROCEDURE flood () READS SQL DATA SELECT a.n + 1000 * b.n AS n FROM numbers a, numbers b, digits c;
  CREATE PROCEDURE some (IN wanted INT) READS SQL DATA SELECT n FROM numbers WHERE n < wanted;
  CREATE PROCEDURE twice (IN wanted INT) READS SQL DATA BEGIN
    SELECT n FROM numbers WHERE n < wanted; SELECT n FROM numbers WHERE n < wanted; END;
  CREATE PROCEDURE nothing_often () READS SQL DATA BEGIN
    DECLARE i INT DEFAULT 0; WHILE i < 20000 DO SELECT n, n AS m FROM numbers WHERE FALSE; SET i = i + 1; END WHILE; END;
  CREATE PROCEDURE one_row () READS SQL DATA
    SELECT REPEAT('x', 5000000) AS a, REPEAT('y', 5000000) AS b, REPEAT('z', 5000000) AS c;
  CREATE PROCEDURE hollow () READS SQL DATA SELECT JSON_EXTRACT(CONCAT('[', REPEAT('[],', 300000), '[]]'), '$') AS doc;
  CREATE FUNCTION long_text () RETURNS LONGTEXT NO SQL RETURN REPEAT('x', 15000000);
  CREATE PROCEDURE mark (IN id INT) BEGIN
    INSERT INTO marks VALUES (id); SELECT a.n + 1000 * b.n AS n FROM numbers a, numbers b; END;
  CREATE PROCEDURE mark_long (IN id INT) BEGIN INSERT INTO marks VALUES (id); SELECT n FROM numbers; END;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account};
  GRANT SELECT ON ${store.database}.page_list TO ${store.account}`);

const adapter = store.adapter({ poolSize: 4, maxResultRows: 100_000, maxResultBytes: 8 * MEGABYTE });
after(() => adapter.close(1_000));
await adapter.open();
const routines = ['nothing_often', 'flood', 'some', 'twice', 'one_row', 'hollow', 'long_text', 'mark', 'mark_long'];
const objects = await adapter.describe([...routines, 'page_list']);
const object = finderOf(objects);
const call = (name: string, args = {}, options = read): Promise<RoutineRows> =>
  adapter.call(object(name), args, options);
const nothingIsTaken = (): void => assert.equal(resultBudget.takenBytes, 0);

/** The DBA sees the row or not; a statement that was stopped may need a moment to be undone. */
async function isMarked(id: number): Promise<boolean> {
  await eventually('nothing runs any more', async () => (await store.running()) === 0);
  const [rows] = await store.dba.query('SELECT id FROM marks WHERE id = ?', [id]);
  return (rows as unknown[]).length > 0;
}

test('a routine that gives millions of rows is refused while they arrive, and stopped in the server', async () => {
  const before = process.memoryUsage().rss;
  const results = await Promise.allSettled([call('flood'), call('flood'), call('some', { wanted: 3 })]);
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'ok')),
    ['BEDS_STORE_RESULT_TOO_LARGE', 'BEDS_STORE_RESULT_TOO_LARGE', 'ok'],
  );
  assert.ok(process.memoryUsage().rss - before < 150 * MEGABYTE, 'the rows were not kept');
  await eventually('nothing runs any more', async () => (await store.running()) === 0);
  assert.equal((await call('some', { wanted: 3 })).rows.length, 3);
  nothingIsTaken();
});

test('rows are counted over all result sets of a call, and exactly', async (t) => {
  const few = store.adapter({ poolSize: 1, maxResultRows: 10 });
  t.after(() => few.close(1_000));
  assert.equal((await few.call(object('some'), { wanted: 10 }, read)).rows.length, 10);
  await assert.rejects(few.call(object('some'), { wanted: 11 }, read), tooLarge);
  assert.equal((await few.call(object('twice'), { wanted: 5 }, read)).sets.length, 2);
  await assert.rejects(few.call(object('twice'), { wanted: 6 }, read), tooLarge);
});

test('result sets weigh something also when they have no rows', async () => {
  await assert.rejects(call('nothing_often'), tooLarge);
  nothingIsTaken();
});

test('large rows are refused by their bytes: many, one, one value, and JSON by what it takes when it is parsed', async () => {
  const page = (limit: number): Promise<unknown> => adapter.view(object('page_list'), { key: 'id', limit }, read);
  await page(5);
  await assert.rejects(page(600), tooLarge);
  await assert.rejects(call('one_row'), tooLarge);
  await assert.rejects(call('long_text'), tooLarge);
  await assert.rejects(call('hollow'), tooLarge);
  await page(5);
  nothingIsTaken();
});

test('a transaction whose call gives too much keeps nothing, even if the work goes on', async () => {
  const work = adapter.transaction(async (scope) => {
    await scope.call(object('mark'), { id: 1 }).catch(() => undefined);
    return 'done';
  }, write);
  await assert.rejects(work, tooLarge);
  assert.equal(await isMarked(1), false);
  const reading = adapter.transaction((scope) => scope.view(object('page_list'), { key: 'id', limit: 600 }), read);
  await assert.rejects(reading, tooLarge);
  nothingIsTaken();
});

test('of a write that gives too much it is said whether it was kept', async (t) => {
  for (const [id, name] of [
    [2, 'mark'],
    [3, 'mark_long'],
  ] as const) {
    const few = store.adapter({ poolSize: 1, maxResultRows: 100 });
    t.after(() => few.close(1_000));
    const failure: unknown = await few.call(object(name), { id }, write).catch((error: unknown) => error);
    assert.ok(isBedsError(failure), String(failure));
    const isKept = await isMarked(id);
    if (failure.code === 'BEDS_STORE_INDETERMINATE') continue;
    assert.equal(failure.code, 'BEDS_STORE_RESULT_TOO_LARGE');
    assert.equal(failure.message.endsWith('what the call wrote was kept.'), isKept, failure.message);
  }
  nothingIsTaken();
});

async function readHeavily(reading: Omit<HeavyReading, 'url' | 'view'>): Promise<readonly string[]> {
  const worker = new Worker(new URL('./support/heavy-reader.js', import.meta.url), {
    workerData: { ...reading, url: store.url, view: 'page_list' } satisfies HeavyReading,
    resourceLimits: { maxOldGenerationSizeMb: 160 },
  });
  const [outcomes] = (await once(worker, 'message')) as [readonly string[]];
  const [code] = (await once(worker, 'exit')) as [number];
  assert.equal(code, 0);
  return outcomes;
}

test('large concurrent results do not end a thread: calls without room for their result are asked to retry', async () => {
  const outcomes = await readHeavily({ limit: 20, times: 60, keeps: false });
  assert.deepEqual([...new Set(outcomes)].sort(), ['BEDS_STORE_OVERLOADED', 'ok']);
});

test('results that requests hold on to count until they are done', async () => {
  const outcomes = await readHeavily({ limit: 6, times: 60, keeps: true });
  const held = outcomes.filter((outcome) => outcome === 'ok').length;
  assert.ok(held >= 3 && held <= 8, String(held));
  assert.equal(outcomes.filter((outcome) => outcome === 'BEDS_STORE_OVERLOADED').length, 60 - held);
});

test('a budget gives no more than it has', () => {
  const budget = new ResultBudget(100);
  assert.deepEqual([budget.take(60), budget.take(41), budget.take(40), budget.take(1)], [true, false, true, false]);
  budget.giveBack(60);
  assert.deepEqual([budget.takenBytes, budget.take(60)], [40, true]);
});

test('what a request holds is given back when its code has ended, and what comes later at once', () => {
  const scope = new RequestScope('r', 0);
  assert.ok(resultBudget.take(30));
  scope.hold(10);
  scope.hold(15);
  assert.equal(resultBudget.takenBytes, 30);
  scope.done();
  assert.equal(resultBudget.takenBytes, 5);
  scope.hold(5);
  nothingIsTaken();
});
