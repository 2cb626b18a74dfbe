import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { applyObjects } from '../host/dba/index.js';
import { type Entry, mongodbStore, READ } from './support/mongodb-store.js';
import { lastFirst, sharedServices, temporaryDirectory } from './support/services.js';

const mongodb = await mongodbStore();
const services = await sharedServices(['mariadb']);

const NODES = 10;
const DOMAINS = 50;
const DAY = 86_400;
const MOST_MS = 100;
const RUNS = 5;
/** A whole minute. */
const BEGIN = 1_800_000_000;

interface Stand {
  readonly database: mysql.Connection;
  readonly folder: string;
}

async function open(t: TestContext): Promise<Stand> {
  assert.ok(services.mariadb);
  const name = `t${randomBytes(5).toString('hex')}`;
  const admin = await mysql.createConnection(services.mariadb.url);
  await admin.query(`CREATE DATABASE ${name}`);
  lastFirst(t, async () => {
    await admin.query(`DROP DATABASE ${name}`);
    await admin.end();
  });
  const adminUrl = Object.assign(new URL(services.mariadb.url), { pathname: `/${name}` }).href;
  const stores = { admin: { kind: 'mysql', adminUrl } } as const;
  await applyObjects({ stores, folder: 'plugins', directory: temporaryDirectory(t), domains: ['metrics'] });
  const database = await mysql.createConnection({ uri: adminUrl, multipleStatements: true });
  lastFirst(t, () => database.end());
  return { database, folder: 'plugins/metrics/db/mysql' };
}

/** Samples of that step for so many domains, all nodes, all of a day; the whole node as well, without a name. */
async function load({ database }: Stand, step: number, domains: number): Promise<void> {
  const digits =
    'SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9';
  await database.query(`
    CREATE TEMPORARY TABLE IF NOT EXISTS digit AS ${digits};
    CREATE TEMPORARY TABLE IF NOT EXISTS moment (n INT PRIMARY KEY);
    DELETE FROM moment;`);
  for (const factor of [1, 10, 100, 1_000, 10_000]) {
    if (factor === 1) await database.query('INSERT INTO moment SELECT n FROM digit');
    // n.b. a temporary table cannot be read twice in one statement.
    else
      for (let n = 1; n < 10; n += 1)
        await database.query(
          `CREATE TEMPORARY TABLE part AS SELECT n + ${String(n * factor)} AS n FROM moment WHERE n < ${String(factor)}; INSERT INTO moment SELECT n FROM part WHERE n < ${String(DAY / step)}; DROP TEMPORARY TABLE part;`,
        );
  }
  for (let domain = 0; domain <= domains; domain += 1) {
    for (let node = 0; node < NODES; node += 1) {
      await database.query(
        `INSERT INTO metric_sample SELECT 'beds', ?, ?, ? + n * ?, ?, 100 + n MOD 50, n MOD 3, 800, 2000 + n MOD 900, 9000, 1, 0, 0, 200, 150, 0 FROM moment WHERE n < ?`,
        [step, domain === 0 ? '' : `domain${String(domain)}`, BEGIN, step, `node${String(node)}`, DAY / step],
      );
    }
  }
}

/** The shortest of some runs, by the clock of the server. */
async function serverMs(
  { database }: Stand,
  statement: string,
  values: readonly unknown[],
): Promise<{ ms: number; rows: readonly RowDataPacket[] }> {
  let best = Infinity;
  let rows: readonly RowDataPacket[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const [before] = await database.query<RowDataPacket[]>('SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS at');
    const [sets] = await database.query<RowDataPacket[][]>(statement, values as unknown[]);
    const [after] = await database.query<RowDataPacket[]>('SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS at');
    rows = sets[0] ?? [];
    best = Math.min(best, (Number(after[0]?.['at']) - Number(before[0]?.['at'])) * 1_000);
  }
  return { ms: best, rows };
}

/** The index by which the statement of a procedure finds its rows, as the server explains it. */
async function indexOf({ database, folder }: Stand, file: string, args: readonly unknown[]): Promise<string> {
  const text = readFileSync(`${folder}/${file}.sql`, 'utf8');
  const name = /CREATE PROCEDURE (\w+)/.exec(text)?.[1] ?? '';
  const create = text.slice(text.indexOf('CREATE PROCEDURE')).trim().replace(/;$/, '');
  await database.query(
    create.replace(name, `${name}_explained`).replace('  SELECT\n', '  EXPLAIN FORMAT = TRADITIONAL SELECT\n'),
  );
  const [sets] = await database.query<RowDataPacket[][]>(
    `CALL ${name}_explained('beds', ${args.map(() => '?').join(', ')})`,
    args as unknown[],
  );
  return String(sets[0]?.find(({ table }) => table === 's')?.['key']);
}

describe('a day of 10 nodes and 50 domains', () => {
  it('is drawn within 100 ms of the server, by an index', async (t) => {
    const stand = await open(t);
    await load(stand, 60, DOMAINS);
    await load(stand, 300, DOMAINS);
    await load(stand, 5, 1);
    const [[counted]] = await stand.database.query<RowDataPacket[]>('SELECT COUNT(*) AS count FROM metric_sample');
    assert.equal(counted?.['count'], (1_440 + 288) * NODES * (DOMAINS + 1) + 17_280 * NODES * 2);
    await stand.database.query('ANALYZE TABLE metric_sample');

    const end = BEGIN + DAY;
    const day = [60, 'domain1', '', BEGIN, end, 240];
    const series = await serverMs(stand, `CALL metric_series('beds', ?, ?, ?, ?, ?, ?)`, day);
    assert.equal(series.rows.length, 360);
    // Of all nodes, and of the four minutes that are put together.
    assert.equal(series.rows[0]?.['calls'], NODES * (100 + 101 + 102 + 103));
    assert.equal(series.rows[0]['in_flight'], NODES);
    assert.equal(await indexOf(stand, '50-procedure-metric_series', day), 'PRIMARY');

    const hour = await serverMs(stand, `CALL metric_series('beds', ?, ?, ?, ?, ?, ?)`, [
      5,
      'domain1',
      '',
      end - 3_600,
      end,
      10,
    ]);
    assert.equal(hour.rows.length, 360);
    const one = await serverMs(stand, `CALL metric_series('beds', ?, ?, ?, ?, ?, ?)`, [
      60,
      '',
      'node3',
      BEGIN,
      end,
      240,
    ]);
    assert.equal(one.rows.length, 360);
    const overview = await serverMs(stand, `CALL metric_overview('beds', ?, ?, ?)`, [300, end - 3_600, end]);
    assert.equal(overview.rows.length, NODES * (DOMAINS + 1));
    assert.equal(await indexOf(stand, '51-procedure-metric_overview', [300, end - 3_600, end]), 'metric_by_time');

    const measured = { series, hour, one, overview };
    for (const [name, { ms }] of Object.entries(measured)) t.diagnostic(`${name}: ${ms.toFixed(1)} ms`);
    for (const [name, { ms }] of Object.entries(measured)) assert.ok(ms < MOST_MS, `${name} takes ${ms.toFixed(1)} ms`);
  });
});

interface Piece {
  readonly step: number;
  readonly moments: number;
  readonly domains: readonly string[];
}

const FOLDER = 'plugins/metrics/db/mongodb';
const TIMES_READING = 5;

function entryOf(name: string): Entry {
  return JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8')) as Entry;
}

/** What an index gives of a day. n.b. the server that stands in for MongoDB has no such index: it reads all that is there. */
async function loadPiece({ step, moments, domains }: Piece): Promise<number> {
  const collection = mongodb.dba.db().collection<{ readonly _id: string }>('metric_sample');
  await collection.deleteMany({});
  const figures = { failures: 1, p50_us: 800, p99_us: 9_000, in_flight: 1, queued: 0, waiting: 0 };
  const documents = domains.flatMap((domain) =>
    Array.from({ length: NODES * moments }, (_, n) => {
      const [node, moment] = [`node${String(n % NODES)}`, Math.floor(n / NODES)];
      const at = BEGIN + moment * step;
      return {
        ...{
          _id: `beds/${String(step)}/${domain}/${String(at)}/${node}`,
          installation: 'beds',
          step,
          domain,
          at,
          node,
        },
        ...{ ...figures, calls: 100 + (moment % 50), p95_us: 2_000 + (moment % 900) },
        ...{ memory_mb: 200, cpu_permille: 150, swaps: 0 },
      };
    }),
  );
  await collection.insertMany(documents, { ordered: false });
  return documents.length;
}

/** The shortest of some runs, from the call to its rows. */
async function callMs(
  name: string,
  args: JsonObject,
): Promise<{ ms: number; most: number; rows: readonly JsonObject[] }> {
  const collection = mongodb.dba.db().collection('metric_sample');
  let best = Infinity;
  // n.b. on a machine that is busy with other tests: so long it takes to read the same documents once, and little else.
  let reading = Infinity;
  let rows: readonly JsonObject[] = [];
  const object = await mongodb.object(name);
  // n.b. other tests run beside it: a query that needs so long never takes less.
  for (let run = 0; run < RUNS || (best >= MOST_MS && run < 6 * RUNS); run += 1) {
    const begun = performance.now();
    ({ rows } = await mongodb.adapter.call(object, args, READ));
    const done = performance.now();
    await collection.aggregate([{ $group: { _id: '$at', calls: { $sum: '$calls' } } }]).toArray();
    best = Math.min(best, done - begun);
    reading = Math.min(reading, performance.now() - done);
  }
  return { ms: best, most: Math.max(MOST_MS, TIMES_READING * reading), rows };
}

/** The fields of an index by which all that a pipeline matches is one piece of it. */
function matched(name: string, fields: readonly string[]): boolean {
  const { body } = entryOf(name) as unknown as {
    readonly body: { readonly pipeline: readonly [{ readonly $match: Readonly<Record<string, object>> }] };
  };
  const { $match: match } = body.pipeline[0];
  const { $expr: _, ...rest } = match;
  const ranges = Object.entries(rest).flatMap(([field, condition]) => ('$gte' in condition ? [field] : []));
  // Equal fields first, then the one range.
  return Object.keys(rest).sort().join() === [...fields].sort().join() && ranges.join() === fields.at(-1);
}

describe('a day of 10 nodes and 50 domains on MongoDB', () => {
  it('is one piece of an index, and drawn within 100 ms', async (t) => {
    const { indexes } = JSON.parse(readFileSync(`${FOLDER}/metric_sample.json`, 'utf8')) as {
      readonly indexes: readonly { readonly name: string; readonly key: object }[];
    };
    const keys = new Map(indexes.map(({ name, key }) => [name, Object.keys(key)]));
    assert.ok(matched('metric_series', keys.get('metric_by_domain') ?? []));
    assert.ok(matched('metric_overview', keys.get('metric_by_time') ?? []));
    await mongodb.deliver(entryOf('metric_series'), entryOf('metric_overview'));
    const end = BEGIN + DAY;
    const all = { installation: 'beds', domain: 'domain1', node: '' };

    await loadPiece({ step: 60, moments: DAY / 60, domains: ['domain1'] });
    const day = { ...all, step: 60, from_at: BEGIN, until_at: end, width: 240 };
    const series = await callMs('metric_series', day);
    assert.equal(series.rows.length, 360);
    assert.equal(series.rows[0]?.['calls'], NODES * (100 + 101 + 102 + 103));
    assert.equal(series.rows[0]['in_flight'], NODES);
    const one = await callMs('metric_series', { ...day, node: 'node3' });
    assert.equal(one.rows.length, 360);
    // What the domain reads of a day for the 240 points of a page.
    await loadPiece({ step: 300, moments: DAY / 300, domains: ['domain1'] });
    const page = await callMs('metric_series', { ...day, step: 300, width: 600 });
    assert.equal(page.rows.length, 144);
    await loadPiece({ step: 5, moments: 720, domains: ['domain1'] });
    const hour = await callMs('metric_series', {
      ...{ ...all, step: 5, from_at: BEGIN, until_at: BEGIN + 3_600, width: 10 },
    });
    assert.equal(hour.rows.length, 360);
    const domains = Array.from({ length: DOMAINS + 1 }, (_, n) => (n === 0 ? '' : `domain${String(n)}`));
    const count = await loadPiece({ step: 300, moments: 12, domains });
    assert.equal(count, 12 * NODES * (DOMAINS + 1));
    const overview = await callMs('metric_overview', {
      ...{ installation: 'beds', step: 300, from_at: BEGIN, until_at: BEGIN + 3_600 },
    });
    assert.equal(overview.rows.length, NODES * (DOMAINS + 1));

    const measured = { series, page, hour, one, overview };
    for (const [name, { ms }] of Object.entries(measured)) t.diagnostic(`${name}: ${ms.toFixed(1)} ms`);
    for (const [name, { ms, most }] of Object.entries(measured))
      assert.ok(ms < most, `${name} takes ${ms.toFixed(1)} ms, and may take ${most.toFixed(0)}`);
  });
});
