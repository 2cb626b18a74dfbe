import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Binary, Decimal128, Double, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID } from 'mongodb';
import type { Document } from 'mongodb';
import fc from 'fast-check';
import type { Json, JsonObject } from '@beds/sdk';
import { isBedsError } from '@beds/sdk';
import { compareStored, toColumn } from '../host/stores/mongodb/values.js';
import { mongodbStore, READ, rejects } from './support/mongodb-store.js';

const { dba, adapter, deliver, object, call } = await mongodbStore();

const LIMITS = [1, 2, 3];
const DIRECTIONS = ['asc', 'desc'] as const;

interface Declared {
  readonly type: string;
  readonly as?: string;
}

/** Stored values of a type, the extremes among them; no two the same. */
const VALUES: readonly (readonly [Declared, readonly unknown[]])[] = [
  [{ type: 'string' }, ['', 'a', 'aa', 'A', 'ä', '😀', '\u{ffff}', '~', ' ', '0', '$a', 'x'.repeat(500), 's', 'n1']],
  [{ type: 'string', as: 'objectId' }, ['0', '7', 'f'].map((digit) => ObjectId.createFromHexString(digit.repeat(24)))],
  [
    { type: 'string', as: 'binary' },
    [[], [0], [255], [0, 0], [127, 1], [...Buffer.alloc(15, 9)]].map((bytes) => new Binary(Buffer.from(bytes))),
  ],
  [{ type: 'string', as: 'binary' }, uuids()],
  [{ type: 'string', as: 'uuid' }, uuids()],
  [
    { type: 'integer' },
    [0, -1, 1, 2 ** 31, new Double(5), new Double(2 ** 53 - 1), Long.fromNumber(1 - 2 ** 53), Long.fromNumber(7)],
  ],
  [
    { type: 'bigint' },
    [0, -1, 1, 2 ** 31, new Double(5), new Double(2 ** 53 - 1), Long.MIN_VALUE, Long.MAX_VALUE].concat(
      ['9007199254740992', '9007199254740993', '-9007199254740993'].map((text) => Long.fromString(text) as never),
    ),
  ],
  [
    { type: 'number' },
    [0, -1, 1, 0.1, 0.1 + 0.2, 0.3, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2 ** 53, 1e21],
  ],
  [
    { type: 'decimal' },
    ['0', '-0.1', '0.1', '1E+3', '9.999999999999999999999999999999999E+6144', '12345678901234567890.10', '1E-300']
      .concat(['-9.999999999999999999999999999999999E+6144'])
      .map((text): unknown => Decimal128.fromString(text))
      .concat([7]),
  ],
  [{ type: 'decimal', as: 'double' }, [0, 0.1, 0.1 + 0.2, 0.3, -0.1, 1e21, 1e-7, 123456789.125, 3]],
  [{ type: 'boolean' }, [true, false]],
  [
    { type: 'date' },
    ['0000-01-01', '1969-12-31', '1970-01-01', '2024-02-29', '9999-12-31'].map((day) => new Date(`${day}T00:00:00Z`)),
  ],
  [{ type: 'date', as: 'string' }, ['0000-01-01', '1969-12-31', '2024-02-29', '9999-12-31']],
  [
    { type: 'datetime' },
    [
      '0000-01-01T00:00:00.000Z',
      '1969-12-31T23:59:59.999Z',
      '2024-02-29T12:00:00.001Z',
      '9999-12-31T23:59:59.999Z',
    ].map((instant) => new Date(instant)),
  ],
  [
    { type: 'datetime', as: 'string' },
    ['0000-01-01T00:00:00.000Z', '2024-02-29T12:00:00.000001Z', '2024-02-29T12:00:00.000Z', '9999-12-31T23:59:59.999Z'],
  ],
];

function uuids(): readonly unknown[] {
  const texts = ['00000000-0000-4000-8000-000000000000', '7fffffff-ffff-4fff-bfff-ffffffffffff'];
  return [
    ...texts,
    'ffffffff-ffff-4fff-bfff-ffffffffffff',
    ...Array.from({ length: 4 }, () => new UUID().toString()),
  ].map((text) => new UUID(text));
}

let made = 0;

/** A view of these documents, through a plain query and through stages. */
async function viewsOf(documents: readonly Document[], columns: Document): Promise<readonly string[]> {
  made += 1;
  const on = `pages_${made}`;
  if (documents.length > 0)
    await dba
      .db()
      .collection(on)
      .insertMany(documents.map((document) => ({ ...document })));
  const common = { kind: 'view', on, columns };
  await deliver(
    { _id: `${on}_plain`, ...common, body: { pipeline: [] } },
    { _id: `${on}_by_stages`, ...common, body: { pipeline: [{ $match: {} }] } },
  );
  return [`${on}_plain`, `${on}_by_stages`];
}

interface Order {
  readonly column: string;
  readonly direction: 'asc' | 'desc';
}

async function walk(name: string, order: readonly Order[], limit: number): Promise<readonly JsonObject[]> {
  const view = await object(name);
  const rows: JsonObject[] = [];
  let cursor: string | undefined;
  // n.b. no walk here is longer: one that is would go on for ever.
  for (let pages = 0; pages < 200; pages += 1) {
    const page = await adapter.view(
      view,
      { key: 'id', order, limit, ...(cursor === undefined ? {} : { cursor }) },
      READ,
    );
    assert.ok(page.rows.length <= limit);
    rows.push(...page.rows);
    cursor = page.cursor;
    if (cursor === undefined) return rows;
  }
  return assert.fail(`pages of ${limit} by ${JSON.stringify(order)} do not end`);
}

const shownAs = ({ type, as }: Declared): string => (as === undefined ? type : `${type} stored as ${as}`);

describe('pages of MongoDB', () => {
  for (const [declared, values] of VALUES) {
    it(`by a ${shownAs(declared)} give what one read gives, with null, nothing, and the same twice`, async () => {
      const stored: Document[] = [...values, ...values.slice(0, 3), null, null].map((v) => ({ v }));
      const documents = [...stored, {}, {}].map((document, n) => ({ _id: n * 7 - 3, ...document }));
      const columns = { id: { type: 'integer', from: '_id' }, v: declared };
      for (const name of await viewsOf(documents, columns)) {
        for (const direction of DIRECTIONS) {
          const order = [{ column: 'v', direction }];
          const whole = await walk(name, order, 1_000);
          assert.equal(whole.length, documents.length);
          for (const limit of LIMITS) assert.deepEqual(await walk(name, order, limit), whole);
        }
      }
    });

    it(`by a key that is a ${shownAs(declared)} give what one read gives, and each key finds its record`, async () => {
      const documents = values.map((value, n) => ({ _id: value, n }));
      const columns = { id: { ...declared, from: '_id' }, n: 'integer' };
      for (const name of await viewsOf(documents, columns)) {
        for (const direction of DIRECTIONS) {
          const order = [{ column: 'id', direction }];
          const whole = await walk(name, order, 1_000);
          assert.equal(whole.length, documents.length);
          for (const limit of LIMITS) assert.deepEqual(await walk(name, order, limit), whole);
        }
        for (const { id = null, n } of await walk(name, [], 1_000)) {
          // n.b. callers cannot write a decimal number of more than 65 digits before or after its point.
          if (declared.type === 'decimal' && JSON.stringify(id).length > 67) continue;
          const { rows } = await adapter.view(await object(name), { key: 'id', where: { id: id as string } }, READ);
          assert.deepEqual(rows, [{ id, n }]);
        }
      }
    });
  }
});

/** How much is tried, and from which seed: both may be given to look longer, or at the same again. */
const RUNS = Number(process.env['BEDS_PAGE_RUNS'] ?? 40);
const SEED = Number(process.env['BEDS_PAGE_SEED'] ?? Date.now() % 2 ** 31);

/** What a generated document holds: the number of a value, nothing (-1), or null (-2). */
const anyPlace = fc.integer({ min: -2, max: 13 });
const anyDocuments = fc.array(fc.tuple(anyPlace, anyPlace), { minLength: 1, maxLength: 9 });
const anyDirection = fc.constantFrom(...DIRECTIONS);

describe(`generated pages of MongoDB; seed ${String(SEED)}`, () => {
  it('by two columns of any types give what one read gives', async () => {
    const names = new Map<number, Promise<readonly string[]>>();
    const columnsOf = (at: number): Document => {
      const [v, w] = [VALUES[at % VALUES.length]?.[0], VALUES[(at + 5) % VALUES.length]?.[0]];
      return { id: { type: 'integer', from: '_id' }, v, w };
    };
    const anyCase = fc.record({
      at: fc.nat({ max: VALUES.length - 1 }),
      places: anyDocuments,
      first: anyDirection,
      second: anyDirection,
      limit: fc.constantFrom(...LIMITS),
    });
    const property = fc.asyncProperty(anyCase, async ({ at, places, first, second, limit }) => {
      const views = await (names.get(at) ?? viewsOf([], columnsOf(at)));
      names.set(at, Promise.resolve(views));
      const valueOf = (type: number, place: number): Document => {
        const values = VALUES[type % VALUES.length]?.[1] ?? [];
        if (place < 0) return place === -1 ? {} : { v: null };
        return { v: values[place % values.length] };
      };
      const documents = places.map(([v, w], n): Document => {
        const { v: other } = valueOf(at + 5, w);
        return { _id: n, ...valueOf(at, v), ...(w === -1 ? {} : { w: other as unknown }) };
      });
      const collection = dba.db().collection((views[0] ?? '').replace('_plain', ''));
      await collection.deleteMany({});
      await collection.insertMany(documents);
      for (const name of views) {
        const order = [
          { column: 'v', direction: first },
          { column: 'w', direction: second },
        ];
        const whole = await walk(name, order, 1_000);
        assert.equal(whole.length, documents.length);
        assert.deepEqual(await walk(name, order, limit), whole);
      }
    });
    await fc.assert(property, { numRuns: RUNS, seed: SEED });
  });

  it('lose nobody who was there all along, and show nobody twice, while others come and go', async () => {
    const [name = ''] = await viewsOf([], { id: { type: 'integer', from: '_id' }, v: 'integer' });
    const collection = dba.db().collection<{ _id: number; v?: number }>(name.replace('_plain', ''));
    const view = await object(name);
    const anyNumbers = fc.array(fc.nat({ max: 5 }), { minLength: 3, maxLength: 8 });
    const anyChange = fc.record({ insert: fc.nat({ max: 5 }), remove: fc.nat({ max: 7 }) });
    const anyCase = fc.record({
      numbers: anyNumbers,
      changes: fc.array(anyChange, { maxLength: 5 }),
      direction: anyDirection,
      limit: fc.constantFrom(...LIMITS),
    });
    const property = fc.asyncProperty(anyCase, async ({ numbers, changes, direction, limit }) => {
      await collection.deleteMany({});
      await collection.insertMany(numbers.map((v, _id) => ({ _id, v })));
      const stay = new Set(numbers.keys());
      const seen: Json[] = [];
      const order = [{ column: 'v', direction }];
      let cursor: string | undefined;
      for (let page = 0; page < 100; page += 1) {
        const given = await adapter.view(
          view,
          { key: 'id', order, limit, ...(cursor === undefined ? {} : { cursor }) },
          READ,
        );
        seen.push(...given.rows.map(({ id }) => id ?? null));
        cursor = given.cursor;
        if (cursor === undefined) break;
        const change = changes[page];
        if (change === undefined) continue;
        await collection.insertOne({ _id: 1_000 + page, v: change.insert });
        await collection.deleteOne({ _id: change.remove });
        stay.delete(change.remove);
      }
      assert.equal(cursor, undefined);
      assert.equal(new Set(seen).size, seen.length);
      for (const id of stay) assert.ok(seen.includes(id), `${id} of ${JSON.stringify(seen)}`);
    });
    await fc.assert(property, { numRuns: RUNS, seed: SEED });
  });
});

describe('pages of a view of MongoDB that has a collation', () => {
  // https://www.mongodb.com/docs/manual/core/views/#collation-behavior
  it('give what one read gives, by the collation', async (t) => {
    const texts = ['b', 'A', 'a', 'B', 'ä', 'Z', '', 'É', 'e', null, 'a'];
    const [first = ''] = await viewsOf(
      texts.map((v, _id) => ({ _id, v })),
      { id: { type: 'integer', from: '_id' }, v: 'string' },
    );
    const collation = { locale: 'en', strength: 2 };
    const on = first.replace('_plain', '');
    const same = await dba.db().collection(on).find({ v: 'A' }, { collation }).toArray();
    if (same.length !== 3) return t.skip('the server in use compares without the collation that it is sent');
    const columns = { id: { type: 'integer', from: '_id' }, v: 'string' };
    await dba.db().createCollection('collated_native', { viewOn: on, pipeline: [], collation });
    await deliver(
      { _id: 'collated', kind: 'view', on, columns, body: { pipeline: [], collation } },
      { _id: 'collated_stages', kind: 'view', on, columns, body: { pipeline: [{ $match: {} }], collation } },
      { _id: 'collated_native', kind: 'view', native: true, columns, on, body: { pipeline: [], collation } },
    );
    for (const name of ['collated', 'collated_stages', 'collated_native']) {
      for (const direction of DIRECTIONS) {
        const order = [{ column: 'v', direction }];
        const whole = await walk(name, order, 100);
        assert.equal(whole.length, texts.length);
        for (const limit of LIMITS) assert.deepEqual(await walk(name, order, limit), whole);
      }
      assert.equal((await adapter.view(await object(name), { key: 'id', where: { v: 'A' } }, READ)).rows.length, 3);
    }
  });
});

const NAN = Decimal128.fromString('NaN');

/** What each declaration does not allow, and the words for it. */
const FOREIGN: readonly (readonly [Declared, readonly unknown[], unknown, RegExp])[] = [
  [{ type: 'number' }, [1, 2, 3], Number.NaN, /NaN, which JSON cannot carry/],
  [{ type: 'number' }, [1, 2, 3], Infinity, /Infinity, which JSON cannot carry/],
  [{ type: 'number' }, [1, 2, 3], -Infinity, /-Infinity, which JSON cannot carry/],
  [{ type: 'number' }, [1, 2, 3], Long.fromString('9007199254740993'), /BSON Long/],
  [{ type: 'number' }, [1, 2, 3], Decimal128.fromString('1.5'), /BSON Decimal128/],
  [{ type: 'decimal' }, [1, 2, 3], NAN, /NaN, which JSON cannot carry/],
  [{ type: 'decimal' }, [1, 2, 3], 0.1, /a double; it is declared decimal, stored as decimal128/],
  [{ type: 'integer' }, [1, 2, 3], 1.5, /a double/],
  [{ type: 'integer' }, [1, 2, 3], '2', /a string/],
  [{ type: 'string' }, ['a', 'b', 'c'], new ObjectId(), /BSON ObjectId; it is declared string, stored as string/],
  [{ type: 'string' }, ['a', 'b', 'c'], new UUID(), /a UUID/],
  [{ type: 'string' }, ['a', 'b', 'c'], 7, /a whole number/],
  [{ type: 'string' }, ['a', 'b', 'c'], true, /a bool/],
  [{ type: 'string' }, ['a', 'b', 'c'], { a: 1 }, /a document/],
  [{ type: 'string' }, ['a', 'b', 'c'], ['b', 'x'], /an array/],
  [{ type: 'string' }, ['a', 'b', 'c'], [], /an array/],
  [{ type: 'string' }, ['a', 'b', 'c'], new Date(0), /a date/],
  [{ type: 'string' }, ['a', 'b', 'c'], new Timestamp({ t: 1, i: 1 }), /BSON Timestamp/],
  [{ type: 'string' }, ['a', 'b', 'c'], new MinKey(), /BSON MinKey/],
  [{ type: 'string' }, ['a', 'b', 'c'], new MaxKey(), /BSON MaxKey/],
  [{ type: 'string', as: 'objectId' }, [new ObjectId(), new ObjectId()], 'text', /a string/],
  [{ type: 'string', as: 'uuid' }, [new UUID(), new UUID()], 'text', /a string/],
  [{ type: 'string', as: 'binary' }, [new Binary(Buffer.from('a'))], new ObjectId(), /BSON ObjectId/],
  [{ type: 'boolean' }, [true, false], 1, /a whole number/],
  [{ type: 'date' }, [new Date(0)], new Date(1), /an instant that is not midnight UTC/],
  [{ type: 'date' }, [new Date(0)], new Date('+010000-01-01T00:00:00Z'), /outside of the years/],
  [{ type: 'date', as: 'string' }, ['2024-01-01'], '1 May 2024', /text that is not written as a date/],
  [{ type: 'datetime' }, [new Date(0)], '2024-01-01T00:00:00.000Z', /a string/],
  [{ type: 'datetime' }, [new Date(0)], new Date(-8.64e15), /outside of the years/],
  [
    { type: 'datetime', as: 'string' },
    ['2024-01-01T00:00:00.000Z'],
    '2024-01-01T00:00:00Z',
    /text that is not written/,
  ],
];

/** mongo-java-server calls two decimal numbers the same where they are the same double; MongoDB does not. */
describe('pages of MongoDB by numbers that are the same double', () => {
  it('end with every row, or with an error where the server takes them for one', async () => {
    const texts = ['0', '1E-6176', '-1E-6176', '0.1', '0.1000000000000000000000000000000001', '0.10'];
    const documents = texts.map((text, _id) => ({ _id, v: Decimal128.fromString(text) }));
    for (const name of await viewsOf(documents, { id: { type: 'integer', from: '_id' }, v: 'decimal' })) {
      for (const direction of DIRECTIONS) {
        const order = [{ column: 'v', direction }];
        const whole = await walk(name, order, 100);
        for (const limit of LIMITS) {
          const rows = await walk(name, order, limit).catch((error: unknown) => {
            assert.equal((error as { code?: string }).code, 'BEDS_STORE_CURSOR_STUCK');
            return whole;
          });
          assert.deepEqual(rows, whole);
        }
      }
    }
  });

  it('are distinguished exactly', () => {
    const decimal = (text: string): Decimal128 => Decimal128.fromString(text);
    const ascending: readonly (readonly [unknown, unknown])[] = [
      [decimal('0.1'), 0.1],
      [decimal('0.1'), decimal('0.1000000000000000000000000000000001')],
      [decimal('-1E-6176'), decimal('0')],
      [0, decimal('1E-6176')],
      [Long.fromString('9007199254740992'), Long.fromString('9007199254740993')],
      [new Double(2 ** 53), Long.fromString('9007199254740993')],
      [decimal('-9E+6144'), decimal('-8E+6144')],
      [5e-324, decimal('4.940656458412465441765687928682214E-324')],
      [undefined, -1],
      [false, true],
      [new Date(0), new Date(1)],
    ];
    for (const [a, b] of ascending) {
      assert.ok((compareStored(a, b) ?? 0) < 0, `${String(a)} < ${String(b)}`);
      assert.ok((compareStored(b, a) ?? 0) > 0, `${String(b)} > ${String(a)}`);
      assert.equal(compareStored(a, a), 0);
    }
    assert.equal(compareStored(decimal('1E+3'), 1_000), 0);
    assert.equal(compareStored('a', 'b'), undefined);
  });
});

describe('a stored value that is not what its column is declared to hold', () => {
  for (const [declared, values, foreign, words] of FOREIGN) {
    it(`is named and never left out: ${shownAs(declared)}, ${words.source}`, async () => {
      for (const n of [0, Math.ceil(values.length / 2), values.length]) {
        const documents = [...values.slice(0, n), foreign, ...values.slice(n), null].map((v, _id) => ({ _id, v }));
        const [name = ''] = await viewsOf(documents, { id: { type: 'integer', from: '_id' }, v: declared });
        for (const direction of DIRECTIONS) {
          for (const limit of [...LIMITS, 100]) {
            const walking = walk(name, [{ column: 'v', direction }], limit);
            await rejects(walking, 'BEDS_STORE_VALUE_UNFIT', 'v');
            await assert.rejects(walking, { message: words });
          }
        }
      }
    });
  }

  it('is named where it is a binary of another subtype', () => {
    const read = (subtype: number, as: 'binary' | 'uuid') => (): Json =>
      toColumn(new Binary(Buffer.alloc(16), subtype), { type: 'string', as }, 'v');
    for (const subtype of [2, 3, 5, 128]) {
      for (const as of ['binary', 'uuid'] as const) {
        const message = new RegExp(`a binary of subtype ${subtype};`);
        assert.throws(read(subtype, as), { code: 'BEDS_STORE_VALUE_UNFIT', message });
      }
    }
    assert.throws(read(0, 'uuid'), { code: 'BEDS_STORE_VALUE_UNFIT' });
    assert.equal(read(4, 'uuid')(), '00000000-0000-0000-0000-000000000000');
  });

  it('is named where it is the key', async () => {
    const documents = ['a', 'b', new ObjectId(), new ObjectId(), 5].map((_id) => ({ _id }));
    const [name = ''] = await viewsOf(documents, { id: { type: 'string', from: '_id' } });
    for (const direction of DIRECTIONS) {
      for (const limit of LIMITS) {
        await rejects(walk(name, [{ column: 'id', direction }], limit), 'BEDS_STORE_VALUE_UNFIT', 'id');
      }
    }
  });

  it('is named in what a routine gives, at any depth', async () => {
    await dba
      .db()
      .collection('odd')
      .insertOne({ size: { least: [1, Number.NaN] }, at: new Date(Number.NaN) });
    const find = { kind: 'procedure', on: 'odd', op: 'find', body: { filter: {} } };
    await deliver({ _id: 'odd_whole', ...find }, { _id: 'odd_size', ...find, returns: { size: 'json' } });
    await rejects(call('odd_whole', {}, READ), 'BEDS_STORE_VALUE_UNFIT', 'size');
    await rejects(call('odd_size', {}, READ), 'BEDS_STORE_VALUE_UNFIT', 'size');
  });
});

describe('UUIDs of MongoDB', () => {
  for (const as of ['binary', 'uuid']) {
    it(`are stored and found as what they are shown as, declared ${as}`, async () => {
      const id = { type: 'string', as };
      const on = `uuids_${as}`;
      await deliver({
        ...{ _id: `${on}_add`, kind: 'procedure', on, op: 'insertOne', args: { id } },
        ...{ returns: { id: { ...id, from: '_id' } }, body: { document: { _id: { $arg: 'id' } } } },
      });
      const text = new UUID().toString();
      assert.deepEqual((await call(`${on}_add`, { id: text })).rows, [{ id: text }]);
      const stored = await dba.db().collection(on).findOne();
      assert.equal((stored?._id as unknown as Binary).sub_type, Binary.SUBTYPE_UUID);
    });
  }

  it('are not taken for one where they are none', async () => {
    const args = { id: { type: 'string', as: 'uuid' } };
    const body = { document: { _id: { $arg: 'id' } } };
    await deliver({ _id: 'uuid_add', kind: 'procedure', on: 'uuids', op: 'insertOne', args, body });
    for (const id of ['YmVkcw==', 'x', '00000000-0000-4000-8000-00000000000']) {
      await rejects(call('uuid_add', { id }), 'BEDS_STORE_INVALID_VALUE', 'id');
    }
  });
});

describe('a cursor of MongoDB', () => {
  const columns = { id: { type: 'string', from: '_id' }, n: 'integer', group: 'integer' };
  const documents = ['a', 'b', 'c', 'd'].map((_id, n) => ({ _id, n, group: Math.floor(n / 2) }));

  it('is refused where another one than ours was made up', async () => {
    const [name = ''] = await viewsOf(documents, columns);
    const view = await object(name);
    const { cursor = '' } = await adapter.view(view, { key: 'id', limit: 1 }, READ);
    const [version, print] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as Json[];
    const forged = [{ $gt: '' }, ['sa'], 'a', 'n1', 't1', 'oabc', 'x0:YQ==', 'sa\ud800', 7, true, '', 'constructor'];
    for (const position of forged) {
      const made = Buffer.from(JSON.stringify([version, print, [position]])).toString('base64url');
      const work = adapter.view(view, { key: 'id', limit: 1, cursor: made }, READ);
      await rejects(work, 'BEDS_STORE_CURSOR_INVALID', 'query.cursor');
    }
  });

  it('is an error where two records have the same key', async () => {
    const [name = ''] = await viewsOf(documents, { ...columns, id: { type: 'integer', from: 'group' } });
    const view = await object(name);
    await rejects(adapter.view(view, { key: 'id', limit: 1 }, READ), 'BEDS_STORE_CURSOR_STUCK');
    assert.equal((await adapter.view(view, { key: 'id', limit: 2 }, READ)).rows.length, 2);
    await rejects(walk(name, [], 3), 'BEDS_STORE_CURSOR_STUCK');
  });

  it('is not given where it would be too long to be taken back', async () => {
    const long = ['a', 'b', 'c'].map((_id) => ({ _id, v: `${_id}${'x'.repeat(10_000)}` }));
    const [name = ''] = await viewsOf(long, { id: { type: 'string', from: '_id' }, v: 'string' });
    await rejects(walk(name, [{ column: 'v', direction: 'asc' }], 1), 'BEDS_STORE_QUERY_INVALID', 'query.order');
    assert.equal((await walk(name, [{ column: 'v', direction: 'asc' }], 3)).length, 3);
  });

  it('goes on from what is stored while other records come and go', async () => {
    const [name = ''] = await viewsOf(documents, columns);
    const view = await object(name);
    const first = await adapter.view(view, { key: 'id', limit: 2 }, READ);
    await dba.db().collection<{ _id: string }>(name.replace('_plain', '')).deleteOne({ _id: 'b' });
    const second = await adapter.view(view, { key: 'id', limit: 2, cursor: first.cursor ?? '' }, READ);
    assert.deepEqual(
      second.rows.map(({ id }) => id),
      ['c', 'd'],
    );
    assert.ok(!isBedsError(second));
  });
});
