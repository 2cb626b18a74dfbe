import { parentPort, workerData } from 'node:worker_threads';
import { isBedsError } from '@beds/sdk';
import { createMysqlAdapter } from '../../host/stores/mysql/adapter.js';
import { storeLimits } from './store-limits.js';

/** What a thread of its own is to read, all at once. */
export interface HeavyReading {
  readonly url: string;
  readonly view: string;
  readonly limit: number;
  readonly times: number;
  /** Whether it keeps what it got, as a request does that reads on. */
  readonly keeps: boolean;
}

const { url, view: name, limit, times, keeps } = workerData as HeavyReading;
const adapter = createMysqlAdapter({ store: 'heavy', config: { kind: 'mysql', url, ...storeLimits } });
await adapter.open();
const view = (await adapter.describe([name])).get(name);
const kept: unknown[] = [];
const holder = { hold: () => undefined };
const read = async (): Promise<string> => {
  if (view === undefined) return 'no view';
  try {
    const page = await adapter.view(
      view,
      { key: 'id', limit },
      { mode: 'read', timeoutMs: 20_000, ...(keeps && { holder }) },
    );
    if (keeps) kept.push(page);
    return 'ok';
  } catch (error) {
    return isBedsError(error) ? error.code : String(error);
  }
};
const outcomes = await Promise.all(Array.from({ length: times }, read));
parentPort?.postMessage(outcomes);
await adapter.close(1_000);
