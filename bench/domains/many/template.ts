import { defineTemplate } from '@beds/sdk';
import { notServed } from '../not-served.js';

/** One of many domains that do the same: its name stands for `many1`, `many2` and so on. */
// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineTemplate({
  domain: 'many',
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
