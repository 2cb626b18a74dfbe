import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ORDER_HEADER, OrderKey } from '../host/admin/orders.js';
import type { AuditPage } from '../host/admin/desk-queries.js';
import { eventually } from './support/eventually.js';
import type { HostProcess } from './support/host-process.js';
import { makeOrderNodes, type OrderNodes, PASSWORD } from './support/order-nodes.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
const DIRECT = 'amq.rabbitmq.reply-to';
const OPTIONS = { timeoutMs: 5_000 };

interface Said {
  readonly ok: boolean;
  readonly error?: { readonly code: string };
}

/** Sends a message as any AMQP program could; undefined: nobody answers. */
async function send(
  { model }: OrderNodes,
  {
    exchange,
    key = '',
    body,
    headers = {},
  }: { exchange: string; key?: string; body: Buffer | object; headers?: object },
): Promise<Said | undefined> {
  const channel = await model.createChannel();
  const correlationId = randomUUID();
  const answer = new Promise<Said | undefined>((resolve) => {
    setTimeout(() => resolve(undefined), 20_000).unref();
    void channel.consume(DIRECT, (message) => resolve(JSON.parse(message?.content.toString() ?? '') as Said), {
      noAck: true,
    });
  });
  const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  channel.publish(exchange, key, content, { replyTo: DIRECT, correlationId, headers });
  const said = await answer;
  await channel.close();
  return said;
}

for (const kind of ['mysql', 'mongodb'] as const) {
  describe(`orders through an admin node, its audit on ${kind}`, { timeout: 240_000 }, () => {
    const endings: (() => unknown)[] = [];
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    let nodes: OrderNodes;
    let admin: HostProcess;
    let app: HostProcess;
    const tokens = { viewer: '', operator: '', dba: '', nobody: '' };
    before(async () => {
      nodes = await makeOrderNodes({ after: (end) => void endings.push(end) }, services, { kind });
      admin = nodes.start('admin-1', 'admin');
      app = nodes.start('app-1', 'app');
      await Promise.all([admin.serving, app.serving]);
      for (const role of ['viewer', 'operator', 'dba'] as const) tokens[role] = await nodes.signIn(role, [role]);
      tokens.nobody = await nodes.signIn('nobody', ['editor']);
    });
    const audit = async (): Promise<AuditPage['records']> =>
      (await (await nodes.client(tokens.viewer)).audit({})).records;
    const operate = (): string => `${nodes.prefix}.operate`;
    const desk = (body: object): Promise<Said | undefined> =>
      send(nodes, { exchange: '', key: `${nodes.prefix}.admin.in`, body: { v: 2, ...body } });

    it('carries out what an operator orders, and writes down who, what, from where and what came of it', async () => {
      const client = await nodes.client(tokens.operator);
      const outcome = await client.command('pause', { domain: 'seen' }, OPTIONS);
      assert.deepEqual(
        outcome.accepted.map(({ node, receipts }) => [node, receipts[0]?.domain]),
        [['app-1', 'seen']],
      );
      const [asked, done] = (await audit()).slice(-2);
      assert.deepEqual(
        [asked, done].map((each) => [each?.step, each?.user_name, each?.op, each?.target, each?.node]),
        [
          ['asked', 'operator', 'pause', 'seen', 'admin-1'],
          ['done', 'operator', 'pause', 'seen', 'admin-1'],
        ],
      );
      assert.equal(done?.order_id, asked?.id);
      assert.match(asked?.source ?? '', /^says \S+@\S+, AMQP account \S+, session \S+$/);
      assert.match(done?.words ?? '', /app-1: seen 1\.0\.0 [0-9a-f]{12}/);
    });

    it('lets a viewer list dead letters, and an operator look into one and drop it by one node, which the audit names', async () => {
      const channel = await nodes.model.createConfirmChannel();
      const body = Buffer.from(JSON.stringify({ v: 1, id: 'd', domain: 'seen', op: 'count' }));
      channel.publish(`${nodes.prefix}.dead`, 'seen.count', body, { headers: { 'beds-reason': 'BEDS_STORE_FAULT' } });
      await channel.waitForConfirms();
      await channel.close();
      const viewer = await nodes.client(tokens.viewer);
      const lists = await viewer.query('dead', { domain: 'seen' }, OPTIONS);
      assert.deepEqual([lists.length, lists[0]?.ok], [1, true]);
      const id = (lists[0]?.ok === true ? lists[0].result.letters[0]?.id : undefined) ?? '';
      await assert.rejects(viewer.command('deadLetter', { id }, OPTIONS), { code: 'BEDS_ADMIN_ROLE' });
      await assert.rejects(viewer.command('deadDrop', { ids: [id], most: 1 }, OPTIONS), { code: 'BEDS_ADMIN_ROLE' });
      const operator = await nodes.client(tokens.operator);
      const { accepted: seen } = await operator.command('deadLetter', { id }, OPTIONS);
      assert.equal(seen[0]?.receipts[0]?.letter?.body, body.toString());
      const { accepted } = await operator.command('deadDrop', { ids: [id], most: 1 }, OPTIONS);
      assert.deepEqual(
        accepted.map(({ receipts }) => receipts[0]?.count),
        [1],
      );
      const done = (await audit()).filter(({ step }) => step === 'done').slice(-2);
      assert.deepEqual(
        done.map(({ op, target, outcome }) => [op, target, outcome]),
        [
          ['deadLetter', id, 'ok'],
          ['deadDrop', id, 'ok'],
        ],
      );
    });

    it('lets a viewer ask everything and order nothing; a user without such a role, and who is not signed in, do neither', async () => {
      const viewer = await nodes.client(tokens.viewer);
      assert.deepEqual((await viewer.query('status', {}, OPTIONS)).map(({ node }) => node).sort(), [
        'admin-1',
        'app-1',
      ]);
      const role = { code: 'BEDS_ADMIN_ROLE' };
      for (const op of ['pause', 'promote', 'rollback', 'undeploy'] as const)
        await assert.rejects(viewer.command(op, { domain: 'seen' }, OPTIONS), role, op);
      await assert.rejects(viewer.command('lift', { name: 'seen' }, OPTIONS), role);
      await assert.rejects(viewer.command('check', { bundles: [{ 'a.mjs': '' }] }, OPTIONS), role);
      await assert.rejects(viewer.command('deploy', { bundles: [{ 'a.mjs': '' }] }, OPTIONS), role);
      await assert.rejects(viewer.forget('app-1'), role);
      assert.equal((await viewer.fleet()).drift.length, 0);
      const nobody = await nodes.client(tokens.nobody);
      await assert.rejects(nobody.query('status', {}, OPTIONS), role);
      const unknown = await nodes.client('bs_made-up');
      await assert.rejects(unknown.command('pause', { domain: 'seen' }, OPTIONS), { code: 'BEDS_ADMIN_SIGN_IN' });
      await assert.rejects(unknown.audit({}), { code: 'BEDS_ADMIN_SIGN_IN' });
      const refused = (await audit())
        .filter(({ step }) => step === 'refused')
        .map((each) => [each.user_name, each.op, each.outcome]);
      for (const one of [
        ['viewer', 'undeploy', 'BEDS_ADMIN_ROLE'],
        ['nobody', 'status', 'BEDS_ADMIN_ROLE'],
        ['', 'pause', 'BEDS_ADMIN_SIGN_IN'],
      ])
        assert.ok(
          refused.some((each) => each.join() === one.join()),
          `${one.join()} in ${JSON.stringify(refused)}`,
        );
    });

    it('has nodes refuse what did not come through it, was forged, is late or was overheard, each by its name', async () => {
      const bare = { v: 2, op: 'pause', domain: 'seen', node: 'app-1' };
      assert.equal((await send(nodes, { exchange: operate(), body: bare }))?.error?.code, 'BEDS_ADMIN_NOT_SIGNED');
      const nobody = await nodes.client();
      await assert.rejects(nobody.command('pause', { domain: 'seen' }, OPTIONS), { code: 'BEDS_ADMIN_SIGN_IN' });
      const order = (more: object = {}): Buffer =>
        Buffer.from(
          JSON.stringify({
            ...{ v: 2, op: 'pause', domain: 'other', node: 'app-1', by: 'me' },
            order: { id: randomUUID(), until: Date.now() + 30_000, revision: 1_000_000 },
            ...more,
          }),
        );
      const told = async (body: Buffer, header: string): Promise<string> => {
        const said = await send(nodes, { exchange: operate(), body, headers: { [ORDER_HEADER]: header } });
        return said?.ok === true ? 'taken' : (said?.error?.code ?? 'silence');
      };
      const { key, prefix } = nodes;
      const other = new OrderKey(Buffer.alloc(32, 7).toString('base64url'));
      const good = order();
      assert.equal(
        await told(good, other.sign(prefix, good)),
        'BEDS_ADMIN_FORGED',
        'a key that the node does not know',
      );
      const renamed = `${key.publicKey}.${other.sign(prefix, good).split('.')[1] ?? ''}`;
      assert.equal(await told(good, renamed), 'BEDS_ADMIN_FORGED', 'under the name of the right one');
      assert.equal(await told(order({ op: 'undeploy' }), key.sign(prefix, good)), 'BEDS_ADMIN_FORGED', 'another order');
      assert.equal(await told(good, key.sign('elsewhere', good)), 'BEDS_ADMIN_FORGED', 'of another installation');
      for (const header of ['', '.', `${key.publicKey}.`, `${key.publicKey}.AAAA`, 'x'.repeat(5_000)])
        assert.equal(await told(good, header), 'BEDS_ADMIN_FORGED', header.slice(0, 50));
      const unnamed = order({ order: undefined });
      assert.equal(await told(unnamed, key.sign(prefix, unnamed)), 'BEDS_ADMIN_FORGED');
      const late = order({ order: { id: randomUUID(), until: Date.now() - 1, revision: 1_000_000 } });
      assert.equal(await told(late, key.sign(prefix, late)), 'BEDS_ADMIN_LATE');
      assert.equal(await told(good, key.sign(prefix, good)), 'taken', 'the key is right');
      assert.equal(await told(good, key.sign(prefix, good)), 'BEDS_ADMIN_REPLAYED');
      const overtaken = order({ order: { id: randomUUID(), until: Date.now() + 30_000, revision: 999_999 } });
      assert.equal(await told(overtaken, key.sign(prefix, overtaken)), 'BEDS_ADMIN_STALE');
    });

    it('takes an order once, in time, and complete', async () => {
      const order = { id: randomUUID(), at: Date.now() };
      const paused = { op: 'pause', domain: 'seen', session: tokens.operator };
      assert.equal((await desk({ ...paused, order }))?.ok, true);
      assert.equal((await desk({ ...paused, order }))?.error?.code, 'BEDS_ADMIN_REPLAYED');
      assert.equal((await desk({ ...paused, op: 'undeploy', order }))?.error?.code, 'BEDS_ADMIN_REPLAYED');
      const old = { id: randomUUID(), at: Date.now() - 3_600_000 };
      assert.equal((await desk({ ...paused, order: old }))?.error?.code, 'BEDS_ADMIN_LATE');
      assert.equal((await desk(paused))?.error?.code, 'BEDS_ADMIN_INVALID');
      assert.equal((await desk({ ...paused, order: 7 }))?.error?.code, 'BEDS_ADMIN_INVALID');
      assert.equal((await desk({ ...paused, op: 7 }))?.error?.code, 'BEDS_ADMIN_UNKNOWN_COMMAND');
      const both = { id: randomUUID(), at: Date.now() };
      const answers = await Promise.all(Array.from({ length: 5 }, () => desk({ ...paused, order: both })));
      assert.equal(answers.filter((each) => each?.ok === true).length, 1, JSON.stringify(answers));
    });

    it('takes no order again that was overheard before its nodes were killed and started again', async () => {
      const { key, prefix } = nodes;
      const order = { id: randomUUID(), until: Date.now() + 600_000, revision: 2_000_000 };
      const told = { v: 2, op: 'pause', domain: 'other', node: 'app-1', by: 'me', order };
      const body = Buffer.from(JSON.stringify(told));
      const headers = { [ORDER_HEADER]: key.sign(prefix, body) };
      const tell = (): Promise<Said | undefined> => send(nodes, { exchange: operate(), body, headers });
      assert.equal((await tell())?.ok, true);
      // n.b. by a clock that is ahead, within bounds: nodes take their time to start.
      const given = { op: 'pause', domain: 'seen', session: tokens.operator, order: { id: randomUUID(), at: 0 } };
      given.order.at = Date.now() + 50_000;
      assert.equal((await desk(given))?.ok, true);
      await Promise.all([app.kill(), admin.kill()]);
      admin = nodes.start('admin-1', 'admin');
      app = nodes.start('app-1', 'app');
      await Promise.all([admin.serving, app.serving]);
      assert.equal((await tell())?.error?.code, 'BEDS_ADMIN_REPLAYED');
      assert.equal((await desk(given))?.error?.code, 'BEDS_ADMIN_REPLAYED');
    });

    it('goes on whatever is sent to its queues, and shows what it kept of that as text', async () => {
      const escapes = '\u001b[2J\u001b]0;mine\u0007\u202e<script>alert(1)</script>';
      const order = { id: randomUUID(), at: Date.now() };
      // n.b. RabbitMQ 4 takes 16 MiB at most, and closes the channel of what is larger.
      const mostMegabytes = Number.parseInt(nodes.model.connection.serverProperties.version) < 4 ? 24 : 16;
      const bodies: readonly (string | Buffer)[] = [
        ...['', '{', 'null', '7', '[]', '"text"', '{"v":2}', '{"v":1e999,"op":{}}', '{"__proto__":{"ok":true},"v":2}'],
        ...['['.repeat(300_000), `{"a":${'{"a":'.repeat(100_000)}`, Buffer.from([0xff, 0xfe, 0, 0xc3, 0x28])],
        Buffer.alloc(mostMegabytes * 1_048_576, 32),
        ...[
          { op: escapes },
          { op: 'pause', domain: escapes, by: escapes, order },
          { op: 'pause', domain: 'seen', session: escapes, order: { ...order, id: escapes } },
          { op: 'undeploy', domain: ['seen'], session: ['x'], by: 'x'.repeat(1_000_000), order },
          {
            op: 'deploy',
            bundles: [{ [escapes]: 'AAAA' }, null, 7],
            order: { id: randomUUID(), at: -Number.MAX_VALUE },
          },
          { op: 'rollback', domain: 'seen', wait: { forMs: 60_000, nodes: Array(1_000).fill('x') }, order },
          { op: 'kept', what: 'constructor', input: { __proto__: 1 } },
          {
            op: 'report',
            node: 'app-1',
            nonce: 'n',
            report: { isNamed: true, roles: [], runs: Array(2_000).fill({}) },
          },
          { op: 'leave', node: 'app-1' },
          { op: 'keep', hash: 'a'.repeat(64), part: 0, parts: 1, content: 'x'.repeat(400_000) },
        ].map((body) => JSON.stringify({ v: 2, ...body })),
      ];
      const channel = await nodes.model.createChannel();
      const queues = ['admin.in', 'admin.out'].map((name) => `${nodes.prefix}.${name}`);
      await channel.consume(DIRECT, () => undefined, { noAck: true });
      for (const queue of queues) {
        for (const body of bodies) {
          for (const properties of [
            {},
            { replyTo: DIRECT, correlationId: 'x' },
            { replyTo: '../nobody', expiration: '1' },
          ])
            channel.sendToQueue(queue, Buffer.from(body), properties);
        }
      }
      await eventually(
        'all of it is settled',
        async () => {
          const found = await Promise.all(queues.map((queue) => channel.checkQueue(queue)));
          return found.every(({ messageCount, consumerCount }) => messageCount === 0 && consumerCount === 1);
        },
        60_000,
      );
      await channel.close();
      const viewer = await nodes.client(tokens.viewer);
      assert.deepEqual((await viewer.fleet()).drift, []);
      assert.ok(
        (await viewer.fleet()).members.some(({ node }) => node === 'app-1'),
        'only hosts take a node away',
      );
      const env = { BEDS_SESSION: tokens.viewer };
      const shown = await nodes.beds(['audit'], { env });
      assert.equal(shown.code, 0, shown.printed);
      assert.match(shown.printed, /alert\(1\)/);
      // eslint-disable-next-line no-control-regex -- that is what is looked for.
      assert.doesNotMatch(shown.printed, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
      assert.equal((await nodes.beds(['audit', 'verify'], { env })).code, 0);
      assert.equal(
        (
          await desk({
            op: 'pause',
            domain: 'seen',
            session: tokens.operator,
            order: { id: randomUUID(), at: Date.now() },
          })
        )?.ok,
        true,
      );
    });

    it('signs in at a terminal, keeps the session for its owner alone, and forgets it', async () => {
      const refused = await nodes.beds(['pause', 'seen']);
      assert.match(refused.printed, /BEDS_ADMIN_SIGN_IN/);
      const wrong = await nodes.beds(['login', 'operator'], { input: 'something else\n' });
      assert.notEqual(wrong.code, 0);
      const login = await nodes.beds(['login', 'operator'], { input: `${PASSWORD}\n` });
      assert.equal(login.code, 0, login.printed);
      assert.match(login.printed, /signed in as operator, roles: operator/);
      assert.ok(!login.printed.includes(PASSWORD));
      assert.equal(statSync(join(nodes.projectRoot, 'home', 'beds', 'logins.json')).mode & 0o777, 0o600);
      const paused = await nodes.beds(['pause', 'seen']);
      assert.equal(paused.code, 0, paused.printed);
      assert.equal((await nodes.beds(['logout'])).code, 0);
      assert.match((await nodes.beds(['pause', 'seen'])).printed, /BEDS_ADMIN_SIGN_IN/);
      const owner = await nodes.beds(['pause', 'seen'], { env: { BEDS_SESSION: nodes.key.ownerToken } });
      assert.equal(owner.code, 0, owner.printed);
      assert.equal((await audit()).at(-1)?.user_id, 'owner');
    });

    it(
      'does nothing while the audit cannot be written, says so, and goes on when it can',
      { skip: kind !== 'mysql' },
      async () => {
        const client = await nodes.client(tokens.operator);
        const before = (await audit()).at(-1)?.seq ?? 0;
        await nodes.query('RENAME TABLE audit_head TO audit_gone');
        try {
          await assert.rejects(client.command('undeploy', { domain: 'seen' }, OPTIONS), {
            code: 'BEDS_ADMIN_NO_AUDIT',
            hint: /When no order comes through/,
          });
          const [app] = (await client.query('status', {}, OPTIONS)).filter(({ node }) => node === 'app-1');
          assert.match(JSON.stringify(app), /"seen"/);
        } finally {
          await nodes.query('RENAME TABLE audit_gone TO audit_head');
        }
        assert.equal((await client.command('pause', { domain: 'seen' }, OPTIONS)).accepted.length, 1);
        await eventually('what was refused is in the audit as well', async () => {
          const since = (await audit()).filter(({ seq }) => seq > before);
          return since.some(({ outcome }) => outcome === 'BEDS_ADMIN_NO_AUDIT');
        });
      },
    );

    it(
      'keeps a record that the store refuses in a file, says so in the audit, and writes all that come behind it',
      { skip: kind !== 'mysql' },
      async () => {
        const poison = ['poison', 'Gift für alle'];
        await nodes.query(
          "ALTER TABLE audit_record ADD CONSTRAINT no_poison CHECK (target NOT LIKE '%poison%' AND target NOT LIKE '%für%')",
        );
        try {
          const order = (): object => ({ id: randomUUID(), at: Date.now() });
          for (const domain of [...poison, 'seen']) {
            const said = await desk({ op: 'undeploy', domain, session: tokens.viewer, order: order() });
            assert.equal(said?.ok, false);
          }
          let records: AuditPage['records'] = [];
          await eventually('the last of them is written', async () => {
            records = (await audit()).slice(-3);
            return records.at(-1)?.target === 'seen' && records.at(-1)?.step === 'refused';
          });
          const [bare, plain] = records;
          assert.deepEqual([bare?.target, bare?.user_name, bare?.outcome], ['', '', 'BEDS_ADMIN_NO_AUDIT']);
          assert.deepEqual([plain?.target, plain?.user_name], ['Gift f?r alle', 'viewer']);
          const path = join(nodes.projectRoot, '.beds-admin-1', 'audit-refused.jsonl');
          const lines = readFileSync(path, 'utf8').trim().split('\n');
          assert.deepEqual(
            lines.map((line) => (JSON.parse(line) as { readonly target: string }).target),
            poison,
          );
          for (const [index, line] of lines.entries()) {
            const digest = createHash('sha256').update(line).digest('hex');
            assert.match(records[index]?.words ?? '', new RegExp(`audit-refused\\.jsonl.* ${digest}`));
          }
          assert.equal(statSync(path).mode & 0o777, 0o600);
          // An order about it is not given, and the next one is.
          const client = await nodes.client(tokens.operator);
          await assert.rejects(client.command('lift', { name: 'poison' }, OPTIONS), { code: 'BEDS_ADMIN_NO_AUDIT' });
          assert.equal((await client.command('pause', { domain: 'seen' }, OPTIONS)).accepted.length, 1);
        } finally {
          await nodes.query('ALTER TABLE audit_record DROP CONSTRAINT no_poison');
        }
        const verified = await nodes.beds(['audit', 'verify'], { env: { BEDS_SESSION: tokens.viewer } });
        assert.equal(verified.code, 0, verified.printed);
      },
    );

    it(
      'writes what it could not write before it was killed when it is there again',
      { skip: kind !== 'mysql' },
      async () => {
        const waiting = join(nodes.projectRoot, '.beds-admin-1', 'audit-waiting.jsonl');
        const tried = Array.from({ length: 3 }, (_, n) => `tried-${String(n)}`);
        await nodes.query('RENAME TABLE audit_head TO audit_gone');
        try {
          for (const domain of tried) {
            const order = { id: randomUUID(), at: Date.now() };
            assert.equal((await desk({ op: 'undeploy', domain, session: tokens.viewer, order }))?.ok, false);
          }
          await eventually('all of them wait in a file', () => {
            const text = existsSync(waiting) ? readFileSync(waiting, 'utf8') : '';
            return tried.every((domain) => text.includes(`"target":"${domain}"`));
          });
          await admin.kill();
        } finally {
          await nodes.query('RENAME TABLE audit_gone TO audit_head');
        }
        admin = nodes.start('admin-1', 'admin');
        await admin.serving;
        await eventually('all of them are in the audit, each once', async () => {
          const targets = (await audit()).map(({ target }) => target).filter((target) => tried.includes(target));
          return targets.join() === tried.join() && !existsSync(waiting);
        });
        const verified = await nodes.beds(['audit', 'verify'], { env: { BEDS_SESSION: tokens.viewer } });
        assert.equal(verified.code, 0, verified.printed);
      },
    );

    it('does not wait for a node that was killed as long as for one that works on the order', async () => {
      const client = await nodes.client(tokens.operator);
      const begun = performance.now();
      const nodesThen = ['admin-1', 'app-1', 'killed-meanwhile'];
      const outcome = await client.command('pause', { domain: 'seen' }, { ...OPTIONS, nodes: nodesThen });
      assert.deepEqual([outcome.accepted.length, outcome.silent], [1, ['killed-meanwhile']]);
      assert.ok(performance.now() - begun < 30_000, `${performance.now() - begun} ms`);
    });

    it('keeps one chain while two admin nodes take orders, and goes on when one of them is killed', async () => {
      const second = nodes.start('admin-2', 'admin');
      await second.serving;
      const client = await nodes.client(tokens.operator);
      const orders = Array.from({ length: 24 }, () => client.command('pause', { domain: 'seen' }, OPTIONS));
      await eventually('the second one takes orders', async () =>
        (await audit()).some(({ node }) => node === 'admin-2'),
      );
      await second.kill();
      const settled = await Promise.allSettled(orders);
      const codes = settled.map((each) =>
        each.status === 'fulfilled' ? 'ok' : (each.reason as { code: string }).code,
      );
      // What the killed one had begun may be done; what it had not is carried out by the other one.
      assert.deepEqual(
        [...new Set(codes)].filter((code) => !['ok', 'BEDS_ADMIN_INTERRUPTED'].includes(code)),
        [],
      );
      assert.ok(codes.includes('ok'));
      const records = await audit();
      const writers = new Set(records.map(({ node }) => node));
      assert.ok(writers.has('admin-1') && writers.has('admin-2'), [...writers].join());
      const verified = await nodes.beds(['audit', 'verify'], { env: { BEDS_SESSION: tokens.viewer } });
      assert.equal(verified.code, 0, verified.printed);
    });

    it('refuses at once while no admin node is there, answers questions all the same, and knows a program by its account', async () => {
      const client = await nodes.client(tokens.operator);
      await admin.kill();
      const channel = await nodes.model.createChannel();
      const queue = `${nodes.prefix}.admin.in`;
      await eventually('RabbitMQ knows', async () => (await channel.checkQueue(queue)).consumerCount === 0);
      await channel.close();
      await assert.rejects(client.command('pause', { domain: 'seen' }, OPTIONS), {
        code: 'BEDS_ADMIN_NO_DESK',
        message: /Nothing was done/,
      });
      assert.deepEqual(
        (await client.query('status', {}, OPTIONS)).map(({ node }) => node),
        ['app-1'],
      );
      const account = decodeURIComponent(new URL(nodes.url).username);
      await nodes.start('admin-3', 'admin', { security: { operators: [`${account}:operator`] } }).serving;
      const program = await nodes.client();
      assert.equal((await program.command('pause', { domain: 'seen' }, OPTIONS)).accepted.length, 1);
      await eventually(
        'the audit names the account',
        async () => (await audit()).at(-1)?.user_id === `account:${account}`,
      );
    });
  });
}
