import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Document } from 'mongodb';
import type { Json, JsonObject, ObjectManifest } from '@beds/sdk';
import { privilegeTest } from '../host/stores/mongodb/server-profile.js';
import type { Entry } from './support/mongodb-store.js';
import { mongodbStore, READ, rejects } from './support/mongodb-store.js';

const { dba, adapter, deliver, object, call } = await mongodbStore();

async function findings(entry: Entry, use?: ObjectManifest): Promise<readonly string[]> {
  await deliver(entry);
  const manifest: ObjectManifest = use ?? { kind: 'procedure', name: entry._id, args: {} };
  return adapter.check(manifest, await object(entry._id)).map(({ code, message }) => `${code} ${message}`);
}

describe('the MongoDB catalogue', () => {
  const good = { kind: 'procedure', on: 'people', op: 'find', args: { name: 'string' } } as const;

  const wrong: readonly (readonly [string, Document, RegExp])[] = [
    ['an unknown operation', { op: 'drop', body: {} }, /wrong at op: must be one of aggregate/],
    ['words without a class', { body: { filter: { name: { $arg: 'name' } } }, whenNone: 'taken' }, /at whenNone: must/],
    [
      'words for an insert',
      { op: 'insertOne', body: { document: { name: { $arg: 'name' } } }, whenNone: '[conflict] taken' },
      /whenNone: insertOne always/,
    ],
    [
      'words for an upsert',
      {
        op: 'updateOne',
        body: { filter: { name: { $arg: 'name' } }, update: { $set: { a: 1 } }, upsert: true },
        whenNone: '[conflict] taken',
      },
      /whenNone: with upsert there is always/,
    ],
    ['an unknown kind', { kind: 'macro', body: { filter: { name: { $arg: 'name' } } } }, /kind: must be one of/],
    [
      'an argument that is not declared',
      { body: { filter: { name: { $arg: 'nam' } } } },
      /\$arg names nam, which args/,
    ],
    ['a declared argument that is not used', { body: { filter: {} } }, /args\.name: is declared but/],
    [
      'an unknown type',
      { args: { name: 'text' }, body: { filter: { name: { $arg: 'name' } } } },
      /args\.name: the type/,
    ],
    ['a collection of the server', { on: 'system.users', body: { filter: { a: { $arg: 'name' } } } }, /on: must be/],
    [
      'JavaScript in a filter',
      { body: { filter: { $where: 'true', name: { $arg: 'name' } } } },
      /\$where: is not allowed/,
    ],
    [
      'an argument that is the whole filter',
      { body: { filter: { $arg: 'name' } } },
      /must be a document of conditions/,
    ],
    ['an argument among conditions', { body: { filter: { $or: [{ $arg: 'name' }] } } }, /\$or\.0: must be a document/],
    [
      'an argument as a negated condition',
      { body: { filter: { a: { $not: { $arg: 'name' } } } } },
      /cannot be a condition/,
    ],
    ['an argument in a sort', { body: { filter: {}, sort: { $arg: 'name' } } }, /sort: an argument cannot stand here/],
    [
      'an unknown part of a body',
      { body: { filter: { a: { $arg: 'name' } }, tailable: true } },
      /body\.tailable: find does/,
    ],
    ['a body without its filter', { body: { limit: { $arg: 'name' } } }, /find needs filter/],
    [
      'an omitted argument that is required',
      { body: { filter: { a: { $arg: 'name', absent: 'omit' } } } },
      /not optional/,
    ],
    [
      'a function that writes',
      { kind: 'function', op: 'deleteOne', body: { filter: { a: { $arg: 'name' } } } },
      /cannot del/,
    ],
    [
      'an update that replaces',
      { op: 'updateOne', body: { filter: {}, update: { a: { $arg: 'name' } } } },
      /update operator/,
    ],
    [
      'an update of any field',
      { op: 'updateOne', body: { filter: {}, update: { $set: { $arg: 'name' } } } },
      /must name the/,
    ],
    [
      'a deletion that an absent argument widens',
      { op: 'deleteMany', args: { name: 'string?' }, body: { filter: { a: { $arg: 'name', absent: 'omit' } } } },
      /must not be omitted here/,
    ],
    [
      'an argument that names a field',
      aggregate({ $addFields: { a: { $getField: { $arg: 'name' } } } }),
      /cannot stand here/,
    ],
    [
      'a new name by argument',
      { op: 'updateOne', body: { filter: {}, update: { $rename: { a: { $arg: 'name' } } } } },
      /cannot st/,
    ],
    ...['$out', '$merge', '$currentOp', '$changeStream', '$collStats'].map(
      (stage) =>
        [`the stage ${stage}`, aggregate({ [stage]: 'x' }), new RegExp(`${escape(stage)} is not allowed`)] as const,
    ),
    [
      'a forbidden stage within a stage',
      aggregate({ $lookup: { from: 'b', as: 'b', pipeline: [{ $facet: { a: [{ $out: 'x' }] } }] } }),
      /\$out is not allowed/,
    ],
    ...['$function', '$accumulator'].map(
      (key) => [`server-side ${key}`, aggregate({ $addFields: { a: { [key]: {} } } }), /is not allowed/] as const,
    ),
  ];

  function aggregate(stage: Document): Document {
    return { op: 'aggregate', body: { pipeline: [{ $match: { name: { $arg: 'name' } } }, stage] } };
  }

  function escape(text: string): string {
    return text.replace('$', '\\$');
  }

  for (const [index, [what, changes, expected]] of wrong.entries()) {
    it(`reports ${what}, naming the entry`, async () => {
      const name = `wrong_${index}`;
      const found = await findings({ _id: name, ...good, ...changes });
      assert.ok(
        found.some((line) => expected.test(line) && line.includes(`entry ${name} `)),
        found.join('\n'),
      );
    });
  }

  it('reports everything that is wrong at once', async () => {
    const body = { filter: { a: { $arg: 'x' }, b: { $arg: 'y' } } };
    assert.equal((await findings({ _id: 'wrong_all', ...good, body })).length, 3);
  });

  it('finds nothing wrong with an entry that fits the template', async () => {
    const entry = { _id: 'right', ...good, body: { filter: { name: { $arg: 'name' } } } };
    const use: ObjectManifest = { kind: 'procedure', name: 'right', args: { name: { type: 'string' } } };
    assert.deepEqual(await findings(entry, use), []);
  });

  it('leaves out names that it does not have', async () => {
    assert.equal((await adapter.describe(['nobody'])).size, 0);
    const [finding] = adapter.check({ kind: 'procedure', name: 'nobody', args: {} }, undefined);
    assert.equal(finding?.code, 'BEDS_PREFLIGHT_OBJECT_MISSING');
  });

  it('gives objects that other threads can be sent', async () => {
    const found = await object('right');
    assert.deepEqual(structuredClone(found), found);
    assert.deepEqual(JSON.parse(JSON.stringify(found)), found);
  });

  it('reads what the account may do from its privileges', () => {
    const may = privilegeTest('app', [
      { resource: { db: 'app', collection: 'beds_objects' }, actions: ['find'] },
      { resource: { db: 'other', collection: '' }, actions: ['remove'] },
    ]);
    assert.equal(may('find', 'beds_objects'), true);
    assert.equal(may('find', 'people'), false);
    assert.equal(may('remove', 'people'), false);
    assert.equal(
      privilegeTest('app', [{ resource: { db: 'app', collection: '' }, actions: ['find'] }])('find', 'x'),
      true,
    );
  });
});

describe('arguments of catalogued objects', () => {
  before(async () => {
    await dba
      .db()
      .collection<Document & { _id: string }>('people')
      .insertMany([
        { _id: 'ann', name: 'Ann', secret: 'tulip', age: 30 },
        { _id: 'bob', name: 'Bob', secret: '$name', age: 40 },
      ]);
    const returns = { id: { type: 'string', from: '_id' }, name: 'string' };
    const on = 'people';
    await deliver(
      {
        _id: 'by_name',
        kind: 'procedure',
        on,
        op: 'find',
        args: { name: 'string' },
        returns,
        body: { filter: { name: { $arg: 'name' } } },
      },
      {
        _id: 'by_any',
        kind: 'procedure',
        on,
        op: 'find',
        args: { name: 'json' },
        returns,
        body: { filter: { name: { $arg: 'name' } } },
      },
      {
        _id: 'by_list',
        kind: 'procedure',
        on,
        op: 'find',
        args: { names: 'json' },
        returns,
        body: { filter: { name: { $in: { $arg: 'names' } } } },
      },
      {
        _id: 'by_text',
        kind: 'procedure',
        on,
        op: 'find',
        args: { text: 'string' },
        returns,
        body: { filter: { name: { $regex: { $arg: 'text' }, $options: 'i' } } },
      },
      {
        _id: 'by_expression',
        kind: 'procedure',
        on,
        op: 'aggregate',
        args: { value: 'string' },
        returns,
        body: { pipeline: [{ $match: { $expr: { $eq: ['$name', { $arg: 'value' }] } } }, { $sort: { _id: 1 } }] },
      },
      {
        _id: 'echo',
        kind: 'function',
        on,
        op: 'aggregate',
        args: { value: 'json' },
        body: { pipeline: [{ $match: { name: 'Ann' } }, { $project: { _id: 0, value: { $arg: 'value' } } }] },
      },
      {
        _id: 'maybe',
        kind: 'procedure',
        on,
        op: 'find',
        args: { name: 'string?', least: 'integer?' },
        returns,
        body: {
          filter: { name: { $arg: 'name', absent: 'omit' }, age: { $gte: { $arg: 'least', absent: 'omit' } } },
          sort: { _id: 1 },
        },
      },
      {
        _id: 'store',
        kind: 'procedure',
        on: 'stored',
        op: 'insertOne',
        args: { document: 'json' },
        body: { document: { value: { $arg: 'document' } } },
      },
    );
  });

  const operators: readonly Json[] = [
    { $ne: null },
    { $gt: '' },
    { $regex: '.*' },
    { $where: 'true' },
    { $expr: { $eq: [1, 1] } },
    { $function: { body: 'x', args: [], lang: 'js' } },
    { $in: ['Ann'] },
    { nested: { deep: [{ $ne: 1 }] } },
    [{ $ne: null }],
    { 'a.b': 1 },
    { 'a\0b': 1 },
    { _bsontype: 'ObjectId', id: 'x' },
  ];

  for (const value of operators) {
    const shown = JSON.stringify(value);
    it(`never takes ${shown} for an operator`, async () => {
      await rejects(call('by_name', { name: value }, READ), 'BEDS_STORE_INVALID_VALUE', 'name');
      await rejects(call('by_any', { name: value }, READ), 'BEDS_STORE_INVALID_VALUE', 'name');
      await rejects(call('by_list', { names: [value] }, READ), 'BEDS_STORE_INVALID_VALUE', 'names');
      await rejects(call('echo', { value }, READ), 'BEDS_STORE_INVALID_VALUE', 'value');
      await rejects(call('store', { document: value }), 'BEDS_STORE_INVALID_VALUE', 'document');
    });
  }

  it('compares with a string that looks like an operator or a field as with any other', async () => {
    for (const text of ['$ne', '$name', '{"$ne":null}', '$$ROOT']) {
      assert.deepEqual((await call('by_name', { name: text }, READ)).rows, []);
      assert.deepEqual((await call('by_expression', { value: text }, READ)).rows, []);
      assert.deepEqual((await call('echo', { value: text }, READ)).rows, [{ value: text }]);
    }
  });

  it('matches a pattern argument literally', async () => {
    assert.deepEqual((await call('by_text', { text: '.*' }, READ)).rows, []);
    assert.deepEqual((await call('by_text', { text: 'NN' }, READ)).rows, [{ id: 'ann', name: 'Ann' }]);
    assert.deepEqual((await call('by_text', { text: 'a\0' }, READ)).rows, []);
  });

  it('takes a list where the body wants one, and nothing else', async () => {
    assert.deepEqual((await call('by_list', { names: ['Bob', 'Cyd'] }, READ)).rows, [{ id: 'bob', name: 'Bob' }]);
    await rejects(call('by_list', { names: { a: 1 } }, READ), 'BEDS_STORE_INVALID_VALUE', 'names');
  });

  it('lets conditions fall away whose optional argument is absent', async () => {
    const names = async (args: JsonObject): Promise<Json[]> =>
      (await call('maybe', args, READ)).rows.map(({ id }) => id ?? null);
    assert.deepEqual(await names({}), ['ann', 'bob']);
    assert.deepEqual(await names({ least: 35 }), ['bob']);
    assert.deepEqual(await names({ name: 'Ann', least: null }), ['ann']);
    assert.deepEqual(await names({ name: 'Ann', least: 35 }), []);
  });

  it('names _id only where the DBA does', async () => {
    await deliver({ _id: 'whole', kind: 'procedure', on: 'people', op: 'find', body: { filter: { name: 'Ann' } } });
    assert.deepEqual((await call('whole', {}, READ)).rows, [{ name: 'Ann', secret: 'tulip', age: 30 }]);
  });
});
