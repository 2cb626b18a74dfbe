import process from 'node:process';
import type { NamedObject } from '../../host/stores/contract.js';
import { createMysqlAdapter } from '../../host/stores/mysql/adapter.js';
import { sealRealm } from '../../host/template/seal-realm.js';
import { storeLimits } from './store-limits.js';

/** As busy as a broker thread, whose built-ins are frozen: reads and calls of all forms that the host makes statements of. */
const ROUNDS = 10_000;
const AT_ONCE = 50;

const [url = ''] = process.argv.slice(2);
// Bounds for a busy machine: what is counted does not depend on time.
const limits = { ...storeLimits, acquireTimeoutMs: 60_000, connectTimeoutMs: 60_000 };
const adapter = createMysqlAdapter({ store: 'sealed', config: { kind: 'mysql', url, ...limits } });
sealRealm({ classes: [], isAdmitted: true });
await adapter.open();
const objects = await adapter.describe(['item_list', 'item_put']);
const [view, put] = [objectOf('item_list'), objectOf('item_put')];
const read = { mode: 'read', timeoutMs: 60_000 } as const;
const write = { mode: 'write', timeoutMs: 60_000 } as const;

function objectOf(name: string): NamedObject {
  const object = objects.get(name);
  if (object === undefined) throw new Error(`${name} is missing.`);
  return object;
}

async function round(n: number): Promise<void> {
  await adapter.view(view, { key: 'id', where: { id: n % 50 }, limit: 1 }, read);
  const order = [{ column: 'amount', direction: 'desc' }] as const;
  const where = { amount: { gte: 1, lt: 40 }, name: { in: ['a', 'b'] } };
  const query = { key: 'id', where, order, limit: 3 };
  const { cursor } = await adapter.view(view, query, read);
  if (cursor !== undefined) await adapter.view(view, { ...query, cursor }, read);
  await adapter.call(put, { id: n % 50, name: 'b' }, write);
}

let next = 0;
async function work(): Promise<void> {
  while (next < ROUNDS) {
    next += 1;
    await round(next);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
await adapter.close(1_000);
