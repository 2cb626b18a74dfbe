import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { CallResult, JsonObject } from '@beds/sdk';
import type { CallOptions, NamedObject } from '../host/adapter/contract.js';
import { mysqlStore } from './support/mysql-store.js';

const MOST = 16;
const store = await mysqlStore();
const write: CallOptions = { mode: 'write', timeoutMs: 20_000 };

// Whoever changes the one row keeps it for some milliseconds, in which the others hold a connection and wait.
await store.dba.query(`
  CREATE TABLE one (id INT PRIMARY KEY, amount INT NOT NULL);
  INSERT INTO one VALUES (1, 0);
  CREATE PROCEDURE add_one () BEGIN UPDATE one SET amount = amount + 1 WHERE id = 1; DO SLEEP(0.004); END;
  CREATE PROCEDURE nap () DO SLEEP(0.02);
  GRANT EXECUTE ON PROCEDURE add_one TO ${store.account};
  GRANT EXECUTE ON PROCEDURE nap TO ${store.account}`);

const adapter = store.adapter({ poolSize: MOST });
after(() => adapter.close(1_000));
await adapter.open();
const objects = await adapter.describe(['add_one', 'nap']);
const limit = (): number => adapter.status().connections.limit;

/** Keeps 40 calls going, and gives the limits that were seen and how many calls ended in a second. */
async function load(
  name: string,
  ms: number,
): Promise<{ readonly seen: readonly number[]; readonly perSecond: number }> {
  const object = objects.get(name) as NamedObject;
  const call = (args: JsonObject = {}): Promise<CallResult> => adapter.call(object, args, write);
  const endsAt = performance.now() + ms;
  const seen: number[] = [];
  let calls = 0;
  const look = setInterval(() => seen.push(limit()), 50);
  const caller = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      await call();
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: 40 }, caller));
  clearInterval(look);
  return { seen, perSecond: (calls * 1_000) / ms };
}

test('calls that wait for each other in the server wait for their turn here instead', async () => {
  assert.equal(limit(), MOST);
  const { seen } = await load('add_one', 12_000);
  assert.ok(Math.min(...seen) <= 6, seen.join(' '));
  assert.equal(adapter.status().connections.most, MOST);
});

test('calls that do not wait for each other soon have all connections again', async () => {
  const { seen, perSecond } = await load('nap', 5_000);
  assert.ok(seen.slice(-40).includes(MOST), seen.join(' '));
  // Each takes 20 ms and little more.
  assert.ok(perSecond > (MOST / 0.02) * 0.4, String(perSecond));
});

test('the limit is the most again when nobody waits', async () => {
  await load('add_one', 2_000);
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(limit(), MOST);
});
