import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import { type BundleOptions, describeBundle, writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { Load, median } from './support/load.js';
import { notesBundle, NOTES_OBJECTS } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
/** Longer than anything of a swap waits for by itself. */
const QUIET_MS = 700;

const SWAPS = 20;
/** Requests that are served between two swaps. */
const REQUESTS_EACH = 60;
/** A drop must be noticed this soon after it is complete; the rest is probe, preflight and preparation. */
const NOTICE_MS = 300;
/** Longer than a removal takes: there is no event for one that changes nothing. */
const REMOVAL_MS = 800;

type Way = (host: TestHost, version: string) => Promise<unknown>;

/** How versions come in: by atomic rename, by overwriting in place, as a folder that replaces a folder. */
const WAYS: readonly Way[] = [
  ({ pluginsDirectory }, version) => writeBundle(pluginsDirectory, notesBundle({ version })),
  ({ pluginsDirectory }, version) => {
    const { name, files } = describeBundle(notesBundle({ version }));
    return writeFile(join(pluginsDirectory, name), files.get(name) ?? '');
  },
  ({ pluginsDirectory }, version) => writeBundle(pluginsDirectory, asFolder({ version })),
];

function asFolder(options: BundleOptions): BundleOptions {
  return notesBundle({ ...options, form: 'folder', name: 'notes' });
}

describe('a version that is dropped in', () => {
  it('takes over under a constant load, 20 times, and nothing fails, is lost or is done twice', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.0.0' }));
    await host.active('notes', '1.0.0');
    const load = await Load.start(t, host);
    const noticedMs: number[] = [];
    for (let swap = 1; swap <= SWAPS; swap += 1) {
      const version = `1.${swap % 2}.${swap}`;
      await load.more(REQUESTS_EACH);
      await WAYS[swap % WAYS.length]?.(host, version);
      const droppedAt = Date.now();
      await host.active('notes', version);
      const received = host.transitions().find((line) => line.version === version && line.state === 'received');
      noticedMs.push((received?.time ?? Infinity) - droppedAt);
    }
    await load.more(REQUESTS_EACH);
    const asked = await load.stop();

    assert.deepEqual(load.codes, { ok: asked.length });
    await load.assertWrites();
    load.assertVersionsWereLive();
    assert.equal(new Set(asked.map(({ reply }) => reply?.by.generation)).size, SWAPS + 1);
    const active = host.transitions().filter(({ state }) => state === 'active');
    assert.equal(active.length, SWAPS + 1);
    assert.ok(median(noticedMs) < NOTICE_MS, `noticed after ${noticedMs.join(', ')} ms`);
    await eventually('every old version is retired', () => retired(host) === SWAPS);
    const swapMs = active.slice(1).map(({ ms }) => ms);
    t.diagnostic(`${asked.length} requests, ${asked.filter(({ op }) => op === 'create').length} of them writes`);
    t.diagnostic(`swap: median ${median(swapMs)} ms, longest ${Math.max(...swapMs)} ms`);
    t.diagnostic(`noticed: median ${median(noticedMs)} ms, longest ${Math.max(...noticedMs)} ms`);
  });

  it('leaves a request that is under way to the version that began it', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.0.0' }));
    await host.active('notes', '1.0.0');
    const client = await host.connectClient({ batching: false });
    const slow = client.request({ v: 1, id: 'slow', domain: 'notes', op: 'slow', payload: { ms: 4_000 } });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0' }));
    await host.active('notes', '1.1.0');
    assert.equal(await client.domain('notes').call('version', {}), '1.1.0');
    assert.equal(retired(host), 0);
    const reply = await slow;
    assert.ok(reply.ok);
    assert.equal(reply.by.version, '1.0.0');
    await eventually('1.0.0 is retired', () => retired(host) === 1);
  });

  it('is the one that serves in the end when three come within a second', async (t) => {
    const host = await startTestHost(t, { services });
    const client = await host.connectClient();
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '0.9.0' }));
    await host.active('notes', '0.9.0');
    for (const pauseMs of [0, 40, 250]) {
      for (const version of ['1.0.0', '1.1.0', '1.0.0']) {
        await writeBundle(host.pluginsDirectory, notesBundle({ version }));
        // So that the next comes at different stages of the one before.
        await delay(pauseMs);
      }
      const serving = (): string | undefined => host.transitions().findLast(({ state }) => state === 'active')?.version;
      // n.b. on a busy machine the last drop may not have been noticed yet when all else is quiet.
      await eventually('the last one serves', () => serving() === '1.0.0' && isQuiet(host));
      assert.equal(await client.domain('notes').call('version', {}), '1.0.0');
    }
    const refused = host.transitions().filter(({ state }) => state === 'rejected');
    assert.deepEqual(refused, []);
  });

  it('serves a domain that the host never heard of, within a second', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const client = await host.connectClient();
    const served: number[] = [];
    // The best of three: it is the host that has a second, not what else the machine does.
    for (const domain of ['tasks', 'chores', 'errands']) {
      const bundle = notesBundle({
        ...{ domain, version: '3.2.1', form: 'folder', name: domain },
        operations: {
          count: { mode: 'read', run: `return { rows: (await ctx.view('fetch', {})).rows.length };` },
        },
      });
      const droppedAt = performance.now();
      await writeBundle(host.pluginsDirectory, bundle);
      await host.active(domain, '3.2.1');
      const created = (await client.domain(domain).create({ text: 'third' })) as { text: string };
      served.push(performance.now() - droppedAt);
      assert.equal(created.text, 'third');
      assert.deepEqual(await client.domain(domain).call('count', {}), { rows: served.length });
    }
    const servedMs = Math.min(...served);
    assert.ok(servedMs < 1_000, `${served.join(', ')} ms`);
    assert.equal(await client.domain('notes').call('version', {}), '1.0.0');
    t.diagnostic(`first write served ${servedMs.toFixed(0)} ms after the drop began`);
  });
});

describe('a domain whose bundle is removed', () => {
  it('ends after the requests that are in flight, and then is answered as unknown', async (t) => {
    const host = await startTestHost(t, { services });
    const { path } = await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const load = await Load.start(t, host);
    const client = await host.connectClient({ batching: false });
    const slow = client.domain('notes').call('slow', { ms: 1_500 });
    await load.more(20);
    await rm(path);
    await host.logged('notes retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    assert.deepEqual(await slow, { waited: 1_500 });
    await assert.rejects(
      client.domain('notes').create({ text: 'too late' }),
      (error) => isBedsError(error) && error.code === 'BEDS_REQUEST_UNKNOWN_DOMAIN',
    );
    await load.stop();
    const { ok, BEDS_REQUEST_UNKNOWN_DOMAIN: unknown, ...others } = load.codes;
    assert.deepEqual(others, {});
    assert.ok((ok ?? 0) > 0 && (unknown ?? 0) > 0, JSON.stringify(load.codes));
    await load.assertWrites();
    assert.equal(host.log.filter(({ level }) => level === 'error').length, 0);

    await writeBundle(host.pluginsDirectory, notesBundle({ version: '2.0.0' }));
    await host.active('notes', '2.0.0');
    assert.equal(await client.domain('notes').call('version', {}), '2.0.0');
  });

  it('ends after the requests that still wait in its queue, too', async (t) => {
    const rBroker = { type: 'data', mode: 'read', prefetch: 1 };
    const config = { brokers: { rBroker, wBroker: { type: 'data', mode: 'write' } } };
    const host = await startTestHost(t, { services, config });
    const { path } = await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const notes = (await host.connectClient({ batching: false })).domain('notes');
    const channel = await host.plainChannel();
    const waited = Promise.all(Array.from({ length: 8 }, () => notes.call('slow', { ms: 200 })));
    await eventually('requests wait in the queue', async () => {
      return (await channel.checkQueue(`${host.prefix}.req.notes.read`)).messageCount >= 4;
    });
    await rm(path);
    assert.deepEqual(await waited, new Array(8).fill({ waited: 200 }));
    await host.logged('notes retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    await assert.rejects(notes.fetch({}), { code: 'BEDS_REQUEST_UNKNOWN_DOMAIN' });
  });
});

describe('a domain with several bundles in the directory', () => {
  it('serves the older one again when the newer is removed, waits for no refused one, and ends with the last', async (t) => {
    const host = await startTestHost(t, { services });
    const drop = (version: string, more = {}): ReturnType<typeof writeBundle> =>
      writeBundle(host.pluginsDirectory, notesBundle({ version, name: `notes-${version}.mjs`, ...more }));
    const client = await host.connectClient();
    const serves = (): Promise<unknown> => client.domain('notes').call('version', {});
    const first = await drop('1.0.0');
    await host.active('notes', '1.0.0');
    const second = await drop('1.1.0');
    await host.active('notes', '1.1.0');
    await rm(second.path);
    await eventually('1.0.0 serves again', async () => (await serves()) === '1.0.0');
    const bad = await drop('1.2.0', { code: 'export const a = 1;' });
    await host.logged('1.2.0 refused', ({ msg }) => msg === 'notes 1.2.0 rejected');
    // n.b. all of a domain at once is taken for an accident.
    await rm(bad.path);
    await quietFor(REMOVAL_MS);
    await rm(first.path);
    await eventually('the domain has ended', async () => {
      const code = await serves().catch((error: unknown) => isBedsError(error) && error.code);
      return code === 'BEDS_REQUEST_UNKNOWN_DOMAIN';
    });
  });

  it('ends when the version that waits and the one that serves are removed, and the host stops', async (t) => {
    const host = await startTestHost(t, { services });
    const client = await host.connectClient();
    const live = await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const objects = { ...NOTES_OBJECTS, never: { kind: 'procedure', name: 'note_never', args: {} } };
    const later = await writeBundle(
      host.pluginsDirectory,
      notesBundle({ version: '1.1.0', name: 'later.mjs', objects }),
    );
    await host.logged('it waits', ({ msg }) => msg === 'notes 1.1.0 waiting');
    await rm(later.path);
    await quietFor(REMOVAL_MS);
    await rm(live.path);
    await host.logged('notes retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    await assert.rejects(client.domain('notes').call('version', {}), { code: 'BEDS_REQUEST_UNKNOWN_DOMAIN' });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.2.0', objects }));
    await host.logged('the next waits', ({ msg }) => msg === 'notes 1.2.0 waiting');
    await host.host.stop();
  });

  it('goes on by itself when the DBA delivers what a version waits for', async (t) => {
    const host = await startTestHost(t, { services });
    const user = new URL(host.config.stores['main']?.url ?? '').username;
    const objects = { ...NOTES_OBJECTS, later: { kind: 'procedure', name: 'note_later', args: {} } };
    await writeBundle(host.pluginsDirectory, notesBundle({ objects }));
    const waiting = await host.logged('it waits', ({ msg }) => msg === 'notes 1.0.0 waiting');
    assert.match(JSON.stringify(waiting['findings']), /BEDS_PREFLIGHT_OBJECT_MISSING.*note_later/);
    await host.dba.query('CREATE PROCEDURE note_later() SELECT 1 AS one');
    await host.dba.query(`GRANT EXECUTE ON PROCEDURE note_later TO '${user}'@'%'`);
    await host.active('notes', '1.0.0');
  });
});

function retired(host: TestHost): number {
  return host.transitions().filter(({ state }) => state === 'retired').length;
}

/** Resolves when no version has changed its state for a while: there is no event for "nothing more comes". */
/** Nothing is on its way. */
function isQuiet(host: TestHost): boolean {
  return Date.now() - (host.transitions().at(-1)?.time ?? 0) > QUIET_MS;
}
