import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { MongoClient } from 'mongodb';
import type { Document } from 'mongodb';
import { isBedsError } from '@beds/sdk';
import type { RoutineRows, JsonObject, ViewQuery } from '@beds/sdk';
import type { CallOptions, NamedObject, StoreAdapter } from '../../host/stores/contract.js';
import { createMongodbAdapter } from '../../host/stores/mongodb/adapter.js';
import type { StoreConfig } from '../../host/config/schema.js';
import type { storeErrors } from '../../host/errors/store.js';
import { databaseUrl } from './mongodb-url.js';
import { sharedServices } from './services.js';
import { storeLimits } from './store-limits.js';

export const READ: CallOptions = { timeoutMs: 30_000, mode: 'read' };
export const WRITE: CallOptions = { timeoutMs: 30_000, mode: 'write' };

export type Entry = Document & { readonly _id: string };

/** A database of this test file's own, with the DBA's client and the host's adapter. */
export interface MongodbStore {
  readonly url: string;
  readonly dba: MongoClient;
  readonly adapter: StoreAdapter;
  /** Another adapter for the same database; not opened. */
  open(changes: Partial<StoreConfig>): StoreAdapter;
  /** Puts entries into the catalogue, in place of those of the same name. */
  deliver(...entries: readonly Entry[]): Promise<void>;
  /** What the catalogue says now. */
  object(name: string): Promise<NamedObject>;
  call(name: string, args: JsonObject, options?: CallOptions): Promise<RoutineRows>;
  rows(name: string, query?: ViewQuery): Promise<readonly JsonObject[]>;
}

/** Call it at the top level of a test file: what it makes ends with the file. */
export async function mongodbStore(): Promise<MongodbStore> {
  let end = (): Promise<void> => Promise.resolve();
  // n.b. these hooks run in the order in which they are registered: this one before the server's own.
  after(() => end());
  const { mongodb } = await sharedServices(['mongodb']);
  assert.ok(mongodb);
  const url = databaseUrl(mongodb.url, `beds_adapter_${randomUUID().slice(0, 8)}`);
  const dba = new MongoClient(url, { serverSelectionTimeoutMS: 5_000 });
  const open = (changes: Partial<StoreConfig>): StoreAdapter => {
    return createMongodbAdapter({ store: 'test', config: { kind: 'mongodb', url, ...storeLimits, ...changes } });
  };
  const adapter = open({});
  end = async () => {
    await adapter.close(1_000);
    await dba.db().dropDatabase();
    await dba.close();
  };
  await dba.connect();
  await adapter.open();
  const object = async (name: string): Promise<NamedObject> => {
    const found = (await adapter.describe([name])).get(name);
    assert.ok(found, `${name} is in the catalogue`);
    return found;
  };
  return {
    url,
    dba,
    adapter,
    open,
    object,
    deliver: async (...entries) => {
      const catalogue = dba.db().collection<Entry>('beds_objects');
      for (const entry of entries) await catalogue.replaceOne({ _id: entry._id }, entry, { upsert: true });
    },
    call: async (name, args, options = WRITE) => adapter.call(await object(name), args, options),
    rows: async (name, query = {}) => (await adapter.view(await object(name), { key: 'id', ...query }, READ)).rows,
  };
}

/** Asserts that `work` fails with this code, about this field. */
export function rejects(work: Promise<unknown>, code: keyof typeof storeErrors.specs, field?: string): Promise<void> {
  return assert.rejects(work, (error: unknown) => {
    assert.ok(isBedsError(error), String(error));
    assert.equal(error.code, code);
    if (field !== undefined) assert.equal(error.field, field);
    return true;
  });
}
