import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { isBedsError, type Json, type JsonObject, type Page, type RoutineRows, type ViewQuery } from '@beds/sdk';
import type { CallOptions, NamedObject, StoreAdapter } from '../host/stores/contract.js';
import { createMysqlAdapter } from '../host/stores/mysql/adapter.js';
import type { StoreConfig } from '../host/config/schema.js';
import { eventually } from './support/eventually.js';
import { finderOf, mysqlStore } from './support/mysql-store.js';
import { storeLimits } from './support/store-limits.js';

const store = await mysqlStore();
const read = { mode: 'read', timeoutMs: 10_000 } as const;

const WORDS = ['a', 'A', 'a ', 'b', 'B', 'i', 'j', 'ab', 'aB', 'a-b', 'ä', 'ss', 'ß', '1', '01', '', 'é', 'e'];
const INSERTS = `
  INSERT INTO whole VALUES ${[0, 1, 2, 3, 5, 8, 13, 21, 34, 55].map((id) => `(${String(id)}, 'n${String(id)}', '{"a":[${String(id)}]}')`).join(',')};
  INSERT INTO big VALUES (0, 'zero'), (9007199254740993, 'odd'), (9007199254740992, 'even'), (18446744073709551615, 'most');
  INSERT INTO words VALUES ${WORDS.map((word, at) => `('${word}', ${String(at)})`).join(',')};
  INSERT INTO exact VALUES (0.10, 1), (1.00, 2), (12345678901234567.89, 3);
  INSERT INTO moments VALUES ('2026-01-02 03:04:05.120', 1), ('2026-01-02 03:04:05.000', 2)`;

await store.dba.query(`
  CREATE TABLE whole (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL, data JSON);
  CREATE TABLE big (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20) NOT NULL);
  CREATE TABLE words (id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, at INT PRIMARY KEY);
  CREATE TABLE exact (id DECIMAL(20, 2) PRIMARY KEY, at INT NOT NULL);
  CREATE TABLE moments (id DATETIME(3) PRIMARY KEY, at INT NOT NULL);
  CREATE TABLE wide (id INT PRIMARY KEY, text MEDIUMTEXT NOT NULL);
  CREATE TABLE kinds (id INT PRIMARY KEY, flag BOOLEAN NOT NULL, text VARCHAR(20), exact DECIMAL(20, 4), day DATE,
    moment TIMESTAMP(3) NULL, hours TIME, data JSON);
  CREATE VIEW kind_list AS SELECT * FROM kinds;
  ${INSERTS};
  INSERT INTO kinds VALUES (1, 1, 'a', 1.5, '2026-01-01', '2026-01-01 00:00:00.5', '-01:00:00', '{"a": 1}'),
    (2, 1, NULL, NULL, NULL, NULL, NULL, NULL), (3, 1, 'b', 12345678901.1234, '1999-12-31', '2026-01-01 00:00:00.25', '800:00:00', '[]'),
    (4, 0, 'b', 0, '2026-01-01', '2026-01-01 00:00:00.5', '00:00:01', '"text"'), (5, 1, 'ä', -1, '2026-02-01', NULL, '00:00:00', 'null');
  INSERT INTO wide VALUES (1, REPEAT('x', 400000)), (2, REPEAT('y', 400000)), (3, REPEAT('z', 40)), (4, '');
  CREATE VIEW whole_list AS SELECT id, name, data FROM whole;
  CREATE VIEW big_list AS SELECT id, name FROM big;
  CREATE VIEW word_list AS SELECT id, at FROM words;
  CREATE VIEW folded_list AS SELECT CONVERT(id USING utf8mb4) COLLATE utf8mb4_general_ci AS id, at FROM words;
  CREATE VIEW exact_list AS SELECT id, at FROM exact;
  CREATE VIEW moment_list AS SELECT id, at FROM moments;
  CREATE VIEW wide_list AS SELECT id, text FROM wide;
  CREATE FUNCTION slow_if (id INT) RETURNS INT READS SQL DATA RETURN IF(id = 5, SLEEP(3), id);
  CREATE VIEW slow_list AS SELECT id, slow_if(id) AS slow FROM whole;
  CREATE FUNCTION wrong_if (id INT) RETURNS INT READS SQL DATA
    BEGIN IF id = 8 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'eight is refused'; END IF; RETURN id; END;
  CREATE VIEW wrong_list AS SELECT id, wrong_if(id) AS wrong FROM whole;
  CREATE TABLE soft (id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_lithuanian_ci PRIMARY KEY);
  INSERT INTO soft VALUES ('ch'), ('d');
  CREATE VIEW soft_list AS SELECT id FROM soft;
  ${['whole', 'big', 'word', 'folded', 'soft', 'exact', 'moment', 'wide', 'slow', 'wrong', 'kind'].map((name) => `GRANT SELECT ON ${store.database}.${name}_list TO ${store.account};`).join('\n')}
  CREATE TABLE marks (id INT PRIMARY KEY, n INT NOT NULL);
  CREATE PROCEDURE mark (IN id INT, IN n INT) BEGIN
    INSERT INTO marks VALUES (id, n);
    IF n = 7 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'seven is refused'; END IF;
    UPDATE marks SET marks.n = marks.n + 1 WHERE marks.id = id;
    SELECT marks.id, marks.n FROM marks WHERE marks.id = id; END;
  CREATE PROCEDURE remark (IN id INT, IN n INT) UPDATE marks SET marks.n = n WHERE marks.id = id;
  CREATE TABLE numbered (id INT PRIMARY KEY AUTO_INCREMENT, n INT NOT NULL UNIQUE);
  CREATE PROCEDURE number_of (IN n INT) BEGIN INSERT IGNORE INTO numbered (n) VALUES (n); SELECT LAST_INSERT_ID() AS id; END;
  CREATE PROCEDURE scratch (IN id INT, IN n INT) BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS notes (id INT); INSERT INTO notes VALUES (id); INSERT INTO marks VALUES (id, n);
    SELECT notes.id FROM notes; END;
  CREATE PROCEDURE bump (IN id INT, IN n INT) BEGIN DECLARE before_it INT;
    SELECT marks.n INTO before_it FROM marks WHERE marks.id = id; UPDATE marks SET marks.n = marks.n + n WHERE marks.id = id; END;
  CREATE PROCEDURE classed (IN id INT, IN n INT) BEGIN
    INSERT INTO marks VALUES (id, n);
    CASE n WHEN 1 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[invalid n] Not one.';
      WHEN 2 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[conflict] Not now.';
      WHEN 3 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[forbidden] Not you.';
      WHEN 4 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[not-found id] Not there.'; END CASE; END;
  CREATE PROCEDURE gives_way (IN id INT, IN n INT)
    SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found when trying to get lock';
  CREATE PROCEDURE wordy (IN id INT, IN n INT) BEGIN INSERT INTO marks VALUES (id, n); SELECT REPEAT('x', 200000) AS text; END;
  CREATE PROCEDURE commits (IN id INT, IN n INT) BEGIN INSERT INTO marks VALUES (id, n); COMMIT; END;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account}`);

/** Those of the server that take words of plain letters for each other, each with a view of `ALIKE`. */
const COLLATIONS = ['utf8mb4_lithuanian_ci', 'utf8mb4_hu_0900_ai_ci', 'utf8mb4_roman_ci', 'macce_general_ci'];
const ALIKE = ['c', 'ccs', 'ddzs', 'm', 'i', 'u'];
const [known] = await store.dba.query('SELECT COLLATION_NAME AS name FROM information_schema.COLLATIONS');
const collations = COLLATIONS.filter((each) => (known as { name: string }[]).some(({ name }) => name === each));
await store.dba.query(`
  CREATE TABLE alike (id VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL, at INT PRIMARY KEY);
  INSERT INTO alike VALUES ${ALIKE.map((word, at) => `('${word}', ${String(at)})`).join()};
  ${collations
    .map(
      (each) => `
        CREATE VIEW ${each}_list AS
          SELECT CONVERT(id USING ${each.split('_')[0] ?? ''}) COLLATE ${each} AS id, at FROM alike;
        GRANT SELECT ON ${store.database}.${each}_list TO ${store.account}`,
    )
    .join(';')}`);

/** Counts the statements that an adapter sends, and can cut its connections at one of them. */
interface Wire {
  readonly url: string;
  sent: number;
  /** Cuts the connection when so many more statements were sent. */
  cutAfter: number;
  /** Cuts the connection at the next text of the adapter's own. */
  cutsTexts: boolean;
  close(): Promise<void>;
}

const [TEXT, EXECUTE] = [0x03, 0x17];

async function wire(): Promise<Wire> {
  const target = new URL(store.url);
  const sockets = new Set<Socket>();
  const made = { url: '', sent: 0, cutAfter: Infinity, cutsTexts: false, close: () => Promise.resolve() };
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.pipe(client);
    client.on('data', (chunk: Buffer) => {
      for (let at = 0; at + 4 < chunk.length; at += 4 + chunk.readUIntLE(at, 3)) {
        if (chunk[at + 4] === TEXT && made.cutsTexts) made.cutAfter = -1;
        if (chunk[at + 4] !== EXECUTE) continue;
        made.sent += 1;
        made.cutAfter -= 1;
      }
      if (made.cutAfter < 0) {
        made.cutAfter = Infinity;
        made.cutsTexts = false;
        client.destroy();
      } else upstream.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(store.url);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  made.url = url.href;
  made.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return made;
}

interface Opened {
  readonly adapter: StoreAdapter;
  readonly wire: Wire;
  object(name: string): NamedObject;
}

async function opened(changes: Partial<StoreConfig> = {}): Promise<Opened & { close(): Promise<void> }> {
  const counted = await wire();
  const config = { kind: 'mysql', url: counted.url, ...storeLimits, acquireTimeoutMs: 10_000, ...changes } as const;
  const adapter = createMysqlAdapter({ store: 'test', config });
  await adapter.open();
  const names = await adapter.names();
  const objects = await adapter.describe(names);
  const close = async (): Promise<void> => {
    await adapter.close(1_000);
    await counted.close();
  };
  const object = finderOf(objects);
  return { adapter, wire: counted, object, close };
}

/** What came of a call, in a form that can be compared. */
async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    assert.ok(isBedsError(error), String(error));
    return [error.code, error.message, error.field];
  }
}

describe('reads that come in one turn', () => {
  let shared: Awaited<ReturnType<typeof opened>>;
  const view = (name: string, query: ViewQuery, options: CallOptions = read): Promise<Page> =>
    shared.adapter.view(shared.object(name), { key: 'id', ...query }, options);
  const byId = (name: string, id: string | number, options: CallOptions = read): Promise<Page> =>
    view(name, { where: { id }, limit: 1 }, options);
  before(async () => {
    shared = await opened();
  });
  after(() => shared.close());

  it('by key are one statement, and each gets its own record', async () => {
    const before = shared.wire.sent;
    const pages = await Promise.all([3, 1, 99, 2].map((id) => byId('whole_list', id)));
    assert.equal(shared.wire.sent - before, 1);
    const names = pages.map(({ rows: [row] }) => row?.['name']);
    assert.deepEqual(names, ['n3', 'n1', undefined, 'n2']);
  });

  it('one by itself is the statement that it always was', async () => {
    const before = shared.wire.sent;
    assert.equal((await byId('whole_list', 3)).rows.length, 1);
    assert.equal(shared.wire.sent - before, 1);
  });

  it('of the same record get rows of their own', async () => {
    const [first, second] = await Promise.all([byId('whole_list', 3), byId('whole_list', 3)]);
    assert.deepEqual(first, second);
    assert.notEqual(first?.rows[0], second?.rows[0]);
    (first?.rows[0]?.['data'] as Record<string, Json>)['a'] = 'changed';
    assert.deepEqual(second?.rows[0]?.['data'], { a: [3] });
  });

  it('keep what they asked when their caller changes it', async () => {
    const where = { id: 3 };
    const asked = [view('whole_list', { where, limit: 1 }), byId('whole_list', 2)];
    where.id = 2;
    assert.deepEqual(
      (await Promise.all(asked)).map(({ rows: [row] }) => row?.['id']),
      [3, 2],
    );
  });

  it('give the same as one after the other, whatever the type and the collation of the key', async () => {
    const words = fc.oneof(fc.constantFrom(...WORDS), fc.constantFrom('AB', 'J', 'I', 'aa', 'E', 'SS', '1 ', 'x'));
    const numbers = fc.oneof(
      fc.integer({ min: -2, max: 60 }),
      fc.constantFrom('5', '05', '-0', '8.0', 5.5, '99999999999999999999'),
    );
    const big = fc.constantFrom(
      0,
      1,
      9007199254740991,
      '9007199254740992',
      '9007199254740993',
      '18446744073709551615',
      '0',
      '00',
    );
    const exact = fc.constantFrom(
      '0.1',
      '0.10',
      '1',
      '1.00',
      '1.000',
      '12345678901234567.89',
      '12345678901234567.9',
      1,
    );
    const moments = fc.constantFrom(
      '2026-01-02T03:04:05.120Z',
      '2026-01-02T03:04:05Z',
      '2026-01-02T03:04:05.12Z',
      'never',
    );
    const of = (name: string, id: fc.Arbitrary<string | number>): fc.Arbitrary<readonly [string, ViewQuery]> =>
      fc.tuple(
        fc.constant(name),
        fc.record(
          { where: fc.record({ id }), limit: fc.constantFrom(1, 2, 50, 0, undefined) },
          { requiredKeys: ['where'] },
        ) as fc.Arbitrary<ViewQuery>,
      );
    const asked = fc.oneof(
      of('whole_list', numbers),
      of('big_list', big),
      of('word_list', words),
      of('folded_list', words),
      of('exact_list', exact),
      of('moment_list', moments),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 2, maxLength: 40 }), async (all) => {
        const together = await Promise.all(all.map(([name, query]) => outcome(view(name, query))));
        for (const [index, [name, query]] of all.entries()) {
          assert.deepEqual(together[index], await outcome(view(name, query)), JSON.stringify([name, query]));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('by words that a collation takes for each other get what each of them finds by itself', async () => {
    const words = [...ALIKE, 'ch', 'cscs', 'dzsdzs', 'n', 'y', 'j', 'v', 'w'];
    let found = 0;
    for (const collation of collations) {
      const together = await Promise.all([...words, ...words].map((word) => byId(`${collation}_list`, word)));
      for (const [index, word] of words.entries()) {
        const alone = await byId(`${collation}_list`, word);
        assert.deepEqual([together[index], together[index + words.length]], [alone, alone], `${word}, ${collation}`);
        found += alone.rows.length;
      }
    }
    assert.ok(found > collations.length * ALIKE.length, 'some collation takes one for another');
  });

  it('of one form are few statements, and each gets its own page', async () => {
    const ask = (least: number): Promise<Page> =>
      view('whole_list', { where: { id: { gte: least } }, order: [{ column: 'name', direction: 'desc' }], limit: 2 });
    await Promise.all([ask(0), ask(1), ask(2), ask(3)]);
    const before = shared.wire.sent;
    const pages = await Promise.all([ask(0), ask(8), ask(40), ask(99)]);
    // n.b. where the first ones took long, groups begin with two.
    assert.ok(shared.wire.sent - before <= 2);
    const found = pages.map(({ rows, cursor }) => [rows.map(({ id }) => id), cursor !== undefined]);
    assert.deepEqual(found, [
      [[8, 55], true],
      [[8, 55], true],
      [[55], false],
      [[], false],
    ]);
    assert.deepEqual(Object.keys(pages[0]?.rows[0] ?? {}), ['id', 'name', 'data']);
  });

  it('give the same pages as one after the other, and go on from them', async () => {
    const direction = fc.constantFrom('asc' as const, 'desc' as const);
    const limit = fc.integer({ min: 1, max: 3 });
    const wholes = fc.record({
      where: fc.oneof(
        fc.record({ id: fc.record({ gte: fc.integer({ min: 0, max: 60 }) }) }),
        fc.record({ name: fc.record({ prefix: fc.constantFrom('n', 'n1', 'N', 'n%') }) }),
        fc.record({ id: fc.record({ in: fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 5 }) }) }),
      ),
      order: fc.tuple(fc.record({ column: fc.constantFrom('id', 'name'), direction })),
      limit,
    });
    const kinds = fc.record({
      where: fc.record({ flag: fc.boolean() }),
      order: fc.tuple(fc.record({ column: fc.constantFrom('exact', 'day', 'moment', 'text', 'hours'), direction })),
      limit,
    });
    const folded = fc.record({ where: fc.record({ id: fc.constantFrom('a', 'B', 'ss', 'E', '') }), limit });
    const asked = fc.oneof(
      fc.tuple(fc.constant('whole_list'), wholes),
      fc.tuple(fc.constant('kind_list'), kinds),
      fc.tuple(fc.constant('folded_list'), folded),
    ) as fc.Arbitrary<readonly [string, ViewQuery]>;
    const bothPages = async (name: string, query: ViewQuery): Promise<unknown> => {
      const key = name === 'folded_list' ? 'at' : 'id';
      const first = await view(name, { ...query, key } as ViewQuery);
      const next = first.cursor === undefined ? undefined : { ...query, key, cursor: first.cursor };
      return [first, next && (await view(name, next))];
    };
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 2, maxLength: 20 }), async (all) => {
        const twice = [...all, ...all];
        const together = await Promise.all(twice.map(([name, query]) => bothPages(name, query)));
        for (const [index, [name, query]] of twice.entries()) {
          assert.deepEqual(together[index], await bothPages(name, query), JSON.stringify([name, query]));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('fail by themselves', async () => {
    const results = await Promise.all([1, 8, 2, 8, 3].map((id) => outcome(byId('wrong_list', id))));
    const refused = ['BEDS_STORE_REFUSED', 'eight is refused', undefined];
    assert.deepEqual(results, [
      { rows: [{ id: 1, wrong: 1 }] },
      refused,
      { rows: [{ id: 2, wrong: 2 }] },
      refused,
      { rows: [{ id: 3, wrong: 3 }] },
    ]);
  });

  it('are bounded by the shortest deadline; the others are read again', async () => {
    const began = performance.now();
    const results = await Promise.all([
      outcome(byId('slow_list', 5, { mode: 'read', timeoutMs: 300 })),
      outcome(byId('slow_list', 1)),
      outcome(byId('slow_list', 2)),
    ]);
    assert.ok(performance.now() - began < 2_500);
    assert.equal((results[0] as readonly unknown[])[0], 'BEDS_STORE_TIMEOUT');
    assert.deepEqual(results.slice(1), [{ rows: [{ id: 1, slow: 1 }] }, { rows: [{ id: 2, slow: 2 }] }]);
  });

  it('that can be given up by themselves are, and nobody else is', async () => {
    const signal = AbortSignal.timeout(100);
    const given = outcome(byId('slow_list', 5, { ...read, signal }));
    const [first, second] = await Promise.all([byId('slow_list', 1), byId('slow_list', 2)]);
    assert.deepEqual([first?.rows, second?.rows], [[{ id: 1, slow: 1 }], [{ id: 2, slow: 2 }]]);
    assert.equal(((await given) as readonly unknown[])[0], 'BEDS_STORE_TIMEOUT');
  });

  it('survive the loss of their connection', async (t) => {
    const lossy = await opened({ poolSize: 2 });
    t.after(() => lossy.close());
    lossy.wire.cutAfter = 0;
    const ask = (id: number): Promise<Page> =>
      lossy.adapter.view(lossy.object('whole_list'), { key: 'id', where: { id }, limit: 1 }, read);
    const pages = await Promise.all([1, 2, 3].map(ask));
    assert.deepEqual(
      pages.map(({ rows }) => rows[0]?.['id']),
      [1, 2, 3],
    );
  });

  it('survive that their connection was dead before they were sent', async (t) => {
    const lossy = await opened({ poolSize: 1 });
    t.after(() => lossy.close());
    const ask = (id: number, timeoutMs: number): Promise<Page> =>
      lossy.adapter.view(
        lossy.object('whole_list'),
        { key: 'id', where: { id }, limit: 1 },
        { mode: 'read', timeoutMs },
      );
    await ask(1, 10_000);
    lossy.wire.cutsTexts = true;
    const pages = await Promise.all([1, 2, 3].map((id) => ask(id, 5_000)));
    assert.deepEqual(
      pages.map(({ rows }) => rows[0]?.['id']),
      [1, 2, 3],
    );
  });

  it('are told apart where a collation takes words of different letters for the same', async () => {
    const pages = await Promise.all(['c', 'ch', 'd', 'dh'].map((id) => byId('soft_list', id)));
    const found = pages.map(({ rows: [row] }) => row?.['id']);
    assert.deepEqual(found, ['ch', 'ch', 'd', undefined]);
  });

  it('are refused singly where the line has no room for all of them', async (t) => {
    const narrow = await opened({ poolSize: 1, queueLimit: 3 });
    t.after(() => narrow.close());
    const ask = (name: string, id: number): Promise<unknown> =>
      outcome(
        narrow.adapter.view(
          narrow.object(name),
          { key: 'id', where: { id }, limit: 1 },
          { ...read, holder: { hold: () => undefined } },
        ),
      );
    const busy = ask('slow_list', 5);
    await eventually('it is under way', () => narrow.adapter.status().connections.inUse === 1);
    const results = await Promise.all([1, 2, 3, 5, 8].map((id) => ask('whole_list', id)));
    const refused = results.map((result) => (Array.isArray(result) ? (result as unknown[])[0] : 'read'));
    assert.deepEqual(refused, ['read', 'read', 'read', 'BEDS_STORE_OVERLOADED', 'BEDS_STORE_OVERLOADED']);
    await busy;
  });

  it('whose sum is too large are read alone', async (t) => {
    const narrow = await opened({ maxResultBytes: 600_000 });
    t.after(() => narrow.close());
    const ask = (id: number): Promise<Page> =>
      narrow.adapter.view(narrow.object('wide_list'), { key: 'id', where: { id }, limit: 1 }, read);
    const pages = await Promise.all([1, 2, 3, 4].map(ask));
    assert.deepEqual(
      pages.map(({ rows }) => (rows[0]?.['text'] as string).length),
      [400_000, 400_000, 40, 0],
    );
  });

  it('count for those who asked what their results take', async () => {
    const held = [0, 0];
    const ask = (id: number, at: number): Promise<Page> =>
      byId('wide_list', id, { ...read, holder: { hold: (bytes) => (held[at] = (held[at] ?? 0) + bytes) } });
    await Promise.all([ask(1, 0), ask(3, 1)]);
    const [large = 0, small = 0] = held;
    assert.ok(large > 400_000, JSON.stringify(held));
    assert.ok(small < 1_000, 'the small one holds what is its own');
  });
});

describe('writes of a procedure that may go together', () => {
  let shared: Awaited<ReturnType<typeof opened>>;
  const write = { mode: 'write', timeoutMs: 10_000 } as const;
  const together = (name: string): NamedObject => ({ ...shared.object(name), together: true }) as NamedObject;
  const objects = new Map<string, NamedObject>();
  const call = (name: string, args: JsonObject): Promise<unknown> => {
    const object = objects.get(name);
    assert.ok(object);
    return outcome(shared.adapter.call(object, args, write));
  };
  const table = async (): Promise<unknown> => (await store.dba.query('SELECT id, n FROM marks ORDER BY id'))[0];
  let blocks = false;
  before(async () => {
    shared = await opened({ poolSize: 4 });
    for (const name of ['mark', 'remark', 'classed', 'commits', 'number_of', 'scratch', 'bump', 'wordy'])
      objects.set(name, together(name));
    blocks = /mariadb/i.test(shared.adapter.status().server);
  });
  after(() => shared.close());
  beforeEach(async () => {
    await store.dba.query('DELETE FROM marks');
  });

  it('are one statement, and one that fails is undone by itself, with its own error', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    const before = shared.wire.sent;
    const results = await Promise.all([
      call('mark', { id: 1, n: 1 }),
      call('mark', { id: 2, n: 7 }),
      call('mark', { id: 1, n: 3 }),
      call('mark', { id: 3, n: 'x' }),
      call('mark', { id: 4, n: 4 }),
    ]);
    assert.equal(shared.wire.sent - before, 1);
    const row = (id: number, n: number): object => ({ rows: [{ id, n }], sets: [[{ id, n }]], affected: 2 });
    assert.deepEqual([results[0], results[4]], [row(1, 2), row(4, 5)]);
    assert.deepEqual(
      results.slice(1, 4).map((result) => (result as readonly string[])[0]),
      ['BEDS_STORE_REFUSED', 'BEDS_STORE_CONFLICT', 'BEDS_STORE_INVALID_VALUE'],
    );
    assert.deepEqual(await table(), [
      { id: 1, n: 2 },
      { id: 4, n: 5 },
    ]);
  });

  it('are told what the DBA refuses by class, and none of them is made a second time', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    const before = shared.wire.sent;
    const results = await Promise.all([1, 2, 3, 4].map((n) => call('classed', { id: n, n })));
    assert.equal(shared.wire.sent - before, 1);
    assert.deepEqual(
      results.map((result) => (result as readonly string[])[0]),
      ['BEDS_STORE_REFUSED', 'BEDS_STORE_CONFLICT', 'BEDS_STORE_FORBIDDEN', 'BEDS_STORE_NOT_FOUND'],
    );
    assert.deepEqual(await table(), []);
  });

  it('give the same, and leave the same, as one after the other', async () => {
    const step = fc.record({ id: fc.integer({ min: 1, max: 20 }), n: fc.constantFrom(1, 2, 7, 8) });
    const steps = fc.uniqueArray(step, { minLength: 2, maxLength: 16, selector: ({ id }) => id });
    const fill = 'DELETE FROM marks; INSERT INTO marks VALUES (1, 0), (2, 0), (3, 0)';
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('mark', 'remark'), steps, async (name, all) => {
        await store.dba.query(fill);
        const grouped = await Promise.all(all.map(({ id, n }) => call(name, { id, n })));
        const left = await table();
        await store.dba.query(fill);
        for (const [index, { id, n }] of all.entries()) assert.deepEqual(grouped[index], await call(name, { id, n }));
        assert.deepEqual(left, await table());
      }),
      { numRuns: 30 },
    );
  });

  it('take effect in the order in which they came', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    await store.dba.query('INSERT INTO marks VALUES (1, 0)');
    const calls = Array.from({ length: 40 }, (_, at) => call('remark', { id: 1, n: at + 1 }));
    const results = await Promise.all(calls);
    assert.ok(results.every((result) => (result as { affected: number }).affected === 1));
    assert.deepEqual(await table(), [{ id: 1, n: 40 }]);
  });

  it('keep the order of those about the same while they go alone, as after a group that was late', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    await store.dba.query('INSERT INTO marks VALUES (1, 0), (2, 0)');
    const remark = objects.get('remark') as NamedObject;
    const late = { mode: 'write', timeoutMs: 0.001 } as const;
    await Promise.all([1, 2].map((id) => outcome(shared.adapter.call(remark, { id, n: 0 }, late))));
    const calls = Array.from({ length: 60 }, (_, at) => call('remark', { id: 1 + (at % 2), n: at + 1 }));
    await Promise.all(calls);
    assert.deepEqual(await table(), [
      { id: 1, n: 59 },
      { id: 2, n: 60 },
    ]);
  });

  it('do not wait for the lock that one of them waits for', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    await store.dba.query(
      'INSERT INTO marks VALUES (1, 0), (2, 0), (3, 0); START TRANSACTION; UPDATE marks SET n = 9 WHERE id = 1',
    );
    const locked = call('remark', { id: 1, n: 5 });
    const others = [call('remark', { id: 2, n: 5 }), call('remark', { id: 3, n: 5 })];
    await Promise.all(others);
    await store.dba.query('ROLLBACK');
    assert.equal(((await locked) as { affected: number }).affected, 1);
    assert.deepEqual(
      await table(),
      [1, 2, 3].map((id) => ({ id, n: 5 })),
    );
  });

  it('do not keep those with less time waiting for the one that waits for a lock', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    await store.dba.query('INSERT INTO marks VALUES (1, 0); START TRANSACTION; UPDATE marks SET n = 9 WHERE id = 1');
    const began = performance.now();
    const remark = (timeoutMs: number): Promise<unknown> =>
      outcome(shared.adapter.call(objects.get('remark') as NamedObject, { id: 1, n: 5 }, { mode: 'write', timeoutMs }));
    const first = remark(4_000);
    const others = await Promise.all([remark(300), remark(300), remark(300)]);
    assert.ok(performance.now() - began < 2_000);
    for (const other of others) assert.equal((other as readonly unknown[])[0], 'BEDS_STORE_TIMEOUT');
    await store.dba.query('ROLLBACK');
    assert.equal(((await first) as { affected: number }).affected, 1);
  });

  it('are made once whose connection is lost, or each is told that nobody knows', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    const lossy = await opened({ poolSize: 1 });
    t.after(() => lossy.close());
    const mark = { ...lossy.object('mark'), together: true } as NamedObject;
    const codes = async (ids: readonly number[]): Promise<readonly unknown[]> => {
      const results = await Promise.all(ids.map((id) => outcome(lossy.adapter.call(mark, { id, n: 1 }, write))));
      return results.map((result) => (Array.isArray(result) ? (result as unknown[])[0] : 'done'));
    };
    const unknown = 'BEDS_STORE_INDETERMINATE';
    let id = 0;
    const pair = (): Promise<readonly unknown[]> => codes([(id += 1), (id += 1)]);
    /** n.b. where the ones before took long they go alone for a while, and other things are cut. */
    const cut = async (begin: () => void, expected: unknown): Promise<void> => {
      let found: readonly unknown[] = [];
      for (let tries = 0; tries < 40 && found[0] !== expected; tries += 1) {
        for (let sent = 0; sent !== 1;) {
          const before = lossy.wire.sent;
          assert.deepEqual(await pair(), ['done', 'done']);
          sent = lossy.wire.sent - before;
        }
        begin();
        found = await pair();
        Object.assign(lossy.wire, { cutsTexts: false, cutAfter: Infinity });
      }
      assert.deepEqual(found, [expected, expected]);
    };
    await cut(() => (lossy.wire.cutsTexts = true), unknown);
    await cut(() => (lossy.wire.cutAfter = 0), 'done');
  });

  it('see nothing of what another has left in the session, and go alone where one leaves something', async () => {
    const ask = (ids: readonly number[]): Promise<unknown> =>
      Promise.all(
        ids.map(async (id) => (await (call('scratch', { id, n: id }) as Promise<{ rows: readonly object[] }>)).rows),
      );
    assert.deepEqual(await ask([1, 2, 3, 4]), [[{ id: 1 }], [{ id: 2 }], [{ id: 3 }], [{ id: 4 }]]);
    const before = shared.wire.sent;
    assert.deepEqual(await ask([11, 12]), [[{ id: 11 }], [{ id: 12 }]]);
    assert.equal(shared.wire.sent - before, 2);
    assert.equal(((await table()) as readonly object[]).length, 6);
  });

  it('see nothing of the id that another has inserted, together or not', async () => {
    const ask = async (n: number): Promise<unknown> =>
      ((await call('number_of', { n })) as { rows: readonly JsonObject[] }).rows[0]?.['id'];
    await store.dba.query('INSERT INTO numbered (n) VALUES (5)');
    const [first, known, second] = await Promise.all([ask(1), ask(5), ask(2)]);
    assert.deepEqual([Number(first) > 1, known, Number(second) > 1], [true, 0, true]);
    for (const n of [6, 7, 5]) assert.equal((await ask(n)) === 0, n === 5);
  });

  it('are made by themselves where the server has undone all of them, as for a row that was changed meanwhile', async (t) => {
    const other = await opened({ poolSize: 4 });
    t.after(() => other.close());
    await store.dba.query('INSERT INTO marks VALUES (1, 0), (2, 0)');
    const [mine, theirs] = [together('bump'), { ...other.object('bump'), together: true } as NamedObject];
    let done = 0;
    for (let round = 0; round < 25; round += 1) {
      const calls = Array.from({ length: 12 }, (_, at) => {
        const args = { id: 1 + (at % 2), n: 1 };
        return outcome(at % 3 === 0 ? other.adapter.call(theirs, args, write) : shared.adapter.call(mine, args, write));
      });
      for (const result of await Promise.all(calls)) {
        if (Array.isArray(result)) assert.equal(result[0], 'BEDS_STORE_DEADLOCK');
        else done += 1;
      }
    }
    const rows = (await table()) as readonly { n: number }[];
    assert.equal(
      rows.reduce((sum, { n }) => sum + n, 0),
      done,
    );
  });

  it('are not taken for routines that commit by themselves because the first connection was tried out', async (t) => {
    const first = await opened({ poolSize: 1 });
    t.after(() => first.close());
    const [code] = (await outcome(first.adapter.call(first.object('gives_way'), { id: 1, n: 1 }, write))) as string[];
    assert.equal(code, 'BEDS_STORE_DEADLOCK');
  });

  it('whose results are too large together are made by themselves', async (t) => {
    const narrow = await opened({ maxResultBytes: 600_000 });
    t.after(() => narrow.close());
    const wordy = { ...narrow.object('wordy'), together: true } as NamedObject;
    const results = await Promise.all(
      [1, 2, 3, 4, 5].map((id) => outcome(narrow.adapter.call(wordy, { id, n: id }, write))),
    );
    for (const result of results as readonly RoutineRows[]) {
      assert.equal((result.rows[0]?.['text'] as string).length, 200_000);
      // n.b. MySQL counts what the last statement of a routine did.
      assert.equal(result.affected, blocks ? 1 : 0);
    }
    assert.equal(((await table()) as readonly object[]).length, 5);
  });

  it('that commit by themselves are found out: what is not known is said, and nothing is done twice', async (t) => {
    if (!blocks) return t.skip('the server knows no blocks: calls go alone');
    const first = await Promise.all([1, 2, 3].map((id) => call('commits', { id, n: id })));
    assert.ok(first.flat().includes('BEDS_STORE_INDETERMINATE'));
    const told = first.filter((each) => Array.isArray(each) && each[0] === 'BEDS_STORE_INDETERMINATE');
    assert.ok(told.length <= 2, 'the last one was not begun, and is made');
    const before = ((await table()) as readonly object[]).length;
    assert.ok(before >= 2);
    await Promise.all([11, 12, 13].map((id) => call('commits', { id, n: id })));
    assert.equal(((await table()) as readonly object[]).length, before + 3);
  });
});
