import assert from 'node:assert/strict';
import test from 'node:test';
import {
  type Affected,
  type Call,
  defineDomain,
  fn,
  type Json,
  operationsOf,
  type Page,
  peer,
  procedure,
  t,
  type TypesOf,
  view,
} from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { testDomain } from '@beds/sdk/testing';

/* eslint-disable @typescript-eslint/no-unsafe-call -- what is called by mistake has no type. */

// What this file proves, it proves when tsc compiles it: every @ts-expect-error is an error, everything else is not.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function sameType<A, B>(_same: Same<A, B>): void {
  assert.ok(true);
}

const city = t.row({
  id: t.int(),
  name: t.string({ max: 100 }),
  kind: t.enum(['town', 'village']),
  population: t.int().optional(),
});
interface City {
  readonly id: number;
  readonly name: string;
  readonly kind: 'town' | 'village';
  readonly population: number | null;
}
const identity = { name: 'cities', version: '1.0.0', store: 'main', key: 'id' } as const;
const core = {
  create: procedure('city_create', city.omit('id'), city),
  fetch: view('city_list', city),
  update: procedure('city_update', city.partial(), city).idempotent(),
  delete: procedure('city_delete', city.pick('id')),
};

const countries = defineDomain({
  ...{ name: 'countries', version: '1.0.0', store: 'main', key: 'code' },
  create: procedure('country_create', { code: t.string() }),
  fetch: view('country_list', { code: t.string(), area: t.number().optional() }),
  update: procedure('country_update', { code: t.string(), area: t.number() }),
  delete: procedure('country_delete', { code: t.string() }),
  operations: ({ query }) => ({
    area: query({ input: { code: t.string() }, output: { area: t.number().optional() } }, () => ({})),
  }),
});

const cities = defineDomain({
  ...identity,
  ...core,
  views: { towns: view('town_list', city.pick('id', 'name')) },
  objects: {
    count: fn('city_count', { country: t.string().optional() }, t.int()),
    largest: fn('city_largest', {}, t.string().optional()),
    all: procedure('city_all', {}, t.list(city)),
    both: procedure('city_both', {}, [city, t.list(city.pick('name'))]),
    refresh: procedure('refresh', {}),
    keep: procedure('city_keep', { cities: t.list(city, { max: 5 }), meta: t.object({ by: t.string() }) }),
  },
  peers: { countries: peer<typeof countries>() },
  operations: ({ query, mutation }) => ({
    count: query(
      {
        input: {
          country: t.string(),
          top: t.int().default(3),
          after: t.date().optional(),
          big: t.bigint().optional(),
          raw: t.binary().default(''),
          owner: t.string().omittable(),
        },
        output: { count: t.int(), names: t.list(t.string()), note: t.string().optional() },
      },
      async ({ input, db, peers, log, deadline }) => {
        sameType<typeof input.country, string>(true);
        sameType<typeof input.top, number>(true);
        sameType<typeof input.after, string | null | undefined>(true);
        sameType<typeof input.big, string | null | undefined>(true);
        sameType<typeof input.raw, string>(true);
        sameType<typeof input.owner, string | undefined>(true);
        log.info('counts', { left: deadline.remainingMs });
        const page = await db.fetch({ where: { population: { gt: 1 } }, order: [{ column: 'name' }] });
        sameType<typeof page.rows, readonly City[]>(true);
        const count = await db.count({ country: input.country });
        sameType<typeof count, number>(true);
        const largest = await db.largest();
        sameType<typeof largest, string | null>(true);
        const made = await db.create({ name: 'Zug', kind: 'town' });
        sameType<typeof made, City | undefined>(true);
        const changed = await db.update({ id: 1, name: 'Zug' });
        sameType<typeof changed, City | undefined>(true);
        const gone = await db.delete({ id: 1 });
        sameType<typeof gone, Affected>(true);
        const [first, names] = await db.both();
        sameType<typeof first, City | undefined>(true);
        sameType<typeof names, readonly { readonly name: string }[]>(true);
        const towns = await db.towns({ where: { name: 'Zug' } });
        sameType<(typeof towns.rows)[number], { readonly id: number; readonly name: string }>(true);
        await db.transaction(async (tx) =>
          tx.keep({ cities: [{ id: 1, name: 'Zug', kind: 'town' }], meta: { by: 'x' } }),
        );
        const { area } = await peers.countries.area({ code: 'CH' });
        sameType<typeof area, number | null>(true);
        const { rows } = await peers.countries.fetch({ where: { code: 'CH' } });
        sameType<(typeof rows)[number]['code'], string>(true);
        await db.refresh();
        return { count, names: page.rows.map(({ name }) => name) };
      },
    ),
    touch: mutation({ input: { id: t.int() } }, () => ({ any: 'JSON' })).idempotent(),
  }),
});

test('what callers see follows from the definition', () => {
  type Types = TypesOf<typeof cities>;
  sameType<Types['name'], 'cities'>(true);
  sameType<Types['create']['result'], City>(true);
  sameType<Types['delete'], { readonly id: number; readonly result: Affected }>(true);
  sameType<Types['operations']['count']['input']['country'], string>(true);
  sameType<Types['operations']['count']['input']['top'], number | null | undefined>(true);
  sameType<Types['operations']['count']['input']['owner'], string | undefined>(true);
  interface Count {
    readonly count: number;
    readonly names: readonly string[];
    readonly note: string | null;
  }
  sameType<Types['operations']['count']['result'], Count>(true);
  sameType<Types['operations']['touch']['result'], Json>(true);
  assert.equal(cities.definition.operations['touch']?.idempotent, true);
});

test('operations in files of their own know the objects', () => {
  const definition = { ...identity, ...core, objects: { count: fn('city_count', {}, t.int()) } } as const;
  const { query } = operationsOf<typeof definition>();
  const count = query({ output: t.int() }, ({ db }) => db.count());
  const helper = async ({ db }: Call<unknown, typeof definition>): Promise<number> => db.count();
  const twice = query({ output: t.int() }, async (call) => 2 * (await helper(call)));
  const template = defineDomain({ ...definition, operations: () => ({ count, twice }) });
  sameType<TypesOf<typeof template>['operations']['twice']['result'], number>(true);
  // @ts-expect-error the operations need an object count, which these do not have
  defineDomain({ ...definition, objects: {}, operations: () => ({ count }) });
  const own = defineDomain({ ...definition, operations: () => ({ count: query.of('count') }) });
  sameType<TypesOf<typeof own>['operations']['count']['result'], number>(true);
});

test('an object is an operation without its arguments and result being said twice', () => {
  const template = defineDomain({
    ...identity,
    ...core,
    objects: {
      count: fn('city_count', { country: t.string().optional() }, t.int()),
      largest: procedure('city_largest', {}, city),
      all: procedure('city_all', {}, t.list(city.pick('id'))),
      rename: procedure('city_rename', { id: t.int(), name: t.string() }).idempotent(),
    },
    operations: ({ query, mutation }) => ({
      count: query.of('count'),
      largest: query.of('largest'),
      all: query.of('all'),
      rename: mutation.of('rename'),
    }),
  });
  type Types = TypesOf<typeof template>['operations'];
  sameType<Types['count']['input'], { readonly country?: string | null }>(true);
  sameType<Types['count']['result'], number>(true);
  sameType<Types['largest']['result'], City | null>(true);
  sameType<Types['all']['result'], readonly { readonly id: number }[]>(true);
  sameType<Types['rename']['input'], { readonly id: number; readonly name: string }>(true);
  sameType<Types['rename']['result'], Affected>(true);
  const { count, rename } = template.definition.operations;
  assert.deepEqual(count, {
    ...{ mode: 'read', idempotent: true, output: { type: 'integer' } },
    input: { type: 'object', fields: { country: { type: 'string', optional: true } } },
  });
  assert.deepEqual([rename?.mode, rename?.idempotent], ['write', true]);
});

test('code replaces an object under the name of the operation', () => {
  const template = defineDomain({
    ...identity,
    objects: { list: view('city_list', city) },
    operations: ({ mutation, pages, unsupported }) => ({
      create: mutation({ input: { name: t.string() }, output: { made: t.string() } }, ({ input }) => ({
        made: input.name,
      })),
      fetch: pages(city, ({ input, db }) => db.list({ ...input, limit: 1 })),
      update: mutation({ input: { id: t.int(), name: t.string() }, output: city.pick('id') }, ({ input: { id } }) => ({
        id,
      })),
      delete: unsupported('Cities stay.'),
    }),
  });
  type Types = TypesOf<typeof template>;
  sameType<Types['create']['result'], { readonly made: string }>(true);
  sameType<Types['views']['fetch'], City>(true);
  sameType<Types['update']['payload'], { readonly name: string }>(true);
  assert.equal(template.definition.domain, 'cities');
});

/** Never run: only compiled. */
export function mistakes(): void {
  const { delete: _, ...three } = core;
  // @ts-expect-error nothing serves delete
  defineDomain({ ...identity, ...three });
  // @ts-expect-error nothing at all serves the operations
  defineDomain({ ...identity });
  // @ts-expect-error delete is not among the operations either
  defineDomain({ ...identity, ...three, operations: ({ query }) => ({ x: query({}, () => 1) }) });
  // @ts-expect-error a view cannot create
  defineDomain({ ...identity, ...core, create: view('city_list', city) });
  // @ts-expect-error a view has no such option
  view('city_list', city, { shares: true });
  // @ts-expect-error the key is not a column of the fetch view
  defineDomain({ ...identity, ...core, key: 'code' });
  // @ts-expect-error no such type
  procedure('city_create', { name: 'string' });
  // @ts-expect-error a procedure returns rows
  procedure('city_create', {}, 'city');
  // @ts-expect-error a function returns a value
  fn('city_count', {});
  // @ts-expect-error no such column to pick
  city.pick('mayor');
  // @ts-expect-error the default is of the type
  t.int().default('5');
  // @ts-expect-error the store is missing
  defineDomain({ ...core, name: 'cities', version: '1.0.0', key: 'id' });
  // @ts-expect-error no such part
  defineDomain({ ...identity, ...core, object: {} });

  defineDomain({
    ...identity,
    ...core,
    objects: {
      count: fn('city_count', { country: t.string() }, t.int()),
      both: procedure('city_both', {}, [city, city]),
      some: view('city_some', city),
    },
    peers: { countries: peer<typeof countries>() },
    operations: ({ query }) => ({
      // @ts-expect-error no such object
      none: query.of('cont'),
      // @ts-expect-error it has two results
      both: query.of('both'),
      // @ts-expect-error a view is fetched from
      some: query.of('some'),
      // @ts-expect-error a handler answers with JSON
      date: query({}, () => ({ at: new Date() })),
      // @ts-expect-error the answer lacks its field
      lacks: query({ output: { count: t.int() } }, () => ({ cont: 1 })),
      // @ts-expect-error the answer's field is of another type
      other: query({ output: { count: t.int() } }, () => ({ count: 'one' })),
      probe: query({ input: { country: t.string() } }, async ({ input, db, peers }) => {
        // @ts-expect-error no such input
        input.county;
        // @ts-expect-error no such alias
        await db.creat({ name: 'a', kind: 'town' });
        // @ts-expect-error name is required
        await db.create({ kind: 'town' });
        // @ts-expect-error arguments are required
        await db.create();
        // @ts-expect-error name is a string
        await db.create({ name: 1, kind: 'town' });
        // @ts-expect-error which record is always said, also where all columns may be left out
        await db.update({ name: 'a' });
        // @ts-expect-error no such kind
        await db.create({ name: 'a', kind: 'city' });
        // @ts-expect-error no such argument
        await db.create({ name: 'a', kind: 'town', mayor: 'b' });
        // @ts-expect-error no such column in where
        await db.fetch({ where: { mayor: 'b' } });
        // @ts-expect-error no such column in order
        await db.fetch({ order: [{ column: 'mayor' }] });
        // @ts-expect-error country is required
        await db.count({});
        // @ts-expect-error not among the peers
        peers.planets;
        // @ts-expect-error no such operation of the peer
        await peers.countries.size({});
        // @ts-expect-error the peer's key is a string
        await peers.countries.delete(7);
        await db.transaction(async (tx) => {
          // @ts-expect-error no such alias in a transaction either
          await tx.creat({});
          // @ts-expect-error nor a transaction in a transaction
          await tx.transaction(async () => undefined);
        });
        const page = await db.fetch();
        // @ts-expect-error no such column in a row
        page.rows[0]?.mayor;
        // @ts-expect-error the population may be null
        const population: number | undefined = page.rows[0]?.population;
        return population ?? 0;
      }),
    }),
    async setup({ db }) {
      // @ts-expect-error no such view in setup
      await db.views();
    },
  });
}

/** Never run: only compiled. */
export async function callers(client: BedsClient): Promise<void> {
  const typed = client.domain<typeof cities>('cities');
  const made = await typed.create({ name: 'Zug', kind: 'town' });
  sameType<typeof made, City>(true);
  await typed.update(7, { name: 'Zug' });
  await typed.fetch({ key: 7 });
  const page = await typed.fetch({ where: { name: { prefix: 'Z' } }, order: [{ column: 'population' }] });
  sameType<(typeof page.rows)[number], City>(true);
  const towns = await typed.fetch({ view: 'towns', where: { name: 'Zug' } });
  sameType<(typeof towns.rows)[number], { readonly id: number; readonly name: string }>(true);
  for await (const each of typed.fetchAll({})) sameType<(typeof each.rows)[number]['id'], number>(true);
  const { count } = await typed.count({ country: 'CH' });
  sameType<typeof count, number>(true);

  // @ts-expect-error name is required
  await typed.create({ kind: 'town' });
  // @ts-expect-error no such argument
  await typed.create({ name: 'Zug', kind: 'town', mayor: 'x' });
  // @ts-expect-error the key is passed apart
  await typed.update(7, { id: 7 });
  // @ts-expect-error the key is a number
  await typed.delete('7');
  // @ts-expect-error no such column
  await typed.fetch({ where: { mayor: 'x' } });
  // @ts-expect-error no such view
  await typed.fetch({ view: 'towers' });
  // @ts-expect-error no such column in that view
  await typed.fetch({ view: 'towns', where: { population: 1 } });
  // @ts-expect-error no such operation
  await typed.counts({ country: 'CH' });
  // @ts-expect-error country is required
  await typed.count({});
  // @ts-expect-error country is a string
  await typed.count({ country: 1 });

  const untyped = client.domain('cities');
  const anyPage = await untyped.fetch({ where: { a: 1 } });
  sameType<typeof anyPage, Page>(true);
  const anything = await untyped.call('whatever', { a: 1 });
  sameType<typeof anything, Json>(true);
  await untyped.create({ a: 1 });
  await untyped.update(1, { a: 1 });

  testDomain(cities, {
    objects: { create: ({ name, kind }) => ({ id: 1, name, kind }), count: () => 1, delete: () => 1, all: () => [] },
    views: { fetch: [{ id: 1, name: 'Zug' }], towns: [{ id: 2 }] },
    peers: { countries: { area: () => ({ area: 5 }) } },
  });
  testDomain(cities, {
    objects: {
      update: ({ id, name }) => {
        sameType<typeof id, number>(true);
        return { id, name: name ?? 'Zug', kind: 'town' as const };
      },
    },
  });
  // @ts-expect-error no such alias
  testDomain(cities, { objects: { insert: () => [] } });
  // @ts-expect-error a view is not answered by code
  testDomain(cities, { objects: { fetch: () => [] } });
  // @ts-expect-error the function gives a number
  testDomain(cities, { objects: { count: () => 'one' } });
  // @ts-expect-error no such column
  testDomain(cities, { views: { fetch: [{ mayor: 'x' }] } });
}
