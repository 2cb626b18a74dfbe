import assert from 'node:assert/strict';
import test from 'node:test';
import { isBedsError, type Page } from '@beds/sdk';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

test('a further view is fetched from by its name, with every part of a query; what is no such view is refused', async (t) => {
  const columns = { id: { type: 'integer' }, text: { type: 'string' } } as const;
  const texts = { kind: 'view', name: 'note_list', columns, fetchable: true } as const;
  const hidden = { kind: 'view', name: 'note_list', columns } as const;
  const host = await startTestHost(t, { services });
  await writeBundle(host.pluginsDirectory, notesBundle({ objects: { ...NOTES_OBJECTS, texts, hidden } }));
  await host.active('notes', '1.0.0');
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
});
