import { type Caller, type CheckedSpecification, documentLayout, performOn, type Type } from '#sdk/spec';
import type { Json } from '@beds/sdk';
import { type Db, type Document, MongoClient, MongoServerError } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import { type Holder, holderNow, isGone, RENEW_MS } from '../../dba/mongodb-holder.js';
import { dbaErrors } from '../../errors/dba.js';
import { CATALOGUE } from '../../stores/mongodb/body.js';
import {
  comparesField,
  isScratchName,
  type Proved,
  type ScratchDatabase,
  scratchMongodb,
  scratchName,
  type Tried,
} from './scratch-data.js';

/** In each of these databases: who works with it. */
const HOLDERS = 'beds_prove';
const CONNECT_TIMEOUT_MS = 10_000;
const UNAUTHORIZED = 13;

/** Who works with it stands in the database: by that the next one knows what was left behind. */
export async function openScratchMongodb(
  adminUrl: string,
  specification: CheckedSpecification,
): Promise<ScratchDatabase> {
  const name = scratchName(specification.domain);
  const client = new MongoClient(adminUrl, { serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS });
  try {
    await dropLeftOvers(client);
    const db = client.db(name);
    const hold = (): Promise<unknown> =>
      db
        .collection<Holder & { readonly _id: string }>(HOLDERS)
        .replaceOne({ _id: 'holder' }, holderNow(), { upsert: true });
    await hold();
    const renewing = setInterval(() => void hold().catch(() => undefined), RENEW_MS).unref();
    const build = await db.command({ buildInfo: 1 });
    return {
      ...{ url: urlOf(adminUrl, name), server: `MongoDB ${String(build['version'])}` },
      data: scratchMongodb(db, (field) => daysOf(specification).has(field)),
      // n.b. accounts and roles are of the database, and go with it.
      noteAccount: () => undefined,
      lacks: () => Promise.resolve(undefined),
      privileges: (runtimeUrl, proved) => privilegeFailures(db, runtimeUrl, proved),
      plans: (proved) => explainQueries(db, proved),
      drop: async () => {
        clearInterval(renewing);
        await dropDatabase(db);
        await client.close();
      },
    };
  } catch (cause) {
    await client.close().catch(() => undefined);
    const code = cause instanceof MongoServerError ? 'BEDS_DBA_APPLY_FAILED' : 'BEDS_DBA_SERVER_UNAVAILABLE';
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message =
      code === 'BEDS_DBA_APPLY_FAILED' ? `A database to prove in could not be made: ${reason}` : undefined;
    throw dbaErrors.make(code, message, { cause });
  }
}

/** n.b. an account is known where the URL says, else in the database that it names, else in `admin`. */
function urlOf(adminUrl: string, name: string): string {
  const url = new ConnectionString(adminUrl);
  const before = url.pathname.slice(1);
  if (url.username !== '' && !url.searchParams.has('authSource'))
    url.searchParams.set('authSource', before === '' ? 'admin' : decodeURIComponent(before));
  url.pathname = `/${name}`;
  return url.href;
}

function daysOf({ records }: CheckedSpecification): ReadonlySet<string> {
  const fields = records.flatMap((record) => record.fields);
  return new Set(fields.filter(({ type }) => type.kind === 'date').map(({ name }) => name));
}

/** n.b. whoever may not list databases finds none. */
async function dropLeftOvers(client: MongoClient): Promise<void> {
  await client.db().command({ ping: 1 });
  const all = await client
    .db('admin')
    .admin()
    .listDatabases({ nameOnly: true })
    .catch(() => ({ databases: [] }));
  for (const { name } of all.databases) {
    if (!isScratchName(name)) continue;
    const db = client.db(name);
    const holder = await db.collection<Holder & { readonly _id: string }>(HOLDERS).findOne({ _id: 'holder' });
    if (holder !== null && isGone(holder)) await dropDatabase(db);
  }
}

async function dropDatabase(db: Db): Promise<void> {
  for (const command of ['dropAllUsersFromDatabase', 'dropAllRolesFromDatabase'])
    await db.command({ [command]: 1 }).catch(() => undefined);
  await db.dropDatabase();
}

/* Privileges */

/** What a host does with the documents of a domain. */
const OF_DOCUMENTS = ['find', 'insert', 'update', 'remove'];

/**
 * All that the runtime account may do, as the server tells it, against what it needs: reading the catalogue, and reading and writing what
 * the files of the domain make.
 */
export async function privilegeFailures(db: Db, runtimeUrl: string, { specification }: Proved): Promise<Tried> {
  const client = new MongoClient(runtimeUrl, { serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS });
  try {
    const own = client.db(db.databaseName);
    const status = await own.command({ connectionStatus: 1, showPrivileges: true }).catch((): Document => ({}));
    const { authenticatedUsers: users = [], authenticatedUserPrivileges: privileges = [] } = (status['authInfo'] ??
      {}) as { readonly authenticatedUsers?: readonly unknown[]; readonly authenticatedUserPrivileges?: Privileges };
    if (users.length === 0)
      return {
        ...{ tried: 0, failures: [] },
        notProved: ['what the account of a host must not do: this server has no accounts'],
      };
    const layout = documentLayout(specification);
    const collections = [
      ...layout.roots.map(({ record }) => layout.placeOf(record.name).collection),
      ...[layout.locks, layout.counters],
      ...specification.records.map(({ name }) => layout.historyOf(name)),
    ];
    const failures = privileges.flatMap(({ resource, actions }) => {
      const { db: of, collection } = resource;
      const isOwn = of === db.databaseName && typeof collection === 'string' && collections.includes(collection);
      const isCatalogue = of === db.databaseName && collection === CATALOGUE;
      const allowed = isOwn ? OF_DOCUMENTS : isCatalogue ? ['find'] : [];
      const beyond = actions.filter((action) => !allowed.includes(action));
      return beyond.length === 0
        ? []
        : [`The runtime account may do this: ${beyond.join(', ')} on ${JSON.stringify(resource)}`];
    });
    const denied = await Promise.all(ATTEMPTS.map((attempt) => whyAllowed(own, attempt)));
    return { tried: privileges.length + ATTEMPTS.length, failures: [...failures, ...denied.flat()] };
  } finally {
    await client.close();
  }
}

type Privileges = readonly {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly actions: readonly string[];
}[];

/** What is tried, beside what the server tells of the account. */
const ATTEMPTS: readonly Document[] = [
  { insert: CATALOGUE, documents: [{ _id: 'beds_may' }] },
  { create: 'beds_may' },
  { find: 'beds_not_granted', limit: 1 },
  { usersInfo: 1 },
  { createUser: 'beds_may', pwd: 'beds_may', roles: [] },
];

async function whyAllowed(db: Db, command: Document): Promise<readonly string[]> {
  const said = Object.entries(command)
    .slice(0, 1)
    .map(([name, of]) => `${name} ${String(of)}`)
    .join('');
  try {
    await db.command(command);
    return [`The runtime account may do this: ${said}`];
  } catch (error) {
    if (error instanceof MongoServerError && error.code === UNAUTHORIZED) return [];
    return [`${said} is not denied, but fails: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/* Plans */

interface Asked {
  readonly record: string;
  readonly fields: readonly string[];
}

/**
 * How the server would read for each query of the specification. n.b. an index that could serve is used, however few documents there are. A server that
 * explains nothing is asked for its indexes: one must begin with a field by which is looked for.
 */
async function explainQueries(
  db: Db,
  { specification }: Proved,
): Promise<Tried & { readonly notices: readonly string[] }> {
  const layout = documentLayout(specification);
  const [failures, notices]: [string[], string[]] = [[], []];
  let tried = 0;
  let isExplained = true;
  for (const query of specification.queries) {
    // n.b. what has no condition reads everything, as it must.
    const asked = query.where.length === 0 ? undefined : firstRead(specification, query);
    if (asked === undefined) continue;
    tried += 1;
    const { collection, pathOf } = layout.placeOf(asked.record);
    const paths = asked.fields.map(pathOf);
    const explained = paths.length === 0 ? true : await scans(db, collection, paths);
    const readsAll = explained ?? !(await hasIndex(db, collection, paths));
    isExplained &&= explained !== undefined;
    if (!readsAll) continue;
    const words = `The query ${query.name} reads every document of ${collection}: no index serves its conditions.`;
    (query.where.some(comparesField) ? failures : notices).push(words);
  }
  const notProved = isExplained
    ? []
    : ['how the server reads for queries: it explains nothing. There is an index for each'];
  if (!(await keepsValidators(db)))
    notProved.push('what collections refuse by themselves: this server keeps no validators');
  return { tried, failures, notices, notProved };
}

/** n.b. where it keeps them, every call so far was tried against them. */
async function keepsValidators(db: Db): Promise<boolean> {
  const all = await db.listCollections().toArray();
  return all.some((each) => (each as { readonly options?: Document }).options?.['validator'] !== undefined);
}

/** Undefined: the server does not say. */
async function scans(db: Db, collection: string, paths: readonly string[]): Promise<boolean | undefined> {
  const filter = Object.fromEntries(paths.map((path) => [path, { $eq: 'x' }]));
  const explain = { find: collection, filter };
  const plan = await db.command({ explain, verbosity: 'queryPlanner' }).catch((): Document => ({}));
  const { winningPlan } = (plan['queryPlanner'] ?? {}) as { readonly winningPlan?: Document };
  return winningPlan === undefined ? undefined : JSON.stringify(winningPlan).includes('"COLLSCAN"');
}

async function hasIndex(db: Db, collection: string, paths: readonly string[]): Promise<boolean> {
  const indexes = await db.collection(collection).indexes();
  return indexes.some(({ key }) => paths.includes(Object.keys(key)[0] ?? ''));
}

/** By which fields a query looks for what it begins with; undefined where a rule of it refuses these arguments. */
function firstRead(
  specification: CheckedSpecification,
  query: CheckedSpecification['queries'][number],
): Asked | undefined {
  const named = (specification.source.examples ?? [])
    .flatMap(({ given, call }) => [...given, call])
    .flatMap(({ user }) => (user ?? []) as Caller | []);
  const given = Object.fromEntries(query.args.map(({ name, type }) => [name, sampleOf(type, specification)]));
  for (const user of [undefined, ...named]) {
    const asked: Asked[] = [];
    try {
      performOn(
        specification,
        { operation: query.name, arguments: given, ...(user === undefined ? {} : { user }) },
        {
          ...{ now: new Date(), tables: new Map(), newKey: () => null, counter: () => 0, goOn: () => undefined },
          need: (record, conditions) => void asked.push({ record, fields: conditions.map(({ field }) => field) }),
          random: (_nth, make) => make(),
        },
      );
    } catch {
      // Nothing is there, or these arguments are refused: what was asked for is known all the same.
    }
    const own = asked.find(({ record }) => record === query.from.record);
    if (own !== undefined) return own;
  }
  return undefined;
}

/** Of kinds that know no words and no bounds. */
const SAMPLES: Readonly<Partial<Record<Type['kind'], Json>>> = {
  ...{ integer: 1, float: 1, decimal: '1', boolean: true, list: [], objects: [], json: {}, point: { lat: 1, lon: 1 } },
  ...{ date: '2026-01-31', timestamp: '2026-01-31T18:30:00Z', time: '18:30' },
};

function sampleOf(type: Type, specification: CheckedSpecification): Json {
  if (type.kind === 'enum') return type.values[0] ?? '';
  if (type.kind !== 'reference') return SAMPLES[type.kind] ?? 'a';
  const { key = [], fields = [] } = specification.records.find(({ name }) => name === type.record) ?? {};
  const own = fields.find(({ name }) => name === key.at(-1))?.type;
  return own === undefined || own.kind === 'reference' ? 1 : sampleOf(own, specification);
}
