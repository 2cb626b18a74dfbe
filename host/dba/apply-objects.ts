import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChangePlan, DatabaseStatus } from '#sdk/cli';
import { dbaErrors } from '../errors/dba.js';
import type { ApplyChange, DomainChanges } from './change-domain.js';
import type {
  AdministeredStore,
  DbaProgress,
  DomainObjects,
  ObjectFile,
  RuntimeAccount,
  StoreAdministrator,
  StoreKind,
} from './contract.js';
import { makeRuntimeAccount, readRuntimeAccounts, runtimeUrl, writeRuntimeAccounts } from './runtime-accounts.js';

export interface ApplyOptions {
  /** The databases by the name that templates use. */
  readonly stores: Readonly<Record<string, AdministeredStore>>;
  /** Holds `<domain>/db/`. */
  readonly folder: string;
  /** `state.directory`: the runtime accounts are kept there. */
  readonly directory: string;
  /** Default: every domain that has objects. */
  readonly domains?: readonly string[];
  /** An account that gets the objects, in place of one that is made: that of a host whose configuration names it. */
  readonly account?: string | undefined;
  /** Whether files are put in again that are there unchanged. Default false. */
  readonly force?: boolean;
  /** Whether rows may lose something, and whether a database that was changed by hand is taken as it is. Default neither. */
  readonly change?: { readonly allowLoss: boolean; readonly acceptDrift: boolean };
  readonly onProgress?: (event: DbaProgress) => void;
}

export interface AppliedObjects {
  readonly applied: number;
  readonly unchanged: number;
  /** URLs with the runtime accounts (the administrator's where there is none), by store: secrets. */
  readonly urls: Readonly<Record<string, string>>;
}

/** n.b. a driver is loaded where a store needs it only: an author has the one of his database. */
const administrators: Readonly<Record<StoreKind, (adminUrl: string) => Promise<StoreAdministrator>>> = {
  mysql: async (url) => (await import('./mysql.js')).administerMysql(url),
  mongodb: async (url) => (await import('./mongodb.js')).administerMongodb(url),
};

/**
 * Does the DBA's work: puts the objects of `db/` folders into their databases, in the order of the file names, and gives
 * them to the runtime account of each store. Running it again changes nothing. The host never does any of this.
 * Throws BEDS_DBA_*.
 */
export async function applyObjects(options: ApplyOptions): Promise<AppliedObjects> {
  const domains = readDomains(options);
  const byStore = new Map<string, DomainObjects[]>();
  for (const domain of domains) {
    const store = storeOf(domain, options.stores);
    byStore.set(store, [...(byStore.get(store) ?? []), domain]);
  }
  const outcomes: StoreOutcome[] = [];
  for (const [store, own] of byStore) outcomes.push(await applyToStore(store, own, options));
  if (options.account === undefined) await prepareOthers([...byStore.keys()], options);
  return {
    applied: outcomes.reduce((sum, { applied }) => sum + applied, 0),
    unchanged: outcomes.reduce((sum, { unchanged }) => sum + unchanged, 0),
    urls: Object.fromEntries(outcomes.map(({ store, url }) => [store, url])),
  };
}

/** A host opens every store that it is configured with, also one whose domains come later. */
async function prepareOthers(done: readonly string[], options: ApplyOptions): Promise<void> {
  const accounts = readRuntimeAccounts(options.directory);
  for (const store of Object.keys(options.stores)) {
    if (!done.includes(store) && accounts[store] === undefined) await applyToStore(store, [], options);
  }
}

interface StoreOutcome {
  readonly store: string;
  readonly applied: number;
  readonly unchanged: number;
  readonly url: string;
}

/** The store that package.json names, or the only one that takes such files. */
function storeOf({ domain, store, kind }: DomainObjects, stores: ApplyOptions['stores']): string {
  const fitting = Object.keys(stores).filter((name) => stores[name]?.kind === kind);
  if (store === undefined ? fitting.length === 1 : fitting.includes(store)) return store ?? fitting[0] ?? '';
  const problem =
    store === undefined
      ? `${domain} names no store and ${fitting.length} stores are of kind ${kind}`
      : `${domain} names the store ${store}, which is no store of kind ${kind}`;
  throw dbaErrors.make('BEDS_DBA_STORE_UNKNOWN', `${problem}. Known: ${fitting.join(', ') || 'none'}.`);
}

async function applyToStore(
  store: string,
  domains: readonly DomainObjects[],
  options: ApplyOptions,
): Promise<StoreOutcome> {
  const { kind, adminUrl, ownAccount } = options.stores[store] ?? { kind: 'mysql', adminUrl: '' };
  const administrator = await administrators[kind](adminUrl);
  try {
    const counts = { applied: 0, unchanged: 0 };
    for (const domain of domains) {
      if (!(await isPlain(store, domain, options))) {
        counts.applied += await expandDomain(store, domain, options);
        continue;
      }
      const before = counts.applied;
      for (const file of domain.files) {
        const outcome = await administrator.apply(file, { force: options.force === true });
        counts[outcome] += 1;
        options.onProgress?.({ type: outcome, store, file: file.name });
      }
      await recordDomain(store, domain, { options, isChanged: counts.applied > before });
    }
    const isOwn = ownAccount === true && options.account === undefined;
    const account = isOwn ? null : await grantAccount(store, { administrator, domains, options });
    return { store, ...counts, url: runtimeUrl(adminUrl, account) };
  } finally {
    await administrator.close();
  }
}

/* Domains that are made from a specification: what they were made from is kept, and a next revision is a change. */

function isMade({ specification }: DomainObjects): boolean {
  return specification !== undefined;
}

/** Whatever a database is like, and is told. */
type Changes = Pick<
  DomainChanges<unknown, unknown>,
  'plan' | 'isPlain' | 'recordApplied' | 'expand' | 'contract' | 'undo' | 'status' | 'close'
>;

const changes: Readonly<Record<StoreKind, (adminUrl: string, store: string) => Promise<Changes>>> = {
  mysql: async (url, store) => (await import('./mysql-changes.js')).openMysqlChanges(url, store),
  mongodb: async (url, store) => (await import('./mongodb-changes.js')).openMongodbChanges(url, store),
};

async function withChanges<T>(
  store: string,
  stores: ApplyOptions['stores'],
  work: (changes: Changes) => Promise<T>,
): Promise<T> {
  const { kind, adminUrl } = stores[store] ?? { kind: 'mysql', adminUrl: '' };
  const opened = await changes[kind](adminUrl, store);
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

async function isPlain(store: string, domain: DomainObjects, { stores }: ApplyOptions): Promise<boolean> {
  return !isMade(domain) || withChanges(store, stores, (of) => of.isPlain(domain));
}

async function recordDomain(
  store: string,
  domain: DomainObjects,
  { options, isChanged }: { readonly options: ApplyOptions; readonly isChanged: boolean },
): Promise<void> {
  if (!isMade(domain)) return;
  await withChanges(store, options.stores, (of) => of.recordApplied(domain, isChanged));
}

function changeOptions(store: string, { change, onProgress }: ApplyOptions): ApplyChange {
  return {
    ...(change ?? { allowLoss: false, acceptDrift: false }),
    onProgress: (event) => onProgress?.({ type: 'change', store, event }),
  };
}

async function expandDomain(store: string, domain: DomainObjects, options: ApplyOptions): Promise<number> {
  return withChanges(store, options.stores, (of) => of.expand(domain, changeOptions(store, options)));
}

/** What `applyObjects` would do to the domains that are made from a specification. Changes nothing. Throws BEDS_DBA_*. */
export async function planObjects(options: ApplyOptions): Promise<readonly ChangePlan[]> {
  const plans: ChangePlan[] = [];
  for (const domain of readDomains(options)) {
    const store = storeOf(domain, options.stores);
    if (isMade(domain)) plans.push(await withChanges(store, options.stores, (of) => of.plan(domain)));
  }
  return plans;
}

/** Takes away what only the revisions before needed. Throws BEDS_DBA_*. */
export async function contractObjects(options: ApplyOptions): Promise<number> {
  let steps = 0;
  for (const domain of readDomains(options).filter(isMade)) {
    const store = storeOf(domain, options.stores);
    steps += await withChanges(store, options.stores, (of) => of.contract(domain, changeOptions(store, options)));
  }
  return steps;
}

/** Takes the last expansion back. Throws BEDS_DBA_*. */
export async function undoObjects(options: ApplyOptions): Promise<number> {
  let steps = 0;
  for (const domain of readDomains(options).filter(isMade)) {
    const store = storeOf(domain, options.stores);
    steps += await withChanges(store, options.stores, (of) => of.undo(domain, changeOptions(store, options)));
  }
  return steps;
}

/** What the databases were made from, and where a change stands. */
export async function statusObjects({
  stores,
  domains = [],
}: Pick<ApplyOptions, 'stores' | 'domains'>): Promise<readonly DatabaseStatus[]> {
  const found: DatabaseStatus[] = [];
  for (const store of Object.keys(stores))
    found.push(...(await withChanges(store, stores, (of) => of.status(domains))));
  return found;
}

interface GrantWork {
  readonly administrator: StoreAdministrator;
  readonly domains: readonly DomainObjects[];
  readonly options: ApplyOptions;
}

/** Null where the server has no accounts. */
async function grantAccount(store: string, work: GrantWork): Promise<RuntimeAccount | null> {
  const { directory, onProgress, account: named } = work.options;
  if (named !== undefined) {
    const { words } = await work.administrator.grant(work.domains, { user: named });
    onProgress?.({ type: 'granted', store, words });
    return null;
  }
  const accounts = readRuntimeAccounts(directory);
  const account = accounts[store] ?? makeRuntimeAccount(store);
  // Kept before it is made: an account whose password is lost would stay behind in the server.
  writeRuntimeAccounts(directory, { ...accounts, [store]: account });
  const granted = await work.administrator.grant(work.domains, account);
  if (!granted.account) writeRuntimeAccounts(directory, { ...accounts, [store]: null });
  onProgress?.({ type: 'granted', store, words: granted.words });
  return granted.account ? account : null;
}

const KIND_OF_FILE: Readonly<Record<string, StoreKind>> = { sql: 'mysql', json: 'mongodb' };

/**
 * The objects of the domains below `folder`, of all that have any or of those named. Throws BEDS_DBA_DOMAIN_UNKNOWN,
 * BEDS_DBA_FILE_INVALID.
 */
function readDomains({ folder, domains: names = [], stores }: ApplyOptions): readonly DomainObjects[] {
  const known = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'db')))
    .map(({ name }) => name)
    .sort();
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const hint = `Known are ${known.join(', ') || 'none'}.`;
    throw dbaErrors.make('BEDS_DBA_DOMAIN_UNKNOWN', `There is no folder ${unknown}/db. ${hint}`);
  }
  return (names.length === 0 ? known : names).flatMap((domain) => readDomain(domain, { folder, stores }));
}

/** n.b. a domain that works on both kinds of database has a folder for each: which one counts, its store says. */
function readDomain(
  domain: string,
  { folder, stores }: Pick<ApplyOptions, 'folder' | 'stores'>,
): readonly DomainObjects[] {
  const store = namedStore(join(folder, domain, 'package.json'));
  const variant = join('db', stores[store ?? '']?.kind ?? 'mysql');
  const place = existsSync(join(folder, domain, variant)) ? variant : 'db';
  const directory = join(folder, domain, place);
  const names = readdirSync(directory)
    .filter((name) => Object.hasOwn(KIND_OF_FILE, extensionOf(name)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const [first] = names;
  if (first === undefined) return [];
  const other = names.find((name) => extensionOf(name) !== extensionOf(first));
  if (other !== undefined) {
    const message = `${domain}/db holds ${first} and ${other}; a domain has one store, so its files are all of one kind.`;
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', message);
  }
  const files = names.map((name) => readFile(join(directory, name), `${domain}/${place}/${name}`));
  const kind = KIND_OF_FILE[extensionOf(first)] ?? 'mysql';
  const document = join(folder, domain, 'domain.json');
  const specification = existsSync(document) ? readFileSync(document, 'utf8') : undefined;
  return [{ domain, kind, files, store, specification }];
}

function readFile(path: string, name: string): ObjectFile {
  const text = readFileSync(path, 'utf8');
  return { name, text, sha256: createHash('sha256').update(text).digest('hex') };
}

function extensionOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function namedStore(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const { beds } = JSON.parse(readFileSync(path, 'utf8')) as { readonly beds?: { readonly store?: unknown } };
    return typeof beds?.store === 'string' ? beds.store : undefined;
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${path} is not JSON.`, { cause });
  }
}
