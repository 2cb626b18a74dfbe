import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { connectBeds, type BedsClient, type ConnectOptions } from '@beds/sdk/client';
import { connect, type Channel } from 'amqplib';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import { makeNames } from '../../host/amqp/names.js';
import { Topology } from '../../host/amqp/topology.js';
import { configSchema, type Config } from '../../host/config/schema.js';
import { type Host, startHost } from '../../host/main.js';
import type { Services } from '../../host/dev-servers/index.js';
import { endOfLog, eventually } from './eventually.js';
import { deleteTopology } from './delete-topology.js';
import { NOTES_GRANTS, NOTES_SCHEMA } from './notes-domain.js';
import { lastFirst, temporaryDirectory, type Teardown } from './services.js';

export { eventually } from './eventually.js';

/** A line of the host's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: string };

/** A line about a change of state of a version. */
export interface TransitionLine extends LogLine {
  readonly time: number;
  readonly domain: string;
  readonly version: string;
  readonly state: string;
  readonly hash: string;
  readonly ms: number;
  readonly generation?: number;
  readonly findings?: readonly { readonly code: string; readonly message: string }[];
}

/** A whole host in this process, on real servers, alone under its own prefix and database. */
export interface TestHost {
  readonly host: Host;
  readonly config: Config;
  /** First word of its exchanges and queues. */
  readonly prefix: string;
  readonly pluginsDirectory: string;
  readonly log: readonly LogLine[];
  /** The DBA's connections to the host's own database; they come back after the server was down. */
  readonly dba: mysql.Pool;
  /** The host's own account: what a thread's adapter connects with. */
  readonly runtimeUrl: string;
  connectClient(options?: Partial<ConnectOptions>): Promise<BedsClient>;
  /** A channel of an AMQP program that knows nothing of BEDS. */
  plainChannel(): Promise<Channel>;
  /** Starts the same host once more, after it was stopped. */
  startAgain(): Promise<Host>;
  /** A line of every change of state of every version, in order. */
  readonly transitions: () => readonly TransitionLine[];
  /** Resolves with the first log line that fits, also one from before; fails after `withinMs` (default 30 s). */
  logged(what: string, fits: (line: LogLine) => boolean, withinMs?: number): Promise<LogLine>;
  /** Resolves when the version serves. */
  active(domain: string, version: string): Promise<LogLine>;
}

export interface TestHostOptions {
  readonly services: Services;
  /** Parts of the configuration that differ. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** URLs in place of the services', e.g. of a proxy. */
  readonly brokerUrl?: string;
  readonly databaseUrl?: (runtimeUrl: string) => string;
  /** Whether it starts now. Default true; else there are its exchanges and its database, and who tests it starts it elsewhere. */
  readonly isStarted?: boolean;
}

/** Starts a host with the `notes` objects in a database of its own. Everything ends with the test. */
export async function startTestHost(teardown: Teardown, options: TestHostOptions): Promise<TestHost> {
  const { rabbitmq, mariadb } = options.services;
  assert.ok(rabbitmq && mariadb, 'RabbitMQ and MariaDB are needed');
  const name = `t${randomBytes(5).toString('hex')}`;
  const projectRoot = temporaryDirectory(teardown);
  const pluginsDirectory = join(projectRoot, 'plugins');
  mkdirSync(pluginsDirectory);
  const ending: (() => Promise<unknown>)[] = [];
  lastFirst(teardown, async () => {
    for (const end of ending.toReversed()) await end();
  });
  const { dba, runtimeUrl } = await makeDatabase(mariadb.url, name);
  ending.push(async () => {
    await dba.query(`DROP DATABASE ${name}`);
    await dba.query(`DROP USER '${name}'@'%'`);
    await dba.end();
    await deleteTopology(rabbitmq.url, name, { domains: ['notes', 'tasks', 'orders', 'invoices', 'sessions'] });
  });
  const config = configSchema.parse({
    node: { name },
    amqp: { url: options.brokerUrl ?? rabbitmq.url, prefix: name, reconnectMaxMs: 500 },
    threads: { default: { count: 2 } },
    stores: { main: { kind: 'mysql', url: options.databaseUrl?.(runtimeUrl) ?? runtimeUrl, poolSize: 8 } },
    log: { level: 'debug' },
    supervisor: { drainTimeoutMs: 5_000 },
    ...options.config,
    // A busy machine takes longer to load a version: that is no fault of it.
    plugins: { probeTimeoutMs: 30_000, ...(options.config?.['plugins'] as object | undefined) },
  });
  const log: LogLine[] = [];
  const start = async (): Promise<Host> => {
    const formatters = { level: (level: string): object => ({ level }) };
    const started = await startHost({ config, projectRoot, log: pino({ level: 'debug', formatters }, collect(log)) });
    ending.push(() => started.stop());
    return started;
  };
  const host = options.isStarted === false ? await notStarted(config) : await start();
  const logged: TestHost['logged'] = async (what, fits, withinMs) => {
    await eventually(
      () => `log line: ${what}; the last ones are:\n${endOfLog(log)}`,
      () => log.some(fits),
      withinMs,
    );
    return log.find(fits) as LogLine;
  };
  return {
    ...{ host, config, prefix: name, pluginsDirectory, log, dba, runtimeUrl, logged, startAgain: start },
    transitions: () => log.filter((line): line is TransitionLine => 'state' in line && 'hash' in line),
    active: (domain, version) =>
      logged(`${domain} ${version} active`, ({ msg }) => msg === `${domain} ${version} active`),
    connectClient: async (clientOptions) => {
      const { url } = config.amqp;
      const client = await connectBeds({ url, name: 'test', exchange: `${name}.request`, ...clientOptions });
      ending.push(() => client.close());
      return client;
    },
    plainChannel: async () => {
      const model = await connect(config.amqp.url, { noDelay: true });
      // It may have gone with RabbitMQ.
      ending.push(() => model.close().catch(() => undefined));
      return model.createChannel();
    },
  };
}

/** Makes the exchanges that clients ask for. */
async function notStarted({ amqp, topology }: Config): Promise<Host> {
  const model = await connect(amqp.url);
  await new Topology({ names: makeNames(amqp.prefix), settings: topology }, () => model).assertBase();
  await model.close();
  return {
    node: amqp.prefix,
    dashboard: undefined,
    failed: new Promise<never>(() => undefined),
    stop: () => Promise.resolve(),
  };
}

async function makeDatabase(adminUrl: string, name: string): Promise<{ dba: mysql.Pool; runtimeUrl: string }> {
  const admin = await mysql.createConnection(adminUrl);
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.query(`CREATE USER '${name}'@'%' IDENTIFIED BY '${name}'`);
  await admin.end();
  const own = new URL(adminUrl);
  own.pathname = `/${name}`;
  const dba = mysql.createPool({ uri: own.href, connectionLimit: 2 });
  for (const statement of NOTES_SCHEMA) await dba.query(statement);
  for (const grant of NOTES_GRANTS) {
    const [privilege = '', object = ''] = grant.split(' ON ');
    const target = object.startsWith('PROCEDURE')
      ? object.replace('PROCEDURE ', `PROCEDURE ${name}.`)
      : `${name}.${object}`;
    await dba.query(`GRANT ${privilege} ON ${target} TO '${name}'@'%'`);
  }
  const url = new URL(adminUrl);
  url.username = name;
  url.password = name;
  url.pathname = `/${name}`;
  return { dba, runtimeUrl: url.href };
}

function collect(log: LogLine[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n')) {
        if (line !== '') log.push(JSON.parse(line) as LogLine);
      }
      done();
    },
  });
}
