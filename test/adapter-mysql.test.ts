import assert from 'node:assert/strict';
import { type BedsError, isBedsError, type Page } from '@beds/sdk';
import { STOP } from '../host/dba/mysql.js';
import type { StoreAdapter } from '../host/stores/contract.js';
import { adapterConformance, refusals, type ConformanceStore } from './support/adapter-conformance.js';
import { mysqlStore } from './support/mysql-store.js';

const store = await mysqlStore();

// What a DBA delivers: the runtime account gets EXECUTE and SELECT on these objects and nothing else.
await store.dba.query(`
  CREATE TABLE notes (
    id VARCHAR(40) PRIMARY KEY, title VARCHAR(200) NOT NULL, body TEXT, stars INT NOT NULL, KEY (title)
  );
  CREATE TABLE kinds (
    id INT PRIMARY KEY, text VARCHAR(40), whole INT, exact DECIMAL(20, 4), \`real\` DOUBLE, flag BOOLEAN, day DATE,
    moment DATETIME(3), data JSON, big BIGINT, state ENUM ('closed', 'open'), bytes VARBINARY(200), tags JSON, place JSON
  );
  CREATE VIEW kind_list AS SELECT * FROM kinds;
  CREATE TABLE notes_hidden (id INT PRIMARY KEY);
  CREATE VIEW note_list AS SELECT id, title, body, stars FROM notes;
  CREATE PROCEDURE note_create (IN id VARCHAR(40), IN title VARCHAR(200), IN body TEXT, IN stars INT)
    MODIFIES SQL DATA INSERT INTO notes VALUES (id, title, body, stars);
  CREATE PROCEDURE note_update (IN id VARCHAR(40), IN title VARCHAR(200))
    MODIFIES SQL DATA UPDATE notes n SET n.title = title WHERE n.id = id;
  CREATE PROCEDURE note_delete (IN id VARCHAR(40)) MODIFIES SQL DATA DELETE FROM notes WHERE notes.id = id;
  CREATE FUNCTION note_count (title VARCHAR(200)) RETURNS INT READS SQL DATA
    RETURN (SELECT COUNT(*) FROM notes n WHERE n.title = title);
  ${Object.entries(refusals)
    .map(
      ([word, [said]]) => `CREATE PROCEDURE note_refuse_${word} (IN id VARCHAR(40)) MODIFIES SQL DATA
    BEGIN INSERT INTO notes VALUES (id, 't', NULL, 0); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '${said}'; END;
  GRANT EXECUTE ON PROCEDURE note_refuse_${word} TO ${store.account};`,
    )
    .join('\n')}
  CREATE PROCEDURE note_slow () NO SQL
    BEGIN DECLARE i BIGINT DEFAULT 0; WHILE i < 1000000000 DO SET i = i + 1; END WHILE; END;
  CREATE PROCEDURE form_add
    (IN id INT, IN big BIGINT, IN state ENUM ('closed', 'open'), IN bytes VARBINARY(200), IN tags JSON, IN place JSON)
    MODIFIES SQL DATA
    BEGIN
      INSERT INTO kinds (id, big, state, bytes, tags, place) VALUES (id, big, state, bytes, tags, place);
      SELECT k.id, k.big, k.state, k.bytes, k.tags, k.place FROM kinds k WHERE k.id = id;
    END;
  CREATE PROCEDURE form_get (IN wanted INT) READS SQL DATA SELECT * FROM kinds WHERE id = wanted;
  CREATE PROCEDURE form_sets (IN wanted INT) READS SQL DATA
    BEGIN
      SELECT id, state FROM kinds ORDER BY id;
      SELECT id FROM kinds WHERE id < 0;
      SELECT tags, big FROM kinds WHERE id = wanted;
    END;
  CREATE FUNCTION form_tags (wanted INT) RETURNS JSON READS SQL DATA RETURN (SELECT tags FROM kinds WHERE id = wanted);
  GRANT SELECT ON kind_list TO ${store.account};
  GRANT SELECT ON note_list TO ${store.account};
  ${['note_create', 'note_update', 'note_delete', 'note_slow', 'form_add', 'form_get', 'form_sets'].map((name) => `GRANT EXECUTE ON PROCEDURE ${name} TO ${store.account};`).join('\n')}
  GRANT EXECUTE ON FUNCTION note_count TO ${store.account};
  GRANT EXECUTE ON FUNCTION form_tags TO ${store.account};
  ${STOP};
  GRANT EXECUTE ON PROCEDURE beds_stop TO ${store.account}`);

const conforming: ConformanceStore = {
  name: 'MySQL',
  running: store.running,
  fillKinds: async (rows) => {
    await store.dba.query('DELETE FROM kinds');
    const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
    for (const { id, text, whole, exact, real, flag, day, moment, data, big, state, bytes, tags, place } of rows) {
      const stored = moment === null ? null : moment.replace('T', ' ').replace('Z', '');
      await store.dba.execute(`INSERT INTO kinds VALUES (${Array.from({ length: 14 }, () => '?').join()})`, [
        ...[id, text, whole, exact, real, flag, day, stored, json(data), big, state],
        ...[bytes === null ? null : Buffer.from(bytes, 'base64'), json(tags), json(place)],
      ]);
    }
  },
  open: async (bounds = {}) => {
    await store.dba.query('DELETE FROM notes');
    return { adapter: store.adapter(bounds), teardown: () => Promise.resolve() };
  },
};

/** Makes every read three times at once, so that they go together; each has to give the same. */
function threefold(adapter: StoreAdapter): StoreAdapter {
  const view: StoreAdapter['view'] = async (...asked) => {
    const settled = await Promise.allSettled([1, 2, 3].map(() => adapter.view(...asked)));
    const [first, ...others] = settled.map((result) => outcomeOf(result));
    for (const other of others) assert.deepEqual(other, first);
    const [result] = settled;
    assert.ok(result);
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  };
  return new Proxy(adapter, {
    get: (target, name): unknown => {
      if (name === 'view') return view;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function outcomeOf(result: PromiseSettledResult<Page>): unknown {
  if (result.status === 'fulfilled') return result.value;
  const error: unknown = result.reason;
  assert.ok(isBedsError(error), String(error));
  const { code, message, field }: BedsError = error;
  return [code, message, field];
}

adapterConformance(conforming);
adapterConformance({
  ...conforming,
  name: 'MySQL, every read three times at once',
  open: async (bounds) => {
    const { adapter, teardown } = await conforming.open(bounds);
    return { adapter: threefold(adapter), teardown };
  },
});
