import { defineDomain, peer, t, view } from '@beds/sdk';
import type documents from '../documents/template.js';

interface Found {
  readonly found: number;
  readonly sum: number;
}

const keys = { input: { keys: t.list(t.int()) }, output: { found: t.int(), sum: t.int() } } as const;

function sumUp(pages: readonly { readonly rows: readonly { readonly amount: number }[] }[]): Found {
  let found = 0;
  let sum = 0;
  for (const { rows } of pages) {
    for (const { amount } of rows) {
      found += 1;
      sum += amount;
    }
  }
  return { found, sum };
}

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'fanout',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  fetch: view('record_list', { id: t.int(), name: t.string(), amount: t.int(), note: t.string() }),
  peers: { documents: peer<typeof documents>() },
  operations: ({ query, unsupported }) => ({
    /** Reads a record of the own store for each key, all at once. */
    many: query(keys, async ({ input, db }) =>
      sumUp(await Promise.all(input.keys.map((id) => db.fetch({ where: { id }, limit: 1 })))),
    ),
    /** Reads a record of the own store and one of the domain documents for each key, all at once. */
    both: query(keys, async ({ input, db, peers }) => {
      const pages = await Promise.all(
        input.keys.flatMap((id): Promise<{ readonly rows: readonly { readonly amount: number }[] }>[] => [
          db.fetch({ where: { id }, limit: 1 }),
          peers.documents.fetch({ where: { id: `k${String(id)}` }, limit: 1 }),
        ]),
      );
      return sumUp(pages);
    }),
    create: unsupported(),
    update: unsupported(),
    delete: unsupported(),
  }),
});
