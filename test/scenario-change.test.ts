import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Json } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import { AUTHOR_COMMANDS, type AuthorContext, createOutput, EXIT, runProgram } from '#sdk/cli';
import { checkSpecification, type Outcome } from '#sdk/spec';
import { createTools } from '../host/author/index.js';
import { changingDomain, fieldsOf, nextOf, SONGS } from './support/changing-domain.js';
import { startDomainStage } from './support/domain-stage.js';
import { eventually } from './support/eventually.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const { mariadb, rabbitmq } = services;
assert.ok(mariadb && rabbitmq);

/** What callers of the version before know nothing of. */
const NEXT = nextOf(SONGS, (next) => {
  fieldsOf(next, 'song').push(
    { name: 'stars', description: 'How good it is', type: 'integer', min: '0', max: '5', default: '0' },
    { name: 'heard_at', description: 'When it was heard last', type: 'timestamp', default: '@now' },
    { name: 'note', description: 'A word about it', type: 'text', optional: true },
  );
  fieldsOf(next, 'artist').push({
    ...{ name: 'songs', description: 'How many there are', type: 'integer' },
    rollup: { function: 'count', child: 'song', via: 'artist' },
  });
});

describe('a change of a database under a host', { timeout: 300_000 }, () => {
  it('is not seen by the callers of the version before, from the first step to the last', async (t) => {
    const place = await changingDomain(t, mariadb.url);
    place.write(SONGS);
    const { checked: specification } = checkSpecification(SONGS);
    assert.ok(specification);
    const stage = await startDomainStage(t, { services, specification, folder: place.folder, kind: 'mysql' });
    const { dba, prefix, plugins } = stage;
    assert.ok(dba);

    // A project of the DBA's, with the database of the host in it.
    const root = temporaryDirectory(t);
    mkdirSync(join(root, 'config'));
    writeFileSync(join(root, 'config', 'beds.toml'), '[stores.main]\nkind = "mysql"\n');
    const [[where]] = (await dba.query('SELECT DATABASE() AS name')) as unknown as [{ readonly name: string }[]];
    const env = {
      BEDS_AMQP_URL: rabbitmq.url,
      BEDS_AMQP_PREFIX: prefix,
      BEDS_MARIADB_ADMIN_URL: Object.assign(new URL(mariadb.url), { pathname: `/${where?.name ?? ''}` }).href,
    };
    const beds = async (...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> => {
      let text = '';
      const stream = { write: (part: string) => (text += part) };
      const code = await runProgram(
        {
          commands: new Map(AUTHOR_COMMANDS),
          help: { before: [], after: '' },
          createOutput,
          contextOf: (base): AuthorContext => ({
            ...base,
            projectRoot: root,
            beds: 'beds',
            tools: () =>
              Promise.resolve(createTools({ projectRoot: root, env, signal: base.signal, note: () => undefined })),
          }),
        },
        { args, cwd: place.folder, env, streams: { stdout: stream, stderr: stream } },
      );
      return { code, text };
    };

    // Callers who know the first version only, all the time.
    const call = async (operation: string, args: Readonly<Record<string, Json>>): Promise<Json> => {
      const outcome: Outcome = await stage.call({ operation, arguments: args });
      assert.ok(outcome.ok, `${operation}: ${JSON.stringify(outcome)}`);
      return outcome.answer;
    };
    const artist = (await call('artist_create', { name: 'Ann' })) as { readonly id: number };
    const wrong: string[] = [];
    let isOver = false;
    let rounds = 0;
    const caller = (async (): Promise<void> => {
      while (!isOver) {
        try {
          const made = (await call('create', { title: `Song ${rounds}`, artist: artist.id, seconds: 60 })) as {
            readonly id: number;
          };
          await call('update', { id: made.id, label: 'Red' });
          const row = (await call('fetch', { id: made.id })) as Readonly<Record<string, Json>>;
          assert.equal(row['label'], 'Red');
          const refused = await stage.call({
            operation: 'create',
            arguments: { title: 'x', artist: artist.id, seconds: 0 },
          });
          assert.equal(refused.ok || refused.error, 'invalid');
          await call('long_ones', { least: 1 });
          rounds += 1;
        } catch (error) {
          wrong.push(error instanceof Error ? error.message : String(error));
          if (wrong.length > 3) return;
        }
      }
    })();
    const further = async (): Promise<void> => {
      const since = rounds;
      await eventually(
        () => `callers go on; ${wrong.join('; ')}`,
        () => rounds > since + 3 || wrong.length > 0,
      );
      assert.deepEqual(wrong, []);
    };
    try {
      await further();
      assert.equal((await beds('db', 'plan', 'songs')).code, EXIT.ok);
      place.write(NEXT);
      const plan = await beds('db', 'plan', 'songs');
      assert.equal(plan.code, EXIT.changes, plan.text);
      assert.match(plan.text, /songs 1\.0\.0 on \S+ serves with \d+ of \d+ objects of the revision before/);
      const applied = await beds('db', 'apply', 'songs');
      assert.equal(applied.code, EXIT.ok, applied.text);
      await further();
      const early = await beds('db', 'apply', 'songs', '--contract');
      assert.equal(early.code, EXIT.failed);
      assert.match(early.text, /BEDS_DBA_CHANGE_USED.*songs 1\.0\.0 on/);
      await buildTemplate({ entry: join(place.folder, 'songs', 'template.ts'), outDir: plugins, form: 'file' });
      await eventually(
        () => 'version 2 serves',
        () => stage.serves('songs 2.0.0'),
      );
      await further();
      const starred = (await call('create', { title: 'New', artist: artist.id, seconds: 60, stars: 4 })) as {
        readonly stars?: number;
      };
      assert.equal(starred.stars, 4);
      await eventually(
        () => 'nobody uses the version before any more',
        async () => (await beds('db', 'apply', 'songs', '--contract')).code === EXIT.ok,
      );
      await further();
      const after = await beds('db', 'status', 'songs');
      assert.match(after.text, /is made from revision 2/);
    } finally {
      isOver = true;
      await caller;
    }
    assert.deepEqual(wrong, []);
    const [[kept]] = (await dba.query(
      'SELECT artist.songs AS kept, COUNT(*) AS found FROM songs_artist AS artist JOIN songs_song AS song ON song.artist = artist.id GROUP BY artist.id',
    )) as unknown as [{ readonly kept: number; readonly found: number }[]];
    assert.equal(kept?.kept, kept?.found);
  });
});
