import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BSONSymbol, Code, DBRef, type Document, ObjectId } from 'mongodb';
import type { Page } from '@beds/sdk';
import { resultBudget } from '../host/stores/result-budget.js';
import { eventually } from './support/eventually.js';
import { mongodbStore, READ, rejects, WRITE } from './support/mongodb-store.js';

const { dba, open, deliver, object } = await mongodbStore();

const MEGABYTE = 1_048_576;
const ROWS = 12_000;
const adapter = open({ maxResultRows: 10_000, maxResultBytes: 8 * MEGABYTE });
after(() => adapter.close(1_000));

before(async () => {
  await adapter.open();
  const rows = Array.from({ length: ROWS }, (_, _id): Document => ({ _id, n: _id }));
  await dba.db().collection('rows').insertMany(rows);
  const large = Array.from({ length: 20 }, (_, _id): Document => ({ _id, text: 'x'.repeat(MEGABYTE) }));
  await dba.db().collection('large').insertMany(large);
  const find = { kind: 'procedure', on: 'rows', op: 'find' };
  const columns = { id: { type: 'integer', from: '_id' } };
  const args = { limit: 'integer?', skip: 'integer?' };
  const taken = { id: { type: 'integer', from: '_id' }, text: 'string' };
  await deliver(
    { _id: 'all_rows', ...find, body: { filter: {} } },
    { _id: 'all_by_stages', ...find, op: 'aggregate', body: { pipeline: [{ $match: {} }] } },
    { _id: 'some_rows', ...find, args, body: { filter: {}, limit: { $arg: 'limit' }, skip: { $arg: 'skip' } } },
    {
      ...{ _id: 'some_by_stages', ...find, op: 'aggregate', args: { limit: 'integer?', size: 'integer' } },
      body: { pipeline: [{ $limit: { $arg: 'limit' } }, { $sample: { size: { $arg: 'size' } } }] },
    },
    { _id: 'large_all', ...find, on: 'large', body: { filter: {} } },
    { _id: 'row_list', kind: 'view', on: 'rows', columns, body: { pipeline: [] } },
    { _id: 'large_list', kind: 'view', on: 'large', columns: taken, body: { pipeline: [] } },
    { _id: 'large_stages', kind: 'view', on: 'large', columns: taken, body: { pipeline: [{ $match: {} }] } },
    {
      ...{ _id: 'large_touch', kind: 'procedure', on: 'large', op: 'findOneAndUpdate', args: { id: 'integer' } },
      body: { filter: { _id: { $arg: 'id' } }, update: { $set: { touched: true } } },
    },
  );
});

/** Where the size of a value may be, beside a text. */
const LONG: Readonly<Record<string, (text: string) => unknown>> = {
  name: (text) => ({ [text]: 1 }),
  names: (text) => ({ inside: [{ [text]: null }] }),
  code: (text) => new Code(text),
  scope: (text) => new Code('', { text }),
  symbol: (text) => new BSONSymbol(text),
  reference: (text) => new DBRef(text, new ObjectId()),
  pattern: (text) => new RegExp(text),
};

const page = async (name: string, limit: number): Promise<Page> =>
  adapter.view(await object(name), { key: 'id', limit }, READ);

describe('results of MongoDB', () => {
  it('are refused by their rows while they arrive, exactly', async () => {
    for (const name of ['all_rows', 'all_by_stages']) {
      await rejects(adapter.call(await object(name), {}, READ), 'BEDS_STORE_RESULT_TOO_LARGE');
    }
    const some = await object('some_rows');
    assert.equal((await adapter.call(some, { limit: 10_000 }, READ)).rows.length, 10_000);
    await rejects(adapter.call(some, { limit: 10_001 }, READ), 'BEDS_STORE_RESULT_TOO_LARGE');
    const { rows, cursor } = await page('row_list', 10_000);
    assert.equal(rows.length, 10_000);
    assert.ok(cursor !== undefined);
    await rejects(page('row_list', 10_001), 'BEDS_STORE_RESULT_TOO_LARGE');
    assert.equal(resultBudget.takenBytes, 0);
  });

  it('are refused by their bytes, and others go on', async () => {
    const all = await object('large_all');
    const outcomes = await Promise.allSettled([
      ...['large_list', 'large_stages'].map((name) => page(name, 20)),
      adapter.call(all, {}, READ),
      page('large_list', 5),
    ]);
    const codes = outcomes.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : 'ok'));
    const tooLarge = 'BEDS_STORE_RESULT_TOO_LARGE';
    assert.deepEqual(codes, [tooLarge, tooLarge, tooLarge, 'ok']);
    assert.equal(resultBudget.takenBytes, 0);
    await eventually('no call holds a connection', () => adapter.status().connections.inUse === 0);
  });

  for (const [where, make] of Object.entries(LONG)) {
    it(`are refused by their bytes where those are in a ${where}`, async (t) => {
      const on = `long_${where}`;
      const rows = Array.from({ length: 10 }, (_, _id): Document => ({ _id, v: make('x'.repeat(MEGABYTE)) }));
      try {
        await dba.db().collection(on).insertMany(rows);
        await dba.db().collection(on).findOne({});
      } catch (error) {
        return t.skip(`the server does not keep it: ${String(error).slice(0, 100)}`);
      }
      const columns = { id: { type: 'integer', from: '_id' }, v: 'json' };
      await deliver(
        { _id: on, kind: 'view', on, columns, body: { pipeline: [] } },
        { _id: `${on}_all`, kind: 'procedure', on, op: 'find', body: { filter: {} } },
      );
      await rejects(page(on, 10), 'BEDS_STORE_RESULT_TOO_LARGE');
      await rejects(adapter.call(await object(`${on}_all`), {}, READ), 'BEDS_STORE_RESULT_TOO_LARGE');
      assert.equal((await page(on, 5)).rows.length, 5);
      assert.equal(resultBudget.takenBytes, 0);
    });
  }

  it('count against what the thread has room for, as long as requests hold them', async () => {
    let heldBytes = 0;
    const holder = { hold: (bytes: number): number => (heldBytes += bytes) };
    const view = await object('large_list');
    const options = { ...READ, holder };
    try {
      await adapter.view(view, { key: 'id', limit: 5 }, options);
      assert.ok(heldBytes > 5 * MEGABYTE && heldBytes === resultBudget.takenBytes);
      const taken: number[] = [];
      while (resultBudget.take(4 * MEGABYTE)) taken.push(4 * MEGABYTE);
      await rejects(adapter.view(view, { key: 'id', limit: 5 }, options), 'BEDS_STORE_OVERLOADED');
      for (const bytes of taken) resultBudget.giveBack(bytes);
      await adapter.view(view, { key: 'id', limit: 5 }, options);
    } finally {
      resultBudget.giveBack(heldBytes);
    }
    assert.equal(resultBudget.takenBytes, 0);
  });

  it('of a write that give too much are refused, and it is said that the write was kept', async (t) => {
    const narrow = open({ maxResultBytes: 65_536 });
    t.after(() => narrow.close(1_000));
    await narrow.open();
    const touch = narrow.call(await object('large_touch'), { id: 3 }, WRITE);
    await rejects(touch, 'BEDS_STORE_RESULT_TOO_LARGE');
    await assert.rejects(touch, { message: /what the call wrote was kept\.$/ });
    assert.equal((await dba.db().collection<{ _id: number }>('large').findOne({ _id: 3 }))?.['touched' as never], true);
  });
});

describe('a limit of a catalogued operation', () => {
  it('that is an argument must be a whole number; one that is left out is none', async () => {
    const some = await object('some_rows');
    assert.equal((await adapter.call(some, { limit: 3, skip: 2 }, READ)).rows.length, 3);
    assert.equal((await adapter.call(some, { limit: 3 }, READ)).rows.length, 3);
    assert.equal((await adapter.call(some, { skip: ROWS - 5 }, READ)).rows.length, 5);
    for (const limit of [0, -1, '3', 2 ** 40]) {
      if (limit === '3') assert.equal((await adapter.call(some, { limit }, READ)).rows.length, 3);
      else await rejects(adapter.call(some, { limit }, READ), 'BEDS_STORE_INVALID_VALUE', 'limit');
    }
    await rejects(adapter.call(some, { limit: 1, skip: -1 }, READ), 'BEDS_STORE_INVALID_VALUE', 'skip');
    const stages = await object('some_by_stages');
    for (const args of [{ size: 1 }, { limit: 0, size: 1 }]) {
      await rejects(adapter.call(stages, args, READ), 'BEDS_STORE_INVALID_VALUE', 'limit');
    }
    await rejects(adapter.call(stages, { limit: 2, size: -1 }, READ), 'BEDS_STORE_INVALID_VALUE', 'size');
  });

  it('that is of another type is a problem of the entry', async () => {
    const limit = { $arg: 'limit' };
    const bodies: readonly (readonly [string, Document])[] = [
      ['find', { filter: {}, limit }],
      ['find', { filter: {}, skip: limit }],
      ['aggregate', { pipeline: [{ $limit: limit }] }],
      ['aggregate', { pipeline: [{ $facet: { a: [{ $skip: limit }] } }] }],
      ['aggregate', { pipeline: [{ $sample: { size: limit } }] }],
    ];
    for (const type of ['number', 'string', 'decimal', 'json']) {
      for (const [op, body] of bodies) {
        await deliver({ _id: 'wrong_limit', kind: 'procedure', on: 'rows', op, args: { limit: type }, body });
        const [finding] = adapter.check(
          { kind: 'procedure', name: 'wrong_limit', args: {} },
          await object('wrong_limit'),
        );
        assert.match(finding?.message ?? '', /wrong_limit .*\$arg limit must be declared as integer here/);
      }
    }
    for (const wrong of [0, -1, 1.5, '3', null]) {
      const body = { filter: {}, limit: wrong };
      await deliver({ _id: 'wrong_limit', kind: 'procedure', on: 'rows', op: 'find', body });
      const [finding] = adapter.check(
        { kind: 'procedure', name: 'wrong_limit', args: {} },
        await object('wrong_limit'),
      );
      assert.match(finding?.message ?? '', /limit: must be a whole number from 1/);
    }
  });
});
