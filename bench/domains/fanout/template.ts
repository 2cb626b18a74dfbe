import { defineDomain, peer, t, view } from '@beds/sdk';
import type documents from '../documents/template.js';

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'fanout',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  fetch: view('record_list', { id: t.int(), name: t.string(), amount: t.int(), note: t.string() }),
  peers: { documents: peer<typeof documents>() },
  operations: ({ query, unsupported }) => ({
    /** Reads a record of the own store and one of the domain documents for each key, all at once. */
    both: query({ input: { keys: t.list(t.int()) }, output: { found: t.int() } }, async ({ input, db, peers }) => {
      const pages = await Promise.all(
        input.keys.flatMap((id): Promise<{ readonly rows: readonly unknown[] }>[] => [
          db.fetch({ where: { id }, limit: 1 }),
          peers.documents.fetch({ where: { id: `k${String(id)}` }, limit: 1 }),
        ]),
      );
      return { found: pages.reduce((sum, { rows }) => sum + rows.length, 0) };
    }),
    create: unsupported(),
    update: unsupported(),
    delete: unsupported(),
  }),
});
