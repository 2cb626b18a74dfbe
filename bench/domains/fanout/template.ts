import { defineTemplate, view } from '@beds/sdk';
import { notServed } from '../not-served.js';

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'fanout',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  domains: ['documents'],
  objects: {
    fetch: view('record_list', { id: 'integer', name: 'string', amount: 'integer', note: 'string' }),
  },
  createRecord: notServed,
  updateRecord: notServed,
  deleteRecord: notServed,
  operations: {
    /** Reads `count` records of the own store and as many of the domain documents', all at once. */
    both: {
      mode: 'read',
      args: { keys: 'json' },
      run: async (input, ctx) => {
        const keys = input.keys as readonly number[];
        const documents = ctx.domain('documents');
        const pages = await Promise.all(
          keys.flatMap((key) => [
            ctx.view('fetch', { where: { id: key }, limit: 1 }),
            documents.fetch({ where: { id: `k${String(key)}` }, limit: 1 }),
          ]),
        );
        return { found: pages.reduce((sum, { rows }) => sum + rows.length, 0) };
      },
    },
  },
});
