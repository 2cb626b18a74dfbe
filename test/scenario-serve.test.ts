import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

void describe('a running host', () => {
  void it('serves a template that is dropped into the plugins directory', async (t) => {
    const { pluginsDirectory, active, connectClient } = await startTestHost(t, { services });
    const client = await connectClient();
    await writeBundle(pluginsDirectory, notesBundle());
    await active('notes', '1.0.0');
    const notes = client.domain('notes');
    const created = (await notes.create({ text: 'first' })) as { id: number };
    assert.equal(typeof created.id, 'number');
    assert.deepEqual(await notes.fetch({ key: created.id }), {
      rows: [{ id: created.id, text: 'first', mark: null, version: 1 }],
    });
    assert.equal(await notes.call('version', {}), '1.0.0');
  });
});
