import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Document, Long, ObjectId, UUID } from 'mongodb';
import { isBedsError, type Page, type Scalar, type ViewQuery } from '@beds/sdk';
import type { CallOptions, StoreAdapter } from '../host/stores/contract.js';
import { mongodbStore, READ } from './support/mongodb-store.js';
import { batchOf, PlayedMongodb, refused } from './support/played-mongodb.js';

const { dba, adapter, open, deliver, object } = await mongodbStore();

const WORDS = ['a', 'A', 'b', 'ab', 'a-b', 'ccs', 'cscs', '1', '01', '10', '', 'é', 'i', 'y'];
const hex = (digit: string): string => digit.repeat(24);
const uuid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${digit.repeat(12)}`;
const documents: Readonly<Record<string, readonly Document[]>> = {
  whole: [0, 1, 2, 3, 5, 8].map((_id) => ({ _id, name: `n${String(_id)}`, data: { list: [_id] } })),
  big: ['0', '7', '9007199254740993', '-9007199254740993'].map((id) => ({ _id: Long.fromString(id), name: id })),
  word: WORDS.map((_id) => ({ _id, name: _id })),
  hex: ['a', 'b', '1'].map((digit) => ({ _id: ObjectId.createFromHexString(hex(digit)), name: digit })),
  uuid: ['a', 'b', '1'].map((digit) => ({ _id: new UUID(uuid(digit)).toBinary(), name: digit })),
  // n.b. the key of its view is no key: two have the same, one has a list, and one another type.
  code: ['a', 'b', 'b', ['c'], 7].map((code, _id) => ({ _id, code, name: `n${String(_id)}` })),
  wide: [400_000, 400_000, 40].map((length, _id) => ({ _id, name: 'x'.repeat(length) })),
};
const KEYS: Readonly<Record<string, object>> = {
  big: { type: 'bigint', from: '_id' },
  word: { type: 'string', from: '_id' },
  hex: { type: 'string', as: 'objectId', from: '_id' },
  uuid: { type: 'string', as: 'uuid', from: '_id' },
  code: { type: 'string', from: 'code' },
};
const MIXED = ['whole', 'big', 'word', 'hex', 'uuid', 'code'] as const;

before(async () => {
  for (const [on, some] of Object.entries(documents)) {
    await dba
      .db()
      .collection(on)
      .insertMany([...some]);
    const columns = { id: KEYS[on] ?? { type: 'integer', from: '_id' }, name: 'string', data: 'json' };
    const collation = { locale: 'simple' };
    await deliver(
      { _id: `${on}_list`, kind: 'view', on, columns, body: { pipeline: [] } },
      { _id: `${on}_stages`, kind: 'view', on, columns, body: { pipeline: [{ $match: {} }] } },
      { _id: `${on}_collated`, kind: 'view', on, columns, body: { pipeline: [], collation } },
    );
  }
});

const view = async (name: string, query: ViewQuery, options: CallOptions = READ): Promise<Page> =>
  adapter.view(await object(name), { key: 'id', ...query }, options);

/** What came of a call, in a form that can be compared. */
async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    assert.ok(isBedsError(error), String(error));
    return [error.code, error.message, error.field];
  }
}

/** Asks for records of a view by their keys, all in one turn. */
async function together(from: StoreAdapter, name: string, ids: readonly Scalar[]): Promise<readonly unknown[]> {
  const asked = await object(name);
  return Promise.all(ids.map((id) => outcome(from.view(asked, { key: 'id', where: { id }, limit: 1 }, READ))));
}

describe('reads of MongoDB by their key that come in one turn', () => {
  it('are one command, and one by itself is the one that it always was', async (t) => {
    const played = await PlayedMongodb.start(t);
    played.on('find', () => batchOf({ _id: 3, name: 'three' }, { _id: 1, name: 'one' }));
    const other = open({ url: played.url });
    t.after(() => other.close(1_000));
    const found = await together(other, 'whole_list', [3, 1, 99, 3]);
    const [one, three] = [
      { id: 1, name: 'one', data: null },
      { id: 3, name: 'three', data: null },
    ];
    assert.deepEqual(found, [{ rows: [three] }, { rows: [one] }, { rows: [] }, { rows: [three] }]);
    played.on('find', () => batchOf({ _id: 3, name: 'three' }));
    assert.deepEqual(await together(other, 'whole_list', [3]), [{ rows: [three] }]);
    const [group, single, ...more] = played.sent('find').map(({ filter }) => filter as Document);
    assert.deepEqual([group, single, more], [{ _id: { $in: [3, 1, 99] } }, { _id: 3 }, []]);
  });

  it('go alone where the database may find others by a word, and where they can be given up', async (t) => {
    const played = await PlayedMongodb.start(t);
    const other = open({ url: played.url });
    t.after(() => other.close(1_000));
    const sent = async (work: Promise<unknown>): Promise<number> => {
      const before = played.sent('find').length + played.sent('aggregate').length;
      await work;
      return played.sent('find').length + played.sent('aggregate').length - before;
    };
    await together(other, 'whole_list', [1]);
    assert.equal(await sent(together(other, 'word_list', ['p', 'q'])), 1);
    assert.equal(await sent(together(other, 'word_list', ['a', 'A'])), 2, 'may be the same');
    assert.equal(await sent(together(other, 'word_list', ['ä', 'ö'])), 2, 'not plain');
    assert.equal(await sent(together(other, 'word_collated', ['p', 'q'])), 2, 'by a collation');
    assert.equal(await sent(together(other, 'whole_collated', [1, 2])), 1, 'no collation tells numbers');
    assert.equal(await sent(together(other, 'word_stages', ['p', 'q'])), 2, 'by stages');
    const whole = await object('whole_list');
    const signal = AbortSignal.timeout(60_000);
    const given = [1, 2].map((id) => other.view(whole, { key: 'id', where: { id } }, { ...READ, signal }));
    assert.equal(await sent(Promise.all(given)), 2);
  });

  it('give the same as one after the other, whatever the type of the key', async () => {
    const ids: Readonly<Record<(typeof MIXED)[number], fc.Arbitrary<Scalar>>> = {
      whole: fc.constantFrom<Scalar>(0, 1, 2, 3, 4, 5, 8, '5', '05', 5.5, -1, null),
      big: fc.constantFrom<Scalar>('0', '00', '7', 7, '9007199254740993', '9007199254740992', '-9007199254740993'),
      word: fc.constantFrom<Scalar>(...WORDS, 'B', 'ä', 'x', 'cc', 7),
      hex: fc.constantFrom<Scalar>(...['a', 'A', 'b', 'c', '1'].map(hex), 'a'),
      uuid: fc.constantFrom<Scalar>(...['a', 'A', 'b', 'c', '1'].map(uuid), 'a'),
      code: fc.constantFrom<Scalar>('a', 'b', 'c', 'd', '7'),
    };
    const form = fc.constantFrom('list', 'stages');
    const asked = fc
      .constantFrom(...MIXED)
      .chain((on) =>
        fc.record({ name: form.map((each) => `${on}_${each}`), id: ids[on], limit: fc.constantFrom(1, 2, 0) }),
      );
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 2, maxLength: 40 }), async (all) => {
        const ask = ({ name, id, limit }: (typeof all)[number]): Promise<unknown> =>
          outcome(view(name, { where: { id }, limit }));
        const found = await Promise.all(all.map(ask));
        for (const [index, each] of all.entries())
          assert.deepEqual(found[index], await ask(each), JSON.stringify(each));
      }),
      { numRuns: 25 },
    );
  });

  it('of the same record get rows of their own', async () => {
    const [first, second] = (await together(adapter, 'whole_list', [3, 3])) as readonly Page[];
    assert.deepEqual(first, second);
    (first?.rows[0]?.['data'] as { list: number[] }).list.push(1);
    assert.deepEqual(second?.rows[0]?.['data'], { list: [3] });
  });

  it('fail by themselves', async () => {
    await dba
      .db()
      .collection('whole')
      .insertOne({ _id: 77 as never, name: 77 });
    const [good, wrong, absent] = await together(adapter, 'whole_list', [1, 77, 78]);
    assert.deepEqual((good as Page).rows[0]?.['name'], 'n1');
    assert.deepEqual((wrong as readonly unknown[])[0], 'BEDS_STORE_VALUE_UNFIT');
    assert.deepEqual(absent, { rows: [] });
  });

  it('whose sum is too large are read alone, and count for those who asked', async (t) => {
    const narrow = open({ maxResultBytes: 600_000 });
    t.after(() => narrow.close(1_000));
    const pages = (await together(narrow, 'wide_list', [0, 1, 2])) as readonly Page[];
    assert.deepEqual(
      pages.map(({ rows }) => (rows[0]?.['name'] as string).length),
      [400_000, 400_000, 40],
    );
    const held = [0, 0];
    const wide = await object('wide_list');
    const hold = (at: number): NonNullable<CallOptions['holder']> => ({
      hold: (bytes) => (held[at] = (held[at] ?? 0) + bytes),
    });
    await Promise.all(
      [0, 2].map((id, at) => adapter.view(wide, { key: 'id', where: { id } }, { ...READ, holder: hold(at) })),
    );
    const [large = 0, small = 0] = held;
    assert.ok(large > 400_000 && small < 1_000, JSON.stringify(held));
  });

  it('have the time of the one that has the least, and the others are read again', async (t) => {
    const played = await PlayedMongodb.start(t);
    const other = open({ url: played.url });
    t.after(() => other.close(1_000));
    await together(other, 'whole_list', [1]);
    const isGroup = ({ filter }: Document): boolean => typeof (filter as Document)['_id'] === 'object';
    played.on('find', (command) => (isGroup(command) ? 'silence' : batchOf({ _id: 2, name: 'two' })));
    const whole = await object('whole_list');
    const ask = (id: number, timeoutMs: number): Promise<unknown> =>
      outcome(other.view(whole, { key: 'id', where: { id } }, { ...READ, timeoutMs }));
    const [short, long] = await Promise.all([ask(1, 300), ask(2, 20_000)]);
    assert.equal((short as readonly unknown[])[0], 'BEDS_STORE_TIMEOUT');
    assert.deepEqual(long, { rows: [{ id: 2, name: 'two', data: null }] });
  });

  it('are made again when their connection is lost, and give up together where the server is', async (t) => {
    const played = await PlayedMongodb.start(t);
    const other = open({ url: played.url, connectTimeoutMs: 500 });
    t.after(() => other.close(1_000));
    await together(other, 'whole_list', [1]);
    played.on('find', (_command, nth) => (nth === 0 ? 'cut' : batchOf({ _id: 2, name: 'two' })));
    const two = { rows: [{ id: 2, name: 'two', data: null }] };
    assert.deepEqual(await together(other, 'whole_list', [1, 2]), [{ rows: [] }, two]);
    const codes = async (): Promise<readonly unknown[]> =>
      (await together(other, 'whole_list', [1, 2])).map((each) => (each as readonly unknown[])[0]);
    played.on('find', () => 'cut');
    const before = played.sent('find').length;
    assert.deepEqual(await codes(), ['BEDS_STORE_UNAVAILABLE', 'BEDS_STORE_UNAVAILABLE']);
    const tried = played.sent('find').slice(before);
    assert.ok(
      tried.every(({ filter }) => typeof (filter as Document)['_id'] === 'object'),
      JSON.stringify(tried),
    );
    played.on('find', () => refused(13));
    assert.deepEqual(await codes(), ['BEDS_STORE_DENIED', 'BEDS_STORE_DENIED']);
  });
});
