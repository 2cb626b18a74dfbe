import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { connect, type Channel, type ConsumeMessage, type Options } from 'amqplib';
import { DeadLetterDesk } from '../host/admin/dead-letters.js';
import { makeNames, type Names } from '../host/amqp/names.js';
import { configSchema } from '../host/config/schema.js';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { ChaosProxy } from './support/chaos-proxy.js';
import { openNodes } from './support/admin-nodes.js';
import { eventually, startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { envelope, PlainCaller } from './support/plain-caller.js';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';
import type { DeadLetterView } from '../host/admin/shown.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const url = services.rabbitmq?.url ?? '';

interface Stand {
  readonly names: Names;
  readonly channel: Channel;
  desk(options?: { readonly url?: string; readonly callers?: Readonly<Record<string, unknown>> }): DeadLetterDesk;
  put(properties?: Options.Publish, body?: unknown, routingKey?: string): void;
  /** What the request exchange was given, so far. */
  readonly sent: ConsumeMessage[];
  count(): Promise<number>;
  /** What the request exchange delivers from now on. */
  rebind(pattern: string): Promise<void>;
}

type QueueType = 'classic' | 'quorum';

async function openStand(t: Teardown, type: QueueType = 'classic'): Promise<Stand> {
  const model = await connect(url);
  const names = makeNames(`l${randomBytes(5).toString('hex')}`);
  const channel = await model.createChannel();
  await channel.assertExchange(names.dead, 'fanout', { durable: true });
  await channel.assertQueue(names.dead, { durable: true, arguments: { 'x-queue-type': type } });
  await channel.bindQueue(names.dead, names.dead, '');
  await channel.assertExchange(names.requests, 'topic', { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, names.requests, '#');
  const sent: ConsumeMessage[] = [];
  await channel.consume(queue, (message) => message && sent.push(message), { noAck: true });
  lastFirst(t, async () => {
    await channel.deleteQueue(names.dead);
    for (const exchange of [names.dead, names.requests]) await channel.deleteExchange(exchange);
    await model.close();
  });
  return {
    ...{ names, channel, sent },
    desk: ({ url: through = url, callers = {} } = {}) => {
      const config = configSchema.parse({ amqp: { url: through, prefix: names.prefix }, callers });
      return new DeadLetterDesk({ node: 'n', config });
    },
    put: (properties = {}, body = {}, routingKey = 'notes.create') => {
      const content = typeof body === 'string' ? body : JSON.stringify(body);
      channel.publish(names.dead, routingKey, Buffer.from(content), { persistent: true, ...properties });
    },
    count: async () => (await channel.checkQueue(names.dead)).messageCount,
    rebind: async (pattern) => {
      await channel.unbindQueue(queue, names.requests, '#');
      await channel.bindQueue(queue, names.requests, pattern);
    },
  };
}

/** Letters of two kinds, numbered. */
function fill({ put }: Stand, count: number): void {
  for (let place = 0; place < count; place += 1) {
    const reason = place % 3 === 0 ? 'BEDS_STORE_INDETERMINATE' : 'BEDS_REQUEST_INVALID';
    const domain = place % 2 === 0 ? 'notes' : 'tasks';
    const headers = { 'beds-reason': reason, 'beds-message': 'why', 'beds-since': '2026-01-01T00:00:00.000Z' };
    const meta = { sentAt: 1_700_000_000_000, deadlineMs: 500, session: 'a-token' };
    const request = { v: 1, id: `r-${place}`, domain, op: 'create', payload: { place, password: 'pw' }, meta };
    put({ headers, correlationId: `c-${place}`, replyTo: 'gone', expiration: '3600000' }, request, `${domain}.create`);
  }
}

const soon = (ms = 20_000): number => performance.now() + ms;
const all = { limit: 500, untilMs: 0 };

async function listed(desk: DeadLetterDesk, filter = {}): Promise<readonly DeadLetterView[]> {
  return (await desk.list(filter, { ...all, untilMs: soon() })).letters;
}

const idsOf = (letters: readonly DeadLetterView[]): readonly string[] => letters.map(({ id }) => id);

function bodyOf({ content }: ConsumeMessage): {
  readonly id: string;
  readonly meta: Readonly<Record<string, unknown>>;
} {
  return JSON.parse(content.toString()) as ReturnType<typeof bodyOf>;
}

for (const type of ['classic', 'quorum'] as const) {
  describe(`dead letters in a ${type} queue`, () => {
    it('are listed with their reasons, in their order, and stay where they are', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 30);
      await eventually('the letters', async () => (await stand.count()) === 30);
      const first = await stand.desk().list({}, { limit: 500, untilMs: soon() });
      assert.deepEqual([first.total, first.seen, first.matching, first.letters.length], [30, 30, 30, 30]);
      assert.equal(new Set(idsOf(first.letters)).size, 30);
      const { id: _, bytes, ...view } = first.letters[0] as DeadLetterView;
      assert.ok(bytes > 50);
      assert.deepEqual(view, {
        ...{ domain: 'notes', operation: 'create', reason: 'BEDS_STORE_INDETERMINATE', message: 'why' },
        ...{ since: '2026-01-01T00:00:00.000Z', resent: 0, caution: 'may-have-run' },
      });
      assert.equal(
        first.kinds.reduce((sum, { count }) => sum + count, 0),
        30,
      );
      const some = await stand
        .desk()
        .list({ domain: 'tasks', reason: 'BEDS_REQUEST_INVALID' }, { limit: 2, untilMs: soon() });
      assert.deepEqual([some.matching, some.letters.length], [10, 2]);
      const rest = await stand
        .desk()
        .list(
          { domain: 'tasks', reason: 'BEDS_REQUEST_INVALID' },
          { limit: 500, after: some.letters[1]?.id, untilMs: soon() },
        );
      assert.equal(rest.letters.length, 8);
      assert.deepEqual(idsOf(await listed(stand.desk())), idsOf(first.letters));
      await eventually('all are there', async () => (await stand.count()) === 30);
    });

    it('are none the fewer for being looked at again and again', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 4);
      await eventually('the letters', async () => (await stand.count()) === 4);
      const before = idsOf(await listed(stand.desk()));
      for (let look = 0; look < 30; look += 1) await stand.desk().look(before[3] ?? '', soon());
      const after = await listed(stand.desk());
      assert.deepEqual(idsOf(after), before);
      assert.deepEqual(
        after.map(({ domain }) => domain),
        ['notes', 'tasks', 'notes', 'tasks'],
      );
    });

    it('are sent again as if they were made now, for nobody who waits', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 12);
      await eventually('the letters', async () => (await stand.count()) === 12);
      const before = await listed(stand.desk());
      const startedAt = Date.now();
      const outcome = await stand.desk().resend({ domain: 'notes', most: 4 }, soon());
      assert.deepEqual([outcome.done.length, outcome.refused.length, outcome.doubtful], [4, 0, 0]);
      await eventually('the requests', () => stand.sent.length === 4);
      assert.deepEqual(
        stand.sent.map((message) => bodyOf(message).id),
        ['r-0', 'r-2', 'r-4', 'r-6'],
      );
      const [message] = stand.sent as [ConsumeMessage];
      const { meta } = bodyOf(message);
      assert.equal(message.fields.routingKey, 'notes.create');
      assert.ok((meta['sentAt'] as number) >= startedAt);
      assert.deepEqual(
        { ...meta, sentAt: 0 },
        { sentAt: 0, deadlineMs: 500, session: 'a-token', idempotencyKey: `dead-${before[0]?.id}` },
      );
      const { headers, replyTo, expiration, correlationId, messageId } = message.properties as unknown as Readonly<
        Record<string, unknown>
      >;
      assert.deepEqual([replyTo, expiration, correlationId, messageId], [undefined, undefined, 'c-0', before[0]?.id]);
      assert.deepEqual(headers, { 'beds-letter': before[0]?.id, 'beds-resent': 1 });
      const left = await listed(stand.desk());
      const gone = new Set(idsOf(outcome.done));
      assert.deepEqual(
        idsOf(left),
        idsOf(before).filter((id) => !gone.has(id)),
      );
    });

    it('are dropped by id, and by what they have in common, and no other is', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 12);
      await eventually('the letters', async () => (await stand.count()) === 12);
      const before = idsOf(await listed(stand.desk()));
      const third = before[2] ?? '';
      assert.equal((await stand.desk().drop({ ids: [third], most: 1 }, soon())).done[0]?.id, third);
      await assert.rejects(stand.desk().drop({ ids: [third], most: 1 }, soon()), { code: 'BEDS_ADMIN_LETTER_UNKNOWN' });
      await assert.rejects(stand.desk().look(third, soon()), { code: 'BEDS_ADMIN_LETTER_UNKNOWN' });
      const byReason = await stand.desk().drop({ reason: 'BEDS_REQUEST_INVALID', most: 100 }, soon());
      assert.equal(byReason.done.length, 7);
      assert.deepEqual(
        (await listed(stand.desk())).map(({ reason }) => reason),
        Array.from({ length: 4 }, () => 'BEDS_STORE_INDETERMINATE'),
      );
    });

    it('are each sent once by two operators at once', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 200);
      await eventually('the letters', async () => (await stand.count()) === 200);
      const outcomes = await Promise.all([1, 2, 3].map(() => stand.desk().resend({ most: 120 }, soon(30_000))));
      assert.deepEqual(
        outcomes.map(({ done }) => done.length).toSorted((a, b) => b - a),
        [120, 80, 0],
      );
      await eventually('the requests', () => stand.sent.length === 200);
      assert.equal(new Set(stand.sent.map((message) => bodyOf(message).id)).size, 200);
      await eventually('none is left', async () => (await stand.count()) === 0);
    });

    it('are neither lost nor doubled without a mark when the host dies in the middle', async (t) => {
      const stand = await openStand(t, type);
      fill(stand, 60);
      await eventually('the letters', async () => (await stand.count()) === 60);
      const target = new URL(url);
      const proxy = await ChaosProxy.start({ host: target.hostname, port: Number(target.port || 5672) });
      lastFirst(t, () => proxy.close());
      let cuts = 0;
      for (const cutAfterBytes of [4_000, 12_000, 20_000, 24_000, 28_000, 32_000]) {
        proxy.misbehave({ cutAfterBytes });
        const order = stand.desk({ url: proxy.through(url) }).resend({ most: 60 }, soon(5_000));
        await order.then(
          () => undefined,
          () => (cuts += 1),
        );
      }
      assert.ok(cuts > 0, 'no connection was cut');
      proxy.misbehave({});
      const rest = await stand.desk().resend({ most: 60 }, soon());
      assert.equal(rest.refused.length, 0);
      await eventually('none is left', async () => (await stand.count()) === 0);
      const marks = new Map<string, unknown>();
      for (const copy of stand.sent) {
        const { id, meta } = bodyOf(copy);
        const mark = [copy.properties.headers?.['beds-letter'], meta['idempotencyKey']];
        assert.deepEqual(mark, marks.get(id) ?? mark);
        marks.set(id, mark);
      }
      assert.equal(marks.size, 60, 'each was sent');
    });
  });
}

describe('a dead letter', () => {
  it('is shown without tokens and passwords, and never as a whole novel', async (t) => {
    const stand = await openStand(t);
    const secrets = { authorization_token: 'secret-1', 'beds-session': 'secret-6' };
    const headers = { 'beds-reason': 'X', ...secrets, note: 'n'.repeat(5_000) };
    const payload = { name: 'Ann', newPassword: 'secret-2', deep: [{ refresh: 'secret-3' }], long: 'x'.repeat(40_000) };
    stand.put({ headers }, [{ v: 1, id: '1', domain: 'notes', op: 'create', payload, meta: { session: 'secret-4' } }]);
    stand.put({ headers: {} }, 'garbage {"password": "secret-5"');
    await eventually('the letters', async () => (await stand.count()) === 2);
    const [first, second] = await listed(stand.desk());
    const detail = await stand.desk().look(first?.id ?? '', soon());
    const text = JSON.stringify(detail);
    assert.doesNotMatch(text, /secret-/);
    assert.match(detail.body, /"name":"Ann"/);
    assert.ok(detail.isCut && detail.body.length <= 16_384 && text.length < 25_000, String(text.length));
    assert.doesNotMatch(JSON.stringify(await stand.desk().look(second?.id ?? '', soon())), /secret-/);
    assert.equal(second?.caution, 'unreadable');
  });

  it('is shown without what stands in the place of a name, or is a token in any other place', async (t) => {
    const stand = await openStand(t);
    const token = `bs_${'secret-'.repeat(6)}1`;
    const jwt = `eyJhbGciOiJub25lIn0.${'secret-'.repeat(3)}.secret-2`;
    const payload = {
      ...{ old: 'secret-3', pwd: 'secret-4', note: `see /?x=${token}`, 'correct horse secret-5': 1 },
      ...{ deep: [{ 'another secret-6': { kept: true } }], where: { device: jwt } },
    };
    const headers = { 'a name that is secret-7': 1, other: `Bearer ${jwt}`, authorization: 'Basic secret-8' };
    stand.put({ headers }, { v: 1, id: '1', domain: 'users', op: 'changePassword', payload });
    stand.put({ headers: {} }, `{"v":1, ${token} ${jwt}`);
    await eventually('the letters', async () => (await stand.count()) === 2);
    const shown = await Promise.all((await listed(stand.desk())).map(({ id }) => stand.desk().look(id, soon())));
    assert.doesNotMatch(JSON.stringify(shown), /secret-/);
    assert.match(shown[0]?.body ?? '', /"note":"see \/\?x=\[hidden\]".*"kept":true/);
  });

  it('is shown however deep or large it is, and nothing of what it hides is shown for that', async (t) => {
    const stand = await openStand(t);
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    stand.put({}, `{"name":"deep","password":"secret-6","list":${deep}}`);
    stand.put({}, `{"name":"large","more":"${'x'.repeat(3_000_000)}","password":"secret-7"}`);
    stand.put({}, `{"name":"early","token":"secret-8","more":"${'x'.repeat(3_000_000)}"}`);
    await eventually('the letters', async () => (await stand.count()) === 3);
    for (const { id } of await listed(stand.desk())) {
      const { body } = await stand.desk().look(id, soon());
      assert.match(body, /^\{"name":"(deep|large|early)"/);
      assert.doesNotMatch(body, /secret-/);
      assert.ok(body.length <= 16_384);
    }
  });

  it('that no queue takes any more stays, and that is said', async (t) => {
    const stand = await openStand(t);
    stand.put({}, { v: 1, id: '1', domain: 'notes', op: 'create' });
    stand.put({}, { v: 1, id: '2', domain: 'tasks', op: 'create' }, 'tasks.create');
    await eventually('the letters', async () => (await stand.count()) === 2);
    await stand.rebind('tasks.*');
    const { done, refused, doubtful } = await stand.desk().resend({ most: 2 }, soon());
    assert.deepEqual([done.map(({ domain }) => domain), doubtful], [['tasks'], 0]);
    assert.deepEqual(
      refused.map(({ letter, why }) => [letter.domain, why]),
      [['notes', 'no queue takes what has its routing key']],
    );
    assert.deepEqual(
      (await listed(stand.desk())).map(({ domain }) => domain),
      ['notes'],
    );
  });

  it('that would be refused again, or be taken for what a host asks, is not sent again', async (t) => {
    const stand = await openStand(t);
    const request = { v: 1, id: '1', domain: 'notes', op: 'create' };
    const forged = { 'beds-user': 'shop', 'x-death': [{ reason: 'expired', queue: 'q', count: 1 }] };
    stand.put({}, 'no JSON');
    stand.put(
      {},
      `{"v":1,"id":"1","domain":"notes","op":"create","payload":{"deep":${'['.repeat(9_000)}${']'.repeat(9_000)}}}`,
    );
    stand.put({ headers: forged }, request);
    stand.put({ headers: { 'beds-user': 'shop' } }, { ...request, domain: 'salaries' });
    stand.put({}, request, 'beds.req.notes.write');
    stand.put({}, { ...request, meta: { asDomain: 'orders' } });
    stand.put({ headers: { 'beds-user': 'intruder' } }, request);
    const account = decodeURIComponent(new URL(url).username) || 'guest';
    // A copy that a host made, which then expired.
    const death = [{ reason: 'expired', queue: 'q', count: 1 }];
    stand.put({ userId: account, headers: { 'beds-in-name-of': 'intruder', 'x-death': death } }, request);
    stand.put({ headers: { 'beds-user': 'shop' } }, request);
    await eventually('the letters', async () => (await stand.count()) === 9);
    const desk = stand.desk({ callers: { shop: { domains: ['notes'] } } });
    const { done, refused } = await desk.resend({ most: 9 }, soon());
    assert.deepEqual(
      [done.length, refused.map(({ why }) => why)],
      [
        1,
        [
          'it holds no request that a host takes (BEDS_REQUEST_MALFORMED)',
          'it holds no request that a host takes (BEDS_REQUEST_TOO_COMPLEX)',
          'the program that sent it may not call that operation',
          'the program that sent it may not call that operation',
          'its routing key names no operation',
          'a domain asked in its own name, which only the host can that it runs on',
          'the program that sent it may not call that operation',
          'the program that sent it may not call that operation',
        ],
      ],
    );
    await eventually('the request', () => stand.sent.length === 1);
    const { userId, headers } = stand.sent[0]?.properties as {
      readonly userId?: string;
      readonly headers?: Readonly<Record<string, unknown>>;
    };
    assert.deepEqual([userId, headers?.['beds-in-name-of']], [account, 'shop'], 'it may no more than it might before');
    assert.equal(await stand.count(), 8);
  });

  it('that is there twice to the last byte is one of two: an order for one leaves the other', async (t) => {
    const stand = await openStand(t);
    for (let time = 0; time < 2; time += 1) stand.put({}, { v: 1, id: '1', domain: 'notes', op: 'create' });
    await eventually('the letters', async () => (await stand.count()) === 2);
    const [first, second] = await listed(stand.desk());
    assert.equal(first?.id, second?.id);
    await stand.desk().drop({ ids: [first?.id ?? ''], most: 1 }, soon());
    await eventually('one is left', async () => (await stand.count()) === 1);
  });

  for (const type of ['classic', 'quorum'] as const) {
    it(`is waited for while a program consumes its ${type} queue, and that is said`, async (t) => {
      const stand = await openStand(t, type);
      for (const count of [0, 1]) {
        const { consumerTag } = await stand.channel.consume(stand.names.dead, () => undefined);
        const list = stand.desk().list({}, { limit: 1, untilMs: soon(1_000) });
        await assert.rejects(list, { code: 'BEDS_ADMIN_LETTERS_BUSY' });
        const waiting = stand.desk().list({}, { limit: 1, untilMs: soon() });
        await stand.channel.cancel(consumerTag);
        stand.channel.nackAll(true);
        assert.equal((await waiting).seen, count);
        if (count === 0) stand.put();
      }
    });
  }

  it('is one of thousands: they are listed and sent again within seconds', async (t) => {
    const stand = await openStand(t);
    fill(stand, 5_000);
    await eventually('the letters', async () => (await stand.count()) === 5_000);
    const list = await stand.desk().list({ domain: 'tasks' }, { limit: 10, untilMs: soon(60_000) });
    assert.deepEqual([list.seen, list.matching, list.letters.length], [5_000, 2_500, 10]);
    const { done } = await stand.desk().resend({ most: 10_000 }, soon(60_000));
    assert.equal(done.length, 5_000);
    await eventually('the requests', () => stand.sent.length === 5_000);
    assert.equal(new Set(stand.sent.map((message) => bodyOf(message).id)).size, 5_000);
  });
});

describe('`beds dead`', () => {
  it('asks one node of several, and confirms what it is about to do', async (t) => {
    const desks = await openNodes(t, url);
    for (const name of ['n1', 'n2', 'n3']) await desks.add(name);
    const run = (...args: readonly string[]): ReturnType<typeof beds> => beds(args, { env: desks.env });
    assert.match((await run('dead')).stdout, /There are no dead letters/);
    const channel = await desks.model.createChannel();
    const { dead } = makeNames(desks.prefix);
    const request = { v: 1, id: '1', domain: 'notes', op: 'create' };
    for (const id of ['1', '2', '3']) {
      channel.publish(dead, 'notes.create', Buffer.from(JSON.stringify({ ...request, id })), {
        headers: { 'beds-reason': 'BEDS_STORE_FAULT', 'beds-message': 'It broke.' },
      });
    }
    await eventually('the letters', async () => (await channel.checkQueue(dead)).messageCount === 3);
    const list = JSON.parse((await run('dead', '--json')).stdout) as { letters: DeadLetterView[] };
    assert.equal(list.letters.length, 3);
    const [{ id }] = list.letters as [DeadLetterView];
    const shown = await run('dead', 'show', id);
    assert.match(shown.stdout, /BEDS_STORE_FAULT: It broke\./);
    assert.match(shown.stdout, /"id":"1"/);
    const unsure = await run('dead', 'drop', '--reason', 'BEDS_STORE_FAULT');
    assert.match(unsure.stderr, /Drop for good: the oldest 3 letters with BEDS_STORE_FAULT\?/);
    assert.equal((await channel.checkQueue(dead)).messageCount, 3);
    const dropped = await run('dead', 'drop', id, '--yes');
    assert.deepEqual([dropped.code, dropped.stdout], [0, 'n1: 1 letter of notes was dropped.\n']);
    const rest = await run('dead', 'drop', '--domain', 'notes', '--yes', '--node', 'n2');
    assert.deepEqual([rest.code, rest.stdout], [0, 'n2: 2 letters of notes were dropped.\n']);
    assert.match((await run('dead', 'drop', id, '--yes')).stderr, /BEDS_ADMIN_LETTER_UNKNOWN/);
    assert.match((await run('dead', 'resend')).stderr, /Name the letters/);
    await channel.close();
  });

  it('sends a write again whose cause was put right, and it is carried out once', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const caller = await PlainCaller.open(host);
    await host.dba.query('RENAME TABLE note TO note_away');
    const body = envelope('create', { id: 'lost-1', payload: { text: 'kept', mark: 'dead-1' } });
    caller.send({ routingKey: 'notes.create', body, properties: { persistent: true } });
    const run = (...args: readonly string[]): ReturnType<typeof beds> =>
      beds(args, { env: { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix } });
    let letters: readonly DeadLetterView[] = [];
    await eventually('the dead letter', async () => {
      ({ letters } = JSON.parse((await run('dead', '--json')).stdout) as { letters: DeadLetterView[] });
      return letters.length === 1;
    });
    const [letter] = letters as [DeadLetterView];
    assert.deepEqual([letter.domain, letter.operation, letter.deliveries, letter.resent], ['notes', 'create', 1, 0]);
    assert.match(letter.reason, /^BEDS_STORE_/);
    assert.ok(Date.parse(letter.diedAt ?? '') <= Date.now());
    await host.dba.query('RENAME TABLE note_away TO note');
    const sent = await run('dead', 'resend', letter.id, '--yes');
    assert.equal(sent.stdout, `${host.host.node}: 1 letter of notes was sent again.\n`);
    await eventually('the row', async () => {
      const [rows] = await host.dba.query("SELECT COUNT(*) AS n FROM note WHERE mark = 'dead-1'");
      return (rows as unknown as readonly { readonly n: number }[])[0]?.n === 1;
    });
    assert.match((await run('dead')).stdout, /There are no dead letters/);
  });
});
