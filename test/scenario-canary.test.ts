import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { FAILS, noteVersion, startCanaryHost } from './support/canary.js';
import { Crowd } from './support/crowd.js';
import { eventually } from './support/host.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const TEST_MS = 60_000;
const THREADS = 2;

/** As far as one request can tell it is the caller's mistake. */
const REFUSES = `throw Object.assign(new Error('no'), {
  [Symbol.for('beds.error')]: true, code: 'BEDS_NOTES_NO', status: 'invalid', verdict: 'ack', retryable: false });`;
const SLOW = 'await new Promise((go) => setTimeout(go, 400)); return VERSION;';

describe('a canary', { timeout: TEST_MS * 8 }, () => {
  it('that fails a fifth of its requests is out again within seconds, quarantined until that is lifted', async (t) => {
    const { host, admin, reached, observed } = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, host, { clients: 40, pauseMs: 50 });
    const bad = noteVersion('1.1.0', FAILS);
    const [hash] = await admin.deploy([bad], { canaryPercent: 5, forMs: 60_000 });
    const { time: beganAt } = await observed('1.1.0');
    const ended = await reached('1.1.0', 'quarantined', 30_000);
    await crowd.more(300);
    const seen = await crowd.stop();
    const meanwhile = seen.filter(({ answeredAt }) => answeredAt >= beganAt && answeredAt <= ended.time + 100);
    const first = Math.min(...crowd.by('1.1.0').map(({ askedAt }) => askedAt));
    const perSecond = (meanwhile.length * 1_000) / (ended.time - beganAt);
    t.diagnostic(
      `${perSecond.toFixed(0)} requests/s, out ${String(ended.time - beganAt)} ms after it was routed, ` +
        `${String(crowd.by('1.1.0').length)} of ${String(meanwhile.length)} requests were its`,
    );
    assert.ok(ended.time - first < 5_000, `${String(ended.time - first)} ms`);
    assert.equal(ended.hash, hash);
    const [finding] = ended.findings ?? [];
    assert.equal(finding?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    assert.match(finding.message, /\d+\.\d % \(\d+ of \d+\) .*, against 0\.0 % \(0 of \d+\) of the serving version/);
    const mine = crowd.by('1.1.0');
    assert.ok(mine.length <= meanwhile.length * 0.05 * 1.25 + 20 * THREADS, 'no more than its share');
    const failures = seen.filter(({ failure }) => failure !== undefined);
    assert.ok(failures.length > 0 && failures.length <= mine.length / 5);
    assert.ok(failures.every(({ reply }) => reply?.by.version === '1.1.0'));
    assert.ok(
      mine.every(({ askedAt }) => askedAt <= ended.time),
      'nobody met it afterwards',
    );
    crowd.assertVersionsWereRouted(host.transitions());

    await writeBundle(host.pluginsDirectory, { ...bad, name: 'again.mjs' });
    const refused = (): string[] => host.transitions().flatMap(({ findings = [] }) => findings.map(({ code }) => code));
    await eventually('it is refused', () => refused().includes('BEDS_ROLLOUT_QUARANTINED'));
    assert.equal((await admin.view()).live?.version, '1.0.0');
    const lifted = await admin.command('lift', { name: hash?.slice(0, 8) ?? '' });
    assert.equal(lifted.receipts[0]?.hash, hash);
    await admin.deploy([bad]);
    await host.active('notes', '1.1.0');
  });

  it('that is slow trips the guard of latency', async (t) => {
    const { host, admin, reached } = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, host, { clients: 40, pauseMs: 40 });
    await admin.deploy([noteVersion('1.1.0', SLOW)], { canaryPercent: 50, forMs: 60_000 });
    const { findings = [] } = await reached('1.1.0', 'quarantined', 30_000);
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_LATENCY');
    await crowd.stop();
    assert.deepEqual(
      crowd.seen.filter(({ failure }) => failure !== undefined),
      [],
    );
    crowd.assertVersionsWereRouted(host.transitions());
  });

  it('that is good takes over when its time is over, and is seen until then', async (t) => {
    const { host, admin, reached, observed } = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, host);
    const [hash] = await admin.deploy([noteVersion('1.1.0')], { canaryPercent: 20, forMs: 3_000 });
    const began = await observed('1.1.0');
    let seen = await admin.canary();
    await eventually('both sides are counted', async () => {
      seen = await admin.canary();
      return (seen?.candidate.requests ?? 0) > 0 && (seen?.active.requests ?? 0) > 0;
    });
    assert.ok(seen);
    const { version, percent, shadowPercent, forMs, hold } = seen;
    assert.deepEqual(
      { version, hash: seen.hash, percent, shadowPercent, forMs, hold },
      { version: '1.1.0', hash, percent: 20, shadowPercent: 0, forMs: 3_000, hold: false },
    );
    assert.ok(seen.elapsedMs > 0 && seen.elapsedMs < 3_000);
    assert.equal((await admin.view()).candidate?.state, 'canary');
    const active = await reached('1.1.0', 'active', 20_000);
    assert.ok(active.time - began.time >= 3_000);
    assert.deepEqual(active.findings, undefined);
    assert.equal(await admin.canary(), undefined);
    await crowd.more(100);
    await crowd.stop();
    assert.deepEqual(
      crowd.seen.filter(({ failure }) => failure !== undefined),
      [],
    );
    crowd.assertVersionsWereRouted(host.transitions());
  });

  it('that nobody calls gets a larger share each time, and takes over in the end', async (t) => {
    const { admin, reached, observed } = await startCanaryHost(t, { services });
    await admin.deploy([noteVersion('1.1.0')], { canaryPercent: 5, forMs: 500 });
    const began = await observed('1.1.0');
    const shares = new Set<number>();
    await eventually('it has no share any more', async () => {
      const canary = await admin.canary();
      if (canary !== undefined) shares.add(canary.percent);
      return canary === undefined;
    });
    const active = await reached('1.1.0', 'active');
    assert.ok(active.time - began.time >= 2_000, 'four shares');
    assert.ok([...shares].every((share) => [5, 20, 80, 100].includes(share)));
    assert.ok(shares.size >= 2, [...shares].join(', '));
  });

  it('that fails as much as the version beside it is not to blame', async (t) => {
    const { host, admin, reached } = await startCanaryHost(t, { services, serving: [noteVersion('1.0.0', FAILS)] });
    const crowd = await Crowd.start(t, host);
    await admin.deploy([noteVersion('1.1.0', FAILS)], { canaryPercent: 50, forMs: 3_000 });
    await reached('1.1.0', 'active', 30_000);
    await crowd.stop();
    const mine = crowd.by('1.1.0');
    assert.ok(mine.length > 50 && mine.some(({ failure }) => failure !== undefined));
  });

  it('that alone finds mistakes of its callers is taken out for it, and not quarantined', async (t) => {
    const { host, admin, reached } = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, host);
    const refuses = noteVersion('1.1.0', `if (asked % 3 === 0) ${REFUSES} return VERSION;`);
    await admin.deploy([refuses], { canaryPercent: 30, forMs: 60_000 });
    const { findings = [] } = await reached('1.1.0', 'rejected', 30_000);
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_REFUSALS');
    assert.match(findings[0].message, /'invalid'/);
    await crowd.stop();
  });

  it('is made of every drop by configuration, but not of the first version of a domain', async (t) => {
    const rollout = { canaryPercent: 50, canaryForMs: 1_000 };
    const { host, admin, reached, observed } = await startCanaryHost(t, { services, rollout });
    assert.deepEqual(
      host.transitions().filter(({ state }) => state === 'canary'),
      [],
    );
    const crowd = await Crowd.start(t, host);
    await writeBundle(host.pluginsDirectory, noteVersion('1.1.0'));
    await observed('1.1.0');
    await reached('1.1.0', 'active');
    await crowd.stop();
    assert.deepEqual(
      crowd.seen.filter(({ failure }) => failure !== undefined),
      [],
    );
    crowd.assertVersionsWereRouted(host.transitions());
    assert.equal(
      (await admin.history()).some(({ state, cause }) => state === 'canary' && cause === 'drop'),
      true,
    );
  });
});
