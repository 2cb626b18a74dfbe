import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Binary, Decimal128, Double, Long, ObjectId } from 'mongodb';
import type { Document } from 'mongodb';
import { isBedsError } from '@beds/sdk';
import type { RoutineRows, Json, JsonObject, ObjectManifest } from '@beds/sdk';
import { adapterConformance, refusals } from './support/adapter-conformance.js';
import { mongodbStore, READ, rejects, WRITE } from './support/mongodb-store.js';

const { dba, adapter, open, deliver, object, call, rows } = await mongodbStore();

await deliverNotes();
adapterConformance({
  name: 'mongodb',
  open: (bounds = {}) => Promise.resolve({ adapter: open(bounds), teardown: () => Promise.resolve() }),
  fillKinds: async (rows) => {
    const columns = {
      ...{ id: { type: 'integer', from: '_id' }, text: 'string', whole: 'integer', exact: 'decimal', real: 'number' },
      ...{ flag: 'boolean', day: 'date', moment: 'datetime', data: 'json', big: 'bigint', state: 'string' },
      ...{ bytes: 'binary', tags: 'json', place: 'json' },
    };
    await deliver({ _id: 'kind_list', kind: 'view', on: 'kinds', columns, body: { pipeline: [] } });
    const kinds = dba.db().collection('kinds');
    await kinds.deleteMany({});
    if (rows.length === 0) return;
    await kinds.insertMany(
      rows.map(({ id, text, whole, exact, real, flag, day, moment, data, big, state, bytes, tags, place }) => ({
        // n.b. a document need not have a field: it is null as well.
        ...(text === null ? {} : { text }),
        ...(bytes === null ? {} : { bytes: new Binary(Buffer.from(bytes, 'base64')) }),
        ...{ big: big === null ? null : Long.fromString(big), state, tags, place },
        ...{ _id: id as never, whole, exact: exact === null ? null : Decimal128.fromString(exact) },
        ...{ real: real === null ? null : new Double(real), flag, day: day === null ? null : new Date(day) },
        ...{ moment: moment === null ? null : new Date(moment), data },
      })),
    );
  },
  running: async () => {
    const aggregating = { active: true, appName: 'beds', 'command.aggregate': { $exists: true } };
    const answer = await dba.db('admin').command({ currentOp: true, ...aggregating });
    return (answer['inprog'] as readonly unknown[]).length;
  },
  unable: unable(),
});

/** What the DBA delivers for the notes of the conformance suite. */
async function deliverNotes(): Promise<void> {
  const on = 'notes';
  const id = { _id: { $arg: 'id' } };
  const note = { title: { $arg: 'title' }, body: { $arg: 'body' }, stars: { $arg: 'stars' } };
  const notes = { id: { type: 'string', from: '_id' }, title: 'string', body: 'string', stars: 'integer' };
  const range = { $range: [0, 5_000] };
  // 25 million documents out of one.
  const slow = [
    { $limit: 1 },
    { $project: { a: range } },
    { $unwind: '$a' },
    { $project: { a: range } },
    { $unwind: '$a' },
  ];
  await dba.db().collection('one').insertOne({ one: 1 });
  const args = { id: 'string', title: 'string', body: 'string?', stars: 'integer' };
  const update = { $set: { title: { $arg: 'title' } } };
  const count = { filter: { title: { $arg: 'title' } } };
  await deliver(
    { _id: 'note_create', kind: 'procedure', on, op: 'insertOne', args, body: { document: { ...id, ...note } } },
    {
      _id: 'note_update',
      kind: 'procedure',
      on,
      op: 'updateOne',
      args: { id: 'string', title: 'string' },
      body: { filter: id, update },
    },
    { _id: 'note_delete', kind: 'procedure', on, op: 'deleteOne', args: { id: 'string' }, body: { filter: id } },
    { _id: 'note_count', kind: 'function', on, op: 'count', args: { title: 'string' }, body: count },
    ...Object.entries(refusals).map(([word, [whenNone]]) => ({
      ...{ _id: `note_refuse_${word}`, kind: 'procedure', on, op: 'updateOne', args: { id: 'string' }, whenNone },
      body: { filter: { ...id, title: 'never' }, update: { $set: { stars: 0 } } },
    })),
    { _id: 'note_slow', kind: 'procedure', on: 'one', op: 'aggregate', body: { pipeline: [...slow, { $count: 'n' }] } },
    { _id: 'note_list', kind: 'view', on, columns: notes, body: { pipeline: [] } },
  );
  await deliverForms();
}

async function deliverForms(): Promise<void> {
  const on = 'kinds';
  const parts = { big: 'bigint', state: 'string', bytes: 'binary', tags: 'json', place: 'json' };
  const returns = { id: { type: 'integer', from: '_id' }, ...parts };
  const optional = Object.fromEntries(Object.entries(parts).map(([name, type]) => [name, `${type}?`]));
  const document = Object.fromEntries(Object.keys(parts).map((name) => [name, { $arg: name }]));
  const find = { on, op: 'find', args: { wanted: 'integer' }, body: { filter: { _id: { $arg: 'wanted' } } } };
  await deliver(
    {
      ...{ _id: 'form_add', kind: 'procedure', on, op: 'insertOne', args: { id: 'integer', ...optional }, returns },
      body: { document: { _id: { $arg: 'id' }, ...document } },
    },
    { _id: 'form_get', kind: 'procedure', ...find, returns },
    { _id: 'form_tags', kind: 'function', ...find, returns: { tags: 'json' } },
  );
}

function unable(): Readonly<Partial<Record<'slow' | 'hidden' | 'deadline' | 'sets', string>>> {
  const { accessControl, statementDeadline } = adapter.status().capabilities;
  const goesOn = 'the server in use does not stop work at its deadline: it would be busy for minutes';
  return {
    ...(statementDeadline ? {} : { slow: goesOn, deadline: goesOn }),
    ...(accessControl ? {} : { hidden: 'the account in use may read every collection' }),
    sets: 'an operation of MongoDB gives one result',
  };
}

describe('writes through catalogued procedures', () => {
  const returns = { id: { type: 'string', from: '_id' }, n: 'integer', tag: 'string' };

  before(async () => {
    const on = 'counters';
    const id = { _id: { $arg: 'id' } };
    await deliver(
      {
        _id: 'make',
        kind: 'procedure',
        on,
        op: 'insertOne',
        args: { id: 'string', n: 'integer' },
        returns,
        body: { document: { ...id, n: { $arg: 'n' } } },
      },
      {
        _id: 'make_many',
        kind: 'procedure',
        on,
        op: 'insertMany',
        args: { documents: 'json' },
        body: { documents: { $arg: 'documents' } },
      },
      {
        _id: 'change',
        kind: 'procedure',
        on,
        op: 'findOneAndUpdate',
        returns,
        args: { id: 'string', by: 'integer?', tag: 'string?' },
        body: {
          filter: id,
          update: { $inc: { n: { $arg: 'by', absent: 'omit' } }, $set: { tag: { $arg: 'tag', absent: 'omit' } } },
        },
      },
      {
        _id: 'touch',
        kind: 'procedure',
        on,
        op: 'updateMany',
        args: { tag: 'string' },
        body: { filter: { n: { $gte: 0 } }, update: { $set: { tag: { $arg: 'tag' } } } },
      },
      {
        _id: 'swap',
        kind: 'procedure',
        on,
        op: 'replaceOne',
        args: { id: 'string', n: 'integer' },
        body: { filter: id, replacement: { n: { $arg: 'n' } }, upsert: true },
      },
      {
        _id: 'remove',
        kind: 'procedure',
        on,
        op: 'findOneAndDelete',
        args: { id: 'string' },
        returns,
        body: { filter: id },
      },
      { _id: 'clear', kind: 'procedure', on, op: 'deleteMany', args: {}, body: { filter: {} } },
      { _id: 'how_many', kind: 'function', on, op: 'count', args: {}, body: { filter: {} } },
    );
  });

  it('give the document as it is after the change, and how many were changed', async () => {
    assert.deepEqual(await call('make', { id: 'a', n: 1 }), one({ id: 'a', n: 1, tag: null }));
    assert.deepEqual(await call('change', { id: 'a', by: 2, tag: 'x' }), one({ id: 'a', n: 3, tag: 'x' }));
    assert.deepEqual(await call('change', { id: 'a', tag: 'y' }), one({ id: 'a', n: 3, tag: 'y' }));
    assert.deepEqual(await call('change', { id: 'none', by: 1 }), { rows: [], sets: [[]], affected: 0 });
    assert.deepEqual(await call('swap', { id: 'b', n: 5 }), { rows: [], sets: [], affected: 1 });
    assert.deepEqual(await call('touch', { tag: 'z' }), { rows: [], sets: [], affected: 2 });
    assert.deepEqual((await call('how_many', {}, READ)).rows, [{ value: 2 }]);
    assert.deepEqual(await call('remove', { id: 'a' }), one({ id: 'a', n: 3, tag: 'z' }));
    assert.equal((await call('make_many', { documents: [{ n: 1 }, { n: 2 }] })).affected, 2);
    assert.equal((await call('clear', {})).affected, 3);
  });

  function one(row: JsonObject): RoutineRows {
    return { rows: [row], sets: [[row]], affected: 1 };
  }

  it('refuse an update that was left with nothing to change', async () => {
    await rejects(call('change', { id: 'a' }), 'BEDS_STORE_INVALID_VALUE');
  });

  it('store documents, and nothing that a driver would make one of', async () => {
    const on = 'documents';
    const args = { given: 'json' };
    const given = { $arg: 'given' };
    const replaced = { filter: { _id: 1 }, replacement: given };
    await deliver(
      { _id: 'doc_one', kind: 'procedure', on, op: 'insertOne', args, body: { document: given } },
      { _id: 'doc_some', kind: 'procedure', on, op: 'insertMany', args, body: { documents: [given] } },
      { _id: 'doc_all', kind: 'procedure', on, op: 'insertMany', args, body: { documents: given } },
      { _id: 'doc_new', kind: 'procedure', on, op: 'replaceOne', args, body: replaced },
    );
    const stored = dba.db().collection<Document & { readonly _id: number }>(on);
    const before = [{ _id: 1, kept: true }];
    await stored.insertMany(before);
    for (const wrong of [5, 'ab', true, [1], [], [{ a: 1 }]]) {
      for (const name of ['doc_one', 'doc_some', 'doc_new']) {
        await rejects(call(name, { given: wrong }), 'BEDS_STORE_INVALID_VALUE', 'given');
      }
    }
    for (const wrong of [5, 'ab', {}, { 0: {} }, [5], [{}, 'ab'], [[]], [null], []]) {
      await rejects(call('doc_all', { given: wrong }), 'BEDS_STORE_INVALID_VALUE', 'given');
    }
    assert.deepEqual(await stored.find().toArray(), before);
    await call('doc_new', { given: { n: 2 } });
    assert.deepEqual(await stored.find().toArray(), [{ _id: 1, n: 2 }]);
  });

  it('say of a document that was added that it was, also where they give it as it was before', async () => {
    const on = 'added';
    const returns = { id: { type: 'string', from: '_id' } };
    const body = { filter: { _id: { $arg: 'id' } }, update: { $set: { n: 1 } }, upsert: true };
    await deliver({
      ...{ _id: 'add_or_change', kind: 'procedure', on, op: 'findOneAndUpdate', args: { id: 'string' }, returns },
      ...{ whenNone: '[not-found] There is none.', body: { ...body, returnDocument: 'before' } },
    });
    assert.deepEqual(await call('add_or_change', { id: 'a' }), { rows: [], sets: [[]], affected: 1 });
    assert.deepEqual(await call('add_or_change', { id: 'a' }), one({ id: 'a' }));
  });

  it('refuse a key that exists, without repeating it', async () => {
    await call('make', { id: 'twice', n: 1 });
    await assert.rejects(call('make', { id: 'twice', n: 1 }), (error: unknown) => {
      assert.ok(isBedsError(error));
      assert.equal(error.code, 'BEDS_STORE_CONFLICT');
      assert.doesNotMatch(`${JSON.stringify(error)} ${JSON.stringify(error.cause)} ${error.message}`, /twice/);
      return true;
    });
  });

  it('are denied to reads', async () => {
    for (const name of ['clear', 'make']) {
      await rejects(call(name, { id: 'q', n: 1 }, READ), 'BEDS_STORE_DENIED');
    }
  });

  it('are atomic on one document under concurrency', async () => {
    await call('make', { id: 'hot', n: 0 });
    const change = await object('change');
    await Promise.all(Array.from({ length: 100 }, () => adapter.call(change, { id: 'hot', by: 1 }, WRITE)));
    assert.equal((await call('remove', { id: 'hot' })).rows[0]?.['n'], 100);
  });
});

describe('values of MongoDB', () => {
  it('come as plain JSON', async () => {
    const id = new ObjectId();
    await dba
      .db()
      .collection('values')
      .insertOne({
        _id: id,
        ref: id,
        at: new Date('2024-05-06T07:08:09.010Z'),
        exact: Decimal128.fromString('1.2E+3'),
        cents: Decimal128.fromString('-0.010'),
        long: Long.fromString('9007199254740993'),
        short: Long.fromNumber(7),
        bytes: new Binary(Buffer.from('beds')),
        list: [{ at: new Date(0) }],
        nothing: null,
      });
    await deliver({ _id: 'values', kind: 'procedure', on: 'values', op: 'find', body: { filter: {} } });
    assert.deepEqual((await call('values', {}, READ)).rows, [
      {
        ref: id.toHexString(),
        at: '2024-05-06T07:08:09.010Z',
        exact: '1200',
        cents: '-0.010',
        long: '9007199254740993',
        short: 7,
        bytes: 'YmVkcw==',
        list: [{ at: '1970-01-01T00:00:00.000Z' }],
        nothing: null,
      },
    ]);
  });

  it('are stored as the DBA says and come back as they were given', async () => {
    const args = {
      id: { type: 'string', as: 'objectId' },
      whole: 'integer',
      long: 'bigint',
      number: 'number',
      exact: 'decimal',
      yes: 'boolean',
      day: 'date',
      written: { type: 'date', as: 'string' },
      at: 'datetime',
      bytes: { type: 'string', as: 'binary' },
      any: 'json',
    };
    const { id: _id, ...others } = args;
    const body = Object.fromEntries(Object.keys(others).map((name) => [name, { $arg: name }]));
    const columns = { id: { type: 'string', as: 'objectId', from: '_id' }, ...others };
    await deliver(
      {
        _id: 'typed_add',
        kind: 'procedure',
        on: 'typed',
        op: 'insertOne',
        args,
        returns: columns,
        body: { document: { _id: { $arg: 'id' }, ...body } },
      },
      { _id: 'typed', kind: 'view', on: 'typed', columns, body: { pipeline: [] } },
    );
    const given = {
      id: new ObjectId().toHexString(),
      whole: Number.MAX_SAFE_INTEGER,
      long: '9007199254740993',
      number: 2,
      exact: '12345678901234567890.10',
      yes: false,
      day: '2024-02-29',
      written: '1999-12-31',
      at: '2024-05-06T07:08:09.010Z',
      bytes: 'YmVkcw==',
      any: { a: [1, 'b', null] },
    };
    assert.deepEqual((await call('typed_add', given)).rows, [given]);
    assert.deepEqual(await rows('typed', { where: { id: given.id, long: given.long, exact: given.exact } }), [given]);
    assert.deepEqual(
      await rows('typed', { where: { day: given.day, written: { lte: given.written }, at: { gte: given.at } } }),
      [given],
    );
    const stored = await dba.db().collection('typed').findOne({}, { promoteValues: false });
    assert.ok(
      stored?._id instanceof ObjectId && stored['day'] instanceof Date && stored['exact'] instanceof Decimal128,
    );
    assert.ok(Long.isLong(stored['long']) && typeof stored['written'] === 'string');
    await rejects(call('typed_add', { ...given, id: 'short' }), 'BEDS_STORE_INVALID_VALUE', 'id');
    await rejects(call('typed_add', { ...given, long: '9223372036854775808' }), 'BEDS_STORE_INVALID_VALUE', 'long');
    await rejects(rows('typed', { where: { id: 'short' } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.id');
  });
});

describe('views of MongoDB', () => {
  const columns = {
    id: { type: 'string', from: '_id' },
    city: { type: 'string', from: 'address.city' },
    n: 'integer?',
  };

  before(async () => {
    await dba
      .db()
      .collection<Document & { _id: string }>('places')
      .insertMany([
        { _id: 'a', address: { city: 'Zug' }, n: 1, open: true },
        { _id: 'b', address: { city: 'Bern' }, n: null, open: true },
        { _id: 'c', address: { city: 'Basel' }, open: true },
        { _id: 'd', address: { city: 'Chur' }, n: 2, open: false },
      ]);
    // mongo-java-server takes this and makes a plain collection of it.
    await dba.db().createCollection('open_native', { viewOn: 'places', pipeline: [{ $match: { open: true } }] });
    const body = { pipeline: [{ $match: { open: true } }] };
    await deliver(
      { _id: 'open_places', kind: 'view', on: 'places', columns, body },
      { _id: 'open_native', kind: 'view', native: true, on: 'places', columns, body },
      { _id: 'native_only', kind: 'view', native: true, columns },
    );
  });

  for (const view of ['open_places', 'open_native']) {
    it(`read nested fields under the names of the catalogue, by ${view}`, async () => {
      assert.deepEqual(await rows(view, { where: { city: { prefix: 'B' } }, order: [{ column: 'city' }] }), [
        { id: 'c', city: 'Basel', n: null },
        { id: 'b', city: 'Bern', n: null },
      ]);
      assert.deepEqual(await rows(view, { where: { n: { ne: null } } }), [{ id: 'a', city: 'Zug', n: 1 }]);
    });
  }

  it('page through equal and missing values without a gap or a repetition', async () => {
    for (const direction of ['asc', 'desc'] as const) {
      const view = await object('open_places');
      const seen: Json[] = [];
      let cursor: string | undefined;
      do {
        const query = {
          key: 'id',
          limit: 1,
          order: [{ column: 'n', direction }],
          ...(cursor === undefined ? {} : { cursor }),
        };
        const page = await adapter.view(view, query, READ);
        seen.push(...page.rows.map(({ id }) => id ?? null));
        cursor = page.cursor;
      } while (cursor !== undefined);
      assert.deepEqual(seen, direction === 'asc' ? ['b', 'c', 'a'] : ['a', 'b', 'c']);
    }
  });

  it('are served from the catalogue where the server took a native view and ignored it', async () => {
    const listed = await dba.db().listCollections({ name: 'open_native' }, { nameOnly: true }).toArray();
    const honoured = listed[0]?.type === 'view';
    assert.equal((await object('open_native')).native['servedBy'], honoured ? 'view' : 'catalogue');
    assert.equal(adapter.status().capabilities.nativeViews, honoured);
  });

  it('that the server does not have and the catalogue does not describe are reported', async () => {
    const use: ObjectManifest = { kind: 'view', name: 'native_only', columns: {} };
    const [finding, ...more] = adapter.check(use, await object('native_only'));
    assert.equal(finding?.code, 'BEDS_PREFLIGHT_NOT_SUPPORTED');
    assert.match(finding.message, /native_only.*no such view/);
    assert.deepEqual(more, []);
  });
});
