import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { BedsError, JsonObject, ValueType } from '@beds/sdk';
import { narrowObject } from '../host/stores/check-use.js';
import type { NamedObject } from '../host/stores/contract.js';
import { mysqlStore } from './support/mysql-store.js';

const store = await mysqlStore();
const read = { mode: 'read', timeoutMs: 30_000 } as const;
const write = { mode: 'write', timeoutMs: 30_000 } as const;

await store.dba.query(`
  CREATE TABLE samples (
    id BIGINT UNSIGNED PRIMARY KEY, small TINYINT, flag BOOLEAN, ratio DOUBLE, single FLOAT, price DECIMAL(38,10),
    day DATE, at DATETIME(6), stamp TIMESTAMP(3) NULL, clock TIME, doc JSON, kind ENUM('a','b'), picture BLOB
  );
  CREATE VIEW sample_list AS SELECT * FROM samples;
  CREATE PROCEDURE sample_create (IN id BIGINT UNSIGNED, IN small TINYINT, IN flag BOOLEAN, IN ratio DOUBLE,
    IN single FLOAT, IN price DECIMAL(38,10), IN day DATE, IN at DATETIME(6), IN stamp TIMESTAMP(3), IN clock TIME,
    IN doc JSON, IN kind VARCHAR(1), IN picture BLOB)
    INSERT INTO samples VALUES (id, small, flag, ratio, single, price, day, at, stamp, clock, doc, kind, picture);
  CREATE PROCEDURE sample_sets () BEGIN SELECT 1 AS one; SELECT 2 AS two UNION SELECT 3; END;
  CREATE PROCEDURE sample_picture () SELECT picture, flag, at FROM samples WHERE picture > '' LIMIT 1;
  CREATE FUNCTION sample_flag (flag BOOLEAN) RETURNS BOOLEAN RETURN NOT flag;
  CREATE FUNCTION sample_twice () RETURNS INT RETURN 1;
  CREATE PROCEDURE sample_twice () SELECT 1;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account};
  GRANT SELECT ON ${store.database}.sample_list TO ${store.account};
  GRANT SELECT ON ${store.database}.samples TO ${store.account}`);

const adapter = store.adapter();
after(() => adapter.close(1_000));
await adapter.open();
const names = 'create sets picture flag twice list'.split(' ').map((name) => `sample_${name}`);
const found = await adapter.describe([...names, 'samples']);
const object = (name: string): NamedObject => {
  const named = found.get(`sample_${name}`);
  assert.ok(named);
  return named;
};

/** As a template declares it whose ids are beyond 2^53. */
const view = object('list');
assert.ok(view.kind === 'view');
const columns = Object.fromEntries(
  view.columns.map(({ name, type }) => [name, { type: name === 'id' ? 'bigint' : type } as const]),
);
const list = narrowObject({ kind: 'view', name: 'sample_list', columns }, view);

const full: JsonObject = {
  id: '18446744073709551615',
  small: -7,
  flag: true,
  ratio: 0.1,
  single: 0.5,
  price: '1234567890123456789012345678.0123456789',
  day: '2024-02-29',
  at: '2026-01-02T03:04:05.123456Z',
  stamp: '2026-01-02T03:04:05.120Z',
  clock: '12:34:56',
  doc: { list: [1, 'two', null], deep: { yes: true } },
  kind: 'b',
  picture: Buffer.from('bytes').toString('base64'),
};
const row = async (where: JsonObject): Promise<JsonObject | undefined> =>
  (await adapter.view(list, { key: 'id', where: where as never }, read)).rows[0];

test('a base table is no object, even if it is granted', () => {
  assert.equal(found.has('samples'), false);
});

test('values of every type come back as they went in', async () => {
  await adapter.call(object('create'), full, write);
  assert.deepEqual(await row({ id: '18446744073709551615' }), full);
  const empty = Object.fromEntries(Object.keys(full).map((name) => [name, name === 'id' ? '1' : null]));
  await adapter.call(object('create'), empty, write);
  assert.deepEqual(await row({ id: '1' }), empty);
});

test('an instant with an offset is kept in UTC', async () => {
  await adapter.call(object('create'), { ...full, id: 2, at: '2026-06-01T02:00:00+05:30' }, write);
  assert.equal((await row({ id: 2 }))?.['at'], '2026-05-31T20:30:00.000Z');
});

test('exact numbers are compared exactly, beyond what a double holds', async () => {
  for (const [id, price] of [
    ['9007199254740993', '9007199254740993.0000000001'],
    ['9007199254740994', '9007199254740993.0000000002'],
  ] as const) {
    await adapter.call(object('create'), { ...full, id, price }, write);
  }
  assert.equal((await row({ id: '9007199254740993' }))?.['price'], '9007199254740993.0000000001');
  assert.equal((await row({ price: '9007199254740993.0000000002' }))?.['id'], '9007199254740994');
  assert.equal((await row({ id: { gt: '9007199254740993', lt: '9007199254740995' } }))?.['id'], '9007199254740994');
  assert.equal((await row({ at: full['at'] ?? null, id: '9007199254740993' }))?.['small'], -7);
});

test('a cursor over microseconds and big numbers neither skips nor repeats', async () => {
  for (let i = 0; i < 9; i += 1) {
    const at = `2020-01-01T00:00:00.00000${Math.floor(i / 2)}Z`;
    await adapter.call(object('create'), { ...full, id: 100 + i, at, single: 0.1 * (i % 3) }, write);
  }
  for (const order of [[{ column: 'at' }], [{ column: 'single', direction: 'desc' }], [{ column: 'price' }]] as const) {
    const seen: unknown[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < 12; page += 1) {
      const where = { id: { gte: 100, lt: 200 } };
      const query = { key: 'id', where, order, limit: 2, ...(cursor === undefined ? {} : { cursor }) };
      const answer = await adapter.view(list, query, read);
      seen.push(...answer.rows.map(({ id }) => id));
      cursor = answer.cursor;
      if (cursor === undefined) break;
    }
    assert.deepEqual(
      seen.map(Number).sort((a, b) => a - b),
      [100, 101, 102, 103, 104, 105, 106, 107, 108],
    );
  }
});

test('values beyond their type are refused by name', async () => {
  const refused = (change: JsonObject, field: string): Promise<void> =>
    assert.rejects(adapter.call(object('create'), { ...full, id: 3, ...change }, write), {
      code: 'BEDS_STORE_INVALID_VALUE',
      field,
    });
  await refused({ small: 128 }, 'small');
  await refused({ day: '2023-02-29' }, 'day');
  await refused({ at: '2026-01-02 03:04:05' }, 'at');
  await refused({ price: '1e5' }, 'price');
  await refused({ kind: 'ab' }, 'kind');
  assert.equal(await row({ id: 3 }), undefined);
});

test('all result sets of a procedure come back, bytes as base64', async () => {
  const { rows, sets } = await adapter.call(object('sets'), {}, read);
  assert.deepEqual(rows, [{ one: 1 }]);
  assert.deepEqual(sets, [[{ one: 1 }], [{ two: 2 }, { two: 3 }]]);
  const picture = (await adapter.call(object('picture'), {}, read)).rows[0];
  assert.equal(picture?.['picture'], Buffer.from('bytes').toString('base64'));
});

test('of columns with one name, as a join gives them, the last is given as its own type says', async () => {
  await store.dba.query(`
    CREATE PROCEDURE sample_pairs () WITH one AS (SELECT CAST('2026-01-02 03:04:05' AS DATETIME) AS v,
      CAST('2026-01-02 03:04:05.120' AS DATETIME(3)) AS at, CAST(0.1 AS FLOAT) AS single, JSON_EXTRACT('["12"]', '$[0]') AS doc)
      SELECT a.*, b.*, 'x' AS v FROM one a JOIN one b`);
  const pairs = (await adapter.describe(['sample_pairs'])).get('sample_pairs');
  assert.ok(pairs);
  const { rows } = await adapter.call(pairs, {}, write);
  assert.deepEqual(rows, [{ v: 'x', at: '2026-01-02T03:04:05.120Z', single: 0.1, doc: '12' }]);
});

test('numbers in JSON that a double does not hold keep their digits, as text', async (t) => {
  const [[kept]] = (await store.dba.query(
    `SELECT JSON_EXTRACT('[0.12345678901234567891]', '$') AS doc`,
  )) as unknown as [[{ doc: unknown }]];
  if (typeof kept.doc !== 'string') return t.skip('the server keeps doubles');
  const text =
    '[12345678901234567.89, 0.12345678901234567891, 1e400, 1e-400, -12345678901234567890, 1.50, 1e2, 0.30000000000000004, ' +
    '0.10000000000000001, 0e999, 3.141592653589793, "1e400 12345678901234567890", "\\"12345678901234567890"]';
  await store.dba.query(`INSERT INTO samples (id, doc) VALUES (77, ?)`, [text]);
  const { rows } = await adapter.view(list, { key: 'id', where: { id: '77' } }, read);
  assert.deepEqual(rows[0]?.['doc'], [
    '12345678901234567.89',
    '0.12345678901234567891',
    '1e400',
    '1e-400',
    '-12345678901234567890',
    ...[1.5, 100, 0.30000000000000004, 0.1, 0, 3.141592653589793],
    ...['1e400 12345678901234567890', '"12345678901234567890'],
  ]);
  await store.dba.query('DELETE FROM samples WHERE id = 77');
});

test('what a view computes is given as its type says, or refused by the name of its column', async () => {
  await store.dba
    .query(`CREATE TABLE computed (id INT PRIMARY KEY, bits BIT(9), price DECIMAL(8,2) ZEROFILL, short FLOAT(7,3), raw VARBINARY(4), big BIGINT);
    INSERT INTO computed VALUES (1, 511, 1.5, 0.1, x'00ff', -9223372036854775808), (2, NULL, 0, 1234.5, NULL, 1);
    CREATE VIEW computed_list AS SELECT id, IF(id > 0, bits, NULL) AS bits, price, IF(id > 0, price, NULL) AS given, short + 0 AS more, CONCAT(short) AS words, CHAR(65 USING utf8mb4) AS letter, raw FROM computed;
    CREATE VIEW computed_sum AS SELECT id, -big AS less FROM computed; CREATE VIEW computed_raw AS SELECT id, JSON_OBJECT('v', raw) AS doc FROM computed;
    GRANT SELECT ON computed_list TO ${store.account}; GRANT SELECT ON computed_sum TO ${store.account}; GRANT SELECT ON computed_raw TO ${store.account}`);
  const known = await adapter.describe(['computed_list', 'computed_sum', 'computed_raw']);
  const narrow = (name: string, columns: Readonly<Record<string, ValueType>>): NamedObject => {
    const object = known.get(name);
    assert.ok(object);
    const declared = Object.fromEntries(
      Object.entries(columns).map(([column, type]) => [column, { type, optional: true }] as const),
    );
    return narrowObject({ kind: 'view', name, columns: { id: { type: 'integer' }, ...declared } }, object);
  };
  const rowsOf = async (object: NamedObject): Promise<readonly JsonObject[]> => {
    const [all, ...single] = await Promise.all(
      [{}, { where: { id: 1 }, limit: 2 }, { where: { id: { gte: 2 } }, limit: 2 }].map(
        async (query) => (await adapter.view(object, { key: 'id', ...query }, read)).rows,
      ),
    );
    assert.deepEqual(single.flat(), all);
    const pages = await Promise.all(
      [1, 2].map((id) => adapter.view(object, { key: 'id', where: { id: { gte: id } }, limit: 1 }, read)),
    );
    assert.deepEqual(
      pages.map(({ rows: [row] }) => row),
      all,
      'together as alone',
    );
    return all ?? [];
  };
  const list = narrow('computed_list', { price: 'decimal', given: 'decimal', more: 'number' });
  const [first, second] = await rowsOf(list);
  assert.deepEqual([first?.['price'], first?.['given'], second?.['price']], ['1.50', '1.50', '0.00']);
  const words = await rowsOf(narrow('computed_list', { words: 'string' }));
  assert.deepEqual(
    words.map((row) => row['words']),
    ['0.100', '1234.500'],
  );
  // n.b. MySQL forgets the USING of a view.
  const computed = known.get('computed_list');
  const letter = computed?.kind === 'view' ? computed.columns.find(({ name }) => name === 'letter') : undefined;
  assert.ok(letter);
  const letters = narrow('computed_list', { letter: letter.type });
  const shown = (await rowsOf(letters))[0]?.['letter'];
  assert.equal(shown, letter.type === 'binary' ? 'QQ==' : 'A');
  const same = await adapter.view(letters, { key: 'id', where: { letter: shown } }, read);
  assert.deepEqual(
    same.rows.map(({ id }) => id),
    [1, 2],
  );
  for (const type of ['integer', 'bigint'] as const) {
    try {
      const rows = await rowsOf(narrow('computed_list', { bits: type }));
      assert.deepEqual(rows, [
        { id: 1, bits: type === 'integer' ? 511 : '511' },
        { id: 2, bits: null },
      ]);
    } catch (error) {
      assert.deepEqual([(error as BedsError).code, (error as BedsError).field], ['BEDS_STORE_VALUE_UNFIT', 'bits']);
    }
  }
  const unfit = { code: 'BEDS_STORE_VALUE_UNFIT', message: /The view computes/ };
  const less = narrow('computed_sum', { less: 'bigint' });
  await assert.rejects(adapter.view(less, { key: 'id' }, read), unfit);
  await assert.rejects(
    adapter.transaction((scope) => scope.view(less, { key: 'id' }), read),
    unfit,
  );
  const raw = known.get('computed_raw');
  const doc = raw?.kind === 'view' ? raw.columns.find(({ name }) => name === 'doc') : undefined;
  if (doc?.type === 'binary') {
    const [row] = await rowsOf(narrow('computed_raw', { doc: 'binary' }));
    assert.equal(Buffer.from(row?.['doc'] as string, 'base64').toString('latin1'), '{"v": "\\u0000\xff"}');
  }
});

test('a SET is found by its members in any order', async () => {
  await store.dba.query(`CREATE TABLE tagged (id INT PRIMARY KEY, v SET('z','a','m'));
    INSERT INTO tagged VALUES (1, 'm,z'), (2, 'z'), (3, ''); CREATE VIEW tagged_list AS SELECT id, v FROM tagged;
    GRANT SELECT ON tagged_list TO ${store.account}`);
  const tagged = (await adapter.describe(['tagged_list'])).get('tagged_list');
  assert.ok(tagged);
  const found = async (v: JsonObject | string): Promise<unknown> =>
    (await adapter.view(tagged, { key: 'id', where: { v: v } }, read)).rows.map(({ id }) => id);
  assert.deepEqual(await found('m,z'), [1]);
  assert.deepEqual(await found({ in: ['m,z,m', ''] }), [1, 3]);
  assert.deepEqual(await found({ ne: 'm,z' }), [2, 3]);
  assert.deepEqual(await found({ gte: 'm,z', lte: 'z,m' }), [1]);
});

test('a function gives the type it declares', async () => {
  assert.deepEqual((await adapter.call(object('flag'), { flag: true }, read)).rows, [{ value: false }]);
  assert.deepEqual((await adapter.call(object('flag'), { flag: null }, read)).rows, [{ value: null }]);
});

test('what BEDS cannot serve is a finding, and is not called', async () => {
  const use = { kind: 'procedure', name: 'sample_twice', args: {} } as const;
  const [finding, ...more] = adapter.check(use, object('twice'));
  assert.equal(finding?.code, 'BEDS_PREFLIGHT_NOT_SUPPORTED');
  assert.deepEqual(more, []);
  await assert.rejects(adapter.call(object('twice'), {}, write), { code: 'BEDS_STORE_NOT_SUPPORTED' });
});

test('a template sees the columns that it declares, and may leave out what it calls optional', async () => {
  const declared = { id: { type: 'integer' }, small: { type: 'integer' } } as const;
  const narrow = narrowObject({ kind: 'view', name: 'sample_list', columns: declared }, view);
  const page = await adapter.view(narrow, { key: 'id', where: { id: 1 } }, read);
  assert.deepEqual(page.rows, [{ id: 1, small: null }]);
});

test('a column that BEDS cannot carry is a finding with its type, and no hindrance to the others', () => {
  const columns = { id: { type: 'integer' }, place: { type: 'json' }, none: { type: 'string' } } as const;
  // n.b. no server here has such a type.
  const native = { ...object('list').native, uncarried: { place: 'xmltype' } };
  const findings = adapter.check({ kind: 'view', name: 'sample_list', columns }, { ...object('list'), native });
  assert.deepEqual(
    findings.map(({ code, message }) => [code, message.split(/[.;]/)[0]]),
    [
      [
        'BEDS_PREFLIGHT_NOT_SUPPORTED',
        'sample_list cannot be served: its column place is xmltype, which BEDS cannot carry',
      ],
      ['BEDS_PREFLIGHT_COLUMN_MISSING', 'The view sample_list has no column none'],
    ],
  );
  assert.deepEqual(
    adapter.check({ kind: 'view', name: 'sample_list', columns: { id: columns.id } }, object('list')),
    [],
  );
});

test('a small number and a text are what the template calls them', async () => {
  const found = object('list');
  const columns = { id: { type: 'integer' }, flag: { type: 'integer' } } as const;
  const numbers = narrowObject({ kind: 'view', name: 'sample_list', columns }, found);
  await store.dba.query('INSERT INTO samples (id, flag) VALUES (500, 5), (501, 1)');
  const { rows } = await adapter.view(
    numbers,
    { key: 'id', where: { id: { gte: 500, lt: 600 }, flag: { gte: 1 } } },
    read,
  );
  assert.deepEqual(rows, [
    { id: 500, flag: 5 },
    { id: 501, flag: 1 },
  ]);
  await assert.rejects(adapter.view(numbers, { key: 'id', where: { id: '18446744073709551615' } }, read), {
    code: 'BEDS_STORE_VALUE_UNFIT',
    field: 'id',
    hint: 'Declare id as t.bigint() in the template.',
  });
  const use = {
    kind: 'function',
    name: 'sample_flag',
    args: { flag: { type: 'integer' } },
    returns: { type: 'integer' },
  } as const;
  assert.deepEqual(adapter.check(use, object('flag')), []);
  const flag = narrowObject(use, object('flag'));
  assert.deepEqual((await adapter.call(flag, { flag: 5 }, read)).rows, [{ value: false }]);
  await assert.rejects(adapter.call(flag, { flag: 128 }, read), { code: 'BEDS_STORE_INVALID_VALUE', field: 'flag' });
});
