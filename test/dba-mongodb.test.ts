import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Decimal128, Long, MongoClient, type Document } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import { createMongodbAdapter } from '../host/stores/mongodb/adapter.js';
import { nativeOf, parseEntry } from '../host/stores/mongodb/catalogue.js';
import { applyObjects, runtimeUrl, type AppliedObjects, type DbaProgress } from '../host/dba/index.js';
import { AccountingProxy } from './support/accounting-proxy.js';
import { databaseUrl } from './support/mongodb-url.js';
import { batchOf, PlayedMongodb, refused } from './support/played-mongodb.js';
import { sharedServices, temporaryDirectory } from './support/services.js';
import { storeLimits } from './support/store-limits.js';

const { mongodb } = await sharedServices(['mongodb']);
assert.ok(mongodb);
const serverUrl = mongodb.url;
/** A server that knows accounts already cannot be given a played one. */
const hasOwnAccounts = new ConnectionString(serverUrl).username !== '';

type Entry = Document & { readonly _id: unknown };
interface Role {
  readonly privileges: readonly { readonly resource: Document; readonly actions: readonly string[] }[];
}

interface Place {
  readonly database: string;
  readonly proxy: AccountingProxy;
  readonly mongo: MongoClient;
  readonly directory: string;
  /** Puts an entry into the catalogue by hand, which nobody checks. */
  readonly insert: (...entries: readonly Entry[]) => Promise<void>;
  readonly apply: (
    files: Readonly<Record<string, Document>>,
    account?: string,
  ) => Promise<AppliedObjects & { readonly words: string }>;
  /** `action collection` of the role that was last sent. */
  readonly granted: () => readonly string[];
}

/** A database of its own behind a proxy that plays accounts, which the stand-in has none of. */
async function placeOf(t: TestContext): Promise<Place> {
  const database = `t${randomBytes(5).toString('hex')}`;
  const proxy = await AccountingProxy.start(t, serverUrl);
  const adminUrl = databaseUrl(proxy.url, database, 'admin');
  const mongo = new MongoClient(databaseUrl(serverUrl, database));
  const directory = temporaryDirectory(t);
  t.after(async () => {
    await mongo.db().dropDatabase();
    await mongo.close();
  });
  const granted = (): readonly string[] => {
    const role = proxy.commands.findLast((command) => 'createRole' in command) as Role | undefined;
    return (role?.privileges ?? [])
      .flatMap(({ resource, actions }) => actions.map((action) => `${action} ${String(resource['collection'])}`))
      .sort();
  };
  return {
    ...{ database, proxy, mongo, directory, granted },
    insert: async (...entries) => {
      await mongo
        .db()
        .collection('beds_objects')
        .insertMany(entries.map((entry): Document => ({ ...entry })));
    },
    apply: async (files, account) => {
      const folder = join(directory, 'plugins');
      mkdirSync(join(folder, 'things/db'), { recursive: true });
      for (const [name, content] of Object.entries(files)) {
        writeFileSync(join(folder, 'things/db', name), JSON.stringify(content));
      }
      const events: DbaProgress[] = [];
      const stores = { documents: { kind: 'mongodb', adminUrl } } as const;
      const onProgress = (event: DbaProgress): unknown => events.push(event);
      const applied = await applyObjects({ stores, folder, directory, account, onProgress });
      const words = events.flatMap((event) => (event.type === 'granted' ? [event.words] : [])).join();
      return { ...applied, words };
    },
  };
}

const COLUMNS = { id: { type: 'string', from: '_id' } };
const VIEW = { kind: 'view', columns: COLUMNS };
const PIPELINE = { body: { pipeline: [{ $match: { open: true } }] } };
const RIGHT = { _id: 'thing_list', ...VIEW, on: 'thing', body: { pipeline: [] } };
const FIND = { kind: 'procedure', op: 'find', on: 'thing', body: { filter: {} } };

const CATALOGUE_ONLY = ['find beds_objects'];

describe(
  'the account that beds db apply makes on MongoDB',
  { skip: hasOwnAccounts && 'the server has accounts' },
  () => {
    it('is made in the database, and its URL says so', async (t) => {
      const place = await placeOf(t);
      const { urls, words } = await place.apply({ 'list.json': RIGHT });
      const user = place.proxy.commands.find((command) => 'createUser' in command);
      assert.equal(user?.['$db'], place.database);
      assert.deepEqual(user['roles'], [{ role: String(user?.['createUser']), db: place.database }]);
      const { options } = new MongoClient(urls['documents'] ?? '');
      assert.equal(options.credentials?.source, place.database);
      assert.equal(options.credentials.username, user['createUser']);
      assert.equal(options.credentials.password, user['pwd']);
      assert.deepEqual(place.granted(), ['find beds_objects', 'find thing']);
      assert.match(words, /^account .*: 2 collections, by a role of its own$/);
    });

    it('is made by nobody where an account of a host elsewhere is named: that one gets the role', async (t) => {
      const place = await placeOf(t);
      await place.apply({ 'list.json': RIGHT }, 'shop');
      const [role, grant, ...others] = place.proxy.commands.filter((command) => !('connectionStatus' in command));
      assert.deepEqual([role?.['createRole'], grant?.['grantRolesToUser'], others], ['shop', 'shop', []]);
      assert.deepEqual(grant?.['roles'], [{ role: 'shop', db: place.database }]);
      assert.deepEqual(place.granted(), ['find beds_objects', 'find thing']);
    });

    it('may do what the operations need, and no more', async (t) => {
      const place = await placeOf(t);
      const filter = { _id: 1 };
      const update = { $set: { a: 1 } };
      await place.insert(
        { ...FIND, _id: 'a', on: 'found' },
        { ...FIND, _id: 'b', on: 'counted', op: 'count' },
        { ...FIND, _id: 'c', on: 'grown', op: 'insertOne', body: { document: {} } },
        { ...FIND, _id: 'd', on: 'changed', op: 'updateMany', body: { filter, update } },
        { ...FIND, _id: 'e', on: 'put', op: 'replaceOne', body: { filter, replacement: {}, upsert: true } },
        { ...FIND, _id: 'f', on: 'gone', op: 'deleteOne', body: { filter } },
        { ...FIND, _id: 'g', on: 'taken', op: 'findOneAndDelete', body: { filter } },
        { ...RIGHT, _id: 'h', on: 'joined', body: { pipeline: [{ $lookup: { from: 'other', as: 'o' } }] } },
      );
      await place.apply({ 'list.json': RIGHT });
      const expected = [
        'find beds_objects',
        'find thing',
        'find found',
        'find counted',
        'insert grown',
        'update changed',
      ];
      const more = [
        'insert put',
        'update put',
        'remove gone',
        'find taken',
        'remove taken',
        'find joined',
        'find other',
      ];
      assert.deepEqual(place.granted(), [...expected, ...more].sort());
    });

    const WRONG: readonly (readonly [string, Entry])[] = [
      ['no collection', { _id: 'wrong', kind: 'procedure', op: 'deleteMany', body: { filter: {} } }],
      ...[
        '',
        'system.users',
        'beds_objects',
        'beds_applied',
        'a$b',
        'a\0b',
        '.a',
        7,
        null,
        { db: 'x', coll: 'y' },
        ['a'],
      ].map((on): readonly [string, Entry] => [`the collection ${JSON.stringify(on)}`, { ...FIND, _id: 'wrong', on }]),
      ['a wrong kind', { ...FIND, _id: 'wrong', kind: 'macro' }],
      ['a wrong operation', { ...FIND, _id: 'wrong', op: 'drop' }],
      ['a wrong body', { ...FIND, _id: 'wrong', body: { filter: { $where: 'true' } } }],
      ['a key that no entry has', { ...FIND, _id: 'wrong', extra: true }],
      ['an operation for a view', { ...RIGHT, _id: 'wrong', op: 'deleteMany' }],
      ['a view of a collection of the server', { ...VIEW, _id: 'system.users', native: true }],
      ['a view of the catalogue', { ...VIEW, _id: 'beds_objects', native: true }],
      ['no name', { ...FIND, _id: 7 }],
      ['an empty name', { ...FIND, _id: '' }],
      ...['', 'system.users', 'beds_objects', { db: 'admin', coll: 'system.users' }, undefined].flatMap((from) =>
        [{ $lookup: { from, as: 'o' } }, { $graphLookup: { from, as: 'o' } }, { $unionWith: { coll: from } }].map(
          (stage): readonly [string, Entry] => [
            `a stage ${JSON.stringify(stage)}`,
            { ...RIGHT, _id: 'wrong', body: { pipeline: [{ $facet: { a: [stage] } }] } },
          ],
        ),
      ),
      ['a union with the whole database', { ...RIGHT, _id: 'wrong', body: { pipeline: [{ $unionWith: '' }] } }],
    ];

    it('gets nothing for a wrong entry, which is named', async (t) => {
      const place = await placeOf(t);
      for (const [what, entry] of WRONG) {
        await place.mongo.db().collection('beds_objects').deleteMany({});
        await place.insert(entry);
        // Applied again each time: the file is in place, and the grants are made anew.
        const { words } = await place.apply({ 'thing.json': { collection: 'thing' } });
        assert.deepEqual(place.granted(), CATALOGUE_ONLY, what);
        const name = typeof entry._id === 'string' ? entry._id : JSON.stringify(entry._id);
        assert.ok(words.includes(`wrong entries, which get nothing: ${name} (`), `${what}: ${words}`);
      }
    });

    it('gets nothing for a wrong entry, and what it needs for the right one beside it', async (t) => {
      const place = await placeOf(t);
      await place.insert({ _id: 'wrong', kind: 'procedure', op: 'deleteMany', body: { filter: {} } });
      await place.apply({ 'list.json': RIGHT });
      assert.deepEqual(place.granted(), ['find beds_objects', 'find thing']);
    });

    it('reads a native view and not what is behind it, with a pipeline for other servers or without', async (t) => {
      const place = await placeOf(t);
      const { applied } = await place.apply({
        '1.json': { _id: 'open_things', ...VIEW, native: true, on: 'thing', ...PIPELINE },
        '2.json': { _id: 'shut_things', ...VIEW, native: true },
      });
      assert.equal(applied, 2);
      assert.deepEqual(place.granted(), ['find beds_objects', 'find open_things', 'find shut_things']);
    });
  },
);

describe('a collection that beds db apply makes', () => {
  const apply = async (t: TestContext, adminUrl: string, content: Document): Promise<AppliedObjects> => {
    const directory = temporaryDirectory(t);
    const folder = join(directory, 'plugins');
    mkdirSync(join(folder, 'things/db'), { recursive: true });
    writeFileSync(join(folder, 'things/db/1.json'), JSON.stringify(content));
    return applyObjects({ stores: { documents: { kind: 'mongodb', adminUrl } }, folder, directory });
  };
  const validator = { $jsonSchema: { required: ['name'] } };
  const view = { viewOn: 'thing', pipeline: [{ $match: { open: true } }], collation: { locale: 'en', strength: 2 } };

  // https://www.mongodb.com/docs/manual/reference/command/create/ and …/collMod/
  it('has its options, and takes those anew that can be changed', async (t) => {
    const played = await PlayedMongodb.start(t);
    for (const [collection, options, changed] of [
      [
        'thing',
        { validator, validationAction: 'error', collation: { locale: 'de' } },
        { validator, validationAction: 'error' },
      ],
      ['open_things', view, { viewOn: view.viewOn, pipeline: view.pipeline }],
    ] as const) {
      played.commands.length = 0;
      played.on('create', () => ({ ok: 1 }));
      await apply(t, played.url, { collection, options });
      assert.deepEqual(picked(played.sent('create')[0], Object.keys(options)), options);
      assert.equal(played.sent('create')[0]?.['create'], collection);
      assert.equal(played.sent('collMod').length, 0);
      played.on('create', () => refused(48));
      played.on('listCollections', () => batchOf({ name: collection, options, info: { readOnly: false } }));
      await apply(t, played.url, { collection, options });
      const [change] = played.sent('collMod');
      assert.equal(change?.['collMod'], collection);
      assert.deepEqual(picked(change, [...Object.keys(options)]), changed);
    }
  });

  it('stores whole numbers as such, however great', async (t) => {
    const played = await PlayedMongodb.start(t);
    played.on('create', () => ({ ok: 1 }));
    const [first, far] = [
      { _id: 1, most: 3 },
      { _id: 2, most: { $numberLong: '3000000000' } },
    ];
    await apply(t, played.url, { collection: 'thing', documents: [first, far] });
    const stored = played.exactCommands.filter(({ update }) => update === 'thing');
    const [one, other] = stored.map(({ updates }) => {
      const [{ u }] = updates as readonly [{ readonly u: Document }];
      return (u['$setOnInsert'] as Document)['most'] as unknown;
    });
    assert.equal(one, 3);
    assert.ok(Long.isLong(other), String(other));
  });

  it('takes the bounds of a validator as exact numbers, and its operators as they are', async (t) => {
    const played = await PlayedMongodb.start(t);
    const bounds = { minimum: { $numberDecimal: '0.10' }, maximum: 3 };
    const exact = { $jsonSchema: { properties: { price: bounds } }, name: { $regex: '^a', $nin: ['ab'] } };
    played.on('create', () => ({ ok: 1 }));
    await apply(t, played.url, { collection: 'thing', options: { validator: exact } });
    played.on('create', () => refused(48));
    played.on('listCollections', () => batchOf({ name: 'thing', options: { validator: {} }, info: { uuid: 'u' } }));
    await apply(t, played.url, { collection: 'thing', options: { validator: exact } });
    for (const command of [played.sent('create')[0], played.sent('collMod')[0]]) {
      const { $jsonSchema: schema, name } = command?.['validator'] as Document;
      const { minimum, maximum } = ((schema as Document)['properties'] as Document)['price'] as Document;
      assert.ok(minimum instanceof Decimal128, JSON.stringify(minimum));
      assert.deepEqual([minimum.toString(), maximum], ['0.10', 3]);
      assert.deepEqual(name, exact.name);
    }
  });

  it('has its indexes on a server that keeps no options, whatever the file says anew', async (t) => {
    const place = await placeOf(t);
    await place.apply({ 'thing.json': { collection: 'thing', options: { validator } } });
    const indexes = [{ name: 'by_name', key: { name: 1 } }];
    await place.apply({
      'thing.json': { collection: 'thing', options: { validator, validationLevel: 'moderate' }, indexes },
    });
    const names = (await place.mongo.db().collection('thing').indexes()).map(({ name }) => name);
    assert.deepEqual(names.toSorted(), ['_id_', 'by_name']);
  });

  // https://www.mongodb.com/docs/manual/reference/command/listCollections/
  it('is refused by name where it is there with other options that no command changes', async (t) => {
    const played = await PlayedMongodb.start(t);
    const german = { locale: 'de', strength: 2 };
    const stored = { collation: { ...german, caseLevel: false, version: '57.1' }, capped: true, size: 1_024 };
    played.on('create', () => refused(48));
    const tell = (options: Document): void =>
      played.on('listCollections', () => batchOf({ name: 'thing', type: 'collection', options, info: { uuid: 'u' } }));
    tell(stored);
    await apply(t, played.url, { collection: 'thing', options: { collation: german, capped: true, size: 1_000 } });
    for (const [options, known, named] of [
      [{ collation: { locale: 'de', strength: 1 } }, stored, 'collation'],
      [{ collation: { locale: 'en' }, validator }, stored, 'collation'],
      [{ collation: german }, {}, 'collation'],
      [{ capped: true, size: 4_096 }, stored, 'size'],
      [{ capped: true, size: 4_096 }, {}, 'capped, size'],
      [{ capped: false }, stored, 'capped'],
    ] as const) {
      tell(known);
      played.commands.length = 0;
      await assert.rejects(apply(t, played.url, { collection: 'thing', options }), {
        code: 'BEDS_DBA_APPLY_FAILED',
        message: new RegExp(`the collection thing is there with another ${named}, which MongoDB does not change`),
      });
      assert.deepEqual(played.sent('collMod'), []);
    }
    tell({});
    await apply(t, played.url, { collection: 'thing', options: { capped: false } });
  });

  it('is refused with a key that would have no effect', async (t) => {
    const played = await PlayedMongodb.start(t);
    for (const more of [{ validator }, view, { index: [] }, { indexes: {} }, { options: [] }]) {
      await assert.rejects(apply(t, played.url, { collection: 'thing', ...more }), { code: 'BEDS_DBA_FILE_INVALID' });
    }
    assert.deepEqual(played.sent('create'), []);
  });
});

function picked(command: Document | undefined, keys: readonly string[]): Document {
  return Object.fromEntries(
    keys.filter((key) => command !== undefined && key in command).map((key) => [key, command?.[key] as unknown]),
  );
}

describe('the account that beds db apply makes on a MongoDB with access control', () => {
  const skip = hasOwnAccounts ? false : 'the server in use has no accounts: set BEDS_MONGODB_URL to one that has';

  it('logs in and reads the native view, and not what is behind it', { skip }, async (t) => {
    const database = `t${randomBytes(5).toString('hex')}`;
    const adminUrl = databaseUrl(serverUrl, database);
    const admin = new MongoClient(adminUrl);
    const directory = temporaryDirectory(t);
    const folder = join(directory, 'plugins');
    const native = { _id: 'open_things', ...VIEW, native: true, on: 'thing', ...PIPELINE };
    mkdirSync(join(folder, 'things/db'), { recursive: true });
    writeFileSync(join(folder, 'things/db/1.json'), JSON.stringify(native));
    await admin.db().createCollection('open_things', { viewOn: 'thing', pipeline: [{ $match: { open: true } }] });
    await admin.db().collection('thing').insertOne({ open: true });
    const { urls } = await applyObjects({ stores: { documents: { kind: 'mongodb', adminUrl } }, folder, directory });
    const runtime = new MongoClient(urls['documents'] ?? '');
    t.after(async () => {
      await admin.db().command({ dropAllUsersFromDatabase: 1 });
      await admin.db().command({ dropAllRolesFromDatabase: 1 });
      await admin.db().dropDatabase();
      await Promise.all([admin.close(), runtime.close()]);
    });
    assert.equal((await runtime.db().collection('open_things').find().toArray()).length, 1);
    await assert.rejects(runtime.db().collection('thing').find().toArray(), { code: 13 });
    await assert.rejects(runtime.db().collection('beds_objects').deleteMany({}), { code: 13 });
  });
});

describe('the URL of a runtime account on MongoDB', () => {
  const account = { user: 'beds_x', password: 'p/w' };

  it('keeps all hosts and options, and drops how the administrator logs in', () => {
    const urls: readonly (readonly [string, string])[] = [
      [
        'mongodb://root:a%40b@h1:1,h2:2/app?replicaSet=rs',
        'mongodb://beds_x:p%2Fw@h1:1,h2:2/app?replicaSet=rs&authSource=app',
      ],
      [
        'mongodb://root:x@[::1]:1,h/app?authSource=admin&tls=true',
        'mongodb://beds_x:p%2Fw@[::1]:1,h/app?authSource=app&tls=true',
      ],
      [
        'mongodb+srv://root:x@c.example.net/app?w=majority',
        'mongodb+srv://beds_x:p%2Fw@c.example.net/app?w=majority&authSource=app',
      ],
      [
        'mongodb://h/app?authSource=%24external&authMechanism=MONGODB-X509',
        'mongodb://beds_x:p%2Fw@h/app?authSource=app',
      ],
    ];
    for (const [adminUrl, expected] of urls) {
      assert.equal(runtimeUrl(adminUrl, account), expected);
      assert.equal(runtimeUrl(adminUrl, null), adminUrl);
    }
  });

  it('is refused before anything is done where the administrator names no database', async (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'plugins/things/db'), { recursive: true });
    writeFileSync(join(directory, 'plugins/things/db/a.json'), JSON.stringify({ collection: 'a' }));
    for (const adminUrl of [
      'mongodb://root:hush@a,b',
      'mongodb://root:hush@a/?authSource=admin',
      'mongodb://root:h:ush@',
    ]) {
      const stores = { documents: { kind: 'mongodb', adminUrl } } as const;
      await assert.rejects(applyObjects({ stores, folder: join(directory, 'plugins'), directory }), (error: Error) => {
        assert.equal((error as Error & { code?: string }).code, 'BEDS_DBA_URL_INVALID');
        assert.doesNotMatch(`${error.message} ${JSON.stringify(error)}`, /ush@/);
        return true;
      });
    }
  });
});

describe('a URL of MongoDB in the configuration', () => {
  it('holds where it says more than the configuration', async (t) => {
    const url = 'mongodb://a.invalid,b.invalid/app?replicaSet=rs&maxPoolSize=3&retryWrites=false';
    const adapter = createMongodbAdapter({ store: 's', config: { kind: 'mongodb', url, ...storeLimits } });
    t.after(() => adapter.close(100));
    assert.equal(adapter.status().connections.most, 3);
  });
});

describe('a native view as the host sees it', () => {
  const entry = { _id: 'open_things', ...VIEW, native: true };
  const nothing = { views: new Set<string>(), may: () => false };

  it('lacks its grant where the server does not list what is not granted', () => {
    const { problems, missingGrants } = nativeOf(parseEntry(entry, nothing));
    assert.deepEqual(problems, []);
    assert.deepEqual(missingGrants, ['find open_things']);
    const { missingGrants: same } = nativeOf(parseEntry({ ...entry, on: 'thing', ...PIPELINE }, nothing));
    assert.deepEqual(same, ['find open_things']);
  });

  it('is missing where it is granted and not listed', () => {
    const may = (_action: string, collection: string): boolean => collection === 'open_things';
    const { problems } = nativeOf(parseEntry(entry, { views: new Set(), may }));
    assert.match(problems.join(), /no such view; create it/);
  });

  it('is served as the view where the server has it', () => {
    const views = new Set(['open_things']);
    const native = nativeOf(parseEntry({ ...entry, on: 'thing', ...PIPELINE }, { views, may: () => true }));
    assert.deepEqual([native.on, native.servedBy, native.problems], ['open_things', 'view', []]);
  });

  it('is wrong where its pipeline for other servers is', () => {
    const views = new Set(['open_things']);
    const body = { pipeline: [{ $out: 'x' }] };
    const { problems } = nativeOf(parseEntry({ ...entry, on: 'thing', body }, { views, may: () => true }));
    assert.match(problems.join(), /\$out is not allowed/);
  });
});
