import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReplyEnvelope } from '#sdk/template';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { askWithPika, installPika } from './support/pika-caller.js';
import { envelope, PlainCaller, type PlainMessage } from './support/plain-caller.js';
import { sharedServices, temporaryDirectory, wholeFile } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** It serves `notes` 1.0.0 to all tests of the file. */
const host = await startTestHost(wholeFile, { services });
await writeBundle(host.pluginsDirectory, notesBundle());
await host.active('notes', '1.0.0');

describe('a running host', () => {
  it('serves a template that is dropped into the plugins directory', async () => {
    const client = await host.connectClient();
    const notes = client.domain('notes');
    const created = (await notes.create({ text: 'first' })) as { id: number };
    assert.equal(typeof created.id, 'number');
    assert.deepEqual(await notes.fetch({ key: created.id }), {
      rows: [{ id: created.id, text: 'first', mark: null, version: 1 }],
    });
    assert.equal(await notes.call('version', {}), '1.0.0');
  });

  it('refuses a page that is longer than the configuration allows, naming the field', async () => {
    const notes = (await host.connectClient()).domain('notes');
    const { maxPageRows } = host.config.limits;
    const none = { mark: 'nobody has it' };
    assert.deepEqual(await notes.fetch({ where: none, limit: maxPageRows }), { rows: [] });
    const refusal = { code: 'BEDS_STORE_QUERY_INVALID', field: 'query.limit' };
    await assert.rejects(notes.fetch({ limit: maxPageRows + 1 }), refusal);
  });

  it('keeps a read from writing through another domain, because reads may be run again', async () => {
    const erase = `return ctx.domain('notes').delete(987654);`;
    const operations = { peek: { mode: 'read', run: erase }, erase: { mode: 'write', run: erase } } as const;
    await writeBundle(
      host.pluginsDirectory,
      notesBundle({ domain: 'tasks', name: 'tasks.mjs', peers: ['notes'], operations }),
    );
    await host.active('tasks', '1.0.0');
    const tasks = (await host.connectClient()).domain('tasks');
    await assert.rejects(tasks.call('peek', {}), { code: 'BEDS_REQUEST_READ_ONLY' });
    assert.deepEqual(await tasks.call('erase', {}), { affected: 0 });
  });

  it('serves an AMQP program without SDK, by direct reply-to and into a queue that the server named', async () => {
    for (const replies of ['direct', 'queue'] as const) {
      const caller = await PlainCaller.open(host, replies);
      const create = {
        routingKey: 'notes.create',
        body: envelope('create', { payload: { text: 'é', mark: replies } }),
      };
      const created = await caller.ask(create);
      assert.ok(created.ok);
      const { id } = created.data as { id: number };
      const { generation, ...by } = created.by;
      assert.ok(Number.isInteger(generation));
      assert.deepEqual(
        { ...created, by },
        {
          ...{ v: 1, id: 'plain-create', ok: true, data: { id, text: 'é', mark: replies } },
          by: { node: host.host.node, domain: 'notes', version: '1.0.0', mode: 'write' },
        },
      );
      const fetched = await caller.ask({ routingKey: 'notes.fetch', body: envelope('fetch', { key: id }) });
      assert.deepEqual(fetched.ok && fetched.data, [{ id, text: 'é', mark: replies, version: 1 }]);
    }
  });

  it('serves a client in Python', { timeout: 150_000 }, async (t) => {
    const pika = await installPika(temporaryDirectory(t));
    if ('whyNot' in pika) {
      t.skip(pika.whyNot);
      return;
    }
    const request = envelope('create', { payload: { text: 'from Python', mark: 'pika' } });
    const call = { url: host.config.amqp.url, exchange: `${host.prefix}.request`, request };
    const { correlationId, reply } = await askWithPika(pika.packages, call);
    assert.equal(correlationId, request.id);
    const { ok, data } = reply as { ok: boolean; data: { text: string; mark: string } };
    assert.equal(ok, true);
    assert.equal(data.text, 'from Python');
  });

  it('answers an array with an array, each request for itself', async () => {
    const caller = await PlainCaller.open(host);
    const body = ['a', 'b', 'c'].map((mark) => envelope('create', { id: mark, payload: { text: `is ${mark}`, mark } }));
    const replies = await caller.ask<readonly ReplyEnvelope[]>({ routingKey: 'notes.create', body });
    assert.deepEqual(
      replies.map((reply) => reply.ok && [reply.id, (reply.data as { mark: string }).mark]),
      [
        ['a', 'a'],
        ['b', 'b'],
        ['c', 'c'],
      ],
    );
  });

  it('says that a domain or an operation is unknown', async () => {
    const caller = await PlainCaller.open(host);
    const unknownDomain = await caller.ask({
      routingKey: 'towns.fetch',
      body: { ...envelope('fetch', { query: {} }), domain: 'towns' },
    });
    assert.equal(codeOf(unknownDomain), 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    assert.equal(unknownDomain.by.version, undefined);
    const unknownOperation = await caller.ask({ routingKey: 'notes.rename', body: envelope('rename') });
    assert.equal(codeOf(unknownOperation), 'BEDS_REQUEST_UNKNOWN_OPERATION');
    assert.equal(unknownOperation.by.version, '1.0.0');
  });

  it('answers a slow request at its deadline, and stops it in the database', async () => {
    const caller = await PlainCaller.open(host);
    const body = envelope('slow', { payload: { ms: 8_000 }, meta: { client: 'plain', deadlineMs: 400 } });
    const startedAt = performance.now();
    const reply = await caller.ask({ routingKey: 'notes.slow', body });
    const tookMs = performance.now() - startedAt;
    // Either the request's own clock or the statement's is first.
    assert.match(codeOf(reply), /^BEDS_(REQUEST_DEADLINE_EXCEEDED|STORE_TIMEOUT)$/);
    assert.ok(!reply.ok && reply.error.status === 'timeout');
    assert.ok(tookMs >= 390 && tookMs < 1_500, `${tookMs} ms`);
    const running = `SELECT id FROM information_schema.processlist WHERE user = ? AND command <> 'Sleep'`;
    await eventually('the database works no longer', async () => {
      const [rows] = await host.dba.query<RowDataPacket[]>(running, [host.prefix]);
      return rows.length === 0;
    });
    assert.ok(performance.now() - startedAt < 4_000);
  });

  it('carries out a write that wants no reply, once', async () => {
    const caller = await PlainCaller.open(host);
    const body = envelope('create', { payload: { text: 'forget me', mark: 'silent' } });
    caller.send({ routingKey: 'notes.create', body });
    await eventually('the row is there', async () => (await rowsMarked(host, 'silent')) > 0);
    await eventually('nothing is left in the queues', () => isEmpty(host, caller));
    assert.equal(await rowsMarked(host, 'silent'), 1);
    assert.equal(await deadLetters(host, caller), 0);
  });

  it('has no right to the base table, only to what the DBA grants', async (t) => {
    const connection = await mysql.createConnection(host.runtimeUrl);
    t.after(() => connection.end());
    await connection.query('SELECT * FROM note_list');
    for (const statement of ['SELECT * FROM note', `INSERT INTO note (text) VALUES ('x')`, 'DELETE FROM note']) {
      await assert.rejects(connection.query(statement), { code: 'ER_TABLEACCESS_DENIED_ERROR' }, statement);
    }
  });
});

interface BadMessage extends PlainMessage {
  readonly what: string;
  /** Undefined: there is nobody to answer. */
  readonly code?: string;
}

const create = envelope('create', { payload: { text: 'never', mark: 'bad' } });

function badMessages(prefix: string): readonly BadMessage[] {
  const toCreate = { routingKey: 'notes.create', body: create };
  const malformed = { routingKey: 'notes.create', code: 'BEDS_REQUEST_MALFORMED' };
  return [
    { ...malformed, what: 'no JSON', body: '{"v":1,' },
    { ...malformed, what: 'no body', body: '' },
    { ...malformed, what: 'no object', body: '"create"' },
    { ...malformed, what: 'no version', body: { id: 'x', domain: 'notes', op: 'create' } },
    { ...malformed, what: 'an unknown field', body: { ...create, admin: true } },
    { ...malformed, what: 'nested headers', body: create, properties: { headers: nested(1_000) } },
    { ...toCreate, what: 'no UTF-8', body: Buffer.from([0x22, 0xff, 0x22]), code: 'BEDS_REQUEST_CONTENT_TYPE' },
    {
      ...{ ...toCreate, what: 'another content type', code: 'BEDS_REQUEST_CONTENT_TYPE' },
      properties: { contentType: 'text/xml' },
    },
    { ...toCreate, what: 'a deep body', body: '['.repeat(5_000), code: 'BEDS_REQUEST_TOO_COMPLEX' },
    { ...toCreate, what: 'a large body', body: Buffer.alloc(2_000_000, ' '), code: 'BEDS_REQUEST_TOO_LARGE' },
    {
      ...{ ...toCreate, what: 'a key of the prototype', code: 'BEDS_REQUEST_FORBIDDEN_KEY' },
      body: JSON.stringify(create).replace('"mark"', '"__proto__"'),
    },
    { what: 'another operation', routingKey: 'notes.fetch', body: create, code: 'BEDS_REQUEST_ROUTE_MISMATCH' },
    {
      ...{ what: 'another domain', routingKey: 'notes.create', code: 'BEDS_REQUEST_ROUTE_MISMATCH' },
      body: { ...create, domain: 'towns' },
    },
    {
      ...{ what: 'past the exchange', exchange: '', routingKey: `${prefix}.req.notes.write`, body: create },
      code: 'BEDS_REQUEST_ROUTE_MISMATCH',
    },
    { ...toCreate, what: 'a reply into a request queue', properties: { replyTo: `${prefix}.req.notes.write` } },
    { ...toCreate, what: "a reply into somebody's queue", properties: { replyTo: 'payroll' } },
    { ...malformed, what: 'no JSON, no reply', body: '{', properties: { replyTo: '' } },
  ].map(({ code, properties, ...message }: BadMessage) => ({
    ...message,
    ...(properties === undefined ? {} : { properties }),
    ...(code === undefined || properties?.replyTo !== undefined ? {} : { code }),
  }));
}

describe('a bad message', () => {
  it('is answered where somebody can be answered, kept as a dead letter, and disturbs nobody', async () => {
    const caller = await PlainCaller.open(host);
    const bad = badMessages(host.prefix);
    for (const [index, { what, code, ...message }] of bad.entries()) {
      if (code === undefined) caller.send(message);
      else assert.equal(codeOf(await caller.ask(message)), code, what);
      await eventually(`${what} is a dead letter`, async () => (await deadLetters(host, caller)) === index + 1);
    }
    await eventually('nothing is left in the queues', () => isEmpty(host, caller));
    assert.equal(await deadLetters(host, caller), bad.length);
    assert.equal(await rowsMarked(host, 'bad'), 0);

    const good = await caller.ask({ routingKey: 'notes.create', body: create });
    assert.ok(good.ok);
    assert.equal(await rowsMarked(host, 'bad'), 1);
    assert.deepEqual(
      host.log.filter(({ msg }) => msg.includes('broker thread ended') || msg.includes('connection waiting')),
      [],
    );
  });
});

function codeOf(reply: ReplyEnvelope): string {
  return reply.ok ? 'ok' : reply.error.code;
}

async function rowsMarked({ dba }: TestHost, mark: string): Promise<number> {
  const [rows] = await dba.query<RowDataPacket[]>('SELECT COUNT(*) AS count FROM note WHERE mark = ?', [mark]);
  return Number(rows[0]?.['count']);
}

async function deadLetters({ prefix }: TestHost, { channel }: PlainCaller): Promise<number> {
  return (await channel.checkQueue(`${prefix}.dead`)).messageCount;
}

async function isEmpty({ prefix }: TestHost, { channel }: PlainCaller): Promise<boolean> {
  const depths = await Promise.all(['read', 'write'].map((mode) => channel.checkQueue(`${prefix}.req.notes.${mode}`)));
  return depths.every(({ messageCount }) => messageCount === 0);
}

/** A header table that nests so deep that a decoder which recurses would run out of stack. */
function nested(depth: number): Record<string, unknown> {
  let table: Record<string, unknown> = {};
  for (let level = 0; level < depth; level += 1) table = { t: table };
  return table;
}
