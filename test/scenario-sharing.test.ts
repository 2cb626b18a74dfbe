import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const CALLERS = 8;

/** Takes half a second for its one row, and gives another stamp with every statement. */
const STAMPED_VIEW = `
  CREATE SQL SECURITY DEFINER VIEW note_stamped AS
  SELECT 1 AS id, CAST(UUID_SHORT() AS CHAR) AS stamp, SLEEP(0.5) AS slept`;

/** How many statements the database ran for `CALLERS` that fetched the same at the same time. */
async function statementsFor(teardown: Teardown, share: boolean): Promise<number> {
  const host = await startTestHost(teardown, { services, config: { threads: { default: { count: 1 } } } });
  await host.dba.query(STAMPED_VIEW);
  await host.dba.query(`GRANT SELECT ON ${host.prefix}.note_stamped TO '${host.prefix}'@'%'`);
  const columns = { id: { type: 'integer' }, stamp: { type: 'string' }, slept: { type: 'integer' } };
  const fetch = { kind: 'view', name: 'note_stamped', columns, ...(share && { share }) };
  const { create, update, delete: remove, slow } = notesBundle().objects ?? {};
  await writeBundle(host.pluginsDirectory, notesBundle({ objects: { create, fetch, update, delete: remove, slow } }));
  await host.active('notes', '1.0.0');
  const notes = (await host.connectClient({ batching: false })).domain('notes');
  const asked = Array.from({ length: CALLERS }, () => notes.fetch({ where: { id: 1 } }));
  return new Set((await Promise.all(asked)).map(({ rows }) => rows[0]?.['stamp'])).size;
}

describe('identical fetches at the same time', () => {
  it('are one statement for the database where the view is shared', async (t) => {
    assert.equal(await statementsFor(t, true), 1);
  });

  it('are a statement each where it is not', async (t) => {
    assert.equal(await statementsFor(t, false), CALLERS);
  });
});
