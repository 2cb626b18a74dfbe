import type { Db, MongoClient } from 'mongodb';
import { MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import type { StoreCapabilities } from '../contract.js';
import { CATALOGUE } from './collection-name.js';

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
