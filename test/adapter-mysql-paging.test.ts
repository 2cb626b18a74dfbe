import assert from 'node:assert/strict';
import { after, describe, it, test } from 'node:test';
import type { JsonObject, OrderBy, Scalar, ValueType } from '@beds/sdk';
import { narrowObject } from '../host/stores/check-use.js';
import type { NamedObject } from '../host/stores/contract.js';
import fc from 'fast-check';
import { mysqlStore } from './support/mysql-store.js';

interface Sample {
  /** As the DBA writes it. */
  readonly type: string;
  /** How templates declare it. */
  readonly as: ValueType;
  /** Literals of SQL; each is in two rows, and NULL is in two more. */
  readonly values: readonly string[];
  /** The rows may be refused when they are read: which error. */
  readonly refused?: string;
  /** What the server must be told to take such values. */
  readonly sqlMode?: string;
}

const texts = [
  "''",
  "' '",
  "'a'",
  "'A'",
  "'a '",
  "'á'",
  "'b'",
  "'B'",
  "'ß'",
  "'ss'",
  "'z'",
  "'😀'",
  "'a\\\\%_!'",
  "'a\\tb'",
  "'\\t'",
  "'a\\t'",
];
const string = (type: string, values: readonly string[] = texts): Sample => ({ type, as: 'string', values });
const integer = (type: string, values: readonly (string | number)[]): Sample => {
  return { type, as: 'integer', values: values.map(String) };
};
const bigint = (type: string, values: readonly (string | number)[]): Sample => {
  return { type, as: 'bigint', values: values.map(String) };
};
const long = (end: string): string => `CONCAT(REPEAT('x', 600), '${end}')`;

const samples: readonly Sample[] = [
  integer('TINYINT', [-128, -1, 0, 1, 127]),
  integer('TINYINT(1)', [-128, 0, 1, 2, 5, 9]),
  integer('TINYINT(1) UNSIGNED', [0, 1, 2, 5, 255]),
  { type: 'BOOLEAN', as: 'boolean', values: ['0', '1'] },
  { type: 'TINYINT(1)', as: 'boolean', values: ['0', '1', '2', '5'], refused: 'BEDS_STORE_VALUE_UNFIT' },
  integer('INT', [-2147483648, -1, 0, 1, 2147483647]),
  integer('INT(5) ZEROFILL', [0, 1, 42, 4294967295]),
  bigint('BIGINT', ['-9223372036854775808', '-9007199254740993', -1, 0, '9007199254740993', '9223372036854775807']),
  bigint('BIGINT UNSIGNED', [
    0,
    1,
    '9007199254740993',
    '9223372036854775807',
    '9223372036854775808',
    '18446744073709551614',
    '18446744073709551615',
  ]),
  integer('YEAR', [0, 1901, 1970, 2000, 2026, 2155]),
  { type: 'FLOAT', as: 'number', values: ['-3.4e38', '-0.1', '-0e0', '0', '1e-38', '0.1', '16777217', '3.4e38'] },
  {
    type: 'DOUBLE',
    as: 'number',
    values: [
      '-1.7976931348623157e308',
      '-0.1',
      '-0e0',
      '0',
      '5e-324',
      '0.1',
      '0.30000000000000004',
      '1.7976931348623157e308',
    ],
  },
  {
    type: 'DECIMAL(65,0)',
    as: 'decimal',
    values: [`-${'9'.repeat(65)}`, '-1', '0', `${'9'.repeat(64)}8`, '9'.repeat(65)],
  },
  {
    type: 'DECIMAL(65,30)',
    as: 'decimal',
    values: [
      `-${'9'.repeat(35)}.${'9'.repeat(30)}`,
      '0',
      `0.${'0'.repeat(29)}1`,
      `${'9'.repeat(35)}.${'9'.repeat(30)}`,
    ],
  },
  { type: 'DECIMAL(10,2) UNSIGNED', as: 'decimal', values: ['0', '0.01', '99999999.99'] },
  { type: 'DATE', as: 'date', values: ["'1000-01-01'", "'1969-12-31'", "'2024-02-29'", "'9999-12-31'"] },
  { type: 'DATE', as: 'date', values: ["'0000-00-00'", "'2024-00-00'", "'2024-02-00'", "'2024-02-29'"], sqlMode: '' },
  {
    type: 'DATETIME(6)',
    as: 'datetime',
    values: [
      "'1000-01-01'",
      "'2026-01-01 00:00:00'",
      "'2026-01-01 00:00:00.000001'",
      "'2026-01-01 00:00:00.000010'",
      "'9999-12-31 23:59:59.999999'",
    ],
  },
  {
    type: 'DATETIME',
    as: 'datetime',
    values: ["'0000-00-00 00:00:00'", "'1000-01-01'", "'2026-01-01 00:00:00'"],
    sqlMode: '',
  },
  {
    type: 'DATETIME(6)',
    as: 'datetime',
    values: [
      "'0000-00-00 00:00:00'",
      "'0000-00-00 00:00:01'",
      "'2024-00-00 01:02:03.000004'",
      "'2024-01-00'",
      "'2024-01-01'",
    ],
    sqlMode: '',
  },
  {
    type: 'TIMESTAMP(3)',
    as: 'datetime',
    values: ["'1970-01-02 00:00:01'", "'2026-01-01 00:00:00.001'", "'2038-01-01 03:14:07.999'"],
  },
  string('TIME', [
    "'-838:59:59'",
    "'-00:00:01'",
    "'00:00:00'",
    "'09:00:00'",
    "'10:00:00'",
    "'100:00:00'",
    "'838:59:59'",
  ]),
  string('TIME(6)', ["'-00:00:00.000001'", "'00:00:00'", "'00:00:00.000001'", "'00:00:00.1'", "'09:00:00'"]),
  string("ENUM('c','a','it''s','b','','B,x')", ["'c'", "'a'", "'it''s'", "'b'", "''", "'B,x'"]),
  { ...string("ENUM('c','a','','b')", ["'c'", "'a'", "''", "'b'", "'no member'"]), sqlMode: '' },
  string("ENUM('10','9','2')", ["'10'", "'9'", "'2'"]),
  string("ENUM('z\\\\','x\\ny','q\\\\''a','\\t')", ["'z\\\\'", "'x\\ny'", "'q\\\\''a'", "'\\t'"]),
  string("SET('z','a','m')", ["''", "'z'", "'a'", "'z,a'", "'m'", "'z,m'", "'z,a,m'"]),
  string(`SET(${Array.from({ length: 64 }, (_, i) => `'m${i}'`).join(',')})`, [
    "'m0'",
    "'m62'",
    "'m63'",
    "'m0,m63'",
    "'m1,m62,m63'",
  ]),
  string('CHAR(10) COLLATE utf8mb4_bin'),
  string('CHAR(10) COLLATE utf8mb4_unicode_ci'),
  string('VARCHAR(20) COLLATE utf8mb4_bin'),
  string('VARCHAR(20) COLLATE utf8mb4_general_ci'),
  string('VARCHAR(20) COLLATE utf8mb4_unicode_ci'),
  string('VARCHAR(20) COLLATE utf8mb4_nopad_bin'),
  ...[
    'COLLATE utf8mb4_general_nopad_ci',
    'CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci',
    'CHARACTER SET latin1 COLLATE latin1_nopad_bin',
  ].map((collation) =>
    string(`VARCHAR(20) ${collation}`, [
      "''",
      "'\\0'",
      "'a\\0'",
      "'aa\\0'",
      "'Aa'",
      "'A'",
      "'a'",
      "'a '",
      "'a\\t'",
      "'a\\0\\0'",
    ]),
  ),
  string('VARCHAR(20) COLLATE utf8mb4_uca1400_as_cs'),
  string('VARCHAR(20) COLLATE utf8mb4_0900_ai_ci'),
  string('VARCHAR(20) COLLATE utf8mb4_0900_bin'),
  string('VARCHAR(20) CHARACTER SET latin1', ["''", "'a'", "'A'", "'á'", "'z'", "'a '"]),
  string('VARCHAR(20) CHARACTER SET utf8mb3', ["''", "'a'", "'A'", "'á'", "'z'", "'a '"]),
  string('VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin', ["''", "'a'", "'A'", "'z'"]),
  string('TEXT COLLATE utf8mb4_unicode_ci'),
  string('TEXT', [long('a'), long('b'), long('c'), long('d'), "'x'"]),
  string('VARCHAR(2000) COLLATE utf8mb4_unicode_ci', [long('a'), long('b'), long('c'), long('d'), "'x'"]),
  string('LONGTEXT COLLATE utf8mb4_bin'),
  string('UUID', [
    "'00000000-0000-0000-0000-000000000000'",
    "'6ccd780c-baba-1026-9564-5b8c656024db'",
    "'6ccd780c-baba-1026-8564-5b8c656024db'",
    "'123e4567-e89b-42d3-a456-426614174000'",
    "'f23e4567-e89b-42d3-a456-426614174000'",
    "'0190163d-8694-739b-aea5-966c26f8ad91'",
    "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
  ]),
  string('INET6', ["'::'", "'::1'", "'::ffff:10.0.0.1'", "'2001:db8::1'", "'fe80::'", "'ffff::'"]),
  string('INET4', ["'0.0.0.0'", "'9.0.0.1'", "'10.0.0.1'", "'255.255.255.255'"]),
];

const store = await mysqlStore();
const read = { mode: 'read', timeoutMs: 10_000 } as const;
await store.dba.query(`SET SESSION max_sort_length = 16384; GRANT EXECUTE ON ${store.database}.* TO ${store.account}`);
const adapter = store.adapter();
after(() => adapter.close(1_000));
await adapter.open();

/** Makes a table and its view; why it cannot, where this server does not know the type. */
async function make(name: string, { type, values, sqlMode }: Sample): Promise<string | undefined> {
  try {
    await store.dba.query(`CREATE TABLE ${name} (id INT AUTO_INCREMENT PRIMARY KEY, v ${type} NULL)`);
  } catch (error) {
    return `the server does not know it: ${(error as Error).message}`;
  }
  const rows = ['NULL', ...values, ...values.toReversed(), 'NULL'].map((value) => `(${value})`).join(', ');
  const mode = sqlMode === undefined ? '' : `SET @mode = @@sql_mode, SESSION sql_mode = '${sqlMode}';`;
  await store.dba
    .query(`${mode} INSERT INTO ${name} (v) VALUES ${rows}; ${mode === '' ? '' : 'SET SESSION sql_mode = @mode;'}
    CREATE VIEW ${name}_list AS SELECT id, v FROM ${name}; GRANT SELECT ON ${name}_list TO ${store.account}`);
  return undefined;
}

async function viewOf(name: string, as: ValueType): Promise<NamedObject> {
  const found = (await adapter.describe([name])).get(name);
  assert.ok(found);
  const use = { kind: 'view', name, columns: { id: { type: 'integer' }, v: { type: as } } } as const;
  assert.deepEqual(adapter.check(use, found), []);
  return narrowObject(use, found);
}

async function walk(view: NamedObject, order: readonly OrderBy[], limit: number): Promise<readonly JsonObject[]> {
  const seen: JsonObject[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 60; page += 1) {
    const answer = await adapter.view(
      view,
      { key: 'id', order, limit, ...(cursor === undefined ? {} : { cursor }) },
      read,
    );
    seen.push(...answer.rows);
    cursor = answer.cursor;
    if (cursor === undefined) return seen;
  }
  return assert.fail('the pages do not end');
}

/** Where the server's own order is not that of what it shows. */
const SORT_KEYS = [
  // n.b. MySQL itself takes the last of 64 members for a sign.
  ["'m63'", 'CAST(v AS UNSIGNED)'],
  // n.b. what is no member is shown as the member ''.
  ["'a',''", 'IF(v + 0 = 0, 3, v + 0)'],
  // n.b. MariaDB sorts some of their texts in another order than it compares them.
  ['utf8mb4_0900_bin', 'CAST(v AS BINARY)'],
  ['utf8mb4_nopad_bin', 'CAST(v AS BINARY)'],
  // n.b. MariaDB sorts those as alike that differ by U+0000 at their end only.
  ['general_nopad_ci', 'v', 'CHAR_LENGTH(v)'],
  ['swedish_nopad_ci', 'v', 'CHAR_LENGTH(v)'],
  ['latin1_nopad_bin', 'v', 'CHAR_LENGTH(v)'],
] as const;

function orderOf(type: string, direction: string): string {
  const [, ...keys] = SORT_KEYS.find(([part]) => type.includes(part)) ?? ['', 'v'];
  return keys.map((key) => `${key} ${direction}`).join(', ');
}

const ids = (rows: readonly JsonObject[]): readonly unknown[] => rows.map(({ id }) => id);

async function idsOf(sql: string): Promise<readonly unknown[]> {
  const [rows] = await store.dba.query(sql);
  return ids(rows as JsonObject[]);
}

/** What a caller may ask for by a value that it was shown: the same rows as the server's order says. */
async function checkFilters(view: NamedObject, rows: readonly JsonObject[]): Promise<void> {
  for (const value of new Set(rows.map(({ v }) => v as Scalar))) {
    if (value === null) continue;
    const found = async (where: JsonObject): Promise<readonly unknown[]> =>
      ids((await adapter.view(view, { key: 'id', where: { v: where }, order: [{ column: 'v' }] }, read)).rows);
    const same = await found({ eq: value });
    const [first, last] = [
      rows.findIndex(({ id }) => same.includes(id)),
      rows.findLastIndex(({ id }) => same.includes(id)),
    ];
    assert.ok(first >= 0, `eq finds no row of ${JSON.stringify(value)}`);
    assert.deepEqual(same, ids(rows.slice(first, last + 1)), 'equal rows lie together');
    assert.deepEqual(await found({ in: [value] }), same);
    assert.deepEqual(await found({ gt: value }), ids(rows.slice(last + 1)));
    assert.deepEqual(await found({ lt: value }), ids(rows.slice(0, first).filter(({ v }) => v !== null)));
  }
}

describe('pages of 1, 2 and 3 rows give exactly what one read gives, in both directions, ordered by', () => {
  for (const [index, sample] of samples.entries()) {
    const mode = sample.sqlMode === undefined ? '' : ', with values that a strict server refuses';
    test(`${sample.type} as ${sample.as}${mode} (${String(index)})`, async (t) => {
      const name = `paged_${String(index)}`;
      const problem = await make(name, sample);
      if (problem !== undefined) return t.skip(problem);
      const view = await viewOf(`${name}_list`, sample.as);
      for (const direction of ['asc', 'desc'] as const) {
        const order = [{ column: 'v', direction }];
        if (sample.refused !== undefined) {
          for (const limit of [1, 2, 50]) await assert.rejects(walk(view, order, limit), { code: sample.refused });
          continue;
        }
        const all = (await adapter.view(view, { key: 'id', order, limit: 100 }, read)).rows;
        assert.deepEqual(
          ids(all),
          await idsOf(`SELECT id FROM ${name} ORDER BY ${orderOf(sample.type, direction)}, id`),
        );
        for (const limit of [1, 2, 3]) assert.deepEqual(await walk(view, order, limit), all, `${direction}, ${limit}`);
        if (direction === 'asc' && sample.sqlMode === undefined) await checkFilters(view, all);
      }
    });
  }
});

describe('pages by a collation that sorts in another order than it compares lose nobody:', () => {
  for (const collation of ['cp1250_czech_cs', 'latin7_estonian_cs', 'latin7_general_ci', 'latin7_general_cs']) {
    test(collation, async (t) => {
      const type = `VARCHAR(20) CHARACTER SET ${collation.replace(/_.*/, '')} COLLATE ${collation}`;
      const values = [
        "''",
        "' '",
        "'a'",
        "'a '",
        "'A'",
        "'-'",
        "'--'",
        "'a-b'",
        "'ab'",
        "'a b'",
        "'\\t'",
        "'a\\t'",
        "'z'",
      ];
      const sample = string(type, values);
      const problem = await make(collation, sample);
      if (problem !== undefined) return t.skip(problem);
      const view = await viewOf(`${collation}_list`, 'string');
      for (const direction of ['asc', 'desc'] as const) {
        const order = [{ column: 'v', direction }];
        const all = (await adapter.view(view, { key: 'id', order, limit: 100 }, read)).rows;
        assert.equal(all.length, 2 * values.length + 2);
        for (const limit of [1, 2, 3]) assert.deepEqual(await walk(view, order, limit), all, `${direction}, ${limit}`);
      }
      const above = async (where: JsonObject): Promise<number> =>
        (await adapter.view(view, { key: 'id', where: { v: where }, limit: 100 }, read)).rows.length;
      // n.b. what is equal is equal by the collation; what comes after is what the order says.
      assert.equal(await above({ eq: 'a' }), collation.endsWith('_ci') ? 6 : 4);
      for (const v of ['', 'a', 'ab']) {
        assert.equal((await above({ gt: v })) + (await above({ lte: v })), 2 * values.length);
      }
    });
  }
});

describe('what no row holds is found in no row, or refused, and never taken for another value, in a column of', () => {
  const refused = { code: 'BEDS_STORE_QUERY_INVALID', field: 'query.where.v' };
  const cases: readonly (readonly [
    Sample,
    below: readonly Scalar[],
    above: readonly Scalar[],
    refused: readonly Scalar[],
  ])[] = [
    [integer('YEAR', [0, 2001, 2026]), [], [2027, '99999999999999999999'], []],
    [
      string('TIME', ["'00:00:00'", "'01:00:00'", "'838:59:59'"]),
      ['-0:00:01', '-838:59:59'],
      [],
      ['noon', '', '25:61:00', '839:00:00', '00:00:00.0000001'],
    ],
    [string('UUID', ["'123e4567-e89b-42d3-a456-426614174000'"]), [], [], ['abc', '']],
    [string('INET6', ["'::1'"]), ['::'], ['ffff::'], ['abc', '10.0.0.1', 'fe80::1%eth0']],
    [string('INET4', ["'10.0.0.1'"]), ['9.0.0.1'], ['10.0.0.2'], ['abc', '300.0.0.1']],
    [
      { type: 'DECIMAL(65,30)', as: 'decimal', values: ['0', `${'9'.repeat(35)}.${'9'.repeat(30)}`] },
      ['-1', `-${'9'.repeat(65)}`],
      [`1${'0'.repeat(35)}`, '9'.repeat(65)],
      [`0.${'0'.repeat(30)}1`, `${'9'.repeat(35)}.${'9'.repeat(31)}`],
    ],
    [{ type: 'DECIMAL(65,0)', as: 'decimal', values: ['0', '9'.repeat(65)] }, ['-0.4'], [], [`${'9'.repeat(65)}.9`]],
    [
      { type: 'DATETIME(6)', as: 'datetime', values: ["'2026-01-01'", "'9999-12-31 23:59:59.999999'"] },
      ['2025-12-31T23:59:59.999999Z'],
      [],
      ['2026-01-01T00:00:00.0000004Z', '2026-01-01T00:00:00.0000006Z', '9999-12-31T23:59:59.9999999Z'],
    ],
  ];
  for (const [index, [sample, below, above, wrong]] of cases.entries()) {
    test(sample.type, async (t) => {
      const name = `foreign_${String(index)}`;
      const problem = await make(name, sample);
      if (problem !== undefined) return t.skip(problem);
      const view = await viewOf(`${name}_list`, sample.as);
      const count = async (where: JsonObject): Promise<number> =>
        (await adapter.view(view, { key: 'id', where: { v: where } }, read)).rows.length;
      const all = await count({ ne: null });
      for (const value of [...below, ...above]) {
        const isAbove = above.includes(value);
        assert.deepEqual(
          await Promise.all([
            count({ eq: value }),
            count({ in: [value] }),
            count({ lt: value }),
            count({ gte: value }),
          ]),
          [0, 0, isAbove ? all : 0, isAbove ? 0 : all],
          String(value),
        );
      }
      for (const value of wrong) {
        for (const where of [{ eq: value }, { ne: value }, { in: [value] }, { lte: value }]) {
          await assert.rejects(count(where), refused, String(value));
        }
      }
    });
  }

  test('YEAR, of two digits', async () => {
    const view = await viewOf('foreign_0_list', 'integer');
    for (const value of [1, 26, 99]) {
      const page = await adapter.view(view, { key: 'id', where: { v: { in: [value] } } }, read);
      const later = await adapter.view(view, { key: 'id', where: { v: { gt: value } } }, read);
      assert.deepEqual([page.rows.length, later.rows.length], [0, 4]);
    }
  });

  for (const set of ['latin1', 'utf8mb3']) {
    test(`${set}, of another character set`, async () => {
      await make(`narrow_${set}`, string(`VARCHAR(20) CHARACTER SET ${set}`, ["'a'", "'?'"]));
      const view = await viewOf(`narrow_${set}_list`, 'string');
      for (const v of ['😀', { in: ['a', '😀'] }, { ne: '😀' }, { contains: '😀' }]) {
        await assert.rejects(adapter.view(view, { key: 'id', where: { v } }, read), refused);
      }
    });
  }
});

test('a page is refused that would leave out rows because several have its last key', async () => {
  await store.dba.query(`CREATE TABLE alike (id INT PRIMARY KEY, k INT NULL, name VARCHAR(9));
    INSERT INTO alike VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 2, 'c'), (4, 3, 'd'), (5, NULL, 'e'), (6, NULL, 'f');
    CREATE VIEW alike_list AS SELECT k, name FROM alike; GRANT SELECT ON alike_list TO ${store.account}`);
  const view = (await adapter.describe(['alike_list'])).get('alike_list');
  assert.ok(view);
  const pages = async (limit: number, order: readonly OrderBy[] = []): Promise<readonly number[]> => {
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const query = { key: 'k', order, limit, ...(cursor === undefined ? {} : { cursor }) };
      const page = await adapter.view(view, query, read);
      seen.push(page.rows.length);
      ({ cursor } = page);
    } while (cursor !== undefined);
    return seen;
  };
  for (const [limit, sizes] of [
    [3, [3, 3]],
    [6, [6]],
  ] as const)
    assert.deepEqual(await pages(limit), sizes);
  assert.deepEqual(await pages(1, [{ column: 'name' }]), [1, 1, 1, 1, 1, 1]);
  for (const limit of [1, 2, 4]) await assert.rejects(pages(limit), { code: 'BEDS_STORE_CURSOR_STUCK' });
});

test('columns of a view that are expressions can be searched and paged, whatever collation its DBA had', async () => {
  await store.dba.query(`CREATE TABLE mixed (id INT PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_general_ci);
    INSERT INTO mixed VALUES (1, 'a'), (2, 'B'), (3, 'c'), (4, 'D');
    SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;
    CREATE VIEW mixed_list AS SELECT id, CASE WHEN id % 2 = 1 THEN 'odd' ELSE 'even' END AS kind, 'here' AS place,
      CONCAT(name, '!') AS shout FROM mixed;
    SET NAMES utf8mb4; GRANT SELECT ON mixed_list TO ${store.account}`);
  const view = (await adapter.describe(['mixed_list'])).get('mixed_list');
  assert.ok(view);
  const found = async (where: JsonObject): Promise<readonly unknown[]> =>
    ids((await adapter.view(view, { key: 'id', where: where as never }, read)).rows);
  assert.deepEqual(await found({ kind: 'odd', place: 'here' }), [1, 3]);
  assert.deepEqual(await found({ kind: { in: ['even', 'odd'] }, shout: { in: ['b!', 'c!'] } }), [2, 3]);
  assert.deepEqual(await found({ kind: { ne: 'odd' }, place: { prefix: 'he' } }), [2, 4]);
  assert.deepEqual(await found({ kind: { gt: 'even' }, shout: { lte: 'C!' } }), [1, 3]);
  const order = [{ column: 'place' }, { column: 'kind', direction: 'desc' }] as const;
  assert.deepEqual(ids(await walk(view, order, 1)), [1, 3, 2, 4]);
});

test('columns that the catalogue says to be of another kind than they are can be searched and paged', async () => {
  // n.b. MySQL keeps the collation that the cast had for its DBA, and sorts by that of the character set.
  await store.dba.query(`CREATE TABLE sorts (id INT PRIMARY KEY, t VARCHAR(9) COLLATE utf8mb4_general_ci,
      e ENUM('c','a','b'), s SET('z','a','m'));
    INSERT INTO sorts VALUES (1, 'a', 'b', 'a'), (2, 'A ', 'c', 'z'), (3, '{', 'a', ''), (4, '1', 'c', 'z,a'), (5, '\0', NULL, 'm'),
      (6, 'a ', 'a', NULL), (7, '"', 'b', 'z,a'), (8, NULL, 'a', 'z');
    SET NAMES utf8mb4 COLLATE utf8mb4_general_ci;
    CREATE VIEW sort_list AS SELECT id, CAST(t AS CHAR) AS t, MAX(e) AS e, MIN(s) AS s FROM sorts GROUP BY id, t;
    SET NAMES utf8mb4; GRANT SELECT ON sort_list TO ${store.account}`);
  const view = (await adapter.describe(['sort_list'])).get('sort_list');
  assert.ok(view);
  const count = async (where: JsonObject): Promise<number> =>
    (await adapter.view(view, { key: 'id', where: where as never, count: true, limit: 0 }, read)).count ?? 0;
  for (const column of ['t', 'e', 's']) {
    for (const direction of ['asc', 'desc'] as const) {
      const all: readonly JsonObject[] = (await adapter.view(view, { key: 'id', order: [{ column, direction }] }, read))
        .rows;
      for (const limit of [1, 2, 3]) assert.deepEqual(await walk(view, [{ column, direction }], limit), all, column);
      const given = all.map(({ [column]: value }) => value as string | null).filter((value) => value !== null);
      for (const value of new Set(given)) {
        const tests = [{ eq: value }, { lt: value }, { gte: value }, { gt: value }, { lte: value }];
        const [eq = 0, lt, gte, gt, lte] = await Promise.all(tests.map((test) => count({ [column]: test })));
        const first = given.indexOf(value);
        assert.ok(eq > 0, `${column} finds ${value}`);
        const before = direction === 'asc' ? [lt, gt] : [gt, lt];
        assert.ok((before[0] ?? 0) <= first && first < (before[0] ?? 0) + eq, `${column} has ${value} at its place`);
        assert.deepEqual([Number(lt) + Number(gte), Number(gt) + Number(lte)], [7, 7], `${column} ${value}`);
      }
    }
  }
});

test('columns made of texts of two collations can be searched and paged', async () => {
  await store.dba.query(`CREATE TABLE blends (id INT PRIMARY KEY, g VARCHAR(9) COLLATE utf8mb4_general_ci,
      u VARCHAR(9) COLLATE utf8mb4_unicode_ci, l VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci,
      m VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_general_cs);
    INSERT INTO blends VALUES (1, 'a', 'B', 'ä', 'x'), (2, 'A', 'b', 'a', 'X'), (3, 'b', 'a', 'Ä', '€'), (4, NULL, 'a', 'a', NULL);
    CREATE VIEW blend_list AS SELECT id, CASE WHEN id > 2 THEN g ELSE u END AS v, CONCAT(l, m) AS w FROM blends;
    CREATE VIEW blend_again AS SELECT a.id, a.v, a.w FROM blend_list a LEFT JOIN blends b ON b.id = a.id;
    GRANT SELECT ON blend_list TO ${store.account}; GRANT SELECT ON blend_again TO ${store.account}`);
  for (const name of ['blend_list', 'blend_again']) {
    const view = (await adapter.describe([name])).get(name);
    assert.ok(view);
    for (const [column, value, id] of [
      ['v', 'B', 1],
      ['w', 'aX', 2],
      ['w', 'Ä€', 3],
    ] as const) {
      const all: readonly JsonObject[] = (await adapter.view(view, { key: 'id', order: [{ column }] }, read)).rows;
      const tests = [value, { in: [value] }, { between: [value, value] }, { prefix: value }, { contains: value }];
      for (const test of tests) {
        const { rows } = await adapter.view(view, { key: 'id', where: { [column]: test as never } }, read);
        assert.deepEqual(ids(rows), [id], JSON.stringify(test));
      }
      const not = await adapter.view(view, { key: 'id', where: { [column]: { ne: value } } }, read);
      assert.equal(not.rows.length, 3);
      assert.deepEqual(await walk(view, [{ column }], 1), all);
      assert.equal((await walk(view, [{ column, direction: 'desc' }], 1)).length, 4);
    }
  }
});

test('a text too long to be sorted whole is refused as an order where a page would end with it', async () => {
  await store.dba.query(`CREATE TABLE essays (id INT PRIMARY KEY, v LONGTEXT);
    INSERT INTO essays VALUES (1, REPEAT('x', 20000)), (2, CONCAT(REPEAT('x', 20000), 'y')), (3, 'short');
    CREATE VIEW essay_list AS SELECT id, v FROM essays; GRANT SELECT ON essay_list TO ${store.account}`);
  const view = await viewOf('essay_list', 'string');
  const refusal = { code: 'BEDS_STORE_QUERY_INVALID', field: 'query.order', message: /order names v/ };
  await assert.rejects(walk(view, [{ column: 'v' }], 2), refusal);
  assert.deepEqual(ids(await walk(view, [{ column: 'v' }], 3)), [3, 1, 2]);
});

/** How many sets of rows are tried of each type, and from which seed: both may be given to look longer, or at the same again. */
const RUNS = Number(process.env['BEDS_PAGE_RUNS'] ?? 2);
const SEED = Number(process.env['BEDS_PAGE_SEED'] ?? Date.now() % 2 ** 31);

const unit = fc.constantFrom(...('aAáäbßzZ -_%09iİıÆ日😀\u0301\u00ad\u0000'.match(/./gsu) ?? []), 'ss', 'ae');
const word = fc.string({ unit, maxLength: 4 });
const digits = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map(
  (whole) =>
    `${String(whole / 100n)}.${String(whole % 100n)
      .replace('-', '')
      .padStart(2, '0')}`,
);
const two = (max: number): fc.Arbitrary<string> => fc.nat(max).map((part) => String(part).padStart(2, '0'));
const clock = fc
  .tuple(two(23), two(59), two(59), fc.nat(3))
  .map(([h, m, s, us]) => `${h}:${m}:${s}.00000${String(us)}`);

const random: readonly (readonly [type: string, as: ValueType, value: fc.Arbitrary<string | number | Buffer>])[] = [
  ['TINYINT', 'integer', fc.integer({ min: -128, max: 127 })],
  ['BIGINT', 'bigint', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)],
  ['BIGINT UNSIGNED', 'bigint', fc.bigInt({ min: 2n ** 64n - 4n, max: 2n ** 64n - 1n }).map(String)],
  [
    'BIT(64)',
    'bigint',
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((bits) => Buffer.from(bits.toString(16).padStart(16, '0'), 'hex')),
  ],
  ['DECIMAL(30,2)', 'decimal', digits],
  ['FLOAT', 'number', fc.float({ noNaN: true, noDefaultInfinity: true })],
  ['DOUBLE', 'number', fc.double({ noNaN: true, noDefaultInfinity: true })],
  ['DATETIME(6)', 'datetime', clock.map((time) => `2026-01-01 ${time}`)],
  ['TIME(6)', 'string', fc.tuple(fc.boolean(), clock).map(([isBelow, time]) => (isBelow ? '-' : '') + time)],
  ["ENUM('z','a','M','')", 'string', fc.constantFrom('z', 'a', 'M', '')],
  ["SET('z','a','m')", 'string', fc.subarray(['z', 'a', 'm']).map((list) => list.join())],
  ['VARBINARY(16)', 'binary', fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes))],
  ['BINARY(2)', 'binary', fc.uint8Array({ minLength: 2, maxLength: 2, max: 3 }).map((bytes) => Buffer.from(bytes))],
  ...[
    'bin',
    'nopad_bin',
    'general_nopad_ci',
    'general_ci',
    'unicode_ci',
    'uca1400_ai_ci',
    'uca1400_nopad_as_cs',
    '0900_ai_ci',
    '0900_as_cs',
    '0900_bin',
  ].map((collation) => [`VARCHAR(20) COLLATE utf8mb4_${collation}`, 'string', word] as const),
  ['CHAR(20) COLLATE utf8mb4_unicode_ci', 'string', word],
];

describe(`random rows come on pages as in one read, by one column and by two; seed ${String(SEED)}`, () => {
  for (const [index, [type, as, value]] of random.entries()) {
    it(`${type} as ${as}`, async (t) => {
      const name = `random_${String(index)}`;
      try {
        await store.dba.query(`CREATE TABLE ${name} (id INT PRIMARY KEY, v ${type} NULL, w TINYINT NOT NULL)`);
      } catch (error) {
        return t.skip(`the server does not know it: ${(error as Error).message}`);
      }
      await store.dba.query(
        `CREATE VIEW ${name}_list AS SELECT id, v, w FROM ${name}; GRANT SELECT ON ${name}_list TO ${store.account}`,
      );
      const found = (await adapter.describe([`${name}_list`])).get(`${name}_list`);
      assert.ok(found);
      const columns = { id: { type: 'integer' }, v: { type: as }, w: { type: 'integer' } } as const;
      const view = narrowObject({ kind: 'view', name: `${name}_list`, columns }, found);
      const put = (id: number, [v, w]: readonly [string | number | Buffer | null, number]): Promise<unknown> =>
        store.dba.execute(`INSERT INTO ${name} VALUES (?, ?, ?)`, [id, v, w]);
      const direction = fc.constantFrom('asc' as const, 'desc' as const);
      const rows = fc.array(fc.tuple(fc.option(value, { freq: 4 }), fc.nat(1)), { minLength: 4, maxLength: 9 });
      const property = fc.asyncProperty(rows, direction, direction, async (kept, ofV, ofW) => {
        await store.dba.query(`DELETE FROM ${name}`);
        for (const [id, row] of kept.entries()) await put(id, row);
        const [v, w] = [
          { column: 'v', direction: ofV },
          { column: 'w', direction: ofW },
        ];
        for (const order of [[v], [v, w], [w, v]]) {
          const all = (await adapter.view(view, { key: 'id', order, limit: 100 }, read)).rows;
          const by = order
            .map(({ column, direction: to }) => (column === 'v' ? orderOf(type, to) : `${column} ${to}`))
            .join(', ');
          assert.deepEqual(ids(all), await idsOf(`SELECT id FROM ${name} ORDER BY ${by}, id`));
          for (const limit of [1, 2, 3])
            assert.deepEqual(await walk(view, order, limit), all, `${by}, ${String(limit)}`);
        }
        // Others come and go while somebody turns the pages: the ids from 100 on.
        for (const [id, row] of kept.entries()) await put(100 + id, row);
        let [seen, cursor] = [[] as unknown[], undefined as string | undefined];
        for (let page = 0; page === 0 || cursor !== undefined; page += 1) {
          const query = { key: 'id', order: [v], limit: 2, ...(cursor === undefined ? {} : { cursor }) };
          const answer = await adapter.view(view, query, read);
          seen = seen.concat(ids(answer.rows));
          cursor = answer.cursor;
          const row = kept[page % kept.length];
          if (page < kept.length && row !== undefined) {
            await store.dba.query(`DELETE FROM ${name} WHERE id = ${String(100 + page)}`);
            await put(200 + page, row);
          }
        }
        const stayed = seen.filter((id) => Number(id) < 100);
        assert.deepEqual(stayed.toSorted(), [...kept.keys()].toSorted(), 'who was there all along is seen once');
      });
      await fc.assert(property, { numRuns: RUNS, seed: SEED, endOnFailure: true });
    });
  }
});
