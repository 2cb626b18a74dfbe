import type { Db, Document } from 'mongodb';
import { MongoServerError } from 'mongodb';
import type { NamedObject } from '../contract.js';
import { serverMs, signalOf } from './driver-deadline.js';
import { parseEntry } from './catalogue.js';
import { CATALOGUE } from './collection-name.js';
import type { Deadline } from '../deadline.js';
import { readPrivileges } from './privileges.js';

const UNAUTHORIZED = 13;

/** The entries of these names, each as the server at hand can serve it. */
export async function describeObjects(
  db: Db,
  names: readonly string[],
  deadline: Deadline,
): Promise<ReadonlyMap<string, NamedObject>> {
  const limits = { signal: signalOf(deadline), maxTimeMS: serverMs(deadline) };
  const entries = await unlessDenied<Document[]>(
    db
      .collection<{ readonly _id: string }>(CATALOGUE)
      .find({ _id: { $in: [...new Set(names)] } }, limits)
      .toArray(),
    [],
  );
  if (entries.length === 0) return new Map();
  const [views, may] = await Promise.all([listViews(db, signalOf(deadline)), readPrivileges(db)]);
  return new Map(
    entries.map((entry) => {
      const object = parseEntry(entry, { views, may });
      return [object.name, object];
    }),
  );
}

/**
 * What the server itself calls views. A server that takes `viewOn` and ignores it lists a plain collection.
 * `authorizedCollections` asks for no more rights than the account has:
 * https://www.mongodb.com/docs/manual/reference/command/listCollections/
 */
export async function listViews(db: Db, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const options = { nameOnly: true, authorizedCollections: true, signal } as const;
  const listed = await unlessDenied(db.listCollections({}, options).toArray(), []);
  return new Set(listed.filter(({ type }) => type === 'view').map(({ name }) => name));
}

async function unlessDenied<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === UNAUTHORIZED) return otherwise;
    throw error;
  }
}
