import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { type CanaryHost, FAILS, noteVersion, startCanaryHost } from './support/canary.js';
import { Crowd, type CrowdRequest } from './support/crowd.js';
import { quietFor } from './support/eventually.js';
import { eventually } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const TEST_MS = 60_000;
const OBSERVED = { canaryPercent: 50, forMs: 60_000 };
const OBSERVED_BY_DEFAULT = { canaryPercent: 50, canaryForMs: 60_000 };

const failuresOf = (crowd: Crowd): readonly CrowdRequest[] => crowd.seen.filter(({ failure }) => failure !== undefined);

/** States that a version went through, in order. */
function statesOf({ host }: CanaryHost, version: string): readonly string[] {
  return host.transitions().flatMap((line) => (line.version === version ? [line.state] : []));
}

async function onlyAnswers(crowd: Crowd, version: string): Promise<void> {
  const count = crowd.seen.length;
  await crowd.more(150);
  const since = crowd.seen.slice(count).filter(({ askedAt }) => askedAt > (crowd.seen[count]?.answeredAt ?? 0));
  assert.deepEqual([...new Set(since.map(({ reply }) => reply?.by.version))], [version]);
}

describe('a canary under orders', { timeout: TEST_MS * 10 }, () => {
  it('takes over at once when it is promoted', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0')], OBSERVED);
    await canaryHost.observed('1.1.0');
    await canaryHost.admin.accepted('promote');
    await canaryHost.reached('1.1.0', 'active', 3_000);
    await onlyAnswers(crowd, '1.1.0');
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });

  it('is out again, and not quarantined, when it is rolled back; and may come again', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    const next = noteVersion('1.1.0');
    await canaryHost.admin.deploy([next], OBSERVED);
    await canaryHost.observed('1.1.0');
    await canaryHost.admin.accepted('rollback');
    const { findings = [] } = await canaryHost.reached('1.1.0', 'rejected', 3_000);
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['BEDS_ROLLOUT_ROLLED_BACK'],
    );
    await onlyAnswers(crowd, '1.0.0');
    assert.equal(await canaryHost.admin.canary(), undefined);
    await canaryHost.admin.deploy([next]);
    await canaryHost.reached('1.1.0', 'active');
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });

  it('keeps its share while it is paused, and the guards still act', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: [{ domain: 'notes', op: 'version', payload: {} }] });
    const later = `if (globalThis.isBroken ??= false) throw new Error('broken'); return VERSION;`;
    const breaks = { mode: 'read', run: 'globalThis.isBroken = true; return null;' } as const;
    await canaryHost.admin.deploy([noteVersion('1.1.0', later, { operations: { breaks } })], {
      ...OBSERVED,
      forMs: 1_500,
    });
    await canaryHost.observed('1.1.0');
    await canaryHost.admin.accepted('pause');
    await quietFor(2_500);
    const paused = await canaryHost.admin.view();
    assert.deepEqual([paused.canary?.hold, paused.canary?.percent, paused.paused], [true, 50, true]);
    const client = await canaryHost.host.connectClient({ name: 'breaker' });
    const broken = async (n: number): Promise<unknown> =>
      client.request({
        ...({ v: 1, id: `b-${String(n)}`, domain: 'notes', op: 'breaks', payload: {} } as const),
        meta: { client: `breaker-${String(n)}` },
      });
    for (let n = 0; n < 60; n += 1) await broken(n);
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined');
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    await crowd.stop();
  });

  it('waits for its promotion when it was deployed to hold', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0')], { canaryPercent: 50, forMs: 300, hold: true });
    await canaryHost.observed('1.1.0');
    await quietFor(1_500);
    const canary = await canaryHost.admin.canary();
    assert.deepEqual([canary?.hold, canary?.percent, canary?.elapsedMs], [true, 50, 0]);
    await canaryHost.admin.accepted('promote');
    await canaryHost.reached('1.1.0', 'active', 3_000);
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
  });

  it('gives way to a newer drop, and ends when its own file is removed', async (t) => {
    const canaryHost = await startCanaryHost(t, { services, rollout: OBSERVED_BY_DEFAULT });
    const { pluginsDirectory } = canaryHost.host;
    const crowd = await Crowd.start(t, canaryHost.host);
    await writeBundle(pluginsDirectory, noteVersion('1.1.0', undefined, { name: 'first.mjs' }));
    await canaryHost.observed('1.1.0');
    await writeBundle(pluginsDirectory, noteVersion('1.2.0', undefined, { name: 'second.mjs' }));
    await canaryHost.observed('1.2.0');
    assert.equal((await canaryHost.admin.canary())?.version, '1.2.0');
    await canaryHost.reached('1.1.0', 'retired');
    await rm(join(pluginsDirectory, 'second.mjs'));
    await canaryHost.reached('1.2.0', 'retired');
    await onlyAnswers(crowd, '1.0.0');
    const view = await canaryHost.admin.view();
    assert.deepEqual([view.live?.version, view.canary, view.candidate], ['1.0.0', undefined, undefined]);
    for (const version of ['1.1.0', '1.2.0']) assert.equal(statesOf(canaryHost, version).includes('active'), false);
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });

  it('is served by a thread that joins meanwhile', async (t) => {
    const spin = { mode: 'write', run: 'for (;;);' } as const;
    const tasks = notesBundle({ domain: 'tasks', name: 'tasks.mjs', operations: { spin } });
    const config = { supervisor: { drainTimeoutMs: 5_000, stallTimeoutMs: 1_000 } };
    const canaryHost = await startCanaryHost(t, { services, serving: [noteVersion('1.0.0'), tasks], config });
    const crowd = await Crowd.start(t, canaryHost.host, { clients: 20, pauseMs: 20 });
    await canaryHost.admin.deploy([noteVersion('1.1.0')], OBSERVED);
    await canaryHost.observed('1.1.0');
    const client = await canaryHost.host.connectClient({ name: 'spinner' });
    const channel = await canaryHost.host.plainChannel();
    await assert.rejects(client.domain('tasks').call('spin', {}, { deadlineMs: 5_000 }));
    await canaryHost.host.logged('a thread ended', ({ msg }) => msg === 'broker thread ended; it is replaced');
    await eventually('two threads consume', async () => {
      const queue = await channel.checkQueue(`${canaryHost.host.prefix}.req.notes.read`);
      return queue.consumerCount === 2;
    });
    const before = crowd.seen.length;
    await crowd.more(300);
    const versions = new Set(crowd.seen.slice(before).map(({ reply }) => reply?.by.version));
    assert.deepEqual([...versions].sort(), ['1.0.0', '1.1.0']);
    assert.equal((await canaryHost.admin.canary())?.version, '1.1.0');
    await canaryHost.admin.accepted('promote');
    await canaryHost.reached('1.1.0', 'active');
    await onlyAnswers(crowd, '1.1.0');
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
  });

  it('ends cleanly with its host, which serves what was confirmed when it starts again', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0', FAILS)], { canaryPercent: 1, forMs: 60_000 });
    await canaryHost.observed('1.1.0');
    await crowd.more(50);
    await crowd.stop();
    const stoppingAtMs = performance.now();
    await canaryHost.host.host.stop();
    assert.ok(performance.now() - stoppingAtMs < 8_000);
    assert.deepEqual(
      canaryHost.host.log.filter(({ level }) => level === 'error'),
      [],
    );
    await canaryHost.host.startAgain();
    await eventually('it serves', async () => (await canaryHost.admin.view()).live?.version === '1.0.0');
    const view = await canaryHost.admin.view();
    assert.deepEqual([view.canary, view.candidate], [undefined, undefined]);
  });
});
