import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RequestEnvelope } from '#sdk/template';
import { PoisonTracker, type Suspect } from '../host/request/poison-tracker.js';
import type { StoreAdapter } from '../host/stores/contract.js';
import { TimerWheel } from '../host/stores/deadlines.js';
import { planQuery } from '../host/stores/query-plan.js';
import { makeDataPlane } from './support/data-plane.js';
import { eventually, quietFor } from './support/eventually.js';

describe('entries of the timer wheel', () => {
  it('expire once, in order, never early and soon after they are due', async () => {
    const wheel = new TimerWheel();
    const startMs = performance.now();
    const fired: { readonly name: string; readonly lateMs: number }[] = [];
    const add = (name: string, afterMs: number): void => {
      wheel.watch(startMs + afterMs, () => {
        fired.push({ name, lateMs: performance.now() - startMs - afterMs });
      });
    };
    add('second', 80);
    add('first', 20);
    add('past', -1_000);
    await eventually('all expired', () => fired.length >= 3);
    await quietFor(50);
    assert.deepEqual(
      fired.map(({ name }) => name),
      ['past', 'first', 'second'],
    );
    for (const { name, lateMs } of fired) assert.ok(lateMs >= 0, `${name} was ${-lateMs} ms early`);
  });

  it('do not expire when they were removed, also by one that expires in the same tick', async () => {
    const wheel = new TimerWheel();
    const fired: string[] = [];
    const atMs = performance.now() + 20;
    const removed = wheel.watch(atMs, () => fired.push('removed'));
    wheel.watch(atMs, () => fired.push('kept'));
    wheel.remove(removed);
    wheel.remove(removed);
    await eventually('the other expired', () => fired.length > 0);
    await quietFor(50);
    assert.deepEqual(fired, ['kept']);
  });

  it('work again after a while without any', async () => {
    const wheel = new TimerWheel();
    for (let round = 1; round <= 2; round += 1) {
      let isExpired = false;
      wheel.watch(performance.now() + 10, () => (isExpired = true));
      await eventually(`round ${round} expired`, () => isExpired);
      await quietFor(40);
    }
  });
});

describe('requests that were delivered before', () => {
  const suspect = (id: string): Suspect => ({ id, generation: 1, isOpen: () => false });

  it('run at once while no thread has ended', async () => {
    const noted: number[] = [];
    const suspects = new PoisonTracker((digest) => noted.push(digest));
    let isBothRunning = false;
    const first = suspects.run(suspect('a'), () => eventually('the other runs', () => isBothRunning));
    await suspects.run(suspect('b'), () => Promise.resolve((isBothRunning = true)));
    await first;
    assert.deepEqual(noted, []);
  });

  it('run one at a time after a thread ended, each with a note, a failure among them', async () => {
    const noted: number[] = [];
    const suspects = new PoisonTracker((digest) => noted.push(digest));
    suspects.suspect({ poisonDigest: 0 });
    let running = 0;
    const work = async (): Promise<void> => {
      running += 1;
      assert.equal(running, 1);
      // Long enough for another one to begin meanwhile, if it could.
      await delay(5);
      running -= 1;
    };
    const fails = suspects.run(suspect('b'), () => Promise.reject(new RangeError('no')));
    await Promise.all([
      suspects.run(suspect('a'), work),
      assert.rejects(fails, RangeError),
      suspects.run(suspect('c'), work),
    ]);
    await eventually('the last note is taken back', () => noted.at(-1) === 0);
    assert.equal(noted.filter((digest) => digest !== 0).length, 3);
    assert.equal(new Set(noted).size, 4);
  });

  it('are refused when they ran as the only suspect of a thread that ended, and no others are', async () => {
    const noted: number[] = [];
    const before = new PoisonTracker((digest) => noted.push(digest));
    before.suspect({ poisonDigest: 0 });
    await before.run(suspect('poison'), () => Promise.resolve());
    const after = new PoisonTracker(() => undefined);
    after.suspect({ poisonDigest: noted[0] ?? 0 });
    await assert.rejects(
      after.run(suspect('poison'), () => Promise.resolve()),
      { code: 'BEDS_REQUEST_POISON' },
    );
    assert.equal(await after.run(suspect('other'), () => Promise.resolve('served')), 'served');
  });
});

describe('an error of a template that JSON cannot write', () => {
  it('is answered as a fault, and the message is settled', async () => {
    const plane = makeDataPlane();
    const run = `
      const error = Object.assign(new Error('no'), { code: 'BEDS_TEMPLATE_CONFLICT', status: 'conflict', verdict: 'ack', hint: 5n });
      throw Object.defineProperty(error, Symbol.for('beds.error'), { value: true });`;
    await plane.prepare({ operations: { fail: { mode: 'read', run } } });
    plane.registry.apply([{ domain: 'notes', active: 1 }]);
    const reply = await plane.ask({ op: 'fail', payload: {} });
    assert.equal(!reply.ok && reply.error.code, 'BEDS_REQUEST_TEMPLATE_FAULT');
  });
});

describe('an unknown name', () => {
  const run = (query: string): string => `return (await ctx.view('fetch', ${query})).rows;`;
  const operations = {
    view: { mode: 'read', run: run(`{ Where: { country: 'AD' } }`) },
    order: { mode: 'read', run: run(`{ order: [{ column: 'id', Direction: 'desc' }] }`) },
    key: { mode: 'read', run: run(`{ key: 7 }`) },
    domain: { mode: 'read', run: `return (await ctx.domain('notes').fetch({ Limit: 1 })).rows;` },
    args: { mode: 'read', args: { limit: { type: 'integer' } }, run: 'return input;' },
  } as const;
  const wrong: readonly [op: string, asked: Partial<RequestEnvelope>, field: string, message: RegExp][] = [
    ['view', { payload: {} }, 'query.Where', /query\.Where is unknown \(did you mean where\?\)/],
    ['order', { payload: {} }, 'query.order[0].Direction', /did you mean direction/],
    ['key', { payload: {} }, 'query.key', /query\.key is unknown/],
    ['domain', { payload: {} }, 'query.Limit', /did you mean limit/],
    ['args', { payload: { Limit: 1, page: 2 } }, 'payload.Limit', /as are page; did you mean limit; known are limit/],
    ['args', { payload: { limit: 1, 'a name': 2 } }, 'payload.?', /a name that is no identifier/],
    ['fetch', { query: { where: {}, Limit: 1 } as object }, 'query.Limit', /did you mean limit/],
  ];
  for (const [op, asked, field, message] of wrong) {
    it(`is refused as ${field} of ${op}, also where code asks with it or answers by itself`, async () => {
      const plane = makeDataPlane({
        view: async (object, query) => {
          if (object.kind === 'view') planQuery(object, query, { positions: 'shown', write: () => undefined });
          return { rows: [{ id: 1 }] };
        },
      } as Partial<StoreAdapter> as StoreAdapter);
      await plane.prepare({ operations, peers: ['notes'], body: { fetchRecords: 'return { rows: [{ id: 1 }] };' } });
      plane.registry.apply([{ domain: 'notes', active: 1 }]);
      const reply = await plane.ask({ op, ...asked });
      assert.ok(!reply.ok, 'it was answered');
      assert.equal(reply.error.field, field);
      assert.match(reply.error.message, message);
    });
  }
});
