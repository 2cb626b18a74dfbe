import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RowDataPacket } from 'mysql2/promise';
import type { ReplyEnvelope } from '#sdk/template';
import { type CanaryHost, FAILS, noteVersion, startCanaryHost } from './support/canary.js';
import { Crowd, type CrowdRequest } from './support/crowd.js';
import { quietFor } from './support/eventually.js';
import { eventually } from './support/host.js';
import { median } from './support/load.js';
import { NOTES_OBJECTS } from './support/notes-domain.js';
import { askWithPika, installPika } from './support/pika-caller.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const TEST_MS = 60_000;

const failuresOf = (crowd: Crowd): readonly CrowdRequest[] => crowd.seen.filter(({ failure }) => failure !== undefined);
const tookMs = ({ askedAt, answeredAt }: CrowdRequest): number => answeredAt - askedAt;

async function rowCount({ host }: CanaryHost): Promise<number> {
  const [rows] = await host.dba.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM note');
  return Number(rows[0]?.['n']);
}

describe('a shadow', { timeout: TEST_MS * 4 }, () => {
  it('answers copies that callers never notice, and its differences are in the history', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await crowd.more(300);
    const alone = crowd.seen.length;
    const other = 'await new Promise((go) => setTimeout(go, 200)); return { version: VERSION };';
    await canaryHost.admin.deploy([noteVersion('1.1.0', other)], {
      canaryPercent: 0,
      shadowPercent: 100,
      forMs: 3_000,
    });
    const { time: beganAt } = await canaryHost.observed('1.1.0');
    await eventually(
      'copies are compared',
      async () => ((await canaryHost.admin.canary())?.shadow?.compared ?? 0) > 20,
    );
    const { time: activeAt, findings = [] } = await canaryHost.reached('1.1.0', 'active', 20_000);
    await crowd.stop();
    const beside = crowd.seen.filter(({ askedAt, answeredAt }) => askedAt > beganAt && answeredAt < activeAt - 100);
    assert.ok(beside.length > 50);
    assert.deepEqual([...new Set(beside.map(({ reply }) => reply?.by.version))], ['1.0.0']);
    const [beforeMs, besideMs] = [crowd.seen.slice(0, alone), beside].map((some) => median(some.map(tookMs)));
    t.diagnostic(`median ${String(beforeMs)} ms without and ${String(besideMs)} ms with copies`);
    assert.ok((besideMs ?? Infinity) < (beforeMs ?? 0) + 50, 'nobody waits for the copy');
    assert.deepEqual(failuresOf(crowd), []);
    const [finding] = findings;
    assert.equal(finding?.code, 'BEDS_ROLLOUT_SHADOW_DIFFERENT');
    assert.match(finding.message, /^version answered \{version: string\} where the version before answered string \(/);
    const entry = (await canaryHost.admin.history()).find(
      ({ version, state }) => version === '1.1.0' && state === 'active',
    );
    assert.deepEqual(entry?.findings, findings);
  });

  it('whose copies fail goes into quarantine, though no caller met it', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0', FAILS)], { shadowPercent: 100, forMs: 60_000 });
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', 20_000);
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    assert.match(findings[0].message, /copies of reads failed/);
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
    assert.deepEqual(crowd.by('1.1.0'), []);
  });

  it('gets no writes', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const create = { domain: 'notes', op: 'create', payload: { text: 'once' } };
    const crowd = await Crowd.start(t, canaryHost.host, {
      asks: [create, { domain: 'notes', op: 'version', payload: {} }],
    });
    await canaryHost.admin.deploy([noteVersion('1.1.0')], { shadowPercent: 100, forMs: 1_500 });
    await canaryHost.observed('1.1.0');
    await eventually('copies are compared', async () => ((await canaryHost.admin.canary())?.shadow?.compared ?? 0) > 0);
    await canaryHost.reached('1.1.0', 'active');
    await crowd.stop();
    await quietFor(300);
    assert.deepEqual(failuresOf(crowd), []);
    const created = crowd.seen.filter(({ reply }) => reply?.ok === true && typeof reply.data === 'object');
    assert.equal(await rowCount(canaryHost), created.length);
  });
});

describe('a client in Python', { timeout: TEST_MS * 4 }, () => {
  const columns = { id: { type: 'integer' }, text: { type: 'string' } };
  const marked = { kind: 'view', name: 'note_list', columns, fetchable: true };
  const version = (name: string): ReturnType<typeof noteVersion> =>
    noteVersion(name, undefined, { objects: { ...NOTES_OBJECTS, marked } });

  it('fetches from a further view with `or`, beside a shadow and from a canary', async (t) => {
    const pika = await installPika(temporaryDirectory(t));
    if ('whyNot' in pika) {
      t.skip(pika.whyNot);
      return;
    }
    const canaryHost = await startCanaryHost(t, { services, serving: [version('1.0.0')] });
    const { host, admin } = canaryHost;
    await host.dba.query("INSERT INTO note (text, mark) VALUES ('a', 'x'), ('b', 'y'), ('c', 'z')");
    const or = [{ where: { text: 'a' } }, { where: { id: { gte: 3 } } }];
    const query = { view: 'marked', or, order: [{ column: 'id', direction: 'desc' }], count: true };
    const ask = async (client: string): Promise<string> => {
      const request = { v: 1, id: client, domain: 'notes', op: 'fetch', query, meta: { client } };
      const call = { url: host.config.amqp.url, exchange: `${host.prefix}.request`, request };
      const { reply } = await askWithPika(pika.packages, call);
      const { ok, data, page, by } = reply as Extract<ReplyEnvelope, { ok: true }>;
      assert.ok(ok, JSON.stringify(reply));
      const rows = [
        { id: 3, text: 'c' },
        { id: 1, text: 'a' },
      ];
      assert.deepEqual([data, page?.count], [rows, 2]);
      return by.version ?? '';
    };

    const options = { canaryPercent: 0, shadowPercent: 100, forMs: 60_000, hold: true };
    await admin.deploy([version('1.1.0')], options);
    await canaryHost.observed('1.1.0');
    assert.equal(await ask('app'), '1.0.0');
    await eventually('the copy is compared', async () => ((await admin.canary())?.shadow?.compared ?? 0) > 0);
    const shadow = (await admin.canary())?.shadow;
    assert.deepEqual([shadow?.different, shadow?.failed], [0, 0]);
    await admin.accepted('promote');
    await canaryHost.reached('1.1.0', 'active');

    await admin.deploy([version('1.2.0')], { ...options, canaryPercent: 50, shadowPercent: 0 });
    await canaryHost.observed('1.2.0');
    const versions = new Set<string>();
    for (let client = 0; client < 20 && versions.size < 2; client += 1)
      versions.add(await ask(`app-${String(client)}`));
    assert.deepEqual([...versions].sort(), ['1.1.0', '1.2.0']);
  });
});

describe('two domains of one deploy', { timeout: TEST_MS * 4 }, () => {
  const task = (version: string, run?: string): ReturnType<typeof noteVersion> =>
    noteVersion(version, run, { domain: 'tasks', name: 'tasks.mjs' });
  const BOTH = ['notes', 'tasks'].map((domain) => ({ domain, op: 'version', payload: {} }));
  const serve = (t: Parameters<typeof startCanaryHost>[0]): Promise<CanaryHost> =>
    startCanaryHost(t, { services, serving: [noteVersion('1.0.0'), task('1.0.1')] });

  it('take over together, in one flip', async (t) => {
    const canaryHost = await serve(t);
    const crowd = await Crowd.start(t, canaryHost.host, { asks: BOTH });
    await canaryHost.admin.deploy([noteVersion('1.1.0'), task('1.1.1')]);
    const [notes, tasks] = [await canaryHost.reached('1.1.0', 'active'), await canaryHost.reached('1.1.1', 'active')];
    assert.ok(notes['flipMs'] !== undefined && notes['flipMs'] === tasks['flipMs'], 'one flip');
    await crowd.more(100);
    await crowd.stop();
    assert.deepEqual(failuresOf(crowd), []);
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });

  it('stay as they are when one of them is refused', async (t) => {
    const canaryHost = await serve(t);
    const crowd = await Crowd.start(t, canaryHost.host, { asks: BOTH });
    await canaryHost.admin.deploy([
      noteVersion('1.1.0'),
      noteVersion('1.1.1', undefined, { domain: 'tasks', body: { selfTest: `throw new Error('no');` } }),
    ]);
    const [notes, tasks] = [
      await canaryHost.reached('1.1.0', 'rejected'),
      await canaryHost.reached('1.1.1', 'rejected'),
    ];
    assert.deepEqual(
      notes.findings?.map(({ code }) => code),
      ['BEDS_ROLLOUT_TOGETHER'],
    );
    assert.notEqual(tasks.findings?.[0]?.code, 'BEDS_ROLLOUT_TOGETHER');
    await crowd.more(100);
    await crowd.stop();
    assert.deepEqual(crowd.by('1.1.0').concat(crowd.by('1.1.1')), []);
    assert.deepEqual(failuresOf(crowd), []);
  });

  it('are canaries together: a caller is on the same side of both', async (t) => {
    const canaryHost = await serve(t);
    const crowd = await Crowd.start(t, canaryHost.host, { asks: BOTH, clients: 30, pauseMs: 60 });
    await canaryHost.admin.deploy([noteVersion('1.1.0'), task('1.1.1')], {
      canaryPercent: 40,
      forMs: 60_000,
      hold: true,
    });
    await canaryHost.observed('1.1.0');
    const { time } = await canaryHost.observed('1.1.1');
    await crowd.more(400);
    for (const domain of ['notes', 'tasks']) assert.equal((await canaryHost.admin.canary(domain))?.percent, 40);
    await canaryHost.admin.accepted('promote', 'tasks');
    const { time: activeAt } = await canaryHost.reached('1.1.1', 'active');
    await canaryHost.reached('1.1.0', 'active');
    await crowd.stop();
    const observed = crowd.seen.filter(({ askedAt, answeredAt }) => askedAt > time && answeredAt < activeAt - 200);
    const sides = new Map<string, Set<boolean>>();
    for (const { client, reply } of observed) {
      const isCandidate = reply?.by.version?.startsWith('1.1.') === true;
      sides.set(client, (sides.get(client) ?? new Set()).add(isCandidate));
    }
    const mixed = [...sides].filter(([, seen]) => seen.size > 1);
    const inside = [...sides.values()].filter((seen) => seen.has(true)).length;
    t.diagnostic(`${String(inside)} of ${String(sides.size)} callers were on the side of the canaries`);
    assert.deepEqual(mixed, []);
    assert.ok(inside > 0 && inside < sides.size);
    assert.deepEqual(failuresOf(crowd), []);
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });

  it('go together when one of the canaries does harm', async (t) => {
    const canaryHost = await serve(t);
    const crowd = await Crowd.start(t, canaryHost.host, { asks: BOTH });
    await canaryHost.admin.deploy([noteVersion('1.1.0'), task('1.1.1', FAILS)], { canaryPercent: 50, forMs: 60_000 });
    const harmful = await canaryHost.reached('1.1.1', 'quarantined', 20_000);
    const other = await canaryHost.reached('1.1.0', 'rejected');
    assert.equal(harmful.findings?.[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    assert.equal(other.findings?.[0]?.code, 'BEDS_ROLLOUT_TOGETHER');
    await crowd.stop();
    assert.ok(failuresOf(crowd).every(({ domain }) => domain === 'tasks'));
    crowd.assertVersionsWereRouted(canaryHost.host.transitions());
  });
});
