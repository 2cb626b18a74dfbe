import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { type HostProcess, type OomKiller, startHostProcess, startOomKiller } from './support/host-process.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const DEADLINE_MS = 60_000;
const LIMIT_MB = 500;
/** Buffers are not in the limit of a thread's heap: the system kills whoever has them. */
const HOG = `const hog = Buffer.alloc(600 * 1024 * 1024, 1); for (const until = Date.now() + 4000; Date.now() < until; ) hog[0] = 1;`;

/** A host whose process can be lost, again and again. */
interface Lives {
  readonly host: TestHost;
  readonly client: BedsClient;
  readonly oom: OomKiller;
  /** Begins the next life. */
  next(): HostProcess;
}

async function begin(t: Teardown, ...bundles: readonly BundleOptions[]): Promise<Lives> {
  const supervisor = { drainTimeoutMs: 2_000, trialMs: 1_500 };
  const host = await startTestHost(t, { services, config: { supervisor, threads: { default: { count: 2, heapMb: 128 } } } });
  for (const bundle of bundles) await writeBundle(host.pluginsDirectory, bundle);
  await host.host.stop();
  const client = await host.connectClient({ batching: false, defaultDeadlineMs: DEADLINE_MS });
  let pid = 0;
  const oom = startOomKiller(t, () => pid, LIMIT_MB);
  return {
    ...{ host, client, oom },
    next: () => {
      const life = startHostProcess(t, host);
      ({ pid } = life);
      return life;
    },
  };
}

function read(client: BedsClient, operation: string, domain = 'notes'): Promise<unknown> {
  return client.domain(domain).call(operation, {}, { mode: 'read' });
}

async function codeOf(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (error: unknown) => (isBedsError(error) ? error.code : `untyped: ${String(error)}`),
  );
}

void describe('a version that ends the whole host', () => {
  void it('does so once: the next start tries it apart, answers its request, serves the version before and all others', async (t) => {
    const { host, client, next, oom } = await begin(t, notesBundle(), notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
    const first = next();
    await first.serving;
    const { hash } = await writeBundle(
      host.pluginsDirectory,
      notesBundle({ version: '1.1.0', operations: { hog: { mode: 'read', run: HOG } } }),
    );
    await first.logged('1.1.0 serves', ({ msg }) => msg === 'notes 1.1.0 active');
    const asked = codeOf(read(client, 'hog'));
    assert.equal(await first.ended, 'SIGKILL');
    const second = next();
    await second.serving;
    assert.equal(await codeOf(read(client, 'version', 'tasks')), 'answered "1.0.0"');
    assert.equal(await asked, 'BEDS_REQUEST_POISON');
    await second.logged('it is in quarantine', ({ msg }) => msg === 'notes 1.1.0 quarantined');
    await eventually('the version before serves', async () => (await codeOf(read(client, 'version'))) === 'answered "1.0.0"');
    await second.logged('it is back', ({ msg }) => msg === 'notes is served by the threads again', 20_000);
    assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
    assert.equal(oom.killed.filter((pid) => pid === second.pid).length, 0);
    const quarantined = second.log.find(({ msg }) => msg === 'notes 1.1.0 quarantined');
    assert.equal(quarantined?.['hash'], hash);
    assert.match(JSON.stringify(quarantined), /BEDS_ROLLOUT_ENDED_PROCESS/);
    await second.stop();
  });
});
