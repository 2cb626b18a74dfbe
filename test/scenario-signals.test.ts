import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { connect } from 'amqplib';
import { AdminClient } from '../host/admin/client.js';
import { lineIdAt } from '../host/observe/log-tap.js';
import { startAdminHost, type AdminHost } from './support/admin-host.js';
import { beds } from './support/beds.js';
import type { BundleOptions } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { sharedServices } from './support/services.js';
import { tokenOf } from './support/sessions-domain.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

/** Says what it is told, and fails where it is told to. */
const ORDERS: BundleOptions = {
  ...{ domain: 'orders', name: 'orders.mjs', form: 'file' },
  store: 'main',
  objects: {
    fetch: { kind: 'view', name: 'log_list', columns: { id: { type: 'string' }, message: { type: 'string' } } },
  },
  operations: {
    say: {
      mode: 'read',
      args: { words: { type: 'string' }, times: { type: 'integer' } },
      run: `for (let n = 0; n < input.times; n += 1) ctx.log.warn(input.words + ' ' + n, { n }); return null;`,
    },
    hush: {
      mode: 'read',
      args: { words: { type: 'string' }, times: { type: 'integer' } },
      run: `let all = ''; for (let n = 0; n < input.times; n += 1) all = input.words + ' ' + n; return all === '' ? 1 : null;`,
    },
    missing: {
      mode: 'read',
      run: `throw Object.assign(new Error('No such order.'), { [Symbol.for('beds.error')]: true,
        code: 'BEDS_TEMPLATE_NOT_FOUND', status: 'not-found', verdict: 'ack', retryable: false });`,
    },
    fail: { mode: 'read', run: `throw new TypeError('no price for ' + ctx.requestId);` },
  },
  body: { fetchRecords: `return ctx.view('fetch', query);` },
};

/** Shares the thread of the other one. */
const NOTES: BundleOptions = {
  ...{ domain: 'notes', name: 'notes.mjs', form: 'file', objects: {} },
  operations: { calm: { mode: 'read', run: 'return null;' } },
};

interface Line {
  readonly id: string;
  readonly at: number;
  readonly level: number;
  readonly node: string;
  readonly domain: string;
  readonly message: string;
  readonly count: number;
  readonly requestId: string;
}

for (const kind of ['mysql', 'mongodb'] as const) {
  describe(`what nodes tell, kept in ${kind}`, async () => {
    const server = kind === 'mysql' ? services.mariadb : services.mongodb;
    if (server === undefined) {
      void it.skip(`has no ${kind} here`);
      return;
    }
    let admin: AdminHost;
    const lines = async (conditions: object): Promise<readonly Line[]> =>
      (await admin.viewer.domain('logs').call('search', { limit: 500, ...conditions })) as unknown as readonly Line[];

    it('is the log of all nodes, in order of time', async (t: TestContext) => {
      admin = await startAdminHost({ after: (work) => t.after(work) }, { services, kind, bundles: [ORDERS, NOTES] });
      const other = await admin.startNode('far away', [ORDERS]);
      await eventually(
        () => 'lines of both nodes',
        async () => {
          await admin.viewer.domain('orders').call('say', { words: 'hello', times: 1 });
          const nodes = new Set((await lines({ domain: 'orders', level: 40 })).map(({ node }) => node));
          return nodes.has(other.node) && nodes.has(admin.host.node);
        },
        30_000,
      );
      const all = await lines({});
      assert.ok(all.some(({ message }) => message === 'serving'));
      assert.deepEqual(
        all.map(({ id }) => id),
        all.map(({ id }) => id).toSorted(),
      );
      await refusesStrangers(admin);
      await answersTheOwner(admin);
      await believesHostsOnly(admin, lines);
      await followsHostsOnly(t, admin);
      await findsByRequest(admin, lines);
      await showsFaults(admin);
      await joinsFloods(admin, lines);
      await slowsNobody(t, admin);
      await samples(admin);
      await countsObjects(admin);
    });
  });
}

async function refusesStrangers({ stranger }: AdminHost): Promise<void> {
  await assert.rejects(stranger.domain('logs').call('search', {}), { code: 'BEDS_REQUEST_FORBIDDEN' });
  await assert.rejects(stranger.domain('logs').call('add', { lines: [] }), { code: 'BEDS_REQUEST_FORBIDDEN' });
  await assert.rejects(stranger.domain('metrics').call('objects', {}), { code: 'BEDS_REQUEST_FORBIDDEN' });
}

/** Whoever can read the key of the admin node needs no account: so it is after `npm start`. */
async function answersTheOwner({ env, owner }: AdminHost): Promise<void> {
  for (const command of [['logs'], ['faults'], ['graph'], ['objects'], ['objects', 'log_list']]) {
    const { code, stderr } = await beds([...command, '--json'], { env: { ...env, BEDS_SESSION: owner } });
    assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
    const others = await beds(command, { env: { ...env, BEDS_SESSION: `${owner}x` } });
    if (command[0] === 'objects') continue;
    assert.match(others.stderr, /BEDS_ADMIN_SIGN_IN/, command.join(' '));
    const bob = await beds(command, { env: { ...env, BEDS_SESSION: tokenOf('bob') } });
    assert.match(bob.stderr, /BEDS_ADMIN_ROLE/, command.join(' '));
  }
  const { stdout } = await beds(['logs', '--level', 'info', '--json'], { env: { ...env, BEDS_SESSION: owner } });
  assert.match(stdout, /"message":"serving"/);
}

/** A program that may publish says what it likes of nodes: nobody believes it without the account of a host, for which RabbitMQ vouches. */
async function believesHostsOnly(
  { config, owner, viewer }: AdminHost,
  lines: (conditions: object) => Promise<readonly Line[]>,
): Promise<void> {
  const { url, prefix } = config.amqp;
  const client = await AdminClient.open({ url, prefix, session: owner, signal: AbortSignal.timeout(60_000) });
  const model = await connect(url);
  try {
    const channel = await model.createChannel();
    const node = 'evil';
    const id = `${lineIdAt(Date.now())}-evil-1`;
    const figures = {
      p50Ms: 1,
      p95Ms: 1,
      p99Ms: 1,
      inFlight: 0,
      queued: 0,
      waiting: 0,
      memoryMb: 1,
      cpuPercent: 1,
      swaps: 0,
    };
    const told = {
      'log.error.evil': { lines: [{ id, at: Date.now(), level: 50, message: 'all is lost' }] },
      'sample.evil': { at: Date.now(), process: 'p', samples: [{ domain: '', calls: 9, failures: 9, ...figures }] },
      'usage.evil': { process: 'p', rows: [{ day: 20_000, store: 'admin', object: 'log_list', kind: 'view' }] },
    };
    for (const [topic, data] of Object.entries(told)) {
      channel.publish(
        `${prefix}.events`,
        topic,
        Buffer.from(JSON.stringify({ v: 1, at: new Date().toISOString(), node, data })),
      );
    }
    let refused: readonly number[] = [];
    await eventually(
      () => `three messages that nobody believes: ${refused.join()}`,
      async () => {
        const answers = await client.query('status', {}, { timeoutMs: 5_000 });
        const metrics = answers
          .flatMap((answer) => (answer.ok ? answer.result.threads : []))
          .flatMap(({ status }) => status?.brokers ?? [])
          .flatMap((broker) => (broker.metrics === undefined ? [] : [broker.metrics]));
        const sum = (name: string): number => metrics.reduce((total, each) => total + (each[name] ?? 0), 0);
        refused = [sum('beds_admin_logs_refused_total'), sum('beds_admin_graph_refused_total')];
        return refused.join() === '1,2';
      },
    );
    assert.deepEqual(await lines({ node }), []);
    const asked = { from: Date.now() - 600_000, to: Date.now() + 60_000 };
    const rows = (await viewer.domain('metrics').call('overview', asked)) as unknown as readonly {
      readonly node: string;
    }[];
    assert.deepEqual(
      rows.filter((row) => row.node === node),
      [],
    );
  } finally {
    await model.close();
    await client.close();
  }
}

const FORGED = 'all is lost, says a program';

/** Who follows the log sees what nodes say, and of what others publish in their name that it came. */
async function followsHostsOnly(t: TestContext, { config, env, owner, viewer }: AdminHost): Promise<void> {
  const { url, prefix } = config.amqp;
  const followed = spawn(process.execPath, ['--input-type=module', '--eval', FOLLOW], {
    env: {
      ...process.env,
      ...env,
      BEDS_SESSION: owner,
      MAIN_OF_BEDS: new URL('../host/cli/main.js', import.meta.url).href,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => followed.kill('SIGKILL'));
  const seen = { stdout: '', stderr: '' };
  followed.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text));
  followed.stderr.setEncoding('utf8').on('data', (text: string) => (seen.stderr += text));
  const model = await connect(url);
  try {
    const channel = await model.createChannel();
    const forge = (): void => {
      const line = { id: `${lineIdAt(Date.now())}-evil-2`, at: Date.now(), level: 50, message: FORGED };
      const event = { v: 1, at: new Date().toISOString(), node: 'far away', data: { lines: [line] } };
      channel.publish(`${prefix}.events`, 'log.error.far away', Buffer.from(JSON.stringify(event)));
    };
    await eventually(
      () => `what a node says, and that something was left out: ${seen.stdout.slice(-500)} ${seen.stderr}`,
      async () => {
        forge();
        await viewer.domain('orders').call('say', { words: 'followed', times: 1 });
        return seen.stdout.includes('"message":"followed 0') && seen.stderr.includes('left out: no node has');
      },
      60_000,
    );
    assert.ok(!seen.stdout.includes(FORGED));
  } finally {
    await model.close();
  }
}

const FOLLOW = `
  const { main } = await import(process.env.MAIN_OF_BEDS);
  const args = ['logs', '--follow', '--json', '--since', '1s'];
  process.exitCode = await main({ args, projectRoot: process.cwd(), cwd: process.cwd(), env: process.env });`;

async function findsByRequest(
  { viewer, env }: AdminHost,
  lines: (conditions: object) => Promise<readonly Line[]>,
): Promise<void> {
  await viewer.domain('orders').call('say', { words: 'found', times: 3 });
  let found: readonly Line[] = [];
  await eventually(
    () => 'the lines of one request',
    async () => {
      const [line] = (await lines({ domain: 'orders' })).filter(({ message }) => message === 'found 2');
      if (line === undefined) return false;
      found = await lines({ requestId: line.requestId });
      return found.length === 3;
    },
  );
  assert.deepEqual(
    found.map(({ message }) => message),
    ['found 0', 'found 1', 'found 2'],
  );
  const [first, second, third] = found;
  const after = await lines({ requestId: first?.requestId, after: first?.id });
  assert.deepEqual(after, [second, third]);
  const shown = await beds(['logs', '--request', first?.requestId ?? '', '--limit', '2'], { env });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(
    shown.stdout,
    /^\S+ \S+ {2}warn .*orders 1\.0\.0 {2}found 1 \[.*\]\n\S+ \S+ {2}warn .*found 2 \[.*\]\n$/,
  );
  const json = await beds(['logs', '--request', first?.requestId ?? '', '--json'], { env });
  assert.deepEqual(
    json.stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Line).message),
    ['found 0', 'found 1', 'found 2'],
  );
}

async function showsFaults({ viewer, env }: AdminHost): Promise<void> {
  for (let n = 0; n < 5; n += 1) {
    await assert.rejects(viewer.domain('orders').call('fail', {}), { code: 'BEDS_REQUEST_TEMPLATE_FAULT' });
  }
  // n.b. the host says how many more there were when ten seconds have passed.
  let shown = '';
  await eventually(
    () => `one row for five faults: ${shown}`,
    async () => {
      const { stdout } = await beds(['faults', '--domain', 'orders', '--json'], { env });
      shown = stdout;
      const groups = JSON.parse(stdout) as readonly { count: number; place: string; message: string }[];
      return groups.length === 1 && groups[0]?.count === 5 && /^index\.mjs:\d+:\d+$/.test(groups[0].place);
    },
    30_000,
  );
  const { stdout } = await beds(['faults', '--since', '1h'], { env });
  assert.match(stdout, /5 .*orders 1\.0\.0 +fault in orders\.fail/);
}

async function joinsFloods(
  { viewer }: AdminHost,
  lines: (conditions: object) => Promise<readonly Line[]>,
): Promise<void> {
  await viewer.domain('orders').call('say', { words: 'flood', times: 1_500 });
  const count = async (): Promise<number> =>
    (await lines({ domain: 'orders' }))
      .filter(({ message }) => message.startsWith('flood'))
      .reduce((sum, line) => sum + line.count, 0);
  await eventually(
    () => 'all 1,500 lines in few',
    async () => (await count()) === 1_500,
    20_000,
  );
  const rows = (await lines({ domain: 'orders' })).filter(({ message }) => message.startsWith('flood'));
  assert.ok(rows.length < 100, `${String(rows.length)} rows`);
}

const FLOOD_LINES = 100;
const ROUNDS = 5;
const ROUND_MS = 800;
/** 100 µs a line that a neighbour on the same thread waits for. */
const MOST_MS = 10;

/** A neighbour of one who floods the log waits for the code of that one, and hardly longer than where it says nothing. */
async function slowsNobody(t: TestContext, { viewer, config, owner }: AdminHost): Promise<void> {
  const { url, prefix } = config.amqp;
  const client = await AdminClient.open({ url, prefix, session: owner, signal: AbortSignal.timeout(120_000) });
  const round = async (op: 'say' | 'hush'): Promise<number> => {
    const until = performance.now() + ROUND_MS;
    const busy = async (): Promise<void> => {
      while (performance.now() < until) await viewer.domain('orders').call(op, { words: 'noise', times: FLOOD_LINES });
    };
    const flood = busy();
    const times: number[] = [];
    while (performance.now() < until) {
      const askedAt = performance.now();
      await viewer.domain('notes').call('calm', {});
      times.push(performance.now() - askedAt);
    }
    await flood;
    return median(times);
  };
  try {
    for (const op of ['hush', 'say'] as const) await round(op);
    const more: number[] = [];
    for (let n = 0; n < ROUNDS; n += 1) more.push(-(await round('hush')) + (await round('say')));
    t.diagnostic(`${String(FLOOD_LINES)} lines a call: ${median(more).toFixed(2)} ms more for a neighbour`);
    assert.ok(median(more) < MOST_MS, `${median(more).toFixed(1)} ms more`);
    // The control plane, which writes all of these lines, answers operators meanwhile.
    const flood = round('say');
    const askedAt = performance.now();
    assert.equal((await client.query('status', {}, { timeoutMs: 20_000, expected: 2 })).length, 2);
    t.diagnostic(`status within ${(performance.now() - askedAt).toFixed(0)} ms`);
    await flood;
  } finally {
    await client.close();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

interface Point {
  readonly at: number;
  readonly calls: number;
  readonly failures: number;
  readonly memoryMb: number;
}

async function samples({ viewer, env }: AdminHost): Promise<void> {
  const from = Date.now() - 600_000;
  const series = async (input: object): Promise<readonly Point[]> => {
    const asked = { from, to: Date.now() + 5_000, points: 600, ...input };
    return ((await viewer.domain('metrics').call('series', asked)) as unknown as { points: readonly Point[] }).points;
  };
  // n.b. a no is an answer: of all of these, only what failed is drawn as failed.
  for (let n = 0; n < 4; n += 1)
    await assert.rejects(viewer.domain('orders').call('missing', {}), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  await eventually(
    () => 'samples of the domain and of the whole',
    async () => {
      const points = await series({ domain: 'orders' });
      const failures = points.reduce((sum, point) => sum + point.failures, 0);
      return failures === 5 && (await series({})).some(({ memoryMb }) => memoryMb > 20);
    },
    30_000,
  );
  const one = await beds(['graph', 'orders', '--since', '10m'], { env });
  assert.equal(one.code, 0, one.stderr);
  assert.match(one.stdout, /requests\n +[\d.]+ \/s [⠀-⣿]+\n/);
  const all = await beds(['graph', '--since', '10m'], { env });
  assert.match(all.stdout, /orders +[\d,.]+ +[ ▁▂▃▄▅▆▇█]+/);
}

async function countsObjects({ viewer, env }: AdminHost): Promise<void> {
  for (let n = 0; n < 3; n += 1) await viewer.domain('orders').fetch({ limit: 1 });
  await eventually(
    () => 'calls of a view',
    async () => {
      const { stdout } = await beds(['objects', 'log_list', '--json'], { env });
      const { uses } = JSON.parse(stdout) as {
        readonly uses: readonly { readonly domain: string; readonly calls: number }[];
      };
      return uses.some(({ domain, calls }) => domain === 'orders' && calls === 3);
    },
    20_000,
  );
  const used = await beds(['objects', 'log_list'], { env });
  assert.match(used.stdout, /^May log_list be dropped\?\nNo\. .*orders 1\.0\.0 \(live\).* have it in the code/);
  const free = await beds(['objects', 'nobody_knows_it'], { env });
  assert.match(free.stdout, /be dropped\?\nProbably\. .*\nNobody has called it since/);
}
