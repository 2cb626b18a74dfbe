import { defineDomain, procedure, t, view } from '@beds/sdk';

const record = t.row({ id: t.string(), name: t.string(), amount: t.int(), note: t.string() });

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'documents',
  version: '1.0.0',
  store: 'documents',
  key: 'id',
  fetch: view('record_list', record),
  create: procedure('record_create', record, record),
  operations: ({ unsupported }) => ({ update: unsupported(), delete: unsupported() }),
});
