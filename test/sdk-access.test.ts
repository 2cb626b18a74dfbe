import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defineDomain, fn, isBedsError, peer, procedure, t, view } from '@beds/sdk';
import { testDomain } from '@beds/sdk/testing';
import { checkManifest } from '#sdk/template';

const order = t.object({ id: t.int(), owner: t.string(), total: t.int() });

const orders = defineDomain({
  name: 'orders',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  fetch: view('order_list', order, { where: { owner: 'user.id' } }),
  create: procedure('order_create', { owner: t.string(), total: t.int() }, order).bind({ owner: 'user.id' }),
  update: procedure('order_update', { id: t.int(), total: t.int() }, order),
  delete: procedure('order_delete', { id: t.int() }),
  views: { all: view('order_all', order) },
  objects: {
    sum: fn('order_sum', { owner: t.int(), roles: t.list(t.string()), least: t.int() }, t.int()).bind({
      owner: 'user.id',
      roles: 'user.roles',
    }),
  },
  peers: { stock: peer({ as: 'domain' }), people: peer() },
  access: {
    create: 'signed-in',
    delete: ['admin'],
    all: ['auditor'],
    close: (user, input) => user.id === '7' && input['total'] !== 0,
  },
  operations: ({ query, mutation }) => ({
    close: mutation({ input: { total: t.int() } }, ({ input }) => input.total),
    sum: query({ output: t.int() }, ({ db }) => db.sum({ least: 1 })),
    who: query({}, ({ user }) => (user === undefined ? null : { id: user.id, roles: user.roles })),
  }),
});

const [ann, auditor] = [
  { id: '7', roles: [], session: 's-7' },
  { id: 'eve', roles: ['auditor', 'admin'], session: 's-eve' },
];
const rows = [
  { id: 1, owner: '7', total: 10 },
  { id: 2, owner: 'bob', total: 20 },
];
const FORBIDDEN = { code: 'BEDS_REQUEST_FORBIDDEN' };
const SIGN_IN = { code: 'BEDS_REQUEST_SIGN_IN' };

describe('what a template says of access', () => {
  it('is in its manifest, without what code is', () => {
    const { operations, objects, asDomain, peers } = orders.definition;
    const said = Object.entries(operations).map(([name, { access }]) => [name, access]);
    assert.deepEqual(Object.fromEntries(said), {
      ...{ create: 'signed-in', fetch: undefined, update: undefined, delete: ['admin'] },
      ...{ close: 'code', sum: undefined, who: undefined },
    });
    const { fetch, all, create } = objects;
    assert.deepEqual(fetch?.kind === 'view' && fetch.where, { owner: 'user.id' });
    assert.deepEqual(all?.kind === 'view' && all.access, ['auditor']);
    assert.deepEqual(create?.kind === 'procedure' && [Object.keys(create.args), create.bind], [
      ['total'],
      { owner: { from: 'user.id', value: { type: 'string' } } },
    ]);
    assert.deepEqual([peers, asDomain], [['stock', 'people'], ['stock']]);
    const files = { 'index.mjs': { sha256: 'a'.repeat(64), bytes: 1 } };
    assert.deepEqual(
      checkManifest(JSON.parse(JSON.stringify({ ...orders.definition, entry: 'index.mjs', files }))),
      [],
    );
  });

  it('is refused with everything that is wrong with it', () => {
    const base = { name: 'orders', version: '1.0.0', store: 'main', key: 'id' } as const;
    const wrong = (): unknown =>
      defineDomain({
        ...base,
        // @ts-expect-error -- a column that the view has not.
        fetch: view('order_list', { id: t.int(), tags: t.json() }, { where: { owner: 'user.id', tags: 'user.id' } }),
        // @ts-expect-error -- an argument that the procedure has not, and something that a user has not.
        create: procedure('order_create', { total: t.int() }).bind({ owner: 'user.id', total: 'user.age' }),
        update: procedure('order_update', { id: t.int(), role: t.string() }).bind({ role: 'user.roles' }),
        delete: procedure('order_delete', { id: t.int() }),
        access: { clse: 'anyone', delete: [], update: 'everybody' as never },
      });
    assert.throws(wrong, (error) => {
      assert.ok(isBedsError(error));
      for (const words of [
        'access.clse is neither an operation nor one of views',
        'operations.delete.access must be',
        'operations.update.access must be',
        'fetch.where.owner is not a column',
        'fetch.where.tags has parts',
        'create.bind.owner is no argument',
        'create.bind.total.from must be user.id or user.roles',
        'update.bind.role.value must be a list of strings or JSON',
      ]) {
        assert.ok(error.message.includes(words), `${words}\n${error.message}`);
      }
      return true;
    });
  });

  it('takes bound arguments from callers and code, in their types as well', () => {
    const client = testDomain(orders, { user: ann });
    const never = (): unknown => [
      // @ts-expect-error -- the owner is bound.
      client.create({ owner: 'bob', total: 1 }),
      client.create({ total: 1 }),
    ];
    assert.equal(typeof never, 'function');
  });
});

describe('a domain that is tested', () => {
  const made: unknown[] = [];
  const tested = testDomain(orders, {
    views: { fetch: rows, all: rows },
    objects: {
      create: (args) => {
        made.push(args);
        return { id: 3, owner: '7', total: args.total };
      },
      delete: () => 1,
      sum: (args) => {
        made.push(args);
        return 5;
      },
    },
  });

  it('lets in whom a host lets in', async () => {
    await assert.rejects(tested.create({ total: 1 }), SIGN_IN);
    await assert.rejects(tested.close({ total: 1 }), SIGN_IN);
    await assert.rejects(tested.$as(auditor).close({ total: 1 }), FORBIDDEN);
    await assert.rejects(tested.$as(ann).close({ total: 0 }), FORBIDDEN);
    assert.equal(await tested.$as(ann).close({ total: 1 }), 1);
    await assert.rejects(tested.$as(ann).delete(1), FORBIDDEN);
    assert.deepEqual(await tested.$as(auditor).delete(1), { affected: 1 });
    await assert.rejects(tested.$as(ann).fetch({ view: 'all' }), FORBIDDEN);
    assert.equal((await tested.$as(auditor).fetch({ view: 'all' })).rows.length, 2);
    assert.deepEqual([await tested.who(), await tested.$as(ann).who()], [null, { id: '7', roles: [] }]);
  });

  it('has the rows and arguments that a host binds', async () => {
    await assert.rejects(tested.fetch({}), SIGN_IN);
    const everything = { or: [{ where: { owner: 'bob' } }, { where: { total: { gte: 0 } } }], count: true } as const;
    const page = await tested.$as(ann).fetch(everything);
    assert.deepEqual([page.rows, page.count], [[rows[0]], 1]);
    await tested.$as(ann).create({ total: 4 });
    await tested.$as(ann).sum();
    assert.deepEqual(made, [
      { total: 4, owner: '7' },
      { least: 1, owner: 7, roles: [] },
    ]);
    await assert.rejects(tested.$as(auditor).sum(), FORBIDDEN, 'whose id is no number owns none');
  });
});
