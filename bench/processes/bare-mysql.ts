import { createPool, type Pool } from 'mysql2/promise';
import { serveParent } from '../bed/serve-parent.js';
import { fieldsOf, keyOf } from '../bed/records.js';
import type { BareStoreOptions, BareStoreSlice } from '../bed/bare-store.js';
import { closedLoop } from '../measure/closed-loop.js';

/** The same objects by `execute` (prepared) of mysql2, as whoever has no host between would write it. */
let pool: Pool | undefined;
let counter = 0;

const operations = {
  fetch: (from: Pool) =>
    from.execute('SELECT id, name, amount, note FROM record_list WHERE id = ?', [keyOf(++counter)]),
  create: (from: Pool) => {
    const { name, amount, note } = fieldsOf(++counter);
    return from.execute('CALL record_create(?, ?, ?)', [name, amount, note]);
  },
};

serveParent({
  calls: {
    start: async ({ url, poolSize }: BareStoreOptions) => {
      pool = createPool({ uri: url, connectionLimit: poolSize });
      await pool.query('SELECT 1');
    },
    run: async ({ operation, ...load }: BareStoreSlice) => {
      const from = pool;
      return from && closedLoop(() => operations[operation](from), load);
    },
  },
  stop: async () => pool?.end(),
});
