import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Binary, type Document, Long } from 'mongodb';
import { isBedsError, type JsonObject, type ViewQuery } from '@beds/sdk';
import type { CallOptions, NamedObject, StoreAdapter } from '../host/stores/contract.js';
import { createMongodbAdapter } from '../host/stores/mongodb/adapter.js';
import { parseEntry } from '../host/stores/mongodb/catalogue.js';
import type { storeErrors } from '../host/errors/store.js';
import { rejects } from './support/mongodb-store.js';
import { batchOf, PlayedMongodb, refused } from './support/played-mongodb.js';
import { storeLimits } from './support/store-limits.js';

/*
 * What is sent to a replica set, and what is made of its answers, by a played one: each test names the page of MongoDB's
 * documentation that it was written from.
 */

const READ: CallOptions = { timeoutMs: 5_000, mode: 'read' };
const WRITE: CallOptions = { timeoutMs: 5_000, mode: 'write' };

const on = 'things';
const filter = { _id: { $arg: 'id' } };
const procedure = { kind: 'procedure', on, args: { id: 'string' } };
const view = { kind: 'view', on, columns: { id: { type: 'string', from: '_id' }, n: 'integer' } };

const OBJECTS: Readonly<Record<string, Document>> = {
  plain: { ...view, body: { pipeline: [] } },
  stages: { ...view, body: { pipeline: [{ $match: { open: true } }] } },
  find: { ...procedure, op: 'find', body: { filter } },
  aggregate: { ...procedure, op: 'aggregate', body: { pipeline: [{ $match: filter }] } },
  count: { ...procedure, op: 'count', body: { filter } },
  insertOne: { ...procedure, op: 'insertOne', body: { document: filter } },
  insertMany: { ...procedure, args: { all: 'json' }, op: 'insertMany', body: { documents: { $arg: 'all' } } },
  updateOne: { ...procedure, op: 'updateOne', body: { filter, update: { $set: { a: 1 } } } },
  updateMany: { ...procedure, op: 'updateMany', body: { filter, update: { $set: { a: 1 } } } },
  replaceOne: { ...procedure, op: 'replaceOne', body: { filter, replacement: { a: 1 } } },
  deleteOne: { ...procedure, op: 'deleteOne', body: { filter } },
  deleteMany: { ...procedure, op: 'deleteMany', body: { filter } },
  findOneAndUpdate: { ...procedure, op: 'findOneAndUpdate', body: { filter, update: { $set: { a: 1 } } } },
  findOneAndDelete: { ...procedure, op: 'findOneAndDelete', body: { filter } },
};

function objectOf(entry: Document, name = 'thing'): NamedObject {
  const object = parseEntry({ _id: name, ...entry }, { views: new Set(), may: () => true });
  assert.deepEqual(object.native['problems'], []);
  return object;
}

/** The value at a path such as `lsid.id`. */
function at(document: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce((node: unknown, key) => (node as Document | null | undefined)?.[key] as unknown, document);
}

interface Place {
  readonly played: PlayedMongodb;
  readonly adapter: StoreAdapter;
  call(name: string, args?: JsonObject): Promise<unknown>;
  view(name: string, query?: ViewQuery): Promise<unknown>;
}

async function placeOf(t: TestContext, options = ''): Promise<Place> {
  const played = await PlayedMongodb.start(t, options);
  const adapter = createMongodbAdapter({ store: 's', config: { kind: 'mongodb', url: played.url, ...storeLimits } });
  t.after(() => adapter.close(1_000));
  await adapter.open();
  played.commands.length = 0;
  const call = (name: string, args: JsonObject = name === 'insertMany' ? { all: [{ a: 1 }] } : { id: 'x' }) => {
    const mode = ['find', 'aggregate', 'count'].includes(name) ? READ : WRITE;
    return adapter.call(objectOf(OBJECTS[name] ?? {}), args, mode);
  };
  const readView = (name: string, query: ViewQuery = {}) =>
    adapter.view(objectOf(OBJECTS[name] ?? {}), { key: 'id', ...query }, READ);
  return { played, adapter, call, view: readView };
}

const COMMANDS: Readonly<Record<string, string>> = {
  ...{ find: 'find', aggregate: 'aggregate', count: 'aggregate', insertOne: 'insert', insertMany: 'insert' },
  ...{ updateOne: 'update', updateMany: 'update', replaceOne: 'update', deleteOne: 'delete', deleteMany: 'delete' },
  ...{ findOneAndUpdate: 'findAndModify', findOneAndDelete: 'findAndModify' },
};
const WRITES = Object.keys(COMMANDS).filter((name) => !['find', 'aggregate', 'count'].includes(name));
/** https://www.mongodb.com/docs/manual/core/retryable-writes/#retryable-write-operations */
const UNREPEATED = ['updateMany', 'deleteMany'];

describe('what is sent to a MongoDB replica set', () => {
  // https://www.mongodb.com/docs/manual/reference/command/ (maxTimeMS, writeConcern, readConcern, lsid, txnNumber)
  it('has a time limit and a session, and a number for what may be repeated', async (t) => {
    const { played, call, view: read } = await placeOf(t);
    for (const name of Object.keys(COMMANDS)) await call(name);
    for (const name of ['plain', 'stages']) await read(name, { count: true });
    const names = [...Object.keys(COMMANDS), 'plain', 'stages'];
    assert.equal(played.commands.length, names.length);
    for (const [index, name] of names.entries()) {
      const command = played.commands[index] ?? {};
      assert.ok(Object.keys(command)[0] === (COMMANDS[name] ?? (name === 'plain' ? 'find' : 'aggregate')), name);
      assert.ok(command['maxTimeMS'] > 4_000 && command['maxTimeMS'] <= 5_000, name);
      assert.ok(at(command, 'lsid.id') instanceof Binary, name);
      assert.equal('txnNumber' in command, WRITES.includes(name) && !UNREPEATED.includes(name), name);
      for (const key of ['autocommit', 'readConcern', 'writeConcern']) assert.equal(key in command, false, name);
    }
  });

  // https://www.mongodb.com/docs/manual/reference/connection-string-options/
  it('has the concerns and the preference that the URL says', async (t) => {
    const options =
      'w=majority&wtimeoutMS=700&journal=true&readConcernLevel=majority&readPreference=secondaryPreferred';
    const { played, call, view: read } = await placeOf(t, options);
    for (const name of Object.keys(COMMANDS)) await call(name);
    for (const name of ['plain', 'stages']) await read(name, { count: true });
    for (const command of played.commands) {
      const [name = ''] = Object.keys(command);
      const isRead = name === 'find' || name === 'aggregate';
      assert.deepEqual(command['readConcern'], isRead ? { level: 'majority' } : undefined, name);
      assert.deepEqual(command['writeConcern'], isRead ? undefined : { w: 'majority', wtimeout: 700, j: true }, name);
      assert.equal(at(command, '$readPreference.mode'), isRead ? 'secondaryPreferred' : undefined, name);
    }
  });

  it('is sent once where the URL says that nothing is to be repeated', async (t) => {
    const { played, call, view: read } = await placeOf(t, 'retryWrites=false&retryReads=false');
    for (const name of WRITES) await call(name);
    assert.deepEqual(
      played.commands.filter((command) => 'txnNumber' in command),
      [],
    );
    played.on('update', () => 'cut');
    await rejects(call('updateOne'), 'BEDS_STORE_INDETERMINATE');
    played.on('find', () => 'cut');
    await rejects(call('find'), 'BEDS_STORE_UNAVAILABLE');
    assert.equal(played.sent('find').length, 1);
    played.commands.length = 0;
    await rejects(read('plain'), 'BEDS_STORE_UNAVAILABLE');
    // n.b. the second one is a cursor's: the first one is never repeated by the driver itself.
    assert.ok(played.sent('find').length <= 2);
  });

  it('is sent again, with the same number, where the connection is lost', async (t) => {
    const { played, call, view: read } = await placeOf(t);
    for (const name of ['insertOne', 'updateOne', 'deleteOne', 'findOneAndUpdate', 'replaceOne']) {
      played.commands.length = 0;
      const command = COMMANDS[name] ?? '';
      const usual = { update: { ok: 1, n: 1, nModified: 1 }, findAndModify: { ok: 1, value: null } };
      played.on(command, (_sent, nth) => (nth === 0 ? 'cut' : (usual[command as 'update'] ?? { ok: 1, n: 1 })));
      await call(name);
      const [first, second] = played.sent(command);
      assert.ok(first?.['txnNumber'] !== undefined, name);
      assert.deepEqual(second?.['txnNumber'], first['txnNumber'], name);
      assert.deepEqual(second?.['lsid'], first['lsid'], name);
    }
    for (const name of UNREPEATED) {
      played.on(COMMANDS[name] ?? '', () => 'cut');
      await rejects(call(name), 'BEDS_STORE_INDETERMINATE');
    }
    played.on('find', (_sent, nth) => (nth === 0 ? 'cut' : batchOf({ _id: 'x', n: 1 })));
    assert.deepEqual(await read('plain'), { rows: [{ id: 'x', n: 1 }] });
  });

  // https://www.mongodb.com/docs/manual/reference/collation/ and …/reference/method/cursor.hint/
  it('has the collation and the hint of its body', async (t) => {
    const { played, adapter } = await placeOf(t);
    const common = { collation: { locale: 'en', strength: 2 }, hint: { n: 1 } };
    for (const name of Object.keys(OBJECTS).filter((one) => !one.startsWith('insert'))) {
      const entry = OBJECTS[name] ?? {};
      const object = objectOf({ ...entry, body: { ...(entry['body'] as Document), ...common } });
      played.commands.length = 0;
      if (object.kind === 'view') await adapter.view(object, { key: 'id', count: true, limit: 1 }, READ);
      else await adapter.call(object, { id: 'x' }, ['find', 'aggregate', 'count'].includes(name) ? READ : WRITE);
      assert.ok(played.commands.length > 0);
      for (const command of played.commands) {
        const parts = [
          command,
          ...[(command['updates'] ?? command['deletes'] ?? []) as Document[]].flat(),
        ] as readonly Document[];
        for (const [key, value] of Object.entries(common)) {
          assert.deepEqual(parts.find((part) => key in part)?.[key], value, `${name}: ${key}`);
        }
      }
    }
  });

  it('has them for every page, for its rest, and for the count', async (t) => {
    const { played, adapter } = await placeOf(t);
    const collation = { locale: 'en', strength: 2 };
    for (const name of ['plain', 'stages']) {
      const object = objectOf({ ...OBJECTS[name], body: { ...(OBJECTS[name]?.['body'] as Document), collation } });
      const command = name === 'plain' ? 'find' : 'aggregate';
      played.commands.length = 0;
      // The first answer is no whole one, so that a cursor takes its place.
      played.on(command, (_sent, nth) => ({
        ok: 1,
        cursor: {
          id: nth === 0 ? Long.fromNumber(7) : Long.ZERO,
          ns: `app.${on}`,
          firstBatch: [{ _id: 'a', id: 'a' }],
        },
      }));
      await adapter.view(object, { key: 'id', limit: 5 }, READ);
      assert.equal(played.sent(command).length, 2);
      for (const sent of played.sent(command)) assert.deepEqual(sent['collation'], collation);
    }
  });
});

describe('a page whose rows the collation of MongoDB calls the same', () => {
  // https://www.mongodb.com/docs/manual/reference/collation/ (strength) and …/core/views/#collation-behavior
  const pageOf = async (t: TestContext, keys: readonly [string, string], isThere: boolean): Promise<Place> => {
    const place = await placeOf(t);
    const rows = keys.map((key) => ({ _id: key, id: key }));
    const answers = [batchOf(...rows), batchOf(...(isThere ? rows.slice(1) : []))];
    for (const name of ['find', 'aggregate']) place.played.on(name, (_sent, nth) => answers[nth] ?? batchOf());
    return place;
  };

  for (const name of ['plain', 'stages']) {
    it(`is no page of ${name} where the next one would leave out the row that follows`, async (t) => {
      for (const keys of [
        ['a', 'A'],
        ['é', 'E'],
        ['1', '01'],
        ['a-b', 'ab'],
        // Lithuanian, Danish, German of telephone books, Swedish as it was, Northern Sami, Macedonian, Turkish.
        ['jonis', 'jonys'],
        ['ü', 'y'],
        ['ae', 'ä'],
        ['v', 'w'],
        ['ŋ', 'ñ'],
        ['И', 'й'],
        ['ı', 'Ï'],
      ] as const) {
        const place = await pageOf(t, keys, false);
        await rejects(place.view(name, { limit: 1, order: [{ column: 'n' }] }), 'BEDS_STORE_CURSOR_STUCK');
        const check = at(place.played.commands[1], name === 'plain' ? 'filter' : 'pipeline') as Document;
        assert.ok(JSON.stringify(check).includes(`{"_id":"${keys[1]}"}`));
      }
    });

    it(`is one of ${name} where it would not, and nothing is asked of other keys`, async (t) => {
      const alike = await pageOf(t, ['A', 'a'], true);
      assert.ok('cursor' in ((await alike.view(name, { limit: 1 })) as JsonObject));
      assert.equal(alike.played.commands.length, 2);
      const apart = await pageOf(t, ['a', 'b'], false);
      assert.ok('cursor' in ((await apart.view(name, { limit: 1 })) as JsonObject));
      assert.equal(apart.played.commands.length, 1);
    });
  }
});

describe('a transaction of MongoDB', () => {
  // https://www.mongodb.com/docs/manual/core/transactions/#transactions-and-read-preference and the sections that follow it
  it('begins with a snapshot of the primary and commits for the majority, whatever reads outside of it prefer', async (t) => {
    const { played, adapter } = await placeOf(t, 'readPreference=secondaryPreferred&readConcernLevel=local');
    await adapter.transaction(async (scope) => {
      await scope.view(objectOf(OBJECTS['plain'] ?? {}), { key: 'id' });
      await scope.view(objectOf(OBJECTS['stages'] ?? {}), { key: 'id' });
      for (const name of ['insertOne', 'updateOne', 'deleteOne', 'findOneAndUpdate', 'count', 'find', 'aggregate']) {
        await scope.call(objectOf(OBJECTS[name] ?? {}), { id: 'x' });
      }
    }, WRITE);
    const [first, ...others] = played.commands;
    assert.equal(first?.['startTransaction'], true);
    assert.deepEqual(first['readConcern'], { level: 'snapshot' });
    const commit = others.at(-1) ?? {};
    assert.equal(commit['commitTransaction'], 1);
    assert.equal(at(commit, 'writeConcern.w'), 'majority');
    assert.ok(commit['maxTimeMS'] > 0);
    for (const command of played.commands) {
      assert.equal(command['autocommit'], false);
      assert.deepEqual(command['txnNumber'], first['txnNumber']);
      assert.deepEqual(command['lsid'], first['lsid']);
      assert.ok((at(command, '$readPreference.mode') ?? 'primary') === 'primary');
    }
    for (const command of others.slice(0, -1)) {
      for (const key of ['startTransaction', 'readConcern', 'writeConcern']) assert.equal(key in command, false);
    }
  });

  it('commits as the URL says', async (t) => {
    const { played, adapter } = await placeOf(t, 'w=2&wtimeoutMS=900');
    await adapter.transaction(async (scope) => scope.call(objectOf(OBJECTS['insertOne'] ?? {}), { id: 'x' }), WRITE);
    assert.deepEqual(played.sent('commitTransaction')[0]?.['writeConcern'], { w: 2, wtimeout: 900 });
  });

  it('is rolled back where the work fails, and says so to the server', async (t) => {
    const { played, adapter } = await placeOf(t);
    const own = new Error('mine');
    const work = adapter.transaction(async (scope) => {
      await scope.call(objectOf(OBJECTS['insertOne'] ?? {}), { id: 'x' });
      throw own;
    }, WRITE);
    await assert.rejects(work, (error) => error === own);
    assert.equal(played.sent('abortTransaction').length, 1);
    assert.equal(played.sent('commitTransaction').length, 0);
  });

  const LABELLED = { errorLabels: ['TransientTransactionError'] };
  const UNKNOWN = { errorLabels: ['UnknownTransactionCommitResult'] };

  // https://www.mongodb.com/docs/manual/core/transactions-in-applications/#transaction-error-handling
  for (const code of [112, 246, 239, 13388, 251, 24, 267, 4_000_000]) {
    it(`that the server gave up with error ${code} can be sent again`, async (t) => {
      const { played, adapter } = await placeOf(t);
      played.on('insert', () => refused(code, LABELLED));
      const work = adapter.transaction(
        async (scope) => scope.call(objectOf(OBJECTS['insertOne'] ?? {}), { id: 'x' }),
        WRITE,
      );
      await rejects(work, 'BEDS_STORE_DEADLOCK');
    });
  }

  const insert = async ({ adapter }: Place, timeoutMs = 5_000): Promise<unknown> =>
    adapter.transaction(async (scope) => scope.call(objectOf(OBJECTS['insertOne'] ?? {}), { id: 'x' }), {
      ...WRITE,
      timeoutMs,
    });

  it('is committed again while nobody knows what became of the commit', async (t) => {
    const place = await placeOf(t);
    const outcomes = [refused(91, UNKNOWN), refused(50, UNKNOWN), 'cut', { ok: 1 }] as const;
    place.played.on('commitTransaction', (_sent, nth) => outcomes[nth] ?? { ok: 1 });
    await insert(place);
    assert.ok(place.played.sent('commitTransaction').length >= 4);
  });

  it('is in doubt where nobody knows until the time is over', async (t) => {
    const place = await placeOf(t);
    place.played.on('commitTransaction', () => refused(91, UNKNOWN));
    await rejects(insert(place, 400), 'BEDS_STORE_INDETERMINATE');
    // n.b. the driver takes the first one's server for one that goes away, and looks for another.
    const other = await placeOf(t);
    other.played.on('commitTransaction', () => 'silence');
    await rejects(insert(other, 1_000), 'BEDS_STORE_INDETERMINATE');
  });

  // https://www.mongodb.com/docs/manual/reference/write-concern/ and …/reference/error-codes/ (UnsatisfiableWriteConcern)
  it('is in doubt where the commit is kept by too few, or was broken off', async (t) => {
    const answers = [100, 79].map((code) => ({ ok: 1, writeConcernError: { code, errmsg: 'a secret value' } }));
    for (const answer of [...answers, refused(11600), refused(6)]) {
      const place = await placeOf(t);
      place.played.on('commitTransaction', () => answer);
      await rejects(insert(place, 700), 'BEDS_STORE_INDETERMINATE');
    }
  });

  it('is in doubt where only a commit that was sent again is refused', async (t) => {
    const place = await placeOf(t);
    place.played.on('commitTransaction', (_sent, nth) => (nth < 2 ? 'cut' : refused(13)));
    await rejects(insert(place), 'BEDS_STORE_INDETERMINATE');
    const other = await placeOf(t);
    other.played.on('commitTransaction', (_sent, nth) => (nth < 2 ? 'cut' : refused(251, LABELLED)));
    await rejects(insert(other), 'BEDS_STORE_DEADLOCK');
  });

  it('is known to be rolled back where the commit says so', async (t) => {
    const place = await placeOf(t);
    place.played.on('commitTransaction', () => refused(251, LABELLED));
    await rejects(insert(place), 'BEDS_STORE_DEADLOCK');
  });
});

describe('what the host knows of a MongoDB server', () => {
  const adapterOf = (t: TestContext, played: PlayedMongodb): StoreAdapter => {
    const adapter = createMongodbAdapter({ store: 's', config: { kind: 'mongodb', url: played.url, ...storeLimits } });
    t.after(() => adapter.close(1_000));
    return adapter;
  };
  const busy: readonly (readonly [string, Document])[] = [
    ['no grant on the catalogue yet', refused(13)],
    ['no time', refused(50)],
    ['an election', refused(11602)],
    ['too much to do', refused(462)],
  ];

  for (const [what, answer] of busy) {
    it(`is asked again where the server had ${what}`, async (t) => {
      const played = await PlayedMongodb.start(t);
      const adapter = adapterOf(t, played);
      played.on('find', () => answer);
      await adapter.open();
      assert.equal(adapter.status().capabilities.transactions, false);
      played.on('find', () => batchOf());
      await adapter.transaction(async () => undefined, WRITE);
      const { transactions, statementDeadline, accessControl } = adapter.status().capabilities;
      assert.deepEqual([transactions, statementDeadline, accessControl], [true, true, true]);
      played.commands.length = 0;
      await adapter.describe(['x']);
      assert.deepEqual(
        played.commands.map((command) => Object.keys(command)[0]),
        ['find'],
      );
    });
  }

  // https://www.mongodb.com/docs/manual/core/transactions/#feature-compatibility-version--fcv-
  it('is not asked again where the server said that it has no transactions', async (t) => {
    const played = await PlayedMongodb.start(t);
    const adapter = adapterOf(t, played);
    played.on('find', (command) => ('startTransaction' in command ? refused(20) : batchOf()));
    await adapter.open();
    played.commands.length = 0;
    await rejects(
      adapter.transaction(async () => undefined, WRITE),
      'BEDS_STORE_NOT_SUPPORTED',
    );
    assert.deepEqual(played.commands, []);
  });
});

type Code = keyof typeof storeErrors.specs;

describe('what MongoDB answers', () => {
  const inParts = (code: number, more: Document = {}): Document => ({
    ok: 1,
    n: 0,
    writeErrors: [{ index: 0, code, errmsg: 'a secret value', ...more }],
  });
  const notConfirmed = (code: number): Document => ({
    ...{ ok: 1, n: 1, nModified: 1 },
    writeConcernError: { code, errmsg: 'a secret value' },
  });

  const NO_INDEX =
    'error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index';
  // https://www.mongodb.com/docs/manual/reference/error-codes/
  const cases: readonly (readonly [string, Document, Code])[] = [
    ...[
      2, 9, 14, 15, 28, 52, 53, 54, 56, 57, 66, 121, 241, 10334, 17419, 15958, 16608, 16554, 28680, 40400, 5_107_200,
    ].map((code) => ['updateOne', inParts(code), 'BEDS_STORE_INVALID_VALUE'] as const),
    ...[2, 14, 16608, 241, 15958, 7_157_700].flatMap((code) =>
      ['find', 'aggregate', 'count', 'plain', 'stages', 'findOneAndUpdate'].map(
        (name) => [name, refused(code), 'BEDS_STORE_INVALID_VALUE'] as const,
      ),
    ),
    ['insertOne', inParts(11000), 'BEDS_STORE_CONFLICT'],
    ['insertMany', inParts(11000), 'BEDS_STORE_CONFLICT'],
    ['findOneAndUpdate', refused(11000), 'BEDS_STORE_CONFLICT'],
    ['updateOne', refused(11601), 'BEDS_STORE_TIMEOUT'],
    ['find', refused(11601), 'BEDS_STORE_TIMEOUT'],
    ['updateMany', refused(11601), 'BEDS_STORE_INDETERMINATE'],
    ['deleteMany', refused(50), 'BEDS_STORE_INDETERMINATE'],
    ['updateMany', refused(175), 'BEDS_STORE_INDETERMINATE'],
    ['updateMany', refused(112), 'BEDS_STORE_INDETERMINATE'],
    ...[43, 175, 237, 136].flatMap((code) =>
      ['find', 'aggregate', 'plain', 'stages'].map((name) => [name, refused(code), 'BEDS_STORE_UNAVAILABLE'] as const),
    ),
    ['plain', refused(292), 'BEDS_STORE_RESULT_TOO_LARGE'],
    ['stages', refused(16819), 'BEDS_STORE_RESULT_TOO_LARGE'],
    ['aggregate', refused(16945), 'BEDS_STORE_RESULT_TOO_LARGE'],
    ['plain', refused(13), 'BEDS_STORE_DENIED'],
    ['insertOne', refused(13), 'BEDS_STORE_DENIED'],
    ['plain', refused(167), 'BEDS_STORE_OBJECT_CHANGED'],
    ['updateOne', refused(166), 'BEDS_STORE_OBJECT_CHANGED'],
    ...[refused(27), refused(291), refused(2, { errmsg: NO_INDEX })].flatMap((answer) =>
      ['find', 'plain', 'updateMany'].map((name) => [name, answer, 'BEDS_STORE_OBJECT_CHANGED'] as const),
    ),
    ['find', refused(134), 'BEDS_STORE_UNAVAILABLE'],
    ['plain', refused(134), 'BEDS_STORE_UNAVAILABLE'],
    ['updateOne', refused(117), 'BEDS_STORE_DEADLOCK'],
    ['insertOne', refused(371), 'BEDS_STORE_UNAVAILABLE'],
    ['insertOne', refused(433, { errorLabels: ['SystemOverloadedError'] }), 'BEDS_STORE_OVERLOADED'],
    ['insertOne', refused(9_999, { errorLabels: ['SystemOverloadedError'] }), 'BEDS_STORE_OVERLOADED'],
    ...WRITES.map((name) => [name, notConfirmed(64), 'BEDS_STORE_INDETERMINATE'] as const),
    ['insertMany', notConfirmed(10107), 'BEDS_STORE_INDETERMINATE'],
    ['insertOne', notConfirmed(100), 'BEDS_STORE_INDETERMINATE'],
    ['updateMany', refused(11600), 'BEDS_STORE_INDETERMINATE'],
    ['updateMany', refused(10107), 'BEDS_STORE_UNAVAILABLE'],
    ['insertOne', refused(424_242), 'BEDS_STORE_FAULT'],
    ['insertOne', refused(1), 'BEDS_STORE_FAULT'],
  ];

  for (const [name, answer, code] of cases) {
    const number =
      (answer['code'] as unknown) ?? at(answer, 'writeErrors.0.code') ?? at(answer, 'writeConcernError.code');
    it(`error ${String(number)} of ${name} is ${code}, without its text`, async (t) => {
      // n.b. a write that may have been repeated is another matter.
      const { played, call, view: read } = await placeOf(t, 'retryWrites=false');
      for (const command of ['find', 'aggregate', 'insert', 'update', 'delete', 'findAndModify']) {
        played.on(command, () => answer);
      }
      const work = name === 'plain' || name === 'stages' ? read(name) : call(name);
      await assert.rejects(work, (error: unknown) => {
        assert.ok(isBedsError(error), String(error));
        assert.equal(error.code, code);
        assert.doesNotMatch(`${error.message} ${JSON.stringify(error)} ${JSON.stringify(error.cause)}`, /secret/);
        return true;
      });
    });
  }

  it('of a batch that was cut short leaves its outcome open', async (t) => {
    const { played, call } = await placeOf(t, 'retryWrites=false');
    played.on('insert', () => ({ ...inParts(112), n: 1 }));
    await rejects(call('insertMany', { all: [{ a: 1 }, { a: 2 }] }), 'BEDS_STORE_INDETERMINATE');
    played.on('insert', () => inParts(112));
    await rejects(call('insertMany', { all: [{ a: 1 }, { a: 2 }] }), 'BEDS_STORE_DEADLOCK');
  });

  // https://www.mongodb.com/docs/manual/reference/method/db.collection.insertMany/#error-handling and …/core/write-operations-atomicity/
  it('of one document among several says what is kept of the others', async (t) => {
    const { played, call } = await placeOf(t);
    const all = { all: [{ a: 1 }, { a: 2 }, { a: 3 }] };
    const errmsg =
      'E11000 duplicate key error collection: app.things index: email_1 dup key: { email: "a secret value" }';
    const words = /unique index email_1\. Of the documents, the first 2 were kept\.$/;
    played.on('insert', () => ({ ...inParts(11000, { errmsg, index: 2 }), n: 2 }));
    await assert.rejects(call('insertMany', all), { code: 'BEDS_STORE_CONFLICT', message: words });
    played.on('insert', () => inParts(11000, { errmsg }));
    await assert.rejects(call('insertMany', all), { code: 'BEDS_STORE_CONFLICT', message: /unique index email_1\.$/ });
    for (const [name, command] of [
      ['updateMany', 'update'],
      ['deleteMany', 'delete'],
    ] as const) {
      played.on(command, () => inParts(14));
      await assert.rejects(call(name), { message: /\. Documents that were changed before stay changed\.$/ });
    }
    played.on('update', () => inParts(14));
    await assert.rejects(call('updateOne'), { message: /\(error 14\)\.$/ });
  });

  // https://www.mongodb.com/docs/manual/core/schema-validation/handle-invalid-documents/
  it('of a validator is said by fields and rules, without values', async (t) => {
    const { played, call } = await placeOf(t);
    const bson = { operatorName: 'bsonType', specifiedAs: { bsonType: 'int' }, reason: 'type did not match' };
    const value = { consideredValue: 'a secret value', consideredType: 'string' };
    const schema = {
      operatorName: '$jsonSchema',
      schemaRulesNotSatisfied: [
        {
          operatorName: 'properties',
          propertiesNotSatisfied: [
            { propertyName: 'age', details: [{ ...bson, ...value }] },
            {
              propertyName: 'address',
              details: [
                {
                  operatorName: 'properties',
                  propertiesNotSatisfied: [
                    {
                      propertyName: 'zip',
                      description: 'four digits',
                      details: [{ operatorName: 'pattern', ...value }],
                    },
                  ],
                },
              ],
            },
          ],
        },
        { operatorName: 'required', specifiedAs: { required: ['name'] }, missingProperties: ['name'] },
      ],
    };
    const query = { operatorName: '$gt', specifiedAs: { stars: { $gt: 0 } }, reason: 'comparison failed', ...value };
    const details: readonly (readonly [Document, RegExp])[] = [
      [schema, /document: age: type did not match \(bsonType\); address\.zip: .*pattern.*; name: required\.$/],
      [query, /document: stars: comparison failed \(gt\)\.$/],
      [
        { operatorName: '$and', clausesNotSatisfied: [{ index: 0, details: query }] },
        /document: stars: comparison failed \(gt\)\.$/,
      ],
      [{ operatorName: '$expr', specifiedAs: { $expr: {} }, reason: 'expression did not match' }, /expression did not/],
      [{}, /refuses the document/],
    ];
    for (const [one, words] of details) {
      const errInfo = { failingDocumentId: 'a secret value', details: one };
      for (const [name, command, answer] of [
        ['insertOne', 'insert', inParts(121, { errInfo })],
        ['insertMany', 'insert', inParts(121, { errInfo })],
        ['updateOne', 'update', inParts(121, { errInfo })],
        ['findOneAndUpdate', 'findAndModify', refused(121, { errInfo })],
      ] as const) {
        played.on(command, () => answer);
        await assert.rejects(call(name), (error: unknown) => {
          assert.ok(isBedsError(error) && error.code === 'BEDS_STORE_INVALID_VALUE', String(error));
          assert.match(error.message, words, name);
          assert.doesNotMatch(`${error.message} ${JSON.stringify(error)}`, /secret/);
          return true;
        });
      }
    }
  });

  it('of a validator is said in the words of its DBA, where they name a class', async (t) => {
    const { played, call } = await placeOf(t);
    const details = [{ operatorName: 'pattern', consideredValue: 'a secret value' }];
    const found = { propertyName: 'zip', description: '[conflict zip] This place moved.', details };
    const schema = { operatorName: '$jsonSchema', schemaRulesNotSatisfied: [{ propertiesNotSatisfied: [found] }] };
    played.on('insert', () => inParts(121, { errInfo: { details: schema } }));
    const cause = { name: 'MongoServerError', code: 121, labels: [] };
    const expected = { code: 'BEDS_STORE_CONFLICT', message: 'This place moved.', field: 'zip', cause };
    await assert.rejects(call('insertOne'), expected);
  });

  // https://www.mongodb.com/docs/manual/core/index-unique/
  it('of a duplicate names what must be unique, and no value', async (t) => {
    const { played, call } = await placeOf(t);
    const errmsg =
      'E11000 duplicate key error collection: app.things index: email_1 dup key: { email: "a secret value" }';
    const keyPattern = { keyPattern: { email: 1, 'home.city': 1 }, keyValue: { email: 'a secret value' } };
    const cases: readonly (readonly [string, Document, RegExp])[] = [
      ['insertOne', { errmsg, ...keyPattern }, /^Another record has the same email, home\.city\.$/],
      [
        'insertMany',
        { errmsg, ...keyPattern },
        /^Another record has the same (values in the unique index email_1|email, home\.city)\.$/,
      ],
      ['insertOne', { errmsg }, /^Another record has the same values in the unique index email_1\.$/],
      ['insertOne', { errmsg, keyPattern: { _id: 1 } }, /^A record with this key exists already/],
      ['insertOne', { errmsg: 'dup: a secret value' }, /^A record with this key exists already/],
    ];
    for (const [name, more, words] of cases) {
      played.on('insert', () => inParts(11000, more));
      await assert.rejects(call(name), (error: unknown) => {
        assert.ok(isBedsError(error) && error.code === 'BEDS_STORE_CONFLICT', String(error));
        assert.match(error.message, words);
        assert.doesNotMatch(`${error.message} ${JSON.stringify(error)}`, /secret/);
        return true;
      });
    }
  });

  // https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-BSON-Document-Size
  it('is not waited for where a value is larger than a message may be', async (t) => {
    const { played, call, view: read } = await placeOf(t);
    const text = 'x'.repeat(18_000_000);
    for (const name of ['insertOne', 'updateOne', 'find', 'count', 'findOneAndUpdate', 'deleteOne']) {
      await rejects(call(name, { id: text }), 'BEDS_STORE_INVALID_VALUE');
    }
    await rejects(call('insertMany', { all: [{ text }] }), 'BEDS_STORE_INVALID_VALUE');
    await rejects(read('plain', { where: { id: text } }), 'BEDS_STORE_INVALID_VALUE');
    played.commands.length = 0;
    await call('insertOne');
    assert.equal(played.commands.length, 1);
  });
});
