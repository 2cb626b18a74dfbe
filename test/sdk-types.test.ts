import assert from 'node:assert/strict';
import test from 'node:test';
import {
  defineTemplate,
  routine,
  view,
  type Json,
  type JsonObject,
  type Page,
  type TypesOf,
  type ViewQuery,
} from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { testTemplate } from '@beds/sdk/testing';

// What this file proves, it proves when tsc compiles it: every @ts-expect-error is an error, everything else is not.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function sameType<A, B>(_same: Same<A, B>): void {
  assert.ok(true);
}

const identity = { domain: 'cities', version: '1.0.0', store: 'main', key: 'id' } as const;

const objects = {
  create: routine('city_create', { name: 'string', population: 'integer?' }),
  fetch: view('city_list', { id: 'integer', name: 'string', population: 'integer' }),
  update: routine('city_update', { id: 'integer', name: 'string?' }),
  delete: routine('city_delete', { id: 'integer' }),
};

test('types of arguments, rows, inputs and results follow from the definition', () => {
  const template = defineTemplate({
    ...identity,
    objects: { ...objects, totals: routine('city_totals', { country: 'string' }), refresh: routine('refresh', {}) },
    domains: ['countries'],
    operations: {
      totals: {
        mode: 'read',
        args: { country: 'string', top: { type: 'integer', default: 3 }, after: 'date?' },
        async run(input, ctx) {
          sameType<typeof input.country, string>(true);
          sameType<typeof input.top, number>(true);
          sameType<typeof input.after, string | null | undefined>(true);
          await ctx.call('refresh');
          await ctx.transaction(async (scope) => scope.call('totals', { country: input.country }));
          await ctx.domain('countries').fetch({ where: { code: input.country } });
          const page = await ctx.view('fetch', { where: { population: { gt: 1 } }, order: [{ column: 'name' }] });
          const row = page.rows[0];
          if (row !== undefined) sameType<typeof row.population, number | null>(true);
          return { names: page.rows.map((city) => city.name) };
        },
      },
      touch: { mode: 'write', args: {}, run: async (): Promise<number> => 1 },
    },
  });
  type Types = TypesOf<typeof template>;
  sameType<Types['results']['totals'], { names: (string | null)[] }>(true);
  sameType<Types['results']['touch'], number>(true);
  sameType<Types['args']['totals']['country'], 'string'>(true);
});

test('code that overrides sees the typed context', () => {
  const template = defineTemplate({
    ...identity,
    objects: { list: objects.fetch },
    createRecord: async (payload) => payload,
    async fetchRecords(query, ctx) {
      sameType<typeof query.limit, number | undefined>(true);
      return ctx.view('list', { limit: 1 });
    },
    async updateRecord(payload: JsonObject) {
      return payload;
    },
    async deleteRecord(id) {
      return { id };
    },
  });
  assert.equal(template.definition.domain, 'cities');
});

test('a fetch of its own hands the query on to the view and its page back', () => {
  defineTemplate({
    ...identity,
    objects,
    async fetchRecords(query, ctx) {
      const page = await ctx.view('fetch', query);
      return { rows: page.rows, cursor: page.cursor };
    },
  });
  defineTemplate({
    ...identity,
    objects,
    fetchRecords: (query, ctx) => ctx.view('fetch', { order: [{ column: 'name' }], ...query }),
  });
  const template = defineTemplate({
    ...identity,
    objects: { ...objects, fetch: routine('city_find', { country: 'string' }) },
    async fetchRecords(query, ctx) {
      sameType<typeof query, ViewQuery>(true);
      const { rows } = await ctx.call('fetch', { country: 'CH' });
      return { rows };
    },
  });
  assert.equal(template.definition.key, 'id');
});

/** Never run: only compiled. */
export function mistakes(): void {
  // @ts-expect-error no object serves delete, and there is no deleteRecord
  defineTemplate({ ...identity, objects: { create: objects.create, fetch: objects.fetch, update: objects.update } });

  // @ts-expect-error nothing at all serves the operations
  defineTemplate({ ...identity, objects: {} });

  // @ts-expect-error a view cannot create
  defineTemplate({ ...identity, objects: { ...objects, create: view('city_list', { id: 'integer' }) } });

  // @ts-expect-error a view has no such option
  view('city_list', { id: 'integer' }, { shares: true });

  // @ts-expect-error the key is not a column of the fetch view
  defineTemplate({ ...identity, key: 'code', objects });

  // @ts-expect-error no such value type
  routine('city_create', { name: 'text' });

  // @ts-expect-error the store is missing
  defineTemplate({ domain: 'cities', version: '1.0.0', key: 'id', objects });

  // @ts-expect-error the method's name is wrong
  defineTemplate({ ...identity, objects, fetchRecord: async () => ({ rows: [] }) });

  defineTemplate({
    ...identity,
    objects,
    // @ts-expect-error a handler resolves to JSON
    operations: { now: { mode: 'read', args: {}, run: async () => new Date() } },
  });

  // @ts-expect-error the mode is read or write
  defineTemplate({ ...identity, objects, operations: { now: { mode: 'reed', args: {}, run: async () => 1 } } });

  defineTemplate({
    ...identity,
    objects,
    async fetchRecords(query) {
      // @ts-expect-error no such column in the query of an override
      return { rows: [{ mayor: String(query.where?.mayor) }] };
    },
  });

  // @ts-expect-error page without rows
  defineTemplate({ ...identity, objects, fetchRecords: async () => ({ row: [] }) });

  defineTemplate({
    ...identity,
    objects,
    domains: ['countries'],
    operations: {
      probe: {
        mode: 'read',
        args: { country: 'string' },
        async run(input, ctx) {
          // @ts-expect-error no such input
          input.county;
          // @ts-expect-error no such alias
          await ctx.call('creat', { name: 'a' });
          // @ts-expect-error a view is not called
          await ctx.call('fetch', {});
          // @ts-expect-error a routine is not viewed
          await ctx.view('create');
          // @ts-expect-error name is required
          await ctx.call('create', { population: 1 });
          // @ts-expect-error arguments are required
          await ctx.call('create');
          // @ts-expect-error name is a string
          await ctx.call('create', { name: 1 });
          // @ts-expect-error no such argument
          await ctx.call('create', { name: 'a', mayor: 'b' });
          // @ts-expect-error no such column in where
          await ctx.view('fetch', { where: { mayor: 'b' } });
          // @ts-expect-error no such column in order
          await ctx.view('fetch', { order: [{ column: 'mayor' }] });
          // @ts-expect-error not among the domains
          ctx.domain('planets');
          await ctx.transaction(async (scope) => {
            // @ts-expect-error no such alias in a transaction either
            await scope.call('creat', {});
          });
          const page = await ctx.view('fetch');
          // @ts-expect-error no such column in a row
          page.rows[0]?.mayor;
          return null as Json;
        },
      },
    },
    async createRecord(payload, ctx) {
      // @ts-expect-error no such alias in an override
      await ctx.call('insert', payload);
      return payload;
    },
    async setup(ctx) {
      // @ts-expect-error no such view in setup
      await ctx.view('views');
    },
  });
}

const typed = defineTemplate({
  ...identity,
  objects: { ...objects, totals: routine('city_totals', { country: 'string' }) },
  operations: {
    totals: { mode: 'read', args: { country: 'string', top: 'integer?' }, run: async (): Promise<number> => 1 },
  },
});

/** Never run: only compiled. */
export async function callers(client: BedsClient): Promise<void> {
  const cities = client.domain<typeof typed>('cities');
  await cities.create({ name: 'Zug' });
  await cities.update(7, { name: 'Zug' });
  await cities.fetch({ key: 7 });
  const page = await cities.fetch({ where: { name: { prefix: 'Z' } }, order: [{ column: 'population' }] });
  sameType<(typeof page.rows)[number]['name'], string | null>(true);
  for await (const each of cities.fetchAll({})) sameType<(typeof each.rows)[number]['id'], number | null>(true);
  const total = await cities.call('totals', { country: 'CH' });
  sameType<typeof total, number>(true);

  // @ts-expect-error name is required
  await cities.create({});
  // @ts-expect-error no such argument
  await cities.create({ name: 'Zug', mayor: 'x' });
  // @ts-expect-error the key is passed apart
  await cities.update(7, { id: 7 });
  // @ts-expect-error no such column
  await cities.fetch({ where: { mayor: 'x' } });
  // @ts-expect-error no such operation
  await cities.call('total', {});
  // @ts-expect-error country is required
  await cities.call('totals', {});
  // @ts-expect-error country is a string
  await cities.call('totals', { country: 1 });

  const untyped = client.domain('cities');
  sameType<Awaited<ReturnType<typeof untyped.fetch>>, Page>(true);
  const anything = await untyped.call('whatever', { a: 1 });
  sameType<typeof anything, Json>(true);
  await untyped.create({ a: 1 });
  await untyped.update(1, { a: 1 });
  await untyped.fetch({ where: { a: 1 } });

  testTemplate(typed, {
    objects: { create: ({ name }) => [{ name: name.toUpperCase() }], totals: () => 1 },
    views: { fetch: [{ id: 1, name: 'Zug' }] },
  });
  // @ts-expect-error no such alias
  testTemplate(typed, { objects: { insert: () => [] } });
  // @ts-expect-error a view is not answered by code
  testTemplate(typed, { objects: { fetch: () => [] } });
  // @ts-expect-error no such column
  testTemplate(typed, { views: { fetch: [{ mayor: 'x' }] } });
}
