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

export interface HostSettings {
  /** Folders of domains/ that it serves. */
  readonly domains: readonly string[];
  /** Stores by name, as the configuration has them. */
  readonly stores: Readonly<Record<string, { readonly kind: 'mysql' | 'mongodb'; readonly url: string }>>;
  /** Connections to each store. */
  readonly poolSize: number;
}

/** A whole host in a process of its own, with one broker thread: as many as whoever it is compared with. */
export interface HostUnderTest {
  readonly exchange: string;
  /** Unacknowledged messages of the read broker. */
  readonly prefetch: number;
  /** Calls the host as everybody does, with the client's defaults. */
  readonly client: BedsClient;
}

/** The sources stay where they are when the rest is compiled. */
const DOMAINS = fileURLToPath(new URL('../../../bench/domains/', import.meta.url));
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
  const { poolSize } = settings;
  const config = configSchema.parse({
    node: { name: 'bench' },
    broker: { url: rabbitmq.url, prefix },
    threads: { default: { count: 1 } },
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
  const client = await connectBeds({ url: rabbitmq.url, name: 'bench', exchange });
  bed.atEnd(() => client.close());
  return { exchange, prefetch: config.brokers['rBroker']?.prefetch ?? 1, client };
}

function profiling(folder: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${PROFILE_INTERVAL_US}`];
}
