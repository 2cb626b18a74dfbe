import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { Comparison, Filter, Json, JsonObject, ObjectManifest, OrderBy, Scalar, ViewQuery } from '@beds/sdk';
import fc from 'fast-check';
import { compileReturns } from '#sdk/template';
import { narrowObject } from '../../host/stores/check-use.js';
import type { NamedObject, StoreAdapter } from '../../host/stores/contract.js';

/** Bounds of a store that a test narrows. */
export interface StoreBounds {
  readonly poolSize?: number;
  readonly queueLimit?: number;
  readonly acquireTimeoutMs?: number;
}

/** A row of `kind_list`; `exact` is a decimal number, `big` a whole number of 64 bits, `bytes` base64, `tags` and `place` are JSON. */
export interface KindRow {
  readonly id: number;
  readonly text: string | null;
  readonly whole: number | null;
  readonly exact: string | null;
  readonly real: number | null;
  readonly flag: boolean | null;
  readonly day: string | null;
  readonly moment: string | null;
  readonly data: JsonObject | null;
  readonly big: string | null;
  /** One of STATES. */
  readonly state: string | null;
  readonly bytes: string | null;
  readonly tags: readonly string[] | null;
  readonly place: JsonObject | null;
}

const STATES = ['closed', 'open'] as const;

export interface OpenedStore {
  readonly adapter: StoreAdapter;
  /** Ends what `open` made; called once, after the adapter was closed. */
  teardown(): Promise<void>;
}

/**
 * What a store's test file brings: the notes objects, made by its DBA (see `noteUses`), and ways to look from outside.
 * `note_list` is a view of id (key), title, body (may be null), stars; `note_slow` keeps the server busy for seconds;
 * `notes_hidden` exists in the database but is not granted to the runtime account.
 */
export interface ConformanceStore {
  readonly name: string;
  open(bounds?: StoreBounds): Promise<OpenedStore>;
  /**
   * Puts rows into what the view `kind_list` shows, in place of those that are there: `id` (the key, a whole number) and a column for
   * each type, all of which may be null. Text is compared by its code points. The routines of `formUses` work on them.
   */
  readonly fillKinds: (rows: readonly KindRow[]) => Promise<void>;
  /** Statements of the runtime account that the server is working on now; absent where a server cannot tell. */
  readonly running?: () => Promise<number>;
  /** Why a part cannot be tried on the server in use. */
  readonly unable?: Readonly<Partial<Record<'slow' | 'hidden' | 'deadline' | 'sets', string>>>;
}

const text = { type: 'string' } as const;

/** The objects as a template uses them. */
const noteUses = {
  create: {
    kind: 'procedure',
    name: 'note_create',
    args: { id: text, title: text, body: { type: 'string', optional: true }, stars: { type: 'integer' } },
  },
  update: { kind: 'procedure', name: 'note_update', args: { id: text, title: text } },
  delete: { kind: 'procedure', name: 'note_delete', args: { id: text } },
  count: { kind: 'function', name: 'note_count', args: { title: text }, returns: { type: 'integer' } },
  slow: { kind: 'procedure', name: 'note_slow', args: {} },
  list: {
    kind: 'view',
    name: 'note_list',
    columns: { id: text, title: text, body: text, stars: { type: 'integer' } },
  },
} as const satisfies Readonly<Record<string, ObjectManifest>>;

/** What `note_refuse_<word>` says to callers for the note `id`, and what they get of it. */
export const refusals = {
  invalid: ['[invalid id] No such name is taken.', 'BEDS_STORE_REFUSED', 'invalid', 'No such name is taken.', 'id'],
  conflict: ['[conflict] The name is taken.', 'BEDS_STORE_CONFLICT', 'conflict', 'The name is taken.'],
  forbidden: ['[forbidden] Not yours.', 'BEDS_STORE_FORBIDDEN', 'forbidden', 'Not yours.'],
  missing: ['[not-found id] Nothing there: é, ß.', 'BEDS_STORE_NOT_FOUND', 'not-found', 'Nothing there: é, ß.', 'id'],
} as const;

type Uses = Readonly<Record<string, ObjectManifest>>;
type Described<U extends Uses> = Readonly<Record<keyof U, NamedObject>>;
type Objects = Described<typeof noteUses>;

const read = { mode: 'read', timeoutMs: 10_000 } as const;
const write = { mode: 'write', timeoutMs: 10_000 } as const;
const INJECTIONS = [
  `'`,
  `"`,
  '`',
  `1 OR 1=1`,
  `' OR '1'='1`,
  `'; DROP TABLE notes; --`,
  `\\' OR 1=1 --`,
  `%`,
  `_`,
  `{"$ne":null}`,
  `$where`,
  `$$ROOT`,
  `.*`,
  `\u0000`,
  `$title`,
  `😀 ${'x'.repeat(40)}`,
];

interface Shared {
  adapter: StoreAdapter;
  objects: Objects;
}

async function opened(store: ConformanceStore, bounds?: StoreBounds): Promise<OpenedStore & Shared> {
  const { adapter, teardown } = await store.open(bounds);
  await adapter.open();
  return { adapter, teardown, objects: await describeUses(adapter, noteUses) };
}

async function describeUses<U extends Uses>(adapter: StoreAdapter, uses: U): Promise<Described<U>> {
  const found = await adapter.describe(Object.values(uses).map(({ name }) => name));
  const entries = Object.entries(uses).map(([alias, use]) => {
    const object = found.get(use.name);
    assert.ok(object, `${use.name} is not there`);
    assert.deepEqual(adapter.check(use, object), []);
    return [alias, narrowObject(use, object)] as const;
  });
  return Object.fromEntries(entries) as Described<U>;
}

async function refused(work: Promise<unknown>, code: string, field?: string): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(isBedsError(error), String(error));
    assert.equal(error.code, code, error.message);
    if (field !== undefined) assert.equal(error.field, field);
    return true;
  });
}

/** Registers the tests that every adapter has to pass. Call it at the top level of the store's test file. */
export function adapterConformance(store: ConformanceStore): void {
  describe(`${store.name}: the adapter contract`, () => {
    const shared = {} as Shared;
    let end: () => Promise<void> = () => Promise.resolve();
    before(async () => {
      const { adapter, objects, teardown } = await opened(store);
      Object.assign(shared, { adapter, objects });
      end = async () => {
        await adapter.close(1_000);
        await teardown();
      };
    });
    after(() => end());
    catalogueTests(shared, store);
    callTests(shared);
    viewTests(shared);
    filterTests(shared, store);
    formTests(shared, store);
    modeTests(shared);
    boundTests(store);
  });
}

function catalogueTests(shared: Shared, { unable }: ConformanceStore): void {
  test('objects are described by name and kind, absent ones are absent', async () => {
    const found = await shared.adapter.describe(['note_create', 'note_list', 'note_none', 'note`; --', '$where']);
    assert.deepEqual([...found.keys()].sort(), ['note_create', 'note_list']);
    assert.equal(found.get('note_list')?.kind, 'view');
    assert.notEqual(found.get('note_create')?.kind, 'view');
  });

  test('what is not granted to the runtime account is not there', async (t) => {
    if (unable?.hidden !== undefined) return t.skip(unable.hidden);
    assert.equal((await shared.adapter.describe(['notes_hidden'])).size, 0);
  });

  test('a use that does not fit is found with all its reasons', () => {
    const { adapter, objects } = shared;
    const codes = (use: ObjectManifest, found?: NamedObject): readonly string[] =>
      adapter.check(use, found).map(({ code }) => code.replace('BEDS_PREFLIGHT_', ''));
    assert.deepEqual(codes(noteUses.create, undefined), ['OBJECT_MISSING']);
    assert.deepEqual(codes({ kind: 'view', name: 'note_create', columns: {} }, objects.create), ['KIND_MISMATCH']);
    assert.deepEqual(codes({ ...noteUses.list, kind: 'procedure', args: {} }, objects.list), ['KIND_MISMATCH']);
    const wrong: ObjectManifest = {
      ...noteUses.create,
      args: { id: text, titel: text, body: { type: 'string', optional: true }, stars: { type: 'datetime' } },
    };
    assert.deepEqual(codes(wrong, objects.create).toSorted(), [
      'ARGUMENT_MISSING',
      'ARGUMENT_UNKNOWN',
      'TYPE_MISMATCH',
    ]);
    const columns = { ...noteUses.list, columns: { id: text, colour: text, stars: { type: 'json' } } } as const;
    assert.deepEqual(codes(columns, objects.list).toSorted(), ['COLUMN_MISSING', 'TYPE_MISMATCH']);
  });

  test('the status names the store and what its server can do', () => {
    const status = shared.adapter.status();
    assert.equal(status.up, true);
    assert.equal(status.store, shared.adapter.store);
    assert.notEqual(status.server, '');
    assert.ok(status.connections.most > 0);
  });
}

function callTests(shared: Shared): void {
  const create = (args: JsonObject): Promise<unknown> => shared.adapter.call(shared.objects.create, args, write);
  const find = async (id: string): Promise<readonly JsonObject[]> =>
    (await shared.adapter.view(shared.objects.list, { key: 'id', where: { id } }, read)).rows;

  test('arguments are named: their order does not matter, optional ones may be left out', async () => {
    await create({ stars: 3, title: 'named', id: 'call-1' });
    assert.deepEqual(await find('call-1'), [{ id: 'call-1', title: 'named', body: null, stars: 3 }]);
    await create({ id: 'call-2', title: 'named', body: 'text', stars: 4 });
    assert.equal((await find('call-2'))[0]?.['body'], 'text');
  });

  test('a record is changed and deleted', async () => {
    const { adapter, objects } = shared;
    await create({ id: 'call-3', title: 'before', stars: 0 });
    await adapter.call(objects.update, { id: 'call-3', title: 'after' }, write);
    assert.equal((await find('call-3'))[0]?.['title'], 'after');
    await adapter.call(objects.delete, { id: 'call-3' }, write);
    assert.deepEqual(await find('call-3'), []);
  });

  test('a function gives its value', async () => {
    await create({ id: 'call-4', title: 'counted', stars: 0 });
    await create({ id: 'call-5', title: 'counted', stars: 0 });
    const { rows } = await shared.adapter.call(shared.objects.count, { title: 'counted' }, read);
    assert.deepEqual(rows, [{ value: 2 }]);
  });

  test('missing, unknown and ill-typed arguments are refused by name before the database sees them', async () => {
    const good = { id: 'call-6', title: 'never', stars: 1 };
    await refused(create({ id: 'call-6', stars: 1 }), 'BEDS_STORE_INVALID_VALUE', 'title');
    await refused(create({ ...good, colour: 'red' }), 'BEDS_STORE_INVALID_VALUE', 'colour');
    await refused(create({ ...good, title: null }), 'BEDS_STORE_INVALID_VALUE', 'title');
    for (const stars of ['1 OR 1=1', 1.5, true, Number.NaN, Infinity, [], { $ne: null }]) {
      await refused(create({ ...good, stars }), 'BEDS_STORE_INVALID_VALUE', 'stars');
    }
    for (const title of [7, false, ['a'], { $gt: '' }]) {
      await refused(create({ ...good, title }), 'BEDS_STORE_INVALID_VALUE', 'title');
    }
    assert.deepEqual(await find('call-6'), []);
  });

  test('a second record with the same key is a conflict', async () => {
    await create({ id: 'call-7', title: 'first', stars: 1 });
    await refused(create({ id: 'call-7', title: 'second', stars: 1 }), 'BEDS_STORE_CONFLICT');
    assert.equal((await find('call-7'))[0]?.['title'], 'first');
  });

  test('what the DBA refuses reaches the caller with its class, its words and its field, alone and in a transaction', async () => {
    const uses: Uses = Object.fromEntries(
      Object.keys(refusals).map((word) => [
        word,
        { kind: 'procedure', name: `note_refuse_${word}`, args: { id: text } } as const,
      ]),
    );
    const objects = await describeUses(shared.adapter, uses);
    for (const [word, [, code, status, message, field]] of Object.entries(refusals)) {
      const object = objects[word];
      assert.ok(object);
      const expected = { code, status, message, field, retryable: false };
      await assert.rejects(shared.adapter.call(object, { id: 'refused' }, write), expected);
      if (!shared.adapter.status().capabilities.transactions) continue;
      const inside = shared.adapter.transaction((scope) => scope.call(object, { id: 'refused' }), write);
      await assert.rejects(inside, expected);
    }
  });

  test('what looks like code is only ever data', async () => {
    for (const [index, title] of INJECTIONS.entries()) {
      const id = `inject-${index}`;
      await create({ id, title, body: title, stars: index });
      assert.deepEqual(await find(id), [{ id, title, body: title, stars: index }]);
      const where = { id: { prefix: 'inject-' }, title };
      const { rows } = await shared.adapter.view(shared.objects.list, { key: 'id', where }, read);
      assert.deepEqual(
        rows.map((row) => row['id']),
        [id],
      );
      const starting = { id: { prefix: 'inject-' }, body: { prefix: title } };
      const prefixed = await shared.adapter.view(shared.objects.list, { key: 'id', where: starting }, read);
      assert.ok(prefixed.rows.every((row) => (row['body'] as string).startsWith(title)));
      assert.ok(prefixed.rows.length >= 1);
    }
  });
}

function viewTests(shared: Shared): void {
  const ROWS = 23;
  const view = (query: ViewQuery): Promise<{ rows: readonly JsonObject[]; cursor?: string | undefined }> =>
    shared.adapter.view(
      shared.objects.list,
      { key: 'id', ...query, where: { id: { prefix: 'view-' }, ...query.where } },
      read,
    );
  const ids = async (where: NonNullable<ViewQuery['where']>): Promise<readonly unknown[]> =>
    (await view({ where })).rows.map((row) => Number((row['id'] as string).slice(5)));

  before(async () => {
    const made = Array.from({ length: ROWS }, (_, i) =>
      shared.adapter.call(
        shared.objects.create,
        {
          id: `view-${String(i).padStart(2, '0')}`,
          title: `title ${i % 3}`,
          body: i % 4 === 0 ? null : `b${i % 2}`,
          stars: i % 5,
        },
        write,
      ),
    );
    await Promise.all(made);
  });

  test('conditions: equality, ranges, lists, prefixes and null', async () => {
    assert.deepEqual(await ids({ stars: 4 }), [4, 9, 14, 19]);
    assert.deepEqual(await ids({ stars: { gte: 1, lt: 2 } }), [1, 6, 11, 16, 21]);
    assert.deepEqual(await ids({ stars: { gt: 3 }, title: 'title 1' }), [4, 19]);
    assert.deepEqual(await ids({ stars: { in: [3, 4] }, title: { ne: 'title 0' } }), [4, 8, 13, 14, 19]);
    assert.deepEqual(await ids({ stars: { in: [] } }), []);
    assert.deepEqual(await ids({ body: null }), [0, 4, 8, 12, 16, 20]);
    assert.deepEqual(await ids({ body: { ne: null }, stars: { lte: 0 } }), [5, 10, 15]);
    assert.deepEqual(await ids({ body: { ne: 'b1' }, stars: 0 }), [0, 10, 20]);
    assert.deepEqual(await ids({ body: { in: [null, 'b0'] }, stars: 1 }), [6, 16]);
    assert.deepEqual(await ids({ body: { prefix: 'b1' }, stars: 1 }), [1, 11, 21]);
  });

  const boundTo = (title: string, query: ViewQuery): ReturnType<StoreAdapter['view']> =>
    shared.adapter.view(shared.objects.list, { key: 'id', rows: { title }, ...query }, read);
  const everything: Filter = { where: { stars: { gte: 0 } } };
  const crafted: Readonly<Record<string, ViewQuery>> = {
    'a condition on the same column': { where: { title: { ne: 'nothing' } } },
    'a list of other values': { where: { title: { in: ['title 0', 'title 1', 'title 2', null] } } },
    'one of two': { or: [{ where: { title: 'title 0' } }, everything] },
    'one of two within all': { and: [{ or: [everything, { not: everything }] }] },
    'the opposite of nothing': { not: { and: [everything, { not: everything }] } },
    'the opposite of what is bound': { not: { where: { title: 'title 1' } }, ...{ or: [everything] } },
    'an order by another column': { order: [{ column: 'body' }, { column: 'stars', direction: 'desc' }] },
  };
  for (const [name, query] of Object.entries(crafted)) {
    test(`rows that are bound are all there are, whatever is asked: ${name}`, async () => {
      const { rows, count } = await boundTo('title 1', { ...query, limit: 100, count: true });
      assert.deepEqual(
        new Set(rows.map((row) => row['title'])),
        new Set(name.startsWith('the opposite of what') ? [] : ['title 1']),
      );
      assert.equal(count, rows.length);
      const none = await boundTo('title 1', { ...query, limit: 0, count: true });
      assert.deepEqual([none.rows, none.count], [[], count]);
    });
  }

  test('a cursor is good for the rows that it was given for, and no others', async () => {
    const first = await boundTo('title 0', { limit: 2 });
    assert.ok(first.cursor !== undefined);
    const { cursor } = first;
    assert.equal((await boundTo('title 0', { limit: 2, cursor })).rows.length, 2);
    await refused(boundTo('title 1', { limit: 2, cursor }), 'BEDS_STORE_CURSOR_INVALID');
    await refused(view({ limit: 2, cursor }), 'BEDS_STORE_CURSOR_INVALID');
  });

  test('reads that come at once and are bound to others get what is theirs, by key and by conditions', async () => {
    const asked = Array.from({ length: 60 }, async (_, n) => {
      const [title, id] = [`title ${n % 3}`, `view-${String(n % ROWS).padStart(2, '0')}`];
      const found = await boundTo(title, n < 46 ? { where: { id }, limit: 1 } : { where: { stars: n % 5 }, limit: 50 });
      const plain = await view(n < 46 ? { where: { id } } : { where: { stars: n % 5, title } });
      return [
        found.rows.filter(({ id: found }) => typeof found === 'string' && found.startsWith('view-')),
        plain.rows.filter((row) => row['title'] === title),
      ] as const;
    });
    for (const [found, own] of await Promise.all(asked)) assert.deepEqual(found, own);
  });

  test('who is nobody of that type has no rows', async () => {
    const rows = { stars: 'ann' };
    assert.deepEqual((await shared.adapter.view(shared.objects.list, { key: 'id', rows }, read)).rows, []);
    const some = await shared.adapter.view(
      shared.objects.list,
      { key: 'id', rows: { stars: { in: ['1', '2'] } } },
      read,
    );
    assert.deepEqual(new Set(some.rows.map((row) => row['stars'])), new Set([1, 2]));
    const none = await shared.adapter.view(shared.objects.list, { key: 'id', rows: { title: { in: [] } } }, read);
    assert.deepEqual(none.rows, []);
  });

  const orders: readonly (readonly OrderBy[])[] = [
    [],
    [{ column: 'stars' }],
    [{ column: 'stars', direction: 'desc' }, { column: 'title' }],
    [{ column: 'body' }, { column: 'stars', direction: 'desc' }],
    [{ column: 'body', direction: 'desc' }],
    [{ column: 'title' }, { column: 'id', direction: 'desc' }],
  ];
  for (const order of orders) {
    const name = order.map(({ column, direction }) => `${column} ${direction ?? 'asc'}`).join(', ') || 'the key';
    test(`a cursor walks all pages ordered by ${name}, ties and nulls included`, async () => {
      const all = (await view({ order, limit: 100 })).rows;
      assert.equal(all.length, ROWS);
      for (const limit of [1, 4, ROWS]) {
        const walked: JsonObject[] = [];
        let cursor: string | undefined;
        for (let pages = 0; pages <= ROWS; pages += 1) {
          const page = await view({ order, limit, ...(cursor === undefined ? {} : { cursor }) });
          assert.ok(page.rows.length <= limit);
          walked.push(...page.rows);
          cursor = page.cursor;
          if (cursor === undefined) break;
        }
        assert.deepEqual(walked, all);
      }
    });
  }

  test('a query that does not fit the view is refused', async () => {
    await refused(view({ where: { colour: 1 } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.colour');
    await refused(view({ where: { stars: 'many' } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.stars');
    await refused(view({ where: { stars: { $ne: 1 } as never } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.stars');
    await refused(
      view({ where: { title: { eq: { $gt: '' } as never } } }),
      'BEDS_STORE_QUERY_INVALID',
      'query.where.title',
    );
    await refused(view({ where: { stars: { prefix: '1' } } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.stars');
    await refused(view({ order: [{ column: 'stars; DROP' }] }), 'BEDS_STORE_QUERY_INVALID', 'query.order[0].column');
    await refused(
      view({ order: [{ column: 'stars', direction: 'up' as 'asc' }] }),
      'BEDS_STORE_QUERY_INVALID',
      'query.order[0].direction',
    );
    for (const limit of [0, -1, 1.5, 1e9, '1' as never]) {
      await refused(view({ limit }), 'BEDS_STORE_QUERY_INVALID', 'query.limit');
    }
  });

  test('the refusal of a query names the column and what is wrong with it', async () => {
    const mistakes: readonly [ViewQuery, RegExp][] = [
      [{ where: { colour: 1 } }, /^query\.where\.colour is not a column of the view\.$/],
      [{ where: { stars: 'many' } }, /where\.stars must be a whole number/],
      [
        { order: [{ column: 'colour' }] },
        /^query\.order\[0\]\.column names colour, which is not a column of the view\.$/,
      ],
      [{ order: ['title' as never] }, /^query\.order\[0\] must be \{ column, direction \}\.$/],
      [{ order: [null as never] }, /^query\.order\[0\] must be \{ column, direction \}\.$/],
    ];
    for (const [query, message] of mistakes) await assert.rejects(view(query), { message });
  });

  test('a cursor is good for the query it came from only', async () => {
    const { cursor } = await view({ limit: 3 });
    assert.ok(cursor !== undefined);
    await refused(view({ cursor, where: { stars: 1 } }), 'BEDS_STORE_CURSOR_INVALID', 'query.cursor');
    await refused(view({ cursor, order: [{ column: 'stars' }] }), 'BEDS_STORE_CURSOR_INVALID', 'query.cursor');
    for (const forged of ['', 'x', cursor.slice(0, -4), Buffer.from('[1,"x",[{"$ne":1}]]').toString('base64url')]) {
      await refused(view({ cursor: forged }), 'BEDS_STORE_CURSOR_INVALID', 'query.cursor');
    }
  });
}

const integer = { type: 'integer' } as const;
const tags = { type: 'list', items: text } as const;
const forms = {
  big: { type: 'bigint' },
  state: { type: 'enum', values: STATES },
  bytes: { type: 'binary' },
  tags,
  place: { type: 'object', fields: { city: text, at: { type: 'list', items: { type: 'number' } } } },
} as const;

const kindUse = {
  kind: 'view',
  name: 'kind_list',
  columns: {
    id: { type: 'integer' },
    text,
    whole: { type: 'integer' },
    exact: { type: 'decimal' },
    real: { type: 'number' },
    flag: { type: 'boolean' },
    day: { type: 'date' },
    moment: { type: 'datetime' },
    data: { type: 'json' },
    ...forms,
  },
} as const satisfies ObjectManifest;

type KindColumn = Exclude<keyof KindRow, 'data' | 'tags' | 'place'>;

/** Few values of each type, so that random comparisons meet them. */
const KIND_VALUES: { readonly [K in KindColumn]: readonly NonNullable<KindRow[K]>[] } = {
  id: [1, 2, 7, 20],
  text: ['', 'a', 'A', 'ab', 'b', 'a%b', 'a_b', 'axb', 'é', '!', '.*', '\\', 'Über'],
  whole: [-3, 0, 1, 2, 2_147_483_647],
  exact: ['-1.5', '0', '1.25', '1.2500', '99999999999999.9999'],
  real: [-0.5, 0, 1.5, 1e100],
  flag: [true, false],
  day: ['1999-12-31', '2000-01-01', '2026-11-29'],
  moment: ['1999-12-31T23:59:59.999Z', '2000-01-01T00:00:00.000Z', '2026-11-29T12:00:00.500Z'],
  big: ['-9223372036854775808', '9', '10', '9007199254740992', '9007199254740993', '9223372036854775807'],
  state: STATES,
  // n.b. of different lengths the shorter one, or the smaller one comes first: databases do not agree.
  bytes: ['AAA=', 'AP8=', 'fwA=', '/wA='],
};

const KIND_COLUMNS = Object.keys(KIND_VALUES) as readonly KindColumn[];
const OTHER_ROWS = 40;

/** What the database should say of a row: every comparison holds or does not. */
function shouldHold(row: KindRow, { where = {}, and = [], or, not }: Filter): boolean {
  return (
    Object.entries(where).every(([column, comparison]) => {
      return Object.entries(comparison as Comparison).every(([op, against]) => {
        return shouldCompare({ column: column as KindColumn, op, against: against as Json }, row);
      });
    }) &&
    and.every((filter) => shouldHold(row, filter)) &&
    (or === undefined || or.some((filter) => shouldHold(row, filter))) &&
    (not === undefined || !shouldHold(row, not))
  );
}

interface KindComparison {
  readonly column: KindColumn;
  readonly op: string;
  readonly against: Json;
}

function shouldCompare({ column, op, against }: KindComparison, row: KindRow): boolean {
  const value = row[column];
  const order = (other: Json): number => inOrder(column, value, other as Scalar);
  if (op === 'eq') return order(against) === 0;
  if (op === 'ne') return order(against) !== 0;
  if (op === 'in') return (against as readonly Json[]).some((item) => order(item) === 0);
  if (op === 'isNull') return (value === null) === against;
  if (value === null) return false;
  switch (op) {
    case 'lt':
      return order(against) < 0;
    case 'lte':
      return order(against) <= 0;
    case 'gt':
      return order(against) > 0;
    case 'gte':
      return order(against) >= 0;
    case 'between': {
      const [low, high] = against as readonly [Json, Json];
      return order(low) >= 0 && order(high) <= 0;
    }
    case 'prefix':
      return String(value).startsWith(against as string);
    default:
      return String(value).includes(against as string);
  }
}

const TEXTS: readonly KindColumn[] = ['text', 'day', 'moment', 'state'];

/** Null sorts before every value. */
function inOrder(column: KindColumn, a: Scalar, b: Scalar): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (column === 'bytes') return Buffer.compare(Buffer.from(String(a), 'base64'), Buffer.from(String(b), 'base64'));
  if (column === 'big') return Number(BigInt(a) - BigInt(b));
  if (TEXTS.includes(column)) return a === b ? 0 : a < b ? -1 : 1;
  return Number(a) - Number(b);
}

const anyValue = (column: KindColumn): fc.Arbitrary<Scalar> => fc.constantFrom<Scalar>(...KIND_VALUES[column]);
const anyOrNull = (column: KindColumn): fc.Arbitrary<Scalar> => fc.option(anyValue(column), { freq: 4 });

function anyComparison(column: KindColumn): fc.Arbitrary<Comparison> {
  const one = anyValue(column);
  const orNull = anyOrNull(column);
  const forms: fc.Arbitrary<object>[] = [
    fc.record({ eq: orNull }),
    fc.record({ ne: orNull }),
    fc.record({ lt: one }),
    fc.record({ lte: one, gt: one }),
    fc.record({ gte: one }),
    fc.record({ in: fc.array(orNull, { maxLength: 4 }) }),
    fc.record({ between: fc.tuple(one, one) }),
    fc.record({ isNull: fc.boolean() }),
  ];
  if (column === 'text') forms.push(fc.record({ prefix: one }), fc.record({ contains: one }));
  return fc.oneof(...forms);
}

const anyWhere = fc
  .subarray([...KIND_COLUMNS], { minLength: 1, maxLength: 2 })
  .chain((columns) => fc.record(Object.fromEntries(columns.map((column) => [column, anyComparison(column)]))));

const anyFilter: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => {
  const inner = tie('filter');
  const list = fc.array(inner, { minLength: 1, maxLength: 3 });
  return {
    filter: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.record({ where: anyWhere }),
      fc.record({ or: list }),
      fc.record({ and: list }),
      fc.record({ not: inner }),
      fc.record({ where: anyWhere, or: list, not: inner }),
    ),
  };
}).filter;

function filterTests(shared: Shared, store: ConformanceStore): void {
  const rows: readonly KindRow[] = [...KIND_COLUMNS, 'none' as const].flatMap((column, at) => {
    const value = (of: KindColumn, index: number): Scalar => {
      const values = KIND_VALUES[of];
      return of === column || index % 4 === 0 ? null : (values[index % values.length] ?? null);
    };
    return Array.from({ length: Math.ceil(OTHER_ROWS / KIND_COLUMNS.length) }, (_, n): KindRow => {
      const index = at * 7 + n * 3;
      const made = Object.fromEntries(KIND_COLUMNS.map((of, shift) => [of, value(of, index + shift)]));
      const parts = index % 3 === 0 ? { tags: null, place: null } : { tags: ['a'], place: { city: 'Zug', at: [] } };
      return { ...(made as unknown as KindRow), ...parts, id: at * 10 + n, data: index % 3 === 0 ? null : { index } };
    });
  });
  let view: NamedObject;
  before(async () => {
    await store.fillKinds(rows);
    const found = (await shared.adapter.describe(['kind_list'])).get('kind_list');
    assert.deepEqual(shared.adapter.check(kindUse, found), []);
    assert.ok(found);
    view = narrowObject(kindUse, found);
  });
  const idsOf = (found: readonly JsonObject[]): readonly unknown[] => found.map(({ id }) => id);

  test('random filters find what they say, on every page and in every order, and count it', async () => {
    const anyOrder = fc.record({
      column: fc.constantFrom(...KIND_COLUMNS.filter((column) => column !== 'id')),
      direction: fc.constantFrom('asc' as const, 'desc' as const),
    });
    const property = fc.asyncProperty(
      anyFilter,
      anyOrder,
      fc.integer({ min: 1, max: 9 }),
      async (filter, order, limit) => {
        const expected = rows
          .filter((row) => shouldHold(row, filter))
          .toSorted((a, b) => {
            const difference = inOrder(order.column, a[order.column], b[order.column]);
            return (order.direction === 'desc' ? -difference : difference) || a.id - b.id;
          });
        const query = { key: 'id', ...filter, order: [order], limit };
        const walked: unknown[] = [];
        let cursor: string | undefined;
        do {
          const page = await shared.adapter.view(
            view,
            { ...query, count: true, ...(cursor === undefined ? {} : { cursor }) },
            read,
          );
          assert.equal(page.count, expected.length);
          walked.push(...idsOf(page.rows));
          cursor = page.cursor;
        } while (cursor !== undefined && walked.length <= rows.length);
        assert.deepEqual(walked, idsOf(expected as unknown as readonly JsonObject[]));
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  test('a count without rows counts what the filter finds', async () => {
    const query = { key: 'id', where: { flag: { isNull: true } }, limit: 0, count: true };
    const expected = rows.filter(({ flag }) => flag === null).length;
    assert.deepEqual(await shared.adapter.view(view, query, read), { rows: [], count: expected });
    const none = { ...query, where: { id: -1 } };
    assert.deepEqual(await shared.adapter.view(view, none, read), { rows: [], count: 0 });
  });

  test('JSON is compared with null only, and what is no text has no prefix', async () => {
    const found = async (where: object): Promise<number> =>
      (await shared.adapter.view(view, { key: 'id', where, limit: 0, count: true }, read)).count ?? -1;
    const nulls = rows.filter(({ data }) => data === null).length;
    for (const column of ['data', 'tags', 'place']) {
      assert.equal(await found({ [column]: null }), nulls);
      assert.equal(await found({ [column]: { isNull: false } }), rows.length - nulls);
      await refused(found({ [column]: 1 }), 'BEDS_STORE_QUERY_INVALID', `query.where.${column}`);
    }
    await refused(found({ day: { contains: '1999' } }), 'BEDS_STORE_QUERY_INVALID', 'query.where.day');
  });
}

const optional = <T extends object>(of: T): T & { readonly optional: true } => ({ ...of, optional: true });
const formFields = {
  id: integer,
  big: optional(forms.big),
  state: optional(forms.state),
  bytes: optional(forms.bytes),
  tags: optional(tags),
  place: optional(forms.place),
} as const;

/** What the store's test file makes beside `kind_list`: a routine that adds a row and gives it, and others that give rows. */
const formUses = {
  list: { kind: 'view', name: 'kind_list', columns: { id: integer, ...forms } },
  add: { kind: 'procedure', name: 'form_add', args: formFields, returns: { type: 'object', fields: formFields } },
  get: {
    kind: 'procedure',
    name: 'form_get',
    args: { wanted: integer },
    returns: { type: 'list', items: { type: 'object', fields: formFields } },
  },
  tags: { kind: 'function', name: 'form_tags', args: { wanted: integer }, returns: optional(tags) },
} as const satisfies Uses;

/** All rows by `id`, those below 0, and one. */
const setsUse = {
  kind: 'procedure',
  name: 'form_sets',
  args: { wanted: integer },
  returns: [
    { type: 'list', items: { type: 'object', fields: { id: integer, state: optional(forms.state) } } },
    { type: 'list', items: { type: 'object', fields: { id: integer } } },
    { type: 'object', fields: { tags: optional(tags), big: optional(forms.big) } },
  ],
} as const satisfies ObjectManifest;

const NO_FORM = { big: null, state: null, bytes: null, tags: null, place: null };
const FORMS = [
  {
    ...{ id: 1, big: '9007199254740993', state: 'open', bytes: 'AP+AJw==', tags: ['a', 'ß "x"', ''] },
    place: { city: 'Zürich', at: [47.37, -8.5] },
  },
  { id: 2, big: '-9223372036854775808', state: 'closed', bytes: '', tags: [], place: { city: '', at: [] } },
  {
    ...{ id: 3, big: '9223372036854775807', state: 'open', bytes: Buffer.alloc(200, 0x5c).toString('base64') },
    ...{ tags: ['null', '[]', '{"$ne":null}', '1'], place: { city: "'; --", at: [0] } },
  },
  { id: 4, ...NO_FORM },
];

function formTests(shared: Shared, { fillKinds, unable }: ConformanceStore): void {
  let objects: Described<typeof formUses>;
  before(async () => {
    objects = await describeUses(shared.adapter, formUses);
  });

  test('lists, objects, enums, numbers of 64 bits and bytes come back as they were given', async () => {
    const { adapter } = shared;
    await fillKinds([]);
    for (const form of FORMS) {
      const { id } = form;
      const added = await adapter.call(objects.add, form, write);
      assert.deepEqual(compileReturns(formUses.add)(added), { value: form });
      assert.deepEqual((await adapter.view(objects.list, { key: 'id', where: { id } }, read)).rows, [form]);
      const got = await adapter.call(objects.get, { wanted: id }, read);
      assert.deepEqual(compileReturns(formUses.get)(got), { value: [form] });
      const own = await adapter.call(objects.tags, { wanted: id }, read);
      assert.deepEqual(compileReturns(formUses.tags)(own), { value: form.tags });
    }
    await adapter.call(objects.add, { id: 5 }, write);
    assert.deepEqual((await adapter.view(objects.list, { key: 'id' }, read)).rows, [...FORMS, { id: 5, ...NO_FORM }]);
  });

  test('what is no such value is refused by the name of its argument', async () => {
    await fillKinds([]);
    const wrong: readonly (readonly [string, Json])[] = [
      ...['9223372036854775808', '-9223372036854775809', '1.5', 'x', true, ['1']].map((big) => ['big', big] as const),
      ...['YQ=', 'YR==', '!', 7, ['YQ==']].map((bytes) => ['bytes', bytes] as const),
      ...[7, true, ['open']].map((state) => ['state', state] as const),
    ];
    for (const [name, value] of wrong) {
      const adding = shared.adapter.call(objects.add, { id: 1, [name]: value }, write);
      await refused(adding, 'BEDS_STORE_INVALID_VALUE', name);
    }
    assert.deepEqual((await shared.adapter.view(objects.list, { key: 'id' }, read)).rows, []);
  });

  test('result sets are given in their order, also those without rows', async (t) => {
    if (unable?.sets !== undefined) return t.skip(unable.sets);
    await fillKinds([]);
    for (const form of FORMS) await shared.adapter.call(objects.add, form, write);
    const { sets } = await describeUses(shared.adapter, { sets: setsUse });
    for (const { id: wanted, tags, big } of FORMS) {
      const found = compileReturns(setsUse)(await shared.adapter.call(sets, { wanted }, read));
      assert.deepEqual(found, { value: [FORMS.map(({ id, state }) => ({ id, state })), [], { tags, big }] });
    }
    const none = compileReturns(setsUse)(await shared.adapter.call(sets, { wanted: 99 }, read));
    assert.deepEqual('value' in none && (none.value as readonly unknown[])[2], undefined);
  });
}

function modeTests(shared: Shared): void {
  const create = (id: string): JsonObject => ({ id, title: 'mode', stars: 1 });
  const exists = async (id: string): Promise<boolean> =>
    (await shared.adapter.view(shared.objects.list, { key: 'id', where: { id } }, read)).rows.length > 0;

  test('a read cannot write', async (t: TestContext) => {
    const { adapter, objects } = shared;
    if (!adapter.status().capabilities.readOnlyReads) return t.skip('the server has no READ ONLY reads');
    await refused(adapter.call(objects.create, create('mode-1'), read), 'BEDS_STORE_DENIED');
    assert.equal(await exists('mode-1'), false);
  });

  test('a transaction keeps all of its calls or none', async (t: TestContext) => {
    const { adapter, objects } = shared;
    if (!adapter.status().capabilities.transactions) {
      await refused(
        adapter.transaction(() => Promise.resolve(), write),
        'BEDS_STORE_NOT_SUPPORTED',
      );
      return t.skip('the server has no transactions');
    }
    const both = await adapter.transaction(async (scope) => {
      await scope.call(objects.create, create('mode-2'));
      await scope.call(objects.create, create('mode-3'));
      return (await scope.view(objects.list, { key: 'id', where: { id: { prefix: 'mode-' } } })).rows.length;
    }, write);
    assert.equal(both, 2);
    const reason = new TypeError('the work changed its mind');
    const failing = adapter.transaction(async (scope) => {
      await scope.call(objects.create, create('mode-4'));
      throw reason;
    }, write);
    await assert.rejects(failing, reason);
    assert.equal(await exists('mode-4'), false);
    const conflicting = adapter.transaction(async (scope) => {
      await scope.call(objects.create, create('mode-5'));
      // Going on after a failure does not save the transaction.
      await scope.call(objects.create, create('mode-2')).catch(() => undefined);
    }, write);
    await refused(conflicting, 'BEDS_STORE_CONFLICT');
    assert.equal(await exists('mode-5'), false);
  });
}

function boundTests(store: ConformanceStore): void {
  const slow = async (t: TestContext, bounds: StoreBounds): Promise<(OpenedStore & Shared) | undefined> => {
    if (store.unable?.slow !== undefined) {
      t.skip(store.unable.slow);
      return undefined;
    }
    const made = await opened(store, bounds);
    t.after(async () => {
      await made.adapter.close(1_000);
      await made.teardown();
    });
    return made;
  };
  const quiet = async (): Promise<number> => {
    const until = performance.now() + 3_000;
    for (;;) {
      const count = (await store.running?.()) ?? 0;
      if (count === 0 || performance.now() > until) return count;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  for (const mode of ['read', 'write'] as const) {
    test(`the deadline stops a ${mode} in the server`, async (t) => {
      if (store.unable?.deadline !== undefined) return t.skip(store.unable.deadline);
      const made = await slow(t, { poolSize: 2 });
      if (made === undefined) return;
      const started = performance.now();
      await refused(made.adapter.call(made.objects.slow, {}, { mode, timeoutMs: 300 }), 'BEDS_STORE_TIMEOUT');
      assert.ok(performance.now() - started < 2_000, 'it took too long to notice');
      assert.equal(await quiet(), 0);
      await made.adapter.call(made.objects.count, { title: 'x' }, read);
    });
  }

  test('a caller that gives up stops the statement in the server', async (t) => {
    if (store.unable?.deadline !== undefined) return t.skip(store.unable.deadline);
    const made = await slow(t, { poolSize: 2 });
    if (made === undefined) return;
    const signal = AbortSignal.timeout(200);
    // A server may be able to stop it only when its time is over.
    const options = { mode: 'read', timeoutMs: 1_500, signal } as const;
    const started = performance.now();
    await refused(made.adapter.call(made.objects.slow, {}, options), 'BEDS_STORE_TIMEOUT');
    assert.ok(performance.now() - started < 1_000, 'it did not give up with its caller');
    assert.equal(await quiet(), 0);
  });

  test('fifty calls at once over four connections are all answered', async (t) => {
    const made = await opened(store, { poolSize: 4, acquireTimeoutMs: 30_000 });
    t.after(async () => {
      await made.adapter.close(1_000);
      await made.teardown();
    });
    const calls = Array.from({ length: 50 }, (_, i) =>
      i % 2 === 0
        ? made.adapter.call(made.objects.count, { title: 'none' }, read)
        : made.adapter.call(made.objects.create, { id: `many-${i}`, title: 'many', stars: i }, write),
    );
    await Promise.all(calls);
    assert.equal((await made.adapter.call(made.objects.count, { title: 'many' }, read)).rows[0]?.['value'], 25);
    const { inUse, waiting, most } = made.adapter.status().connections;
    assert.deepEqual({ waiting, most }, { waiting: 0, most: 4 });
    assert.ok(inUse <= 4);
  });

  test('calls go on beside transactions that hold all connections but one', async (t) => {
    const made = await opened(store, { poolSize: 4, acquireTimeoutMs: 30_000 });
    t.after(async () => {
      await made.adapter.close(1_000);
      await made.teardown();
    });
    const { adapter, objects } = made;
    if (!adapter.status().capabilities.transactions) return t.skip('the server has no transactions');
    const count = (): Promise<unknown> => adapter.call(objects.count, { title: 'none' }, read);
    const transactions = Array.from({ length: 3 }, (_, i) =>
      adapter.transaction(async (scope) => {
        const beside = [count(), count(), count()];
        await scope.call(objects.create, { id: `beside-${i}`, title: 'beside', stars: i });
        await Promise.all(beside);
      }, write),
    );
    await Promise.all([...transactions, ...Array.from({ length: 20 }, count)]);
    assert.equal((await adapter.call(objects.count, { title: 'beside' }, read)).rows[0]?.['value'], 3);
  });

  test('calls beyond the queue are refused at once as overload', async (t) => {
    const made = await slow(t, { poolSize: 1, queueLimit: 2, acquireTimeoutMs: 5_000 });
    if (made === undefined) return;
    const options = { mode: 'read', timeoutMs: 700 } as const;
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => made.adapter.call(made.objects.slow, {}, options)),
    );
    const codes = results.map((result) =>
      result.status === 'rejected' ? (result.reason as { code?: string }).code : '',
    );
    assert.ok(codes.filter((code) => code === 'BEDS_STORE_OVERLOADED').length >= 5, codes.join(' '));
    assert.ok(codes.every((code) => code === 'BEDS_STORE_OVERLOADED' || code === 'BEDS_STORE_TIMEOUT'));
  });

  test('close is bounded, can be called twice, and refuses what comes after', async (t) => {
    const made = await slow(t, { poolSize: 2 });
    if (made === undefined) return;
    // n.b. what is left of it in the server ends by its own time, and no later test is to meet it.
    const running = made.adapter.call(made.objects.slow, {}, { ...read, timeoutMs: 1_000 }).then(
      () => 'done',
      (error: unknown) => (isBedsError(error) ? 'ended' : String(error)),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    const started = performance.now();
    await Promise.all([made.adapter.close(300), made.adapter.close(300)]);
    assert.ok(performance.now() - started < 2_500);
    assert.equal(await running, 'ended');
    await refused(made.adapter.call(made.objects.count, { title: 'x' }, read), 'BEDS_STORE_CLOSED');
  });
}
