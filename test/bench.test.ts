import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import mysql from 'mysql2/promise';
import { startServices } from '../host/dev-servers/index.js';
import { type BenchEnd, runBench } from './support/run-bench.js';
import { temporaryDirectory } from './support/services.js';

const SCENARIOS = [
  ...['echo', 'store', 'fanout', 'dispatch', 'swap', 'memory', 'scale', 'start', 'backlog', 'access', 'admin'],
];

/** What is measured against libraries of others as well. */
const WITH_PEERS: readonly string[] = ['echo', 'store', 'fanout'];

/** What is counted in the hope that there is none. */
const COUNTS: readonly string[] = ['failed', 'lost', 'duplicated'];

interface Result {
  readonly machine: { readonly cores: number; readonly loadAverage: readonly number[] };
  readonly skipped: readonly { readonly scenario: string; readonly what: string; readonly why: string }[];
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: string;
  readonly rows: readonly {
    readonly scenario: string;
    readonly case: string;
    readonly subject: string;
    readonly against: string;
    readonly unit: string;
    readonly value: number;
    readonly againstValue: number;
    readonly ratio: number;
    readonly spread: readonly number[];
    readonly target?: unknown;
    readonly met?: unknown;
  }[];
}

const temporaryFiles = temporaryDirectory({ after });

function bench(t: TestContext, args: readonly string[]): Promise<BenchEnd> {
  return runBench(t, args, { temporaryFiles });
}

function readResult(file: string): Result {
  return JSON.parse(readFileSync(file, 'utf8')) as Result;
}

describe('the benchmark', () => {
  it('runs every scenario, prints a table, writes a file and lets go of everything', async (t) => {
    const folder = temporaryDirectory(t);
    const shared = process.env['BEDS_TEST_SERVICES_DIR'];
    const services = await startServices({
      directory: shared === undefined || shared === '' ? join(folder, 'services') : shared,
      need: ['rabbitmq', 'mariadb', 'mongodb'],
    });
    t.after(() => services.close());
    if (services.rabbitmq?.source === 'configured') {
      t.skip('it measures private servers only, and RabbitMQ is configured by URL');
      return;
    }
    const file = join(folder, 'result.json');
    const directory = shared === undefined || shared === '' ? join(folder, 'services') : shared;
    const { code, out, err } = await bench(t, [
      ...['--smoke', '--no-install'],
      ...['--services', directory],
      ...['--output', file],
    ]);
    assert.equal(code, 0, err);
    const { rows, skipped, machine, versions, commit } = readResult(file);
    // Peers are measured where they are installed; the test installs nothing.
    assert.deepEqual(
      skipped.filter(({ scenario, what }) => !WITH_PEERS.includes(scenario) || what !== 'peers'),
      [],
    );
    assert.deepEqual([...new Set(rows.map(({ scenario }) => scenario))], SCENARIOS);
    for (const row of rows) {
      const figures = [row.value, row.againstValue, row.ratio, ...row.spread];
      assert.ok(
        figures.every((figure) => (figure > 0 || COUNTS.includes(row.unit)) && Number.isFinite(figure)),
        JSON.stringify(row),
      );
      assert.ok([row.case, row.subject, row.against, row.unit].every((text) => text !== ''));
      assert.equal(row.spread.length, 2);
      assert.equal(typeof row.met, row.target === undefined ? 'undefined' : 'boolean');
      assert.ok(out.includes(row.scenario));
    }
    assert.ok(machine.cores > 0);
    assert.equal(machine.loadAverage.length, 3);
    assert.ok(['node', 'amqplib', 'mysql2', 'rabbitmq'].every((name) => versions[name] !== undefined));
    assert.match(commit, /^([0-9a-f]{12}\+?)?$/);
    assert.deepEqual(readdirSync(temporaryFiles), []);
    const dba = await mysql.createConnection(services.mariadb?.url ?? '');
    const [databases] = await dba.query("SHOW DATABASES LIKE 'bench\\_%'").finally(() => dba.end());
    assert.deepEqual(databases, []);
  });

  it('runs one scenario alone, without servers where it needs none', async (t) => {
    const file = join(temporaryDirectory(t), 'result.json');
    const { code, err } = await bench(t, ['dispatch', '--smoke', '--output', file]);
    assert.equal(code, 0, err);
    assert.deepEqual([...new Set(readResult(file).rows.map(({ scenario }) => scenario))], ['dispatch']);
  });

  it('lists the scenarios when an unknown one is requested', async (t) => {
    const file = join(temporaryDirectory(t), 'result.json');
    const { code, err } = await bench(t, ['speed', '--output', file]);
    assert.equal(code, 1);
    assert.match(err, /there is no scenario named speed/);
    assert.match(err, /echo .*\n.*store .*\n.*fanout .*\n.*dispatch /);
    assert.ok(!existsSync(file));
  });
});
