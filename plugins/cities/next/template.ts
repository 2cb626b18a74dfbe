import { defineDomain, procedure, t, view } from '@beds/sdk';
import { city, database, operations } from '../template.js';

const near = city.pick('id', 'name', 'country', 'population').extend({ distance_km: t.number() });

/** Version 1.1.0: `nearest`, and what kind of place a city is. Whoever calls 1.0.0 can call this. */
export default defineDomain({
  ...database,
  name: 'cities',
  version: '1.1.0',
  fetch: view('city_list', city.extend({ feature_code: t.string() })),
  objects: {
    ...database.objects,
    nearest: procedure('city_nearest', { latitude: t.number(), longitude: t.number(), wanted: t.int() }, t.list(near)),
  },
  operations: ({ query }) => ({
    ...operations,
    /** The cities nearest to a place, with their distance. */
    nearest: query(
      {
        input: {
          latitude: t.number({ min: -90, max: 90 }),
          longitude: t.number({ min: -180, max: 180 }),
          limit: t.int({ min: 1, max: 100 }).default(5),
        },
        output: t.list(near),
      },
      ({ input: { latitude, longitude, limit }, db }) => db.nearest({ latitude, longitude, wanted: limit }),
    ),
  }),
});
