import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { SEATS } from '#sdk/spec';
import { prove } from '../host/author/prove/prove.js';
import { openScratchDatabase } from '../host/author/prove/scratch-database.js';
import { teachTimeZones } from '../host/dba/time-zones.js';
import { beds } from './support/beds.js';
import { eventually } from './support/eventually.js';
import { filesOf, specificationOf } from './support/generated-domain.js';
import { LIBRARY } from './support/library-domain.js';
import { sharedServices } from './support/services.js';

const { mariadb } = await sharedServices(['mariadb']);
assert.ok(mariadb);
const adminUrl = mariadb.url;
const specification = specificationOf(SEATS);
let folders = 0;

/** The main record shows what changes by the clock, and what a function of the domain computes. */
const PEOPLE = JSON.stringify({
  ...{ beds: 1, domain: 'people', description: 'People.', store: 'main', zone: 'Europe/Zurich' },
  records: [
    {
      ...{ name: 'person', description: 'Somebody', key: 'auto', operations: ['create', 'update', 'delete'] },
      fields: [
        { name: 'name', description: 'Name', type: 'text', max_length: 60 },
        { name: 'born', description: 'Day of birth', type: 'date' },
        { name: 'days', description: 'Days lived', type: 'integer', computed: 'days(born, @today)' },
        { name: 'address', description: 'Address of the page', type: 'text', computed: 'slug(name)' },
        { name: 'first', description: 'The digit at its beginning', type: 'integer', computed: 'digit(name, 1)' },
      ],
    },
  ],
  actions: [
    {
      ...{ name: 'rename', description: 'Gives a name, for other actions only', allowed: 'false' },
      args: [
        { name: 'person', description: 'Who', type: 'reference', references: 'person' },
        { name: 'name', description: 'Name', type: 'text', max_length: 60 },
      ],
      steps: [
        { op: 'read_for_update', record: 'person', as: 'p', where: 'id = :person', message: 'There is nobody.' },
        { op: 'update', row: 'p', set: ['name = :name'] },
      ],
    },
    {
      ...{ name: 'christen', description: 'Calls somebody Eve' },
      args: [{ name: 'person', description: 'Who', type: 'reference', references: 'person' }],
      steps: [{ op: 'call', action: 'rename', arguments: ['person = :person', "name = 'Eve'"] }],
    },
  ],
  examples: [
    {
      description: 'What other actions only may do is done by one.',
      given: [
        {
          ...{ operation: 'create', as: 'A' },
          arguments: [
            { name: 'name', value: 'Ann' },
            { name: 'born', value: '2026-01-01' },
          ],
        },
        { operation: 'christen', arguments: [{ name: 'person', value: '@A' }] },
      ],
      call: { operation: 'fetch', arguments: [{ name: 'id', value: '@A' }] },
      expect: { outcome: 'ok', values: [{ name: 'name', value: 'Eve' }] },
    },
    {
      description: 'Nobody calls it by itself.',
      given: [],
      call: {
        operation: 'rename',
        arguments: [
          { name: 'person', value: 1 },
          { name: 'name', value: 'Eve' },
        ],
      },
      expect: { outcome: 'error', error: 'forbidden' },
    },
    {
      description: 'Somebody of three days.',
      given: [],
      call: {
        operation: 'create',
        arguments: [
          { name: 'name', value: 'Ann B' },
          { name: 'born', value: '~today-3d' },
        ],
      },
      expect: {
        outcome: 'ok',
        values: [
          { name: 'days', value: 3 },
          { name: 'address', value: 'ann-b' },
        ],
      },
    },
  ],
  ...{ assumptions: [], questions: [] },
});

/** The generated files of a domain, some of them changed. n.b. inside of the checkout: a template imports the SDK. */
function domainFolder(
  t: TestContext,
  change: (files: Record<string, string>) => void = () => undefined,
  source = SEATS,
): string {
  folders += 1;
  const root = resolve('dist', `proved-${String(process.pid)}-${String(folders)}`);
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const { domain } = specificationOf(source);
  const files: Record<string, string> = { ...filesOf(specificationOf(source)), 'domain.json': source };
  change(files);
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, domain, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return join(root, domain);
}

function edited(files: Record<string, string>, name: string, edit: readonly [string | RegExp, string]): void {
  const text = files[name] ?? '';
  const changed = text.replace(...edit);
  assert.notEqual(changed, text, `${name} has no ${String(edit[0])}`);
  files[name] = changed;
}

async function leftBehind(): Promise<readonly string[]> {
  const dba = await createConnection({ uri: adminUrl });
  try {
    const [schemas] = await dba.query<RowDataPacket[]>(
      "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'beds\\_prove\\_seats\\_%'",
    );
    const [accounts] = await dba.query<RowDataPacket[]>(
      "SELECT DISTINCT User AS name FROM mysql.procs_priv WHERE Db LIKE 'beds\\_prove\\_seats\\_%'",
    );
    return [...schemas, ...accounts].map(({ name }) => String(name));
  } finally {
    await dba.end();
  }
}

async function seesChanges(): Promise<boolean> {
  const dba = await createConnection({ uri: adminUrl });
  try {
    const [rows] = await dba.query<RowDataPacket[]>("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'");
    return rows[0]?.['Value'] === 'ON';
  } finally {
    await dba.end();
  }
}

/** Whether there is a role that every account has: MySQL knows none, so no file gives away what it does not name an account for. */
async function knowsPublic(): Promise<boolean> {
  const dba = await createConnection({ uri: adminUrl });
  try {
    const [rows] = await dba.query<RowDataPacket[]>('SELECT VERSION() AS version');
    return /mariadb/i.test(String(rows[0]?.['version']));
  } finally {
    await dba.end();
  }
}

const proved = async (folder: string, of = specification): ReturnType<typeof prove> =>
  prove({
    specification: of,
    folder,
    kind: 'mysql',
    adminUrl,
    signal: new AbortController().signal,
    onStep: () => undefined,
  });

describe('beds prove', { timeout: 300_000 }, () => {
  it('finds nothing wrong with what the generator makes, and leaves nothing behind', async (t) => {
    await teachTimeZones(adminUrl, [specification.source.zone]);
    const { ok, steps, server } = await proved(domainFolder(t));
    assert.ok(ok, JSON.stringify(steps));
    assert.match(server, /^\d+\./);
    const tried = Object.fromEntries(steps.map((step) => [step.name, step.tried]));
    assert.equal(tried['examples'], 2);
    for (const name of ['files', 'template', 'privileges', 'races', 'plans']) assert.ok(Number(tried[name]) > 0, name);
    assert.ok(Number(tried['random calls']) > 100, JSON.stringify(tried));
    assert.deepEqual(await leftBehind(), []);
  });

  it('holds where the main record shows what functions of the domain compute', async (t) => {
    const people = specificationOf(PEOPLE);
    await teachTimeZones(adminUrl, [people.source.zone]);
    const { ok, steps } = await proved(domainFolder(t, undefined, PEOPLE), people);
    assert.ok(ok, JSON.stringify(steps));
  });

  it('holds where limits count what their caller does not see', async (t) => {
    const library = specificationOf(LIBRARY);
    await teachTimeZones(adminUrl, [library.source.zone]);
    const { ok, steps } = await proved(domainFolder(t, undefined, LIBRARY), library);
    assert.ok(ok, JSON.stringify(steps));
  });

  for (const [what, expected, change] of [
    [
      'a file that the server refuses',
      'files',
      (files) => edited(files, 'db/801-procedure-seats_update.sql', ['BEGIN', 'BEGIN NO SUCH WORD;']),
    ],
    [
      'a template that asks for what is not there',
      'template',
      (files) => edited(files, 'template.ts', [/'seats_scan'/, "'seats_scam'"]),
    ],
    [
      'a table that callers may read',
      'privileges',
      (files) => {
        files['db/990-procedure-leak.sql'] = 'GRANT SELECT ON seats_place TO PUBLIC;\n';
      },
    ],
    [
      'an example that comes out otherwise',
      'examples',
      (files) => edited(files, 'db/810-procedure-seats_hold.sql', [/\[conflict/, '[invalid']),
    ],
    [
      'a rule that is not kept',
      'random calls',
      (files) =>
        edited(files, 'db/111-table-seats_place.sql', [/,\n {2}CONSTRAINT [^\n]* CHECK \([^\n]*price[^\n]*\)/, '']),
    ],
    [
      'two at once who both get the last one',
      'races',
      (files) => {
        files['db/810-procedure-seats_hold.sql'] = (files['db/810-procedure-seats_hold.sql'] ?? '').replaceAll(
          ' FOR UPDATE',
          '',
        );
      },
    ],
    [
      'an index that is promised and does not serve',
      'plans',
      (files) =>
        edited(files, 'db/808-procedure-seats_revenue.sql', [
          '`place`.`event` = p_event',
          "CONCAT(`place`.`event`, '') = p_event",
        ]),
    ],
  ] as const satisfies readonly (readonly [string, string, (files: Record<string, string>) => void])[]) {
    it(`shows ${what}`, async (t) => {
      // MariaDB from 11.6 on refuses a write over what has changed since it was read, and the call is made again.
      if (expected === 'races' && (await seesChanges())) return t.skip('this server keeps the rule by itself');
      if (expected === 'privileges' && !(await knowsPublic())) return t.skip('this server grants nothing to all');
      const { ok, steps } = await proved(domainFolder(t, change));
      assert.ok(!ok);
      const wrong = steps.filter(({ failures }) => failures.length > 0).map(({ name }) => name);
      assert.ok(wrong.includes(expected), JSON.stringify(steps, undefined, 1));
      assert.deepEqual(await leftBehind(), []);
    });
  }

  it('drops what a killed run has left, and nothing of one that still works', async (t) => {
    const folder = domainFolder(t);
    const child = proveInChild(t, folder);
    await eventually('a schema is there', async () => (await leftBehind()).length > 0);
    const stopped = proveInChild(t, folder);
    await eventually(
      'two are there',
      async () => (await leftBehind()).filter((name) => name.includes('seats')).length > 1,
    );
    stopped.kill('SIGSTOP');
    child.kill('SIGKILL');
    await eventually('the killed one is gone', () => child.signalCode !== null);
    // n.b. the server takes the lock of a connection away when it sees that it has ended.
    await eventually('what was killed is dropped', async () => {
      assert.ok((await proved(folder)).ok);
      return (await leftBehind()).filter((name) => name.startsWith('beds_prove_')).length === 1;
    });
    stopped.kill('SIGCONT');
    await eventually('the other has ended', () => stopped.exitCode === 0, 60_000);
    assert.deepEqual(await leftBehind(), []);
  });

  it('leaves a database alone that somebody has named like one of its own', async (t) => {
    const dba = await createConnection({ uri: adminUrl });
    t.after(async () => {
      await dba.query('DROP DATABASE IF EXISTS beds_prove_songs');
      await dba.end();
    });
    await dba.query('CREATE DATABASE beds_prove_songs');
    const scratch = await openScratchDatabase(adminUrl, `${'long-'.repeat(12)}name`);
    await scratch.drop();
    const [found] = await dba.query<RowDataPacket[]>("SHOW DATABASES LIKE 'beds\\_prove\\_%song%'");
    assert.equal(found.length, 1);
  });

  it('is a command, which says step by step what was tried, and keeps it', async (t) => {
    const folder = domainFolder(t);
    const projectRoot = dirname(folder);
    mkdirSync(join(projectRoot, 'config'));
    writeFileSync(join(projectRoot, 'config', 'beds.toml'), '[stores.main]\nkind = "mysql"\n');
    const env = { BEDS_MARIADB_ADMIN_URL: adminUrl };
    const good = await beds(['prove', 'seats'], { projectRoot, env });
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /✓ 2 examples come out as they say[^]*seats: holds on \d/);
    const kept = JSON.parse(readFileSync(join(projectRoot, '.beds/design/seats/proof.json'), 'utf8')) as {
      ok: boolean;
    };
    assert.equal(kept.ok, true);
    writeFileSync(join(folder, 'db', '810-procedure-seats_hold.sql'), 'CREATE NONSENSE;\n');
    const bad = await beds(['prove', 'seats'], { projectRoot, env });
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /✗ .*files[^]*810-procedure-seats_hold\.sql[^]*seats: does not hold/);
  });
});

describe('beds design --yes', { timeout: 300_000 }, () => {
  const covered = JSON.stringify({
    ...(JSON.parse(SEATS) as object),
    covers: [{ sentence: 1, paths: ['records.event'] }],
  });

  it('makes the files and proves them; what fails goes to the model once, and it goes on where it stopped', async (t) => {
    folders += 1;
    const projectRoot = resolve('dist', `proved-${String(process.pid)}-${String(folders)}`);
    t.after(() => {
      rmSync(projectRoot, { recursive: true, force: true });
    });
    mkdirSync(join(projectRoot, 'config'), { recursive: true });
    writeFileSync(join(projectRoot, 'config', 'beds.toml'), '[stores.main]\nkind = "mysql"\n');
    const env = { BEDS_MARIADB_ADMIN_URL: adminUrl };
    const design = async (...args: string[]): Promise<Record<string, string>> => {
      const { stdout, stderr } = await beds(['design', 'seats', ...args, '--json'], { projectRoot, env });
      assert.match(stdout, /^\{.*\}\n$/, stderr);
      return JSON.parse(stdout) as Record<string, string>;
    };
    const first = await design('Seats of events.', '--yes');
    assert.equal(first['state'], 'waiting');
    writeFileSync(String(first['answer']), covered);
    // Nothing is made before a person has agreed.
    assert.equal((await design())['state'], 'done');
    const folder = join(projectRoot, 'plugins', 'seats');
    assert.ok(!existsSync(join(folder, 'db')));
    // n.b. somebody has put an object beside what is generated, which gives away more than it may.
    const leak = join(folder, 'db', '990-procedure-leak.sql');
    mkdirSync(dirname(leak));
    writeFileSync(leak, 'GRANT SELECT ON seats_place TO PUBLIC;\n');
    const asked = await design('--yes');
    assert.equal(asked['state'], 'waiting');
    assert.match(
      readFileSync(String(asked['prompt']), 'utf8'),
      (await knowsPublic())
        ? /What is wrong in it[^]*privileges: The runtime account may do this: SELECT 1 FROM `seats_place`/
        : /What is wrong in it[^]*files: seats\/db\/990-procedure-leak\.sql: /,
    );
    assert.deepEqual(await design('--yes').then(({ state, answer }) => [state, answer]), ['waiting', asked['answer']]);
    writeFileSync(String(asked['answer']), covered);
    const refused = await design('--yes');
    assert.equal(refused['state'], 'refused');
    assert.match(String(refused['why']), /does not hold on .* after it was repaired/);
    rmSync(leak);
    assert.equal((await design('--yes'))['state'], 'proved');
    assert.deepEqual(await leftBehind(), []);
  });
});

function proveInChild(t: TestContext, folder: string): ChildProcess {
  const program = `import { prove } from ${JSON.stringify(resolve('dist/host/author/prove/prove.js'))};
import { checkSpecification, SEATS } from ${JSON.stringify(resolve('sdk/dist/spec/index.js'))};
const { checked: specification } = checkSpecification(JSON.parse(SEATS));
const signal = new AbortController().signal;
const { ok } = await prove({ specification, folder: ${JSON.stringify(folder)}, kind: 'mysql', adminUrl: ${JSON.stringify(adminUrl)}, signal, onStep: () => undefined });
process.exitCode = ok ? 0 : 1;`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}
