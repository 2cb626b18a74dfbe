import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import type { StoreAdapter } from '../host/stores/contract.js';
import { storeErrors } from '../host/errors/store.js';
import { type DataPlane, makeDataPlane } from './support/data-plane.js';
import { eventually, quietFor } from './support/eventually.js';

/** A store that is none: it keeps what transactions say, unless it is away. */
class FakeStore {
  readonly adapter: StoreAdapter;
  readonly kept: string[] = [];
  isUp = true;
  /** Transactions that it takes before it goes away by itself. */
  takes = Infinity;
  /** Whether it gives no connection in time, as a server does that has just come back. */
  isFull = false;
  refusals = 0;
  /** How long a transaction takes. */
  takesMs = 0;

  constructor(store: string) {
    const status = { connections: { most: 4 } } as ReturnType<StoreAdapter['status']>;
    this.adapter = {
      store,
      open: () => (this.isUp ? Promise.resolve() : Promise.reject(storeErrors.make('BEDS_STORE_UNAVAILABLE'))),
      status: () => status,
      transaction: async (work) => {
        await delay(this.takesMs);
        if (this.isFull) {
          this.refusals += 1;
          throw storeErrors.make('BEDS_STORE_OVERLOADED');
        }
        const result = await work({ call: () => assert.fail(), view: () => assert.fail() });
        if (!this.isUp || this.takes <= 0 || result === 'cursed') throw storeErrors.make('BEDS_STORE_UNAVAILABLE');
        this.takes -= 1;
        this.kept.push(String(result));
        return result;
      },
    } as Partial<StoreAdapter> as StoreAdapter;
  }
}

const text = { type: 'string' } as const;
const keep = `await ctx.transaction(async () => input.text);`;

/** `notes` in the store `main`, generations 1 and 2; `tasks` in `other`, generation 3. */
async function serve(run = `${keep} return null;`): Promise<{ plane: DataPlane; main: FakeStore; other: FakeStore }> {
  const [main, other] = [new FakeStore('main'), new FakeStore('other')];
  const plane = makeDataPlane(main.adapter, [other.adapter]);
  const notes = { peers: ['tasks'], operations: { keep: { mode: 'write', args: { text }, run } } } as const;
  const plain = { keep: { mode: 'write', args: { text }, run: `${keep} return null;` } } as const;
  await plane.prepare(notes, notes, { domain: 'tasks', store: 'other', operations: plain });
  plane.generations.route([
    { domain: 'notes', active: 1 },
    { domain: 'tasks', active: 3 },
  ]);
  return { plane, main, other };
}

function ask(plane: DataPlane, value: string): ReturnType<DataPlane['ask']> {
  return plane.ask({ op: 'keep', payload: { text: value } });
}

function waiting(plane: DataPlane): number {
  return plane.path.waitingWrites.reduce((sum, { count }) => sum + count, 0);
}

const both = `await Promise.all([
  ctx.transaction(async () => input.text),
  ctx.domain('tasks').call('keep', { text: input.text }),
]); return null;`;

const later = `await Promise.all([
  ctx.transaction(async () => input.text),
  new Promise((go) => setTimeout(go, 50)).then(() => ctx.domain('tasks').call('keep', { text: input.text })),
]); return null;`;

describe('a write that waits for its store', () => {
  it('is carried out by the version that is live when the store is back, and holds no other one', async () => {
    const { plane, main } = await serve();
    main.isUp = false;
    const answer = ask(plane, 'a');
    await eventually('it waits', () => waiting(plane) === 1);
    plane.generations.route([{ domain: 'notes', active: 2 }]);
    await eventually('the version before has drained', () => plane.drained.includes(1));
    main.isUp = true;
    const reply = await answer;
    assert.ok(reply.ok);
    assert.equal(reply.by.version, '2.0.0');
    assert.deepEqual(main.kept, ['a']);
    assert.equal(waiting(plane), 0);
  });

  it('is carried out in the order of arrival, and the version is not judged by the wait', async () => {
    const { plane, main } = await serve();
    main.isUp = false;
    const values = Array.from({ length: 12 }, (_, index) => `v${String(index).padStart(2, '0')}`);
    const answers = values.map((value) => ask(plane, value));
    await eventually('all wait', () => waiting(plane) === values.length);
    main.isUp = true;
    for (const reply of await Promise.all(answers)) assert.ok(reply.ok);
    assert.deepEqual(main.kept, values);
    const [tally] = plane.path.observe().tallies;
    assert.deepEqual([tally?.requests, tally?.failures], [12, {}]);
  });

  it('is carried out once when the store comes and goes', async () => {
    const { plane, main } = await serve();
    main.takes = 0;
    const values = Array.from({ length: 30 }, (_, index) => `v${String(index)}`);
    const answers = values.map((value) => ask(plane, value));
    for (let round = 0; round < 3; round += 1) {
      await eventually('those that are left wait', () => waiting(plane) === values.length - main.kept.length);
      main.takes = 7;
      await eventually('the store has gone again', () => main.takes === 0);
    }
    main.takes = Infinity;
    for (const reply of await Promise.all(answers)) assert.ok(reply.ok);
    assert.deepEqual([...main.kept].sort(), values.sort());
  });

  it('waits for what it has begun elsewhere at the same time, and is not run again when that was kept', async () => {
    const { plane, main, other } = await serve(both);
    main.isUp = false;
    other.takesMs = 50;
    const reply = await ask(plane, 'a');
    assert.ok(!reply.ok);
    assert.deepEqual([reply.error.code, reply.error.retryable], ['BEDS_STORE_UNAVAILABLE', false]);
    main.isUp = true;
    await quietFor(200);
    assert.deepEqual([main.kept, other.kept], [[], ['a']]);
  });

  it('waits for one store after the other', async () => {
    const { plane, main, other } = await serve(both);
    main.isUp = false;
    other.isUp = false;
    other.takesMs = 50;
    const answer = ask(plane, 'a');
    await eventually('it waits', () => waiting(plane) === 1);
    main.isUp = true;
    other.isUp = true;
    const reply = await answer;
    assert.ok(reply.ok);
    assert.deepEqual([main.kept, other.kept], [['a'], ['a']]);
  });

  it('begins nothing more while it waits', async () => {
    const { plane, main, other } = await serve(later);
    main.isUp = false;
    const answer = ask(plane, 'a');
    await eventually('it waits', () => waiting(plane) === 1);
    await quietFor(150);
    assert.deepEqual(other.kept, []);
    main.isUp = true;
    assert.ok((await answer).ok);
    assert.deepEqual([main.kept, other.kept], [['a'], ['a']]);
  });

  it('waits on where a store that comes back gives no connection in time', async () => {
    const { plane, main } = await serve();
    main.isUp = false;
    const answer = ask(plane, 'a');
    await eventually('it waits', () => waiting(plane) === 1);
    main.isFull = true;
    main.isUp = true;
    await eventually('it was refused twice', () => main.refusals > 1);
    main.isFull = false;
    assert.ok((await answer).ok);
    assert.deepEqual(main.kept, ['a']);
    main.isFull = true;
    const reply = await ask(plane, 'b');
    assert.equal(reply.ok ? '' : reply.error.code, 'BEDS_STORE_OVERLOADED', 'of a store that was there it is told');
  });

  it('that the store always refuses keeps no other one waiting for ever', async () => {
    const { plane, main } = await serve();
    main.isUp = false;
    const meta = { client: 'test', deadlineMs: 6_000 };
    const cursed = plane.ask({ op: 'keep', payload: { text: 'cursed' }, meta });
    const others = ['a', 'b', 'c'].map((value) => ask(plane, value));
    await eventually('all wait', () => waiting(plane) === 4);
    main.isUp = true;
    const first = await Promise.race([cursed.then(() => 'cursed'), Promise.all(others).then(() => 'others')]);
    assert.equal(first, 'others');
    for (const reply of await Promise.all(others)) assert.ok(reply.ok);
    assert.deepEqual([...main.kept].sort(), ['a', 'b', 'c']);
    const reply = await cursed;
    assert.equal(reply.ok ? '' : reply.error.code, 'BEDS_STORE_UNAVAILABLE');
  });

  it('is not given back marked when RabbitMQ does not take it at once as the thread ends: it is tried again', async () => {
    const { plane, main } = await serve();
    main.isUp = false;
    void ask(plane, 'a');
    await eventually('it waits', () => waiting(plane) === 1);
    plane.path.stop();
    await quietFor(300);
    assert.deepEqual(plane.verdicts, [], 'it is kept while nothing takes it');
    const taken: string[] = [];
    await plane.handOver.attach(takesAll(taken));
    await eventually('it is settled', () => plane.verdicts.length > 0);
    assert.deepEqual(plane.verdicts, ['ack']);
    assert.deepEqual(taken, ['notes.keep']);
  });
});

/** A connection whose channels confirm what is published. */
function takesAll(taken: string[]): ChannelModel {
  const channel = Object.assign(new EventEmitter(), {
    publish: (...[, routingKey, , , confirm]: Parameters<ConfirmChannel['publish']>) => {
      taken.push(routingKey);
      confirm?.(null, {});
      return true;
    },
  });
  return Object.assign(new EventEmitter(), { createConfirmChannel: () => Promise.resolve(channel) }) as never;
}
