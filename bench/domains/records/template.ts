import { defineTemplate, routine, view } from '@beds/sdk';
import { notServed } from '../not-served.js';

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'records',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  objects: {
    fetch: view('record_list', { id: 'integer', name: 'string', amount: 'integer', note: 'string' }),
    create: routine('record_create', { name: 'string', amount: 'integer', note: 'string' }),
  },
  updateRecord: notServed,
  deleteRecord: notServed,
});
