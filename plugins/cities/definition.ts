import { routine, view } from '@beds/sdk';

/** The columns of `city_list` that every version gives. */
export const columns = {
  id: 'integer',
  name: 'string',
  country: 'string',
  admin_code: 'string',
  population: 'integer',
  latitude: 'number',
  longitude: 'number',
  updated_at: 'datetime',
} as const;

const country = { type: 'string', maxLength: 2 } as const;
const population = { type: 'integer', optional: true, max: 4_294_967_295 } as const;

/** What every version uses in the database. */
export const objects = {
  fetch: view('city_list', columns),
  create: routine('city_create', {
    id: 'integer?',
    name: { type: 'string', maxLength: 100 },
    country,
    admin_code: 'string?',
    population,
    latitude: 'number',
    longitude: 'number',
  }),
  update: routine('city_update', {
    id: 'integer',
    name: { type: 'string', maxLength: 100, optional: true },
    admin_code: 'string?',
    population,
    latitude: 'number?',
    longitude: 'number?',
  }),
  delete: routine('city_delete', { id: 'integer' }),
  capitals: view('capital_list', {
    id: 'integer',
    name: 'string',
    country: 'string',
    population: 'integer',
    latitude: 'number',
    longitude: 'number',
  }),
  import: routine('city_import', { cities: 'string' }),
  totals: routine('city_totals', { country: 'string?' }),
  count: routine('city_count', { country: 'string?' }),
} as const;
