import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { JsonObject } from '@beds/sdk';
import { type BedsClient, connectBeds, type ConnectOptions } from '@beds/sdk/client';
import { Long, MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import { type Config, configSchema } from '../../host/config/schema.js';
import { applyObjects } from '../../host/dba/index.js';
import type { Services } from '../../host/dev-servers/index.js';
import { type Host, startHost } from '../../host/main.js';
import type { StoreAdapter } from '../../host/stores/contract.js';
import { loadAdapters } from '../../host/stores/factory.js';
import { newUser, type Wanted } from '../../plugins/users/new-user.js';
import type sessions from '../../plugins/sessions/template.js';
import type users from '../../plugins/users/template.js';
import { writeBundle } from './bundles.js';
import { deleteTopology } from './delete-topology.js';
import { dropOwnDomains } from './own-domains.js';
import { temporaryDirectory, type Teardown } from './services.js';

export type StoreKind = 'mysql' | 'mongodb';
export type AccountsClient = BedsClient & {
  readonly users: ReturnType<typeof BedsClient.prototype.domain<typeof users>>;
  readonly sessions: ReturnType<typeof BedsClient.prototype.domain<typeof sessions>>;
};

/** A host that serves users and sessions, on a database of their own, and another one for the domain `seen`. */
export interface Accounts {
  readonly prefix: string;
  readonly config: Config;
  readonly projectRoot: string;
  readonly amqpUrl: string;
  connect(options?: Partial<ConnectOptions>): Promise<AccountsClient>;
  /** Makes a user beside the host, as `beds users create` does. */
  makeUser(wanted: Wanted): Promise<string>;
  /** Calls a procedure of the store, beside the host. */
  write(procedure: string, args: JsonObject): Promise<void>;
  startAgain(): Promise<Host>;
  /** Of every name and caller that tried. */
  setFailures(count: number): Promise<void>;
  /** Takes all that a user is kept with for others out of his record, as a DBA does. */
  clearOutbox(id: string): Promise<void>;
  host: Host;
}

export interface AccountsOptions {
  readonly services: Services;
  /** Of both hosts. */
  readonly security?: Partial<Config['security']>;
}

/** Starts one; everything ends with the test file. */
export async function startAccounts(teardown: Teardown, kind: StoreKind, options: AccountsOptions): Promise<Accounts> {
  const { services, security = {} } = options;
  const { rabbitmq, mariadb, mongodb } = services;
  const server = kind === 'mysql' ? mariadb : mongodb;
  if (rabbitmq === undefined || server === undefined) throw new TypeError('the servers are needed');
  const prefix = `t${randomBytes(5).toString('hex')}`;
  const ending: (() => Promise<unknown>)[] = [];
  teardown.after(async () => {
    for (const end of ending.toReversed()) await end();
  });
  const projectRoot = temporaryDirectory({ after: (work) => ending.push(async () => work()) });
  const adminUrl = Object.assign(new URL(server.url), { pathname: `/${prefix}` }).href;
  const { setFailures, clearOutbox } = await prepareDatabase(kind, {
    serverUrl: server.url,
    adminUrl,
    name: prefix,
    ending,
  });
  const domains = ['users', 'sessions'];
  const { urls } = await applyObjects({
    ...{ stores: { accounts: { kind, adminUrl } }, folder: 'plugins', directory: projectRoot, domains },
  });
  const pluginsDirectory = join(projectRoot, 'plugins');
  await dropOwnDomains(domains, pluginsDirectory);
  await writeBundle(pluginsDirectory, {
    ...{ form: 'file', domain: 'seen', name: 'seen.mjs', store: 'main' },
    objects: { fetch: { kind: 'view', name: 'user_list', columns: { id: { type: 'string' } } } },
    operations: { who: { mode: 'read', run: 'return ctx.user ?? null;' } },
  });
  const config = configSchema.parse({
    node: { name: prefix, roles: ['tercero'] },
    amqp: { url: rabbitmq.url, prefix },
    threads: { default: { count: 2 } },
    stores: { accounts: { kind, url: urls['accounts'], roles: ['tercero'] } },
    plugins: { probeTimeoutMs: 30_000 },
    security,
  });
  ending.push(() => deleteTopology(rabbitmq.url, prefix, { domains: [...domains, 'seen', 'mine'] }));
  // n.b. who is signed in this one has to ask the other: it has no account for the store of the users.
  const application = await startHost({
    config: configSchema.parse({
      ...config,
      node: { name: `${prefix}-app`, roles: ['appServer'] },
      stores: { main: { kind, url: urls['accounts'] }, accounts: { kind, url: '', roles: ['tercero'] } },
      state: { directory: '.beds-app' },
    }),
    projectRoot,
    log: pino({ level: 'silent' }),
  });
  ending.push(() => application.stop());
  const startAgain = async (): Promise<Host> => {
    const host = await startHost({ config, projectRoot, log: pino({ level: 'silent' }) });
    ending.push(() => host.stop());
    return host;
  };
  const adapter = await openStore(config);
  ending.push(() => adapter.close(1_000));
  const write: Accounts['write'] = async (procedure, args) => {
    const object = (await adapter.describe([procedure])).get(procedure);
    if (object === undefined) throw new TypeError('the objects were applied');
    await adapter.call(object, args, { timeoutMs: 10_000, mode: 'write' });
  };
  return {
    ...{
      prefix,
      config,
      projectRoot,
      amqpUrl: rabbitmq.url,
      startAgain,
      setFailures,
      clearOutbox,
      write,
      host: await startAgain(),
    },
    makeUser: async (wanted) => {
      const { id, ...made } = await newUser(wanted);
      await write('user_insert', { id, ...made });
      return id;
    },
    connect: async (options) => {
      const client = await connectBeds<{ users: typeof users; sessions: typeof sessions }>({
        ...{ url: rabbitmq.url, name: 'test', exchange: `${prefix}.request`, defaultDeadlineMs: 30_000 },
        ...options,
      });
      ending.push(() => client.close());
      return client;
    },
  };
}

async function openStore({ stores }: Config): Promise<StoreAdapter> {
  const adapter = (await loadAdapters(stores))((store) => store).get('accounts');
  if (adapter === undefined) throw new TypeError('the store is configured');
  await adapter.open();
  return adapter;
}

interface Preparing {
  readonly serverUrl: string;
  readonly adminUrl: string;
  readonly name: string;
  readonly ending: (() => Promise<unknown>)[];
}

async function prepareDatabase(
  kind: StoreKind,
  { serverUrl, adminUrl, name, ending }: Preparing,
): Promise<Pick<Accounts, 'setFailures' | 'clearOutbox'>> {
  if (kind === 'mongodb') {
    const client = new MongoClient(adminUrl);
    ending.push(async () => {
      await client.db().dropDatabase();
      await client.close();
    });
    const attempts = client.db().collection('user_attempt');
    const users = client.db().collection<{ readonly _id: string }>('user_account');
    return {
      setFailures: async (failures) => {
        await attempts.updateMany({}, { $set: { failures, failed_at: Long.fromNumber(Date.now()) } });
      },
      clearOutbox: async (id) => {
        await users.updateOne({ _id: id }, { $set: { outbox: [] }, $unset: { outbox_at: '' } });
      },
    };
  }
  const admin = await mysql.createConnection(serverUrl);
  await admin.query(`CREATE DATABASE ${name}`);
  ending.push(async () => {
    await admin.query(`DROP DATABASE ${name}`);
    await admin.end();
  });
  return {
    setFailures: async (failures) => {
      await admin.query(`UPDATE ${name}.user_attempt SET failures = ?, failed_at = ?`, [failures, Date.now()]);
    },
    clearOutbox: async (id) => {
      await admin.query(`UPDATE ${name}.user_account SET outbox = '', outbox_at = NULL WHERE id = ?`, [id]);
    },
  };
}
