import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { MongoClient } from 'mongodb';
import { isBedsError, type Page } from '@beds/sdk';
import { writeBundle } from './support/bundles.js';
import { startTestHost, type TestHost } from './support/host.js';
import type { Entry } from './support/mongodb-store.js';
import { databaseUrl } from './support/mongodb-url.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

const string = { type: 'string' } as const;

/** Starts the domain with two views more than it fetches from by itself: `texts`, and `hidden`, which is not fetchable. */
async function serveNotes(host: TestHost, id: object, objects: object): Promise<void> {
  const texts = { kind: 'view', name: 'note_list', columns: { id, text: string }, fetchable: true } as const;
  const { fetchable: _fetchable, ...hidden } = texts;
  await writeBundle(host.pluginsDirectory, notesBundle({ objects: { ...objects, texts, hidden } }));
  await host.active('notes', '1.0.0');
}

async function checkViews(host: TestHost): Promise<void> {
  const notes = (await host.connectClient()).domain('notes');
  for (const text of ['anna', 'berta', 'cora', 'dora']) await notes.create({ text });
  const textsOf = ({ rows }: Page): unknown[] => rows.map(({ text }) => text);

  const order = [{ column: 'text' }] as const;
  const page = await notes.fetch({ view: 'texts', order, limit: 3, count: true });
  assert.deepEqual([textsOf(page), page.count], [['anna', 'berta', 'cora'], 4]);
  assert.deepEqual(Object.keys(page.rows[0] ?? {}), ['id', 'text'], 'its own columns');
  const next = await notes.fetch({ view: 'texts', order, limit: 3, cursor: page.cursor ?? assert.fail('no cursor') });
  assert.deepEqual([textsOf(next), next.cursor], [['dora'], undefined]);

  const either = { or: [{ where: { text: 'anna' } }, { where: { text: { contains: 'or' } } }] };
  assert.deepEqual(textsOf(await notes.fetch({ view: 'texts', order, ...either })), ['anna', 'cora', 'dora']);
  const others = { ...either, not: { where: { text: { prefix: 'd' } } }, limit: 0, count: true };
  const { rows, count } = await notes.fetch({ view: 'texts', ...others });
  assert.deepEqual([rows, count], [[], 2]);
  const found: unknown[] = [];
  for await (const each of notes.fetchAll({ view: 'texts', order, limit: 1 })) found.push(...textsOf(each));
  assert.deepEqual(found, ['anna', 'berta', 'cora', 'dora']);

  for (const view of ['hidden', 'Texts', 'create']) {
    await assert.rejects(notes.fetch({ view, where: { mark: 'x' } }), (error: unknown) => {
      assert.ok(isBedsError(error), String(error));
      assert.deepEqual([error.code, error.field], ['BEDS_REQUEST_INVALID', 'query.view'], error.message);
      assert.match(error.message, /there are: fetch, texts/);
      return true;
    });
  }
  // n.b. a column of the domain's own view, and not of this one.
  await assert.rejects(notes.fetch({ view: 'texts', where: { mark: 'x' } }), { field: 'query.where.mark' });
  assert.equal((await notes.fetch({ where: { mark: 'x' } })).rows.length, 0);
}

test('a further view is fetched from by its name, with every part of a query; what is no such view is refused', async (t) => {
  const host = await startTestHost(t, { services });
  await serveNotes(host, { type: 'integer' }, NOTES_OBJECTS);
  await checkViews(host);
});

test('so is one of MongoDB', async (t) => {
  const url = await deliverNotes(t);
  const host = await startTestHost(t, { services, config: { stores: { main: { kind: 'mongodb', url } } } });
  const mark = { type: 'string', optional: true } as const;
  const columns = { id: string, text: string, mark };
  await serveNotes(host, string, {
    create: {
      ...{ kind: 'procedure', name: 'note_create', args: { text: string, mark } },
      returns: { type: 'object', fields: columns },
    },
    fetch: { kind: 'view', name: 'note_list', columns },
  });
  await checkViews(host);
});

/** What a DBA delivers for the domain on MongoDB. */
async function deliverNotes(t: TestContext): Promise<string> {
  assert.ok(services.mongodb);
  const url = databaseUrl(services.mongodb.url, `t${randomBytes(5).toString('hex')}`);
  const dba = new MongoClient(url);
  t.after(async () => {
    await dba.db().dropDatabase();
    await dba.close();
  });
  const on = 'note';
  const columns = { id: { type: 'string', as: 'objectId', from: '_id' }, text: 'string', mark: 'string' };
  await dba
    .db()
    .collection<Entry>('beds_objects')
    .insertMany([
      {
        ...{ _id: 'note_create', kind: 'procedure', on, op: 'insertOne', args: { text: 'string', mark: 'string?' } },
        ...{ body: { document: { text: { $arg: 'text' }, mark: { $arg: 'mark' } } }, returns: columns },
      },
      { _id: 'note_list', kind: 'view', on, columns, body: { pipeline: [] } },
    ]);
  return url;
}
