import { defineTemplate, routine, view } from '@beds/sdk';
import { notServed } from '../not-served.js';

const columns = { id: 'integer', name: 'string', amount: 'integer', note: 'string' } as const;
const first = { count: { type: 'integer', min: 1, max: 100 } } as const;

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'records',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  objects: {
    fetch: view('record_list', columns),
    shared: view('record_list', columns, { share: true }),
    create: routine('record_create', { name: 'string', amount: 'integer', note: 'string' }),
  },
  operations: {
    /** The first records, read for this request alone. */
    first: {
      mode: 'read',
      args: first,
      run: async ({ count }, ctx) => (await ctx.view('fetch', { limit: count })).rows,
    },
    /** The same, with whoever asks the same meanwhile. */
    firstShared: {
      mode: 'read',
      args: first,
      run: async ({ count }, ctx) => (await ctx.view('shared', { limit: count })).rows,
    },
  },
  updateRecord: notServed,
  deleteRecord: notServed,
});
