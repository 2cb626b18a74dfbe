import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connect, type ChannelModel } from 'amqplib';
import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { AdminClient } from '../../host/admin/client.js';
import { OrderKey } from '../../host/admin/orders.js';
import { type Config, configSchema } from '../../host/config/schema.js';
import { applyObjects } from '../../host/dba/index.js';
import type { Services } from '../../host/dev-servers/index.js';
import { loadAdapters } from '../../host/stores/factory.js';
import { newUser } from '../../plugins/users/new-user.js';
import { writeBundle } from './bundles.js';
import { type HostProcess, startHostProcess } from './host-process.js';
import { deleteTopology } from './delete-topology.js';
import { dropOwnDomains } from './own-domains.js';
import { temporaryDirectory, type Teardown } from './services.js';

/** What the nodes of applications serve. */
const OWN = ['seen', 'other'];
export const PASSWORD = 'correct horse battery';

/** An installation with admin nodes and nodes of applications, each a process, by configuration alone. */
export interface OrderNodes {
  readonly url: string;
  readonly prefix: string;
  readonly projectRoot: string;
  readonly key: OrderKey;
  readonly model: ChannelModel;
  /** As the DBA. */
  query(sql: string): Promise<unknown>;
  start(name: string, role: 'admin' | 'app', options?: NodeOptions): HostProcess;
  /** Signs a user in, made with these roles; gives the token. */
  signIn(name: string, roles: readonly string[]): Promise<string>;
  client(session?: string): Promise<AdminClient>;
  /** Runs `beds` as a process of its own, as nobody who has a key; `input` is its standard input. */
  beds(
    args: readonly string[],
    options?: BedsOptions,
  ): Promise<{ readonly code: number | null; readonly printed: string }>;
}

export interface NodeOptions {
  readonly security?: Partial<Config['security']>;
  /** Its plugin directory. Default: that of all, which holds a bundle of every domain. */
  readonly directory?: string;
  readonly dashboard?: Partial<Config['dashboard']>;
  readonly tracing?: Partial<Config['tracing']>;
  readonly env?: Readonly<Record<string, string>>;
  /** How it reaches RabbitMQ, where that is not straight. */
  readonly amqpUrl?: string;
}

export interface BedsOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface StageOptions {
  /** Of the store of the admin nodes. */
  readonly kind?: 'mysql' | 'mongodb';
  /** Domains of the admin nodes, beside audit and fleet. */
  readonly more?: readonly string[];
}

/** Nothing runs yet. Everything ends with the test. */
export async function makeOrderNodes(
  teardown: Teardown,
  services: Services,
  { kind = 'mysql', more = [] }: StageOptions = {},
): Promise<OrderNodes> {
  const { rabbitmq, mariadb, mongodb } = services;
  if (rabbitmq === undefined || mariadb === undefined) throw new TypeError('the servers are needed');
  const { url } = rabbitmq;
  const prefix = `t${randomBytes(5).toString('hex')}`;
  const ending: (() => Promise<unknown>)[] = [];
  teardown.after(async () => {
    for (const end of ending.toReversed()) await end();
  });
  const projectRoot = temporaryDirectory({ after: (work) => ending.push(async () => work()) });
  const ofServer = (server: string): string => Object.assign(new URL(server), { pathname: `/${prefix}` }).href;
  const dba = await mysql.createConnection(mariadb.url);
  await dba.query(`CREATE DATABASE ${prefix}`);
  await dba.query(`USE ${prefix}`);
  ending.push(async () => {
    await dba.query(`DROP DATABASE ${prefix}`);
    await dba.end();
  });
  const audit = { kind, adminUrl: ofServer(kind === 'mysql' ? mariadb.url : (mongodb?.url ?? '')) };
  if (kind === 'mongodb') {
    const mongo = new MongoClient(audit.adminUrl);
    ending.push(async () => {
      await mongo.db().dropDatabase();
      await mongo.close();
    });
  }
  const domains = ['users', 'sessions', 'audit', 'fleet', ...more];
  const { urls } = await applyObjects({
    stores: { accounts: { kind: 'mysql', adminUrl: ofServer(mariadb.url) }, admin: audit },
    ...{ folder: 'plugins', directory: projectRoot, domains },
  });
  const pluginsDirectory = join(projectRoot, 'plugins');
  await dropOwnDomains(domains, pluginsDirectory);
  for (const domain of OWN) {
    await writeBundle(pluginsDirectory, {
      ...{ form: 'file', domain, name: `${domain}.mjs`, store: 'main' },
      objects: { fetch: { kind: 'view', name: 'user_list', columns: { id: { type: 'string' } } } },
    });
  }
  const secret = randomBytes(32).toString('base64url');
  const key = new OrderKey(secret);
  const configOf = (
    name: string,
    role: 'admin' | 'app',
    { security, directory, dashboard, tracing, amqpUrl = url }: NodeOptions = {},
  ): Config =>
    configSchema.parse({
      node: { name, roles: role === 'admin' ? ['admin', 'tercero'] : ['appServer'] },
      amqp: { url: amqpUrl, prefix, reconnectMaxMs: 500 },
      threads: { default: { count: 1 } },
      stores: {
        main: { kind: 'mysql', url: urls['accounts'], roles: ['appServer'] },
        accounts: { kind: 'mysql', url: role === 'admin' ? urls['accounts'] : '', roles: ['tercero'] },
        admin: { kind, url: role === 'admin' ? urls['admin'] : '', roles: ['admin'] },
      },
      plugins: { probeTimeoutMs: 30_000, ...(directory === undefined ? {} : { directory }) },
      state: { directory: `.beds-${name}` },
      ...(dashboard === undefined ? {} : { dashboard }),
      ...(tracing === undefined ? {} : { tracing }),
      security: { ...(role === 'admin' ? { orderSecret: secret } : { orderKeys: [key.publicKey] }), ...security },
    });
  const model = await connect(url);
  ending.push(() => model.close());
  ending.push(() =>
    deleteTopology(url, prefix, {
      domains: [...domains, ...OWN],
      queues: ['admin.in', 'admin.out', 'logs', 'metrics', 'syslog'],
    }),
  );
  const accounts = (await loadAdapters({ accounts: configOf('x', 'admin').stores['accounts'] as never }))(
    (one) => one,
  ).get('accounts');
  await accounts?.open();
  ending.push(async () => accounts?.close(1_000));
  writeFileSync(join(projectRoot, 'beds.toml'), '');
  const cli = pathToFileURL(join(import.meta.dirname, '..', '..', 'host', 'cli', 'main.js')).href;
  const script = join(projectRoot, 'beds.mjs');
  const root = JSON.stringify(projectRoot);
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(cli)};
    process.exitCode = await main({ args: process.argv.slice(2), projectRoot: ${root}, cwd: ${root}, env: process.env });`,
  );
  return {
    ...{ url, prefix, projectRoot, key, model },
    query: async (sql) => (await dba.query(sql))[0],
    start: (name, role, options) =>
      startHostProcess(
        { after: (work) => ending.push(async () => work()) },
        { config: configOf(name, role, options), pluginsDirectory, env: options?.env ?? {} },
      ),
    signIn: async (name, roles) => {
      const { id, ...made } = await newUser({ name, password: PASSWORD, roles });
      const object = (await accounts?.describe(['user_insert']))?.get('user_insert');
      if (object === undefined) throw new TypeError('the objects were applied');
      await accounts?.call(object, { id, ...made }, { timeoutMs: 10_000, mode: 'write' });
      const { connectBeds } = await import('@beds/sdk/client');
      const client = await connectBeds({ url, name: 'test', exchange: `${prefix}.request`, defaultDeadlineMs: 30_000 });
      try {
        const granted = await client.domain('sessions').call('signIn', { name, password: PASSWORD });
        return (granted as { readonly token: string }).token;
      } finally {
        await client.close();
      }
    },
    client: async (session) => {
      const client = await AdminClient.open({ url, prefix, signal: AbortSignal.timeout(120_000), session });
      ending.push(() => client.close());
      return client;
    },
    beds: async (args, { input = '', env = {} } = {}) => {
      const own = {
        BEDS_CONFIG: projectRoot,
        BEDS_AMQP_URL: url,
        BEDS_AMQP_PREFIX: prefix,
        XDG_CONFIG_HOME: join(projectRoot, 'home'),
      };
      const child = spawn(process.execPath, [script, ...args], {
        env: { ...process.env, ...own, NODE_TEST_CONTEXT: undefined, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let printed = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
      child.stdin.end(input);
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, printed };
    },
  };
}
