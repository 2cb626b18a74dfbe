import { MongoClient, MongoServerError, type Db, type Document } from 'mongodb';
import { CATALOGUE, nativeOf, parseEntry } from '../../adapter/mongodb/catalogue.js';
import { dbaErrors } from '../../errors/dba.js';
import type { DomainObjects, Granted, ObjectFile, RuntimeAccount, StoreAdministrator } from '../contract.js';
import { parseObjectFile, type MongodbObject } from './object-file.js';

const CONNECT_TIMEOUT_MS = 10_000;
const APPLIED = 'beds_applied';
/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const NAMESPACE_EXISTS = 48;
const ROLE_EXISTS = 51_002;
const USER_EXISTS = 51_003;

interface Applied {
  readonly _id: string;
  readonly sha256: string;
  readonly appliedAt: Date;
}

/** MongoDB. Throws BEDS_DBA_SERVER_UNAVAILABLE. */
export async function administerMongodb(adminUrl: string): Promise<StoreAdministrator> {
  const client = new MongoClient(adminUrl, { serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS });
  try {
    await client.db().command({ ping: 1 });
    return new MongodbAdministrator(client);
  } catch (cause) {
    await client.close().catch(() => undefined);
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

class MongodbAdministrator implements StoreAdministrator {
  readonly #client: MongoClient;
  readonly #db: Db;

  constructor(client: MongoClient) {
    this.#client = client;
    this.#db = client.db();
  }

  async apply(file: ObjectFile, { force }: { readonly force: boolean }): Promise<'applied' | 'unchanged'> {
    const object = parseObjectFile(file);
    if (object.type === 'entry') checkEntry(file.name, object.entry);
    const applied = this.#db.collection<Applied>(APPLIED);
    const { name, sha256 } = file;
    if (!force && (await applied.findOne({ _id: name, sha256 })) !== null) return 'unchanged';
    try {
      await this.#put(object);
      await applied.replaceOne({ _id: name }, { sha256, appliedAt: new Date() }, { upsert: true });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw dbaErrors.make('BEDS_DBA_APPLY_FAILED', `${name}: ${reason}`, { cause });
    }
    return 'applied';
  }

  /** The actions that the catalogued objects need on their collections, and reading the catalogue: nothing else. */
  async grant(_domains: readonly DomainObjects[], account: RuntimeAccount): Promise<Granted> {
    if (!(await this.#hasAccessControl())) {
      const words =
        'this MongoDB-speaking server has no access control, so its own URL is used; MongoDB would get a role';
      return { account: false, words };
    }
    const privileges = await this.#neededPrivileges();
    const role = account.user;
    try {
      await this.#upsert({ createRole: role, privileges, roles: [] }, ROLE_EXISTS, { updateRole: role, privileges });
      const roles = [{ role, db: this.#db.databaseName }];
      const user = { pwd: account.password, roles };
      await this.#upsert({ createUser: account.user, ...user }, USER_EXISTS, { updateUser: account.user, ...user });
    } catch (cause) {
      throw dbaErrors.make('BEDS_DBA_ACCOUNT_FAILED', undefined, { cause });
    }
    return { account: true, words: `account ${account.user}: ${privileges.length} collections, by a role of its own` };
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #put(object: MongodbObject): Promise<void> {
    if (object.type === 'entry') {
      const { _id, ...entry } = object.entry;
      await this.#db.collection<Document & { _id: string }>(CATALOGUE).replaceOne({ _id }, entry, { upsert: true });
      return;
    }
    await this.#db.createCollection(object.name).catch((error: unknown) => {
      if (!hasCode(error, NAMESPACE_EXISTS)) throw error;
    });
    if (object.indexes.length > 0) await this.#db.collection(object.name).createIndexes([...object.indexes]);
  }

  /** https://www.mongodb.com/docs/manual/reference/command/connectionStatus/ */
  async #hasAccessControl(): Promise<boolean> {
    const status = await this.#db.command({ connectionStatus: 1 }).catch((): Document => ({}));
    const info = status['authInfo'] as { readonly authenticatedUsers?: readonly unknown[] } | undefined;
    return (info?.authenticatedUsers ?? []).length > 0;
  }

  /** Of the whole catalogue, whoever applied it: a role is replaced as a whole. */
  async #neededPrivileges(): Promise<readonly Document[]> {
    const entries = await this.#db.collection(CATALOGUE).find().toArray();
    const needed = entries.flatMap((entry) => requirements(entry));
    const actions = new Map<string, Set<string>>([[CATALOGUE, new Set(['find'])]]);
    for (const { action, collection } of needed) {
      actions.set(collection, (actions.get(collection) ?? new Set()).add(action));
    }
    const db = this.#db.databaseName;
    return [...actions].map(([collection, names]) => ({ resource: { db, collection }, actions: [...names] }));
  }

  async #upsert(create: Document, exists: number, update: Document): Promise<void> {
    await this.#db.command(create).catch((error: unknown) => {
      if (!hasCode(error, exists)) throw error;
      return this.#db.command(update);
    });
  }
}

const NOTHING_GRANTED = { views: new Set<string>(), may: () => false };

function checkEntry(file: string, entry: Document): void {
  const { problems } = nativeOf(parseEntry(entry, NOTHING_GRANTED));
  if (problems.length === 0) return;
  throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${file} is wrong at ${problems.join('; at ')}.`);
}

function requirements(entry: Document): readonly { readonly action: string; readonly collection: string }[] {
  return nativeOf(parseEntry(entry, NOTHING_GRANTED)).missingGrants.map((grant) => {
    const space = grant.indexOf(' ');
    return { action: grant.slice(0, space), collection: grant.slice(space + 1) };
  });
}

function hasCode(error: unknown, code: number): boolean {
  return error instanceof MongoServerError && error.code === code;
}
