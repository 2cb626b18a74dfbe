import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { defineDomain, fn, procedure, t, view } from '@beds/sdk';
import { AUTHOR_COMMANDS, type AuthorContext } from '#sdk/cli';
import { checkUses } from '../host/stores/check-use.js';
import { mysqlStore } from './support/mysql-store.js';

const store = await mysqlStore();
await store.dba.query(`
  CREATE TABLE song (id INT PRIMARY KEY AUTO_INCREMENT, title VARCHAR(20));
  CREATE PROCEDURE song_add (p_title VARCHAR(20)) MODIFIES SQL DATA
    BEGIN INSERT INTO song (title) VALUES (p_title); SELECT id, title FROM song WHERE id = LAST_INSERT_ID(); END;
  CREATE FUNCTION song_count (p_title VARCHAR(20)) RETURNS INT READS SQL DATA
    RETURN (SELECT COUNT(*) FROM song WHERE title = p_title);
  CREATE VIEW song_list AS SELECT id, title FROM song;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account};
  GRANT SELECT ON ${store.database}.song_list TO ${store.account}`);
const adapter = store.adapter();
after(() => adapter.close(1_000));
await adapter.open();
const found = await adapter.describe(['song_add', 'song_count', 'song_list']);
const song = t.row({ id: t.int(), title: t.string({ max: 20 }) });

test('parameters that begin with p_ have names without it in the template', async () => {
  const { definition } = defineDomain({
    ...{ name: 'songs', version: '1.0.0', store: 'main', key: 'id' },
    create: procedure('song_add', song.omit('id'), song).idempotent().prefix('p_'),
    fetch: view('song_list', song),
    objects: { count: fn('song_count', { title: t.string() }, t.int()).prefix('p_') },
    operations: ({ unsupported }) => ({ update: unsupported(), delete: unsupported() }),
  });
  assert.equal(definition.operations['create']?.idempotent, true);
  const { objects, findings } = checkUses(definition.objects, found, (use, object) => adapter.check(use, object));
  assert.deepEqual(findings, []);
  const { create, count } = objects;
  assert.ok(create !== undefined && count !== undefined);
  const made = await adapter.call(create, { title: 'So What' }, { mode: 'write', timeoutMs: 30_000 });
  assert.deepEqual(made.rows, [{ id: 1, title: 'So What' }]);
  const counted = await adapter.call(count, { title: 'So What' }, { mode: 'read', timeoutMs: 30_000 });
  assert.deepEqual(counted.rows, [{ value: 1 }]);
  const long = adapter.call(create, { title: 'x'.repeat(21) }, { mode: 'write', timeoutMs: 30_000 });
  await assert.rejects(long, { code: 'BEDS_STORE_INVALID_VALUE', field: 'title' });
});

test('what such a routine lacks is named as the template writes it', () => {
  const { manifest } = procedure('song_add', { name: t.string() }).prefix('p_');
  const said = adapter.check(manifest, found.get('song_add')).map(({ code, hint }) => [code, hint]);
  assert.deepEqual(said, [
    ['BEDS_PREFLIGHT_ARGUMENT_UNKNOWN', 'It takes: title.'],
    ['BEDS_PREFLIGHT_ARGUMENT_MISSING', 'Add title: t.string() to the arguments of song_add in the template.'],
  ]);
  assert.throws(
    () =>
      defineDomain({
        ...{ name: 'songs', version: '1.0.0', store: 'main', key: 'id' },
        fetch: view('song_list', song),
        objects: { count: fn('song_count', {}, t.int()).prefix('') },
        operations: ({ unsupported }) => ({ create: unsupported(), update: unsupported(), delete: unsupported() }),
      }),
    /objects\.count\.prefix must be what the parameters' names begin with/,
  );
});

test('introspect writes the prefix, where all parameters have it, and the row of those that come back', async () => {
  const [, load] = AUTHOR_COMMANDS.find(([name]) => name === 'introspect') ?? [];
  assert.ok(load !== undefined);
  const command = await load();
  let text = '';
  const routine = (name: string, ...args: readonly string[]): object => ({
    ...{ kind: 'procedure', name },
    args: args.map((each) => ({ name: each, type: 'string' })),
  });
  const gives = ['p_at', 'p_total'].map((each) => ({ name: each, type: 'integer', nullable: true }));
  const objects = [
    ...[routine('tag', 'p_title', 'p_at'), routine('mix', 'p_title', 'at'), routine('in', 'in_2')],
    { ...routine('out', 'p_at'), gives },
  ];
  const context = {
    ...{ args: ['main'], options: {}, json: false, cwd: '.' },
    out: { line: (line: string) => (text += line) },
    tools: () => Promise.resolve({ describeStore: () => Promise.resolve(objects) }),
  };
  await command.run(context as unknown as AuthorContext);
  assert.match(text, /procedure\('tag', \{\n {2}title: t\.string\(\),\n {2}at: t\.string\(\),\n\}\)\.prefix\('p_'\);/);
  assert.match(text, /procedure\('mix', \{\n {2}p_title: t\.string\(\),\n {2}at: t\.string\(\),\n\}\);/);
  assert.match(text, /procedure\('in', \{\n {2}in_2: t\.string\(\),\n\}\);/);
  const row =
    't\\.row\\(\\{\n {2}at: t\\.int\\(\\)\\.optional\\(\\),\n {2}total: t\\.int\\(\\)\\.optional\\(\\),\n\\}\\)';
  assert.match(
    text,
    new RegExp(
      `^// The row of its OUT and INOUT parameters.*\nexport const out = .*\n.*\n\\}, ${row}\\)\\.prefix`,
      'm',
    ),
  );
});
