import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { FleetView } from '../host/admin/desk-queries.js';
import { OrderKey } from '../host/admin/orders.js';
import { TOLD } from '../host/admin/fleet.js';
import { writeBundle } from './support/bundles.js';
import { ChaosProxy } from './support/chaos-proxy.js';
import { eventually } from './support/eventually.js';
import type { HostProcess } from './support/host-process.js';
import { makeOrderNodes, type NodeOptions, type OrderNodes } from './support/order-nodes.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
const OPTIONS = { timeoutMs: 5_000 };
const SETTLED_MS = 60_000;

for (const kind of ['mysql', 'mongodb'] as const) {
  describe(`what all nodes shall run, kept on ${kind}`, { timeout: 400_000 }, () => {
    const endings: (() => unknown)[] = [];
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    let nodes: OrderNodes;
    let admin: HostProcess;
    let second: HostProcess;
    let token = '';

    /** A node of applications whose plugin directory holds nothing. */
    const start = (name: string, options: NodeOptions = {}): HostProcess => {
      mkdirSync(join(nodes.projectRoot, `plugins-${name}`), { recursive: true });
      return nodes.start(name, 'app', { directory: `plugins-${name}`, ...options });
    };
    const drop = (version: string, directory: string): Promise<unknown> =>
      writeBundle(join(nodes.projectRoot, directory), {
        ...{ form: 'file', domain: 'seen', name: `seen-${version}.mjs`, version, store: 'main' },
        objects: { fetch: { kind: 'view', name: 'user_list', columns: { id: { type: 'string' } } } },
      });
    const deploy = async (version: string): Promise<void> => {
      await drop(version, 'ordered');
      const name = `seen-${version}.mjs`;
      const content = readFileSync(join(nodes.projectRoot, 'ordered', name)).toString('base64');
      const client = await nodes.client(token);
      const { accepted } = await client.command('deploy', { bundles: [{ [name]: content }] }, OPTIONS);
      assert.ok(accepted.length > 0);
    };
    const fleet = async (): Promise<FleetView> => (await nodes.client(token)).fleet();
    const settled = (version: string): Promise<void> =>
      eventually(
        `${version} is what all nodes shall run, and do`,
        async () => {
          const { desired, drift } = await fleet();
          return desired['seen']?.version === version && drift.length === 0;
        },
        SETTLED_MS,
      );
    /** Versions of the domain that took over, in this order. */
    const served = ({ log }: HostProcess): readonly unknown[] =>
      log.filter((line) => line['domain'] === 'seen' && line['state'] === 'active').map((line) => line['version']);
    /** From the start of a node until it has what it shall run, and nothing consumes before. */
    const gotMs = ({ log }: HostProcess): number => {
      const got = log.findIndex(({ msg }) => msg === 'what all nodes shall run');
      const active = log.findIndex((line) => line['state'] === 'active');
      assert.ok(got >= 0 && active > got, `${got}, ${active}`);
      return Date.parse(String(log[got]?.['time'])) - Date.parse(String(log[0]?.['time']));
    };

    before(async () => {
      nodes = await makeOrderNodes({ after: (end) => void endings.push(end) }, services, { kind });

      mkdirSync(join(nodes.projectRoot, 'ordered'));
      admin = nodes.start('admin-1', 'admin');
      await Promise.all([admin.serving, start('app-1').serving]);
      token = await nodes.signIn('operator', ['operator']);
    });

    it('is what was ordered, once it is done', async () => {
      await deploy('1.0.0');
      await settled('1.0.0');
      const { desired, members } = await fleet();
      assert.deepEqual(
        members.map(({ node }) => node),
        ['admin-1', 'app-1'],
      );
      for (const domain of ['users', 'sessions', 'audit', 'fleet']) assert.ok(desired[domain] !== undefined, domain);
    });

    it('is given to a node that is new, before it consumes', async () => {
      second = start('app-2');
      await second.serving;
      assert.deepEqual(served(second), ['1.0.0']);
      assert.ok(gotMs(second) < 5_000, `${gotMs(second)} ms`);
    });

    it('is given to a node that was killed and was away when something else was ordered', async () => {
      await settled('1.0.0');
      await second.kill();
      await deploy('1.1.0');
      await eventually('1.1.0 is kept', async () => (await fleet()).desired['seen']?.version === '1.1.0', SETTLED_MS);
      second = start('app-2');
      await second.serving;
      assert.deepEqual(served(second), ['1.1.0']);
      assert.ok(gotMs(second) < 5_000, `${gotMs(second)} ms`);
      await settled('1.1.0');
    });

    it('is given to a node that has lost its disk, whatever lies in its plugin directory', async () => {
      await second.kill();
      rmSync(join(nodes.projectRoot, '.beds-app-2'), { recursive: true });
      await drop('1.0.5', 'plugins-app-2');
      second = start('app-2');
      await second.serving;
      assert.deepEqual(served(second), ['1.1.0']);
      await settled('1.1.0');
      assert.deepEqual(served(second), ['1.1.0']);
    });

    it('is compared with what nodes run: beds fleet and beds status say which of them deviates, and exit with 1', async () => {
      const env = { BEDS_SESSION: token };
      assert.equal((await nodes.beds(['fleet'], { env })).code, 0);
      await drop('1.5.0', 'plugins-app-2');
      await eventually('it serves there', () => served(second).at(-1) === '1.5.0');
      const words = /app-2: seen shall be 1\.1\.0 \([0-9a-f]{12}\), and is 1\.5\.0 \([0-9a-f]{12}\)\./;
      await eventually('it is seen', async () => (await fleet()).drift.length > 0, SETTLED_MS);
      for (const command of ['fleet', 'status']) {
        const { code, printed } = await nodes.beds([command], { env });
        assert.match(printed, words, command);
        assert.equal(code, 1, command);
      }
      const client = await nodes.client(token);
      await client.command('rollback', { domain: 'seen', version: '1.1.0' }, { ...OPTIONS, node: 'app-2' });
      await settled('1.1.0');
    });

    /** Until all nodes run one version, which is what they shall run; gives it. */
    const agreed = async (): Promise<string> => {
      let version = '';
      await eventually(
        'all nodes run the same, and shall',
        async () => {
          const { desired, members, drift } = await fleet();
          const runs = members.flatMap((member) => member['runs'] as { domain: string; version: string }[]);
          const seen = new Set(runs.filter(({ domain }) => domain === 'seen').map((run) => run.version));
          version = desired['seen']?.version ?? '';
          return drift.length === 0 && seen.size === 1 && seen.has(version);
        },
        SETTLED_MS,
      );
      return version;
    };
    const verify = async (): Promise<void> => {
      const verified = await nodes.beds(['audit', 'verify'], { env: { BEDS_SESSION: token } });
      assert.equal(verified.code, 0, verified.printed);
    };

    it('survives that the admin node is killed in the middle of a rollout: at once, before and after nodes have the order', async () => {
      // n.b. one that nodes have and do not serve yet may still come after the next one has been ordered.
      const ordered = [await agreed()];
      for (const [index, afterMs] of [0, 100, 600].entries()) {
        const version = `1.2.${String(index)}`;
        ordered.push(version);
        const rollout = deploy(version).catch((error: unknown) => error);
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        await admin.kill();
        admin = nodes.start('admin-1', 'admin');
        await admin.serving;
        await rollout;
        const serves = await agreed();
        assert.ok(ordered.includes(serves), `${serves} after ${String(afterMs)} ms`);
      }
      await verify();
    });

    it('is one version, whichever, when two operators deploy and roll back at once, again and again', async () => {
      await deploy('1.3.0');
      await settled('1.3.0');
      const other = await nodes.client(await nodes.signIn('second-operator', ['operator']));
      for (let round = 0; round < 2; round += 1) {
        const orders = [
          deploy(`1.4.${String(round)}`),
          other.command('rollback', { domain: 'seen' }, OPTIONS),
          other.command('promote', { domain: 'seen' }, OPTIONS),
        ];
        const refused = (await Promise.allSettled(orders)).flatMap((each) =>
          each.status === 'rejected' ? [(each.reason as { readonly code?: string }).code ?? String(each.reason)] : [],
        );
        assert.ok(
          refused.every((code) => code.startsWith('BEDS_')),
          refused.join(),
        );
        await agreed();
      }
      await verify();
    });

    it('misses a node with a name of its own that is gone, until an operator forgets it', async () => {
      await second.kill();
      await eventually(
        'it is missed',
        async () => (await fleet()).drift.some(({ node, domain }) => node === 'app-2' && domain === ''),
        SETTLED_MS,
      );
      const env = { BEDS_SESSION: token };
      assert.match((await nodes.beds(['fleet'], { env })).printed, /app-2 has not reported for \d+ s\./);
      assert.equal((await nodes.beds(['fleet', 'forget', 'app-2'], { env })).code, 0);
      assert.equal((await nodes.beds(['fleet'], { env })).code, 0);
      const { records } = await (await nodes.client(token)).audit({});
      assert.deepEqual(
        records.slice(-2).map(({ op, target, step }) => [op, target, step]),
        [
          ['forget', 'app-2', 'asked'],
          ['forget', 'app-2', 'done'],
        ],
      );
    });

    it('is followed by a node that was cut off from RabbitMQ while something else was ordered, and that went on meanwhile', async (t) => {
      const { hostname, port } = new URL(nodes.url);
      const proxy = await ChaosProxy.start({ host: hostname, port: Number(port) });
      endings.push(() => proxy.close());
      const third = start('app-3', { amqpUrl: proxy.through(nodes.url) });
      await third.serving;
      await eventually(
        'it is one of them',
        async () => (await fleet()).members.some(({ node }) => node === 'app-3'),
        SETTLED_MS,
      );
      const before = served(third);
      proxy.misbehave({ blackhole: true });
      proxy.cut();
      await deploy('3.0.0');
      // n.b. until it is missed it counts: what it reported last is not what was ordered.
      await eventually('3.0.0 shall run', async () => (await fleet()).desired['seen']?.version === '3.0.0', SETTLED_MS);
      assert.ok((await fleet()).drift.some(({ node }) => node === 'app-3'));
      assert.deepEqual(served(third), before);
      proxy.misbehave({});
      proxy.cut();
      const backAtMs = performance.now();
      await eventually('it serves that as well', () => served(third).at(-1) === '3.0.0', SETTLED_MS);
      t.diagnostic(`${(performance.now() - backAtMs).toFixed(0)} ms after it was back`);
      await settled('3.0.0');
      await third.stop();
    });

    it('counts only where an admin node has signed it, for this node and this question', async () => {
      await admin.stop();
      const channel = await nodes.model.createChannel();
      const { desired } = await Promise.resolve({ desired: { seen: { hash: 'a'.repeat(64), version: '6.6.6' } } });
      const rogue = new OrderKey(Buffer.alloc(32, 9).toString('base64url'));
      const told = (nonce: unknown): Buffer =>
        Buffer.from(
          JSON.stringify({
            ...{ nonce, until: Date.now() + 30_000, revision: 1_000, wanted: [] },
            desired: { seen: { ...desired.seen, state: 'retired', at: Date.now() + 1_000, revision: 1_000 } },
          }),
        );
      const answers: ((nonce: unknown) => object)[] = [
        (nonce) => ({ ok: true, text: told(nonce).toString(), signature: '' }),
        (nonce) => ({ ok: true, text: told(nonce).toString(), signature: rogue.sign(nodes.prefix, told(nonce), TOLD) }),
        // What was signed as an order, and what was signed for another question.
        (nonce) => ({ ok: true, text: told(nonce).toString(), signature: nodes.key.sign(nodes.prefix, told(nonce)) }),
        () => {
          const text = told(randomUUID());
          return { ok: true, text: text.toString(), signature: nodes.key.sign(nodes.prefix, text, TOLD) };
        },
      ];
      let asked = 0;
      await channel.consume(
        `${nodes.prefix}.admin.out`,
        (message) => {
          const said = JSON.parse(message?.content.toString() ?? '{}') as {
            readonly op: string;
            readonly nonce: unknown;
          };
          const answer = answers[asked % answers.length]?.(said.nonce) ?? {};
          if (said.op === 'report') asked += 1;
          const { replyTo, correlationId } = message?.properties as { replyTo: string; correlationId: string };
          channel.publish('', replyTo, Buffer.from(JSON.stringify(answer)), { correlationId });
        },
        { noAck: true },
      );
      await eventually('all of them were told', () => asked > answers.length, SETTLED_MS);
      await channel.close();
      const [app] = await (await nodes.client()).query('status', {}, OPTIONS);
      assert.ok(app?.ok === true && app.node === 'app-1');
      assert.equal(app.result.domains.find(({ domain }) => domain === 'seen')?.live?.state, 'active');
    });
  });
}
