import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBedsError, type Manifest } from '@beds/sdk';
import {
  commandErrors,
  type ApplyRequest,
  type CollectionsRequest,
  type AuthorSettings,
  type AuthorTools,
  type ChangeRequest,
  type DatabasePlan,
  type DatabaseStatus,
  type DevHost,
  type Generator,
  type HostLine,
  type Language,
  type ModelAnswer,
  type ModelRequest,
  type ObjectUser,
  type Opinion,
  type Proof,
  type ProveRequest,
  type StoreObject,
  type ToolsPlace,
} from '#sdk/cli';
import { AdminClient } from '../admin/client.js';
import type { DeclaredObject } from '../admin/shown.js';
import { configInvalid } from '../config/problems.js';
import { directoriesOf, readConfig } from '../config/load.js';
import type { Config, StoreConfig } from '../config/schema.js';
import {
  applyObjects,
  type ApplyOptions,
  contractObjects,
  planObjects,
  readRuntimeAccounts,
  statusObjects,
  undoObjects,
  type DbaProgress,
} from '../dba/index.js';
import { preflight, unknownStore } from '../deploy/admit/preflight.js';
import type { ServiceName } from '../dev-servers/contract.js';
import { readServices } from '../dev-servers/server-folder.js';
import { cliErrors } from '../errors/cli.js';
import { dbaErrors } from '../errors/dba.js';
import type { MongodbCollections, MysqlTables } from '#sdk/generate';
import type { NamedObject, StoreAdapter } from '../stores/contract.js';
import { loadAdapters } from '../stores/factory.js';
import { findDevHost } from './dev-host.js';
import type { Model } from './model.js';
import { operatorSession } from './operator.js';
import { readBundles, encodeBundle } from './read-bundles.js';
import { administeredStores, type ServerUrls, urlOfStore } from './resolve-config.js';

/** Servers for as long as a command works with them. */
export type UseServers = (need: readonly ServiceName[]) => Promise<ServerUrls & { close(): Promise<void> }>;

/** Where work of a DBA is done. */
type DatabasePlace = Pick<ApplyOptions, 'stores' | 'directory' | 'onProgress'>;

const CLOSE_TIMEOUT_MS = 1_000;
const ASK_TIMEOUT_MS = 2_000;

/**
 * What the commands of an author know of databases and hosts. `useServers` starts private servers where there is a program that
 * can; without it those that are named or run already are used.
 */
export function createTools(place: ToolsPlace, useServers?: UseServers): AuthorTools {
  return new Tools(place, useServers);
}

/** The configuration, and what is known of where it comes from. */
interface Known {
  readonly config: Config;
  readonly isPluginsSaid: boolean;
  readonly written: ReadonlyMap<string, string>;
}

class Tools implements AuthorTools {
  readonly #place: ToolsPlace;
  readonly #useServers: UseServers;
  #config: Known | undefined;
  #model: Model | undefined;

  constructor(place: ToolsPlace, useServers?: UseServers) {
    this.#place = place;
    this.#useServers =
      useServers ?? (() => Promise.resolve({ ...this.#knownServers(), close: () => Promise.resolve() }));
  }

  settings(): AuthorSettings {
    const { config, isPluginsSaid } = this.#read();
    const stores = Object.entries(config.stores).map(([name, { kind }]) => [name, kind] as const);
    const { provider } = config.assistant;
    return { plugins: this.#directories.plugins, isPluginsSaid, stores: Object.fromEntries(stores), provider };
  }

  async askModel(request: ModelRequest): Promise<ModelAnswer> {
    const { config, written } = this.#read();
    const { assistant: settings } = config;
    const key = written.get('assistant.apiKey');
    if (settings.apiKey === '' && key !== undefined) {
      const message = `assistant.apiKey is ${key}, and this variable is not set.`;
      throw cliErrors.make('BEDS_CLI_MODEL_REFUSED', message);
    }
    if (this.#model === undefined) {
      const { Model } = await import('./model.js');
      this.#model = new Model({ settings, signal: this.#place.signal, note: this.#place.note });
    }
    return this.#model.ask(request);
  }

  language(): Promise<Language> {
    return import('#sdk/spec');
  }

  generator(): Promise<Generator> {
    return import('#sdk/generate');
  }

  applyObjects(request: ApplyRequest): Promise<{ applied: number; unchanged: number }> {
    return this.#withDatabases(async (place, { mariadb }) => {
      if (mariadb !== undefined) await this.#teachZones(mariadb.url, zonesOf(request));
      return applyObjects({ ...request, ...place });
    });
  }

  async planObjects({ folder, domains }: ChangeRequest): Promise<readonly DatabasePlan[]> {
    const plans = await this.#withDatabases((stores) => planObjects({ folder, domains, ...stores }));
    const planned: DatabasePlan[] = [];
    for (const plan of plans) planned.push({ ...plan, users: await this.#usersOf(plan) });
    return planned;
  }

  async contractObjects({
    allowLoss,
    acceptDrift,
    isRetired,
    ...place
  }: ChangeRequest & { readonly isRetired: boolean }): Promise<number> {
    const change = { allowLoss, acceptDrift };
    for (const plan of await this.planObjects({ ...place, ...change })) refuseWhereUsed(plan, isRetired);
    return this.#withDatabases((stores) => contractObjects({ ...place, ...stores, change }));
  }

  undoObjects({ allowLoss, acceptDrift, ...place }: ChangeRequest): Promise<number> {
    const change = { allowLoss, acceptDrift };
    return this.#withDatabases((stores) => undoObjects({ ...place, ...stores, change }));
  }

  databaseStatus(domains: readonly string[]): Promise<readonly DatabaseStatus[]> {
    return this.#withDatabases(({ stores }) => statusObjects({ stores, domains }));
  }

  async #withDatabases<T>(work: (place: DatabasePlace, servers: ServerUrls) => Promise<T>): Promise<T> {
    const { config } = this.#read();
    const servers = await this.#useServers(['mariadb', 'mongodb']);
    try {
      const stores = administeredStores(config, servers);
      if (Object.keys(config.stores).length > 0 && Object.keys(stores).length === 0)
        throw dbaErrors.make('BEDS_DBA_SERVER_UNKNOWN');
      const { note } = this.#place;
      const place = {
        stores,
        directory: this.#directories.state,
        onProgress: (event) => {
          if (event.type === 'granted') note(`${event.store}: ${event.words}`);
          else if (event.type === 'applied') note(`${event.store}: applied ${event.file}`);
          else if (event.type === 'change') noteChange(event, note);
        },
      } satisfies DatabasePlace;
      return await work(place, servers);
    } finally {
      await servers.close();
    }
  }

  /** The versions on all hosts that use what a plan would drop; undefined where no host answers. */
  async #usersOf({ retired }: { readonly retired: readonly string[] }): Promise<readonly ObjectUser[] | undefined> {
    const broker = this.broker();
    if (broker === undefined || retired.length === 0) return undefined;
    const { signal } = this.#place;
    try {
      const client = await AdminClient.open({ ...broker, signal, session: this.#session(broker) });
      try {
        const answers = await client.query('objects', {}, { timeoutMs: ASK_TIMEOUT_MS });
        const told = answers.flatMap((answer) => (answer.ok ? [answer] : []));
        if (told.length === 0) return undefined;
        return told.flatMap(({ node, result }) => usersIn(result.declared, { node, retired }));
      } finally {
        await client.close();
      }
    } catch (error) {
      if (!isBedsError(error)) throw error;
      return undefined;
    }
  }

  async readTables(store: string, tables: readonly string[]): Promise<MysqlTables> {
    const { readTables } = await import('../dba/read-tables.js');
    const { config } = this.#read();
    const servers = await this.#useServers(['mariadb']);
    try {
      const adminUrl = administeredStores(config, servers)[store]?.adminUrl;
      if (adminUrl === undefined) throw dbaErrors.make('BEDS_DBA_SERVER_UNKNOWN');
      return await readTables(adminUrl, tables);
    } finally {
      await servers.close();
    }
  }

  async readCollections(store: string, request: CollectionsRequest): Promise<MongodbCollections> {
    const { readCollections } = await import('../dba/read-collections.js');
    const { config } = this.#read();
    const servers = await this.#useServers(['mongodb']);
    try {
      const adminUrl = administeredStores(config, servers)[store]?.adminUrl;
      if (adminUrl === undefined) throw dbaErrors.make('BEDS_DBA_SERVER_UNKNOWN');
      return await readCollections(adminUrl, request);
    } finally {
      await servers.close();
    }
  }

  async prove({ specification, folder, onStep }: ProveRequest): Promise<Proof> {
    const { store } = specification.source;
    const { stores } = this.#read().config;
    const kind = stores[store]?.kind;
    if (kind === undefined)
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', unknownStore(store, Object.keys(stores)).message);
    const name = kind === 'mysql' ? 'mariadb' : 'mongodb';
    const servers = await this.#useServers([name]);
    try {
      const adminUrl = servers[name]?.url;
      if (adminUrl === undefined) throw dbaErrors.make('BEDS_DBA_SERVER_UNKNOWN');
      const { prove } = await import('./prove/prove.js');
      const { signal } = this.#place;
      if (kind === 'mysql') await this.#teachZones(adminUrl, [specification.source.zone]);
      return await prove({ specification, folder, kind, adminUrl, signal, onStep });
    } finally {
      await servers.close();
    }
  }

  /** A private server is asked about days in zones that nobody has taught it; one that somebody keeps is left as it is. */
  async #teachZones(url: string, zones: readonly string[]): Promise<void> {
    if (zones.length === 0 || (this.#place.env['BEDS_MARIADB_ADMIN_URL'] ?? '') !== '') return;
    const { teachTimeZones } = await import('../dba/time-zones.js');
    await teachTimeZones(url, zones);
  }

  async checkObjects(manifest: Manifest): Promise<Opinion> {
    const { config } = this.#read();
    const settings = config.stores[manifest.store];
    const names = Object.keys(config.stores);
    if (settings === undefined) return { findings: [unknownStore(manifest.store, names)] };
    const url = this.#urlOf(manifest.store, settings);
    if (url === undefined) {
      return {
        findings: [],
        skipped: `no database was asked, because the store ${manifest.store} has no url: ${wayToUrl(manifest.store)}`,
      };
    }
    const adapter = await this.#openAdapter(manifest.store, { ...settings, url });
    try {
      const { findings, notices } = await preflight(manifest, new Map([[manifest.store, adapter]]));
      return { findings, notices };
    } finally {
      await adapter.close(CLOSE_TIMEOUT_MS);
    }
  }

  async describeStore(store: string): Promise<readonly StoreObject[]> {
    const { config } = this.#read();
    const settings = config.stores[store];
    const url = settings === undefined ? undefined : this.#urlOf(store, settings);
    if (settings === undefined || url === undefined) {
      const message =
        settings === undefined
          ? unknownStore(store, Object.keys(config.stores)).message
          : `The store ${store} has no url: ${wayToUrl(store)}`;
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const adapter = await this.#openAdapter(store, { ...settings, url });
    try {
      const objects = await adapter.describe(await adapter.names());
      return [...objects.values()].map(storeObject);
    } finally {
      await adapter.close(CLOSE_TIMEOUT_MS);
    }
  }

  async checkWithHost(bundlePath: string): Promise<Opinion> {
    const broker = this.broker();
    if (broker === undefined)
      return { findings: [], skipped: 'no host was asked, because no RabbitMQ is known: set BEDS_AMQP_URL.' };
    const { cwd, paths } = { cwd: this.#place.projectRoot, paths: [bundlePath] };
    const [bundle] = await readBundles({ cwd, paths }, this.#read().config.plugins);
    if (bundle === undefined) return { findings: [] };
    try {
      const client = await AdminClient.open({ ...broker, signal: this.#place.signal, session: this.#session(broker) });
      try {
        const { accepted, refused } = await client.command(
          'check',
          { bundles: [encodeBundle(bundle)] },
          { timeoutMs: ASK_TIMEOUT_MS },
        );
        const told = refused.flatMap(({ error }) => error.findings ?? [error]);
        return {
          findings: told,
          notices: accepted.flatMap(({ receipts }) => receipts.flatMap(({ notices = [] }) => notices)),
        };
      } finally {
        await client.close();
      }
    } catch (error) {
      if (!isBedsError(error)) throw error;
      return { findings: [], skipped: `no host was asked: ${error.message} (${error.code})` };
    }
  }

  async findHost(domains: readonly string[], onLine: (line: HostLine) => void): Promise<DevHost | undefined> {
    const broker = this.broker();
    if (broker === undefined) return undefined;
    const limits = this.#read().config.plugins;
    const session = this.#session(broker);
    return findDevHost({ ...broker, limits, session, signal: this.#place.signal, faults: { domains, onLine } });
  }

  #session(broker: { readonly url: string; readonly prefix: string }): () => Promise<string | undefined> {
    const { env, signal } = this.#place;
    return operatorSession({ ...broker, env, signal, config: this.#read().config, directory: this.#directories.state });
  }

  #read(): Known {
    if (this.#config !== undefined) return this.#config;
    const { config, problems, sources, written } = readConfig(this.#place);
    if (config === undefined) throw configInvalid(problems);
    return (this.#config = { config, isPluginsSaid: sources.has('plugins.directory'), written });
  }

  get #directories(): ReturnType<typeof directoriesOf> {
    return directoriesOf(this.#place.projectRoot, this.#read().config);
  }

  /** Those that variables name, and private ones that run. */
  #knownServers(): ServerUrls {
    const { env } = this.#place;
    const running = readServices(this.#directories.state);
    const server = (variable: string, name: ServiceName): { readonly url: string } | undefined => {
      const url = env[variable];
      return url === undefined || url === '' ? running?.[name] : { url };
    };
    return {
      rabbitmq: server('BEDS_RABBITMQ_URL', 'rabbitmq'),
      mariadb: server('BEDS_MARIADB_ADMIN_URL', 'mariadb'),
      mongodb: server('BEDS_MONGODB_URL', 'mongodb'),
    };
  }

  broker(): { readonly url: string; readonly prefix: string } | undefined {
    const { url, prefix } = this.#read().config.amqp;
    const known = url === '' ? this.#knownServers().rabbitmq?.url : url;
    return known === undefined ? undefined : { url: known, prefix };
  }

  /** As the host's account where there is one. */
  #urlOf(store: string, settings: StoreConfig): string | undefined {
    const accounts = readRuntimeAccounts(this.#directories.state);
    return urlOfStore(store, settings, { servers: this.#knownServers(), accounts });
  }

  async #openAdapter(store: string, settings: StoreConfig): Promise<StoreAdapter> {
    const make = await loadAdapters({ [store]: settings });
    const adapter = make((config) => config).get(store);
    if (adapter === undefined) throw new TypeError('unreachable: the store was given');
    // Why it failed is said by what is asked of it next.
    await adapter.open().catch(() => undefined);
    return adapter;
  }
}

/** Throws BEDS_DBA_CHANGE_USED. */
function refuseWhereUsed({ domain, retired, users }: DatabasePlan, isRetired: boolean): void {
  if (retired.length === 0) return;
  if (users === undefined) {
    if (isRetired) return;
    throw dbaErrors.make(
      'BEDS_DBA_CHANGE_USED',
      `No host answers, so nobody knows whether one still needs the version before of ${domain}.`,
    );
  }
  const needed = users.filter(({ state }) => state !== 'kept');
  if (needed.length === 0) return;
  const said = needed.map((user) => `${user.domain} ${user.version} on ${user.node} (${user.objects.join(', ')})`);
  throw dbaErrors.make('BEDS_DBA_CHANGE_USED', `In use: ${said.join('; ')}.`);
}

function noteChange(
  { store, event }: Extract<DbaProgress, { readonly type: 'change' }>,
  note: (text: string) => void,
): void {
  if (event.type === 'step') note(`${store}: ${event.number} of ${event.of}: ${event.words}`);
  else if (event.type === 'rows') note(`${store}: ${event.done} rows: ${event.words}`);
}

function usersIn(
  declared: readonly DeclaredObject[],
  { node, retired }: { readonly node: string; readonly retired: readonly string[] },
): readonly ObjectUser[] {
  const users = new Map<string, ObjectUser & { readonly objects: string[] }>();
  for (const { domain, version, state, object } of declared) {
    if (!retired.includes(object)) continue;
    const key = `${domain} ${version} ${state}`;
    const user = users.get(key) ?? { node, domain, version, state, objects: [] };
    if (!user.objects.includes(object)) user.objects.push(object);
    users.set(key, user);
  }
  return [...users.values()];
}

/** Of generated domains. */
function zonesOf({ folder, domains }: ApplyRequest): readonly string[] {
  const zones = domains.flatMap((domain) => {
    const path = join(folder, domain, 'domain.json');
    if (!existsSync(path)) return [];
    const [, zone] = /"zone": "([\w+/-]{1,60})"/.exec(readFileSync(path, 'utf8')) ?? [];
    return zone === undefined || zone === 'UTC' ? [] : [zone];
  });
  return [...new Set(zones)];
}

function wayToUrl(store: string): string {
  return `set BEDS_STORES_${store.replaceAll('-', '_').toUpperCase()}_URL, or run \`beds db apply\`.`;
}

/** n.b. what only an adapter knows is read as far as it is a description: what a routine returns, why it is not served. */
function storeObject(object: NamedObject): StoreObject {
  const { notSupported, problems, returns, fields } = object.native as {
    readonly notSupported?: string;
    readonly problems?: readonly string[];
    readonly returns?: string;
    readonly fields?: Readonly<Record<string, { readonly type: string }>> | null;
  };
  const problem = notSupported ?? problems?.join('; ') ?? '';
  const said = problem === '' ? {} : { problem };
  if (object.kind === 'view') return { kind: 'view', name: object.name, columns: object.columns, ...said };
  const columns = Object.entries(fields ?? {}).map(([name, { type }]) => ({ name, type }));
  const value = returns === undefined ? undefined : { name: 'value', type: returns };
  const given = value ?? (columns.length > 0 ? columns : undefined);
  return {
    ...{ kind: object.kind, name: object.name, args: object.args, ...said },
    ...(given === undefined ? {} : { returns: given }),
    ...(object.gives !== undefined && { gives: object.gives }),
  };
}
