import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { mysqlStore } from './support/mysql-store.js';

/** V8 gives up a guess or two of each function for good reasons. */
const MOST_TIMES = 8;
const READER = fileURLToPath(new URL('./support/sealed-reader.js', import.meta.url));

const store = await mysqlStore();
await store.dba.query(`
  CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL, amount INT NOT NULL);
  INSERT INTO item VALUES ${Array.from({ length: 50 }, (_, n) => `(${String(n)}, '${n % 2 === 0 ? 'a' : 'b'}', ${String(n)})`).join(',')};
  CREATE VIEW item_list AS SELECT id, name, amount FROM item;
  CREATE PROCEDURE item_put (IN id INT, IN name VARCHAR(20)) BEGIN
    UPDATE item SET item.name = name WHERE item.id = id; SELECT item.id FROM item WHERE item.id = id; END;
  GRANT EXECUTE ON ${store.database}.* TO ${store.account};
  GRANT SELECT ON ${store.database}.item_list TO ${store.account}`);

test('no function of the host is compiled again and again where the built-ins are frozen', async () => {
  const run = promisify(execFile);
  const options = { timeout: 120_000, maxBuffer: 64 * 1_048_576 };
  const { stdout } = await run(process.execPath, ['--trace-deopt', READER, store.url], options);
  const given = [...stdout.matchAll(/bailout \(kind: [\w-]+, reason: ([^)]*)\).*?<JSFunction ([^>]+)>/g)];
  assert.ok(given.length > 0, 'V8 says what it gives up in another form than this test reads');
  const times = new Map<string, number>();
  for (const [, reason = '', name = ''] of given) {
    const what = `${name}: ${reason}`;
    times.set(what, (times.get(what) ?? 0) + 1);
  }
  assert.deepEqual(
    [...times].filter(([, count]) => count > MOST_TIMES),
    [],
  );
});
