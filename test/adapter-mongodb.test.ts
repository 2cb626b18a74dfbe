import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import {
  Binary,
  Decimal128,
  Long,
  MongoClient,
  MongoError,
  MongoNetworkError,
  MongoServerError,
  ObjectId,
} from 'mongodb';
import type { Document } from 'mongodb';
import { isBedsError } from '@beds/sdk';
import type { CallResult, Json, JsonObject, ObjectManifest, ViewQuery } from '@beds/sdk';
import { storeErrors } from '../host/errors/store.js';
import type { AdapterScope, CallOptions, NamedObject, StoreAdapter } from '../host/adapter/contract.js';
import { createMongodbAdapter } from '../host/adapter/mongodb/adapter.js';
import { Deadline } from '../host/adapter/mongodb/deadline.js';
import { privilegeTest } from '../host/adapter/mongodb/privileges.js';
import { toStoreError } from '../host/adapter/mongodb/server-error.js';
import { runTransaction } from '../host/adapter/mongodb/transaction.js';
import { sharedServices } from './support/services.js';

const READ: CallOptions = { timeoutMs: 5_000, mode: 'read' };
const WRITE: CallOptions = { timeoutMs: 5_000, mode: 'write' };

const services = await sharedServices(['mongodb']);
assert.ok(services.mongodb);
const url = databaseUrl(services.mongodb.url, `beds_adapter_${randomUUID().slice(0, 8)}`);
const dba = new MongoClient(url, { serverSelectionTimeoutMS: 5_000 });
const adapter = open({});
after(async () => {
  await adapter.close(1_000);
  await dba.db().dropDatabase();
  await dba.close();
});

function databaseUrl(server: string, database: string): string {
  const parsed = new URL(server);
  parsed.pathname = `/${database}`;
  if (parsed.username !== '' && !parsed.searchParams.has('authSource')) parsed.searchParams.set('authSource', 'admin');
  return parsed.href;
}

function open(changes: Partial<Parameters<typeof createMongodbAdapter>[0]['config']>): StoreAdapter {
  const limits = { poolSize: 8, queueLimit: 100, acquireTimeoutMs: 2_000, connectTimeoutMs: 5_000 };
  return createMongodbAdapter({ store: 'test', config: { kind: 'mongodb', url, ...limits, ...changes } });
}

async function deliver(...entries: readonly (Document & { readonly _id: string })[]): Promise<void> {
  for (const entry of entries) {
    const catalogue = dba.db().collection<Document & { _id: string }>('beds_objects');
    await catalogue.deleteOne({ _id: entry._id });
    await catalogue.insertOne(entry);
  }
}

async function object(name: string): Promise<NamedObject> {
  const found = (await adapter.describe([name])).get(name);
  assert.ok(found, `${name} is in the catalogue`);
  return found;
}

async function call(name: string, args: JsonObject, options = WRITE): Promise<CallResult> {
  return adapter.call(await object(name), args, options);
}

async function rows(name: string, query: ViewQuery & { readonly key?: string } = {}): Promise<readonly JsonObject[]> {
  return (await adapter.view(await object(name), { key: 'id', ...query }, READ)).rows;
}

function rejects(work: Promise<unknown>, code: keyof typeof storeErrors.specs, field?: string): Promise<void> {
  return assert.rejects(work, (error: unknown) => {
    assert.ok(isBedsError(error), String(error));
    assert.equal(error.code, code);
    if (field !== undefined) assert.equal(error.field, field);
    return true;
  });
}

async function findings(entry: Document & { readonly _id: string }, use?: ObjectManifest): Promise<readonly string[]> {
  await deliver(entry);
  const manifest: ObjectManifest = use ?? { kind: 'routine', name: entry._id, args: {} };
  return adapter.check(manifest, await object(entry._id)).map(({ code, message }) => `${code} ${message}`);
}

/** Stands before the server, and can make it one that takes connections and says nothing. */
class StallingProxy {
  readonly url: string;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #stalled = false;

  private constructor(port: number) {
    const through = new URL(url);
    through.host = `127.0.0.1:${port}`;
    this.url = through.href;
  }

  static async start(t: TestContext): Promise<StallingProxy> {
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new StallingProxy((server.address() as AddressInfo).port);
    server.on('connection', (near) => proxy.#join(near));
    t.after(() => {
      for (const socket of [...proxy.#pairs].flat()) socket.destroy();
      server.close();
    });
    return proxy;
  }

  #join(near: Socket): void {
    const { hostname, port } = new URL(url);
    const pair = [near, connect(Number(port), hostname)] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const each of pair) each.destroy();
      });
    }
    if (!this.#stalled) near.pipe(pair[1]).pipe(near);
  }

  stall(): void {
    this.#stalled = true;
    for (const socket of [...this.#pairs].flat()) socket.unpipe().pause();
  }

  resume(): void {
    this.#stalled = false;
    for (const [near, far] of this.#pairs) near.pipe(far).pipe(near);
  }
}

before(async () => {
  await dba.connect();
  await adapter.open();
});

describe('the MongoDB catalogue', () => {
  const good = { kind: 'procedure', on: 'people', op: 'find', args: { name: 'string' } } as const;

  const wrong: readonly (readonly [string, Document, RegExp])[] = [
    ['an unknown operation', { op: 'drop', body: {} }, /wrong at op: must be one of aggregate/],
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
    const use: ObjectManifest = { kind: 'routine', name: 'right', args: { name: { type: 'string' } } };
    assert.deepEqual(await findings(entry, use), []);
  });

  it('leaves out names that it does not have', async () => {
    assert.equal((await adapter.describe(['nobody'])).size, 0);
    const [finding] = adapter.check({ kind: 'routine', name: 'nobody', args: {} }, undefined);
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
    await rejects(call('by_text', { text: 'a\0' }, READ), 'BEDS_STORE_INVALID_VALUE', 'text');
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

  function one(row: JsonObject): CallResult {
    return { rows: [row], sets: [[row]], affected: 1 };
  }

  it('refuse an update that was left with nothing to change', async () => {
    await rejects(call('change', { id: 'a' }), 'BEDS_STORE_INVALID_VALUE');
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
      whole: '9007199254740993',
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
    assert.deepEqual(await rows('typed', { where: { id: given.id, whole: given.whole, exact: given.exact } }), [given]);
    assert.deepEqual(
      await rows('typed', { where: { day: given.day, written: { lte: given.written }, at: { gte: given.at } } }),
      [given],
    );
    const stored = await dba.db().collection('typed').findOne({}, { promoteValues: false });
    assert.ok(
      stored?._id instanceof ObjectId && stored['day'] instanceof Date && stored['exact'] instanceof Decimal128,
    );
    assert.ok(Long.isLong(stored['whole']) && typeof stored['written'] === 'string');
    await rejects(call('typed_add', { ...given, id: 'short' }), 'BEDS_STORE_INVALID_VALUE', 'id');
    await rejects(call('typed_add', { ...given, whole: '9223372036854775808' }), 'BEDS_STORE_INVALID_VALUE', 'whole');
    await rejects(rows('typed', { where: { id: 'short' } }), 'BEDS_STORE_QUERY_INVALID', 'where.id');
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

describe('limits of a MongoDB store', () => {
  it('end reads at their deadline, and leave open what became of a write', async (t: TestContext) => {
    const proxy = await StallingProxy.start(t);
    const stalled = open({ url: proxy.url });
    t.after(() => stalled.close(1_000));
    await stalled.open();
    const [read, write] = [await object('how_many'), await object('touch')];
    proxy.stall();
    const startedAt = performance.now();
    await rejects(stalled.call(read, {}, { mode: 'read', timeoutMs: 150 }), 'BEDS_STORE_TIMEOUT');
    await rejects(stalled.call(write, { tag: 'q' }, { mode: 'write', timeoutMs: 150 }), 'BEDS_STORE_INDETERMINATE');
    const gone = AbortSignal.timeout(100);
    await rejects(stalled.call(read, {}, { mode: 'read', timeoutMs: 5_000, signal: gone }), 'BEDS_STORE_TIMEOUT');
    assert.ok(performance.now() - startedAt < 2_000);
    await new Promise(setImmediate);
    // What became of the write is still awaited, so its connection is not given to another.
    assert.equal(stalled.status().connections.inUse, 1);
    proxy.resume();
    assert.equal((await stalled.call(read, {}, READ)).rows.length, 1);
  });

  it('refuse what finds no place in the queue, and what waits in it too long', async (t: TestContext) => {
    const proxy = await StallingProxy.start(t);
    const narrow = open({ url: proxy.url, poolSize: 1, queueLimit: 1, acquireTimeoutMs: 100 });
    t.after(() => narrow.close(1_000));
    await narrow.open();
    const read = await object('how_many');
    proxy.stall();
    const brief: CallOptions = { mode: 'read', timeoutMs: 600 };
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => narrow.call(read, {}, brief)));
    const codes = outcomes.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : 'ok'));
    assert.deepEqual(codes, ['BEDS_STORE_TIMEOUT', 'BEDS_STORE_OVERLOADED', 'BEDS_STORE_OVERLOADED']);
    proxy.resume();
    assert.equal((await narrow.call(read, {}, READ)).rows.length, 1);
  });

  it('say that the server is not there, in time', async (t: TestContext) => {
    const absent = open({ url: 'mongodb://127.0.0.1:1/nothing', connectTimeoutMs: 300 });
    t.after(() => absent.close(100));
    const startedAt = performance.now();
    await rejects(absent.open(), 'BEDS_STORE_UNAVAILABLE');
    assert.ok(performance.now() - startedAt < 1_500);
    assert.equal(absent.status().up, false);
    const write = await object('clear');
    await rejects(absent.call(write, {}, { mode: 'write', timeoutMs: 200 }), 'BEDS_STORE_UNAVAILABLE');
  });

  it('refuse a URL without a database, and do not repeat the password', () => {
    for (const wrong of ['mongodb://u:hush@127.0.0.1:1', 'mongodb://u:hush@:x/y', '']) {
      assert.throws(
        () => open({ url: wrong }),
        (error: unknown) =>
          isBedsError(error) && error.code === 'BEDS_STORE_URL_INVALID' && !JSON.stringify(error).includes('hush'),
      );
    }
  });

  it('take nothing after they were closed', async () => {
    const closed = open({});
    await closed.open();
    await Promise.all([closed.close(100), closed.close(100)]);
    await rejects(closed.describe(['x']), 'BEDS_STORE_CLOSED');
  });
});

describe('transactions of MongoDB', () => {
  const needs = 'the server in use has no sessions; found by trying one';

  it('are refused by a server that has none', async (t: TestContext) => {
    if (adapter.status().capabilities.transactions) return t.skip('the server in use has transactions');
    await rejects(
      adapter.transaction(async () => undefined, WRITE),
      'BEDS_STORE_NOT_SUPPORTED',
    );
  });

  it('commit all or nothing, and roll back even when the work ignores a failure', async (t: TestContext) => {
    if (!adapter.status().capabilities.transactions) return t.skip(needs);
    const [make, count] = [await object('make'), await object('how_many')];
    const total = async (): Promise<Json> => (await adapter.call(count, {}, READ)).rows[0]?.['value'] ?? null;
    const before = Number(await total());
    const add = (scope: AdapterScope, id: string): Promise<CallResult> => scope.call(make, { id, n: 1 });
    await adapter.transaction(async (scope) => Promise.all([add(scope, 't1'), add(scope, 't2')]), WRITE);
    assert.equal(await total(), before + 2);
    const own = new Error('mine');
    await assert.rejects(
      adapter.transaction(async (scope) => {
        await add(scope, 't3');
        throw own;
      }, WRITE),
      (error: unknown) => error === own,
    );
    await rejects(
      adapter.transaction(async (scope) => {
        await add(scope, 't4');
        await add(scope, 't1').catch(() => undefined);
      }, WRITE),
      'BEDS_STORE_CONFLICT',
    );
    assert.equal(await total(), before + 2);
  });

  // No server here has sessions, and none loses a commit on demand: the driver's part is played.
  class PlayedSession {
    readonly walk: string[] = [];
    readonly #commits: (Error | undefined)[];
    #open = false;

    constructor(...commits: (Error | undefined)[]) {
      this.#commits = commits;
    }

    inTransaction(): boolean {
      return this.#open;
    }

    startTransaction(): void {
      this.#open = true;
      this.walk.push('start');
    }

    async commitTransaction(): Promise<void> {
      this.#open = false;
      this.walk.push('commit');
      const error = this.#commits.length > 1 ? this.#commits.shift() : this.#commits[0];
      if (error !== undefined) throw error;
    }

    async abortTransaction(): Promise<void> {
      this.#open = false;
      this.walk.push('abort');
    }

    async endSession(): Promise<void> {
      this.walk.push('end');
    }
  }

  function play<T>(session: PlayedSession, work: (scope: AdapterScope) => Promise<T>, timeoutMs = 1_000): Promise<T> {
    const deadline = new Deadline(timeoutMs);
    const client = { startSession: () => session } as unknown as MongoClient;
    const empty: CallResult = { rows: [], sets: [], affected: 0 };
    let running = 0;
    const run = async (): Promise<void> => {
      running += 1;
      assert.equal(running, 1, 'a session takes one operation at a time');
      await new Promise(setImmediate);
      running -= 1;
    };
    const scopeOf = (): AdapterScope => ({
      call: async (_object, args) => {
        await run();
        if (args['fail'] === true) throw storeErrors.make('BEDS_STORE_CONFLICT');
        return empty;
      },
      view: async () => ({ rows: [] }),
    });
    return runTransaction({ client, deadline, work, scopeOf, onCommit: () => undefined }).finally(() => deadline.end());
  }

  const unknownCommit = new MongoError('lost');
  unknownCommit.addErrorLabel('UnknownTransactionCommitResult');

  it('commit again while the outcome of a commit is unknown', async () => {
    const session = new PlayedSession(unknownCommit, undefined);
    assert.equal(await play(session, async () => 7), 7);
    assert.deepEqual(session.walk, ['start', 'commit', 'commit', 'end']);
  });

  it('are in doubt when the outcome stays unknown until the deadline', async () => {
    const session = new PlayedSession(unknownCommit);
    await rejects(
      play(session, async () => 7, 200),
      'BEDS_STORE_INDETERMINATE',
    );
    assert.equal(session.walk.at(-1), 'end');
    assert.ok(!session.walk.includes('abort'));
  });

  it('roll back what failed, what the work did not notice, and what took too long', async () => {
    const found = await object('make');
    const session = new PlayedSession();
    const own = new Error('mine');
    await assert.rejects(
      play(session, () => Promise.reject(own)),
      (error: unknown) => error === own,
    );
    await rejects(
      play(session, async (scope) => {
        await scope.call(found, { fail: true }).catch(() => undefined);
      }),
      'BEDS_STORE_CONFLICT',
    );
    await rejects(
      play(session, () => new Promise(() => undefined), 50),
      'BEDS_STORE_TIMEOUT',
    );
    assert.deepEqual(session.walk, ['start', 'abort', 'end', 'start', 'abort', 'end', 'start', 'abort', 'end']);
  });

  it('run one operation at a time, and none after the end', async () => {
    const found = await object('make');
    let kept: AdapterScope | undefined;
    await play(new PlayedSession(undefined), async (scope) => {
      kept = scope;
      await Promise.all([1, 2, 3].map(() => scope.call(found, {})));
    });
    assert.ok(kept);
    await rejects(kept.call(found, {}), 'BEDS_STORE_CLOSED');
  });
});

describe('errors of MongoDB', () => {
  const read = { write: false, many: false };
  const write = { write: true, many: false };
  const many = { write: true, many: true };
  const server = (code: number): Error => new MongoServerError({ message: 'secret', code });
  const labelled = (label: string): Error => {
    const error = new MongoNetworkError('secret');
    error.addErrorLabel(label);
    return error;
  };

  const cases: readonly (readonly [string, Error, typeof read, keyof typeof storeErrors.specs])[] = [
    ['a duplicate', server(11000), write, 'BEDS_STORE_CONFLICT'],
    ['a missing grant', server(13), read, 'BEDS_STORE_DENIED'],
    ['maxTimeMS on one document', server(50), write, 'BEDS_STORE_TIMEOUT'],
    ['maxTimeMS on many documents', server(50), many, 'BEDS_STORE_INDETERMINATE'],
    ['a write conflict', server(112), write, 'BEDS_STORE_DEADLOCK'],
    ['a validator', server(121), write, 'BEDS_STORE_INVALID_VALUE'],
    ['a server that is no longer primary', server(10107), write, 'BEDS_STORE_UNAVAILABLE'],
    ['a shutdown during a write', server(91), write, 'BEDS_STORE_INDETERMINATE'],
    ['a shutdown during a read', server(91), read, 'BEDS_STORE_UNAVAILABLE'],
    ['a connection lost during a write', new MongoNetworkError('secret'), write, 'BEDS_STORE_INDETERMINATE'],
    ['a connection lost during a read', new MongoNetworkError('secret'), read, 'BEDS_STORE_UNAVAILABLE'],
    ['a connection that was never made', labelled('HandshakeError'), write, 'BEDS_STORE_UNAVAILABLE'],
    ['an unknown number', server(424242), read, 'BEDS_STORE_FAULT'],
    ['something else', new TypeError('secret'), read, 'BEDS_STORE_FAULT'],
  ];

  for (const [what, error, attempt, code] of cases) {
    it(`make ${what} ${code}, without its text`, () => {
      const made = toStoreError(error, attempt);
      assert.equal(made.code, code);
      assert.doesNotMatch(`${made.message} ${JSON.stringify(made.cause)}`, /secret/);
    });
  }
});
