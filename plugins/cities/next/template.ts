import { defineTemplate, routine, view } from '@beds/sdk';
import { columns, objects } from '../definition.js';
import { operations } from '../operations.js';

/** Version 1.1.0: `nearest`, and what kind of place a city is. Whoever calls 1.0.0 can call this. */
export default defineTemplate({
  domain: 'cities',
  version: '1.1.0',
  store: 'main',
  key: 'id',
  objects: {
    ...objects,
    fetch: view('city_list', { ...columns, feature_code: 'string' }),
    nearest: routine('city_nearest', { latitude: 'number', longitude: 'number', wanted: 'integer' }),
  },
  idempotent: ['update'],
  operations: {
    ...operations,
    /** The cities nearest to a place, with their distance. */
    nearest: {
      mode: 'read',
      args: {
        latitude: { type: 'number', min: -90, max: 90 },
        longitude: { type: 'number', min: -180, max: 180 },
        limit: { type: 'integer', min: 1, max: 100, default: 5 },
      },
      run: async ({ latitude, longitude, limit }, ctx) =>
        (await ctx.call('nearest', { latitude, longitude, wanted: limit })).rows,
    },
  },
});
