import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RowDataPacket } from 'mysql2/promise';
import { writeBundle } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const CALLERS = 8;

/** Takes half a second for its one row, and gives another stamp with every statement. */
const STAMPED_VIEW = `
  CREATE SQL SECURITY DEFINER VIEW note_stamped AS
  SELECT 1 AS id, CAST(UUID_SHORT() AS CHAR) AS stamp, SLEEP(0.5) AS slept`;

/** Whether each of several who fetch the same while the statement of a first one runs gets what that one gets. */
async function getFirstOnes(teardown: Teardown, share: boolean): Promise<readonly boolean[]> {
  const host = await startTestHost(teardown, { services, config: { threads: { default: { count: 1 } } } });
  await host.dba.query(STAMPED_VIEW);
  await host.dba.query(`GRANT SELECT ON ${host.prefix}.note_stamped TO '${host.prefix}'@'%'`);
  const columns = { id: { type: 'integer' }, stamp: { type: 'string' }, slept: { type: 'integer' } };
  const fetch = { kind: 'view', name: 'note_stamped', columns, ...(share && { share }) };
  const { create, update, delete: remove, slow } = notesBundle().objects ?? {};
  await writeBundle(host.pluginsDirectory, notesBundle({ objects: { create, fetch, update, delete: remove, slow } }));
  await host.active('notes', '1.0.0');
  const notes = (await host.connectClient({ batching: false })).domain('notes');
  const stamp = async (): Promise<unknown> => (await notes.fetch({ where: { id: 1 } })).rows[0]?.['stamp'];
  const first = stamp();
  const running = `SELECT id FROM information_schema.processlist WHERE user = ? AND info LIKE '%note_stamped%'`;
  await eventually('its statement runs', async () => {
    const [found] = await host.dba.query<RowDataPacket[]>(running, [host.prefix]);
    return found.length === 1;
  });
  const others = await Promise.all(Array.from({ length: CALLERS }, stamp));
  const firstStamp = await first;
  return others.map((other) => other === firstStamp);
}

describe('fetches of the same, while the statement of a first one runs', () => {
  it('get what that one gets where the view is shared', async (t) => {
    assert.deepEqual(new Set(await getFirstOnes(t, true)), new Set([true]));
  });

  it('get what a statement gives that began after they had asked, where it is not', async (t) => {
    assert.deepEqual(new Set(await getFirstOnes(t, false)), new Set([false]));
  });
});
