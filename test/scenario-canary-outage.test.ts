import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { type CanaryHost, noteVersion, startCanaryHost } from './support/canary.js';
import { Crowd } from './support/crowd.js';
import { quietFor } from './support/eventually.js';
import { eventually } from './support/host.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { privateServices, sharedServices, temporaryDirectory } from './support/services.js';

const { mariadb } = await privateServices({ after }, ['mariadb']);
assert.ok(mariadb);
const services = { ...(await sharedServices(['rabbitmq'])), mariadb };

const TEST_MS = 90_000;
const SOON_MS = 40_000;
const FETCH = [{ domain: 'notes', op: 'fetch' }] as const;
const refusals = ({ host }: CanaryHost): readonly string[] =>
  host
    .transitions()
    .filter(({ state }) => state === 'quarantined' || state === 'rejected')
    .map(({ msg }) => msg);

async function waits(canaryHost: CanaryHost, what: RegExp): Promise<void> {
  await eventually('the canary waits', async () => what.test((await canaryHost.admin.canary())?.waits ?? ''), SOON_MS);
}

describe('a canary whose database goes away', { timeout: TEST_MS * 8 }, () => {
  // A test that failed may have left it stopped.
  beforeEach(() => mariadb.start());

  it('is not judged for it, waits until the store is back, and takes over then', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    await canaryHost.admin.deploy([noteVersion('1.1.0')], { canaryPercent: 50, forMs: 4_000 });
    await canaryHost.observed('1.1.0');
    await crowd.more(100);
    await mariadb.stop();
    await waits(canaryHost, /Store main/);
    const stoodAt = (await canaryHost.admin.canary())?.elapsedMs;
    await crowd.more(200);
    const canary = await canaryHost.admin.canary();
    assert.ok(canary && stoodAt !== undefined);
    assert.ok(canary.elapsedMs === stoodAt, `${String(stoodAt)} ms, then ${String(canary.elapsedMs)} ms`);
    assert.deepEqual(refusals(canaryHost), []);
    await mariadb.start();
    await canaryHost.reached('1.1.0', 'active', SOON_MS);
    await crowd.stop();
    assert.deepEqual(refusals(canaryHost), []);
    assert.ok(canaryHost.host.log.some(({ msg }) => msg.startsWith('notes 1.1.0 canary waits: Store main')));
    assert.ok(canaryHost.host.log.some(({ msg }) => msg === 'notes 1.1.0 canary goes on'));
    assert.ok(
      crowd.by('1.1.0').some(({ failure }) => failure !== undefined),
      'it did fail',
    );
  });

  it('is not judged for the promises that its code forgot to wait for meanwhile', async (t) => {
    const forgets = { body: { fetchRecords: `void ctx.view('fetch', query); return ctx.view('fetch', query);` } };
    const canaryHost = await startCanaryHost(t, { services, serving: [noteVersion('1.0.0', undefined, forgets)] });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    await canaryHost.admin.deploy([noteVersion('1.1.0', undefined, forgets)], { canaryPercent: 50, forMs: 3_000 });
    await canaryHost.observed('1.1.0');
    await crowd.more(100);
    await mariadb.kill();
    await waits(canaryHost, /Store main/);
    await crowd.more(200);
    await mariadb.start();
    await canaryHost.reached('1.1.0', 'active', SOON_MS);
    await crowd.stop();
    assert.deepEqual(refusals(canaryHost), []);
  });

  it('is not judged, nor does it take over, while the database hangs', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    const { pid } = mariadb;
    assert.ok(pid !== undefined);
    await canaryHost.admin.deploy([noteVersion('1.1.0')], { canaryPercent: 50, shadowPercent: 50, forMs: 3_000 });
    await canaryHost.observed('1.1.0');
    await crowd.more(100);
    process.kill(pid, 'SIGSTOP');
    try {
      await waits(canaryHost, /does not answer/);
      // Longer than it would be watched.
      await quietFor(4_500);
      assert.equal((await canaryHost.admin.view()).live?.version, '1.0.0');
      assert.deepEqual(refusals(canaryHost), []);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await canaryHost.reached('1.1.0', 'active', SOON_MS);
    await crowd.stop();
    assert.deepEqual(refusals(canaryHost), []);
  });

  it('is judged by what is its own when the database is back', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    const broken = { body: { fetchRecords: `await ctx.view('fetch', query); throw new Error('broken');` } };
    await canaryHost.admin.deploy([noteVersion('1.1.0', undefined, broken)], { canaryPercent: 5, forMs: 60_000 });
    await canaryHost.observed('1.1.0');
    await mariadb.stop();
    await waits(canaryHost, /Store main/);
    await crowd.more(100);
    assert.deepEqual(refusals(canaryHost), []);
    await mariadb.start();
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    await crowd.stop();
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
  });

  it('is judged for overrunning deadlines alone, while the version beside it does not', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: [{ domain: 'notes', op: 'version', payload: {} }] });
    const overruns = `throw Object.assign(new Error('late'), { [Symbol.for('beds.error')]: true,
      code: 'BEDS_STORE_TIMEOUT', status: 'timeout', verdict: 'ack', retryable: true });`;
    await canaryHost.admin.deploy([noteVersion('1.1.0', overruns)], { canaryPercent: 50, forMs: 60_000 });
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    await crowd.stop();
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
  });

  it('waits for an object that a DBA takes away, and goes on when it is restored', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    await canaryHost.admin.deploy([noteVersion('1.1.0')], { canaryPercent: 50, forMs: 3_000 });
    await canaryHost.observed('1.1.0');
    const { dba, prefix } = canaryHost.host;
    await dba.query(`REVOKE SELECT ON ${prefix}.note_list FROM '${prefix}'@'%'`);
    await waits(canaryHost, /note_list/);
    await crowd.more(200);
    await dba.query(`GRANT SELECT ON ${prefix}.note_list TO '${prefix}'@'%'`);
    await canaryHost.reached('1.1.0', 'active', SOON_MS);
    await crowd.stop();
    assert.deepEqual(refusals(canaryHost), []);
  });

  it('lets the command that follows it say that it waits, and end in time', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const orders = new RolloutOrders(t, canaryHost.host);
    const crowd = await Crowd.start(t, canaryHost.host, { asks: FETCH });
    const { path } = await writeBundle(temporaryDirectory(t), noteVersion('1.1.0'));
    const running = orders.run('deploy', path, '--canary', '50%', '--for', '4s', '--timeout', '8s');
    await canaryHost.observed('1.1.0');
    await mariadb.stop();
    const ran = await running;
    assert.notEqual(ran.code, 0);
    assert.match(ran.stdout, /waits and is not judged: Store main does not answer/);
    assert.deepEqual(refusals(canaryHost), []);
    await mariadb.start();
    await canaryHost.reached('1.1.0', 'active', SOON_MS);
    await crowd.stop();
  });
});
