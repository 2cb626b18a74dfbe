import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Binary, Decimal128, type Db, type Document, Double, Int32, MongoClient, ObjectId } from 'mongodb';
import { type ImportedCollections, specificationOfCollections } from '#sdk/generate';
import { checkSpecification } from '#sdk/spec';
import { readCollections } from '../host/dba/read-collections.js';
import { beds } from './support/beds.js';
import { filesOf, specificationOf } from './support/generated-domain.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const { mongodb } = await sharedServices(['mongodb']);
assert.ok(mongodb);
const { url } = mongodb;
let databases = 0;

async function place(t: TestContext): Promise<{ readonly db: Db; readonly adminUrl: string }> {
  databases += 1;
  const adminUrl = new URL(url);
  adminUrl.pathname = `/import_${String(process.pid)}_${String(databases)}`;
  const client = new MongoClient(adminUrl.href);
  await client.connect();
  const db = client.db();
  t.after(async () => {
    await db.dropDatabase();
    await client.close();
  });
  return { db, adminUrl: adminUrl.href };
}

async function imported(
  adminUrl: string,
  wanted: readonly string[],
  { domain = 'shop', sample = 1000 }: { readonly domain?: string; readonly sample?: number } = {},
): Promise<ImportedCollections> {
  const collections = await readCollections(adminUrl, { wanted, sample });
  return specificationOfCollections({ domain, store: 'main', collections });
}

const wordsOf = (notes: readonly { readonly name: string; readonly reason: string }[]): string =>
  notes.map(({ name, reason }) => `${name}: ${reason}`).join('\n');

const ANN = new ObjectId();
const BOB = new ObjectId();

/** Ten orders of two customers, two of which are odd. */
async function shop(db: Db): Promise<void> {
  await db.collection('customers').insertMany([
    { _id: ANN, email: 'ann@x.ch', born: '1990-04-01', vip: true, home: { type: 'Point', coordinates: [8.5, 47.4] } },
    { _id: BOB, email: 'bob@x.ch', born: '1985-12-24', vip: false, tags: ['new', 'fast'] },
  ]);
  await db.collection('customers').createIndexes([{ key: { email: 1 }, unique: true }]);
  const orders = Array.from({ length: 10 }, (_, number): Document => ({
    customerId: number % 2 === 0 ? ANN : BOB,
    state: number < 5 ? 'open' : 'closed',
    total: new Double(number + 0.5),
    weight: new Double(number / 7),
    pieces: new Double(number),
    paid: Decimal128.fromString(`${String(number)}.25`),
    placedAt: new Date(),
    sentAt: '2026-01-31T10:00:00Z',
    address: { city: 'Bern', ...(number > 7 ? {} : { zip: new Int32(3000) }) },
    lines: [
      { article: 'A-1', quantity: new Int32(2), price: new Double(1.25), notes: [{ by: 'ann' }] },
      { article: 'B-2', quantity: new Int32(1), price: new Double(2.5) },
    ],
    code: number === 9 ? new Int32(7) : `C-${String(number)}`,
    counts: Object.fromEntries(Array.from({ length: 30 }, (__, at) => [`k${String(number * 30 + at)}`, at])),
    photo: new Binary(Buffer.from('x')),
    pattern: /x/u,
    Größe: new Int32(number),
    note: number < 9 ? null : 'x'.repeat(300),
    nothing: null,
  }));
  await db.collection('orders').insertMany(orders);
  await db.collection('orders').createIndexes([{ key: { state: 1 } }]);
  await db.collection('orders').createIndexes([{ key: { placedAt: 1 }, expireAfterSeconds: 3600 }]);
}

describe('beds import of collections', { timeout: 300_000 }, () => {
  it('reads types, what may be absent, documents, lists, references, unique values and ends', async (t) => {
    const { db, adminUrl } = await place(t);
    await shop(db);
    const { specification, leftOut, changed, seen } = await imported(adminUrl, ['orders', 'customers']);
    const { checked, problems } = checkSpecification(specification);
    assert.ok(checked, JSON.stringify(problems));
    filesOf(checked, 'mongodb');
    const [orders, customers] = specification.records;
    assert.deepEqual(orders?.fields, [
      {
        ...{ name: 'customer_id', description: 'The field customerId of orders', was: 'customerId' },
        ...{ type: 'reference', references: 'customers' },
      },
      { name: 'state', description: 'The field state of orders', type: 'text' },
      { name: 'total', description: 'The field total of orders', type: 'decimal', precision: 12, scale: 2 },
      { name: 'weight', description: 'The field weight of orders', type: 'float' },
      { name: 'pieces', description: 'The field pieces of orders', type: 'integer' },
      { name: 'paid', description: 'The field paid of orders', type: 'decimal', precision: 12, scale: 2 },
      { name: 'placed_at', description: 'The field placedAt of orders', was: 'placedAt', type: 'timestamp' },
      { name: 'sent_at', description: 'The field sentAt of orders', was: 'sentAt', type: 'timestamp' },
      { name: 'address_city', description: 'The field address.city of orders', was: 'address.city', type: 'text' },
      {
        ...{ name: 'address_zip', description: 'The field address.zip of orders', was: 'address.zip' },
        ...{ optional: true, type: 'integer' },
      },
      {
        ...{ name: 'lines', description: 'The field lines of orders', type: 'list' },
        columns: [
          { name: 'article', description: 'The field article of an item', type: 'text' },
          { name: 'quantity', description: 'The field quantity of an item', type: 'integer' },
          { name: 'price', description: 'The field price of an item', type: 'decimal', precision: 12, scale: 2 },
          { name: 'notes', description: 'The field notes of an item', optional: true, type: 'json' },
        ],
        max_items: 10,
      },
      { name: 'counts', description: 'The field counts of orders', type: 'json' },
      { name: 'gro_e', description: 'The field Größe of orders', was: 'Größe', type: 'integer' },
      { name: 'note', description: 'The field note of orders', optional: true, type: 'text', max_length: 1000 },
    ]);
    assert.deepEqual([orders.key, orders.expires], ['uuid', { when: 'true', at: 'placed_at + 3600 s', delete: true }]);
    assert.deepEqual(customers?.unique, [{ fields: ['email'] }]);
    assert.deepEqual(
      customers.fields.map(({ name, type, optional }) => [name, type, optional]),
      [
        ['email', 'text', undefined],
        ['born', 'date', undefined],
        ['vip', 'boolean', undefined],
        ['home', 'point', true],
        ['tags', 'text', true],
      ],
    );
    for (const said of [
      /^orders\.code: it is not of one type: text in 9, whole number in 1$/m,
      /^orders\.photo: the language has no word for binary$/m,
      /^orders\.pattern: the language has no word for (?:a regular expression|BSONRegExp)$/m,
      /^orders\.nothing: it is null in all documents/m,
      /^indexes of orders: state_1: indexes are made from what operations filter/m,
    ])
      assert.match(wordsOf(leftOut), said);
    for (const said of [
      /^orders\._id: an ObjectId: records get a random id/m,
      /^orders\.customerId: all 2 that were looked for are keys of customers: a reference$/m,
      /^orders\.total: money is kept as doubles there/m,
      /^orders\.pieces: whole numbers are kept as doubles there$/m,
      /^orders\.sentAt: moments are kept as text there$/m,
      /^customers\.born: days are kept as text there$/m,
      /^orders\.address: what a document inside of another holds are fields of their own$/m,
      /^orders\.counts: its documents differ in their names/m,
    ])
      assert.match(wordsOf(changed), said);
    for (const said of [
      /^orders\.code: text in 90 %, whole number in 10 % of 10 documents$/m,
      /^orders\.address\.zip: whole number in 80 %, absent in 20 % of 10 documents$/m,
      /^orders\.note: text in 10 %, null in 90 % of 10 documents$/m,
      /^orders\.lines\.price: number with a fraction in 100 % of 20 items$/m,
    ])
      assert.match(wordsOf(seen), said);
    assert.ok(!JSON.stringify([specification, seen, leftOut, changed]).includes('ann@x.ch'), 'no value goes out');
  });

  it('takes keys of all kinds, and references that name nothing for none', async (t) => {
    const { db, adminUrl } = await place(t);
    const keyed = (name: string, ...keys: readonly unknown[]): Promise<unknown> =>
      db
        .collection<{ _id: never; at: Date }>(name)
        .insertMany(keys.map((_id) => ({ _id: _id as never, at: new Date() })));
    await keyed('codes', 'a', 'b');
    await keyed('numbers', 1, 2);
    await keyed('uuids', '3f0e2f0e-7b0e-4b0e-8b0e-0b0e7b0e4b0e');
    await keyed('pairs', { room: 1, day: '2026-01-31' }, { room: 2, day: '2026-01-31' });
    await keyed('mixed', 'a', 1);
    const visits = [
      { codeId: 'a', uuid: 'x' },
      { codeId: 'z', uuid: 'y' },
      { codeId: 'b', uuid: 'z' },
    ];
    await db.collection('visits').insertMany(visits);
    const names = ['codes', 'numbers', 'uuids', 'pairs', 'mixed', 'visits'];
    const { specification, changed, leftOut } = await imported(adminUrl, names);
    const { checked, problems } = checkSpecification(specification);
    assert.ok(checked, JSON.stringify(problems));
    assert.deepEqual(
      specification.records.map(({ name, key }) => [name, key]),
      [
        ['codes', ['key']],
        ['numbers', 'auto'],
        ['uuids', 'uuid'],
        ['pairs', 'auto'],
        ['mixed', 'auto'],
        ['visits', 'uuid'],
      ],
    );
    assert.deepEqual(specification.records[3]?.unique, [{ fields: ['room', 'day'] }]);
    assert.match(wordsOf(changed), /^mixed\._id: text in 1, whole number in 1: records are numbered/m);
    assert.match(wordsOf(changed), /^visits\.codeId: 1 of 3 name nothing in codes: no reference$/m);
    assert.deepEqual(leftOut, []);
  });

  it('reads no more than the sample, and says of how many', async (t) => {
    const { db, adminUrl } = await place(t);
    await db
      .collection('events')
      .insertMany(Array.from({ length: 300 }, (_, at) => ({ at: new Date(), no: new Int32(at) })));
    const { specification, seen } = await imported(adminUrl, ['events'], { sample: 50 });
    assert.match(wordsOf(seen), /^events\.no: whole number in 100 % of 50 documents$/m);
    assert.ok(
      specification.assumptions.includes(
        'Of events 50 of about 300 documents were read: what others hold is not known.',
      ),
    );
  });

  it('writes a domain.json that passes beds spec check, and refuses by name what it cannot read', async (t) => {
    const { db, adminUrl } = await place(t);
    await shop(db);
    await db.createCollection('empty');
    const root = temporaryDirectory(t);
    mkdirSync(join(root, 'config'));
    mkdirSync(join(root, 'plugins'));
    const stores = '[stores.papers]\nkind = "mysql"\n\n[stores.main]\nkind = "mongodb"\n';
    writeFileSync(join(root, 'config', 'beds.toml'), stores);
    writeFileSync(join(root, 'package.json'), '{}');
    const given = { projectRoot: root, env: { BEDS_MONGODB_URL: adminUrl } };
    const run = (...args: readonly string[]): ReturnType<typeof beds> => beds(['import', ...args], given);
    const before = await db.listCollections().toArray();
    const done = await run('shop', '--collection', 'orders, customers');
    assert.equal(done.code, 0, done.stderr);
    assert.match(
      done.stdout,
      /a domain beside these collections, with collections of its own\. They stay as they are; no document/,
    );
    assert.match(done.stdout, /^What was seen:$/m);
    assert.match(done.stdout, /^ {2}- orders\.code: it is not of one type: /m);
    const file = join(root, 'plugins', 'shop', 'domain.json');
    const checked = await beds(['spec', 'check', 'shop'], given);
    assert.equal(checked.code, 0, checked.stdout);
    specificationOf(readFileSync(file, 'utf8'));
    assert.deepEqual(await db.listCollections().toArray(), before);
    for (const [args, said] of [
      [
        ['other', '--collection', 'ordres'],
        /has no collection ordres\. Did you mean orders\? It has: customers, empty, orders/,
      ],
      [['other'], /Name the collections: --collection orders,customers\. It has: customers/],
      [['other', '--table', 'orders'], /main is of kind mongodb, and --table is of another\. Name the collections/],
      [['other', '--store', 'papers', '--sample', '5'], /papers is of kind mysql, and --sample is of another/],
      [['other', '--collection', 'orders', '--sample', '0'], /--sample is a whole number from 1 to 100,000/],
      [['other', '--collection', 'empty'], /Nothing of the collection empty can be said but its key/],
    ] as const) {
      const refused = await run(...args);
      assert.match(refused.stdout + refused.stderr, said);
    }
  });
});
