import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { mongodbStore, READ } from './support/mongodb-store.js';
import { StallingProxy } from './support/stalling-proxy.js';

const { url, dba, open, deliver, object } = await mongodbStore();

const DOCUMENTS = 20;
/** Twenty of these do not fit into the 16 MB of one answer. */
const TEXT = 'x'.repeat(1_000_000);

const VIEWS = ['large_plain', 'large_by_stages'];

before(async () => {
  const documents = Array.from({ length: DOCUMENTS }, (_, n) => ({ _id: n, text: TEXT }));
  await dba.db().collection<{ readonly _id: number }>('large').insertMany(documents);
  const columns = { id: { type: 'integer', from: '_id' }, text: 'string' };
  const stages = [{ $match: { _id: { $gte: 0 } } }];
  await deliver(
    { _id: 'large_plain', kind: 'view', on: 'large', columns, body: { pipeline: [] } },
    { _id: 'large_by_stages', kind: 'view', on: 'large', columns, body: { pipeline: stages } },
  );
});

describe('reads of MongoDB', () => {
  for (const name of VIEWS) {
    it(`give a page of ${name} whole, however many messages it takes`, async (t: TestContext) => {
      const adapter = open({});
      t.after(() => adapter.close(1_000));
      const { rows, cursor } = await adapter.view(await object(name), { key: 'id', limit: DOCUMENTS }, READ);
      assert.deepEqual(
        rows.map(({ id }) => id),
        Array.from({ length: DOCUMENTS }, (_, n) => n),
      );
      assert.equal(cursor, undefined);
    });

    it(`of ${name} are made again when their connection is lost`, async (t: TestContext) => {
      const proxy = await StallingProxy.start(t, url);
      const adapter = open({ url: proxy.url });
      t.after(() => adapter.close(1_000));
      const view = await object(name);
      const query = { key: 'id', where: { id: 7 } };
      assert.equal((await adapter.view(view, query, READ)).rows.length, 1);
      proxy.stall();
      const reading = adapter.view(view, query, READ);
      await new Promise((resolve) => setTimeout(resolve, 50));
      proxy.resume();
      proxy.cut();
      assert.equal((await reading).rows.length, 1);
      assert.equal(adapter.status().connections.inUse, 0);
    });
  }
});
