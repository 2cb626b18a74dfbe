import { fn, operationsOf, procedure, t, view } from '@beds/sdk';

/** The columns of `city_list` that every version gives. */
export const city = t.row({
  id: t.int(),
  name: t.string({ max: 100 }),
  country: t.string({ max: 2 }),
  admin_code: t.string({ max: 10 }),
  population: t.int({ max: 4_294_967_295 }),
  latitude: t.number(),
  longitude: t.number(),
  updated_at: t.datetime(),
});

/** What a city may be created with, or changed to. */
const given = city.omit('updated_at');
const optional = city.pick('admin_code', 'population').partial();
const place = given.extend(optional.fields);

/** What a country has of cities. */
export const totals = t.row({ country: t.string(), cities: t.int(), population: t.int(), largest: t.int() });

/** What every version uses in the database. */
export const definition = {
  store: 'main',
  key: 'id',
  create: procedure('city_create', place.extend({ id: city.fields.id.optional() }), city),
  fetch: view('city_list', city),
  update: procedure(
    'city_update',
    given.omit('id', 'country').partial().extend({ id: city.fields.id }),
    city,
  ).idempotent(),
  delete: procedure('city_delete', city.pick('id')),
  views: { capitals: view('capital_list', city.omit('admin_code', 'updated_at')) },
  objects: {
    import: procedure(
      'city_import',
      { cities: t.list(place.extend({ feature_code: t.string({ max: 10 }).optional() }), { max: 2_000 }) },
      { imported: t.int() },
    ),
    totals: procedure('city_totals', { country: t.string({ max: 2 }).optional() }, t.list(totals)),
    count: fn('city_count', { country: t.string({ max: 2 }).optional() }, t.int()),
  },
} as const;

/** Makes operations whose code knows these objects. */
export const { query, mutation } = operationsOf<typeof definition>();
