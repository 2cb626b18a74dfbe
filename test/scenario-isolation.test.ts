import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { askNodes } from '../host/admin/client.js';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const POISON = { poison: { mode: 'read', run: 'for (;;);' } } as const;

function start(t: Teardown, config: Readonly<Record<string, unknown>> = {}): Promise<TestHost> {
  const supervisor = { stallTimeoutMs: 1_000, drainTimeoutMs: 3_000 };
  return startTestHost(t, { services, config: { supervisor, ...config } });
}

function connect(host: TestHost): Promise<BedsClient> {
  return host.connectClient({ batching: false, defaultDeadlineMs: 20_000 });
}

/** What a read of an operation was answered, as text: the value, or the code of the error. */
async function answer(client: BedsClient, operation: string, domain = 'notes'): Promise<string> {
  return client
    .domain(domain)
    .call(operation, {})
    .then(
      (value) => JSON.stringify(value),
      (error: unknown) => (isBedsError(error) ? error.code : String(error)),
    );
}

function tasks(options: BundleOptions = {}): BundleOptions {
  return notesBundle({ domain: 'tasks', name: 'tasks.mjs', ...options });
}

/** Requests that the threads have and did not answer yet. */
async function underWay(host: TestHost, t: { readonly signal: AbortSignal }): Promise<number> {
  const [answer] = await askNodes('status', {}, { ...host.config.amqp, timeoutMs: 2_000, signal: t.signal });
  assert.ok(answer);
  return answer.result.threads
    .flatMap(({ status }) => status?.brokers ?? [])
    .reduce((sum, { inFlight }) => sum + inFlight, 0);
}

/** Undefined while the host goes on. */
function givenUp(host: TestHost): () => unknown {
  let reason: unknown;
  host.host.failed.catch((error: unknown) => {
    reason = error;
  });
  return () => reason;
}

describe('a version that misbehaves', () => {
  it('does not end the host when many of its requests block all threads at once', async (t) => {
    const host = await start(t, { threads: { default: { count: 4 } } });
    const reason = givenUp(host);
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0', operations: POISON }));
    await host.active('notes', '2.0.0');
    const client = await connect(host);
    const asked = Array.from({ length: 8 }, () => answer(client, 'poison'));
    await host.logged('it is quarantined', ({ msg }) => msg === 'notes 2.0.0 quarantined', 20_000);
    await eventually('1.0.0 serves', async () => (await answer(client, 'version')) === '"1.0.0"', 20_000);
    await Promise.all(asked);
    assert.equal(reason(), undefined);
  });

  it('costs a thread that joins that version alone, while its setup fails', async (t) => {
    const host = await start(t, { topology: { checkIntervalMs: 500 } });
    const reason = givenUp(host);
    const setup = `await ctx.view('fetch', { limit: 1 });`;
    await writeBundle(host.pluginsDirectory, notesBundle({ body: { setup } }));
    await writeBundle(host.pluginsDirectory, tasks({ operations: POISON }));
    await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
    const client = await connect(host);
    await host.dba.query('RENAME TABLE note TO note_away');
    const asked = answer(client, 'poison', 'tasks');
    await host.logged('a thread goes on without it', ({ msg }) => msg.includes('preparation in thread'), 20_000);
    assert.equal(await asked, 'BEDS_REQUEST_POISON');
    assert.equal(await answer(client, 'version', 'tasks'), '"1.0.0"');
    await host.dba.query('RENAME TABLE note_away TO note');
    const answers = (): Promise<string[]> => Promise.all(Array.from({ length: 6 }, () => answer(client, 'version')));
    await eventually('it serves', async () => (await answers()).every((text) => text === '"1.0.0"'), 20_000);
    assert.equal(reason(), undefined);
  });

  it('holds no other domain up with a setup that never ends', async (t) => {
    const host = await start(t);
    await writeBundle(host.pluginsDirectory, notesBundle({ body: { setup: 'await new Promise(() => {});' } }));
    await host.logged('it is being prepared', ({ msg }) => msg === 'notes 1.0.0 probed');
    const droppedAt = performance.now();
    await writeBundle(host.pluginsDirectory, tasks());
    await host.active('tasks', '1.0.0');
    assert.ok(performance.now() - droppedAt < 3_000);
  });

  it('is out again at once, also while another domain ends slowly', async (t) => {
    const supervisor = { drainTimeoutMs: 15_000 };
    const brokers = { rBroker: { type: 'data', mode: 'read', prefetch: 1 }, wBroker: { type: 'data', mode: 'write' } };
    const rollout = { canaryPercent: 100, canaryForMs: 60_000 };
    const host = await start(t, { supervisor, brokers, rollout });
    const { path } = await writeBundle(host.pluginsDirectory, tasks());
    await writeBundle(host.pluginsDirectory, notesBundle());
    await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
    const client = await connect(host);
    const slow = Promise.allSettled(Array.from({ length: 20 }, () => client.domain('tasks').call('slow', { ms: 300 })));
    await eventually('they are under way', async () => (await underWay(host, t)) > 0);
    await rm(path);
    const bad = { mode: 'read', run: 'throw new Error("bad");' } as const;
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0', operations: { version: bad } }));
    await host.logged('it is observed', ({ msg }) => msg === 'notes 2.0.0 canary');
    const beganAt = performance.now();
    const isOut = (): boolean => host.transitions().some(({ state }) => state === 'quarantined');
    while (!isOut() && performance.now() - beganAt < 15_000) await answer(client, 'version');
    const outMs = performance.now() - beganAt;
    const isEnding = !host.transitions().some(({ domain, state }) => domain === 'tasks' && state === 'retired');
    assert.ok(isOut() && outMs < 5_000, `${String(outMs)} ms`);
    assert.ok(isEnding, 'tasks still ends');
    await slow;
  });

  it('is found out when only other domains call it', async (t) => {
    const host = await start(t, { rollout: { canaryPercent: 50, canaryForMs: 3_000 } });
    const relay = {
      mode: 'read',
      run: `return (await ctx.domain('notes').fetch({ limit: 1 })).rows.length;`,
    } as const;
    await writeBundle(host.pluginsDirectory, notesBundle());
    await writeBundle(host.pluginsDirectory, tasks({ peers: ['notes'], operations: { relay } }));
    await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0', body: { fetchRecords: 'throw 1;' } }));
    await host.logged('it is observed', ({ msg }) => msg === 'notes 2.0.0 canary');
    const client = await connect(host);
    const isOut = (): boolean => host.transitions().some(({ state }) => state === 'quarantined');
    for (let turn = 0; turn < 400 && !isOut(); turn += 1) {
      await Promise.all(Array.from({ length: 4 }, () => answer(client, 'relay', 'tasks')));
    }
    assert.ok(isOut());
    assert.equal(await answer(client, 'relay', 'tasks'), '0');
  });

  it('lets a request that it serves have its time, however short the drain timeout is', async (t) => {
    const host = await start(t, { supervisor: { drainTimeoutMs: 500 } });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const client = await connect(host);
    const slow = client.domain('notes').call('slow', { ms: 2_000 });
    await eventually('it is under way', async () => (await underWay(host, t)) > 0);
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0' }));
    await host.active('notes', '2.0.0');
    assert.deepEqual(await slow, { waited: 2_000 });
  });
});

describe('a version that waits', () => {
  it('does not keep the one that serves from its database objects as they are now', async (t) => {
    const host = await start(t, { rollout: { schemaCheckMs: 300 } });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const client = await connect(host);
    const note = (await client.domain('notes').create({ text: 'hello' })) as { id: number };
    const objects = { ...NOTES_OBJECTS, never: { kind: 'procedure', name: 'note_never', args: {} } };
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0', name: 'later.mjs', objects }));
    await host.logged('it waits', ({ msg }) => msg === 'notes 2.0.0 waiting');
    await swapParameters(host);
    await eventually('the same version takes over again', () => {
      return host.transitions().filter(({ state }) => state === 'active').length === 2;
    });
    const updated = await client.domain('notes').update(note.id, { text: '77' });
    assert.equal((updated as { text: string }).text, '77');
    assert.equal(await answer(client, 'version'), '"1.0.0"');
    await rm(join(host.pluginsDirectory, 'later.mjs'));
  });

  it('lets what did harm go out of service, though nothing can take its place yet', async (t) => {
    const host = await start(t);
    await writeBundle(host.pluginsDirectory, notesBundle({ operations: POISON }));
    await host.active('notes', '1.0.0');
    const objects = { ...NOTES_OBJECTS, never: { kind: 'procedure', name: 'note_never', args: {} } };
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0', name: 'later.mjs', objects }));
    await host.logged('it waits', ({ msg }) => msg === 'notes 2.0.0 waiting');
    const client = await connect(host);
    const isQuarantined = (): boolean => host.transitions().some(({ state }) => state === 'quarantined');
    for (let asked = 0; asked < 6 && !isQuarantined(); asked += 1) await answer(client, 'poison');
    await eventually('callers are told to come back', async () => {
      return (await answer(client, 'version')) === 'BEDS_REQUEST_WITHHELD';
    });
  });
});

/** The DBA gives the parameters another order, which a version that binds by position must know of. */
async function swapParameters(host: TestHost): Promise<void> {
  await host.dba.query('DROP PROCEDURE note_update');
  await host.dba.query(`CREATE PROCEDURE note_update(IN text VARCHAR(200), IN id BIGINT) SQL SECURITY DEFINER
    BEGIN
      UPDATE note SET note.text = text, note.version = note.version + 1 WHERE note.id = id;
      SELECT note.id, note.text, note.mark, note.version FROM note WHERE note.id = id;
    END`);
  await host.dba.query(`GRANT EXECUTE ON PROCEDURE ${host.prefix}.note_update TO '${host.prefix}'@'%'`);
}
