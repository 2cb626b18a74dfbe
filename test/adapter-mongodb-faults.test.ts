import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { BSON, MongoError, MongoNetworkError, MongoServerError } from 'mongodb';
import type { MongoClient } from 'mongodb';
import { isBedsError } from '@beds/sdk';
import type { RoutineRows, Json } from '@beds/sdk';
import type { AdapterScope, CallOptions } from '../host/stores/contract.js';
import { Deadline } from '../host/stores/deadlines.js';
import { toStoreError } from '../host/stores/mongodb/store-error.js';
import { runTransaction } from '../host/stores/mongodb/transaction.js';
import { storeErrors } from '../host/errors/store.js';
import { mongodbStore, READ, rejects, WRITE } from './support/mongodb-store.js';
import { StallingProxy } from './support/stalling-proxy.js';

const { url, adapter, open, deliver, object } = await mongodbStore();

before(async () => {
  const on = 'counters';
  await deliver(
    {
      _id: 'make',
      kind: 'procedure',
      on,
      op: 'insertOne',
      args: { id: 'string' },
      body: { document: { _id: { $arg: 'id' } } },
    },
    {
      _id: 'touch',
      kind: 'procedure',
      on,
      op: 'updateMany',
      args: { tag: 'string' },
      body: { filter: {}, update: { $set: { tag: { $arg: 'tag' } } } },
    },
    { _id: 'clear', kind: 'procedure', on, op: 'deleteMany', body: { filter: {} } },
    { _id: 'how_many', kind: 'function', on, op: 'count', body: { filter: {} } },
  );
});

describe('limits of a MongoDB store', () => {
  it('end reads at their deadline, and leave open what became of a write', async (t: TestContext) => {
    const proxy = await StallingProxy.start(t, url);
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
    const proxy = await StallingProxy.start(t, url);
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
    assert.match(String(absent.status().why), /ECONNREFUSED/);
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

  it('refuse a URL by which MongoDB would say of no write what became of it', () => {
    for (const wrong of ['mongodb://127.0.0.1:1/y?w=0', 'mongodb://127.0.0.1:1/y?retryWrites=false&W=0']) {
      assert.throws(
        () => open({ url: wrong }),
        (error: unknown) =>
          isBedsError(error) && error.code === 'BEDS_STORE_URL_INVALID' && error.message.includes('w=0'),
      );
    }
  });

  it('refuse a URL by which the driver would read values as others', () => {
    const asked = ['raw=true', 'promoteValues=false', 'promoteLongs=false', 'promoteBuffers=true'];
    for (const option of asked.concat('useBigInt64=true', 'enableUtf8Validation=false')) {
      assert.throws(
        () => open({ url: `mongodb://127.0.0.1:1/y?${option}` }),
        (error: unknown) =>
          isBedsError(error) && error.code === 'BEDS_STORE_URL_INVALID' && error.message.includes(option),
        option,
      );
    }
    open({ url: 'mongodb://127.0.0.1:1/y?promoteLongs=true&raw=false' });
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
    const add = (scope: AdapterScope, id: string): Promise<RoutineRows> => scope.call(make, { id });
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
    const deadline = new Deadline({ timeoutMs });
    const client = { startSession: () => session } as unknown as MongoClient;
    const empty: RoutineRows = { rows: [], sets: [], affected: 0 };
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
  const labelled = (...labels: readonly string[]): Error => {
    const error = new MongoNetworkError('secret');
    for (const label of labels) error.addErrorLabel(label);
    return error;
  };
  // https://github.com/mongodb/specifications/blob/master/source/client-backpressure/client-backpressure.md
  const unmade = labelled('HandshakeError', 'SystemOverloadedError', 'RetryableError');
  // What version 7.9 of the driver throws.
  const refused = labelled('SystemOverloadedError', 'RetryableError');

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
    ['a connection that was not made, and is called overload too', unmade, write, 'BEDS_STORE_UNAVAILABLE'],
    ['a connection that was refused', refused, write, 'BEDS_STORE_UNAVAILABLE'],
    ['text that is no UTF-8', new BSON.BSONError('secret'), read, 'BEDS_STORE_VALUE_UNFIT'],
    ['what is no BSON', new BSON.BSONError('secret'), write, 'BEDS_STORE_INVALID_VALUE'],
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
