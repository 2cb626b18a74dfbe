import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildTemplate } from '@beds/sdk/build';
import mysql from 'mysql2/promise';
import { OrderKey } from '../../host/admin/orders.js';
import { configSchema } from '../../host/config/schema.js';
import { applyObjects } from '../../host/dba/index.js';
import type { BenchContext } from '../contract.js';
import { Child } from './child.js';

/** A node that plays the role admin and nothing else, in a process of its own. */
export interface AdminNodeUnderTest {
  readonly process: Child;
  /** What a node of applications is configured with, so that it takes orders of this one and reports to it. */
  readonly sections: Readonly<Record<string, unknown>>;
}

const PLUGINS = fileURLToPath(new URL('../../../plugins/', import.meta.url));
const DOMAINS = ['audit', 'fleet', 'logs', 'metrics'];

/** Starts one whose store is a MariaDB database of its own. */
export async function startAdminNode(context: BenchContext, prefix: string): Promise<AdminNodeUnderTest> {
  const { rabbitmq, mariadb } = context.services;
  assert.ok(rabbitmq && mariadb, 'RabbitMQ and MariaDB are needed');
  const folder = join(context.folder, 'admin');
  const name = `bench_${randomBytes(4).toString('hex')}`;
  const dba = await mysql.createConnection(mariadb.url);
  context.atEnd(async () => {
    await dba.query(`DROP DATABASE IF EXISTS ${name}`);
    await dba.end();
  });
  await dba.query(`CREATE DATABASE ${name}`);
  const adminUrl = Object.assign(new URL(mariadb.url), { pathname: `/${name}` }).href;
  const { urls } = await applyObjects({
    ...{ stores: { admin: { kind: 'mysql', adminUrl } }, folder: PLUGINS, directory: folder, domains: DOMAINS },
  });
  for (const domain of DOMAINS) {
    const entry = join(PLUGINS, domain, 'template.ts');
    await buildTemplate({ entry, outDir: join(folder, 'plugins'), form: 'file' });
  }
  const orderSecret = randomBytes(32).toString('base64url');
  const admin = new Child({ program: 'host', logFile: join(context.folder, 'admin.log') });
  context.atEnd(() => admin.stop());
  const config = configSchema.parse({
    node: { name: 'admin', roles: ['admin'] },
    amqp: { url: rabbitmq.url, prefix },
    threads: { default: { count: 1 } },
    stores: { admin: { kind: 'mysql', url: urls['admin'], roles: ['admin'], poolSize: 4 } },
    security: { orderSecret },
    // n.b. the defaults are for machines that have nothing else to do.
    plugins: { probeTimeoutMs: 30_000 },
  });
  await admin.call('start', { config, projectRoot: folder });
  return { process: admin, sections: { security: { orderKeys: [new OrderKey(orderSecret).publicKey] } } };
}
