import { defineDomain, procedure, t, view } from '@beds/sdk';

const record = t.row({ id: t.int(), name: t.string(), amount: t.int(), note: t.string() });
const first = { input: { count: t.int({ min: 1, max: 100 }) }, output: t.list(record) } as const;

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'records',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  fetch: view('record_list', record),
  create: procedure('record_create', record.omit('id'), record).together(),
  objects: { shared: view('record_list', record, { share: true }) },
  operations: ({ query, unsupported }) => ({
    /** The first records, read for this request alone. */
    first: query(first, async ({ input, db }) => (await db.fetch({ limit: input.count })).rows),
    /** The same, shared with identical concurrent reads. */
    firstShared: query(first, async ({ input, db }) => (await db.shared({ limit: input.count })).rows),
    update: unsupported(),
    delete: unsupported(),
  }),
});
