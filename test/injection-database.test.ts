import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RowDataPacket } from 'mysql2/promise';
import { applyObjects } from '../host/dba/index.js';
import { changingDomain, SONGS, type Workplace } from './support/changing-domain.js';
import { documentWith, HOSTILE, storedText } from './support/hostile-texts.js';
import { sharedServices } from './support/services.js';

const { mariadb } = await sharedServices(['mariadb']);
assert.ok(mariadb);
const { url } = mariadb;

async function rows(
  { dba }: Workplace,
  sql: string,
  values: readonly string[] = [],
): Promise<readonly RowDataPacket[]> {
  return (await dba.query<RowDataPacket[]>(sql, [...values]))[0];
}

describe('a database that gets a document of a liar', { timeout: 300_000 }, () => {
  it('has his texts as texts, and nothing else that is different', async (t) => {
    const place = await changingDomain(t, url);
    const { dba, database } = place;
    await dba.query("CREATE TABLE victim_secret (word VARCHAR(20)); INSERT INTO victim_secret VALUES ('kept')");
    for (const [index, text] of HOSTILE.entries())
      place.write({ ...documentWith(text), domain: `tools${String(index)}` });
    await applyObjects(place.options);
    for (const [index, text] of HOSTILE.entries()) {
      const name = `tools${String(index)}`;
      // n.b. MariaDB keeps no space at the end of a comment.
      const columns =
        'SELECT COLUMN_COMMENT AS words FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND COLUMN_NAME = ?';
      assert.deepEqual(await rows(place, columns, [database, `${name}_tool`, 'name']), [{ words: text.trimEnd() }]);
      assert.deepEqual(await rows(place, `SELECT name FROM ${name}_tool`), [{ name: storedText(text) }]);
      const [found] = await dba.query<RowDataPacket[][]>(`CALL ${name}_find(?)`, [storedText(text)]);
      assert.deepEqual(found[0], [{ name: storedText(text), label: text }]);
      const refused = dba.query(`INSERT INTO ${name}_tool (name, state, price) VALUES ('other', ?, 2000)`, [
        text.slice(0, 38).trim(),
      ]);
      await assert.rejects(refused, ({ errno }: { errno?: number }) => errno === 4025 || errno === 3819);
    }
    const [key] = await rows(place, 'SELECT id FROM tools0_tool');
    const lend = 'INSERT INTO tools0_loan (tool, who) VALUES (?, ?)';
    await dba.query(lend, [key?.['id'], '12-B[.{$^']);
    await assert.rejects(dba.query(lend, [key?.['id'], '12-B(.{$^']));
    assert.deepEqual(await rows(place, 'SELECT word FROM victim_secret'), [{ word: 'kept' }]);
    const objects = `SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?
      UNION ALL SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?
      UNION ALL SELECT Routine_name FROM mysql.procs_priv WHERE Db = ? UNION ALL SELECT Table_name FROM mysql.tables_priv WHERE Db = ?`;
    const names = (await rows(place, objects, [database, database, database, database])).map((row) =>
      String(row['name']),
    );
    assert.deepEqual(
      names.filter((name) => !/^(?:_?tools\d+_|beds_|victim_secret$)/.test(name)),
      [],
    );
    const eve = "SELECT User FROM mysql.user WHERE User = 'eve'";
    assert.deepEqual(await rows(place, eve), []);
    const rights = 'SELECT DISTINCT Table_name AS name FROM mysql.tables_priv WHERE Db = ?';
    for (const { name } of await rows(place, rights, [database])) assert.notEqual(name, 'victim_secret');
  });

  it('keeps what callers of another domain use, where a record is called so that its objects have the same names', async (t) => {
    const place = await changingDomain(t, url);
    place.write({ ...SONGS, domain: 'songs-artist' });
    await applyObjects(place.options);
    const body = `SELECT ROUTINE_DEFINITION AS body FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? AND ROUTINE_NAME = 'songs_artist_create'`;
    const before = await rows(place, body, [place.database]);
    place.write(SONGS);
    await assert.rejects(applyObjects({ ...place.options, domains: ['songs'] }), {
      code: 'BEDS_DBA_CHANGE_STATE',
      message: /^songs would replace songs_artist_\w+, which belongs to songs-artist\./,
    });
    assert.deepEqual(await rows(place, body, [place.database]), before);
  });
});
