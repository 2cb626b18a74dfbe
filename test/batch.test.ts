import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import type { ReplyEnvelope, Verdict } from '#sdk/template';
import { BatchReplies } from '../host/request/batch-replies.js';
import { writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { ownTimeMs } from './support/own-time.js';
import { sharedServices, wholeFile } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** It serves `notes` to all tests of the file. */
const host = await startTestHost(wholeFile, { services, config: { threads: { default: { count: 1 } } } });
const task = {
  mode: 'read',
  args: { ms: { type: 'integer' } },
  run: `
    if (input.ms < 0) throw new Error('it fails');
    await new Promise((resolve) => setTimeout(resolve, input.ms));
    return input.ms;`,
} as const;
await writeBundle(host.pluginsDirectory, notesBundle({ operations: { task } }));
await host.active('notes', '1.0.0');

interface Part {
  readonly text: string;
  readonly expiresAtMs: number;
  readonly onSent: () => void;
}

/** Answers of a message of `count` requests, and what becomes of them. */
function collect(count: number, holdMs: number | undefined) {
  const parts: Part[] = [];
  const settled: Verdict[] = [];
  const replies = new BatchReplies({
    ...{ count, holdMs },
    tooLarge: (place) => `"${place} is too large"`,
    send: ({ text, expiresAtMs }, onSent) => parts.push({ text, expiresAtMs, onSent }),
    onSettled: (verdict) => settled.push(verdict),
  });
  const add = (place: number, text = String(place), verdict: Verdict = 'ack'): void =>
    replies.add(place, { text, verdict, expiresAtMs: place, copy: undefined, lost: undefined });
  return { parts, settled, add, texts: () => parts.map(({ text }) => text) };
}

describe('the answers to a batch', () => {
  it('travel together, at the places of their requests, when they come together', () => {
    const { parts, settled, add, texts } = collect(3, 5);
    for (const place of [2, 0, 1]) add(place);
    assert.deepEqual(texts(), ['[0,1,2]']);
    assert.equal(parts[0]?.expiresAtMs, 2);
    assert.deepEqual(settled, []);
    parts[0]?.onSent();
    assert.deepEqual(settled, ['ack']);
  });

  it('do not wait for one that takes long; the message is settled after the last of them is sent', async () => {
    const { parts, settled, add, texts } = collect(4, 5);
    add(3);
    add(1);
    await eventually('those that are ready go out', () => parts.length === 1);
    add(0, '0', 'reject');
    add(2);
    assert.deepEqual(texts(), ['[1,3]', '[0,2]']);
    parts[1]?.onSent();
    assert.deepEqual(settled, [], 'the first part is not confirmed yet');
    parts[0]?.onSent();
    assert.deepEqual(settled, ['reject']);
  });

  it('send the message back where one of them was given back unexecuted, whatever becomes of those after it', () => {
    const { parts, settled, add } = collect(2, undefined);
    add(0, '', 'requeue');
    add(1, '1', 'reject');
    parts[0]?.onSent();
    assert.deepEqual(settled, ['requeue']);
  });

  it('go out before they are too much for one message', () => {
    const { add, parts } = collect(3, 60_000);
    add(0, 'x'.repeat(300_000));
    assert.equal(parts.length, 1);
    add(1);
    add(2);
    assert.equal(parts.length, 2);
  });

  it('are never more than RabbitMQ 4 delivers in one message', () => {
    const megabytes = (count: number): string => `"${'ü'.repeat(count * 524_288)}"`;
    const inParts = collect(4, 60_000);
    inParts.add(0, megabytes(14));
    for (const [place, size] of [0.2, 14.9, 15.1].entries()) inParts.add(place + 1, megabytes(size));
    assert.deepEqual(
      inParts.parts.map(({ text }) => Math.floor(Buffer.byteLength(text) / 1_048_576)),
      [14, 0, 14, 0],
    );
    assert.equal(inParts.texts().at(-1), '["3 is too large"]');

    const together = collect(4, undefined);
    for (const [place, size] of [0.2, 14, 0.9, 0.5].entries()) together.add(place, megabytes(size));
    assert.deepEqual(together.texts().length, 1);
    const [, , third, fourth] = JSON.parse(together.texts()[0] ?? '') as string[];
    assert.deepEqual([third, fourth?.length], ['2 is too large', 262_144]);
    assert.ok(together.parts[0]);
    together.parts[0].onSent();
    assert.deepEqual(together.settled, ['ack']);
  });

  it('wait for all where the caller wants one message', async () => {
    const { add, texts } = collect(2, undefined);
    add(1);
    await quietFor(20);
    assert.deepEqual(texts(), []);
    add(0);
    assert.deepEqual(texts(), ['[0,1]']);
  });
});

describe('calls that travel in one message', () => {
  it('are neither delayed nor failed by one that is slow and one that fails', async (t) => {
    const client = await host.connectClient();
    const notes = client.domain('notes');
    await notes.call('task', { ms: 0 });
    const startedAtMs = ownTimeMs();
    const ended: { readonly ms: number; readonly atMs: number; readonly outcome: unknown }[] = [];
    const calls = [1_000, -1, ...Array.from({ length: 30 }, (_, n) => n % 3)].map(async (ms) => {
      const outcome: unknown = await notes
        .call('task', { ms })
        .catch((error: unknown) => (isBedsError(error) ? error.code : error));
      ended.push({ ms, atMs: ownTimeMs() - startedAtMs, outcome });
    });
    await Promise.all(calls);
    assert.deepEqual(
      ended.filter(({ ms, outcome }) => outcome !== ms),
      [{ ...ended.find(({ ms }) => ms === -1), outcome: 'BEDS_REQUEST_TEMPLATE_FAULT' }],
    );
    assert.equal(ended.at(-1)?.ms, 1_000);
    const others = ended.slice(0, -1).map(({ atMs }) => atMs);
    assert.ok(Math.max(...others) < 500, `the others took up to ${Math.max(...others).toFixed(0)} ms`);
    t.diagnostic(`the others took up to ${Math.max(...others).toFixed(0)} ms`);
  });

  it('are not failed by one that the gate refuses', async () => {
    const notes = (await host.connectClient()).domain('notes');
    const wrong = notes.create({ text: 'x', constructor: 'hidden' });
    const right = [1, 2, 3].map((n) => notes.create({ text: `note ${n}`, mark: `m${n}` }));
    await assert.rejects(wrong, { code: 'BEDS_REQUEST_FORBIDDEN_KEY' });
    await Promise.all(right);
    const [rows] = await host.dba.query('SELECT mark FROM note ORDER BY mark');
    assert.deepEqual(rows, [{ mark: 'm1' }, { mark: 'm2' }, { mark: 'm3' }]);
  });

  it('are answered at their own deadlines, and a write that is settled is not given back', async () => {
    const notes = (await host.connectClient()).domain('notes');
    const late = notes.call('task', { ms: 5_000 }, { deadlineMs: 200 });
    const calls = [late, notes.call('task', { ms: 1 }, { deadlineMs: 5_000 })];
    const [first, second] = await Promise.allSettled(calls);
    assert.equal(
      first?.status === 'rejected' && (first.reason as { code?: unknown }).code,
      'BEDS_REQUEST_DEADLINE_EXCEEDED',
    );
    assert.equal(second?.status === 'fulfilled' && second.value, 1);
    await eventually('nothing is left in the queue', async () => {
      const channel = await host.plainChannel();
      const { messageCount } = await channel.checkQueue(`${host.prefix}.req.notes.read`);
      await channel.close();
      return messageCount === 0;
    });
  });

  it('get one array in their order where the program does not take parts', async () => {
    const channel = await host.plainChannel();
    const replies: ReplyEnvelope[][] = [];
    await channel.consume(
      'amq.rabbitmq.reply-to',
      (message) => {
        if (message !== null) replies.push(JSON.parse(message.content.toString()) as ReplyEnvelope[]);
      },
      { noAck: true },
    );
    const ids = ['a', 'b', 'c'];
    const body = ids.map((id, at) => ({ v: 1, id, domain: 'notes', op: 'task', payload: { ms: at === 0 ? 100 : 0 } }));
    channel.publish(`${host.prefix}.request`, 'notes.task', Buffer.from(JSON.stringify(body)), {
      replyTo: 'amq.rabbitmq.reply-to',
      contentType: 'application/json',
    });
    await eventually('the answer', () => replies.length > 0);
    await quietFor(50);
    assert.deepEqual(
      replies.map((reply) => reply.map(({ id, ok }) => [id, ok])),
      [ids.map((id) => [id, true])],
    );
  });
});
