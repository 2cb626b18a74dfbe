import assert from 'node:assert/strict';
import test from 'node:test';
import { conflict, defineTemplate, routine, view, type BedsError } from '@beds/sdk';
import { testTemplate } from '@beds/sdk/testing';

const template = defineTemplate({
  domain: 'cities',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  objects: {
    create: routine('city_create', { name: 'string', population: { type: 'integer', default: 0 } }),
    fetch: view('city_list', { id: 'integer', name: 'string', population: 'integer' }),
    update: routine('city_update', { id: 'integer', name: 'string?' }),
    delete: routine('city_delete', { id: 'integer' }),
    totals: routine('city_totals', { country: 'string' }),
  },
  domains: ['countries'],
  operations: {
    profile: {
      mode: 'read',
      args: { country: 'string', top: { type: 'integer', default: 2, min: 1 } },
      async run(input, ctx) {
        const [totals, cities, country] = await Promise.all([
          ctx.call('totals', { country: input.country }),
          ctx.view('fetch', { order: [{ column: 'population', direction: 'desc' }], limit: input.top }),
          ctx.domain('countries').fetch({ where: { code: input.country } }),
        ]);
        ctx.log.info('profiled', { country: input.country });
        return {
          total: totals.rows[0]?.['total'] ?? null,
          cities: cities.rows.map((city) => city.name),
          name: country.rows[0]?.['name'] ?? null,
          by: ctx.self.operation,
        };
      },
    },
    broken: {
      mode: 'write',
      args: { how: 'string' },
      async run({ how }, ctx) {
        const loose = ctx as unknown as {
          call(a: string, b?: object): Promise<never>;
          view(a: string): Promise<never>;
          domain(n: string): never;
        };
        if (how === 'throws') throw new TypeError('oops');
        if (how === 'conflict') throw conflict('Taken.');
        if (how === 'alias') return loose.call('creat');
        if (how === 'kind') return loose.view('create');
        if (how === 'args') return loose.call('create', { nam: 1 });
        if (how === 'domain') return loose.domain('planets');
        if (how === 'fake') return loose.call('delete', { id: 1 });
        return undefined as never;
      },
    },
  },
  async setup(ctx) {
    await ctx.view('fetch', { limit: 1 });
    ctx.log.debug('ready');
  },
});

const rows = [
  { id: 1, name: 'Zug', population: 30 },
  { id: 2, name: 'Bern', population: 130 },
  { id: 3, name: 'Chur', population: null },
  { id: 4, name: 'Basel', population: 170 },
];

function failure(code: string, field?: string): (error: BedsError) => boolean {
  return (error) => {
    assert.equal(error.code, code, error.message);
    if (field !== undefined) assert.equal(error.field, field);
    return true;
  };
}

test('the four operations run against the fakes', async () => {
  const cities = testTemplate(template, {
    objects: {
      create: ({ name, population }) => [{ id: 9, name, population }],
      update: ({ id }) => (id === 1 ? 1 : 0),
      delete: async () => ({ affected: 1, rows: [{ gone: true }] }),
    },
    views: { fetch: rows },
  });
  assert.deepEqual(await cities.create({ name: 'Genf' }), { id: 9, name: 'Genf', population: 0 });
  assert.deepEqual(await cities.update(1, { name: 'Zug' }), { affected: 1 });
  await assert.rejects(cities.update(2, { name: 'Zug' }), failure('BEDS_TEMPLATE_NOT_FOUND'));
  assert.deepEqual(await cities.delete(1), { gone: true });
  assert.deepEqual(await cities.fetch({ key: 2 }), { rows: [rows[1]] });
  assert.deepEqual(cities.calls, [
    { alias: 'create', args: { name: 'Genf', population: 0 } },
    { alias: 'update', args: { id: 1, name: 'Zug' } },
    { alias: 'update', args: { id: 2, name: 'Zug' } },
    { alias: 'delete', args: { id: 1 } },
  ]);
});

test('where, order, limit and cursor apply to the given rows', async () => {
  const cities = testTemplate(template, { views: { fetch: rows } });
  const names = async (query: Parameters<typeof cities.fetch>[0]): Promise<unknown[]> =>
    (await cities.fetch(query)).rows.map(({ name }) => name);
  assert.deepEqual(await names({ where: { name: 'Zug' } }), ['Zug']);
  assert.deepEqual(await names({ where: { population: { gte: 30, lt: 170 } } }), ['Zug', 'Bern']);
  assert.deepEqual(await names({ where: { population: null } }), ['Chur']);
  assert.deepEqual(await names({ where: { population: { ne: 30 }, name: { prefix: 'B' } } }), ['Bern', 'Basel']);
  assert.deepEqual(await names({ where: { id: { in: [1, 4] } } }), ['Zug', 'Basel']);
  assert.deepEqual(await names({ where: { population: { between: [30, 140] }, name: { contains: 'u' } } }), ['Zug']);
  assert.deepEqual(await names({ not: { where: { population: { lt: 140 } } } }), ['Chur', 'Basel']);
  const either = [{ where: { population: { isNull: true } } }, { where: { name: 'Zug' } }] as const;
  assert.deepEqual(await names({ or: either }), ['Zug', 'Chur']);
  assert.deepEqual(await names({ or: either, and: [{ where: { id: { gt: 1 } } }] }), ['Chur']);
  assert.deepEqual(await cities.fetch({ or: either, count: true, limit: 0 }), { rows: [], count: 2 });
  assert.deepEqual(await names({ order: [{ column: 'population' }] }), ['Chur', 'Zug', 'Bern', 'Basel']);
  const order = [{ column: 'name', direction: 'desc' }] as const;
  const pages = [];
  for await (const page of cities.fetchAll({ order, limit: 3 })) pages.push(page.rows.map(({ name }) => name));
  assert.deepEqual(pages, [['Zug', 'Chur', 'Bern'], ['Basel']]);
  const { cursor = '' } = await cities.fetch({ order, limit: 3 });
  await assert.rejects(cities.fetch({ limit: 3, cursor }), failure('BEDS_STORE_CURSOR_INVALID'));
  const loose = cities as unknown as { fetch(query: object): Promise<unknown> };
  await assert.rejects(loose.fetch({ where: { mayor: 1 } }), failure('BEDS_STORE_QUERY_INVALID', 'query.where.mayor'));
  const unknown = (field: string): ReturnType<typeof failure> => failure('BEDS_STORE_QUERY_INVALID', field);
  await assert.rejects(loose.fetch({ where: { id: { like: 1 } } }), unknown('query.where.id.like'));
  await assert.rejects(loose.fetch({ Where: { id: 1 } }), unknown('query.Where'));
  await assert.rejects(
    loose.fetch({ order: [{ column: 'id', Direction: 'desc' }] }),
    unknown('query.order[0].Direction'),
  );
  const listed = { order: ['name' as never] };
  await assert.rejects(loose.fetch(listed), { message: 'query.order[0] must be { column, direction }.' });
  await assert.rejects(loose.fetch({ limit: 0 }), failure('BEDS_STORE_QUERY_INVALID', 'query.limit'));
});

test('a custom operation calls objects, views and other domains at once', async () => {
  const cities = testTemplate(template, {
    objects: { totals: () => [{ total: 330 }] },
    views: { fetch: rows },
    domains: { countries: { fetch: async () => ({ rows: [{ name: 'Schweiz' }] }) } },
  });
  await cities.setup();
  assert.deepEqual(await cities.call('profile', { country: 'CH' }), {
    total: 330,
    cities: ['Basel', 'Bern'],
    name: 'Schweiz',
    by: 'profile',
  });
  assert.deepEqual(cities.log, [
    { level: 'debug', message: 'ready', fields: {} },
    { level: 'info', message: 'profiled', fields: { country: 'CH' } },
  ]);
  await assert.rejects(
    cities.call('profile', { country: 'CH', top: 0 }),
    failure('BEDS_REQUEST_INVALID', 'payload.top'),
  );
});

test('mistakes of the code give the errors that a host gives', async () => {
  const cities = testTemplate(template, {});
  const expected = {
    throws: 'BEDS_REQUEST_TEMPLATE_FAULT',
    conflict: 'BEDS_TEMPLATE_CONFLICT',
    alias: 'BEDS_REQUEST_UNDECLARED',
    kind: 'BEDS_REQUEST_UNDECLARED',
    args: 'BEDS_REQUEST_INVALID',
    domain: 'BEDS_REQUEST_UNDECLARED',
    fake: 'BEDS_TESTING_NO_FAKE',
    nothing: 'BEDS_REQUEST_BAD_RESULT',
  };
  for (const [how, code] of Object.entries(expected)) {
    await assert.rejects(cities.call('broken', { how }), failure(code), how);
  }
  await assert.rejects(cities.fetch({}), failure('BEDS_TESTING_NO_FAKE'));
  const loose = cities as unknown as { call(operation: string, input: object): Promise<unknown> };
  await assert.rejects(loose.call('nope', {}), failure('BEDS_REQUEST_UNKNOWN_OPERATION'));
  assert.throws(() => testTemplate({} as never), failure('BEDS_TEMPLATE_INVALID'));
});
