import {
  type Db,
  type MongoClient,
  MongoError,
  MongoNetworkError,
  MongoServerError,
  MongoServerSelectionError,
} from 'mongodb';
import type { StoreCapabilities } from '../contract.js';
import { CATALOGUE, isDocument } from './body.js';
import { toStoreError } from './store-error.js';

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

/** What is known of the server; absent is what it could not be asked yet. */
export type KnownCapabilities = Partial<
  Pick<StoreCapabilities, 'transactions' | 'statementDeadline' | 'accessControl'>
>;

export function isAllKnown(known: KnownCapabilities): boolean {
  return [known.transactions, known.statementDeadline, known.accessControl].every((one) => one !== undefined);
}

/** Finds out what the server does by making it do it. What it says of itself is not asked: servers say much. */
export async function tryCapabilities(
  client: MongoClient,
  db: Db,
  known: KnownCapabilities,
): Promise<KnownCapabilities> {
  const transactions = known.transactions ?? (await canCommit(client, db));
  const statementDeadline = known.statementDeadline ?? (await keepsDeadlines(db));
  const accessControl = known.accessControl ?? (await refusesReads(db));
  return {
    ...(transactions === undefined ? {} : { transactions }),
    ...(statementDeadline === undefined ? {} : { statementDeadline }),
    ...(accessControl === undefined ? {} : { accessControl }),
  };
}

async function canCommit(client: MongoClient, db: Db): Promise<boolean | undefined> {
  const session = client.startSession();
  try {
    // n.b. whatever the URL says that other reads prefer.
    session.startTransaction({ readPreference: 'primary' });
    await db.collection(CATALOGUE).findOne({}, { session, signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await session.commitTransaction();
    return true;
  } catch (error) {
    return isRefused(error) ? false : undefined;
  } finally {
    await session.endSession().catch(() => undefined);
  }
}

async function keepsDeadlines(db: Db): Promise<boolean | undefined> {
  const catalogue = db.collection(CATALOGUE);
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  // A server that takes an impossible limit does not read it, and must not be given long work to do.
  const reads = await catalogue.findOne({}, { maxTimeMS: MAX_INT32 + 1, signal }).then(
    () => false,
    (error: unknown) => (isRefused(error) ? true : undefined),
  );
  if (reads !== true) return reads;
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
      (error: unknown) => {
        if (error instanceof MongoServerError && error.code === MAX_TIME_EXPIRED) return true;
        return isRefused(error) ? false : undefined;
      },
    );
}

async function refusesReads(db: Db): Promise<boolean | undefined> {
  try {
    await db.collection(NOT_GRANTED).findOne({}, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return false;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === UNAUTHORIZED) return true;
    return isRefused(error) ? false : undefined;
  }
}

/** Verdicts by which a server says that it does not know how. */
const REFUSALS: readonly string[] = ['BEDS_STORE_NOT_SUPPORTED', 'BEDS_STORE_INVALID_VALUE', 'BEDS_STORE_FAULT'];

/**
 * Whether an error answers the question. A server that had no time, that is busy with an election or that did not let the account
 * in has not answered. Throws where there is no server.
 */
function isRefused(error: unknown): boolean {
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) throw error;
  return error instanceof MongoError && REFUSALS.includes(toStoreError(error, { write: false, many: false }).code);
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
