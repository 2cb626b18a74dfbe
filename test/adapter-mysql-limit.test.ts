import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { CallResult } from '@beds/sdk';
import type { CallOptions, NamedObject } from '../host/adapter/contract.js';
import { type StoreLimitEvent, storeLimitChannel } from '../host/observe/channels.js';
import { mysqlStore } from './support/mysql-store.js';

const MOST = 8;
const CALLERS = 24;
const LOWERED_WITHIN_MS = 30_000;

const store = await mysqlStore();
const write: CallOptions = { mode: 'write', timeoutMs: 10_000 };

// The time of a crowded call grows with the square of how many run at once: two at once get four times as much done as eight.
await store.dba.query(`
  CREATE TABLE marks (id INT PRIMARY KEY AUTO_INCREMENT, mark INT NOT NULL);
  CREATE PROCEDURE crowded () BEGIN
    DECLARE together INT;
    SELECT COUNT(*) INTO together FROM INFORMATION_SCHEMA.PROCESSLIST WHERE STATE = 'User sleep';
    DO SLEEP(0.0005 * (together + 1) * (together + 1));
  END;
  CREATE PROCEDURE mark (IN value INT) INSERT INTO marks (mark) VALUES (value);
  CREATE PROCEDURE endless () NO SQL BEGIN DECLARE i BIGINT DEFAULT 0; WHILE i < 1000000000 DO SET i = i + 1; END WHILE; END;
  GRANT EXECUTE ON PROCEDURE crowded TO ${store.account};
  GRANT EXECUTE ON PROCEDURE mark TO ${store.account};
  GRANT EXECUTE ON PROCEDURE endless TO ${store.account}`);

const adapter = store.adapter({ poolSize: MOST });
const events: StoreLimitEvent[] = [];
const note = (event: unknown): void => {
  events.push(event as StoreLimitEvent);
};
const limit = (): number => adapter.status().connections.limit;

async function until(what: string, isSo: () => boolean, withinMs: number): Promise<void> {
  const endsAtMs = performance.now() + withinMs;
  while (!isSo()) {
    assert.ok(performance.now() < endsAtMs, `${what}: ${JSON.stringify(adapter.status().connections)}`);
    await delay(10);
  }
}

describe('a limit that a crowded MariaDB has lowered', () => {
  let objects: ReadonlyMap<string, NamedObject>;
  let load: Promise<unknown>;
  let isOver = false;
  const call = (name: string, options = write): Promise<CallResult> =>
    adapter.call(objects.get(name) as NamedObject, {}, options);

  before(async () => {
    subscribe(storeLimitChannel.name, note);
    await adapter.open();
    objects = await adapter.describe(['crowded', 'mark', 'endless']);
    const caller = async (): Promise<void> => {
      while (!isOver) await call('crowded');
    };
    load = Promise.all(Array.from({ length: CALLERS }, caller));
    await until('the limit is lowered', () => limit() <= MOST / 2, LOWERED_WITHIN_MS);
  });
  after(async () => {
    isOver = true;
    await load;
    await adapter.close(1_000);
    unsubscribe(storeLimitChannel.name, note);
  });

  it('is told in the status and on the channel', () => {
    assert.equal(adapter.status().connections.most, MOST);
    assert.deepEqual(events[0], { store: 'test', limit: 6, most: MOST, reason: 'fewer get as much done' });
  });

  it('does not keep transactions from connections, nor the calls that are made while they are open', async () => {
    const mark = objects.get('mark') as NamedObject;
    const transactions = Array.from({ length: MOST - 1 }, (_, value) =>
      adapter.transaction(async (scope) => {
        const beside = [call('crowded'), call('crowded'), call('crowded')];
        await scope.call(mark, { value });
        await Promise.all(beside);
      }, write),
    );
    await Promise.all(transactions);
    // n.b. calls and transactions that wait for each other end too, as the limit is the most again when nothing ends.
    assert.ok(!events.some(({ reason }) => reason === 'nothing ends'));
    const [rows] = await store.dba.query('SELECT COUNT(*) AS marks FROM marks');
    assert.equal((rows as { marks: number }[])[0]?.marks, MOST - 1);
  });

  it('keeps deadlines', async () => {
    const startedMs = performance.now();
    await assert.rejects(call('endless', { mode: 'read', timeoutMs: 400 }), (error: unknown) => {
      assert.ok(isBedsError(error));
      return error.code === 'BEDS_STORE_TIMEOUT';
    });
    assert.ok(performance.now() - startedMs < 3_000);
  });

  it('is the most again when the load ends', async () => {
    isOver = true;
    await load;
    await until('the limit is the most', () => limit() === MOST, 5_000);
    const { inUse, waiting, idle } = adapter.status().connections;
    assert.deepEqual({ inUse, waiting }, { inUse: 0, waiting: 0 });
    assert.ok(idle <= MOST);
  });
});
