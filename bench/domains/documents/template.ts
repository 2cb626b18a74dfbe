import { defineTemplate, routine, view } from '@beds/sdk';
import { notServed } from '../not-served.js';

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'documents',
  version: '1.0.0',
  store: 'documents',
  key: 'id',
  objects: {
    fetch: view('record_list', { id: 'string', name: 'string', amount: 'integer', note: 'string' }),
    create: routine('record_create', { id: 'string', name: 'string', amount: 'integer', note: 'string' }),
  },
  updateRecord: notServed,
  deleteRecord: notServed,
});
