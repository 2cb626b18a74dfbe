import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { loadAdapters } from '../host/stores/factory.js';
import '../host/threads/worker.js';
import { storeLimits } from './support/store-limits.js';

/** The drivers that this process has loaded. */
function loadedDrivers(): readonly string[] {
  const files = Object.keys(createRequire(import.meta.url).cache);
  return ['mongodb', 'mysql2'].filter((name) => files.some((file) => file.includes(`/node_modules/${name}/`)));
}

test('a broker thread loads the drivers of the stores that are configured, and no other', async () => {
  assert.deepEqual(loadedDrivers(), []);
  const mysql = { ...storeLimits, kind: 'mysql', url: 'mysql://a:b@127.0.0.1:1/c' } as const;
  const makeAdapters = await loadAdapters({ main: mysql, other: mysql });
  assert.deepEqual(loadedDrivers(), ['mysql2']);
  const adapters = makeAdapters((config) => ({ ...config, poolSize: 1 }));
  assert.deepEqual([...adapters.keys()], ['main', 'other']);
  await loadAdapters({ files: { ...mysql, kind: 'mongodb', url: 'mongodb://127.0.0.1:1/c' } });
  assert.deepEqual(loadedDrivers(), ['mongodb', 'mysql2']);
  await Promise.all([...adapters.values()].map((adapter) => adapter.close(100)));
});
