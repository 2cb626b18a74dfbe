import { BSON, type Db, type Document, type IndexDescription, MongoClient, MongoServerError } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import { dbaErrors } from '../errors/dba.js';
import { APPLIED, CATALOGUE, isDocument } from '../stores/mongodb/body.js';
import { nativeOf, parseEntry, RULES, rulesIn } from '../stores/mongodb/catalogue.js';
import type { DomainObjects, Granted, ObjectFile, Grantee, StoreAdministrator } from './contract.js';

const CONNECT_TIMEOUT_MS = 10_000;
/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const NAMESPACE_EXISTS = 48;
/** What a collection or view that exists takes anew: https://www.mongodb.com/docs/manual/reference/command/collMod/ */
const CHANGEABLE = ['validator', 'validationLevel', 'validationAction', 'viewOn', 'pipeline'];
const COLLECTION_KEYS = ['collection', 'indexes', 'options', 'documents'];
const ROLE_EXISTS = 51_002;
const USER_EXISTS = 51_003;

interface Applied {
  readonly _id: string;
  readonly sha256: string;
  readonly appliedAt: Date;
}

/** MongoDB. Throws BEDS_DBA_URL_INVALID, BEDS_DBA_SERVER_UNAVAILABLE. */
export async function administerMongodb(adminUrl: string): Promise<StoreAdministrator> {
  const client = clientOf(adminUrl);
  try {
    await client.db().command({ ping: 1 });
    return new MongodbAdministrator(client);
  } catch (cause) {
    await client.close().catch(() => undefined);
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

/** Throws BEDS_DBA_URL_INVALID. */
export function clientOf(adminUrl: string): MongoClient {
  let database: string | undefined;
  let client: MongoClient;
  try {
    client = new MongoClient(adminUrl, { serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS });
    database = databaseOf(adminUrl);
  } catch {
    // The cause may repeat the URL, and the password in it.
    throw dbaErrors.make('BEDS_DBA_URL_INVALID', 'The URL of the MongoDB administrator cannot be read.');
  }
  if (database !== undefined) return client;
  throw dbaErrors.make('BEDS_DBA_URL_INVALID', 'The URL of the MongoDB administrator names no database.');
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
    if (object.type === 'entry' && object.entry['kind'] !== RULES) checkEntry(file.name, object.entry);
    const applied = this.#db.collection<Applied>(APPLIED);
    const { name, sha256 } = file;
    if (!force && (await applied.findOne({ _id: name, sha256 })) !== null) return 'unchanged';
    try {
      await putObject(this.#db, object);
      await applied.replaceOne({ _id: name }, { sha256, appliedAt: new Date() }, { upsert: true });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw dbaErrors.make('BEDS_DBA_APPLY_FAILED', `${name}: ${reason}`, { cause });
    }
    return 'applied';
  }

  /**
   * The actions that the catalogued objects need on their collections, and reading the catalogue: nothing else. A wrong
   * entry gets nothing. Of the whole catalogue, whoever applied it: a role is replaced as a whole.
   */
  async grant(_domains: readonly DomainObjects[], account: Grantee): Promise<Granted> {
    const needs = needsOf(await this.#db.collection(CATALOGUE).find().toArray());
    const wrong = needs.wrong.length === 0 ? '' : `; wrong entries, which get nothing: ${needs.wrong.join(', ')}`;
    if (!(await this.#hasAccessControl())) {
      const words =
        'this MongoDB-speaking server has no access control, so its own URL is used; MongoDB would get a role';
      return { account: false, words: `${words}${wrong}` };
    }
    const role = account.user;
    const db = this.#db.databaseName;
    const privileges = [...needs.actions].map(([collection, actions]) => ({
      resource: { db, collection },
      actions: [...actions],
    }));
    try {
      await this.#upsert({ createRole: role, privileges, roles: [] }, ROLE_EXISTS, { updateRole: role, privileges });
      const { user, password: pwd } = account;
      const roles = [{ role, db }];
      if (pwd === undefined) await this.#db.command({ grantRolesToUser: user, roles });
      else await this.#upsert({ createUser: user, pwd, roles }, USER_EXISTS, { updateUser: user, pwd, roles });
    } catch (cause) {
      throw dbaErrors.make('BEDS_DBA_ACCOUNT_FAILED', undefined, { cause });
    }
    const words = `account ${account.user}: ${privileges.length} collections, by a role of its own${wrong}`;
    return { account: true, words };
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** https://www.mongodb.com/docs/manual/reference/command/connectionStatus/ */
  async #hasAccessControl(): Promise<boolean> {
    const status = await this.#db.command({ connectionStatus: 1 }).catch((): Document => ({}));
    const info = status['authInfo'] as { readonly authenticatedUsers?: readonly unknown[] } | undefined;
    return (info?.authenticatedUsers ?? []).length > 0;
  }

  async #upsert(create: Document, exists: number, update: Document): Promise<void> {
    await this.#db.command(create).catch((error: unknown) => {
      if (!hasCode(error, exists)) throw error;
      return this.#db.command(update);
    });
  }
}

/** Puts it there, or changes what is there. */
export async function putObject(db: Db, object: MongodbObject): Promise<void> {
  if (object.type === 'entry') {
    const { _id, ...entry } = object.entry;
    await db.collection<Document & { _id: string }>(CATALOGUE).replaceOne({ _id }, entry, { upsert: true });
    return;
  }
  const { name, options } = object;
  await db.createCollection(name, options).catch(async (error: unknown) => {
    if (!hasCode(error, NAMESPACE_EXISTS)) throw error;
    if (!(await keepsOptions(db, name, options))) return;
    const changes = Object.entries(options).filter(([key]) => CHANGEABLE.includes(key));
    if (changes.length > 0) await db.command({ collMod: name, ...Object.fromEntries(changes) });
  });
  const collection = db.collection<Document & { _id: unknown }>(name);
  if (object.indexes.length > 0) {
    // n.b. one that a change has made may have another name.
    const there = (await collection.indexes()).map(indexText);
    const missing = object.indexes.filter((index) => !there.includes(indexText(index)));
    if (missing.length > 0) await collection.createIndexes(missing);
  }
  for (const document of object.documents) {
    const { _id, ...values } = withLongs(document);
    await collection.updateOne({ _id } as Document, { $setOnInsert: values }, { upsert: true });
  }
}

/** n.b. a whole number of JavaScript from 2^31 on is written as a double, which no validator takes for whole. */
function withLongs(document: Document): Document & { readonly _id: unknown } {
  const plain = BSON.EJSON.serialize(document);
  return BSON.EJSON.deserialize(plain, { relaxed: false }) as Document & { readonly _id: unknown };
}

/** What an index is, whatever it is called. */
export function indexText(index: Document): string {
  const { name: _, v: _version, ns: _namespace, background: _background, key, ...options } = index;
  const said = Object.entries(options).filter(([, value]) => value !== false);
  return JSON.stringify([key, said.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}

/**
 * Whether the server keeps options at all: the stand-in has none, and knows no command for them. n.b. what a collection was
 * made with, a collation for one, no command changes: indexes and views rely on it.
 */
async function keepsOptions(db: Db, name: string, options: PlainDocument): Promise<boolean> {
  const [found] = await db.listCollections({ name }).toArray();
  const { options: known = {}, info } = (found ?? {}) as {
    readonly options?: PlainDocument;
    readonly info?: PlainDocument;
  };
  // n.b. a MongoDB gives each collection an identity.
  if (Object.keys(known).length === 0 && info?.['uuid'] === undefined) return false;
  const changed = Object.keys(options).filter(
    (key) => !CHANGEABLE.includes(key) && !isPartOf(options[key], known[key], key),
  );
  if (changed.length === 0) return true;
  const these = changed.join(', ');
  throw new Error(
    `the collection ${name} is there with another ${these}, which MongoDB does not change. Make a new collection, or take ${these} out of the file.`,
  );
}

/**
 * n.b. a native view is granted itself, never what its pipeline reads for servers without views: a server with roles
 * has views. Whether it is there already is not asked: a grant may come first.
 */
const NOTHING_GRANTED = { views: new Set<string>(), may: () => false };

function checkEntry(file: string, entry: Document): void {
  const { problems } = nativeOf(parseEntry(entry, NOTHING_GRANTED));
  if (problems.length === 0) return;
  throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${file} is wrong at ${problems.join('; at ')}.`);
}

interface Needs {
  /** Actions by collection. */
  readonly actions: ReadonlyMap<string, ReadonlySet<string>>;
  /** Names of the entries that have problems, and the problems. */
  readonly wrong: readonly string[];
}

function needsOf(entries: readonly Document[]): Needs {
  const actions = new Map<string, Set<string>>([[CATALOGUE, new Set(['find'])]]);
  const wrong: string[] = [];
  const server = { ...NOTHING_GRANTED, rules: rulesIn(entries) };
  for (const entry of entries.filter(({ kind }) => kind !== RULES)) {
    const { problems, missingGrants } = nativeOf(parseEntry(entry, server));
    if (problems.length > 0) wrong.push(`${nameOf(entry)} (${problems.join('; ')})`);
    for (const grant of missingGrants) {
      const space = grant.indexOf(' ');
      const collection = grant.slice(space + 1);
      actions.set(collection, (actions.get(collection) ?? new Set()).add(grant.slice(0, space)));
    }
  }
  return { actions, wrong };
}

function nameOf({ _id }: Document): string {
  return typeof _id === 'string' ? _id : JSON.stringify(_id);
}

function hasCode(error: unknown, code: number): boolean {
  return error instanceof MongoServerError && error.code === code;
}

type PlainDocument = Readonly<Record<string, unknown>>;

/** Whether an option is as it was asked for. n.b. servers add what was not said, and round sizes up. */
function isPartOf(asked: unknown, known: unknown, key: string): boolean {
  if (isDocument(asked)) {
    return isDocument(known) && Object.keys(asked).every((part) => isPartOf(asked[part], known[part], part));
  }
  if (key === 'size') return known === asked || known === Math.ceil(Number(asked) / SIZE_STEP) * SIZE_STEP;
  return asked === known || (asked === false && known === undefined);
}

/** https://www.mongodb.com/docs/manual/core/capped-collections/ */
const SIZE_STEP = 256;

/** What a JSON file of `db/` holds: a collection with its indexes, or one entry of the catalogue of named objects. */
export type MongodbObject =
  | {
      readonly type: 'collection';
      readonly name: string;
      readonly indexes: readonly IndexDescription[];
      /** Those of db.createCollection: a validator, a collation, what makes it a view. */
      readonly options: PlainDocument;
      /** Documents that are there from the start: one that is there already stays as it is. */
      readonly documents: readonly (Document & { readonly _id: unknown })[];
    }
  | { readonly type: 'entry'; readonly entry: PlainDocument & { readonly _id: string } };

/** Throws BEDS_DBA_FILE_INVALID. */
export function parseObjectFile({ name, text }: Pick<ObjectFile, 'name' | 'text'>): MongodbObject {
  const content = parse(name, text);
  if (typeof content['collection'] === 'string') {
    const { collection, indexes = [], options = {}, documents = [] } = content;
    // n.b. what would be left out without a word, a validator for one, is missed when it is too late.
    if (Object.keys(content).some((key) => !COLLECTION_KEYS.includes(key))) {
      throw invalid(name, `knows only ${COLLECTION_KEYS.join(', ')} of a collection`);
    }
    if (!Array.isArray(indexes)) throw invalid(name, 'has indexes that are no list');
    if (!isDocument(options)) throw invalid(name, 'has options that are no object');
    if (!Array.isArray(documents) || !documents.every((one) => isDocument(one) && one['_id'] !== undefined))
      throw invalid(name, 'has documents that are no list of objects with an _id');
    return {
      ...{ type: 'collection', name: collection, options: withExactNumbers(options) },
      indexes: indexes as readonly IndexDescription[],
      documents: (documents as readonly Document[]).map(
        (document) => BSON.EJSON.deserialize(document) as Document & { readonly _id: unknown },
      ),
    };
  }
  const id = content['_id'];
  if (typeof id !== 'string' || id === '') {
    throw invalid(name, 'must have `collection` (and `indexes`), or `_id`, `kind` and what else an entry has');
  }
  return { type: 'entry', entry: { ...content, _id: id } };
}

/** n.b. bounds of decimals are Extended JSON in a file. Elsewhere in a validator `$regex` is an operator of queries. */
function withExactNumbers(options: PlainDocument): PlainDocument {
  const { validator } = options;
  if (!isDocument(validator) || !isDocument(validator['$jsonSchema'])) return options;
  const $jsonSchema = BSON.EJSON.deserialize(validator['$jsonSchema']) as PlainDocument;
  return { ...options, validator: { ...validator, $jsonSchema } };
}

function parse(name: string, text: string): PlainDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const position = Number(/at position (\d+)/.exec(String(cause))?.[1] ?? text.length);
    const line = text.slice(0, position).split('\n').length;
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${name} is not JSON: see line ${line}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, 'must be an object');
  return value as PlainDocument;
}

function invalid(name: string, problem: string): Error {
  return dbaErrors.make('BEDS_DBA_FILE_INVALID', `${name} ${problem}.`);
}

/** The database that a URL names; undefined where it names none, for which the driver would take `test`. */
function databaseOf(url: string): string | undefined {
  const name = decodeURIComponent(new ConnectionString(url).pathname.slice(1));
  return name === '' ? undefined : name;
}
