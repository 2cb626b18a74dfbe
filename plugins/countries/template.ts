import { defineTemplate, invalid, type ArgumentsOf, type Json } from '@beds/sdk';
import { objects, type country } from './definition.js';
import { profileOf } from './profile.js';

/** As many as one request may bring. */
const MAX_COUNTRIES = 100;
/** Each is a call of the database; as many run at once, which leaves connections to others. */
const SAVES_AT_ONCE = 10;

function listOfCountries(value: Json): readonly ArgumentsOf<typeof country>[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_COUNTRIES) {
    throw invalid('payload.countries', `must be a list of 1 to ${MAX_COUNTRIES} countries`);
  }
  if (value.some((each) => typeof each !== 'object' || each === null || Array.isArray(each))) {
    throw invalid('payload.countries', 'must hold objects only');
  }
  // The host checks every value against the object that it calls.
  return value as readonly ArgumentsOf<typeof country>[];
}

export default defineTemplate({
  domain: 'countries',
  version: '1.0.0',
  store: 'documents',
  key: 'code',
  objects,
  domains: ['cities'],
  idempotent: ['update'],
  operations: {
    /** Adds or replaces countries. When one is refused, those before it may have been kept: send the request again. */
    import: {
      mode: 'write',
      idempotent: true,
      args: { countries: 'json' },
      run: async (input, ctx) => {
        const countries = listOfCountries(input.countries);
        for (let start = 0; start < countries.length; start += SAVES_AT_ONCE) {
          await Promise.all(countries.slice(start, start + SAVES_AT_ONCE).map((each) => ctx.call('save', each)));
        }
        return { imported: countries.length };
      },
    },
    /** How many countries there are in a subregion, or in the world. */
    count: {
      mode: 'read',
      args: { subregion: 'string?' },
      run: async (input, ctx) => {
        const { rows } = await ctx.call('count', input);
        return { count: rows[0]?.['value'] ?? 0 };
      },
    },
    /** All that both databases know of a country: itself, its cities, its neighbours, its place in its region. */
    profile: {
      mode: 'read',
      args: {
        code: { type: 'string', maxLength: 2 },
        largest: { type: 'integer', min: 1, max: 20, default: 5 },
      },
      run: async ({ code, largest }, ctx) => profileOf({ code, largest }, ctx),
    },
  },
});
