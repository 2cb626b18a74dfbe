import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildTemplate } from '@beds/sdk/build';
import { connectBeds, type BedsClient } from '@beds/sdk/client';
import { makeNames } from '../../host/amqp/names.js';
import { configSchema } from '../../host/config/schema.js';
import type { Bed } from '../contract.js';
import { Child } from './child.js';
import type { Step } from './protocol.js';

export interface HostSettings {
  /** Folders of domains/ that it serves. */
  readonly domains: readonly string[];
  /** Stores by name, as the configuration has them. */
  readonly stores: Readonly<Record<string, { readonly kind: 'mysql' | 'mongodb'; readonly url: string }>>;
  /** Connections to each store. */
  readonly poolSize: number;
  /** Broker threads. Default 1: as many as whoever it is compared with. */
  readonly threads?: number;
}

/** A whole host in a process of its own. */
export interface HostUnderTest {
  readonly process: Child;
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

export async function startHostUnderTest(bed: Bed, settings: HostSettings): Promise<HostUnderTest> {
  const { rabbitmq } = bed.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  const prefix = `bench${randomBytes(4).toString('hex')}`;
  const plugins = join(bed.folder, 'plugins');
  mkdirSync(plugins, { recursive: true });
  for (const domain of settings.domains) {
    await buildTemplate({ entry: join(DOMAINS, domain, 'template.ts'), outDir: plugins, form: 'file' });
  }
  const { poolSize, threads = 1 } = settings;
  const config = configSchema.parse({
    node: { name: 'bench' },
    broker: { url: rabbitmq.url, prefix },
    threads: { default: { count: threads } },
    stores: Object.fromEntries(Object.entries(settings.stores).map(([name, store]) => [name, { ...store, poolSize }])),
    log: { level: 'warn' },
  });
  const host = new Child({
    program: 'host',
    logFile: join(bed.folder, 'host.log'),
    nodeOptions: bed.profiles === undefined ? [] : profiling(bed.profiles),
  });
  bed.atEnd(() => host.stop());
  await host.call('start', { config, projectRoot: bed.folder });
  const exchange = makeNames(prefix).requests;
  const connect: HostUnderTest['connect'] = async (options) => {
    const client = await connectBeds({ url: rabbitmq.url, name: 'bench', exchange, ...options });
    bed.atEnd(() => client.close());
    return client;
  };
  return {
    process: host,
    ...{ exchange, connect, pluginsDirectory: plugins, client: await connect({}) },
    prefetch: config.brokers['rBroker']?.prefetch ?? 1,
    served: (version) => host.call('served', { version, timeoutMs: SERVED_TIMEOUT_MS }),
  };
}

function profiling(folder: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${PROFILE_INTERVAL_US}`];
}
