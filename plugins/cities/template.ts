import { defineDomain, fn, invalid, operationsOf, procedure, t, view } from '@beds/sdk';

const country = t.string({ max: 2 });

/** A row of the view `city_list`. */
export const city = t.row({
  id: t.int(),
  name: t.string({ max: 100 }),
  country,
  admin_code: t.string({ max: 10 }),
  population: t.int({ max: 4_294_967_295 }),
  latitude: t.number(),
  longitude: t.number(),
  updated_at: t.datetime(),
});

/** What a city is made of: the database fills in what may be left out. */
const place = city.omit('id', 'updated_at').extend(city.pick('id', 'admin_code', 'population').partial().fields);
const changes = place.omit('country').partial();
const imported = place.extend({ id: city.fields.id, feature_code: t.string({ max: 10 }).optional() });
const totals = t.row({ country: t.string(), cities: t.int(), population: t.int(), largest: t.int() });

/** What the DBA offers, in db/: the only way to the data. */
export const database = {
  store: 'main',
  key: 'id',
  create: procedure('city_create', place, city),
  fetch: view('city_list', city),
  update: procedure('city_update', changes, city).idempotent(),
  delete: procedure('city_delete', city.pick('id')),
  views: { capitals: view('capital_list', city.omit('admin_code', 'updated_at')) },
  objects: {
    import: procedure('city_import', { cities: t.list(imported, { max: 2_000 }) }, { imported: t.int() }),
    totals: procedure('city_totals', { country: country.optional() }, t.list(totals)),
    count: fn('city_count', { country: country.optional() }, t.int()),
  },
} as const;

const { query, mutation } = operationsOf<typeof database>();
const { views, objects } = database;

/** What callers can ask beyond create, fetch, update and delete. */
export const operations = {
  /** Adds or replaces cities, all of a request or none. */
  import: mutation({ input: objects.import.args, output: { imported: t.int() } }, async ({ input, db }) => {
    if (input.cities.length === 0) throw invalid('payload.cities', 'must hold at least one city');
    return (await db.import(input)) ?? { imported: 0 };
  }).idempotent(),

  /** Cities and inhabitants by country, the most populous country first. */
  totals: query({ input: objects.totals.args, output: t.list(totals) }, ({ input, db }) => db.totals(input)),

  /** How many cities there are. */
  count: query({ input: objects.count.args, output: { count: t.int() } }, async ({ input, db }) => ({
    count: await db.count(input),
  })),

  /** The seats of a country's government; most countries have one. */
  capitals: query({ input: { country }, output: t.list(views.capitals.row) }, async ({ input, db }) => {
    const order = [{ column: 'population', direction: 'desc' }] as const;
    return (await db.capitals({ where: { country: input.country }, order, limit: 5 })).rows;
  }),
};

/** Version 1.0.0; `next/template.ts` is the version after it. */
export default defineDomain({ ...database, name: 'cities', version: '1.0.0', operations: () => operations });
