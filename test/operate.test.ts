import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { rolloutErrors } from '../host/errors/rollout.js';
import type { OrderAnswer } from '../host/admin/protocol.js';
import { describeBundle, type BundleOptions } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { openDesks, type TestDesks } from './support/operator-desk.js';
import { sharedServices } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);
const url = rabbitmq?.url ?? '';

/** Sends a message as any AMQP program could, and gathers what comes back until there are `count` answers or silence. */
async function send(
  { model, prefix }: TestDesks,
  body: unknown,
  { to = 'operate', count = 1, quietMs = 5_000 } = {},
): Promise<readonly OrderAnswer[]> {
  const channel = await model.createChannel();
  const answers: OrderAnswer[] = [];
  const correlationId = randomUUID();
  const replyTo = 'amq.rabbitmq.reply-to';
  await channel.consume(
    replyTo,
    (message) => {
      assert.equal(message?.properties.correlationId, correlationId);
      answers.push(JSON.parse(message?.content.toString() ?? '') as OrderAnswer);
    },
    { noAck: true },
  );
  const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  channel.publish(`${prefix}.${to}`, '', content, { replyTo, correlationId });
  await eventually('an answer', () => answers.length >= count, quietMs).catch((error: unknown) => {
    if (quietMs >= 5_000) throw error;
  });
  await channel.close();
  return answers;
}

function deploy(bundles: readonly BundleOptions[], more: object = {}): object {
  const encoded = bundles.map((options) =>
    Object.fromEntries(
      [...describeBundle(options).files].map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    ),
  );
  return { v: 1, op: 'deploy', bundles: encoded, wish: {}, ...more };
}

function codeOf(answer: OrderAnswer | undefined): string {
  return answer?.ok === false ? answer.error.code : `accepted ${JSON.stringify(answer)}`;
}

describe('orders of operators', () => {
  it('reach every node with the bytes of the bundles and what was wished', async (t) => {
    const desks = await openDesks(t, url);
    const nodes = [await desks.add('a'), await desks.add('b')];
    const wish = { canaryPercent: 5, forMs: 60_000, hold: true };
    const answers = await send(desks, deploy([{ domain: 'notes' }, { domain: 'tasks' }], { wish, by: 'me' }), {
      count: 2,
    });
    const { hash } = describeBundle({ domain: 'tasks' });
    for (const { node, control, log } of nodes) {
      const answer = answers.find((each) => each.node === node);
      assert.ok(answer?.ok === true);
      assert.deepEqual(
        answer.receipts.map(({ domain }) => domain),
        ['notes', 'tasks'],
      );
      assert.equal(answer.receipts[1]?.hash, hash);
      assert.deepEqual(control.wishes, [wish]);
      assert.deepEqual([log[0]?.['op'], log[0]?.['by']], ['deploy', 'me']);
    }
  });

  it('of every kind are carried out', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    const orders = [
      { op: 'rollback', domain: 'notes', version: '1.0.0' },
      ...['promote', 'pause', 'retire'].map((op) => ({ op, domain: 'notes' })),
      { op: 'lift', name: 'abcdef' },
    ];
    for (const order of orders) assert.equal((await send(desks, { v: 1, ...order }))[0]?.ok, true);
    const taken = orders.map(({ op }) => ({ op, about: op === 'lift' ? 'abcdef' : 'notes' }));
    assert.deepEqual(control.orders, taken);
  });

  it('for one node are carried out and answered by that one only', async (t) => {
    const desks = await openDesks(t, url);
    const [a, b] = [await desks.add('a'), await desks.add('b')];
    const answers = await send(desks, { v: 1, op: 'pause', domain: 'notes', node: 'b' }, { count: 2, quietMs: 500 });
    assert.deepEqual(
      answers.map(({ node }) => node),
      ['b'],
    );
    assert.deepEqual([a.control.orders.length, b.control.orders.length], [0, 1]);
  });

  it('that the host refuses are answered with its reason', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    const findings = [{ code: 'BEDS_X', message: 'why' }];
    control.onOrder = () => {
      throw Object.assign(rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION'), { findings });
    };
    const [answer] = await send(desks, { v: 1, op: 'rollback', domain: 'notes' });
    assert.ok(answer?.ok === false);
    assert.equal(answer.op, 'rollback');
    assert.equal(answer.error.code, 'BEDS_ROLLOUT_UNKNOWN_VERSION');
    assert.match(answer.error.hint ?? '', /beds plugins/);
    assert.deepEqual(answer.error.findings, findings);
  });

  it('that end in a fault tell nothing of it to the asker', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    control.onOrder = () => {
      throw new TypeError('secret');
    };
    const [answer] = await send(desks, { v: 1, op: 'pause', domain: 'notes' });
    assert.equal(codeOf(answer), 'BEDS_OPERATE_FAULT');
    assert.ok(!JSON.stringify(answer).includes('secret'));
  });

  it('are carried out one at a time, and refused when too many wait', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    let running = 0;
    let most = 0;
    const gate = makeGate();
    control.onOrder = async () => {
      running += 1;
      most = Math.max(most, running);
      await gate.promise;
      running -= 1;
    };
    const sent = Array.from({ length: 8 }, () => send(desks, { v: 1, op: 'pause', domain: 'notes' }));
    const first = await Promise.race(sent);
    assert.equal(codeOf(first[0]), 'BEDS_OPERATE_BUSY');
    gate.resolve(undefined);
    const answers = (await Promise.all(sent)).flat();
    assert.equal(most, 1);
    assert.equal(answers.filter(({ ok }) => ok).length, control.orders.length);
    assert.ok(control.orders.length >= 4);
  });

  it('that are not accepted in time are answered so, and the next one is carried out', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a', { orderTimeoutMs: 50 });
    const gate = makeGate();
    control.onOrder = () => gate.promise;
    assert.equal(codeOf((await send(desks, { v: 1, op: 'pause', domain: 'notes' }))[0]), 'BEDS_OPERATE_TIMEOUT');
    control.onOrder = () => undefined;
    assert.equal((await send(desks, { v: 1, op: 'promote', domain: 'notes' }))[0]?.ok, true);
    gate.resolve(undefined);
  });

  it('are refused while the host starts', async (t) => {
    const desks = await openDesks(t, url);
    await desks.add('a', { isStarting: true });
    assert.equal(codeOf((await send(desks, { v: 1, op: 'pause', domain: 'notes' }))[0]), 'BEDS_OPERATE_NOT_READY');
  });
});

describe('what is no order', () => {
  const file = { 'index.mjs': 'AAAA' };
  const wrong: readonly (readonly [what: string, body: unknown])[] = [
    ['no JSON', Buffer.from('{"v":1,')],
    ['no object', []],
    ['an unknown op', { v: 1, op: 'explode' }],
    ['a question', { v: 1, op: 'status' }],
    ['another version of the protocol', { v: 2, op: 'pause', domain: 'notes' }],
    ['a domain that is no name', { v: 1, op: 'pause', domain: '../etc' }],
    ['a domain that is no text', { v: 1, op: 'pause', domain: { $ne: 1 } }],
    ['no domain', { v: 1, op: 'retire' }],
    ['a member that nobody knows', { v: 1, op: 'pause', domain: 'notes', force: true }],
    ['a version that is no name', { v: 1, op: 'rollback', domain: 'notes', version: '-rf' }],
    ['a hash that is too short', { v: 1, op: 'lift', name: '0abc' }],
    ['no bundles', { v: 1, op: 'deploy', bundles: [] }],
    ['a bundle without files', { v: 1, op: 'deploy', bundles: [{}] }],
    ['too many bundles', { v: 1, op: 'deploy', bundles: Array.from({ length: 33 }, () => file) }],
    ['a file name that leads elsewhere', { v: 1, op: 'deploy', bundles: [{ '../index.mjs': 'AAAA' }] }],
    ['a file that is hidden', { v: 1, op: 'deploy', bundles: [{ '.index.mjs': 'AAAA' }] }],
    ['a file that is not in base64', { v: 1, op: 'deploy', bundles: [{ 'index.mjs': 'A-_?' }] }],
    ['a percentage above 100', { v: 1, op: 'deploy', bundles: [file], wish: { canaryPercent: 101 } }],
    ['a canary without end', { v: 1, op: 'deploy', bundles: [file], wish: { forMs: 1e12 } }],
  ];

  it('is refused with what is wrong, whatever it is, and reaches nobody', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    for (const [what, body] of wrong) {
      const [answer] = await send(desks, body);
      assert.equal(codeOf(answer), 'BEDS_OPERATE_INVALID', what);
    }
    assert.deepEqual(control.orders, []);
    assert.equal((await send(desks, { v: 1, op: 'pause', domain: 'notes' }))[0]?.ok, true);
  });

  it('is too large: a bundle, its number of files, or the whole message', async (t) => {
    const desks = await openDesks(t, url);
    await desks.add('a', { maxBundleBytes: 2_048 });
    const large = deploy([{ head: `// ${'x'.repeat(3_000)}` }]);
    assert.equal(codeOf((await send(desks, large))[0]), 'BEDS_OPERATE_TOO_LARGE');
    const files = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`f${index}`, 'AAAA']));
    const many = { v: 1, op: 'deploy', bundles: [files] };
    assert.equal(codeOf((await send(desks, many))[0]), 'BEDS_OPERATE_TOO_LARGE');
    const huge = Buffer.alloc(1_000_000, ' ');
    assert.equal(codeOf((await send(desks, huge))[0]), 'BEDS_OPERATE_TOO_LARGE');
  });

  it('gets no answer without a reply address, or with one that is no place for answers', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    const channel = await desks.model.createChannel();
    const order = Buffer.from(JSON.stringify({ v: 1, op: 'pause', domain: 'notes' }));
    channel.publish(`${desks.prefix}.operate`, '', order);
    channel.publish(`${desks.prefix}.operate`, '', order, { replyTo: `${desks.prefix}.req.notes.write` });
    assert.equal((await send(desks, { v: 1, op: 'promote', domain: 'notes' }))[0]?.ok, true);
    assert.deepEqual(
      control.orders.map(({ op }) => op),
      ['promote'],
    );
    await channel.close();
  });
});

describe('questions', () => {
  it('are not taken where orders are, nor orders where questions are', async (t) => {
    const desks = await openDesks(t, url);
    const { control } = await desks.add('a');
    const [answer] = await send(desks, { v: 1, op: 'retire', domain: 'notes' }, { to: 'admin' });
    assert.equal(codeOf(answer), 'BEDS_OPERATE_INVALID');
    assert.deepEqual(control.orders, []);
    assert.equal((await send(desks, { v: 1, op: 'quarantine' }, { to: 'admin' })).length, 1);
  });

  it('that are wrong or too large are refused with words', async (t) => {
    const desks = await openDesks(t, url);
    await desks.add('a');
    for (const body of [{ v: 1, op: 'history', domain: 5 }, { v: 1, op: 'progress', domains: [] }, {}]) {
      assert.equal(codeOf((await send(desks, body, { to: 'admin' }))[0]), 'BEDS_OPERATE_INVALID');
    }
    const long = { v: 1, op: 'status', x: 'x'.repeat(20_000) };
    assert.equal(codeOf((await send(desks, long, { to: 'admin' }))[0]), 'BEDS_OPERATE_TOO_LARGE');
  });
});

interface Gate {
  readonly promise: Promise<undefined>;
  readonly resolve: (value: undefined) => void;
}

function makeGate(): Gate {
  let resolve: Gate['resolve'] = () => undefined;
  const promise = new Promise<undefined>((settle) => (resolve = settle));
  return { promise, resolve };
}
