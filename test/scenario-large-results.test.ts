import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { writeBundle } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { startTestHost, type TestHost } from './support/host.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const MEGABYTE = 1_048_576;
const TOO_LARGE = ['BEDS_STORE_RESULT_TOO_LARGE'];

const LARGE_OBJECTS = [
  'CREATE TABLE digit (d INT PRIMARY KEY)',
  'INSERT INTO digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)',
  `CREATE PROCEDURE note_flood() SQL SECURITY DEFINER READS SQL DATA
     SELECT a.d AS a, 'of five million' AS text
     FROM digit a, digit b, digit c, digit d, digit e, digit f, digit g WHERE g.d < 5`,
  'CREATE TABLE number (id INT PRIMARY KEY)',
  'INSERT INTO number SELECT a.d + 10 * b.d + 100 * c.d FROM digit a, digit b, digit c',
  `CREATE SQL SECURITY DEFINER VIEW note_heavy AS SELECT id, CONCAT(id, REPEAT('x', ${String(MEGABYTE)})) AS text FROM number`,
];

const FLOODED = { type: 'list', items: { type: 'object', fields: {} } } as const;

async function start(t: Teardown): Promise<{ host: TestHost; client: BedsClient }> {
  const host = await startTestHost(t, { services });
  for (const statement of LARGE_OBJECTS) await host.dba.query(statement);
  await host.dba.query(`GRANT EXECUTE ON PROCEDURE ${host.prefix}.note_flood TO '${host.prefix}'@'%'`);
  await host.dba.query(`GRANT SELECT ON ${host.prefix}.note_heavy TO '${host.prefix}'@'%'`);
  const heavy = {
    kind: 'view',
    name: 'note_heavy',
    columns: { id: { type: 'integer' }, text: { type: 'string' } },
  } as const;
  await writeBundle(
    host.pluginsDirectory,
    notesBundle({
      objects: {
        ...NOTES_OBJECTS,
        flood: { kind: 'procedure', name: 'note_flood', args: {}, returns: FLOODED },
        heavy,
      },
      operations: {
        flood: { mode: 'read', run: `return (await ctx.call('flood', {})).length;` },
        heavy: { mode: 'read', run: `return (await ctx.view('heavy', { limit: 600 })).rows.length;` },
      },
    }),
  );
  await writeBundle(host.pluginsDirectory, notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
  await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
  return { host, client: await host.connectClient({ batching: false, defaultDeadlineMs: 20_000 }) };
}

async function codeOf(client: BedsClient, operation: string): Promise<string> {
  try {
    return JSON.stringify(await client.domain('notes').call(operation, {}));
  } catch (error) {
    return isBedsError(error) ? error.code : String(error);
  }
}

/** What the operation answered that often at once, while others called small things, each of which must have been answered. */
async function answersOf(client: BedsClient, operation: string, times: number): Promise<readonly string[]> {
  let isDone = false;
  let calls = 0;
  const others = Array.from({ length: 4 }, async (_, lane) => {
    const domain = client.domain(lane % 2 === 0 ? 'notes' : 'tasks');
    while (!isDone) {
      assert.equal(await domain.call('version', {}), '1.0.0');
      await inTurn(() => domain.create({ text: 'small' }));
      calls += 1;
    }
  });
  const answers = Promise.all(Array.from({ length: times }, () => codeOf(client, operation)));
  const all = await Promise.all([answers.finally(() => (isDone = true)), ...others]);
  assert.ok(calls > 0);
  return all[0];
}

/** A database that has much to do may tell a caller to come back: then that is done. */
async function inTurn(call: () => Promise<unknown>): Promise<void> {
  await eventually('it had its turn', () =>
    call().then(
      () => true,
      (error: unknown) => {
        if (!isBedsError(error) || error.code !== 'BEDS_STORE_OVERLOADED') throw error;
        return false;
      },
    ),
  );
}

function nobodyIsBlamed(host: TestHost): void {
  assert.deepEqual(
    host.log.filter(({ level }) => level !== 'debug' && level !== 'info').map(({ msg }) => msg),
    [],
  );
  assert.deepEqual(
    host.transitions().filter(({ state }) => state === 'quarantined' || state === 'suspended'),
    [],
  );
}

describe('a result that is larger than a host takes', () => {
  for (const [what, operation] of [
    ['a routine of five million rows', 'flood'],
    ['a page of 600 rows of a megabyte', 'heavy'],
  ] as const) {
    it(`is refused, and nobody else notices: ${what}`, async (t) => {
      const { host, client } = await start(t);
      const before = process.memoryUsage().rss;
      for (const times of [1, 2, 20]) {
        const answers = await answersOf(client, operation, times);
        // n.b. of many at once some are told to come back, before they have brought too much.
        const refusals = times < 3 ? TOO_LARGE : [...TOO_LARGE, 'BEDS_STORE_OVERLOADED'];
        assert.ok(
          answers.every((answer) => refusals.includes(answer)),
          answers.join(),
        );
      }
      // Twenty whole results would be 12 GB; a thread may hold as many as its pool has connections, each up to its bound.
      const { poolSize = 0, maxResultBytes = 0 } = host.config.stores['main'] ?? {};
      const threads = host.config.threads['default']?.count ?? 0;
      const grownBytes = (): number => process.memoryUsage().rss - before;
      // What was refused is held by nobody, but may not be collected yet.
      await eventually(
        () => `grew by ${grownBytes()} bytes`,
        () => grownBytes() < threads * poolSize * maxResultBytes,
      );
      nobodyIsBlamed(host);
    });
  }
});
