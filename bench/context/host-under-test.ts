import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildTemplate } from '@beds/sdk/build';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { makeNames } from '../../host/amqp/names.js';
import { configSchema } from '../../host/config/schema.js';
import type { BenchContext } from '../contract.js';
import { copyDomain } from './bundles.js';
import { Child, type Step } from './child.js';

export interface HostSettings {
  /** Folders of domains/ that it serves. */
  readonly domains: readonly string[];
  /** Stores by name, as the configuration has them. */
  readonly stores: Readonly<
    Record<string, { readonly kind: 'mysql' | 'mongodb'; readonly url: string; readonly roles?: readonly string[] }>
  >;
  /** Connections to each store. */
  readonly poolSize: number;
  /** Broker threads. Default 1: as many as whoever it is compared with. */
  readonly threads?: number;
  /** Copies of the domain `many` that it serves as well, as many1, many2, … Default 0. */
  readonly copies?: number;
  /** Of the names in RabbitMQ: hosts with one prefix share the work. Default: one of its own. */
  readonly prefix?: string;
  /** Its name; two hosts of a scenario have two. Default 'bench'. */
  readonly node?: string;
  /** Its roles. Default: all. */
  readonly roles?: readonly string[];
  /** Further sections of the configuration. */
  readonly sections?: Readonly<Record<string, unknown>>;
}

/** A whole host in a process of its own. */
export interface HostUnderTest {
  readonly process: Child;
  /** Milliseconds from the start of the process until it serves. */
  readonly startMs: number;
  readonly prefix: string;
  readonly exchange: string;
  /** Unacknowledged messages of the read broker. */
  readonly prefetch: number;
  /** Calls the host as everybody does, with the client's defaults. */
  readonly client: BedsClient;
  /** Another client, with an envelope per message where `batching` is false. */
  readonly connect: (options: { readonly batching?: false }) => Promise<BedsClient>;
  readonly pluginsDirectory: string;
  /** Resolves when a version serves or is refused, to every change of state since the last time. */
  readonly served: (version: string) => Promise<readonly Step[]>;
}

/** The sources stay where they are when the rest is compiled. */
const DOMAINS = fileURLToPath(new URL('../../../bench/domains/', import.meta.url));
/** Longest wait for a version that was dropped. */
const SERVED_TIMEOUT_MS = 20_000;
const PROFILE_INTERVAL_US = 200;
/** Calls wait for a connection as long as those of the bare drivers do: waiting is measured, not refused. */
const acquireTimeoutMs = 60_000;

export async function startHostUnderTest(context: BenchContext, settings: HostSettings): Promise<HostUnderTest> {
  const { rabbitmq } = context.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  const { poolSize, threads = 1, node = 'bench', prefix = newPrefix(), roles = ['*'] } = settings;
  const folder = join(context.folder, node);
  const plugins = join(folder, 'plugins');
  await putPlugins(plugins, settings);
  const config = configSchema.parse({
    node: { name: node, roles },
    amqp: { url: rabbitmq.url, prefix },
    threads: { default: { count: threads } },
    stores: Object.fromEntries(
      Object.entries(settings.stores).map(([name, store]) => [name, { ...store, poolSize, acquireTimeoutMs }]),
    ),
    log: { level: 'warn' },
    ...settings.sections,
  });
  const startedAtMs = performance.now();
  const host = new Child({
    program: 'host',
    logFile: join(context.folder, `${node}.log`),
    nodeOptions: context.profiles === undefined ? [] : profiling(context.profiles),
  });
  context.atEnd(() => host.stop());
  await host.call('start', { config, projectRoot: folder });
  const startMs = performance.now() - startedAtMs;
  const exchange = makeNames(prefix).requests;
  const connect: HostUnderTest['connect'] = async (options) => {
    const client = await connectBeds({ url: rabbitmq.url, name: 'bench', exchange, ...options });
    context.atEnd(() => client.close());
    return client;
  };
  return {
    process: host,
    startMs,
    prefix,
    exchange,
    connect,
    pluginsDirectory: plugins,
    client: await connect({}),
    prefetch: config.brokers['rBroker']?.prefetch ?? 1,
    served: (version) => host.call('served', { version, timeoutMs: SERVED_TIMEOUT_MS }),
  };
}

/** A name in RabbitMQ that nobody has. */
export function newPrefix(): string {
  return `bench${randomBytes(4).toString('hex')}`;
}

async function putPlugins(plugins: string, { domains, copies = 0 }: HostSettings): Promise<void> {
  mkdirSync(plugins, { recursive: true });
  const build = (domain: string): ReturnType<typeof buildTemplate> =>
    buildTemplate({ entry: join(DOMAINS, domain, 'template.ts'), outDir: plugins, form: 'file' });
  for (const domain of domains) await build(domain);
  if (copies > 0) copyDomain((await build('many')).path, 'many', copies);
}

function profiling(folder: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${PROFILE_INTERVAL_US}`];
}
