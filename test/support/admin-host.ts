import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { OrderKey } from '../../host/admin/orders.js';
import { type Config, configSchema } from '../../host/config/schema.js';
import { applyObjects } from '../../host/dba/index.js';
import type { Services } from '../../host/dev-servers/index.js';
import { type Host, startHost } from '../../host/main.js';
import { fileOutput } from '../../host/observe/log.js';
import { type BundleOptions, writeBundle } from './bundles.js';
import { deleteTopology } from './delete-topology.js';
import { dropOwnDomains } from './own-domains.js';
import { sessionsBundle, tokenOf } from './sessions-domain.js';
import { temporaryDirectory, type Teardown } from './services.js';

/** A host that plays the roles appServer and admin, with the domains logs and metrics in a database of its own. */
export interface AdminHost {
  readonly host: Host;
  readonly config: Config;
  readonly prefix: string;
  readonly projectRoot: string;
  /** For `beds`. */
  readonly env: Readonly<Record<string, string>>;
  /** Somebody with the role viewer. */
  readonly viewer: BedsClient;
  /** Somebody without a role. */
  readonly stranger: BedsClient;
  /** The database: the URL of its administrator, and that of the hosts. */
  readonly adminUrl: string;
  readonly runtimeUrl: string;
  /** What stands for whoever can read the key of the admin node. */
  readonly owner: string;
  /** Another host on the same RabbitMQ, without the role admin. */
  startNode(name: string, bundles: readonly BundleOptions[]): Promise<Host>;
}

export interface AdminHostOptions {
  readonly services: Services;
  readonly kind: 'mysql' | 'mongodb';
  readonly domains?: readonly string[];
  readonly bundles?: readonly BundleOptions[];
  /** Another installation, whose database this one shares. */
  readonly beside?: AdminHost;
  /** Name of the node. Default: one of its own. */
  readonly node?: string;
  /** Settings of brokers, by entry. */
  readonly brokers?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const BROKERS = {
  adminBrokerIn: { type: 'admin-in' },
  rBroker: { type: 'data', mode: 'read' },
  wBroker: { type: 'data', mode: 'write' },
  adminBrokerOut: { type: 'admin-out' },
  adminData: { type: 'data', mode: 'both', domains: ['*'] },
  adminLogsBroker: { type: 'admin-logs' },
  adminGraphBroker: { type: 'admin-graph' },
  adminSyslogBroker: { type: 'admin-syslog' },
};
const LEAVINGS = {
  domains: ['audit', 'fleet', 'logs', 'metrics', 'sessions', 'orders', 'notes'],
  queues: ['logs', 'metrics', 'syslog', 'admin.in', 'admin.out'],
};
const ADMIN_BROKERS = Object.keys(BROKERS).filter((name) => !['rBroker', 'wBroker'].includes(name));

/** Starts one. Everything ends with the test. */
export async function startAdminHost(teardown: Teardown, options: AdminHostOptions): Promise<AdminHost> {
  const { services, kind, domains = ['audit', 'logs', 'metrics'], bundles = [], beside } = options;
  const { rabbitmq, mariadb, mongodb } = services;
  const server = kind === 'mysql' ? mariadb : mongodb;
  if (rabbitmq === undefined || server === undefined) throw new TypeError('the servers are needed');
  const prefix = `t${randomBytes(5).toString('hex')}`;
  const ending: (() => Promise<unknown>)[] = [];
  teardown.after(async () => {
    for (const end of ending.toReversed()) await end();
  });
  const projectRoot = temporaryDirectory({ after: (work) => ending.push(async () => work()) });
  const adminUrl = beside?.adminUrl ?? Object.assign(new URL(server.url), { pathname: `/${prefix}` }).href;
  let runtimeUrl = beside?.runtimeUrl ?? '';
  if (beside === undefined) {
    await makeDatabase(kind, { serverUrl: server.url, adminUrl, prefix, ending });
    const stores = { admin: { kind, adminUrl } };
    const { urls } = await applyObjects({ stores, folder: 'plugins', directory: projectRoot, domains });
    runtimeUrl = urls['admin'] ?? '';
  }
  ending.push(() => deleteTopology(rabbitmq.url, prefix, LEAVINGS));
  const pluginsDirectory = join(projectRoot, 'plugins');
  await dropOwnDomains(domains, pluginsDirectory);
  const sessions = sessionsBundle({ vera: ['viewer'], bob: [] });
  for (const bundle of [sessions, ...bundles]) await writeBundle(pluginsDirectory, bundle);
  const secret = randomBytes(32).toString('base64url');
  const key = new OrderKey(secret);
  const configOf = (name: string, roles: readonly string[]): Config =>
    configSchema.parse({
      node: { name, roles },
      amqp: { url: rabbitmq.url, prefix, reconnectMaxMs: 500 },
      threads: { default: { count: 1 } },
      brokers: Object.fromEntries(
        Object.entries(BROKERS).map(([entry, settings]) => [entry, { ...settings, ...options.brokers?.[entry] }]),
      ),
      roles: {
        appServer: { domains: ['*'], brokers: ['rBroker', 'wBroker'] },
        admin: {
          domains,
          brokers: ADMIN_BROKERS.filter((name) => name !== 'adminBrokerOut' || domains.includes('fleet')),
        },
      },
      stores: {
        admin: { kind, url: runtimeUrl, roles: ['admin'] },
        main: { kind, url: runtimeUrl },
      },
      security: { orderSecret: secret, orderKeys: [key.publicKey] },
      plugins: { probeTimeoutMs: 30_000 },
      supervisor: { drainTimeoutMs: 5_000 },
    });
  const config = configOf(options.node ?? `${prefix}-admin`, ['appServer', 'admin']);
  const start = async (settings: Config, root: string): Promise<Host> => {
    const output = fileOutput(join(root, `${settings.node.name}.log`));
    const host = await startHost({ config: settings, projectRoot: root, logOutput: output });
    ending.push(() => host.stop());
    return host;
  };
  const host = await start(config, projectRoot);
  const clientOf = async (id: string): Promise<BedsClient> => {
    const session = tokenOf(id);
    const client = await connectBeds({ url: rabbitmq.url, name: id, exchange: `${prefix}.request`, session });
    ending.push(() => client.close());
    return client;
  };
  return {
    ...{ host, config, prefix, projectRoot, adminUrl, runtimeUrl, owner: key.ownerToken },
    env: { BEDS_AMQP_URL: rabbitmq.url, BEDS_AMQP_PREFIX: prefix, BEDS_SESSION: tokenOf('vera') },
    viewer: await clientOf('vera'),
    stranger: await clientOf('bob'),
    startNode: async (name, ofNode) => {
      const root = temporaryDirectory({ after: (work) => ending.push(async () => work()) });
      mkdirSync(join(root, 'plugins'));
      for (const bundle of [sessions, ...ofNode]) await writeBundle(join(root, 'plugins'), bundle);
      return start(configOf(name, ['appServer']), root);
    },
  };
}

interface Preparing {
  readonly serverUrl: string;
  readonly adminUrl: string;
  readonly prefix: string;
  readonly ending: (() => Promise<unknown>)[];
}

async function makeDatabase(
  kind: 'mysql' | 'mongodb',
  { serverUrl, adminUrl, prefix, ending }: Preparing,
): Promise<void> {
  if (kind === 'mongodb') {
    const client = new MongoClient(adminUrl);
    ending.push(async () => {
      await client.db().dropDatabase();
      await client.close();
    });
    return;
  }
  const admin = await mysql.createConnection(serverUrl);
  await admin.query(`CREATE DATABASE ${prefix}`);
  ending.push(async () => {
    await admin.query(`DROP DATABASE ${prefix}`);
    await admin.end();
  });
}
