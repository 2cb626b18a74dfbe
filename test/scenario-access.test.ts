import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError, type JsonObject, type ViewQuery } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { startTestHost, type TestHost } from './support/host.js';
import { sharedServices, type Teardown } from './support/services.js';
import { sessionsBundle, tokenOf } from './support/sessions-domain.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const ORDERS = 40;
const [string, integer] = [{ type: 'string' } as const, { type: 'integer' } as const];
const columns = { id: integer, owner: string, total: integer };
const row = { type: 'object', fields: columns };
const owner = { owner: { from: 'user.id', value: string } };

const SCHEMA = [
  'CREATE TABLE placed (id BIGINT PRIMARY KEY, owner VARCHAR(64) COLLATE utf8mb4_bin NOT NULL, total INT NOT NULL)',
  'CREATE SQL SECURITY DEFINER VIEW placed_list AS SELECT id, owner, total FROM placed',
  `CREATE PROCEDURE placed_update(IN id BIGINT, IN total INT, IN owner VARCHAR(64)) SQL SECURITY DEFINER
   BEGIN
     UPDATE placed SET placed.total = total WHERE placed.id = id AND placed.owner = owner;
     SELECT placed.id, placed.owner, placed.total FROM placed WHERE placed.id = id AND placed.owner = owner;
   END`,
  `CREATE PROCEDURE placed_delete(IN id BIGINT, IN owner VARCHAR(64)) SQL SECURITY DEFINER
   BEGIN DELETE FROM placed WHERE placed.id = id AND placed.owner = owner; END`,
  `CREATE FUNCTION placed_sum(owner VARCHAR(64)) RETURNS INT SQL SECURITY DEFINER READS SQL DATA
   RETURN (SELECT SUM(placed.total) FROM placed WHERE placed.owner = owner)`,
];

const view = { kind: 'view', name: 'placed_list', columns, where: { owner: 'user.id' } };
const orders: BundleOptions = {
  ...{ domain: 'orders', name: 'orders.mjs', form: 'file' },
  objects: {
    fetch: view,
    shared: { ...view, share: true, fetchable: true },
    update: {
      kind: 'procedure',
      name: 'placed_update',
      args: { id: integer, total: integer },
      bind: owner,
      returns: row,
    },
    delete: { kind: 'procedure', name: 'placed_delete', args: { id: integer }, bind: owner },
    sum: { kind: 'function', name: 'placed_sum', args: {}, bind: owner, returns: integer },
  },
  body: {
    fetchRecords: `return ctx.view('fetch', query);`,
    updateRecord: `const done = await ctx.call('update', payload); if (done === undefined) throw missing(); return done;`,
    deleteRecord: `const done = await ctx.call('delete', { id }); if (done.affected === 0) throw missing(); return done;`,
  },
  head: `const missing = () => Object.assign(new Error('There is no such record.'), { [Symbol.for('beds.error')]: true, code: 'BEDS_TEMPLATE_NOT_FOUND', status: 'not-found', verdict: 'ack', retryable: false });`,
  operations: {
    sum: { mode: 'read', run: `return ctx.call('sum');` },
    inside: {
      mode: 'read',
      run: `return ctx.transaction(async (tx) => (await tx.view('fetch', { limit: 100 })).rows);`,
    },
  },
};
/** Another domain, which reads orders for whoever asks it. */
const invoices: BundleOptions = {
  ...{ domain: 'invoices', name: 'invoices.mjs', form: 'file', objects: {}, peers: ['orders'] },
  operations: { all: { mode: 'read', run: `return (await ctx.domain('orders').fetch({ limit: 100 })).rows;` } },
};

async function started(teardown: Teardown, config: Readonly<Record<string, unknown>> = {}): Promise<TestHost> {
  const host = await startTestHost(teardown, { services, config });
  for (const statement of SCHEMA) await host.dba.query(statement);
  const names = ['PROCEDURE placed_update', 'PROCEDURE placed_delete', 'FUNCTION placed_sum'];
  const grants = ['SELECT ON placed_list', ...names.map((name) => `EXECUTE ON ${name}`)];
  for (const grant of grants) {
    const target = grant.replace(/(\w+)$/, `${host.prefix}.$1`);
    await host.dba.query(`GRANT ${target} TO '${host.prefix}'@'%'`);
  }
  const rows = Array.from({ length: ORDERS }, (_, id) => [id, id % 2 === 0 ? 'ann' : 'bob', id * 10]);
  await host.dba.query('INSERT INTO placed (id, owner, total) VALUES ?', [rows]);
  const bundles = [sessionsBundle({ ann: [], bob: [], eve: ['admin'] }), orders, invoices];
  for (const bundle of bundles) await writeBundle(host.pluginsDirectory, bundle);
  for (const { domain = '' } of bundles) await host.active(domain, '1.0.0');
  return host;
}

const idsOf = (rows: readonly JsonObject[]): readonly unknown[] => rows.map(({ id }) => id);
const codeOf = (error: unknown): unknown => (isBedsError(error) ? error.code : error);

describe('orders that belong to users', () => {
  it('are found and changed by their owners only, whatever is asked', async (t) => {
    const host = await started(t);
    const client = await host.connectClient();
    const ordersOf = client.domain('orders');
    const as = (id: string): { readonly session: string } => ({ session: tokenOf(id) });
    const evens = Array.from({ length: ORDERS / 2 }, (_, n) => n * 2);
    const all: ViewQuery = { limit: 100 };
    const everything = { where: { total: { gte: 0 } } };
    const crafted: readonly ViewQuery[] = [
      all,
      { ...all, where: { owner: { ne: 'ann' } } },
      { ...all, where: { owner: { in: ['ann', 'bob'] } } },
      { ...all, or: [{ where: { owner: 'bob' } }, everything] },
      { ...all, not: { where: { owner: 'ann' } }, or: [everything] },
      { ...all, and: [{ or: [{ not: { where: { owner: 'ann' } } }, { where: { owner: 'bob' } }] }] },
      { ...all, order: [{ column: 'owner', direction: 'desc' }] },
    ];
    for (const query of crafted) {
      for (const asked of [query, { ...query, view: 'shared' }]) {
        const { rows } = await ordersOf.fetch(asked, as('ann'));
        assert.deepEqual(
          rows.filter((found) => found['owner'] !== 'ann'),
          [],
        );
        const { count = -1 } = await ordersOf.fetch({ ...asked, count: true, limit: 0 }, as('ann'));
        assert.equal(count, rows.length);
      }
    }
    assert.deepEqual(idsOf((await ordersOf.fetch(all, as('ann'))).rows), evens);
    assert.deepEqual((await ordersOf.fetch({ key: 1 }, as('ann'))).rows, []);
    assert.deepEqual(idsOf((await ordersOf.fetch({ key: 2 }, as('ann'))).rows), [2]);
    assert.deepEqual(idsOf((await ordersOf.call('inside', {}, as('ann'))) as JsonObject[]), evens);
    assert.deepEqual(idsOf((await client.domain('invoices').call('all', {}, as('ann'))) as JsonObject[]), evens);
    assert.equal(
      await ordersOf.call('sum', {}, as('ann')),
      evens.reduce((sum, id) => sum + id * 10, 0),
    );

    const { cursor = '' } = await ordersOf.fetch({ limit: 2 }, as('bob'));
    await assert.rejects(ordersOf.fetch({ limit: 2, cursor }, as('ann')), { code: 'BEDS_STORE_CURSOR_INVALID' });

    const refusals = await Promise.all(
      [1, 999].flatMap((key) =>
        [ordersOf.update(key, { total: 0 }, as('ann')), ordersOf.delete(key, as('ann'))].map((asked) =>
          asked.then(() => 'done', codeOf),
        ),
      ),
    );
    assert.deepEqual(new Set(refusals), new Set(['BEDS_TEMPLATE_NOT_FOUND']), 'what is another’s is not there');
    const forged = { total: 0, owner: 'bob' } as never;
    await assert.rejects(ordersOf.update(1, forged, as('ann')), isBedsError);
    assert.deepEqual(await ordersOf.update(2, { total: 7 }, as('ann')), { id: 2, owner: 'ann', total: 7 });
    const [bobs] = await host.dba.query("SELECT COUNT(*) AS n FROM placed WHERE owner = 'bob' AND total = id * 10");
    assert.deepEqual((bobs as readonly JsonObject[])[0]?.['n'], ORDERS / 2);

    for (const asked of [
      () => ordersOf.fetch(all),
      () => ordersOf.fetch({ key: 2 }),
      () => ordersOf.call('sum', {}),
      () => client.domain('invoices').call('all', {}),
    ]) {
      await assert.rejects(asked(), { code: 'BEDS_REQUEST_SIGN_IN' });
    }
  });

  it('are never mixed by reads that go together, in one message or in many', async (t) => {
    const host = await started(t, { threads: { default: { count: 1 } } });
    const clients = [await host.connectClient(), await host.connectClient({ batching: false })];
    const asked: Promise<void>[] = [];
    const ask = (client: BedsClient, n: number): Promise<void> => {
      const id = n % 2 === 0 ? 'ann' : 'bob';
      const key = n % ORDERS;
      const query: ViewQuery | { readonly key: number } =
        n % 3 === 0
          ? { key }
          : n % 3 === 1
            ? { where: { total: { gte: key } }, limit: 100 }
            : { view: 'shared', limit: 100 };
      return client
        .domain('orders')
        .fetch(query, { session: tokenOf(id), deadlineMs: 30_000 })
        .then(({ rows }) => {
          assert.deepEqual(
            rows.filter((found) => found['owner'] !== id),
            [],
          );
          if ('key' in query) assert.equal(rows.length, Number(key % 2 === n % 2));
          else assert.ok(rows.length > 0);
        });
    };
    for (let n = 0; n < 600; n += 1) asked.push(...clients.map((client) => ask(client, n)));
    await Promise.all(asked);
  });
});

describe('a session', () => {
  it('that is revoked is nobody’s at once, on every thread', async (t) => {
    const host = await started(t);
    const client = await host.connectClient({ batching: false });
    const channel = await host.plainChannel();
    const ask = (id: string): Promise<unknown> =>
      client
        .domain('orders')
        .fetch({ limit: 1 }, { session: tokenOf(id) })
        .then(() => 'in', codeOf);
    const askAll = async (id: string): Promise<ReadonlySet<unknown>> =>
      new Set(await Promise.all(Array.from({ length: 20 }, () => ask(id))));
    const end = (isOver: boolean): Promise<unknown> =>
      Promise.all(
        Array.from({ length: 40 }, () => client.domain('sessions').call('end', { session: 's-ann', isOver })),
      );
    // n.b. whoever keeps the sessions knows before it says so; the threads go on with what they know.
    await eventually('both threads keep what they know', async () => {
      await end(false);
      await Promise.all([askAll('ann'), askAll('bob')]);
      await end(true);
      const seen = await askAll('ann');
      return seen.size === 1 && seen.has('in');
    });
    channel.publish(`${host.prefix}.events`, 'session.revoked', Buffer.from(JSON.stringify({ session: 's-ann' })));
    const saidAtMs = performance.now();
    await eventually('it is refused', async () => {
      const seen = await askAll('ann');
      return seen.size === 1 && seen.has('BEDS_REQUEST_SIGN_IN');
    });
    const tookMs = performance.now() - saidAtMs;
    t.diagnostic(`${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < 1_000, `${String(tookMs)} ms`);
    assert.deepEqual(await askAll('bob'), new Set(['in']));
  });

  it('cannot be asked for by anybody but hosts, and its token is in no line of the log', async (t) => {
    const host = await started(t);
    const client = await host.connectClient();
    const as = { session: tokenOf('eve') };
    await assert.rejects(client.domain('sessions').call('resolve', { tokenHash: 'a' }), {
      code: 'BEDS_REQUEST_FORBIDDEN',
    });
    await assert.rejects(client.domain('sessions').call('resolve', { tokenHash: 'a' }, as), {
      code: 'BEDS_REQUEST_FORBIDDEN',
    });
    const replies = await Promise.all([
      client.request({ v: 1, id: 'a', domain: 'orders', op: 'fetch', query: { where: { none: 1 } }, meta: as }),
      client.request({ v: 1, id: 'b', domain: 'orders', op: 'no-such', payload: {}, meta: as }),
      client.request({ v: 1, id: 'c', domain: 'orders', op: 'update', key: 1, payload: { total: 'x' }, meta: as }),
      client.request({ v: 1, id: 'd', domain: 'orders', op: 'fetch', meta: { session: `${tokenOf('eve')}-wrong` } }),
    ]);
    assert.deepEqual(
      replies.map(({ ok }) => ok),
      [false, false, false, false],
    );
    assert.doesNotMatch(JSON.stringify([replies, host.log]), /secret-token/);
  });
});
