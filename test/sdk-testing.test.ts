import assert from 'node:assert/strict';
import test from 'node:test';
import { conflict, defineDomain, peer, procedure, t, view, type BedsError } from '@beds/sdk';
import { testDomain } from '@beds/sdk/testing';
import { z } from 'zod';

const city = t.row({ id: t.int(), name: t.string(), population: t.int().optional() });
export const countries = defineDomain({
  ...{ name: 'countries', version: '1.0.0', store: 'main', key: 'code' },
  create: procedure('country_create', { code: t.string() }),
  fetch: view('country_list', { code: t.string(), name: t.string() }),
  update: procedure('country_update', { code: t.string() }),
  delete: procedure('country_delete', { code: t.string() }),
});

const template = defineDomain({
  name: 'cities',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  create: procedure('city_create', { name: t.string(), population: t.int().default(0) }, city),
  fetch: view('city_list', city),
  update: procedure('city_update', city.partial()),
  delete: procedure('city_delete', city.pick('id'), { gone: t.boolean() }),
  views: { large: view('large_list', city) },
  objects: {
    totals: procedure('city_totals', { country: t.string() }, { total: t.int() }),
    both: procedure('city_both', {}, [city, t.list(city.pick('name'))]),
  },
  peers: { countries: peer<typeof countries>() },
  operations: ({ query, mutation }) => ({
    profile: query(
      {
        input: { country: t.string(), top: t.int({ min: 1 }).default(2) },
        output: {
          total: t.int().optional(),
          cities: t.list(t.string()),
          name: t.string().optional(),
          by: t.string(),
          note: t.string().optional(),
        },
      },
      async ({ input, db, peers, log, self }) => {
        const [totals, cities, country] = await Promise.all([
          db.totals({ country: input.country }),
          db.fetch({ order: [{ column: 'population', direction: 'desc' }], limit: input.top }),
          peers.countries.fetch({ where: { code: input.country } }),
        ]);
        log.info('profiled', { country: input.country });
        return {
          total: totals?.total ?? null,
          cities: cities.rows.map(({ name }) => name),
          name: country.rows[0]?.name ?? null,
          by: self.operation,
        };
      },
    ),
    first: query({ output: { one: t.string(), many: t.int() } }, async ({ db }) => {
      const [one, many] = await db.both();
      return { one: one?.name ?? '', many: many.length };
    }),
    broken: mutation(
      { input: { how: t.string() }, output: { done: t.boolean() } },
      async ({ input: { how }, db, peers }) => {
        const loose = db as unknown as Readonly<Record<string, (args?: object) => Promise<never>>>;
        const others = peers as unknown as Readonly<Record<string, { fetch(): Promise<never> }>>;
        if (how === 'throws') throw new TypeError('oops');
        if (how === 'conflict') throw conflict('Taken.');
        if (how === 'alias') return loose['creat']?.() as never;
        if (how === 'args') return loose['create']?.({ nam: 1 }) as never;
        if (how === 'domain') return others['planets']?.fetch() as never;
        if (how === 'fake') return loose['delete']?.({ id: 1 }) as never;
        if (how === 'date') return { done: new Date() } as never;
        if (how === 'more') return { done: true, more: 1 } as never;
        return undefined as never;
      },
    ),
    totals: query.of('totals'),
    anything: query({ input: { what: t.string() } }, ({ input: { what } }) => ODD[what] as never),
  }),
  async setup({ db, log }) {
    await db.fetch({ limit: 1 });
    log.debug('ready');
  },
});

const circle: { self?: unknown } = {};
circle.self = circle;
/** What JSON cannot carry as it is, each as a part of a result that nothing is declared of. */
const ODD: Readonly<Record<string, unknown>> = {
  nan: { a: [1, Number.NaN] },
  infinity: Number.POSITIVE_INFINITY,
  date: { at: new Date(0) },
  bigint: { count: 1n },
  bytes: { hash: new Uint8Array(2) },
  hole: [undefined],
  map: new Map(),
  code: { run: () => 1 },
  circle,
};

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

test('an operation that is made of an object takes and gives what the object does', async () => {
  const cities = testDomain(template, {
    objects: { totals: ({ country }) => (country === 'CH' ? { total: 3 } : undefined) },
  });
  assert.deepEqual(await cities.totals({ country: 'CH' }), { total: 3 });
  assert.equal(await cities.totals({ country: 'AT' }), null);
  await assert.rejects(cities.totals({} as never), failure('BEDS_REQUEST_INVALID', 'payload.country'));
  assert.deepEqual(cities.$calls, [
    { alias: 'totals', args: { country: 'CH' } },
    { alias: 'totals', args: { country: 'AT' } },
  ]);
});

test('the four operations run against the fakes', async () => {
  const cities = testDomain(template, {
    objects: {
      create: ({ name, population }) => ({ id: 9, name, population }),
      update: ({ id }) => (id === 1 ? 1 : 0),
      delete: async () => ({ gone: true }),
    },
    views: { fetch: rows },
  });
  assert.deepEqual(await cities.create({ name: 'Genf' }), { id: 9, name: 'Genf', population: 0 });
  assert.deepEqual(await cities.update(1, { name: 'Zug' }), { affected: 1 });
  await assert.rejects(cities.update(2, { name: 'Zug' }), failure('BEDS_TEMPLATE_NOT_FOUND'));
  assert.deepEqual(await cities.delete(1), { gone: true });
  assert.deepEqual(await cities.fetch({ key: 2 }), { rows: [rows[1]] });
  assert.deepEqual(cities.$calls, [
    { alias: 'create', args: { name: 'Genf', population: 0 } },
    { alias: 'update', args: { id: 1, name: 'Zug' } },
    { alias: 'update', args: { id: 2, name: 'Zug' } },
    { alias: 'delete', args: { id: 1 } },
  ]);
});

test('where, order, limit and cursor apply to the given rows', async () => {
  const cities = testDomain(template, { views: { fetch: rows } });
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
  const cities = testDomain(template, {
    objects: { totals: () => ({ total: 330 }), both: () => [{ id: 1, name: 'Zug' }, [{ name: 'Bern' }]] as const },
    views: { fetch: rows },
    peers: { countries: { fetch: async () => ({ rows: [{ code: 'CH', name: 'Schweiz' }] }) } },
  });
  await cities.$setup();
  assert.deepEqual(await cities.profile({ country: 'CH' }), {
    total: 330,
    cities: ['Basel', 'Bern'],
    name: 'Schweiz',
    by: 'profile',
    note: null,
  });
  assert.deepEqual(cities.$log, [
    { level: 'debug', message: 'ready', fields: {} },
    { level: 'info', message: 'profiled', fields: { country: 'CH' } },
  ]);
  await assert.rejects(cities.profile({ country: 'CH', top: 0 }), failure('BEDS_REQUEST_INVALID', 'payload.top'));
});

test('mistakes of the code give the errors that a host gives', async () => {
  const cities = testDomain(template, {});
  const expected = {
    throws: 'BEDS_REQUEST_TEMPLATE_FAULT',
    conflict: 'BEDS_TEMPLATE_CONFLICT',
    args: 'BEDS_REQUEST_INVALID',
    fake: 'BEDS_TESTING_NO_FAKE',
    date: 'BEDS_REQUEST_BAD_RESULT',
    more: 'BEDS_REQUEST_BAD_RESULT',
    nothing: 'BEDS_REQUEST_BAD_RESULT',
  };
  for (const [how, code] of Object.entries(expected)) {
    await assert.rejects(cities.broken({ how }), failure(code), how);
  }
  await assert.rejects(cities.fetch({}), failure('BEDS_TESTING_NO_FAKE'));
  const loose = cities as unknown as { call(operation: string, input: object): Promise<unknown> };
  await assert.rejects(loose.call('nope', {}), failure('BEDS_REQUEST_UNKNOWN_OPERATION'));
  assert.throws(() => testDomain({} as never), failure('BEDS_TEMPLATE_INVALID'));
});

test('a schema of any library has its types, and its paths, also where these are arrays of a class', async () => {
  /** As arktype has it: `map` of such an array makes another one, of what it takes for items. */
  class Path extends Array<PropertyKey> {
    constructor(...keys: readonly PropertyKey[]) {
      super();
      this.push(...keys);
    }
  }
  /** As valibot and arktype declare it: what goes in is not what comes out, and the vendor is a literal. */
  const size: {
    readonly '~standard': {
      readonly version: 1;
      readonly vendor: 'arktype';
      readonly validate: (
        value: unknown,
      ) =>
        | { readonly value: { n: number }; readonly issues?: undefined }
        | { readonly issues: readonly { message: string; path: Path }[] };
      readonly types?: { readonly input: { n?: number }; readonly output: { n: number } } | undefined;
    };
  } = {
    '~standard': {
      version: 1,
      vendor: 'arktype',
      validate: (value) => {
        if (typeof value !== 'object') return { issues: [{ message: 'must be an object', path: new Path() }] };
        const { n = 3 } = value as { n?: unknown };
        return typeof n === 'number'
          ? { value: { n } }
          : { issues: [{ message: 'must be a number', path: new Path('n') }] };
      },
    },
  };
  const sized = defineDomain({
    ...{ name: 'sizes', version: '1.0.0', store: 'main', key: 'id' },
    operations: ({ query, pages, unsupported }) => ({
      ...{ create: unsupported(), update: unsupported(), delete: unsupported() },
      fetch: pages({ id: t.int() }, () => ({ rows: [] })),
      twice: query({ input: size, output: t.int() }, ({ input }) => 2 * input.n),
      inside: query({ input: { size }, output: size }, ({ input }) => ({ n: input.size.n })),
    }),
  });
  const sizes = testDomain(sized);
  assert.equal(await sizes.twice({}), 6);
  assert.deepEqual(await sizes.inside({ size: { n: 4 } }), { n: 4 });
  await assert.rejects(sizes.twice({ n: 'four' as never }), { field: 'payload.n' });
  await assert.rejects(sizes.inside({ size: { n: 'four' as never } }), { field: 'payload.size.n' });
});

test('a comparison with undefined is refused, by its column', async () => {
  const asking = defineDomain({
    ...{ name: 'cities', version: '1.0.0', store: 'main', key: 'id' },
    fetch: view('city_list', { id: t.int(), name: t.string() }),
    operations: ({ query, unsupported }) => ({
      ...{ create: unsupported(), update: unsupported(), delete: unsupported() },
      named: query({ input: { name: t.string().optional() }, output: t.int() }, async ({ input, db }) => {
        const { name } = input;
        return (await db.fetch({ where: { id: { gt: 0 }, ...('name' in input && { name }) } })).rows.length;
      }),
      unnamed: query(
        { output: t.int() },
        async ({ db }) => (await db.fetch({ where: { name: undefined as never } })).rows.length,
      ),
      unbounded: query(
        { output: t.int() },
        async ({ db }) => (await db.fetch({ where: { id: { gt: 0, lt: undefined as never } } })).rows.length,
      ),
    }),
  });
  const tested = testDomain(asking, { views: { fetch: [{ id: 1, name: 'Zug' }] } });
  assert.equal(await tested.named({}), 1);
  await assert.rejects(tested.unnamed({}), {
    code: 'BEDS_STORE_QUERY_INVALID',
    field: 'query.where.name',
    message: /undefined/,
  });
  await assert.rejects(tested.unbounded({}), {
    code: 'BEDS_STORE_QUERY_INVALID',
    field: 'query.where.id',
    message: /undefined/,
  });
});

test('a further view is fetched from by its name', async () => {
  const cities = testDomain(template, { views: { fetch: rows, large: [rows[3] ?? {}] } });
  const page = await cities.fetch({ view: 'large', where: { id: { gt: 1 } } });
  assert.deepEqual(page.rows, [rows[3]]);
  await assert.rejects(cities.fetch({ view: 'small' as 'large' }), failure('BEDS_REQUEST_INVALID', 'query.view'));
});

test('several result sets come as they are declared', async () => {
  const cities = testDomain(template, {
    objects: { both: () => [{ id: 1, name: 'Zug' }, [{ name: 'Bern' }]] as const },
  });
  assert.deepEqual(await cities.first(), { one: 'Zug', many: 1 });
});

test('rows of a routine that are not as declared are named by their column', async () => {
  const wrong = (total: unknown): Promise<unknown> =>
    testDomain(template, {
      objects: { totals: () => ({ total }) as never },
      views: { fetch: rows },
      peers: { countries: { fetch: () => ({ rows: [] }) } },
    }).profile({ country: 'CH' });
  await assert.rejects(wrong('many'), failure('BEDS_STORE_VALUE_UNFIT', 'total'));
  await assert.rejects(wrong(undefined), /total is missing/);
  await assert.rejects(wrong(null), /total is null, and not declared optional/);
  await assert.rejects(wrong('9007199254740993'), /total must be a whole number/);
  assert.equal(((await wrong('330')) as { readonly total: unknown }).total, 330);
});

test('what JSON cannot carry is refused by name, never changed', async () => {
  const cities = testDomain(template, {});
  for (const what of Object.keys(ODD)) {
    await assert.rejects(cities.anything({ what }), failure('BEDS_REQUEST_BAD_RESULT'), what);
  }
  await assert.rejects(cities.anything({ what: 'nan' }), failure('BEDS_REQUEST_BAD_RESULT', 'result.a[1]'));
  await assert.rejects(cities.anything({ what: 'date' }), /result\.at must be JSON: Date is not/);
});

test('what a schema makes of a result is JSON, or refused by name', async () => {
  const domain = testDomain(
    defineDomain({
      ...{ name: 'schemas', version: '1.0.0', store: 'main', key: 'code' },
      create: procedure('x_create', { code: t.string() }),
      fetch: view('x_list', { code: t.string() }),
      update: procedure('x_update', { code: t.string() }),
      delete: procedure('x_delete', { code: t.string() }),
      operations: ({ query }) => ({
        date: query({ output: { at: z.date() } }, () => ({ at: new Date(0) })),
        big: query({ output: { at: z.bigint() } }, () => ({ at: 1n })),
        nan: query({ output: { at: z.any() } }, () => ({ at: Number.NaN })),
        map: query({ output: { at: z.string().transform((text) => new Map([[text, 1]])) } }, () => ({ at: 'x' })),
        text: query({ output: { at: z.string().transform((text) => text.length) } }, () => ({ at: 'four' })),
      }),
    }),
    {},
  );
  for (const name of ['date', 'big', 'nan', 'map']) {
    await assert.rejects(domain.call(name as 'date', {}), failure('BEDS_REQUEST_BAD_RESULT', 'result.at'), name);
  }
  assert.deepEqual(await domain.text({}), { at: 4 });
});

test('numbers that come as text, and instants, are compared by what they are', async () => {
  const price = t.row({ id: t.int(), price: t.decimal(), size: t.bigint(), at: t.datetime() });
  const domain = testDomain(
    defineDomain({
      ...{ name: 'prices', version: '1.0.0', store: 'main', key: 'id' },
      create: procedure('price_create', price.omit('id'), price),
      fetch: view('price_list', price),
      update: procedure('price_update', price.partial(), price),
      delete: procedure('price_delete', price.pick('id')),
    }),
    {
      views: {
        fetch: [
          { id: 1, price: '9.50', size: '9', at: '2026-01-01T00:00:00Z' },
          { id: 2, price: '10', size: '-10', at: '2026-01-01T00:00:00.000001Z' },
        ],
      },
    },
  );
  const found = async (query: Parameters<typeof domain.fetch>[0]): Promise<readonly unknown[]> =>
    (await domain.fetch(query)).rows.map((row) => (row as { readonly id: number }).id);
  assert.deepEqual(await found({ where: { price: { gt: '9.5' } } }), [2]);
  assert.deepEqual(await found({ where: { price: '9.5' } }), [1]);
  assert.deepEqual(await found({ where: { size: { between: ['-11', '8'] } } }), [2]);
  assert.deepEqual(await found({ order: [{ column: 'size' }] }), [2, 1]);
  assert.deepEqual(await found({ where: { at: '2026-01-01T01:00:00+01:00' } }), [1]);
  assert.deepEqual(await found({ where: { at: { gt: '2026-01-01T00:00:00Z' } } }), [2]);
});

test('a peer is an object like others beside its operations', async () => {
  const domain = testDomain(
    defineDomain({
      ...{ name: 'callers', version: '1.0.0', store: 'main', key: 'code' },
      create: procedure('x_create', { code: t.string() }),
      fetch: view('x_list', { code: t.string() }),
      update: procedure('x_update', { code: t.string() }),
      delete: procedure('x_delete', { code: t.string() }),
      peers: { countries: peer<typeof countries>() },
      operations: ({ query }) => ({
        show: query({}, ({ peers }) => [typeof peers.countries.toString, JSON.stringify(peers)]),
      }),
    }),
    {},
  );
  // n.b. an operation named toJSON would be asked for.
  assert.deepEqual(await domain.show({}), ['function', '{"countries":{}}']);
});
