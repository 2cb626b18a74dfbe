import assert from 'node:assert/strict';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { readHistory } from '../host/deploy/history.js';
import { writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, type LogLine, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** Longer than a removal takes, with several looks. */
const QUIET_MS = 1_200;
const PLUGINS = { plugins: { scanIntervalMs: 200, incompleteMs: 500 } };

async function answer(client: BedsClient, domain: string): Promise<string> {
  return client
    .domain(domain)
    .call('version', {}, { deadlineMs: 3_000 })
    .then(String, (error: unknown) => (isBedsError(error) ? error.code : String(error)));
}

async function startBoth(host: TestHost): Promise<void> {
  for (const domain of ['notes', 'tasks']) {
    await writeBundle(host.pluginsDirectory, notesBundle({ domain, name: `${domain}.mjs` }));
    await host.active(domain, '1.0.0');
  }
}

function faultsOf(host: TestHost): readonly LogLine[] {
  return host.log.filter(({ msg }) => msg === 'fault in plugin directory');
}

function lineOf({ log }: TestHost, text: string): LogLine {
  return log.find(({ msg }) => msg === text) ?? assert.fail(text);
}

describe('a host whose plugin directory', () => {
  it('is moved away, with an empty one in its place, serves on and says so once; `beds undeploy` ends a domain', async (t) => {
    const host = await startTestHost(t, { services, config: PLUGINS });
    const client = await host.connectClient({ batching: false });
    await startBoth(host);
    const { length } = host.transitions();
    await rename(host.pluginsDirectory, `${host.pluginsDirectory}.away`);
    await mkdir(host.pluginsDirectory);
    await eventually('it is said', () => faultsOf(host).length > 0);
    await quietFor(QUIET_MS);
    assert.deepEqual([await answer(client, 'notes'), await answer(client, 'tasks')], ['1.0.0', '1.0.0']);
    assert.equal(faultsOf(host).length, 1);
    assert.match(
      JSON.stringify(faultsOf(host)),
      /Missing: notes\.mjs, tasks\.mjs, of notes, tasks\..*DIRECTORY_REPLACED/,
    );
    assert.equal(host.transitions().length, length);

    await new RolloutOrders(t, host).order('undeploy', 'tasks');
    await eventually('tasks has ended', async () => (await answer(client, 'tasks')) === 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    await rm(host.pluginsDirectory, { recursive: true });
    await rename(`${host.pluginsDirectory}.away`, host.pluginsDirectory);
    await host.logged('it is over', ({ msg }) => msg === 'the plugin directory lacks no bundle that serves any more');
    await quietFor(QUIET_MS);
    assert.equal(await answer(client, 'tasks'), 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    assert.equal(await answer(client, 'notes'), '1.0.0');
    const states = host
      .transitions()
      .slice(length)
      .map(({ domain, state }) => `${domain} ${state}`);
    assert.deepEqual(states, ['tasks draining', 'tasks retired']);
  });

  it('is swapped for one with the next version goes over to it, and nothing is at fault', async (t) => {
    const host = await startTestHost(t, { services, config: PLUGINS });
    await startBoth(host);
    const next = `${host.pluginsDirectory}.next`;
    await mkdir(next);
    for (const domain of ['notes', 'tasks']) {
      await writeBundle(next, notesBundle({ domain, version: '1.1.0', name: `${domain}-1.1.0.mjs` }));
    }
    await rename(host.pluginsDirectory, `${host.pluginsDirectory}.away`);
    await rename(next, host.pluginsDirectory);
    for (const domain of ['notes', 'tasks']) await host.active(domain, '1.1.0');
    await quietFor(QUIET_MS);
    assert.deepEqual(
      host.log.filter(({ level }) => level === 'error').map(({ msg }) => msg),
      [],
    );
  });

  it('loses the last bundle of a domain retires it, and says why in the log and the history', async (t) => {
    const host = await startTestHost(t, { services, config: PLUGINS });
    await startBoth(host);
    await rm(join(host.pluginsDirectory, 'tasks.mjs'));
    await host.logged('it is retired', ({ msg }) => msg === 'tasks 1.0.0 retired');
    await new RolloutOrders(t, host).order('undeploy', 'notes');
    await host.logged('it is retired', ({ msg }) => msg === 'notes 1.0.0 retired');
    const wanted = {
      tasks: /BEDS_ROLLOUT_REMOVED.*tasks\.mjs, the last bundle of tasks/,
      notes: /BEDS_ROLLOUT_RETIRED/,
    };
    const entries = await readHistory(join(host.pluginsDirectory, '..', host.config.state.directory));
    for (const [domain, why] of Object.entries(wanted)) {
      const line = lineOf(host, `${domain} 1.0.0 retired`);
      assert.equal(line.level, 'warn');
      assert.match(JSON.stringify(line['findings']), why);
      const entry = entries.find((each) => each.domain === domain && each.state === 'draining');
      assert.match(JSON.stringify(entry?.findings), why);
    }
  });
});

describe('a host that starts', () => {
  const WAYS: Readonly<Record<string, (directory: string) => Promise<() => Promise<unknown>>>> = {
    'is a file': async (directory) => {
      await writeFile(directory, '');
      return () => rm(directory);
    },
    'is empty': async (directory) => {
      await mkdir(directory);
      return () => rm(directory, { recursive: true });
    },
    'may be written to by everyone': async (directory) => {
      await mkdir(directory);
      await chmod(directory, 0o777);
      return () => rm(directory, { recursive: true });
    },
  };
  for (const [what, replace] of Object.entries(WAYS)) {
    it(`serves on where the plugin directory ${what}, and takes no old bundle for a new one when it is back`, async (t) => {
      const host = await startTestHost(t, { services, config: PLUGINS });
      const client = await host.connectClient({ batching: false });
      for (const version of ['1.0.0', '1.1.0', '1.2.0']) {
        await writeBundle(host.pluginsDirectory, notesBundle({ version, name: `notes-${version}.mjs` }));
        await host.active('notes', version);
      }
      const orders = new RolloutOrders(t, host);
      await orders.order('rollback', 'notes', '1.1.0', '--no-wait');
      await eventually('1.1.0 serves', async () => (await answer(client, 'notes')) === '1.1.0');
      await host.host.stop();
      await rename(host.pluginsDirectory, `${host.pluginsDirectory}.away`);
      const restore = await replace(host.pluginsDirectory);
      await host.startAgain();
      assert.equal(await answer(client, 'notes'), '1.1.0');
      const { length } = host.transitions();
      await restore();
      await rename(`${host.pluginsDirectory}.away`, host.pluginsDirectory);
      await quietFor(QUIET_MS);
      assert.equal(await answer(client, 'notes'), '1.1.0');
      assert.deepEqual(host.transitions().slice(length), []);
      await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.3.0', name: 'notes-1.3.0.mjs' }));
      await host.active('notes', '1.3.0');
    });
  }

  it('without anything to serve refuses a directory that it cannot use', async (t) => {
    const host = await startTestHost(t, { services });
    await host.host.stop();
    await rm(host.pluginsDirectory, { recursive: true });
    await writeFile(host.pluginsDirectory, '');
    await assert.rejects(host.startAgain(), { code: 'BEDS_ADMISSION_DIRECTORY_UNSAFE' });
  });
});
