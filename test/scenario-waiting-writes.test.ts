import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReplyEnvelope } from '#sdk/template';
import type { ConsumeMessage } from 'amqplib';
import { MongoClient } from 'mongodb';
import type { RowDataPacket } from 'mysql2';
import { askNodes } from '../host/admin/client.js';
import type { NodeStatus } from '../host/admin/views.js';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost, type TestHostOptions } from './support/host.js';
import type { Entry } from './support/mongodb-store.js';
import { notesBundle } from './support/notes-domain.js';
import { envelope, PlainCaller, type PlainMessage } from './support/plain-caller.js';
import { lastFirst, privateServices, type Teardown } from './support/services.js';

const services = await privateServices({ after }, ['rabbitmq', 'mariadb', 'mongodb']);
const { rabbitmq, mariadb, mongodb } = services;
assert.ok(rabbitmq && mariadb);

async function serveNotes(t: Teardown, config: TestHostOptions['config'] = {}): Promise<TestHost> {
  const host = await startTestHost(t, { services, config });
  await writeBundle(host.pluginsDirectory, notesBundle());
  await host.active('notes', '1.0.0');
  return host;
}

/** Until the test starts it, or ends: other tests need it, and so does what takes this one's database away. */
async function stopDatabase(t: Teardown): Promise<void> {
  assert.ok(mariadb);
  lastFirst(t, () => mariadb.start());
  await mariadb.stop();
}

function writes(caller: PlainCaller, marks: readonly string[], properties: object = {}): void {
  for (const mark of marks) {
    const body = envelope('create', { id: mark, payload: { text: 'waits', mark } });
    caller.send({ routingKey: 'notes.create', body, properties: { persistent: true, ...properties } });
  }
}

function marksOf(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}

async function status(host: TestHost, t: { readonly signal: AbortSignal }): Promise<NodeStatus> {
  const [answer] = await askNodes('status', {}, { ...host.config.amqp, timeoutMs: 2_000, signal: t.signal });
  assert.ok(answer);
  return answer.result;
}

/** Writes that the threads hold. */
async function held(host: TestHost, t: { readonly signal: AbortSignal }): Promise<number> {
  const { threads } = await status(host, t);
  const counts = threads.flatMap((thread) => thread.status?.waitingWrites ?? []);
  return counts.reduce((sum, { count }) => sum + count, 0);
}

/** How many rows have each mark. */
async function rowsOf(host: TestHost): Promise<ReadonlyMap<string, number>> {
  const [rows] = await host.dba.query<RowDataPacket[]>('SELECT mark, COUNT(*) AS count FROM note GROUP BY mark');
  return new Map(rows.map((row) => [row['mark'] as string, Number(row['count'])]));
}

async function assertOnce(host: TestHost, marks: readonly string[]): Promise<void> {
  const missing = async (): Promise<readonly string[]> => {
    const rows = await rowsOf(host);
    return marks.filter((mark) => !rows.has(mark));
  };
  try {
    await eventually('all rows are there', async () => (await missing()).length === 0, 20_000);
  } catch (error) {
    const dead = (await deadLetters(host)).map(({ properties }) => JSON.stringify(properties.headers));
    assert.fail(`${String(error)}; missing: ${String(await missing())}; dead letters: ${dead.join('\n')}`);
  }
  assert.deepEqual([...(await rowsOf(host))].sort(), marks.map((mark): [string, number] => [mark, 1]).sort());
}

/** Takes what lies in the queue of dead letters. */
function deadLetters(host: TestHost): Promise<readonly ConsumeMessage[]> {
  return takeAll(host, `${host.prefix}.dead`);
}

async function takeAll(host: TestHost, queue: string): Promise<readonly ConsumeMessage[]> {
  const channel = await host.plainChannel();
  const taken: ConsumeMessage[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return taken;
    taken.push(message as unknown as ConsumeMessage);
  }
}

function idsOf(messages: readonly ConsumeMessage[]): readonly string[] {
  return messages.map(({ content }) => (JSON.parse(content.toString()) as { readonly id: string }).id);
}

async function eventuallyDead(host: TestHost, count: number): Promise<readonly ConsumeMessage[]> {
  const taken: ConsumeMessage[] = [];
  await eventually(`${count} dead letters`, async () => {
    taken.push(...(await deadLetters(host)));
    return taken.length >= count;
  });
  return taken;
}

/** Ends the connections of the host's account. */
async function killSessions(host: TestHost): Promise<void> {
  await host.dba.query(`KILL HARD CONNECTION USER '${host.prefix}'`).catch(() => undefined);
}

/** Needs no database for the mark `quick`. */
const MAYBE_CREATE = `
  if (payload.mark === 'quick') return { mark: 'quick' };
  return ctx.call('create', { text: payload.text, mark: payload.mark ?? null });`;

describe('writes whose store is away', () => {
  it('are kept while the database is down, said so, and all there once when it is back', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    const marks = marksOf('away', 100);
    writes(caller, marks);
    await eventually('all are held', async () => (await held(host, t)) === 100);
    await host.logged(
      'the wait',
      ({ msg, level }) => msg === 'writes of notes wait for store main' && level === 'warn',
    );
    await mariadb.start();
    await assertOnce(host, marks);
    await host.logged('the end of the wait', ({ msg }) => msg === 'writes of notes go on');
    await eventually('none is held', async () => (await held(host, t)) === 0);
    assert.deepEqual(await deadLetters(host), []);
  });

  it('are shown by `beds status` and counted by the metrics, and reads are answered at once meanwhile', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    writes(caller, marksOf('shown', 3));
    await eventually('all are held', async () => (await held(host, t)) === 3);
    const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
    const shown = await beds(['status'], { env });
    assert.equal(shown.code, 1);
    assert.match(shown.stdout, /3 writes wait for store main, BEDS_STORE_UNAVAILABLE/);
    const metrics = await beds(['metrics'], { env });
    assert.match(metrics.stdout, /beds_writes_waiting\{[^}]*domain="notes"[^}]*\} 3/);
    const askedAtMs = performance.now();
    const reply = await caller.ask({ routingKey: 'notes.fetch', body: envelope('fetch') });
    assert.equal(reply.ok ? '' : reply.error.code, 'BEDS_STORE_UNAVAILABLE');
    assert.ok(performance.now() - askedAtMs < 2_000);
    await mariadb.start();
    await assertOnce(host, marksOf('shown', 3));
  });

  it('are answered before their deadline, and without reply-to kept with the reason when it has passed', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    const meta = { client: 'test', deadlineMs: 1_500 };
    const body = envelope('create', { payload: { text: 'late', mark: 'late' }, meta });
    const askedAtMs = performance.now();
    const [byMeta, byExpiration] = await Promise.all([
      caller.ask({ routingKey: 'notes.create', body }),
      caller.ask({ routingKey: 'notes.create', body: { ...body, meta: undefined }, properties: { expiration: 1_500 } }),
    ]);
    const tookMs = performance.now() - askedAtMs;
    for (const reply of [byMeta, byExpiration]) {
      assert.ok(!reply.ok);
      assert.deepEqual([reply.error.code, reply.error.retryable], ['BEDS_STORE_UNAVAILABLE', true]);
    }
    assert.ok(tookMs > 800 && tookMs < 3_000, `answered after ${tookMs} ms`);
    caller.send({
      routingKey: 'notes.create',
      body,
      properties: { persistent: true, messageId: 'm1', headers: { own: 'kept' } },
    });
    const letters = await eventuallyDead(host, 1);
    const { content, properties } = letters[0] ?? assert.fail();
    assert.deepEqual(JSON.parse(content.toString()), body);
    assert.equal(properties.messageId, 'm1');
    const {
      'beds-reason': reason,
      'beds-domain': domain,
      'beds-operation': operation,
      ...more
    } = properties.headers ?? {};
    assert.deepEqual([reason, domain, operation], ['BEDS_STORE_UNAVAILABLE', 'notes', 'create']);
    assert.equal(more['own'], 'kept');
    assert.ok(Date.parse(String(more['beds-since'])) > Date.now() - 10_000);
    await mariadb.start();
    await host.logged('the end of the wait', ({ msg }) => msg === 'writes of notes go on');
    assert.deepEqual([...(await rowsOf(host)).keys()], [], 'what was answered or kept is not carried out');
  });

  it('of a batch hold up no other request of it, and are carried out or kept one by one', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle({ body: { createRecord: MAYBE_CREATE } }));
    await host.active('notes', '1.0.0');
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    const request = (mark: string, deadlineMs: number): object =>
      envelope('create', { id: mark, payload: { text: 'batch', mark }, meta: { client: 'test', deadlineMs } });
    const answered = caller.ask<readonly ReplyEnvelope[]>(
      {
        routingKey: 'notes.create',
        body: [request('quick', 60_000), request('short', 4_000), request('long', 60_000)],
      },
      30_000,
    );
    caller.send({
      routingKey: 'notes.create',
      body: [request('quick', 60_000), request('dies', 4_000), request('lives', 60_000)],
      properties: { persistent: true },
    });
    await eventually('all that need the database are held', async () => (await held(host, t)) === 4);
    await eventually('the short ones are given up', async () => (await held(host, t)) === 2);
    await mariadb.start();
    const replies = await answered;
    assert.deepEqual(
      replies.map((reply) => [reply.id, reply.ok ? '' : reply.error.code]),
      [
        ['quick', ''],
        ['short', 'BEDS_STORE_UNAVAILABLE'],
        ['long', ''],
      ],
    );
    await assertOnce(host, ['long', 'lives']);
    const [letter] = await eventuallyDead(host, 1);
    const left = JSON.parse(String(letter?.content)) as readonly { readonly id: string }[];
    assert.deepEqual(
      left.map(({ id }) => id),
      ['dies'],
    );
  });

  it('go back into their queue when the host stops, and the next start carries them out', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host, 'queue');
    await stopDatabase(t);
    const marks = marksOf('stopped', 40);
    writes(caller, marks.slice(0, 20));
    const batch = marks.slice(20, 39).map((mark) => envelope('create', { id: mark, payload: { text: 'batch', mark } }));
    caller.send({ routingKey: 'notes.create', body: batch, properties: { persistent: true } });
    const body = envelope('create', { id: 'stopped-39', payload: { text: 'asked', mark: 'stopped-39' } });
    const asked = caller.ask({ routingKey: 'notes.create', body }, 40_000);
    await eventually('all are held', async () => (await held(host, t)) === 40);
    const stoppedAtMs = performance.now();
    await host.host.stop();
    assert.ok(performance.now() - stoppedAtMs < 5_000, 'the stop waits for no store');
    await mariadb.start();
    await host.startAgain();
    await assertOnce(host, marks);
    assert.equal((await asked).ok, true);
    assert.deepEqual(await deadLetters(host), []);
  });

  it('go back once and unmarked, although a thread is busy when the host stops: none is handed what another gave back', async (t) => {
    const host = await startTestHost(t, { services, config: { threads: { default: { count: 4 } } } });
    const args = { ms: { type: 'integer' } } as const;
    const run = 'const endsAt = Date.now() + input.ms; while (Date.now() < endsAt); return 1;';
    await writeBundle(host.pluginsDirectory, notesBundle({ operations: { block: { mode: 'read', args, run } } }));
    await host.active('notes', '1.0.0');
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    const marks = marksOf('handed', 100);
    writes(caller, marks);
    await eventually('all are held', async () => (await held(host, t)) === 100);
    const { threads } = await status(host, t);
    const holding = threads.filter((thread) => thread.status?.waitingWrites.some(({ count }) => count > 0));
    caller.send({ routingKey: 'notes.block', body: envelope('block', { payload: { ms: 1_000 } }) });
    await host.host.stop();
    const left = await takeAll(host, `${host.prefix}.req.notes.write`);
    assert.deepEqual(idsOf(left).toSorted(), marks.toSorted(), 'each is there once');
    assert.deepEqual(idsOf(left.filter(({ fields }) => fields.redelivered)), [], 'none was delivered before');
    const firsts = left.filter(({ properties }) => properties.headers?.['beds-hand-over'] === 1);
    assert.equal(firsts.length, holding.length, 'what a thread gave back first is what is there');
    assert.deepEqual(await deadLetters(host), []);
  });

  it('go back into their queue before RabbitMQ loses patience, and are carried out once', async (t) => {
    const host = await serveNotes(t, { limits: { holdWritesMs: 700 } });
    const caller = await PlainCaller.open(host);
    await stopDatabase(t);
    const marks = marksOf('given-back', 20);
    writes(caller, marks);
    const body = envelope('create', {
      id: 'x',
      payload: { text: 'asked', mark: 'bounded' },
      meta: { client: 'test', deadlineMs: 2_500 },
    });
    const askedAtMs = performance.now();
    const reply = await caller.ask({ routingKey: 'notes.create', body });
    assert.equal(reply.ok ? '' : reply.error.code, 'BEDS_STORE_UNAVAILABLE');
    const tookMs = performance.now() - askedAtMs;
    assert.ok(tookMs > 1_500 && tookMs < 4_000, `a deadline runs on while its write goes back: ${tookMs} ms`);
    await mariadb.start();
    await assertOnce(host, marks);
    assert.deepEqual(await deadLetters(host), []);
  });

  it('wait as well while the account is not let in, or the server takes no writes', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    const out = marksOf('locked-out', 20);
    await host.dba.query(`ALTER USER '${host.prefix}'@'%' ACCOUNT LOCK`);
    await killSessions(host);
    writes(caller, out);
    await eventually('all are held', async () => (await held(host, t)) === 20);
    await host.dba.query(`ALTER USER '${host.prefix}'@'%' ACCOUNT UNLOCK`);
    await assertOnce(host, out);
    const readOnly = marksOf('read-only', 20);
    await host.dba.query('SET GLOBAL read_only = 1');
    try {
      writes(caller, readOnly);
      await eventually('all are held', async () => (await held(host, t)) === 20);
    } finally {
      await host.dba.query('SET GLOBAL read_only = 0');
    }
    await assertOnce(host, [...out, ...readOnly]);
    assert.deepEqual(await deadLetters(host), []);
  });

  it('lie in their queue while a host starts without its database', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    await host.host.stop();
    await stopDatabase(t);
    const marks = marksOf('early', 20);
    writes(caller, marks);
    await host.startAgain();
    await mariadb.start();
    await assertOnce(host, marks);
    assert.deepEqual(await deadLetters(host), []);
  });

  it('are saved once, or are kept as indeterminate, when the database hangs under them', async (t) => {
    const host = await serveNotes(t, { limits: { defaultDeadlineMs: 4_000 } });
    const caller = await PlainCaller.open(host);
    await assertOnce(host, warmUp(caller));
    const { pid } = mariadb;
    assert.ok(pid !== undefined);
    const marks = marksOf('frozen', 60);
    process.kill(pid, 'SIGSTOP');
    try {
      writes(caller, marks);
      await eventually('most are held', async () => (await held(host, t)) > 30, 15_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const letters = await assertNoneLost(host, t, marks);
    for (const reason of letters.values()) assert.match(reason, /INDETERMINATE|DEADLINE_EXCEEDED|TIMEOUT/);
  });

  it('are there once, or are kept as in doubt, when RabbitMQ restarts while they wait', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    // RabbitMQ 3.10 can lose a quorum queue that was declared just before it ends.
    await delay(2_000);
    await stopDatabase(t);
    const marks = marksOf('both', 20);
    writes(caller, marks);
    await eventually('all are held', async () => (await held(host, t)) === 20);
    await rabbitmq.stop();
    await rabbitmq.start();
    await mariadb.start();
    const letters = await assertNoneLost(host, t, marks);
    for (const reason of letters.values()) assert.equal(reason, 'BEDS_REQUEST_INDETERMINATE');
    await eventually('no message is in flight', async () => {
      const { threads } = await status(host, t);
      return threads.every((thread) => thread.status?.brokers.every(({ inFlight }) => inFlight === 0) === true);
    });
  });
});

describe('writes whose MongoDB is away', { skip: mongodb === undefined }, () => {
  it('are kept while it is down, and all there once when it is back', async (t) => {
    assert.ok(mongodb);
    const url = new URL(mongodb.url);
    url.pathname = '/waiting_writes';
    if (url.username !== '' && !url.searchParams.has('authSource')) url.searchParams.set('authSource', 'admin');
    const dba = new MongoClient(url.href);
    t.after(() => dba.close());
    for (const entry of TASK_OBJECTS) await dba.db().collection<Entry>('beds_objects').insertOne(entry);
    const stores = { documents: { kind: 'mongodb', url: url.href, connectTimeoutMs: 1_000 } };
    const host = await startTestHost(t, { services, config: { stores } });
    await writeBundle(host.pluginsDirectory, {
      ...{ domain: 'tasks', store: 'documents', form: 'file', name: 'tasks.mjs' },
      objects: {
        create: { kind: 'procedure', name: 'task_create', args: { text: { type: 'string' } } },
        fetch: { kind: 'view', name: 'task_list', columns: { id: { type: 'string' }, text: { type: 'string' } } },
      },
      body: { createRecord: `await ctx.call('create', { text: payload.text }); return { text: payload.text };` },
    });
    await host.active('tasks', '1.0.0');
    const caller = await PlainCaller.open(host);
    await mongodb.kill();
    const texts = marksOf('document', 40);
    for (const text of texts) {
      const body = envelope('create', { id: text, domain: 'tasks', payload: { text } });
      caller.send({ routingKey: 'tasks.create', body, properties: { persistent: true } });
    }
    await eventually('all are held', async () => (await held(host, t)) === 40, 20_000);
    await mongodb.start();
    const stored = async (): Promise<readonly string[]> =>
      (await dba.db().collection('task').find().toArray()).map(({ text }) => String(text));
    await eventually('all are there', async () => (await stored().catch(() => [])).length >= 40, 20_000);
    await eventually('none is held', async () => (await held(host, t)) === 0);
    assert.deepEqual([...(await stored())].sort(), [...texts].sort());
    assert.deepEqual(await deadLetters(host), []);
  });
});

const TASK_OBJECTS: readonly Entry[] = [
  {
    ...{ _id: 'task_create', kind: 'procedure', on: 'task', op: 'insertOne', args: { text: 'string' } },
    body: { document: { text: { $arg: 'text' } } },
  },
  {
    ...{ _id: 'task_list', kind: 'view', on: 'task', body: { pipeline: [] } },
    columns: { id: { type: 'string', as: 'objectId', from: '_id' }, text: 'string' },
  },
];

describe('a message without reply-to that is not carried out', () => {
  const CASES: readonly (readonly [what: string, reason: string, message: PlainMessage])[] = [
    [
      'for a domain that is not there',
      'UNKNOWN_DOMAIN',
      { routingKey: 'no.create', body: envelope('create', { domain: 'no' }) },
    ],
    [
      'for an operation that is not there',
      'UNKNOWN_OPERATION',
      { routingKey: 'notes.nothing', body: envelope('nothing') },
    ],
    ['with wrong input', 'INVALID', { routingKey: 'notes.create', body: envelope('create', { payload: {} }) }],
    ['that is no envelope', 'MALFORMED', { routingKey: 'notes.create', body: 'no JSON' }],
    [
      'with an address that is refused',
      'REPLY_TO',
      { routingKey: 'notes.create', body: envelope('create'), properties: { replyTo: 'my-replies' } },
    ],
  ];
  for (const [what, reason, message] of CASES) {
    it(`is kept with the reason when it is one ${what}`, async (t) => {
      const host = await serveNotes(t);
      const caller = await PlainCaller.open(host);
      caller.send(message);
      const [letter] = await eventuallyDead(host, 1);
      assert.match(String(letter?.properties.headers?.['beds-reason']), new RegExp(`^BEDS_REQUEST_${reason}$`));
      assert.equal(letter?.fields.routingKey, message.routingKey);
    });
  }

  it('is not kept when it is a read', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    caller.send({ routingKey: 'notes.fetch', body: envelope('fetch', { query: { limit: 1_000_000 } }) });
    caller.send({ routingKey: 'notes.create', body: envelope('create', { payload: {} }) });
    const letters = await eventuallyDead(host, 1);
    assert.deepEqual(
      letters.map(({ fields }) => fields.routingKey),
      ['notes.create'],
    );
  });
});

/** Opens connections of every thread to the database. */
function warmUp(caller: PlainCaller): readonly string[] {
  const marks = marksOf('warm', 40);
  writes(caller, marks);
  return marks;
}

/** Every write has one row, or is a dead letter; resolves to the reasons of those, by mark. */
async function assertNoneLost(
  host: TestHost,
  t: { readonly signal: AbortSignal },
  marks: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const letters = new Map<string, string>();
  let rows: ReadonlyMap<string, number> = new Map();
  await eventually(
    'every write has a row or is a dead letter',
    async () => {
      for (const { content, properties } of await deadLetters(host)) {
        const { id } = JSON.parse(content.toString()) as { readonly id: string };
        letters.set(id, String(properties.headers?.['beds-reason']));
      }
      rows = await rowsOf(host);
      return marks.every((mark) => rows.has(mark) || letters.has(mark));
    },
    30_000,
  );
  await eventually('none is held', async () => (await held(host, t)) === 0);
  rows = await rowsOf(host);
  assert.deepEqual(
    [...rows].filter(([, count]) => count !== 1),
    [],
  );
  return letters;
}
