import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { ChaosProxy } from './support/chaos-proxy.js';
import { quietFor } from './support/eventually.js';
import { eventually, type LogLine, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

interface Place {
  readonly host: TestHost;
  readonly orders: RolloutOrders;
  readonly client: BedsClient;
  /** What `notes` answers: its version, or the code of the failure. */
  answer(): Promise<string>;
  /** Stops the host, changes something, and starts it again; resolves with the log since. */
  restart(change?: () => Promise<unknown>): Promise<readonly LogLine[]>;
  drop(version: string, more?: BundleOptions): Promise<{ readonly hash: string; readonly path: string }>;
}

async function open(t: Teardown, more: Partial<Parameters<typeof startTestHost>[1]> = {}): Promise<Place> {
  const host = await startTestHost(t, { services, ...more });
  let running = host.host;
  const client = await host.connectClient({ batching: false });
  return {
    ...{ host, client, orders: new RolloutOrders(t, host) },
    answer: () =>
      client
        .domain('notes')
        .call('version', {}, { deadlineMs: 3_000 })
        .then(String, (error: unknown) => (isBedsError(error) ? error.code : `untyped: ${String(error)}`)),
    restart: async (change) => {
      await running.stop();
      const from = host.log.length;
      await change?.();
      running = await host.startAgain();
      return host.log.slice(from);
    },
    drop: (version, options = {}) => writeBundle(host.pluginsDirectory, notesBundle({ version, ...options })),
  };
}

async function becomes(place: Place, wanted: string): Promise<void> {
  let last = '';
  await eventually(`notes answers ${wanted}`, async () => (last = await place.answer()) === wanted).catch(() =>
    assert.fail(`notes answers ${last}, not ${wanted}`),
  );
}

function fileOf({ host }: Place, name = 'notes.mjs'): string {
  return join(host.pluginsDirectory, name);
}

function stageOf({ host }: Place, hash: string): string {
  return join(host.pluginsDirectory, '..', host.config.state.directory, 'stage', hash);
}

async function damage(place: Place, hash: string): Promise<void> {
  const directory = stageOf(place, hash);
  for (const name of await readdir(directory)) await rm(join(directory, name));
}

/** Longer than a removal takes: there is no event for one that changes nothing. */
const REMOVAL_MS = 800;
const BROKEN = { code: 'export const a = 1;' };

describe('a host that starts serves what was confirmed', () => {
  it('when the directory holds a broken bundle under the same name, is empty, or is missing', async (t) => {
    const place = await open(t);
    await place.drop('1.0.0');
    await becomes(place, '1.0.0');
    const broken = await place.restart(() => place.drop('1.1.0', BROKEN));
    assert.equal(await place.answer(), '1.0.0');
    assert.ok(broken.some(({ msg }) => msg === 'notes 1.1.0 rejected'));
    // Taking the broken one away does not end what never came from the directory of this run.
    await rm(fileOf(place));
    await quietFor(REMOVAL_MS);
    assert.equal(await place.answer(), '1.0.0');
    const empty = await place.restart();
    assert.equal(await place.answer(), '1.0.0');
    const words = 'notes serves from the stage; its bundle is no longer in the plugin directory';
    assert.ok(empty.some(({ msg }) => msg === words));
    await place.restart(() => writeFile(fileOf(place), '//! beds-manifest {'));
    assert.equal(await place.answer(), '1.0.0');
    await place.restart(() => rm(place.host.pluginsDirectory, { recursive: true }));
    assert.equal(await place.answer(), '1.0.0');
    await place.drop('1.2.0');
    await becomes(place, '1.2.0');
    await rm(fileOf(place));
    await place.host.logged('the last bundle ends it', ({ msg }) => msg === 'notes 1.2.0 retired');
  });

  it('after the domains that it calls: what waited meets none of them missing', async (t) => {
    const place = await open(t);
    await place.drop('1.0.0', { body: { setup: `await new Promise((resolve) => setTimeout(resolve, 2_000));` } });
    const run = `return ctx.domain('notes').call('version', {});`;
    const tasks = { domain: 'tasks', name: 'tasks.mjs', peers: ['notes'], operations: { far: { mode: 'read', run } } };
    await writeBundle(place.host.pluginsDirectory, notesBundle(tasks as BundleOptions));
    const ask = (): Promise<string> =>
      place.client
        .domain('tasks')
        .call('far', {}, { deadlineMs: 30_000 })
        .then(String, (error: unknown) => (isBedsError(error) ? error.code : String(error)));
    await place.host.active('tasks', '1.0.0');
    assert.equal(await ask(), '1.0.0');
    let asked: readonly Promise<string>[] = [];
    const log = await place.restart(() => Promise.resolve((asked = Array.from({ length: 10 }, ask))));
    assert.deepEqual([...new Set(await Promise.all(asked))], ['1.0.0']);
    const active = log.flatMap(({ msg }) => /^(?<domain>\w+) 1\.0\.0 active$/.exec(msg)?.groups?.['domain'] ?? []);
    assert.deepEqual(active, ['notes', 'tasks']);
  });

  it('unless a newer bundle came while it was down; not one that was there before something else was ordered', async (t) => {
    const place = await open(t);
    await place.drop('1.0.0');
    await becomes(place, '1.0.0');
    await place.restart(() => place.drop('1.1.0'));
    await becomes(place, '1.1.0');
    await place.orders.deploy([notesBundle({ version: '1.2.0' })]);
    await becomes(place, '1.2.0');
    await place.restart();
    assert.equal(await place.answer(), '1.2.0');
    await place.orders.order('rollback', 'notes', '1.0.0', '--no-wait');
    await becomes(place, '1.0.0');
    await place.restart();
    assert.equal(await place.answer(), '1.0.0');
    await place.restart(() => place.drop('1.3.0'));
    await becomes(place, '1.3.0');
  });

  it('also when the directory holds more versions than are kept', async (t) => {
    const place = await open(t, { config: { plugins: { keepVersions: 2 } } });
    for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.3.0']) {
      await place.drop(version, { name: `notes-${version}.mjs` });
      await becomes(place, version);
    }
    const log = await place.restart();
    assert.equal(await place.answer(), '1.3.0');
    assert.deepEqual(
      log.filter(({ msg }) => / (received|active)$/.test(msg)).map(({ msg }) => msg.slice(6)),
      ['1.3.0 received', '1.3.0 active'],
    );
  });

  it('from the directory when its staged copy is damaged, and otherwise the one before it, with a fault', async (t) => {
    const place = await open(t);
    await place.drop('1.0.0');
    await becomes(place, '1.0.0');
    const { hash } = await place.drop('1.1.0');
    await becomes(place, '1.1.0');
    await place.restart(() => damage(place, hash));
    await becomes(place, '1.1.0');
    const log = await place.restart(async () => {
      await damage(place, hash);
      await rm(fileOf(place));
    });
    assert.equal(await place.answer(), '1.0.0');
    const fault = log.find(({ msg }) => msg.startsWith('fault in staged copy'));
    assert.match(JSON.stringify(fault), /BEDS_ADMISSION_STAGE_DAMAGED/);
  });

  it('when the database is back; a good bundle that came meanwhile wins, a bad one does not cost it', async (t) => {
    const url = new URL(services.mariadb?.url ?? '');
    const proxy = await ChaosProxy.start({ host: url.hostname, port: Number(url.port) });
    lastFirst(t, () => proxy.close());
    const away = async (): Promise<void> => {
      proxy.misbehave({ cutAfterBytes: 0 });
      proxy.cut();
    };
    const place = await open(t, { databaseUrl: (runtimeUrl) => proxy.through(runtimeUrl) });
    await place.drop('1.0.0');
    await becomes(place, '1.0.0');
    await place.restart(away);
    await place.drop('1.1.0', BROKEN);
    await place.host.logged('the bad one is refused', ({ msg }) => msg === 'notes 1.1.0 rejected');
    proxy.misbehave({});
    await becomes(place, '1.0.0');
    await place.restart(away);
    await place.drop('1.2.0');
    await place.host.logged('the good one waits', ({ msg }) => msg === 'notes 1.2.0 waiting');
    // It is not forgotten by another start.
    await place.restart();
    proxy.misbehave({});
    await becomes(place, '1.2.0');
  });
});

describe('many domains at once', () => {
  it('are all admitted, of a slow database too: none is refused or waits for what the others take', async (t) => {
    const url = new URL(services.mariadb?.url ?? '');
    const proxy = await ChaosProxy.start({ host: url.hostname, port: Number(url.port) });
    lastFirst(t, () => proxy.close());
    const { host, restart } = await open(t, { databaseUrl: (runtimeUrl) => proxy.through(runtimeUrl) });
    proxy.misbehave({ delayMs: 30 });
    const names = Array.from({ length: 50 }, (_, index) => `notes${String(index)}`);
    const log = await restart(async () => {
      for (const domain of names) {
        await writeBundle(host.pluginsDirectory, notesBundle({ domain, name: `${domain}.mjs` }));
      }
    });
    const states = new Map(
      log.flatMap(({ domain, state, findings }) => (state === undefined ? [] : [[domain, { state, findings }]])),
    );
    const others = [...states].filter(([, { state }]) => state !== 'active');
    assert.deepEqual({ others, active: states.size }, { others: [], active: names.length });
  });
});

describe('orders and the plugin directory', () => {
  it('a domain that was retired stays so though its file lies there, until it is rolled back or dropped', async (t) => {
    const place = await open(t);
    await place.drop('1.0.0');
    await becomes(place, '1.0.0');
    await place.orders.order('undeploy', 'notes');
    await becomes(place, 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    await place.restart();
    assert.equal(await place.answer(), 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    await place.orders.order('rollback', 'notes', '--no-wait');
    await becomes(place, '1.0.0');
    await place.orders.order('undeploy', 'notes');
    await becomes(place, 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    await place.drop('1.1.0');
    await becomes(place, '1.1.0');
  });

  it('goes back and forth with an empty directory, and to a version by name; a pause survives a restart', async (t) => {
    const place = await open(t);
    await mkdir(place.host.pluginsDirectory, { recursive: true });
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) {
      await place.orders.deploy([notesBundle({ version })]);
      await becomes(place, version);
    }
    await place.orders.order('rollback', 'notes', '--no-wait');
    await becomes(place, '1.1.0');
    await place.orders.order('rollback', 'notes', '--no-wait');
    await becomes(place, '1.2.0');
    await place.orders.order('rollback', 'notes', '1.0.0', '--no-wait');
    await becomes(place, '1.0.0');
    await place.orders.order('pause', 'notes');
    await place.restart();
    await place.drop('1.3.0');
    await place.host.logged('it waits', ({ msg }) => msg === 'notes 1.3.0 waiting');
    assert.equal(await place.answer(), '1.0.0');
    await place.orders.order('promote', 'notes', '--no-wait');
    await becomes(place, '1.3.0');
    const directory = join(place.host.pluginsDirectory, '..', place.host.config.state.directory);
    await eventually('it is remembered', async () => {
      const text = await readFile(join(directory, 'domains.json'), 'utf8');
      const { domains } = JSON.parse(text) as {
        domains: Record<string, { served: { version: string }[]; paused: boolean }>;
      };
      return domains['notes']?.paused === false && domains['notes'].served[0]?.version === '1.3.0';
    });
  });
});
