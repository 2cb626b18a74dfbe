import { fn, peer, procedure, t, view } from '@beds/sdk';
import type cities from '../cities/template.js';

const code = t.string({ max: 2 });
const codes = t.list(t.string());

/** A whole country, as `create` and `import` take it; what is optional here can be left out. */
export const country = t.row({
  code,
  code3: t.string({ max: 3 }),
  name: t.string({ max: 100 }),
  region: t.string({ max: 50 }),
  official_name: t.string({ max: 200 }).optional(),
  capital: t.string({ max: 100 }).optional(),
  subregion: t.string({ max: 50 }).optional(),
  area_km2: t.number({ min: 0 }).optional(),
  landlocked: t.boolean().optional(),
  un_member: t.boolean().optional(),
  neighbours: codes.optional(),
  languages: codes.optional(),
  currencies: codes.optional(),
});

/** The land of a subregion. */
export const area = t.row({ subregion: t.string().optional(), countries: t.int(), area_km2: t.number() });

/** What the operations work with. */
export const definition = {
  store: 'documents',
  key: 'code',
  create: procedure('country_create', country),
  fetch: view('country_list', country),
  update: procedure('country_update', country.partial().extend({ code }), country).idempotent(),
  delete: procedure('country_delete', { code }),
  objects: {
    save: procedure('country_save', country),
    count: fn('country_count', { subregion: t.string().optional() }, t.int()),
    areas: procedure('country_areas', { region: t.string() }, t.list(area)),
  },
  peers: { cities: peer<typeof cities>() },
} as const;
