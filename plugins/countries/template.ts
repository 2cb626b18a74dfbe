import { defineDomain, invalid, t } from '@beds/sdk';
import { country, definition } from './definition.js';
import { profile, profileOf } from './profile.js';

/** As many as one request may bring. */
const MAX_COUNTRIES = 100;
/** Each is a call of the database; as many run at once, which leaves connections to others. */
const SAVES_AT_ONCE = 10;

export default defineDomain({
  ...definition,
  name: 'countries',
  version: '1.0.0',
  operations: ({ query, mutation }) => ({
    /** Adds or replaces countries. When one is refused, those before it may have been kept: send the request again. */
    import: mutation(
      { input: { countries: t.list(country, { max: MAX_COUNTRIES }) }, output: { imported: t.int() } },
      async ({ input: { countries }, db }) => {
        if (countries.length === 0) throw invalid('payload.countries', 'must hold at least one country');
        for (let start = 0; start < countries.length; start += SAVES_AT_ONCE) {
          await Promise.all(countries.slice(start, start + SAVES_AT_ONCE).map((each) => db.save(each)));
        }
        return { imported: countries.length };
      },
    ).idempotent(),

    /** How many countries there are in a subregion, or in the world. */
    count: query(
      { input: { subregion: t.string().optional() }, output: { count: t.int() } },
      async ({ input, db }) => ({ count: await db.count(input) }),
    ),

    /** All that both databases know of a country: itself, its cities, its neighbours, its place in its region. */
    profile: query(
      { input: { code: t.string({ max: 2 }), largest: t.int({ min: 1, max: 20 }).default(5) }, output: profile },
      (call) => profileOf(call.input, call),
    ),
  }),
});
