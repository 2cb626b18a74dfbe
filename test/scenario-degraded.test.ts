import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import { askNodes } from '../host/admin/client.js';
import type { DomainView } from '../host/admin/views.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type LogLine, type TestHost } from './support/host.js';
import { NOTES_SCHEMA, notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const CHECK_MS = 200;
const SOON_MS = 30_000;
const CREATE = NOTES_SCHEMA.find((statement) => statement.startsWith('CREATE PROCEDURE note_create')) ?? '';

function told(host: TestHost, state: string): readonly LogLine[] {
  return host.log.filter(({ msg }) => msg === `notes 1.0.0 ${state}`);
}

function findingsOf(line: LogLine | undefined): readonly string[] {
  const findings = (line?.['findings'] ?? []) as readonly { readonly code: string; readonly message: string }[];
  return findings.map(({ code, message }) => `${code} ${message}`);
}

async function domainInStatus(host: TestHost, signal: AbortSignal): Promise<DomainView | undefined> {
  const [answer] = await askNodes('status', {}, { ...host.config.amqp, timeoutMs: 5_000, signal });
  return answer?.result.domains.find(({ domain }) => domain === 'notes');
}

async function degradedInStatus(host: TestHost, signal: AbortSignal): Promise<readonly string[] | undefined> {
  return (await domainInStatus(host, signal))?.degraded?.map(({ code, message }) => `${code} ${message}`);
}

async function servingHost(t: Parameters<typeof startTestHost>[0]): Promise<TestHost> {
  const host = await startTestHost(t, { services, config: { rollout: { schemaCheckMs: CHECK_MS } } });
  await writeBundle(host.pluginsDirectory, notesBundle());
  await host.active('notes', '1.0.0');
  return host;
}

async function replaceCreate(host: TestHost, statement: string): Promise<void> {
  await host.dba.query('DROP PROCEDURE IF EXISTS note_create');
  await host.dba.query(statement);
  await host.dba.query(`GRANT EXECUTE ON PROCEDURE ${host.prefix}.note_create TO '${host.prefix}'@'%'`);
}

describe('a version that serves while its database objects change', () => {
  it('is degraded, line by line and once, when they no longer fit, and sound when they are restored', async (t) => {
    const host = await servingHost(t);
    await host.dba.query('DROP PROCEDURE note_create');
    await host.dba.query('CREATE OR REPLACE SQL SECURITY DEFINER VIEW note_list AS SELECT id, text, version FROM note');
    const gone = 'BEDS_PREFLIGHT_OBJECT_MISSING routine note_create is gone, or EXECUTE on it was revoked';
    const column = 'BEDS_PREFLIGHT_COLUMN_MISSING view note_list: column mark is gone';
    await eventually('degraded with both', () => findingsOf(told(host, 'degraded').at(-1)).length === 2, SOON_MS);
    const degraded = told(host, 'degraded');
    assert.deepEqual(findingsOf(degraded.at(-1)), [gone, column]);
    assert.ok(degraded.every(({ level }) => level === 'warn'));
    // n.b. a round between the two statements sees the first of them alone.
    assert.ok(degraded.length <= 2);

    assert.deepEqual(await degradedInStatus(host, t.signal), [gone, column]);

    const client = await host.connectClient();
    assert.equal(await client.domain('notes').call('version', {}), '1.0.0', 'what does not need them is answered');
    await assert.rejects(client.domain('notes').create({ text: 'x' }), isBedsError);

    await replaceCreate(host, CREATE);
    await host.dba.query(NOTES_SCHEMA[1]?.replace('CREATE', 'CREATE OR REPLACE') ?? '');
    await eventually('sound', () => told(host, 'sound').length === 1, SOON_MS);
    assert.equal(told(host, 'sound')[0]?.level, 'info');
    assert.equal(await degradedInStatus(host, t.signal), undefined);
    const created = (await client.domain('notes').create({ text: 'again' })) as { text: string };
    assert.equal(created.text, 'again');
  });

  it('goes on with the objects as they are now when they still fit', async (t) => {
    const host = await servingHost(t);
    const client = await host.connectClient();
    await replaceCreate(
      host,
      CREATE.replace('IN text VARCHAR(200), IN mark VARCHAR(64)', 'IN mark VARCHAR(64), IN text VARCHAR(50)'),
    );
    await eventually('changed', () => told(host, 'changed').length === 1, SOON_MS);
    assert.deepEqual(findingsOf(told(host, 'changed')[0]), [
      'BEDS_SCHEMA_CHANGED routine note_create: parameter text is varchar(50), was varchar(200)',
      'BEDS_SCHEMA_CHANGED routine note_create: parameters are (mark, text), were (text, mark)',
    ]);
    await eventually('sound', () => told(host, 'sound').length > 0, SOON_MS);
    await host.logged('the one before is retired', ({ msg }) => msg === 'notes 1.0.0 retired', SOON_MS);
    assert.equal((await domainInStatus(host, t.signal))?.live?.version, '1.0.0', 'the same bytes serve');
    const created = (await client.domain('notes').create({ text: 'a text', mark: 'a mark' })) as object;
    assert.deepEqual({ ...created, id: 0 }, { id: 0, text: 'a text', mark: 'a mark' });
    await assert.rejects(
      client.domain('notes').create({ text: 'x'.repeat(51) }),
      (error) => isBedsError(error) && error.code.startsWith('BEDS_STORE_'),
    );
  });
});
