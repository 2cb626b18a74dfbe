import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject, Page, ViewQuery } from '@beds/sdk';
import { storeErrors } from '../host/errors/store.js';
import { RequestScope } from '../host/request/request-scope.js';
import { queryKey, SharedReads } from '../host/request/shared-reads.js';
import type { StoreAdapter } from '../host/stores/contract.js';
import type { BundleOptions } from './support/bundles.js';
import { type DataPlane, makeDataPlane } from './support/data-plane.js';
import { eventually, quietFor } from './support/eventually.js';

const LONG_MS = 10_000;

/** A database whose answers a test gives by hand, or that gives none until the time is over. */
class SlowView {
  readonly #asked: { readonly answer: (page: Page) => void; readonly fail: (error: Error) => void }[] = [];
  readonly timeoutsMs: number[] = [];

  readonly begin = (timeoutMs: number): Promise<Page> => {
    let timer: NodeJS.Timeout | undefined;
    this.timeoutsMs.push(timeoutMs);
    return new Promise<Page>((answer, fail) => {
      timer = setTimeout(() => fail(storeErrors.make('BEDS_STORE_TIMEOUT')), timeoutMs);
      this.#asked.push({ answer, fail });
    }).finally(() => {
      clearTimeout(timer);
    });
  };

  get count(): number {
    return this.#asked.length;
  }

  answer(index: number, ...rows: readonly JsonObject[]): void {
    this.#asked[index]?.answer({ rows });
  }

  fail(index: number, error: Error): void {
    this.#asked[index]?.fail(error);
  }
}

function reader(view: SlowView): (query?: ViewQuery, timeMs?: number) => Promise<Page> {
  const reads = new SharedReads();
  return (query = {}, timeMs = LONG_MS) => {
    const scope = new RequestScope('r', performance.now() + timeMs);
    return reads.read({ alias: 'fetch', asked: query, scope, begin: view.begin });
  };
}

describe('reads of a view that may be shared', () => {
  it('are one read for all who ask the same while it is under way, whatever the order of names', async () => {
    const view = new SlowView();
    const read = reader(view);
    const first = { where: { a: 1, b: { gt: 1, lt: 9 } }, order: [{ column: 'a' }, { column: 'b' }], limit: 5 };
    const same = { limit: 5, order: [{ column: 'a' }, { column: 'b' }], where: { b: { lt: 9, gt: 1 }, a: 1 } };
    const other = { ...first, order: [{ column: 'b' }, { column: 'a' }] };
    const asked = [...Array.from({ length: 50 }, () => [read(first), read(same)]).flat(), read(other)];
    assert.equal(view.count, 2);
    view.answer(0, { n: 1 });
    view.answer(1, { n: 2 });
    const values = (await Promise.all(asked)).map(({ rows }) => rows[0]?.['n']);
    assert.deepEqual(values, [...Array<number>(100).fill(1), 2]);
  });

  it('are begun anew once that one has ended', async () => {
    const view = new SlowView();
    const read = reader(view);
    const first = read();
    view.answer(0, { n: 1 });
    await first;
    const second = read();
    view.answer(1, { n: 2 });
    assert.deepEqual((await second).rows, [{ n: 2 }]);
  });

  it('give everybody rows of their own', async () => {
    const view = new SlowView();
    const read = reader(view);
    const change = async (reading: Promise<Page>): Promise<Page> => {
      const page = await reading;
      const row = page.rows[0] as { n: number; more: { list: number[] } };
      row.n += 1;
      row.more.list.push(row.n);
      return page;
    };
    const asked = [change(read()), change(read()), change(read())];
    view.answer(0, { n: 1, more: { list: [] } });
    for (const { rows } of await Promise.all(asked)) assert.deepEqual(rows, [{ n: 2, more: { list: [2] } }]);
  });

  it('are run again, once for all callers with time left, when the time of the first is over', async () => {
    const view = new SlowView();
    const read = reader(view);
    const hasty = assert.rejects(read({}, 30), { code: 'BEDS_STORE_TIMEOUT' });
    const others = [read(), read(), read()];
    await hasty;
    await eventually('the others have asked', () => view.count === 2);
    view.answer(1, { n: 1 });
    for (const { rows } of await Promise.all(others)) assert.deepEqual(rows, [{ n: 1 }]);
    assert.equal(view.count, 2);
    assert.ok((view.timeoutsMs[1] ?? 0) > LONG_MS / 2, 'the second has the time of one of the others');
  });

  it('do not keep anybody beyond a deadline of their own, nor end with it', async () => {
    const view = new SlowView();
    const read = reader(view);
    const first = read();
    await assert.rejects(read({}, 30), { code: 'BEDS_REQUEST_DEADLINE_EXCEEDED' });
    const late = read();
    view.answer(0, { n: 1 });
    assert.deepEqual((await first).rows, [{ n: 1 }]);
    assert.deepEqual((await late).rows, [{ n: 1 }]);
    assert.equal(view.count, 1);
  });

  it('fail for all when they fail otherwise, and are begun anew by the next', async () => {
    const view = new SlowView();
    const read = reader(view);
    const failed = [read(), read()].map((each) => assert.rejects(each, { code: 'BEDS_STORE_UNAVAILABLE' }));
    view.fail(0, storeErrors.make('BEDS_STORE_UNAVAILABLE'));
    await Promise.all(failed);
    assert.equal(view.count, 1);
    const next = read();
    view.answer(1, { n: 1 });
    assert.deepEqual((await next).rows, [{ n: 1 }]);
  });
});

describe('the key of a query', () => {
  it('tells apart what does not say the same', () => {
    const different: readonly unknown[] = [
      ...[{}, [], null, undefined, Number.NaN, 0, 1, '0', '1', 'null', '', ' ', '{ }', true, 'true'],
      ...[
        { a: 1 },
        { a: '1' },
        { a: undefined },
        { a: null },
        { b: 1 },
        { a: 1, b: 1 },
        { a: { b: 1 } },
        [1, 2],
        [2, 1],
      ],
      ...[['1 2'], ['1', '2'], [[1], 2], [[1, 2]], { 'a" 1 "b': 1 }],
    ];
    assert.equal(new Set(different.map(queryKey)).size, different.length);
  });

  it('is none for what is not plain data', () => {
    const strange = [new Date(), new Map(), 1n, Symbol('s'), () => undefined, { a: [{ b: new Date() }] }];
    assert.deepEqual(strange.map(queryKey), Array(strange.length).fill(undefined));
  });
});

/** Versions 1 and 2 of a domain with a view, the first of which serves, and the reads that come to the store. */
async function serve(share: boolean): Promise<{
  readonly plane: DataPlane;
  readonly seen: { readonly mode: string; readonly answer: () => void }[];
}> {
  const seen: { readonly mode: string; readonly answer: () => void }[] = [];
  const view: StoreAdapter['view'] = (_object, _query, { mode }) =>
    new Promise((resolve) => {
      const n = seen.length;
      seen.push({ mode, answer: () => resolve({ rows: [{ n }] }) });
    });
  const transaction: StoreAdapter['transaction'] = (work, options) =>
    work({ call: () => assert.fail(), view: (object, query) => view(object, query, options) });
  const plane = makeDataPlane({ view, transaction } as StoreAdapter);
  const columns = { id: { type: 'integer' } };
  const read = `return (await ctx.view('fetch', {})).rows;`;
  const bundle: BundleOptions = {
    objects: { fetch: { kind: 'view', name: 'notes_all', columns, ...(share && { share }) } },
    peers: ['notes'],
    body: { fetchRecords: `return ctx.view('fetch', query);` },
    operations: {
      look: { mode: 'read', run: read },
      change: { mode: 'write', run: read },
      through: { mode: 'write', run: `return (await ctx.domain('notes').fetch({})).rows;` },
      inside: { mode: 'read', run: `return ctx.transaction(async (scope) => (await scope.view('fetch', {})).rows);` },
    },
  };
  await plane.prepare(bundle, bundle);
  plane.registry.apply([{ domain: 'notes', active: 1 }]);
  return { plane, seen };
}

describe('requests to a view', () => {
  it('share a read where the template says so, whichever of its operations reads', async () => {
    const { plane, seen } = await serve(true);
    const asked = ['fetch', 'look', 'fetch', 'look'].map((op) => plane.ask({ op }));
    await eventually('the store is asked', () => seen.length > 0);
    await quietFor(20);
    assert.equal(seen.length, 1);
    seen[0]?.answer();
    for (const reply of await Promise.all(asked)) assert.deepEqual(reply.ok && reply.data, [{ n: 0 }]);
  });

  it('share none where it says nothing', async () => {
    const { plane, seen } = await serve(false);
    const asked = ['fetch', 'look', 'fetch', 'look'].map((op) => plane.ask({ op }));
    await eventually('all have asked the store', () => seen.length === asked.length);
    for (const { answer } of seen) answer();
    await Promise.all(asked);
  });

  it('read for themselves where they may have written, and inside a transaction', async () => {
    const { plane, seen } = await serve(true);
    const asked = ['fetch', 'change', 'change', 'through', 'through', 'inside', 'inside'].map((op) =>
      plane.ask({ op }),
    );
    await eventually('all have asked the store', () => seen.length === asked.length);
    for (const { answer } of seen) answer();
    await Promise.all(asked);
    assert.deepEqual(seen.map(({ mode }) => mode).sort(), [
      ...['read', 'read', 'read', 'read', 'read', 'write', 'write'],
    ]);
  });

  it('never share across versions', async () => {
    const { plane, seen } = await serve(true);
    const before = plane.ask({ op: 'fetch' });
    plane.registry.apply([{ domain: 'notes', active: 2 }]);
    const after = plane.ask({ op: 'fetch' });
    await eventually('both have asked the store', () => seen.length === 2);
    for (const { answer } of seen) answer();
    const served = (await Promise.all([before, after])).map(({ by, ...reply }) => [by.version, reply.ok && reply.data]);
    assert.deepEqual(served, [
      ['1.0.0', [{ n: 0 }]],
      ['2.0.0', [{ n: 1 }]],
    ]);
  });

  it('share nothing with copies for a shadow, nor copies with each other', async () => {
    const { plane, seen } = await serve(true);
    const candidate = { generation: 2, percent: 0, salt: 1, shadowPercent: 100 };
    plane.registry.apply([{ domain: 'notes', active: 1, candidate }]);
    const asked = [plane.ask({ op: 'fetch' }), plane.ask({ op: 'fetch' })];
    await eventually('the store is asked', () => seen.length === 1);
    seen[0]?.answer();
    await Promise.all(asked);
    await eventually('both copies have asked the store', () => seen.length === 3);
    for (const { answer } of seen) answer();
  });
});
