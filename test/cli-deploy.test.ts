import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BedsClient } from '@beds/sdk/client';
import { EXIT } from '#sdk/cli';
import type { NodeVersions } from '../host/cli/commands/versions.js';
import { beds, type Ran } from './support/beds.js';
import { writeBundle, type BundleOptions } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { lastFirst, sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const BOUND = { timeout: 240_000 };
/** Both sides of a canary are surely drawn. */
const CALLERS = 12;
const PAUSE_MS = 40;

interface Place {
  readonly host: TestHost;
  readonly run: (...args: readonly string[]) => Promise<Ran>;
  /** Builds a bundle outside of the plugin directory and gives its path. */
  readonly bundle: (version: string, options?: BundleOptions) => Promise<string>;
  readonly live: () => Promise<string | undefined>;
}

async function place(t: TestContext, rollout: Readonly<Record<string, unknown>> = {}): Promise<Place> {
  const host = await startTestHost(t, { services, config: { rollout } });
  const directory = temporaryDirectory(t);
  const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
  const run: Place['run'] = (...args) => beds(args, { projectRoot: directory, env });
  const plugins = async (): Promise<readonly NodeVersions[]> =>
    JSON.parse((await run('versions', '--json')).stdout) as readonly NodeVersions[];
  return {
    ...{ host, run },
    bundle: async (version, options = {}) => {
      const name = `${options.domain ?? 'notes'}-${version}.mjs`;
      return (await writeBundle(directory, notesBundle({ version, name, ...options }))).path;
    },
    live: async () => (await plugins())[0]?.domains[0]?.live?.version,
  };
}

/** Callers who ask all the time, so that a canary has something to be judged by. */
async function load(t: TestContext, host: TestHost): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: CALLERS }, (_, index) => host.connectClient({ name: `caller-${index}` })),
  );
  let isOver = false;
  const ask = async (client: BedsClient): Promise<void> => {
    while (!isOver) {
      await client
        .domain('notes')
        .call('version', {})
        .catch(() => undefined);
      // Paces the load.
      await delay(PAUSE_MS);
    }
  };
  const asking = clients.map(ask);
  lastFirst(t, async () => {
    isOver = true;
    await Promise.all(asking);
  });
}

function assertRan({ code, stdout, stderr }: Ran, expected: number, ...texts: readonly RegExp[]): void {
  assert.equal(code, expected, stdout + stderr);
  for (const text of texts) assert.match(stdout + stderr, text);
}

describe('beds deploy and a host', () => {
  it('follows a version to where it serves, back, out of service and in again', BOUND, async (t) => {
    const { host, run, bundle, live } = await place(t);
    const first = await bundle('1.0.0');
    const states = ['received', 'verified', 'probed', 'prepared', 'active'];
    const told = states.map(
      (state) => new RegExp(`^ +\\d+\\.\\d s  ${host.prefix}  notes 1\\.0\\.0  ${state} after \\d+ ms$`, 'm'),
    );
    assertRan(await run('deploy', first), EXIT.ok, /: notes 1\.0\.0 is on its way\.$/m, ...told);
    assertRan(await run('deploy', first), EXIT.ok, /notes 1\.0\.0 {2}serves already$/m);
    const second = await run('deploy', await bundle('1.1.0'), '--json');
    assertRan(second, EXIT.ok);
    const value = JSON.parse(second.stdout) as { ok: boolean; outcomes: { state: string; version: string }[] };
    assert.deepEqual([value.ok, value.outcomes[0]?.version, value.outcomes[0]?.state], [true, '1.1.0', 'active']);

    assertRan(
      await run('diff', 'notes'),
      EXIT.ok,
      /notes 1\.1\.0 \(\w+\) → 1\.0\.0 \(\w+\)\nNothing changes for callers\./,
    );
    assertRan(await run('diff', 'songs'), EXIT.failed, /BEDS_ROLLOUT_UNKNOWN_DOMAIN/);
    assertRan(
      await run('rollback', 'notes'),
      EXIT.ok,
      /notes 1\.0\.0 is on its way back\.$/m,
      /notes 1\.0\.0 {2}active after/,
    );
    assert.equal(await live(), '1.0.0');
    assertRan(
      await run('rollback', 'notes', '1.0.0'),
      EXIT.failed,
      /notes 1\.0\.0 serves already\. It may go back to 1\.1\.0\./,
    );
    assertRan(
      await run('rollback', 'notes', '1'),
      EXIT.failed,
      /No version 1 of notes is kept\. It may go back to 1\.1\.0\./,
    );
    assertRan(await run('rollback', 'notes', '1.1.0'), EXIT.ok);

    assertRan(
      await run('undeploy', 'notes'),
      EXIT.ok,
      /notes 1\.1\.0 ends when the requests that it has are answered\.$/m,
    );
    await eventually('notes is retired', async () => (await live()) === undefined);
    assertRan(await run('rollback', 'notes'), EXIT.ok);
    assert.equal(await live(), '1.1.0');

    assertRan(
      await run('history', 'notes', '--limit', '200'),
      EXIT.ok,
      /notes +1\.0\.0 +received/,
      /notes +1\.1\.0 +retired/,
    );
    assertRan(await run('versions', 'notes'), EXIT.ok, /: notes may be rolled back to 1\.0\.0 \(\w{12}\)$/m);
    assertRan(await run('versions', 'songs'), EXIT.failed, /There are no domains\./);
    assertRan(await run('status'), EXIT.ok);
  });

  it('says why a version does not take over, and the one before serves', BOUND, async (t) => {
    const { host, run, bundle, live } = await place(t);
    assertRan(await run('deploy', await bundle('1.0.0')), EXIT.ok);
    const broken = await bundle('1.1.0', { body: { selfTest: `throw new Error('wrong sum')` } });
    assertRan(await run('deploy', broken), EXIT.failed, /notes 1\.1\.0 is rejected:/, /SELF_TEST_THROWS: .*wrong sum/);
    assertRan(await run('status'), EXIT.failed, /notes +1\.1\.0 +rejected .*BEDS_ADMISSION_SELF_TEST_THROWS$/m);

    const missing = await bundle('1.2.0', {
      objects: { fetch: { kind: 'view', name: 'note_lost', columns: { id: { type: 'integer' } } } },
    });
    assertRan(
      await run('deploy', missing, '--allow-breaking'),
      EXIT.failed,
      /notes 1\.2\.0 is waiting:/,
      /no .*note_lost/,
    );
    assertRan(await run('versions', 'notes'), EXIT.ok, /notes 1\.2\.0 is waiting, since/);

    const tasks = await bundle('1.0.0', { domain: 'tasks' });
    const both = await run('deploy', missing, tasks, '--allow-breaking');
    assertRan(
      both,
      EXIT.failed,
      /notes 1\.2\.0 is waiting:/,
      /tasks 1\.0\.0 is probed and takes over together with the waiting versions\.$/m,
    );

    const args = { text: { type: 'string' } };
    const breaking = await bundle('1.3.0', { operations: { version: { mode: 'read', args, run: 'return VERSION;' } } });
    const refused = await run('deploy', breaking);
    assertRan(
      refused,
      EXIT.failed,
      /notes 1\.3\.0 is rejected:\n +BEDS_ROLLOUT_BREAKING: version: argument text was added/,
    );
    const { stdout } = await run('versions', 'notes');
    assert.doesNotMatch(stdout, /is waiting/, 'another version took the place of the one that waited');
    assert.equal(await live(), '1.0.0');
    assertRan(await run('deploy', breaking, '--allow-breaking'), EXIT.ok);
    assertRan(
      await run('deploy', breaking, '--node', 'elsewhere'),
      EXIT.failed,
      new RegExp(`those that did: ${host.prefix}`),
    );
  });

  it('refuses a rule of access that shuts out callers, and calls out one that lets in more', BOUND, async (t) => {
    const { run, bundle, live } = await place(t);
    const ruled = (version: string, rule: string | readonly string[]): Promise<string> =>
      bundle(version, { access: { version: rule } });
    assertRan(await run('deploy', await ruled('1.0.0', 'signed-in')), EXIT.ok);
    const tight = await ruled('1.1.0', ['clerk']);
    assertRan(
      await run('deploy', tight),
      EXIT.failed,
      /notes 1\.1\.0 is rejected:\n +BEDS_ROLLOUT_BREAKING: version: access changed from every user to the roles clerk: every user may no longer/,
    );
    assert.equal(await live(), '1.0.0');
    assertRan(await run('deploy', tight, '--allow-breaking'), EXIT.ok);
    assertRan(await run('deploy', await ruled('1.2.0', ['clerk', 'auditor'])), EXIT.ok);
    assertRan(
      await run('diff', 'notes', '1.1.0', '1.2.0'),
      EXIT.ok,
      /^LOOSENS +version +access changed from the roles clerk to the roles auditor, clerk: auditor may now/m,
    );
  });

  it('takes over two domains together', BOUND, async (t) => {
    const { run, bundle } = await place(t);
    const paths = [await bundle('1.0.0'), await bundle('1.0.0', { domain: 'tasks' })];
    assertRan(await run('deploy', ...paths), EXIT.ok, /notes 1\.0\.0 {2}active/, /tasks 1\.0\.0 {2}active/);
    assertRan(await run('status'), EXIT.ok, /notes +1\.0\.0 +active/, /tasks +1\.0\.0 +active/);
  });
});

describe('a canary on the command line', () => {
  it('holds, is promoted, paused and taken out', BOUND, async (t) => {
    const { host, run, bundle, live } = await place(t);
    assertRan(await run('deploy', await bundle('1.0.0')), EXIT.ok);
    await load(t, host);
    const short = await run('deploy', await bundle('1.1.0'), '--canary', '50%', '--for', '2s');
    assertRan(
      short,
      EXIT.ok,
      /notes 1\.1\.0 {2}canary after/,
      /canary 50 %: [\d,]+ requests?, 0 % failed/,
      /1\.1\.0 {2}active after/,
    );

    const held = await run('deploy', await bundle('1.2.0'), '--canary', '20%', '--shadow', '10%', '--hold');
    assertRan(held, EXIT.ok, /canary 20 %, shadow 10 %: .*until it is promoted$/m);
    assertRan(await run('status'), EXIT.ok, /notes +1\.2\.0 +canary 20 % .*of its requests failed/);
    assertRan(
      await run('promote', 'notes'),
      EXIT.ok,
      /: notes 1\.2\.0 takes over\.$/m,
      /notes 1\.2\.0 {2}active after/,
    );

    assertRan(await run('deploy', await bundle('1.3.0'), '--canary', '20%', '--hold', '--no-wait'), EXIT.ok);
    await eventually('the canary', async () => (await run('status')).stdout.includes('canary 20 %'));
    assertRan(await run('rollback', 'notes'), EXIT.ok, /: notes 1\.3\.0 is taken out again/);
    assert.equal(await live(), '1.2.0');
    assertRan(await run('status'), EXIT.ok);

    assertRan(await run('promote', 'notes'), EXIT.failed, /BEDS_ROLLOUT_NOTHING_PENDING/);
    assertRan(
      await run('pause', 'notes'),
      EXIT.ok,
      /: notes 1\.2\.0 stays; new versions wait until `beds promote`\.$/m,
    );
    assertRan(await run('deploy', await bundle('1.4.0')), EXIT.failed, /1\.4\.0 is waiting:\n +BEDS_ROLLOUT_PAUSED/);
    assertRan(await run('promote', 'notes'), EXIT.ok, /notes 1\.4\.0 {2}active after/);
  });

  it(
    'that fails is taken out with the words of the guard, refused from then on, and may be lifted',
    BOUND,
    async (t) => {
      const { host, run, bundle, live } = await place(t, { guardMinRequests: 10 });
      assertRan(await run('deploy', await bundle('1.0.0')), EXIT.ok);
      await load(t, host);
      const operations = { version: { mode: 'read', run: `throw new Error('broken');` } } as const;
      const bad = await bundle('1.1.0', { operations });
      const tripped = await run('deploy', bad, '--canary', '50%', '--for', '20s');
      assertRan(
        tripped,
        EXIT.failed,
        /notes 1\.1\.0 is quarantined:\n +BEDS_ROLLOUT_GUARD_ERRORS: 100\.0 % \(\d+ of \d+\) of its requests failed/,
      );
      assert.equal(await live(), '1.0.0');
      assertRan(await run('deploy', bad), EXIT.failed, /BEDS_ROLLOUT_QUARANTINED: These bytes are in quarantine/);
      assertRan(await run('quarantine'), EXIT.ok, /notes +1\.1\.0 +\w{12} .*BEDS_ROLLOUT_GUARD_ERRORS/);
      const { stdout } = await run('versions', 'notes');
      assert.equal(stdout.match(/is quarantined/g)?.length, 1, stdout);
      assertRan(await run('status'), EXIT.failed, /notes +1\.1\.0 +quarantined/);
      assertRan(await run('quarantine', 'lift', 'songs'), EXIT.failed, /`beds quarantine` lists/);
      assertRan(await run('quarantine', 'lift', 'notes'), EXIT.ok, /: notes 1\.1\.0 may be deployed again\.$/m);
      assertRan(await run('quarantine'), EXIT.ok, /No bundle is quarantined\./);
      assertRan(await run('status'), EXIT.ok);
      assert.doesNotMatch((await run('versions', 'notes')).stdout, /quarantined/);
    },
  );
});
