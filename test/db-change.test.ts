import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { applyObjects, contractObjects, planObjects, statusObjects, undoObjects } from '../host/dba/index.js';
import {
  changingDomain,
  type Draft,
  fieldsOf,
  lostProcess,
  MANY,
  nextOf,
  SONGS,
  type Workplace,
} from './support/changing-domain.js';
import { lastFirst, sharedServices } from './support/services.js';
import type { ChangePlan } from '#sdk/cli';
import type { Specification } from '#sdk/spec';

const { mariadb } = await sharedServices(['mariadb']);
assert.ok(mariadb);
const { url } = mariadb;

/** The first revision, with rows in it. */
async function started(t: TestContext): Promise<Workplace> {
  const place = await changingDomain(t, url);
  place.write(SONGS);
  await applyObjects(place.options);
  await place.dba.query("INSERT INTO songs_artist (name, web) VALUES ('Ann', 'a.example'), ('Bo', NULL)");
  await place.dba.query(
    `INSERT INTO songs_song (title, artist, seconds, label, added_on) VALUES ('One', 1, 100, 'Red', '2026-01-01'), ('Two', 1, 200, NULL, '2026-01-02'), ('Three', 2, 300, 'Blue', '2026-01-03')`,
  );
  return place;
}

async function onePlan(place: Workplace): Promise<ChangePlan> {
  const [plan, ...more] = await planObjects(place.options);
  assert.ok(plan);
  assert.equal(more.length, 0);
  return plan;
}

async function rows(place: Workplace, sql: string): Promise<readonly RowDataPacket[]> {
  return (await place.dba.query<RowDataPacket[]>(sql))[0];
}

/** What tables are made of, line by line, in no order. */
async function definitions(place: Workplace, tables: readonly string[]): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const table of tables) {
    const [row] = await rows(place, `SHOW CREATE TABLE ${table}`);
    const text = String(row?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, '');
    texts.push(...text.split('\n').map((line) => line.replace(/,$/, '')));
  }
  return texts.toSorted();
}

/** Where rules differ: each is stricter in one of the two revisions. */
const SHELF: Specification = {
  beds: 1,
  domain: 'shelf',
  description: 'Boxes on a shelf.',
  store: 'main',
  zone: 'UTC',
  records: [
    {
      name: 'box',
      description: 'A box',
      key: 'auto',
      fields: [
        { name: 'code', description: 'Its code', type: 'text', max_length: 20 },
        { name: 'place', description: 'Where it stands', type: 'integer' },
        { name: 'weight', description: 'How heavy it is', type: 'integer', min: '1', max: '100' },
        { name: 'content', description: 'What is in it', type: 'text', max_length: 60 },
        { name: 'colour', description: 'Its colour', type: 'enum', values: ['red', 'green', 'blue'] },
        { name: 'life', description: 'What is done with it', type: 'enum', values: ['stored', 'gone'] },
      ],
      unique: [{ fields: ['code'], message: 'There is a box of this code.' }],
      rules: [{ rule: "colour != 'red' or weight <= 50", message: 'Red boxes are light.' }],
      states: { field: 'life', start: 'stored', moves: [{ from: 'stored', to: ['gone'] }] },
      operations: ['create', 'update'],
    },
  ],
  assumptions: [],
  questions: [],
};

const OTHER_SHELF = nextOf(SHELF, (next) => {
  const [box] = next.records;
  box?.fields.push({ name: 'seal', description: 'Its seal', type: 'text', max_length: 20, optional: true });
  const field = (name: string): object => box?.fields.find((each) => each['name'] === name) ?? {};
  Object.assign(field('weight'), { min: '5', max: '200' });
  Object.assign(field('content'), { optional: true });
  Object.assign(field('colour'), { values: ['green', 'grey', 'blue'] });
  Object.assign(field('life'), { values: ['asked', 'stored', 'gone'] });
  Object.assign(box ?? {}, {
    unique: [
      { fields: ['seal'], when: 'seal is not null' },
      { fields: ['place'], when: "life = 'stored' or life = 'asked'", message: 'The place is taken.' },
    ],
    rules: [{ rule: "colour != 'blue' or weight <= 50", message: 'Blue boxes are light.' }],
    states: {
      ...{ field: 'life', start: 'asked' },
      moves: [
        { from: 'asked', to: ['stored'] },
        { from: 'stored', to: ['gone'] },
      ],
    },
  });
});

const allowed = { change: { allowLoss: true, acceptDrift: false } };

describe('a change of a database', { timeout: 600_000 }, () => {
  it('is planned in words, with what is lost by it and how long it locks, and changes nothing', async (t) => {
    const place = await started(t);
    assert.equal((await onePlan(place)).state, 'current');
    place.write(MANY);
    const plan = await onePlan(place);
    assert.deepEqual([plan.state, plan.from, plan.to, plan.refused, plan.drift], ['change', 1, 2, [], []]);
    assert.deepEqual(plan.losses, [{ rows: 2, words: 'rows have a value in songs_song.label, which goes' }]);
    const said = plan.expand.map(({ words }) => words).join('\n');
    for (const part of [
      'make the table songs_playlist',
      'add songs_artist.songs',
      'add songs_song.name, which may be absent until the version before is retired',
      "widen songs_song.mood to enum('calm','loud','odd')",
      'let songs_song.title be absent, which the new version does not give',
      'give songs_song.name what title has',
      'give songs_artist.songs the count of song',
      'put in 15 views and procedures beside those of the version before',
    ])
      assert.ok(said.includes(part), `${part} is not in:\n${said}`);
    assert.match(plan.contract.map(({ words }) => words).join('\n'), /drop songs_song\.title, which is name now/);
    const added = plan.expand.find(({ words }) => words.startsWith('add songs_artist.songs'));
    assert.match(added?.lock ?? '', /^a moment: only/);
    assert.match(plan.notices.join('\n'), /do not know 'odd' in songs_song\.mood/);
    // Nothing is there of what it was asked for.
    assert.deepEqual(await rows(place, "SHOW DATABASES LIKE 'beds\\_plan\\_%'"), []);
    const [song] = await rows(place, 'SELECT * FROM songs_song');
    assert.deepEqual(Object.keys(song ?? {}), ['id', 'title', 'artist', 'seconds', 'mood', 'label', 'added_on']);
  });

  it('lets both revisions work, and takes away what is no longer needed', async (t) => {
    const place = await started(t);
    place.write(MANY);
    await assert.rejects(applyObjects(place.options), {
      code: 'BEDS_DBA_CHANGE_LOSS',
      message: 'songs: 2 rows have a value in songs_song.label, which goes.',
    });
    await applyObjects({ ...place.options, ...allowed });
    const { dba } = place;
    await dba.query("CALL songs_create('Four', 1, 400, NULL, 'Green', '2026-01-04')");
    await dba.query("CALL songs_create_v2('Five', 2, 500, 'odd', NULL, 4, NULL, 'fine')");
    await dba.query("CALL songs_update(1, 'Uno', NULL, NULL, NULL, NULL, NULL, NULL)");
    await dba.query("CALL songs_update_v2(2, 'Due', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)");
    const both = 'SELECT title, name, label, stars, heard_at IS NOT NULL AS heard FROM songs_song ORDER BY id';
    assert.deepEqual(await rows(place, both), [
      { title: 'Uno', name: 'Uno', label: 'Red', stars: 0, heard: 1 },
      { title: 'Due', name: 'Due', label: null, stars: 0, heard: 1 },
      { title: 'Three', name: 'Three', label: 'Blue', stars: 0, heard: 1 },
      { title: 'Four', name: 'Four', label: 'Green', stars: 0, heard: 1 },
      { title: 'Five', name: 'Five', label: null, stars: 4, heard: 1 },
    ]);
    assert.deepEqual(await rows(place, 'SELECT name, songs FROM songs_artist ORDER BY id'), [
      { name: 'Ann', songs: 3 },
      { name: 'Bo', songs: 2 },
    ]);
    const [status] = await statusObjects(place.options);
    assert.deepEqual([status?.phase, status?.revision, status?.nextRevision], ['expanded', 1, 2]);
    assert.equal((await onePlan(place)).state, 'expanded');
    await assert.rejects(contractObjects(place.options), { code: 'BEDS_DBA_CHANGE_LOSS' });
    await contractObjects({ ...place.options, ...allowed });
    assert.deepEqual(await rows(place, 'SELECT name, stars FROM songs_song WHERE id > 3'), [
      { name: 'Four', stars: 0 },
      { name: 'Five', stars: 4 },
    ]);
    const plan = await onePlan(place);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
    // It is what a database is that was made from the document at once, but for the order of the columns.
    const fresh = await changingDomain(t, url);
    fresh.write(MANY);
    await applyObjects(fresh.options);
    const tables = ['songs_song', 'songs_artist', 'songs_playlist'];
    assert.deepEqual(await definitions(place, tables), await definitions(fresh, tables));
  });

  it('holds each revision to its own rules while both work, and says what is in the way of the new ones alone', async (t) => {
    const place = await changingDomain(t, url);
    place.write(SHELF);
    await applyObjects(place.options);
    const { dba } = place;
    const create = async (revision: string, values: (string | number | null)[]): Promise<string> => {
      const marks = values.map(() => '?').join(', ');
      return dba.query(`CALL shelf_create${revision}(${marks})`, values).then(
        () => 'ok',
        (error: unknown) => (error as Error).message,
      );
    };
    const old = (...values: (string | number | null)[]): Promise<string> => create('', values);
    const fresh = (...values: (string | number | null)[]): Promise<string> => create('_v2', [...values, null]);
    assert.equal(await old('A', 1, 10, 'nails', 'red'), 'ok');
    assert.equal(await old('B', 2, 10, 'nails', 'green'), 'ok');
    place.write(OTHER_SHELF);
    const plan = await onePlan(place);
    assert.deepEqual(plan.refused, []);
    assert.deepEqual(plan.blocks, [
      { rows: 1, words: "rows have 'red' in colour, which goes: give them another word" },
    ]);
    const notices = plan.notices.join('\n');
    for (const part of [
      /cannot read rows with 'red' in shelf_box\.colour/,
      /cannot read a row without shelf_box\.content/,
      /shelf_box_\w*place\w* asks for does not hold for the version before/,
    ])
      assert.match(notices, part);
    await applyObjects({ ...place.options, ...allowed });

    // What was refused is refused, and what was taken is taken.
    assert.match(await old('A', 3, 10, 'nails', 'green'), /There is a box of this code/);
    assert.match(await old('C', 3, 101, 'nails', 'green'), /^\[invalid weight\] Not more than 100/);
    assert.match(await old('C', 3, 51, 'nails', 'red'), /^\[invalid\] Red boxes are light/);
    assert.equal(await old('C', 2, 1, 'nails', 'blue'), 'ok');
    assert.equal(await old('D', 4, 51, 'nails', 'blue'), 'ok');
    // The next one goes by what is new in it.
    assert.equal(await fresh('A', 5, 200, null, 'grey'), 'ok');
    assert.match(await fresh('E', 6, 4, 'nails', 'green'), /^\[invalid weight\] Not less than 5/);
    assert.match(await fresh('E', 6, 51, 'nails', 'blue'), /^\[invalid\] Blue boxes are light/);
    assert.match(await fresh('E', 5, 10, 'nails', 'green'), /^\[conflict\] The place is taken/);
    assert.deepEqual(
      await rows(place, 'SELECT code, weight, content, colour, life FROM shelf_box WHERE id > 2 ORDER BY id'),
      [
        { code: 'C', weight: 1, content: 'nails', colour: 'blue', life: 'stored' },
        { code: 'D', weight: 51, content: 'nails', colour: 'blue', life: 'stored' },
        { code: 'A', weight: 200, content: null, colour: 'grey', life: 'asked' },
      ],
    );
    // What the other revision has made is changed where no rule of its own is about it.
    const [made] = await rows(place, "SELECT id FROM shelf_box WHERE colour = 'grey'");
    await dba.query('CALL shelf_update(?, NULL, 50, NULL, NULL, NULL, NULL)', [made?.['id']]);
    await assert.rejects(
      dba.query('CALL shelf_update(?, NULL, NULL, 150, NULL, NULL, NULL)', [made?.['id']]),
      /Not more than 100/,
    );
    // Of two at once one is told.
    const others = await Promise.all([1, 2].map(() => mysql.createConnection(place.adminUrl)));
    try {
      for (let round = 0; round < 20; round += 1) {
        const outcomes = await Promise.all(
          others.map((connection, index) =>
            connection.query("CALL shelf_create_v2(?, ?, 20, NULL, 'green', NULL)", [`R${index}`, 100 + round]).then(
              () => 'ok',
              (error: unknown) => (error as Error).message,
            ),
          ),
        );
        assert.equal(outcomes.filter((each) => each === 'ok').length, 1, outcomes.join('; '));
        assert.match(outcomes.find((each) => each !== 'ok') ?? '', /The place is taken|Deadlock found/);
      }
    } finally {
      for (const connection of others) await connection.end();
    }

    const blocks = (await onePlan(place)).blocks.map(({ rows: many, words }) => `${many} ${words}`).join('\n');
    assert.match(blocks, /^1 rows have 'red' in colour/m);
    assert.match(blocks, /^2 rows agree in what must be unique, place/m);
    assert.match(blocks, /^1 rows break the rule shelf_box_weight_min/m);
    await assert.rejects(contractObjects({ ...place.options, ...allowed }), { code: 'BEDS_DBA_CHANGE_BLOCKED' });
    // The way back is in the way of rows that only the new one takes.
    await assert.rejects(undoObjects({ ...place.options, ...allowed }), { code: 'BEDS_DBA_CHANGE_BLOCKED' });
    await dba.query(
      "SET @beds_revision = 2; UPDATE shelf_box SET place = 1000 + id, weight = 10, colour = 'green' WHERE code IN ('C', 'D') OR colour = 'red'",
    );
    await contractObjects({ ...place.options, ...allowed });
    assert.match(await fresh('E', 2, 10, 'nails', 'green'), /^\[conflict\] The place is taken/);
    assert.match(await fresh('E', 99, 4, 'nails', 'green'), /^\[invalid weight\] Not less than 5/);
    const { state, drift } = await onePlan(place);
    assert.deepEqual([state, drift], ['current', []]);
    const again = await changingDomain(t, url);
    again.write(OTHER_SHELF);
    await applyObjects(again.options);
    assert.deepEqual(await definitions(place, ['shelf_box']), await definitions(again, ['shelf_box']));
  });

  it('is undone, as long as the revision before is there', async (t) => {
    const place = await started(t);
    const before = await rows(place, 'SHOW CREATE TABLE songs_song');
    place.write(MANY);
    await applyObjects({ ...place.options, ...allowed });
    await place.dba.query("CALL songs_create_v2('Five', 2, 500, NULL, NULL, 4, NULL, 'fine')");
    await assert.rejects(undoObjects(place.options), {
      code: 'BEDS_DBA_CHANGE_LOSS',
      message: /1 rows have a value in songs_song\.note, which goes/,
    });
    await undoObjects({ ...place.options, ...allowed });
    const [is] = await rows(place, 'SHOW CREATE TABLE songs_song');
    const text = (row: RowDataPacket | undefined): string =>
      String(row?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, '');
    assert.equal(text(is), text(before[0]));
    place.write(SONGS);
    const plan = await onePlan(place);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
    await assert.rejects(undoObjects(place.options), { code: 'BEDS_DBA_CHANGE_STATE' });
  });

  it('loses nothing that could not be counted', async (t) => {
    const place = await started(t);
    place.write(MANY);
    await applyObjects({ ...place.options, ...allowed });
    await place.dba.query("CALL songs_create_v2('Five', 2, 500, NULL, NULL, 4, NULL, 'fine')");
    const user = `blind_${place.database}`;
    lastFirst(t, async () => {
      await place.dba.query(`DROP USER IF EXISTS ${user}`);
    });
    // Whoever changes tables need not see what is in them.
    await place.dba.query(
      `CREATE USER ${user} IDENTIFIED BY 'blind';
       GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, INSERT, UPDATE, DELETE, TRIGGER, LOCK TABLES, SHOW VIEW, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE ON *.* TO ${user};
       GRANT SELECT ON ${place.database}.beds_domain TO ${user};
       GRANT SELECT ON ${place.database}.beds_change_step TO ${user}`,
    );
    const adminUrl = Object.assign(new URL(place.adminUrl), { username: user, password: 'blind' }).href;
    const options = { ...place.options, stores: { main: { kind: 'mysql', adminUrl } as const } };
    await assert.rejects(undoObjects(options), { code: 'BEDS_DBA_CHANGE_FAILED', message: /could not be counted/ });
    assert.deepEqual(await rows(place, 'SELECT note FROM songs_song WHERE note IS NOT NULL'), [{ note: 'fine' }]);
  });

  it('is refused where the document does not say what rows get, and where its number is the same', async (t) => {
    const place = await started(t);
    const refusedOf = async (change: (next: Draft) => void): Promise<string> => {
      place.write(nextOf(SONGS, change));
      const plan = await onePlan(place);
      await assert.rejects(applyObjects(place.options), { code: /^BEDS_DBA_CHANGE_/ });
      return plan.refused.join('\n');
    };
    const found = await refusedOf((next) => {
      fieldsOf(next, 'song').push({ name: 'price', description: 'Its price', type: 'integer' });
    });
    assert.match(found, /^records\.song\.fields\.price: a value that must be there, without a default/);
    const kind = await refusedOf((next) => {
      fieldsOf(next, 'song')[2] = { name: 'seconds', description: 'How long it is', type: 'date' };
      next.queries = [];
    });
    assert.match(kind, /songs_song\.seconds: another kind of value, bigint.* to date/);
    const key = await refusedOf((next) => {
      Object.assign(next.records[1] ?? {}, { key: ['name'] });
    });
    assert.match(key, /records\.artist\.key: another key/);
    const same = await refusedOf((next) => {
      delete next.revision;
      fieldsOf(next, 'song').push({ name: 'note', description: 'A word', type: 'text', optional: true });
    });
    assert.match(same, /write "revision": 2 into it/);
    assert.deepEqual(
      (await rows(place, 'SHOW COLUMNS FROM songs_song')).map(({ Field }) => Field as string),
      ['id', 'title', 'artist', 'seconds', 'mood', 'label', 'added_on'],
    );
  });

  it('says what somebody has changed by hand, leaves it alone, and goes on only when told to', async (t) => {
    const place = await started(t);
    await place.dba.query('ALTER TABLE songs_song ADD COLUMN hand INT NULL, MODIFY COLUMN label VARCHAR(90) NULL');
    await place.dba.query('CREATE OR REPLACE VIEW songs_artist_rows AS SELECT 1 AS id');
    place.write(
      nextOf(SONGS, (next) => {
        fieldsOf(next, 'song').push({ name: 'note', description: 'A word', type: 'text', optional: true });
      }),
    );
    const drift = [
      'column songs_song.label is another',
      'column songs_song.hand was added',
      'view songs_artist_rows is another',
    ];
    assert.deepEqual((await onePlan(place)).drift, drift);
    assert.deepEqual((await statusObjects(place.options))[0]?.drift, drift);
    await assert.rejects(applyObjects(place.options), { code: 'BEDS_DBA_CHANGE_DRIFT' });
    await applyObjects({ ...place.options, change: { allowLoss: false, acceptDrift: true } });
    await contractObjects({ ...place.options, change: { allowLoss: false, acceptDrift: true } });
    const columns = await rows(place, 'SHOW COLUMNS FROM songs_song');
    assert.deepEqual(
      columns
        .map(({ Field, Type }) => `${String(Field)} ${String(Type)}`)
        .filter((each) => /^(?:hand|label|note)/.test(each)),
      [
        'label varchar(90)',
        columns.some(({ Type }) => Type === 'int(11)') ? 'hand int(11)' : 'hand int',
        'note varchar(200)',
      ],
    );
  });

  it('goes on where it was, whenever the process that did it is lost', async (t) => {
    const place = await started(t);
    const many = Array.from({ length: 1500 }, (_, index) => `('Song ${index}', 1, 60, NULL, '2026-02-01')`);
    await place.dba.query(`INSERT INTO songs_song (title, artist, seconds, label, added_on) VALUES ${many.join(', ')}`);
    place.write(MANY);
    const seen: string[] = [];
    for (const work of ['apply', 'contract'] as const) {
      for (;;) {
        const { said, signal } = await lostProcess(work, { ...place.options, ...allowed }, seen);
        if (said === 'end') break;
        assert.equal(signal, 'SIGKILL');
        assert.ok(!seen.includes(said) && said.startsWith(work), said);
        seen.push(said);
        const [status] = await statusObjects(place.options);
        assert.equal(status?.phase, work === 'apply' ? 'expanding' : 'contracting');
      }
    }
    assert.ok(seen.length > 20, seen.join('\n'));
    assert.ok(seen.includes('apply rows give songs_song.name what title has'));
    const [found] = await rows(
      place,
      'SELECT COUNT(*) AS songs, COUNT(name) AS names, COUNT(heard_at) AS heard FROM songs_song',
    );
    assert.deepEqual({ ...found }, { songs: 1503, names: 1503, heard: 1503 });
    assert.deepEqual(await rows(place, 'SELECT songs FROM songs_artist ORDER BY id'), [{ songs: 1502 }, { songs: 1 }]);
    const plan = await onePlan(place);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
  });

  it('drops what a killed plan has left, and no database that somebody has named or works with', async (t) => {
    const place = await started(t);
    const [left, own, used] = ['beds_plan_00000000000a', 'beds_plan_of_mine', 'beds_plan_00000000000b'] as const;
    lastFirst(t, async () => {
      for (const name of [left, own, used]) await place.dba.query(`DROP DATABASE IF EXISTS ${name}`);
    });
    for (const name of [left, own, used]) await place.dba.query(`CREATE DATABASE ${name}`);
    await place.dba.query('DO GET_LOCK(?, 0)', [used]);
    place.write(MANY);
    await onePlan(place);
    const found = (await rows(place, "SHOW DATABASES LIKE 'beds\\_plan\\_%'")).flatMap(
      (row) => Object.values(row) as unknown[],
    );
    assert.deepEqual(found, [used, own]);
  });

  it('is not written down as ended by who has put in the files of the version before meanwhile', async (t) => {
    const place = await started(t);
    const name = createHash('sha256').update(`${place.database}/songs`).digest('hex').slice(0, 40);
    await place.dba.query('DO GET_LOCK(?, 0)', [`beds:${name}`]);
    await assert.rejects(applyObjects({ ...place.options, force: true }), { code: 'BEDS_DBA_CHANGE_BUSY' });
  });

  it('is made by one at a time', async (t) => {
    const place = await started(t);
    place.write(MANY);
    const steps: string[] = [];
    const onProgress: NonNullable<Workplace['options']['onProgress']> = (event) => {
      if (event.type === 'change' && event.event.type === 'done') steps.push(String(event.event.number));
    };
    const outcomes = await Promise.allSettled(
      [1, 2].map(() => applyObjects({ ...place.options, ...allowed, onProgress })),
    );
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        assert.equal((outcome.reason as { readonly code?: string }).code, 'BEDS_DBA_CHANGE_BUSY');
    assert.ok(outcomes.some(({ status }) => status === 'fulfilled'));
    assert.equal(new Set(steps).size, steps.length, 'a step was carried out twice');
    assert.equal((await statusObjects(place.options))[0]?.phase, 'expanded');
  });
});
