import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import { LoopGaps } from '../host/request/request-scope.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { envelope, PlainCaller, type PlainMessage } from './support/plain-caller.js';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const BLOCK = `const until = Date.now() + input.ms; while (Date.now() < until); return 'done';`;

async function serve(t: Teardown, config: Readonly<Record<string, unknown>> = {}): Promise<TestHost> {
  const host = await startTestHost(t, { services, config });
  const args = { ms: { type: 'integer' } } as const;
  await writeBundle(host.pluginsDirectory, notesBundle({ operations: { block: { mode: 'read', args, run: BLOCK } } }));
  await host.active('notes', '1.0.0');
  return host;
}

function create(
  mark: string,
  meta?: RequestEnvelope['meta'],
  properties: PlainMessage['properties'] = {},
): PlainMessage {
  const body = envelope('create', { id: mark, payload: { text: 'aged', mark }, ...(meta && { meta }) });
  return { routingKey: 'notes.create', body, properties };
}

async function marks(host: TestHost): Promise<readonly string[]> {
  const [rows] = await host.dba.query('SELECT mark FROM note ORDER BY mark');
  return (rows as { mark: string }[]).map(({ mark }) => mark);
}

function refusalOf(reply: ReplyEnvelope): {
  readonly code: string;
  readonly retryable: boolean;
  readonly hint: string;
} {
  assert.ok(!reply.ok, 'it ran');
  return { hint: '', ...reply.error };
}

describe('a request that is older than its deadline', () => {
  it('is not run, whatever its age is known by, and the error hints at the clocks', async (t) => {
    const host = await serve(t);
    const caller = await PlainCaller.open(host);
    const agoMs = Date.now() - 11_000;
    const old: readonly PlainMessage[] = [
      create('envelope', { client: 'c', sentAt: agoMs, deadlineMs: 5_000 }),
      create('default-deadline', { client: 'c', sentAt: agoMs }),
      create('beyond-the-most', { client: 'c', sentAt: Date.now() - 61_000, deadlineMs: 1e9 }),
      create('header', undefined, { headers: { timestamp_in_ms: agoMs } }),
      create('property', { client: 'c', deadlineMs: 5_000 }, { timestamp: Math.floor(agoMs / 1_000) }),
      create('ahead', { client: 'c', sentAt: Date.now() + 3_600_000 }, { headers: { timestamp_in_ms: agoMs } }),
      create('header-ahead', undefined, { headers: { 'beds-sent-at': Date.now() + 60_000, timestamp_in_ms: agoMs } }),
      create('headers-ahead', undefined, {
        headers: { 'beds-sent-at': Date.now() + 60_000, timestamp_in_ms: Date.now() + 60_000 },
        timestamp: Math.floor(agoMs / 1_000),
      }),
    ];
    for (const message of old) {
      const { code, retryable, hint } = refusalOf(await caller.ask(message));
      assert.equal(code, 'BEDS_REQUEST_DEADLINE_EXCEEDED');
      assert.ok(retryable, 'nothing was begun');
      assert.match(hint, /clocks.*sentAt.*limits\.clockSkewMs/);
    }
    const batch = old.slice(0, 2).map(({ body }) => body);
    const replies = await caller.ask<ReplyEnvelope[]>({ routingKey: 'notes.create', body: batch });
    assert.deepEqual(
      replies.map(refusalOf).map(({ code }) => code),
      Array(2).fill('BEDS_REQUEST_DEADLINE_EXCEEDED'),
    );
    // Of those that say nothing themselves, the header of their message does.
    const undated = ['g', 'h'].map((mark) => create(mark, { client: 'c' }).body);
    const properties = { headers: { 'beds-sent-at': agoMs, timestamp_in_ms: Date.now() } };
    const late = await caller.ask<ReplyEnvelope[]>({ routingKey: 'notes.create', body: undated, properties });
    assert.deepEqual(
      late.map(refusalOf).map(({ code }) => code),
      Array(2).fill('BEDS_REQUEST_DEADLINE_EXCEEDED'),
    );
    assert.deepEqual(await marks(host), []);
  });

  it('is run while there is time, when its clock is ahead, and when its timestamp means nothing', async (t) => {
    const host = await serve(t);
    const caller = await PlainCaller.open(host);
    const now = Date.now();
    const young = [
      create('a', { client: 'c', sentAt: now - 3_000, deadlineMs: 20_000 }),
      create('b', { client: 'c', sentAt: now + 600_000, deadlineMs: 5_000 }),
      create('c', undefined, { timestamp: Math.floor(now / 1_000) }),
      create('d', undefined, { timestamp: now }),
      create('e', undefined, { timestamp: 0, headers: { timestamp_in_ms: 'no number' } }),
    ];
    for (const message of young) assert.ok((await caller.ask(message)).ok);
    assert.deepEqual(await marks(host), ['a', 'b', 'c', 'd', 'e']);
  });

  it('is forgiven the difference of clocks that the configuration allows', async (t) => {
    const host = await serve(t, { limits: { clockSkewMs: 60_000 } });
    const caller = await PlainCaller.open(host);
    const behind = (ms: number): RequestEnvelope['meta'] => ({
      client: 'c',
      sentAt: Date.now() - ms,
      deadlineMs: 5_000,
    });
    assert.ok((await caller.ask(create('within', behind(59_000)))).ok);
    assert.equal(refusalOf(await caller.ask(create('beyond', behind(66_000)))).code, 'BEDS_REQUEST_DEADLINE_EXCEEDED');
    assert.deepEqual(await marks(host), ['within']);
  });

  it('is not run after it lay in the socket while code blocked its thread, though nobody says its age', async (t) => {
    const host = await serve(t, { threads: { default: { count: 1 } }, limits: { defaultDeadlineMs: 1_000 } });
    const caller = await PlainCaller.open(host);
    const meta = { client: 'c', deadlineMs: 10_000 };
    const blocking = caller.ask({
      routingKey: 'notes.block',
      body: envelope('block', { payload: { ms: 2_000 }, meta }),
    });
    // By now it blocks the thread; no thread that is blocked could say so.
    await delay(300);
    const late = [create('own-deadline', { client: 'c', deadlineMs: 1_000 }), create('default-deadline')];
    const refused = late.map((message) => caller.ask(message));
    const patient = caller.ask(create('patient', meta));
    assert.ok((await blocking).ok);
    for (const reply of await Promise.all(refused)) {
      assert.equal(refusalOf(reply).code, 'BEDS_REQUEST_DEADLINE_EXCEEDED');
    }
    assert.ok((await patient).ok);
    await eventually('the next one is young again', async () => (await caller.ask(create('next'))).ok);
    assert.deepEqual(await marks(host), ['next', 'patient']);
  });
});

/** The same host as a process of its own. */
async function inProcess(t: Teardown, { host, config, pluginsDirectory }: TestHost): Promise<ChildProcess> {
  await host.stop();
  const given = JSON.stringify({ config, projectRoot: dirname(pluginsDirectory) });
  const child = fork(new URL('./support/host-child.js', import.meta.url), [given]);
  lastFirst(t, async () => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.disconnect();
    await ended;
  });
  await once(child, 'message');
  return child;
}

describe('a host that was stopped', () => {
  it('runs nothing that waited longer than its deadline when it goes on', { timeout: 240_000 }, async (t) => {
    const host = await serve(t, { limits: { defaultDeadlineMs: 1_000 } });
    const child = await inProcess(t, host);
    const caller = await PlainCaller.open(host);
    const client = await host.connectClient();
    const isServed = async (mark: string): Promise<boolean> => (await caller.ask(create(mark), 10_000)).ok;
    await eventually('it serves', () => isServed('before'), 20_000);
    child.kill('SIGSTOP');
    const waiting = Array.from({ length: 40 }, (_, n) => caller.ask(create(`late-${n}`), 20_000));
    // n.b. none of these has another bound than its expiration.
    const short = { expiration: 500 };
    const patient = { client: 'c', deadlineMs: 60_000 };
    waiting.push(...[1, 2].map((n) => caller.ask(create(`late-short-${n}`, patient, short), 20_000)));
    caller.send(create('late-untold', undefined, { ...short, persistent: true }));
    const own = client.domain('notes').create({ text: 'own', mark: 'late-own' }, { deadlineMs: 1_000 });
    await assert.rejects(own, { code: 'BEDS_CLIENT_TIMEOUT', retryable: false });
    // Longer than any of them may wait.
    await delay(1_000);
    child.kill('SIGCONT');
    for (const reply of await Promise.all(waiting)) {
      assert.equal(refusalOf(reply).code, 'BEDS_REQUEST_DEADLINE_EXCEEDED');
    }
    await eventually('it serves again', () => isServed('after'));
    assert.deepEqual([...new Set(await marks(host))], ['after', 'before']);
  });
});

describe('gaps of the event loop', () => {
  /** Clocks that a test moves. */
  function clocks(): { now: number; wall: number } {
    return { now: 1_000, wall: 1_000_000 };
  }

  it('are as old as the clock says that went on, until all is read that had come before', async (t) => {
    const at = clocks();
    let drained = (): void => undefined;
    const asked = (): Promise<void> => new Promise((resolve) => (drained = resolve));
    const gaps = new LoopGaps(asked, { processMs: () => at.now, wallMs: () => at.wall });
    gaps.start();
    t.after(() => gaps.stop());
    assert.equal(gaps.readSince(1_100), 1_100);
    // The machine slept: only the clock on the wall went on.
    at.now += 100;
    at.wall += 30_000;
    gaps.look();
    assert.equal(gaps.readSince(1_100), 1_100 - 30_000);
    drained();
    await eventually('it is over', () => gaps.readSince(1_100) === 1_100);
    // The process was stopped: both went on. The clock on the wall was set back as well.
    at.now += 26_000;
    at.wall -= 3_600_000;
    assert.equal(gaps.readSince(at.now), 1_100);
    drained();
    await eventually('it is over', () => gaps.readSince(at.now) === at.now);
  });
});
