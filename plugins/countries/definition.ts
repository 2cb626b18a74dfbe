import { routine, view } from '@beds/sdk';

const code = { type: 'string', maxLength: 2 } as const;

/** What a country may come with; all of it can be changed later. */
const details = {
  official_name: 'string?',
  capital: 'string?',
  subregion: 'string?',
  area_km2: { type: 'number', min: 0, optional: true },
  landlocked: 'boolean?',
  un_member: 'boolean?',
  neighbours: 'json?',
  languages: 'json?',
  currencies: 'json?',
} as const;

/** A whole country, as `create` and `import` take it. */
export const country = { code, code3: 'string', name: 'string', region: 'string', ...details } as const;

/** The columns of `country_list`. */
export const columns = {
  code: 'string',
  code3: 'string',
  name: 'string',
  official_name: 'string',
  capital: 'string',
  region: 'string',
  subregion: 'string',
  area_km2: 'number',
  landlocked: 'boolean',
  un_member: 'boolean',
  neighbours: 'json',
  languages: 'json',
  currencies: 'json',
} as const;

/** What the template uses in the database. */
export const objects = {
  fetch: view('country_list', columns),
  create: routine('country_create', country),
  update: routine('country_update', { code, code3: 'string?', name: 'string?', region: 'string?', ...details }),
  delete: routine('country_delete', { code }),
  save: routine('country_save', country),
  count: routine('country_count', { subregion: 'string?' }),
  areas: routine('country_areas', { region: 'string' }),
} as const;
