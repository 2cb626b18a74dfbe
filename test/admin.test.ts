import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Channel, ChannelModel } from 'amqplib';
import { rolloutErrors } from '../host/errors/rollout.js';
import type { CommandResult } from '../host/admin/commands.js';
import type { Answer, Refusal } from '../host/admin/protocol.js';
import { describeBundle, type BundleOptions } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { openNodes, type TestNodes } from './support/admin-nodes.js';
import { sharedServices } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);
const url = rabbitmq?.url ?? '';

type AnyAnswer = Answer<CommandResult> | Refusal;

interface SendOptions {
  readonly to?: string;
  readonly count?: number;
  readonly quietMs?: number;
  readonly userId?: string;
  /** How long the asker waits; without it, as long as it takes. */
  readonly expiration?: number;
}

/** Sends a message as any AMQP program could, and gathers what comes back until there are `count` answers or silence. */
async function send(
  { model, prefix }: TestNodes,
  body: unknown,
  { to = 'operate', count = 1, quietMs = 5_000, userId, expiration }: SendOptions = {},
): Promise<readonly AnyAnswer[]> {
  const channel = await model.createChannel();
  const answers: AnyAnswer[] = [];
  const correlationId = randomUUID();
  const replyTo = 'amq.rabbitmq.reply-to';
  await channel.consume(
    replyTo,
    (message) => {
      assert.equal(message?.properties.correlationId, correlationId);
      answers.push(JSON.parse(message?.content.toString() ?? '') as AnyAnswer);
    },
    { noAck: true },
  );
  const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  channel.publish(`${prefix}.${to}`, '', content, {
    ...{ replyTo, correlationId },
    ...(userId && { userId }),
    ...(expiration && { expiration }),
  });
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
  return { v: 2, op: 'deploy', bundles: encoded, ...more };
}

function codeOf(answer: AnyAnswer | undefined): string {
  return answer?.ok === false ? answer.error.code : `accepted ${JSON.stringify(answer)}`;
}

describe('commands', () => {
  it('reach every node with the bytes of the bundles and what was wished', async (t) => {
    const fleet = await openNodes(t, url);
    const nodes = [await fleet.add('a'), await fleet.add('b')];
    const options = { canaryPercent: 5, forMs: 60_000, hold: true };
    const answers = await send(fleet, deploy([{ domain: 'notes' }, { domain: 'tasks' }], { ...options, by: 'me' }), {
      count: 2,
    });
    const { hash } = describeBundle({ domain: 'tasks' });
    for (const { node, control, log } of nodes) {
      const answer = answers.find((each) => each.node === node);
      assert.ok(answer?.ok === true);
      assert.deepEqual(
        answer.result.receipts.map(({ domain }) => domain),
        ['notes', 'tasks'],
      );
      assert.equal(answer.result.receipts[1]?.hash, hash);
      assert.deepEqual(control.rolloutOptions, [options]);
      assert.deepEqual([log[0]?.['op'], log[0]?.['asker'], log[0]?.['verified']], ['deploy', 'me', false]);
    }
  });

  it('of every kind are carried out', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    const orders = [
      { op: 'rollback', domain: 'notes', version: '1.0.0' },
      ...['promote', 'pause', 'undeploy'].map((op) => ({ op, domain: 'notes' })),
      { op: 'lift', name: 'abcdef' },
    ];
    for (const order of orders) assert.equal((await send(fleet, { v: 2, ...order }))[0]?.ok, true);
    const taken = orders.map(({ op }) => ({ op, about: op === 'lift' ? 'abcdef' : 'notes' }));
    assert.deepEqual(control.commands, taken);
  });

  it('for one node are carried out and answered by that one only', async (t) => {
    const fleet = await openNodes(t, url);
    const [a, b] = [await fleet.add('a'), await fleet.add('b')];
    const answers = await send(fleet, { v: 2, op: 'pause', domain: 'notes', node: 'b' }, { count: 2, quietMs: 500 });
    assert.deepEqual(
      answers.map(({ node }) => node),
      ['b'],
    );
    assert.deepEqual([a.control.commands.length, b.control.commands.length], [0, 1]);
  });

  it('that the host refuses are answered with its reason', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    const findings = [{ code: 'BEDS_X', message: 'why' }];
    control.onCommand = () => {
      throw Object.assign(rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION'), { findings });
    };
    const [answer] = await send(fleet, { v: 2, op: 'rollback', domain: 'notes' });
    assert.ok(answer?.ok === false);
    assert.equal(answer.op, 'rollback');
    assert.equal(answer.error.code, 'BEDS_ROLLOUT_UNKNOWN_VERSION');
    assert.match(answer.error.hint ?? '', /beds versions/);
    assert.deepEqual(answer.error.findings, findings);
  });

  it('that end in a fault reveal nothing of it to the sender', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    control.onCommand = () => {
      throw new TypeError('secret');
    };
    const [answer] = await send(fleet, { v: 2, op: 'pause', domain: 'notes' });
    assert.equal(codeOf(answer), 'BEDS_ADMIN_FAULT');
    assert.ok(!JSON.stringify(answer).includes('secret'));
  });

  it('are carried out one at a time, and refused when too many wait', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    let running = 0;
    let most = 0;
    const gate = makeGate();
    control.onCommand = async () => {
      running += 1;
      most = Math.max(most, running);
      await gate.promise;
      running -= 1;
    };
    const sent = Array.from({ length: 8 }, () => send(fleet, { v: 2, op: 'pause', domain: 'notes' }));
    const first = await Promise.race(sent);
    assert.equal(codeOf(first[0]), 'BEDS_ADMIN_BUSY');
    gate.resolve(undefined);
    const answers = (await Promise.all(sent)).flat();
    assert.equal(most, 1);
    assert.equal(answers.filter(({ ok }) => ok).length, control.commands.length);
    assert.ok(control.commands.length >= 4);
  });

  it('that take too long are answered so, and no other one runs before they have ended', async (t) => {
    const fleet = await openNodes(t, url);
    const { control, log } = await fleet.add('a', { answerTimeoutMs: 500 });
    const gate = makeGate();
    control.onCommand = async () => {
      await gate.promise;
      throw rolloutErrors.make('BEDS_ROLLOUT_UNKNOWN_VERSION');
    };
    assert.equal(codeOf((await send(fleet, { v: 2, op: 'pause', domain: 'notes' }))[0]), 'BEDS_ADMIN_TIMEOUT');
    const [waited] = await send(fleet, { v: 2, op: 'promote', domain: 'notes' });
    assert.equal(codeOf(waited), 'BEDS_ADMIN_NOT_BEGUN');
    assert.match(waited?.ok === false ? waited.error.message : '', /still runs another command \(pause notes\)/);
    gate.resolve(undefined);
    await eventually('the late failure is in the log', () =>
      log.some(({ msg }) => msg === 'the command that took too long failed: pause notes'),
    );
    control.onCommand = () => undefined;
    assert.equal((await send(fleet, { v: 2, op: 'undeploy', domain: 'notes' }))[0]?.ok, true);
    assert.deepEqual(
      control.commands.map(({ op }) => op),
      ['pause', 'undeploy'],
    );
  });

  it('that receive bundles and never end keep no other one waiting: a rollback is always possible', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a', { answerTimeoutMs: 2_000 });
    control.onCommand = ({ domain }) => (domain === 'stuck' ? new Promise(() => undefined) : undefined);
    const stuck = Array.from({ length: 4 }, () => send(fleet, deploy([{ domain: 'stuck' }])));
    await eventually('one has begun', () => control.commands.length === 1);
    const rollback = { v: 2, op: 'rollback', domain: 'notes' };
    assert.equal((await send(fleet, rollback))[0]?.ok, true, 'while they wait');
    const codes = (await Promise.all(stuck)).map(([answer]) => codeOf(answer)).sort();
    assert.deepEqual(codes, [
      'BEDS_ADMIN_NOT_BEGUN',
      'BEDS_ADMIN_NOT_BEGUN',
      'BEDS_ADMIN_NOT_BEGUN',
      'BEDS_ADMIN_TIMEOUT',
    ]);
    assert.equal((await send(fleet, rollback))[0]?.ok, true, 'when nobody waits for them any more');
    assert.equal(codeOf((await send(fleet, deploy([{ domain: 'notes' }])))[0]), 'BEDS_ADMIN_NOT_BEGUN');
  });

  it('are not carried out when their asker waits no longer', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    const gate = makeGate();
    control.onCommand = () => gate.promise;
    const first = send(fleet, { v: 2, op: 'pause', domain: 'notes' });
    const [waited] = await send(fleet, { v: 2, op: 'promote', domain: 'notes' }, { expiration: 1_000 });
    assert.equal(codeOf(waited), 'BEDS_ADMIN_NOT_BEGUN');
    gate.resolve(undefined);
    assert.equal((await first)[0]?.ok, true);
    assert.equal((await send(fleet, { v: 2, op: 'undeploy', domain: 'notes' }))[0]?.ok, true);
    assert.deepEqual(
      control.commands.map(({ op }) => op),
      ['pause', 'undeploy'],
    );
  });

  it('are refused while the host starts', async (t) => {
    const fleet = await openNodes(t, url);
    await fleet.add('a', { isStarting: true });
    assert.equal(codeOf((await send(fleet, { v: 2, op: 'pause', domain: 'notes' }))[0]), 'BEDS_ADMIN_NOT_READY');
  });
});

describe('a message that is wrong', () => {
  const file = { 'index.mjs': 'AAAA' };
  const INVALID = 'BEDS_ADMIN_INVALID';
  const UNKNOWN = 'BEDS_ADMIN_UNKNOWN_COMMAND';
  const UNSUPPORTED = 'BEDS_ADMIN_UNSUPPORTED_VERSION';
  const wrong: readonly (readonly [what: string, body: unknown, code: string, message: RegExp])[] = [
    ['no JSON', Buffer.from('{"v":2,'), INVALID, /not a JSON object/],
    ['no object', [], INVALID, /not a JSON object/],
    ['an empty object', {}, UNSUPPORTED, /"v" is missing; this node supports version 2/],
    [
      'a future version',
      { v: 3, op: 'pause', domain: 'notes' },
      UNSUPPORTED,
      /Version 3 is not supported; .* version 2/,
    ],
    [
      'a version that is no number',
      { v: '2', op: 'pause', domain: 'notes' },
      UNSUPPORTED,
      /Version "2" is not supported/,
    ],
    ['no op', { v: 2, domain: 'notes' }, UNKNOWN, /"op" is missing/],
    [
      'an unknown command',
      { v: 2, op: 'pauze' },
      UNKNOWN,
      /no "pauze"\. Did you mean pause\? Known: deploy, check, rollback/,
    ],
    ['a command that is a member of every object', { v: 2, op: 'toString' }, UNKNOWN, /no "toString"/],
    ['a command that is no text', { v: 2, op: { $ne: 1 } }, UNKNOWN, /no \{"\$ne":1\}/],
    ['a query', { v: 2, op: 'status' }, UNKNOWN, /no "status"\. Send it to the exchange d\w+\.admin/],
    [
      'an unknown field',
      { v: 2, op: 'pause', domain: 'notes', force: true },
      INVALID,
      /pause: the field "force" is unknown\./,
    ],
    ['a missing field', { v: 2, op: 'undeploy' }, INVALID, /undeploy: the field "domain" is missing\./],
    ['a wrong type', { v: 2, op: 'pause', domain: 5 }, INVALID, /the field "domain" must be string, received number/],
    [
      'several at once',
      { v: 2, op: 'rollback', version: '-rf', force: 1, 'a\u001b[2J': 1 },
      INVALID,
      /"domain" is missing; the field "version" is not a version; the field "force" is unknown; the field "a\\u001b\[2J" is unknown/,
    ],
    [
      'a domain that is no name',
      { v: 2, op: 'pause', domain: '../etc' },
      INVALID,
      /"domain" is not the name of a domain/,
    ],
    ['a node that is no text', { v: 2, op: 'pause', domain: 'notes', node: 1 }, INVALID, /"node" must be string/],
    ['a caller that is no text', { v: 2, op: 'pause', domain: 'notes', by: [] }, INVALID, /"by" must be string/],
    ['a hash that is too short', { v: 2, op: 'lift', name: '0abc' }, INVALID, /"name" is neither a hash nor a domain/],
    ['no bundles', { v: 2, op: 'deploy', bundles: [] }, INVALID, /"bundles"/],
    ['a bundle without files', { v: 2, op: 'deploy', bundles: [{}] }, INVALID, /"bundles\.0" has no files/],
    ['too many bundles', { v: 2, op: 'deploy', bundles: Array.from({ length: 33 }, () => file) }, INVALID, /"bundles"/],
    [
      'a file name that leads elsewhere',
      { v: 2, op: 'deploy', bundles: [{ '../index.mjs': 'AAAA' }] },
      INVALID,
      /index\.mjs/,
    ],
    ['a file that is hidden', { v: 2, op: 'deploy', bundles: [{ '.index.mjs': 'AAAA' }] }, INVALID, /index\.mjs/],
    [
      'a file that is not in base64',
      { v: 2, op: 'deploy', bundles: [{ 'index.mjs': 'A-_?' }] },
      INVALID,
      /is not in base64/,
    ],
    ['a percentage above 100', { v: 2, op: 'deploy', bundles: [file], canaryPercent: 101 }, INVALID, /"canaryPercent"/],
    ['a canary without end', { v: 2, op: 'deploy', bundles: [file], forMs: 1e12 }, INVALID, /"forMs"/],
  ];

  it('is refused with everything that is wrong with it, and reaches nobody', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    for (const [what, body, code, message] of wrong) {
      const [answer] = await send(fleet, body);
      assert.equal(codeOf(answer), code, what);
      assert.match(answer?.ok === false ? answer.error.message : '', message, what);
    }
    assert.deepEqual(control.commands, []);
    assert.equal((await send(fleet, { v: 2, op: 'pause', domain: 'notes' }))[0]?.ok, true);
  });

  it('has ten problems named, and the others counted', async (t) => {
    const fleet = await openNodes(t, url);
    await fleet.add('a');
    const fields = Object.fromEntries(Array.from({ length: 25 }, (_, index) => [`x${index}`, 1]));
    const [answer] = await send(fleet, { v: 2, op: 'pause', domain: 'notes', ...fields });
    assert.match(answer?.ok === false ? answer.error.message : '', /"x9" is unknown; and 15 more\.$/);
  });

  it('is too large: a bundle, its number of files, or the whole message', async (t) => {
    const fleet = await openNodes(t, url);
    await fleet.add('a', { maxBundleBytes: 2_048 });
    const large = deploy([{ head: `// ${'x'.repeat(3_000)}` }]);
    assert.equal(codeOf((await send(fleet, large))[0]), 'BEDS_ADMIN_TOO_LARGE');
    const files = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`f${index}`, 'AAAA']));
    const many = { v: 2, op: 'deploy', bundles: [files] };
    assert.equal(codeOf((await send(fleet, many))[0]), 'BEDS_ADMIN_TOO_LARGE');
    const huge = Buffer.alloc(1_000_000, ' ');
    assert.equal(codeOf((await send(fleet, huge))[0]), 'BEDS_ADMIN_TOO_LARGE');
  });

  it('gets no answer without a reply address, or with one that is no place for answers', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    const channel = await fleet.model.createChannel();
    const order = Buffer.from(JSON.stringify({ v: 2, op: 'pause', domain: 'notes' }));
    channel.publish(`${fleet.prefix}.operate`, '', order);
    channel.publish(`${fleet.prefix}.operate`, '', order, { replyTo: `${fleet.prefix}.req.notes.write` });
    assert.equal((await send(fleet, { v: 2, op: 'promote', domain: 'notes' }))[0]?.ok, true);
    assert.deepEqual(
      control.commands.map(({ op }) => op),
      ['promote'],
    );
    await channel.close();
  });
});

describe('queries', () => {
  it('are not taken where commands are, nor commands where queries are', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a');
    const [answer] = await send(fleet, { v: 2, op: 'undeploy', domain: 'notes' }, { to: 'admin' });
    assert.equal(codeOf(answer), 'BEDS_ADMIN_UNKNOWN_COMMAND');
    assert.deepEqual(control.commands, []);
    assert.equal((await send(fleet, { v: 2, op: 'quarantine' }, { to: 'admin' })).length, 1);
  });

  it('that are wrong or too large are refused with words', async (t) => {
    const fleet = await openNodes(t, url);
    await fleet.add('a');
    for (const body of [
      { v: 2, op: 'history', domain: 5 },
      { v: 2, op: 'progress', domains: [] },
    ]) {
      assert.equal(codeOf((await send(fleet, body, { to: 'admin' }))[0]), 'BEDS_ADMIN_INVALID');
    }
    const long = { v: 2, op: 'status', x: 'x'.repeat(20_000) };
    assert.equal(codeOf((await send(fleet, long, { to: 'admin' }))[0]), 'BEDS_ADMIN_TOO_LARGE');
  });
});

describe('a node', () => {
  const answersBoth = async (fleet: TestNodes): Promise<boolean> => {
    const command = await send(fleet, { v: 2, op: 'pause', domain: 'notes' }, { quietMs: 300 });
    const query = await send(fleet, { v: 2, op: 'quarantine' }, { to: 'admin', quietMs: 300 });
    return command[0]?.ok === true && query[0]?.ok === true;
  };

  it('answers again after RabbitMQ closed its channels and kept the connection', async (t) => {
    const fleet = await openNodes(t, url);
    const { channels } = watchChannels(fleet.model);
    await fleet.add('a');
    for (const channel of channels.splice(0)) await assert.rejects(channel.checkQueue('beds.no-such-queue'));
    await eventually('it answers', () => answersBoth(fleet), 10_000);
  });

  it('answers again after its queues were deleted', async (t) => {
    const fleet = await openNodes(t, url);
    const { queues } = watchChannels(fleet.model);
    await fleet.add('a');
    assert.equal(queues.length, 2);
    const channel = await fleet.model.createChannel();
    for (const queue of queues.splice(0)) await channel.deleteQueue(queue);
    await channel.close();
    await eventually('it answers', () => answersBoth(fleet), 10_000);
  });

  it('says so when it cannot answer a query in time', async (t) => {
    const fleet = await openNodes(t, url);
    const { control } = await fleet.add('a', { answerTimeoutMs: 100 });
    control.domains = () => new Promise(() => undefined);
    const [answer] = await send(fleet, { v: 2, op: 'versions' }, { to: 'admin' });
    assert.equal(codeOf(answer), 'BEDS_ADMIN_QUERY_TIMEOUT');
  });
});

/** The channels that are opened on a connection from now on, and the queues that are declared on them. */
function watchChannels(model: ChannelModel): { readonly channels: Channel[]; readonly queues: string[] } {
  const channels: Channel[] = [];
  const queues: string[] = [];
  const create = model.createChannel.bind(model);
  model.createChannel = async () => {
    const channel = await create();
    channels.push(channel);
    const assertQueue = channel.assertQueue.bind(channel);
    channel.assertQueue = async (...given) => {
      const asserted = await assertQueue(...given);
      queues.push(asserted.queue);
      return asserted;
    };
    return channel;
  };
  return { channels, queues };
}

describe('the sender of a command', () => {
  const pause = { v: 2, op: 'pause', domain: 'notes', by: 'anna@laptop' };
  const account = decodeURIComponent(new URL(url).username);

  it('is the account that RabbitMQ checked, in the answer and in the log', async (t) => {
    const fleet = await openNodes(t, url);
    const { log } = await fleet.add('a');
    const [answer] = await send(fleet, pause, { userId: account });
    assert.deepEqual(answer?.asker, { name: account, verified: true });
    const { asker, verified, by } = log[0] ?? {};
    assert.deepEqual([asker, verified, by], [account, true, 'anna@laptop']);
  });

  it('is what the message says where no account is given, and is marked so', async (t) => {
    const fleet = await openNodes(t, url);
    const { log } = await fleet.add('a');
    assert.deepEqual((await send(fleet, pause))[0]?.asker, { name: 'anna@laptop', verified: false });
    assert.deepEqual([log[0]?.['asker'], log[0]?.['verified']], ['anna@laptop', false]);
    const { by: _, ...anonymous } = pause;
    assert.deepEqual((await send(fleet, anonymous))[0]?.asker, { name: '', verified: false });
  });

  it('is logged for queries and refusals, too', async (t) => {
    const fleet = await openNodes(t, url);
    await fleet.add('a');
    const asked = { to: 'admin', userId: account };
    for (const op of ['quarantine', 'explode']) {
      assert.deepEqual((await send(fleet, { v: 2, op }, asked))[0]?.asker, { name: account, verified: true }, op);
    }
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
