import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import {
  Binary,
  BSON,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  type Document,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { isBedsError, type Json, type JsonObject, type Scalar, type ViewQuery } from '@beds/sdk';
import { ResultMeter } from '../host/stores/mongodb/result-meter.js';
import { fieldIn, toColumn, toRow } from '../host/stores/mongodb/values.js';
import type { StoreAdapter } from '../host/stores/contract.js';
import { mongodbStore, READ, rejects, WRITE } from './support/mongodb-store.js';
import { batchOf, PlayedMongodb } from './support/played-mongodb.js';
import { checkTypes, type TypeRow } from './support/types-document.js';

const { dba, adapter, deliver, object, call, open } = await mongodbStore();

interface Declared {
  readonly type: string;
  readonly as?: string;
}

/** What a value of a column is for callers. */
type Carried = 'as it is' | 'read only' | 'refused';

/** n.b. a value that the server at hand cannot store is played by another: all servers have the same column. */
const SECTION = {
  title: 'MongoDB',
  heads: ['stored as', 'in the catalogue', 'travels as, for example', 'filters, orders and pages'],
  servers: ['a value is given'],
} as const;

const number = { type: 'number' };
const string = { type: 'string' };
const json = { type: 'json' };
const decimal = { type: 'decimal' };
const exact = (text: string): Decimal128 => Decimal128.fromString(text);
const bytes = (subtype: number, size = 3): Binary => new Binary(Buffer.alloc(size, 7), subtype);
const uuid = new UUID('00112233-4455-4677-8899-aabbccddeeff').toBinary();
const id = ObjectId.createFromHexString('0123456789abcdef01234567');
const long = (text: string): Long => Long.fromString(text);

/** Each BSON type, in a column of each type that may hold it: https://www.mongodb.com/docs/manual/reference/bson-types/ */
const STORED: readonly (readonly [string, unknown, Declared, Carried, Json?])[] = [
  ['double', new Double(0.1), number, 'as it is', 0.1],
  ['double', new Double(5e-324), number, 'as it is', 5e-324],
  ['double', new Double(-1.7976931348623157e308), number, 'as it is', -1.7976931348623157e308],
  ['double', new Double(Number.NaN), number, 'refused'],
  ['double', new Double(Infinity), number, 'refused'],
  ['double', new Double(-Infinity), number, 'refused'],
  ['double', new Double(0.1), { type: 'decimal', as: 'double' }, 'as it is', '0.1'],
  ['double', new Double(0.1 + 0.2), { type: 'decimal', as: 'double' }, 'as it is', '0.30000000000000004'],
  ['double', new Double(1e-7), { type: 'decimal', as: 'double' }, 'as it is', '0.0000001'],
  ['double', new Double(2), decimal, 'read only', '2'],
  ['double', new Double(0.1), decimal, 'refused'],
  ['double', new Double(2), { type: 'integer' }, 'read only', 2],
  ['double', new Double(0.5), { type: 'integer' }, 'refused'],
  ['double', new Double(2), { type: 'bigint' }, 'read only', '2'],
  ['double', new Double(0.5), json, 'as it is', 0.5],
  ['double', new Double(Number.NaN), json, 'refused'],
  ['int', new Int32(-2147483648), { type: 'integer' }, 'as it is', -2147483648],
  ['int', new Int32(7), { type: 'bigint' }, 'as it is', '7'],
  ['int', new Int32(7), number, 'read only', 7],
  ['int', new Int32(7), decimal, 'read only', '7'],
  ['int', new Int32(7), json, 'as it is', 7],
  ['long', long('9007199254740991'), { type: 'integer' }, 'as it is', 9007199254740991],
  ['long', long('9007199254740992'), { type: 'integer' }, 'refused'],
  ['long', long('9007199254740993'), { type: 'bigint' }, 'as it is', '9007199254740993'],
  ['long', Long.MIN_VALUE, { type: 'bigint' }, 'as it is', '-9223372036854775808'],
  ['long', long('9007199254740991'), number, 'read only', 9007199254740991],
  ['long', long('9007199254740993'), number, 'refused'],
  ['long', long('9007199254740993'), decimal, 'read only', '9007199254740993'],
  ['long', long('9007199254740993'), json, 'read only', '9007199254740993'],
  ['decimal', exact('1234567890123456789012345678.901234'), decimal, 'as it is', '1234567890123456789012345678.901234'],
  ['decimal', exact('-0.010'), decimal, 'as it is', '-0.010'],
  ['decimal', exact('1.2E+3'), decimal, 'read only', '1200'],
  ['decimal', exact('1E-6176'), decimal, 'read only', `0.${'0'.repeat(6175)}1`],
  ['decimal', exact('NaN'), decimal, 'refused'],
  ['decimal', exact('Infinity'), decimal, 'refused'],
  ['decimal', exact('-Infinity'), decimal, 'refused'],
  ['decimal', exact('1.5'), number, 'refused'],
  ['decimal', exact('1.5'), json, 'read only', '1.5'],
  ['string', 'Zürich', string, 'as it is', 'Zürich'],
  ['string', '', string, 'as it is', ''],
  ['string', 'a\u0000b 😀 \u{ffff}', string, 'as it is', 'a\u0000b 😀 \u{ffff}'],
  ['string', '2024-02-29', { type: 'date', as: 'string' }, 'as it is', '2024-02-29'],
  [
    'string',
    '2024-02-29T00:00:00.000001Z',
    { type: 'datetime', as: 'string' },
    'as it is',
    '2024-02-29T00:00:00.000001Z',
  ],
  ['string', 'x', number, 'refused'],
  ['object', { a: { b: [1, null, 'x'] }, c: {} }, json, 'as it is', { a: { b: [1, null, 'x'] }, c: {} }],
  ['object', { a: 1 }, string, 'refused'],
  ['object', { $a: 1, 'b.c': 2 }, json, 'read only', { $a: 1, 'b.c': 2 }],
  ['array', [1, [2]], json, 'as it is', [1, [2]]],
  ['array', [], json, 'as it is', []],
  ['array', ['x'], string, 'refused'],
  ['binary, subtype 0', bytes(0), { type: 'binary' }, 'as it is', 'BwcH'],
  ['binary, subtype 0', bytes(0, 0), { type: 'binary' }, 'as it is', ''],
  ['binary, subtype 0', bytes(0, 16), { type: 'binary' }, 'as it is', 'BwcHBwcHBwcHBwcHBwcHBw=='],
  ['binary, subtype 0', bytes(0), { type: 'string', as: 'binary' }, 'as it is', 'BwcH'],
  ['binary, subtype 0', bytes(0), json, 'read only', 'BwcH'],
  ['binary, subtype 0', bytes(0), string, 'refused'],
  ...[1, 2, 3, 5, 6, 7, 8, 9, 128].flatMap((subtype): readonly (typeof STORED)[number][] => [
    ['binary, another subtype', bytes(subtype, 16), { type: 'binary' }, 'refused'],
    ['binary, another subtype', bytes(subtype, 16), { type: 'string', as: 'uuid' }, 'refused'],
  ]),
  ['binary, another subtype', bytes(3), json, 'read only', { $binary: { base64: 'BwcH', subType: '03' } }],
  ['binary, another subtype', bytes(9), json, 'read only', { $binary: { base64: 'BwcH', subType: '09' } }],
  ['binary, subtype 4', uuid, { type: 'string', as: 'uuid' }, 'as it is', '00112233-4455-4677-8899-aabbccddeeff'],
  ['binary, subtype 4', uuid, { type: 'string', as: 'binary' }, 'as it is', '00112233-4455-4677-8899-aabbccddeeff'],
  ['binary, subtype 4', uuid, { type: 'binary', as: 'uuid' }, 'as it is', 'ABEiM0RVRneImaq7zN3u/w=='],
  ['binary, subtype 4', uuid, { type: 'binary' }, 'refused'],
  ['binary, subtype 4', uuid, json, 'read only', '00112233-4455-4677-8899-aabbccddeeff'],
  ['objectId', id, { type: 'string', as: 'objectId' }, 'as it is', '0123456789abcdef01234567'],
  ['objectId', id, string, 'refused'],
  ['objectId', id, json, 'read only', '0123456789abcdef01234567'],
  ['bool', true, { type: 'boolean' }, 'as it is', true],
  ['bool', true, { type: 'integer' }, 'refused'],
  ['date', new Date('2024-02-29T12:34:56.789Z'), { type: 'datetime' }, 'as it is', '2024-02-29T12:34:56.789Z'],
  ['date', new Date('0000-01-01T00:00:00Z'), { type: 'datetime' }, 'as it is', '0000-01-01T00:00:00.000Z'],
  ['date', new Date('-000001-12-31T23:59:59.999Z'), { type: 'datetime' }, 'refused'],
  ['date', new Date('+010000-01-01T00:00:00Z'), { type: 'datetime' }, 'refused'],
  ['date', new Date('2024-02-29T00:00:00Z'), { type: 'date' }, 'as it is', '2024-02-29'],
  ['date', new Date('2024-02-29T00:00:01Z'), { type: 'date' }, 'refused'],
  ['date', new Date(0), json, 'read only', '1970-01-01T00:00:00.000Z'],
  ['null', null, string, 'as it is', null],
  ['null', null, json, 'as it is', null],
  ['regex', new BSONRegExp('^a', 'i'), string, 'refused'],
  ['regex', new BSONRegExp('^a', 'i'), json, 'read only', { $regularExpression: { pattern: '^a', options: 'i' } }],
  ['javascript', new Code('1'), string, 'refused'],
  ['javascript', new Code('1'), json, 'read only', { $code: '1' }],
  ['symbol', new BSONSymbol('s'), string, 'read only', 's'],
  ['dbRef', new DBRef('c', id), json, 'read only', { $ref: 'c', $id: { $oid: '0123456789abcdef01234567' } }],
  ...['integer', 'bigint', 'number', 'decimal', 'datetime', 'string'].map(
    (type) => ['timestamp', new Timestamp({ t: 1, i: 2 }), { type }, 'refused'] as const,
  ),
  ['timestamp', new Timestamp({ t: 1, i: 2 }), json, 'read only', { $timestamp: { t: 1, i: 2 } }],
  ['minKey', new MinKey(), string, 'refused'],
  ['minKey', new MinKey(), json, 'read only', { $minKey: 1 }],
  ['maxKey', new MaxKey(), string, 'refused'],
  ['maxKey', new MaxKey(), json, 'read only', { $maxKey: 1 }],
];

const exactly = (value: unknown): string => JSON.stringify(BSON.EJSON.serialize({ value }, { relaxed: false }));

it('a document may have the members by which the driver knows its own types', () => {
  for (const document of [{ _bsontype: 'Int32', value: 1 }, { _bsontype: 1 }, { __isLong__: true, low: 1 }]) {
    assert.deepEqual(toColumn({ a: [document] }, { type: 'json', as: 'any' }, 'v'), { a: [document] });
    const name = { from: 'a.name', type: 'string', as: 'string' } as const;
    assert.deepEqual(toRow({ ...document, a: { ...document, name: 'x' } }, { name }), { name: 'x' });
    // n.b. its size counts as that of any other.
    const meter = new ResultMeter({ maxResultRows: 1, maxResultBytes: 1_000 });
    assert.throws(() => meter.add([{ a: { ...document, text: 'x'.repeat(1_000) } }]), {
      code: 'BEDS_STORE_RESULT_TOO_LARGE',
    });
  }
});

interface Place {
  readonly on: string;
  readonly plain: string;
  readonly stages: string;
  readonly find: string;
  readonly add: string;
}

const places = new Map<string, Promise<Place>>();

/** A view, one by stages, a routine that reads and one that writes, of a collection whose documents have `v`. */
function placeOf(declared: Declared): Promise<Place> {
  const name = nameOf(declared);
  const known = places.get(name) ?? makePlace(`values_${places.size}`, declared);
  places.set(name, known);
  return known;
}

async function makePlace(on: string, declared: Declared): Promise<Place> {
  const place = { on, plain: `${on}_plain`, stages: `${on}_stages`, find: `${on}_find`, add: `${on}_add` };
  const columns = { id: { type: 'integer', from: '_id' }, v: { ...declared, from: 'v' } };
  const id = { _id: { $arg: 'id' } };
  const value = { ...id, v: { $arg: 'v' } };
  const args = { id: 'integer', v: { ...declared, optional: true } };
  const find = { kind: 'procedure', on, op: 'find', returns: columns, args: { id: 'integer' }, body: { filter: id } };
  await deliver(
    { _id: place.plain, kind: 'view', on, columns, body: { pipeline: [] } },
    { _id: place.stages, kind: 'view', on, columns, body: { pipeline: [{ $match: {} }] } },
    { _id: place.find, ...find },
    { _id: place.add, kind: 'procedure', on, op: 'insertOne', args, returns: columns, body: { document: value } },
  );
  return place;
}

let made = 0;
/** Of two documents, the second of which is written by the host. */
const newIds = (): readonly [number, number] => [(made += 1), (made += 1)];

async function store(on: string, ...documents: readonly Document[]): Promise<void> {
  await dba
    .db()
    .collection(on)
    .insertMany([...documents]);
}

async function storedIn(on: string, id: number): Promise<unknown> {
  const collection = dba.db().collection<{ readonly _id: number; readonly v?: unknown }>(on);
  return (await collection.findOne({ _id: id }, { promoteValues: false }))?.v;
}

/** A server that has this document, which the one at hand cannot store: it changes it, or ends the connection. */
async function playing(t: TestContext, document: Document): Promise<StoreAdapter> {
  const played = await PlayedMongodb.start(t);
  for (const name of ['find', 'aggregate']) played.on(name, () => batchOf(document));
  const other = open({ url: played.url });
  t.after(() => other.close(1_000));
  return other;
}

const view = async (name: string, where: ViewQuery['where'] = {}): Promise<readonly JsonObject[]> =>
  (await adapter.view(await object(name), { key: 'id', where }, READ)).rows;

const nameOf = ({ type, as }: Declared): string => (as === undefined ? type : `${type} stored as ${as}`);

/** Both values, a page each, in both directions. */
async function walk(name: string, ids: readonly number[]): Promise<void> {
  const view = await object(name);
  for (const direction of ['asc', 'desc'] as const) {
    const query = { key: 'id', where: { id: { in: ids } }, order: [{ column: 'v', direction }], limit: 1 };
    const first = await adapter.view(view, query, READ);
    const next = await adapter.view(view, { ...query, cursor: first.cursor ?? assert.fail('no second page') }, READ);
    const walked = [...first.rows, ...next.rows].map(({ id }) => id);
    assert.deepEqual([walked, next.cursor], [ids, undefined]);
  }
}

type Stored = (typeof STORED)[number];

/** A row for each type of a column, in which the values are told that are not carried as the first one is. */
function rowsOf(values: readonly Stored[]): readonly TypeRow[] {
  const kinds = new Map<string, Stored[]>();
  for (const value of values) {
    const kind = `${value[0]} in ${nameOf(value[2])}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), value]);
  }
  return [...kinds.values()].map((some) => {
    const [[type, , declared, usual]] = some as [Stored];
    const others = (['read only', 'refused'] as const).flatMap((carried) => {
      const those = some.filter((each) => each[3] === carried && carried !== usual);
      return those.length === 0 ? [] : [`${carried}: ${those.map(([, value]) => textOf(value)).join(', ')}`];
    });
    const shown = some.find(([, , , carried]) => carried !== 'refused')?.[4];
    const travels = shown === undefined ? '' : `\`${JSON.stringify(shown)}\``;
    const isCompared = declared.type === 'json' ? 'null only' : usual === 'as it is' ? 'yes' : '';
    return { cells: [type, nameOf(declared), travels, isCompared], outcome: [usual, ...others].join('; ') };
  });
}

function textOf(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  const isOfBson = typeof value === 'object' && value !== null && '_bsontype' in value;
  return isOfBson ? (value as BSON.BSONValue & { toString(): string }).toString() : JSON.stringify(value);
}

const tried: Stored[] = [];
const rows: TypeRow[] = [];

describe('values of MongoDB', () => {
  for (const stored of STORED) {
    const [type, value, declared, carried, shown] = stored;
    it(`a ${type} in a ${nameOf(declared)} is ${carried}: ${exactly(value).slice(9, 80)}`, async (t) => {
      const place = await placeOf(declared);
      const [id, other] = newIds();
      await store(place.on, { _id: id, v: value }).catch(() => undefined);
      const isStored = exactly(await storedIn(place.on, id)) === exactly(value);
      const from = isStored ? adapter : await playing(t, { _id: id, id, v: value });
      const read = async (name: string): Promise<readonly JsonObject[]> =>
        (await from.view(await object(name), { key: 'id', where: { id } }, READ)).rows;
      const reads = [
        () => read(place.plain),
        () => read(place.stages),
        async () => (await from.call(await object(place.find), { id }, READ)).rows,
      ];
      if (carried === 'refused') {
        for (const read of reads) await rejects(read(), 'BEDS_STORE_VALUE_UNFIT', 'v');
        tried.push(stored);
        return;
      }
      for (const read of reads) assert.deepEqual(await read(), [{ id, v: shown ?? null }]);
      const written = { id: other, v: shown ?? null };
      if (carried === 'read only') {
        // What is written is the value that JSON has, another one, or nothing.
        const outcome = await call(place.add, written).then(
          () => undefined,
          (error: unknown) => (isBedsError(error) ? error.code : String(error)),
        );
        assert.ok(outcome === undefined || outcome === 'BEDS_STORE_INVALID_VALUE', outcome);
        tried.push(stored);
        return;
      }
      assert.deepEqual((await call(place.add, written)).rows, [written]);
      assert.equal(exactly(await storedIn(place.on, other)), exactly(value));
      for (const name of declared.type === 'json' ? [] : [place.plain, place.stages]) {
        const found = await view(name, { v: shown as Scalar, id: { in: [id, other] } });
        assert.deepEqual(found, [{ id, v: shown ?? null }, written]);
        await walk(name, [id, other]);
      }
      tried.push(stored);
    });
  }

  it('of the deprecated types undefined and dbPointer are refused by name, also where they are nested', () => {
    const raw = (kind: number, content: readonly number[]): Uint8Array => {
      const element = [kind, 0x76, 0, ...content];
      return Uint8Array.from([5 + element.length, 0, 0, 0, ...element, 0]);
    };
    const pointer = [2, 0, 0, 0, 0x63, 0, ...id.id];
    const documents = [raw(6, []), raw(12, pointer)].map((one) => BSON.deserialize(one));
    const types = ['string', 'integer', 'number', 'decimal', 'boolean', 'date', 'datetime', 'binary'] as const;
    const stored = ['string', 'long', 'double', 'decimal128', 'bool', 'date', 'date', 'binary'] as const;
    for (const document of documents) {
      for (const [at, type] of types.entries()) {
        const as = stored[at] ?? 'any';
        const refused = { code: 'BEDS_STORE_VALUE_UNFIT', field: 'v' };
        assert.throws(() => toColumn(fieldIn(document, 'v'), { type, as }, 'v'), refused);
        assert.throws(() => toRow({ a: document }, { v: { from: 'a.v', type, as } }), refused);
      }
    }
    const [undefinedOne = {}] = documents;
    assert.throws(() => toRow({ a: undefinedOne }, undefined), { code: 'BEDS_STORE_VALUE_UNFIT', field: 'a' });
    assert.throws(() => toColumn([undefined], { type: 'json', as: 'any' }, 'v'), { code: 'BEDS_STORE_VALUE_UNFIT' });
    assert.equal(toColumn(fieldIn({}, 'v'), { type: 'string', as: 'string' }, 'v'), null);
    assert.equal(toColumn(fieldIn({}, 'constructor'), { type: 'string', as: 'string' }, 'constructor'), null);
    for (const type of ['undefined', 'dbPointer']) rows.push({ cells: [type, 'any', '', ''], outcome: 'refused' });
  });

  it('that a type does not hold exactly are refused, in arguments and in filters', async () => {
    const cases: readonly (readonly [Declared, readonly Json[], readonly Json[]])[] = [
      [
        { type: 'datetime' },
        ['2024-02-29T00:00:00.000001Z', '2024-02-29T00:00:00.123456789Z'],
        ['2024-02-29T00:00:00.120Z'],
      ],
      [
        { type: 'decimal', as: 'double' },
        ['0.1000000000000000055', '12345678901234567890.10', '9'.repeat(65)],
        ['0.1', '-0.5', '100'],
      ],
      [
        decimal,
        ['12345678901234567890123456789012345', `0.${'0'.repeat(30)}12345678901234567890123456789012345`],
        ['0.10'],
      ],
      [{ type: 'bigint' }, ['9223372036854775808', '-9223372036854775809'], ['-9223372036854775808']],
      [{ type: 'string', as: 'binary' }, ['YR==', 'YQ=', '!'], ['YQ==']],
      [{ type: 'string', as: 'objectId' }, ['0123', 'g'.repeat(24)], ['0'.repeat(24)]],
      [{ type: 'binary', as: 'uuid' }, ['YQ=='], ['AAAAAAAAAAAAAAAAAAAAAA==']],
    ];
    for (const [declared, wrong, right] of cases) {
      const place = await placeOf(declared);
      for (const v of wrong) {
        await rejects(call(place.add, { id: -1, v }), 'BEDS_STORE_INVALID_VALUE', 'v');
        await rejects(view(place.plain, { v: v as Scalar }), 'BEDS_STORE_QUERY_INVALID', 'query.where.v');
      }
      for (const v of right) {
        const [id] = newIds();
        assert.deepEqual((await call(place.add, { id, v }, WRITE)).rows, [{ id, v }]);
        assert.deepEqual(await view(place.plain, { id, v: v as Scalar }), [{ id, v }]);
      }
    }
  });

  it('that are null and fields that are missing are the same', async () => {
    const place = await placeOf(string);
    const [first, second] = newIds();
    const [third] = newIds();
    await store(place.on, { _id: first, v: null }, { _id: second }, { _id: third, v: 'x' });
    const id = { in: [first, second, third] };
    for (const name of [place.plain, place.stages]) {
      assert.deepEqual(await view(name, { id, v: null }), [
        { id: first, v: null },
        { id: second, v: null },
      ]);
      assert.deepEqual(await view(name, { id, v: { ne: null } }), [{ id: third, v: 'x' }]);
    }
    rows.push({ cells: ['no such field', 'any', '`null`', 'yes'], outcome: 'read only' });
  });

  it('are found at paths into documents, and named where a list stands in the way', async () => {
    const documents = [{ a: { b: 'x' } }, { a: {} }, {}, { a: null }, { a: 7 }].map((one, _id): Document => ({
      _id,
      ...one,
    }));
    await dba.db().collection('paths').insertMany(documents);
    const columns = { id: { type: 'integer', from: '_id' }, b: { type: 'string', from: 'a.b' } };
    await deliver(
      { _id: 'paths', kind: 'view', on: 'paths', columns, body: { pipeline: [] } },
      { _id: 'paths_find', kind: 'procedure', on: 'paths', op: 'find', returns: columns, body: { filter: {} } },
    );
    const expected = documents.map((_one, id) => ({ id, b: id === 0 ? 'x' : null }));
    assert.deepEqual(await view('paths'), expected);
    assert.deepEqual((await call('paths_find', {}, READ)).rows, expected);
    assert.equal((await view('paths', { b: 'x' })).length, 1);
    await dba
      .db()
      .collection('paths')
      .insertOne({ _id: 9 as never, a: [{ b: 'x' }, { b: 'y' }] });
    const reads = [() => view('paths'), () => view('paths', { b: 'x' }), () => call('paths_find', {}, READ)];
    for (const read of reads) await rejects(read(), 'BEDS_STORE_VALUE_UNFIT', 'b');
  });

  it('are found where their names hold any characters', async () => {
    const names = ['größe', 'first name', 'first-name', '名前', '__proto__', 'constructor'];
    const document = Object.fromEntries(names.map((name) => [name, name]));
    await dba
      .db()
      .collection<Document & { readonly _id: number }>('names')
      .insertMany([{ _id: 1, ...document, a: { ...document } }]);
    const columnOf = (from: string, index: number): [string, object] => [`c${String(index)}`, { type: 'string', from }];
    const paths = names.concat(names.map((name) => `a.${name}`));
    const columns = { id: { type: 'integer', from: '_id' }, ...Object.fromEntries(paths.map(columnOf)) };
    const flat = { id: columns.id, ...Object.fromEntries(names.map(columnOf)) };
    const filter = { [paths[0] ?? '']: { $arg: 'text' } };
    const routine = { kind: 'procedure', on: 'names', op: 'find', args: { text: 'string' }, body: { filter } };
    await deliver(
      { _id: 'names', kind: 'view', on: 'names', columns, body: { pipeline: [] } },
      { _id: 'names_flat', kind: 'view', on: 'names', columns: flat, body: { pipeline: [] } },
      { _id: 'names_find', ...routine, returns: columns },
      { _id: 'names_all', ...routine },
    );
    const row = { id: 1, ...Object.fromEntries(paths.map((path, at) => [`c${String(at)}`, path.replace('a.', '')])) };
    assert.deepEqual(await view('names'), [row]);
    assert.deepEqual((await call('names_find', { text: 'größe' }, READ)).rows, [row]);
    assert.deepEqual((await call('names_all', { text: 'größe' }, READ)).rows, [{ ...document, a: document }]);
    for (const [at, name] of names.entries()) {
      assert.equal((await view('names_flat', { [`c${String(at)}`]: name })).length, 1, name);
      assert.equal((await view('names_flat', { [`c${String(at)}`]: 'other' })).length, 0, name);
    }
  });

  it('as host/stores/TYPES.md says', () => {
    const [server] = SECTION.servers;
    checkTypes(SECTION, server, [...rowsOf(tried), ...rows]);
  });
});
