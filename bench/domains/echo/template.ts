import { defineTemplate } from '@beds/sdk';
import { notServed } from '../not-served.js';

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'echo',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  objects: {},
  createRecord: notServed,
  fetchRecords: notServed,
  updateRecord: notServed,
  deleteRecord: notServed,
  operations: {
    /** Returns its input. */
    echo: {
      mode: 'read',
      args: { text: 'string', number: 'integer', flag: 'boolean' },
      run: (input) => Promise.resolve(input),
    },
  },
});
