import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import { sharedServices, temporaryDirectory } from './support/services.js';

const RUN_TIMEOUT_MS = 120_000;
const CLI = resolve(import.meta.dirname, '..', 'host', 'cli', 'main.js');

const { rabbitmq, mariadb, mongodb } = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
assert.ok(rabbitmq && mariadb && mongodb);

/** A checkout of its own, on the servers of the test run; the data stays in them, as it does between two runs. */
function checkout(t: TestContext): { readonly root: string; readonly env: Record<string, string | undefined> } {
  const root = temporaryDirectory(t);
  cpSync('config', join(root, 'config'), { recursive: true });
  cpSync('plugins', join(root, 'plugins'), { recursive: true, filter: (path) => !path.endsWith('.mjs') });
  const env = {
    ...process.env,
    BEDS_RABBITMQ_URL: rabbitmq?.url,
    BEDS_MARIADB_ADMIN_URL: mariadb?.url,
    BEDS_MONGODB_URL: mongodb?.url,
    BEDS_AMQP_PREFIX: `t${randomBytes(4).toString('hex')}`,
    NODE_TEST_CONTEXT: undefined,
  };
  return { root, env };
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `beds demo` as a process of its own; `watch` sees everything that it prints so far. */
async function runDemo(
  { root, env }: ReturnType<typeof checkout>,
  args: readonly string[],
  watch: (printed: string, interrupt: () => void) => void = () => undefined,
): Promise<Ended> {
  const invocation = JSON.stringify({ args: ['demo', ...args], projectRoot: root, cwd: root });
  const script = join(root, 'demo.mjs');
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(CLI)};
    process.exitCode = await main({ ...${invocation}, env: process.env });`,
  );
  const child = spawn(process.execPath, ['--enable-source-maps', script], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT_MS,
  });
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      printed[stream] += text;
      watch(printed.stdout + printed.stderr, () => child.kill('SIGINT'));
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...printed };
}

test('the demonstration loads, swaps under load, loses nothing, and says so', async (t) => {
  const place = checkout(t);
  const { code, stdout, stderr } = await runDemo(place, ['--exit', '--json']);
  assert.equal(code, 0, stdout + stderr);
  const summary = JSON.parse(stdout) as JsonObject;
  assert.deepEqual([summary['ok'], summary['failed'], summary['unanswered']], [true, 0, 0], stdout);
  const { before, after } = summary['cities'] as { readonly before: number; readonly after: number };
  assert.ok(before >= 135_233 && before === after, `${String(before)} and ${String(after)}`);
  const versions = summary['versions'] as Readonly<Record<string, number>>;
  for (const served of ['cities 1.0.0', 'cities 1.1.0', 'countries 1.0.0']) assert.ok((versions[served] ?? 0) > 0);
  assert.ok(Number((summary['swap'] as JsonObject)['activeMs']) > 0);

  for (const secret of [rabbitmq.url, mariadb.url].map((url) => new URL(url).password)) {
    assert.ok(secret !== '' && !`${stdout}${stderr}`.includes(secret));
    assert.ok(!readFileSync(join(place.root, '.beds', 'demo-host.log'), 'utf8').includes(secret));
  }
  assert.deepEqual(
    readdirSync(join(place.root, 'plugins')).filter((name) => name.endsWith('.mjs')),
    [
      'audit-1.0.0.mjs',
      'cities-1.0.0.mjs',
      'cities-1.1.0.mjs',
      'countries-1.0.0.mjs',
      'fleet-1.0.0.mjs',
      'logs-1.0.0.mjs',
      'metrics-1.0.0.mjs',
      'sessions-1.0.0.mjs',
      'users-1.0.0.mjs',
    ],
  );
});

test('a second run finds the data in place, serves until Ctrl-C, and ends in order with status 0', async (t) => {
  const place = checkout(t);
  let isInterrupted = false;
  const ended = await runDemo(place, [], (printed, interrupt) => {
    if (isInterrupted || !printed.includes('Ctrl-C stops everything in order.')) return;
    isInterrupted = true;
    interrupt();
  });
  assert.equal(ended.code, 0, ended.stdout + ended.stderr);
  assert.match(ended.stdout, /250 countries are there already, 135,\d{3} cities are there already/);
  assert.match(ended.stdout, /countries\.profile of Germany: \d+ calls to both databases/);
  assert.match(ended.stderr, /Everything has stopped\.\s*$/);
});

test('Ctrl-C in the middle of it ends everything in order, with the status that shells expect', async (t) => {
  const place = checkout(t);
  let isInterrupted = false;
  const ended = await runDemo(place, [], (printed, interrupt) => {
    if (isInterrupted || !printed.includes('dropping cities')) return;
    isInterrupted = true;
    interrupt();
  });
  assert.equal(ended.code, 130, ended.stdout + ended.stderr);
  assert.match(ended.stderr, /Everything has stopped\.\s*$/);
});
