import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReplyEnvelope } from '#sdk/template';
import type { RowDataPacket } from 'mysql2';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { Load } from './support/load.js';
import { notesBundle } from './support/notes-domain.js';
import { envelope, PlainCaller } from './support/plain-caller.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** What ends at the drain timeout, and then a little for the connections. */
const DRAIN_MS = 1_500;
const CLOSE_MS = 4_000;

/** n.b. as many as come within the time that a stop waits, also on a busy machine. */
const fewAtOnce = { type: 'data', mode: 'both', domains: ['*'], count: 1, prefetch: 20 };

async function serveNotes(teardown: Teardown, drainTimeoutMs = 10_000, parts = {}): Promise<TestHost> {
  const host = await startTestHost(teardown, { services, config: { supervisor: { drainTimeoutMs }, ...parts } });
  const hang = { mode: 'read', run: 'return new Promise(() => {});' } as const;
  await writeBundle(host.pluginsDirectory, notesBundle({ operations: { hang } }));
  await host.active('notes', '1.0.0');
  return host;
}

describe('a host that gets a stop signal', () => {
  it('loses nothing under load: what it began is answered once, what it did not begin waits in the queue', async (t) => {
    const host = await serveNotes(t);
    // Later answers than the deadline of a caller that nobody serves are not of interest here.
    const load = await Load.start(t, host, { deadlineMs: 3_000 });
    const caller = await PlainCaller.open(host);
    const slow = caller.ask({ routingKey: 'notes.slow', body: envelope('slow', { payload: { ms: 1_000 } }) });
    await load.more(100);
    const stopping = host.host.stop();
    const startedAt = performance.now();
    await stopping;
    const tookMs = performance.now() - startedAt;
    const reply = await slow;
    assert.ok(reply.ok, JSON.stringify(reply));
    assert.ok(tookMs < 5_000, `${tookMs} ms`);

    // What waits must not be finished: the next host would be given it again.
    const waiting = await takeAll(host, caller);
    const finished = new Set(load.asked.filter(({ failure }) => failure === undefined).map(({ mark }) => mark));
    const marks = waiting.flatMap((entry) => entry.marks);
    assert.deepEqual(
      marks.filter((mark) => finished.has(mark)),
      [],
      'what was answered waits again',
    );
    await load.stop();
    const { ok, ...others } = load.codes;
    assert.ok((ok ?? 0) >= 100);
    // Callers that nobody serves any more learn it by their own deadline.
    const { BEDS_CLIENT_TIMEOUT: late, ...wrong } = others;
    assert.deepEqual(wrong, {}, JSON.stringify(load.codes));
    await assertCounts(host, load);
    assert.deepEqual(trouble(host), []);
    t.diagnostic(
      `${marks.length} writes wait, ${waiting.filter(({ redelivered }) => redelivered).length} messages of them redelivered; ${late ?? 0} late`,
    );
    assert.equal(host.log.at(-1)?.msg, 'stopped');
  });

  it('goes on where another host takes over: every write is done once', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    const marks = Array.from({ length: 400 }, (_, index) => `over-${index}`);
    const replies = marks.map((mark) =>
      caller.ask(
        {
          routingKey: 'notes.create',
          body: envelope('create', { payload: { text: 'x', mark }, meta: { client: 'plain', deadlineMs: 30_000 } }),
        },
        30_000,
      ),
    );
    await Promise.race(replies);
    await host.host.stop();
    const { messageCount } = await caller.channel.checkQueue(`${host.prefix}.req.notes.write`);
    const next = await host.startAgain();
    const answered = await Promise.all(replies);
    const [rows] = await host.dba.query<RowDataPacket[]>(
      `SELECT mark, COUNT(*) AS count FROM note WHERE mark LIKE 'over-%' GROUP BY mark`,
    );
    const counts = new Map(rows.map(({ mark, count }) => [mark as string, Number(count)]));
    for (const [index, reply] of answered.entries()) {
      assert.deepEqual([codeOf(reply), counts.get(marks[index] ?? '')], ['ok', 1], marks[index]);
    }
    assert.deepEqual(trouble(host), []);
    t.diagnostic(`${messageCount} of ${marks.length} writes were left to the next host`);
    await next.stop();
  });

  it('is replaced by another beside it under a steady load, again and again: every request is answered with success', async (t) => {
    const host = await serveNotes(t, 10_000, {
      roles: { appServer: { brokers: ['fewAtOnce'] } },
      brokers: { fewAtOnce },
    });
    let serving = host.host;
    const load = await Load.start(t, host, { callers: 12, pauseMs: 0, deadlineMs: 30_000 });
    for (let turn = 0; turn < 3; turn += 1) {
      const next = await host.startAgain();
      await load.more(50);
      await serving.stop();
      serving = next;
      await load.more(50);
    }
    await load.stop();
    const { ok, ...others } = load.codes;
    assert.deepEqual(others, {}, JSON.stringify(load.codes));
    await assertCounts(host, load);
    assert.deepEqual(trouble(host), []);
    t.diagnostic(`${ok ?? 0} requests`);
    await serving.stop();
  });

  it('does not wait for ever for a request that hangs, and a second call joins the first', async (t) => {
    const host = await serveNotes(t, DRAIN_MS);
    const caller = await PlainCaller.open(host);
    caller.send({
      routingKey: 'notes.hang',
      body: envelope('hang', { meta: { client: 'plain', deadlineMs: 60_000 } }),
    });
    const created = await caller.ask({
      routingKey: 'notes.create',
      body: envelope('create', { payload: { text: 'x' } }),
    });
    assert.ok(created.ok);
    await eventually('the hanging request was taken', async () => {
      const { messageCount } = await caller.channel.checkQueue(`${host.prefix}.req.notes.read`);
      return messageCount === 0;
    });
    const startedAt = performance.now();
    const first = host.host.stop();
    assert.equal(host.host.stop(), first);
    await first;
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < DRAIN_MS + CLOSE_MS, `${tookMs} ms`);
    await host.host.stop();
    assert.equal(host.log.filter(({ msg }) => msg === 'stopped').length, 1);
    t.diagnostic(`stopped after ${tookMs.toFixed(0)} ms with a drain timeout of ${DRAIN_MS} ms`);
  });

  it('ends at once when nothing is under way', async (t) => {
    const host = await serveNotes(t);
    const startedAt = performance.now();
    await host.host.stop();
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < 2_000, `${tookMs} ms`);
  });
});

function codeOf(reply: ReplyEnvelope): string {
  return reply.ok ? 'ok' : reply.error.code;
}

/** A connection or channel that was lost while the host stopped. */
function trouble({ log }: TestHost): readonly unknown[] {
  return log.filter(({ msg }) => msg === 'connection waiting' || msg === 'broker channel-lost');
}

interface Waiting {
  readonly redelivered: boolean;
  readonly marks: readonly string[];
}

/** Takes every message that waits in the write queue out of it. */
async function takeAll({ prefix }: TestHost, { channel }: PlainCaller): Promise<readonly Waiting[]> {
  const taken: Waiting[] = [];
  for (;;) {
    const message = await channel.get(`${prefix}.req.notes.write`, { noAck: true });
    if (message === false) return taken;
    const body = JSON.parse(message.content.toString('utf8')) as unknown;
    const requests = (Array.isArray(body) ? body : [body]) as { readonly payload: { readonly mark: string } }[];
    taken.push({ redelivered: message.fields.redelivered, marks: requests.map(({ payload }) => payload.mark) });
  }
}

/** Answered writes are there once; those that waited, or came later, not at all. */
async function assertCounts({ dba }: TestHost, load: Load): Promise<void> {
  const [rows] = await dba.query<RowDataPacket[]>(
    `SELECT mark, COUNT(*) AS count FROM note WHERE mark LIKE 'load-%' GROUP BY mark`,
  );
  const counts = new Map(rows.map((row) => [row['mark'] as string, Number(row['count'])]));
  const creates = load.asked.filter(({ op }) => op === 'create');
  for (const { mark, failure } of creates) {
    assert.equal(counts.get(mark) ?? 0, failure === undefined ? 1 : 0, `${mark}: ${failure ?? 'ok'}`);
  }
}
