import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AdminClient } from '../host/admin/client.js';
import type { AuditPage, FleetView } from '../host/admin/desk-queries.js';
import { type AdminHost, startAdminHost } from './support/admin-host.js';
import { beds } from './support/beds.js';
import type { BundleOptions } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { lastFirst, sharedServices, type Teardown, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
const DOMAINS = ['audit', 'fleet', 'logs', 'metrics'];

/** Says in its log whose it is. */
const notes = (version: string, words: string): BundleOptions => ({
  ...{ domain: 'notes', version, name: 'notes.mjs', form: 'file', objects: {} },
  operations: { say: { mode: 'read', run: `ctx.log.warn(${JSON.stringify(words)}); return null;` } },
});

/** An installation, and somebody who may ask it everything. */
interface Side {
  readonly admin: AdminHost;
  readonly client: AdminClient;
  readonly env: Readonly<Record<string, string>>;
}

async function sideOf(teardown: Teardown, admin: AdminHost): Promise<Side> {
  const { url, prefix } = admin.config.amqp;
  const client = await AdminClient.open({ url, prefix, session: admin.owner, signal: AbortSignal.timeout(120_000) });
  lastFirst(teardown, () => client.close());
  const home = temporaryDirectory(teardown);
  return { admin, client, env: { ...admin.env, BEDS_SESSION: admin.owner, XDG_CONFIG_HOME: home } };
}

for (const kind of ['mysql', 'mongodb'] as const) {
  describe(`two installations that keep what they know in one database on ${kind}`, () => {
    it('know nothing of each other, though their nodes and domains have the same names', async (t) => {
      if ((kind === 'mysql' ? services.mariadb : services.mongodb) === undefined) {
        t.skip(`has no ${kind} here`);
        return;
      }
      const options = { services, kind, domains: DOMAINS, node: 'the-node' } as const;
      const one = await startAdminHost(t, { ...options, bundles: [notes('1.0.0', 'said by one')] });
      const two = await startAdminHost(t, { ...options, beside: one, bundles: [notes('2.0.0', 'said by two')] });
      const sides = [await sideOf(t, one), await sideOf(t, two)] as const;
      for (const [index, side] of sides.entries()) await seesItsOwn(side, index + 1);
    });
  });
}

async function seesItsOwn({ admin, client, env }: Side, number: number): Promise<void> {
  const words = number === 1 ? 'said by one' : 'said by two';
  let fleet: FleetView | undefined;
  await eventually(
    () => `what all nodes shall run of installation ${String(number)}: ${JSON.stringify(fleet)}`,
    async () => {
      fleet = await client.fleet();
      return fleet.desired['notes'] !== undefined;
    },
    30_000,
  );
  assert.deepEqual(
    [fleet?.desired['notes']?.version, fleet?.members.length, fleet?.drift],
    [`${String(number)}.0.0`, 1, []],
  );
  const members = await admin.viewer.domain('fleet').fetch({});
  assert.deepEqual(
    members.rows.map((row) => [row['installation'], row['node']]),
    [[admin.prefix, 'the-node']],
  );

  for (let n = 0; n < number; n += 1) await admin.viewer.domain('notes').call('say', {});
  let lines: readonly { readonly message: string; readonly domain: string }[] = [];
  await eventually(
    () => `lines of installation ${String(number)}: ${JSON.stringify(lines)}`,
    async () => {
      lines = (await client.kept('logs', { domain: 'notes', level: 40 })) as typeof lines;
      return lines.some(({ message }) => message === words);
    },
    30_000,
  );
  assert.deepEqual(
    lines.filter(({ message }) => message !== words),
    [],
  );
  const rows = await admin.viewer.domain('logs').fetch({ where: { domain: 'notes' }, limit: 100 });
  assert.ok(rows.rows.length > 0 && rows.rows.every((row) => row['installation'] === admin.prefix));

  let calls = 0;
  await eventually(
    () => `calls of installation ${String(number)}: ${String(calls)}`,
    async () => {
      const asked = { domain: 'notes', from: Date.now() - 600_000, to: Date.now() + 5_000 };
      const { points } = (await client.kept('series', asked)) as {
        readonly points: readonly { readonly calls: number }[];
      };
      calls = points.reduce((sum, point) => sum + point.calls, 0);
      return calls >= number;
    },
    30_000,
  );
  assert.equal(calls, number);

  for (let n = 0; n < number; n += 1)
    await assert.rejects(client.command('promote', { domain: 'notes' }, { timeoutMs: 5_000 }));
  let audit: AuditPage | undefined;
  await eventually(
    () => `the audit of installation ${String(number)}: ${JSON.stringify(audit)}`,
    async () => {
      audit = await client.audit({});
      return audit.last.seq === 2 * number;
    },
  );
  assert.deepEqual(
    audit?.records.map(({ seq }) => seq),
    Array.from({ length: 2 * number }, (_, n) => n + 1),
  );
  const verified = await beds(['audit', 'verify'], { env });
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
}
