import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { BedsClient } from '@beds/sdk/client';
import { configSchema } from '../host/config/schema.js';
import type { NodeStatus } from '../host/admin/views.js';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { type HostProcess, startHostProcess } from './support/host-process.js';
import { quietFor } from './support/eventually.js';
import { NOTES_OBJECTS } from './support/notes-domain.js';
import { envelope, PlainCaller } from './support/plain-caller.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const USERS = {
  form: 'file',
  ...{ domain: 'users', name: 'users.mjs', store: 'accounts', objects: NOTES_OBJECTS },
  body: { fetchRecords: `return ctx.view('fetch', query);` },
  operations: {
    who: {
      mode: 'read',
      run: `return {
        client: ctx.client, trace: ctx.traceparent, key: ctx.idempotencyKey, left: ctx.deadline.remainingMs,
        rows: (await ctx.view('fetch', {})).rows.length };`,
    },
    keep: { mode: 'write', run: `return ctx.call('create', { text: 'kept' });` },
    slow: { mode: 'read', run: `return ctx.call('slow', { ms: 5000 });` },
    back: { mode: 'read', run: `return ctx.domain('orders').call('round');` },
  },
  peers: ['orders'],
} as const;

const ORDERS = {
  form: 'file',
  ...{ domain: 'orders', name: 'orders.mjs', objects: NOTES_OBJECTS, peers: ['users'] },
  operations: {
    ask: { mode: 'read', run: `return ctx.domain('users').call('who');` },
    read: { mode: 'read', run: `return (await ctx.domain('users').fetch({ limit: 1, count: true }));` },
    sneak: { mode: 'read', run: `return ctx.domain('users').call('keep');` },
    keep: { mode: 'write', run: `return ctx.domain('users').call('keep');` },
    unknown: { mode: 'write', run: `return ctx.domain('users').call('nothing');` },
    slow: { mode: 'read', run: `return ctx.domain('users').call('slow');` },
    round: { mode: 'read', run: `return ctx.domain('users').call('back');` },
  },
} as const;

interface Nodes {
  readonly place: TestHost;
  readonly client: BedsClient;
  start(node: string, role: string): HostProcess;
  status(): Promise<{ readonly code: number; readonly nodes: readonly NodeStatus[]; readonly text: string }>;
}

/** Both nodes have one configuration, but for their roles and for the secrets of their stores. */
async function makeNodes(t: TestContext): Promise<Nodes> {
  const place = await startTestHost(t, { services, isStarted: false });
  await writeBundle(place.pluginsDirectory, USERS);
  await writeBundle(place.pluginsDirectory, ORDERS);
  const { prefix, config, runtimeUrl } = place;
  const start = (node: string, role: string): HostProcess => {
    const { stores } = configSchema.parse({
      stores: {
        main: { kind: 'mysql', roles: ['appServer'], url: role === 'appServer' ? runtimeUrl : '' },
        accounts: { kind: 'mysql', roles: ['tercero'], url: role === 'tercero' ? runtimeUrl : '' },
      },
    });
    return startHostProcess(t, place, {
      ...{ node: { name: node, roles: [role] }, stores },
      state: { directory: `.beds-${node}` },
    });
  };
  const env = { BEDS_AMQP_URL: config.amqp.url, BEDS_AMQP_PREFIX: prefix };
  return {
    ...{ place, start, client: await place.connectClient() },
    status: async () => {
      const answered = await beds(['status', '--json'], { env });
      const shown = await beds(['status'], { env });
      return { code: answered.code, nodes: JSON.parse(answered.stdout) as readonly NodeStatus[], text: shown.stdout };
    },
  };
}

describe('roles as processes of their own, by configuration alone', { timeout: 240_000 }, () => {
  it('a role that nobody plays is said, and requests to its domains fail at once, by name', async (t) => {
    const { client, start, status } = await makeNodes(t);
    await start('app', 'appServer').serving;
    const beganMs = performance.now();
    await assert.rejects(client.domain('users').fetch({}), {
      code: 'BEDS_REQUEST_ROLE_ABSENT',
      message: 'No node that plays the role tercero serves this domain.',
    });
    await assert.rejects(client.domain('orders').call('ask', {}), { code: 'BEDS_REQUEST_ROLE_ABSENT' });
    await assert.rejects(client.domain('orders').call('keep', {}), { code: 'BEDS_REQUEST_ROLE_ABSENT' });
    await assert.rejects(client.domain('orders').call('ask', {}, { session: 'bs_somebody' }), {
      code: 'BEDS_REQUEST_SESSION_UNAVAILABLE',
      message: 'No node that plays the role of the domain sessions serves it.',
    });
    assert.ok(performance.now() - beganMs < 5_000, 'nobody waits for a deadline');
    const { code, nodes, text } = await status();
    assert.equal(code, 1);
    assert.match(
      text,
      /No node plays the role tercero: requests to users, sessions fail with BEDS_REQUEST_ROLE_ABSENT/,
    );
    const [app] = nodes;
    assert.deepEqual(app?.roles, ['appServer']);
    assert.deepEqual(
      app.domains.map(({ domain }) => domain),
      ['orders'],
      'what another role names is not loaded here',
    );
    assert.deepEqual(
      app.stores.map(({ store, up }) => [store, up]),
      [['main', true]],
      'nor is its store opened, for which there is no password here',
    );
  });

  it('a domain of another role is called over RabbitMQ under the same terms', async (t) => {
    const { client, place, start, status } = await makeNodes(t);
    await Promise.all([start('app', 'appServer').serving, start('accounts', 'tercero').serving]);
    const orders = client.domain('orders');
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const asked = await orders.call('ask', {}, { deadlineMs: 4_000, idempotencyKey: 'k', traceparent });
    const { left, ...terms } = asked as { readonly left: number };
    assert.deepEqual(terms, { client: 'test', trace: traceparent, key: 'k', rows: 0 });
    assert.ok(left > 0 && left < 4_000, `${String(left)} ms of 4,000 are left`);

    await orders.call('keep', {});
    await assert.rejects(orders.call('sneak', {}), { code: 'BEDS_REQUEST_READ_ONLY' }, 'a read leads to no write');
    await assert.rejects(orders.call('unknown', {}), { code: 'BEDS_REQUEST_UNKNOWN_OPERATION' });
    assert.deepEqual(await orders.call('read', {}), {
      rows: [{ id: 1, text: 'kept', mark: null, version: 1 }],
      count: 1,
    });
    assert.equal(((await place.dba.query('SELECT text FROM note'))[0] as unknown[]).length, 1);

    const beganMs = performance.now();
    await assert.rejects(orders.call('slow', {}, { deadlineMs: 700 }), {
      code: 'BEDS_REQUEST_DEADLINE_EXCEEDED',
    });
    assert.ok(performance.now() - beganMs < 3_000, 'the deadline is that of the request');
    await assert.rejects(orders.call('round', {}), { code: 'BEDS_REQUEST_CALL_DEPTH' }, 'calls in a circle end');

    const { code, nodes, text } = await status();
    assert.equal(code, 0, text);
    assert.deepEqual(
      nodes.map(({ node, roles, domains, stores }) => [
        node,
        roles,
        domains.map(({ domain }) => domain),
        stores.length,
      ]),
      [
        ['accounts', ['tercero'], ['users'], 1],
        ['app', ['appServer'], ['orders'], 1],
      ],
    );
    assert.match(
      text,
      /accounts +uBroker +data +consuming +\S+\.req\.users\.read, \S+\.req\.users\.write, \S+\.unrouted/,
    );
  });

  it('a node that does not come back is waited for no longer: calls end at once, by name, until there is one', async (t) => {
    const { client, place, start } = await makeNodes(t);
    const tercero = start('accounts', 'tercero');
    await Promise.all([start('app', 'appServer').serving, tercero.serving]);
    const users = client.domain('users');
    const ask = (deadlineMs: number): Promise<unknown> => client.domain('orders').call('ask', {}, { deadlineMs });
    const code = (asked: Promise<unknown>): Promise<unknown> =>
      asked.then(
        () => 'answered',
        (error: unknown) => (error as { readonly code?: unknown }).code,
      );
    assert.equal(await code(ask(10_000)), 'answered');
    await tercero.stop();
    // n.b. its queues are there: what is asked of its domains themselves would lie in them until its deadline.
    const first = code(users.call('who', {}, { deadlineMs: 60_000 }));
    await eventually('it is said', async () => (await code(ask(2_000))) === 'BEDS_REQUEST_ROLE_ABSENT', 80_000);
    assert.equal(await first, 'BEDS_REQUEST_ROLE_ABSENT', 'also to who asked before that was certain');
    const beganMs = performance.now();
    assert.equal(await code(ask(30_000)), 'BEDS_REQUEST_ROLE_ABSENT');
    await assert.rejects(users.fetch({}, { deadlineMs: 30_000 }), {
      code: 'BEDS_REQUEST_ROLE_ABSENT',
      message: 'No node that plays the role tercero serves this domain.',
    });
    const many = Array.from({ length: 500 }, (_, index) =>
      code(users.call(index % 2 === 0 ? 'keep' : 'who', {}, { deadlineMs: 30_000, session: `bs_${String(index)}` })),
    );
    assert.deepEqual([...new Set(await Promise.all(many))], ['BEDS_REQUEST_ROLE_ABSENT'], 'reads, writes and batches');
    assert.ok(performance.now() - beganMs < 10_000, 'nobody waits for a deadline');

    // A write that nobody waits for is carried out when there is a node again, once.
    const caller = await PlainCaller.open(place);
    const body = envelope('keep', { domain: 'users', payload: {} });
    caller.send({ routingKey: 'users.keep', body, properties: { persistent: true } });
    assert.equal(await code(users.call('who', {}, { deadlineMs: 30_000 })), 'BEDS_REQUEST_ROLE_ABSENT');
    const kept = async (): Promise<number> => ((await place.dba.query('SELECT text FROM note'))[0] as unknown[]).length;
    assert.equal(await kept(), 0);
    await start('accounts', 'tercero').serving;
    await eventually('calls go on', async () => (await code(ask(10_000))) === 'answered');
    assert.equal(await code(users.call('who', {}, { deadlineMs: 30_000 })), 'answered');
    await eventually('it is carried out', async () => (await kept()) === 1);
    await quietFor(1_500);
    assert.equal(await kept(), 1);
  });

  it('the same holds for the role that means by * what no role names, also for a node that is new', async (t) => {
    const { client, place, start, status } = await makeNodes(t);
    await start('accounts', 'tercero').serving;
    const orders = client.domain('orders');
    const code = (asked: Promise<unknown>): Promise<unknown> =>
      asked.then(
        () => 'answered',
        (error: unknown) => (error as { readonly code?: unknown }).code,
      );
    await assert.rejects(orders.call('round', {}, { deadlineMs: 30_000 }), {
      code: 'BEDS_REQUEST_ROLE_ABSENT',
      message: 'No node that plays the role appServer serves this domain.',
    });
    const seen = await status();
    assert.equal(seen.code, 1);
    assert.match(
      seen.text,
      /No node plays the role appServer: requests to all domains that no role names fail with BEDS_REQUEST_ROLE_ABSENT/,
    );

    const app = start('app', 'appServer');
    await app.serving;
    assert.equal(await code(orders.call('keep', {}, { deadlineMs: 10_000 })), 'answered');
    // n.b. either node answers what RabbitMQ has no binding for.
    await eventually('both nodes know', async () => {
      const unknown = Array.from({ length: 10 }, () => code(client.domain('songs').fetch({})));
      return (await Promise.all(unknown)).every((each) => each === 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    });
    const nothing = Array.from({ length: 10 }, () => code(orders.call('nothing', {})));
    assert.deepEqual([...new Set(await Promise.all(nothing))], ['BEDS_REQUEST_UNKNOWN_OPERATION']);

    await app.kill();
    const waiting = code(orders.call('ask', {}, { deadlineMs: 60_000 }));
    // A node that was not there when the other one was learns of the domain all the same.
    const second = start('more', 'tercero');
    await second.serving;
    assert.equal(await waiting, 'BEDS_REQUEST_ROLE_ABSENT', 'also to who asked before that was certain');
    const beganMs = performance.now();
    const many = Array.from({ length: 100 }, (_, index) =>
      code(orders.call(index % 2 === 0 ? 'keep' : 'ask', {}, { deadlineMs: 30_000 })),
    );
    assert.deepEqual([...new Set(await Promise.all(many))], ['BEDS_REQUEST_ROLE_ABSENT']);
    assert.ok(performance.now() - beganMs < 10_000, 'nobody waits for a deadline');
    const caller = await PlainCaller.open(place);
    const body = envelope('keep', { domain: 'orders', payload: {} });
    caller.send({ routingKey: 'orders.keep', body, properties: { persistent: true } });
    assert.equal(await code(orders.call('ask', {}, { deadlineMs: 30_000 })), 'BEDS_REQUEST_ROLE_ABSENT');

    const kept = async (): Promise<number> => ((await place.dba.query('SELECT text FROM note'))[0] as unknown[]).length;
    assert.equal(await kept(), 1);
    await start('app', 'appServer').serving;
    await eventually('calls go on', async () => (await code(orders.call('ask', {}))) === 'answered');
    await eventually('what nobody waits for is carried out', async () => (await kept()) === 2);
    assert.equal((await status()).code, 0);
  });

  it('the other node may be killed and come back: calls go on', async (t) => {
    const { client, start } = await makeNodes(t);
    const tercero = start('accounts', 'tercero');
    await Promise.all([start('app', 'appServer').serving, tercero.serving]);
    await client.domain('orders').call('ask', {});
    await tercero.kill();
    const waiting = client.domain('orders').call('ask', {}, { deadlineMs: 30_000 });
    await start('accounts', 'tercero').serving;
    await waiting;
    await eventually('the next is answered', async () => {
      await client.domain('orders').call('ask', {});
      return true;
    });
  });
});
