import { type Db, type MongoClient, MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import type { StoreCapabilities } from '../contract.js';
import { CATALOGUE, isDocument } from './body.js';

/** A collection that no role grants: a server that lets it be read controls nothing. */
const NOT_GRANTED = 'beds_not_granted';
const UNAUTHORIZED = 13;
const MAX_TIME_EXPIRED = 50;
const MAX_INT32 = 2_147_483_647;
const PROBE_TIMEOUT_MS = 2_000;

export const NO_CAPABILITIES: StoreCapabilities = {
  transactions: false,
  readOnlyReads: false,
  statementDeadline: false,
  nativeViews: false,
  accessControl: false,
};

/** Finds out what the server does by making it do it. What it says of itself is not asked: servers say much. */
export async function tryCapabilities(client: MongoClient, db: Db): Promise<Omit<StoreCapabilities, 'nativeViews'>> {
  const transactions = await canCommit(client, db);
  const statementDeadline = await keepsDeadlines(db);
  const accessControl = await refusesReads(db);
  // Of every operation it is known whether it writes before it is sent: no help of the server is needed.
  return { transactions, statementDeadline, accessControl, readOnlyReads: true };
}

async function canCommit(client: MongoClient, db: Db): Promise<boolean> {
  const session = client.startSession();
  try {
    session.startTransaction();
    await db.collection(CATALOGUE).findOne({}, { session, signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await session.commitTransaction();
    return true;
  } catch (error) {
    return refusal(error, false);
  } finally {
    await session.endSession().catch(() => undefined);
  }
}

async function keepsDeadlines(db: Db): Promise<boolean> {
  const catalogue = db.collection(CATALOGUE);
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  // A server that takes an impossible limit does not read it, and must not be given long work to do.
  const ignored = await catalogue.findOne({}, { maxTimeMS: MAX_INT32 + 1, signal }).then(
    () => true,
    (error: unknown) => refusal(error, false),
  );
  if (ignored) return false;
  const rows = { $range: [0, 100_000] };
  // $facet gives one document even where the collection has none.
  const work = [
    { $facet: { none: [{ $limit: 1 }] } },
    { $project: { rows } },
    { $unwind: '$rows' },
    { $group: { _id: null, n: { $sum: 1 } } },
  ];
  return catalogue
    .aggregate(work, { maxTimeMS: 1, signal })
    .toArray()
    .then(
      () => false,
      (error: unknown) =>
        error instanceof MongoServerError && error.code === MAX_TIME_EXPIRED ? true : refusal(error, false),
    );
}

async function refusesReads(db: Db): Promise<boolean> {
  try {
    await db.collection(NOT_GRANTED).findOne({}, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return false;
  } catch (error) {
    return error instanceof MongoServerError && error.code === UNAUTHORIZED ? true : refusal(error, false);
  }
}

/** An answer is knowledge; a server that cannot be reached has given none. */
function refusal(error: unknown, answer: boolean): boolean {
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) throw error;
  return answer;
}

interface Privilege {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly actions: readonly unknown[];
}

/**
 * What the account may do, as the server tells it. A server that knows no accounts, or lets anyone in, lets everything
 * be done: https://www.mongodb.com/docs/manual/reference/command/connectionStatus/
 */
export async function readPrivileges(db: Db): Promise<(action: string, collection: string) => boolean> {
  const status: unknown = await db.command({ connectionStatus: 1, showPrivileges: true }).catch(() => undefined);
  const info = isDocument(status) ? status['authInfo'] : undefined;
  if (!isDocument(info) || !Array.isArray(info['authenticatedUsers']) || info['authenticatedUsers'].length === 0) {
    return () => true;
  }
  const privileges = info['authenticatedUserPrivileges'] as readonly Privilege[] | undefined;
  return privilegeTest(db.databaseName, privileges ?? []);
}

export function privilegeTest(
  database: string,
  privileges: readonly Privilege[],
): (action: string, collection: string) => boolean {
  return (action, collection) =>
    privileges.some(({ resource, actions }) => {
      if (!actions.includes(action) && !actions.includes('anyAction')) return false;
      if (resource['anyResource'] === true) return true;
      const ofDatabase = resource['db'] === '' || resource['db'] === database;
      return ofDatabase && (resource['collection'] === '' || resource['collection'] === collection);
    });
}
