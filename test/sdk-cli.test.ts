import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { eventually } from './support/eventually.js';
import { startTestHost } from './support/host.js';
import { databaseUrl } from './support/mongodb-url.js';
import { installSdk, packSdk, packTools, unpack } from './support/packed-sdk.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
const { mariadb, mongodb } = services;
assert.ok(mariadb && mongodb);
const LONGEST_MS = 120_000;

interface Ran {
  readonly code: number;
  readonly text: string;
}

/** What an author has: an empty folder with the packages, esbuild, TypeScript and a driver, outside of the checkout. */
describe('beds in a project of its own', () => {
  const database = `t${randomBytes(5).toString('hex')}`;
  const adminUrl = Object.assign(new URL(mariadb.url), { pathname: `/${database}` }).href;
  const endings: (() => unknown)[] = [];
  const project = temporaryDirectory({ after: (end) => endings.push(end) });
  const songs = join(project, 'songs');
  const template = join(songs, 'template.ts');
  const command = join(project, 'node_modules', '@beds', 'sdk', 'dist', 'cli', 'beds.js');
  let dba: mysql.Connection;

  before(async () => {
    installSdk(packSdk(project), project, ['esbuild', 'typescript', 'mysql2', 'mongodb', '@types/node']);
    unpack(packTools(project), project, '@beds/tools');
    dba = await mysql.createConnection(mariadb.url);
    await dba.query(`CREATE DATABASE ${database}`);
    await dba.changeUser({ database });
  });
  after(async () => {
    await dba.query(`DROP DATABASE ${database}`);
    await dba.end();
    const mongo = new MongoClient(databaseUrl(mongodb.url, database));
    await mongo.db().dropDatabase();
    await mongo.close();
    for (const end of endings) end();
  });

  const environment = (env: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
    PATH: process.env['PATH'],
    ...env,
  });

  function beds(args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd = songs): Promise<Ran> {
    return new Promise((resolve) => {
      const options = { cwd, env: environment(env), timeout: LONGEST_MS };
      execFile(process.execPath, [command, ...args], options, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: `${stdout}${stderr}` });
      });
    });
  }

  /** The template with one thing that is wrong, for as long as `work` takes. */
  async function withMistake(from: string | RegExp, to: string, work: () => Promise<void>): Promise<void> {
    const sound = readFileSync(template, 'utf8');
    const wrong = sound.replace(from, to);
    assert.notEqual(wrong, sound, `there is no ${String(from)}`);
    writeFileSync(template, wrong);
    await work().finally(() => writeFileSync(template, sound));
  }

  const lineOf = (part: string): number =>
    1 +
    readFileSync(template, 'utf8')
      .split('\n')
      .findIndex((line) => line.includes(part));

  it('create makes a project that passes its test, builds, and has nothing wrong', async () => {
    mkdirSync(project, { recursive: true });
    const created = await beds(['create', 'songs'], {}, project);
    assert.equal(created.code, 0, created.text);
    for (const file of ['package.json', 'tsconfig.json', 'config/beds.toml', 'songs.test.ts'])
      assert.ok(existsSync(join(songs, file)), file);
    const tested = await beds(['test']);
    assert.equal(tested.code, 0, tested.text);
    const built = await beds(['build', '--file']);
    assert.match(built.text, /^songs 1\.0\.0, .* bytes: dist\/songs-1\.0\.0\.mjs$/m);
    const checked = await beds(['check']);
    assert.equal(checked.code, 0, checked.text);
    assert.match(checked.text, /no database was asked/);
  });

  it('check names each mistake with its line: an import, a type, a promise that nobody waits for', async () => {
    await withMistake(/^/, "import 'mysql2';\n", async () => {
      const { code, text } = await beds(['check']);
      assert.equal(code, 1);
      assert.match(
        text,
        /^template\.ts:1:8 BEDS_BUILD_REFUSED\n {2}"mysql2" may not be imported by a template\n {2}what to do: /m,
      );
    });
    await withMistake("name: 'songs'", "name: 'Songs'", async () => {
      const { code, text } = await beds(['check']);
      assert.equal(code, 1);
      const place = `template\\.ts:${lineOf("name: 'Songs'")}:3`;
      assert.match(text, new RegExp(`^${place} BEDS_TEMPLATE_INVALID\n {2}name must be lower-case letters`, 'm'));
    });
    await withMistake("key: 'id'", "key: 'ID'", async () => {
      const { text } = await beds(['check']);
      const place = `template\\.ts:${lineOf("fetch: view('songs_song_rows'")}:3`;
      assert.match(text, new RegExp(`^${place} BEDS_TEMPLATE_INVALID\n {2}fetch.columns must have the key`, 'm'));
    });
    await withMistake("store: 'main'", 'store: 7', async () => {
      const { code, text } = await beds(['check']);
      assert.equal(code, 1);
      assert.match(text, new RegExp(`^template\\.ts:${lineOf('store: 7')}:3 BEDS_CHECK_TYPE\n.*number`, 'm'));
    });
    const late = 'async function late(): Promise<void> {}\nexport function start(): void {\n  late();\n}\n';
    await withMistake(/$/, late, async () => {
      const { code, text } = await beds(['check', '--json']);
      assert.equal(code, 1);
      const { domains } = JSON.parse(text) as { domains: { findings: { code: string; line: number }[] }[] };
      const found = domains[0]?.findings.map(({ code: name, line }) => [name, line]);
      assert.deepEqual(found, [['BEDS_CHECK_FORGOTTEN_AWAIT', lineOf('  late();')]]);
    });
  });

  it('check says one thing of a missing bracket, and of a package that is not there how to get it', async () => {
    await withMistake("store: 'main',", "store: 'main', notes: {,", async () => {
      const { code, text } = await beds(['check']);
      assert.equal(code, 1);
      assert.match(text, /^template\.ts:\d+:26 BEDS_CHECK_TYPE\n {2}Property assignment expected/);
      assert.ok(!/BEDS_BUILD|query|TS2/.test(text), text);
    });
    await withMistake(/^/, "import 'no-such-package';\n", async () => {
      const { text } = await beds(['check']);
      assert.match(
        text,
        /^template\.ts:1:8 .*\n {2}"no-such-package" is not installed\n {2}what to do: npm install no-such/m,
      );
      assert.match(text, /^songs: 1 problem\.$/m);
    });
    const query = `,\n  operations: ({ query }) => ({ all: query({}, async ({ db }) => db.query('SELECT 1')) }),\n});\n`;
    await withMistake(/,?\n\}\);\n$/, query, async () => {
      const { text } = await beds(['check']);
      assert.match(text, / {2}Property 'query' does not exist on type 'Database<…>'\. \(TS2339\)$/m);
    });
  });

  it('check names what the code asks of the database that is not there, with its line and what is meant', async () => {
    const asks = (call: string): string => `,
  operations: ({ query }) => ({
    first: query({ output: t.string() }, async ({ db }) => {
      ${call};
      return 'done';
    }),
  }),
});
`;
    for (const [call, message] of [
      ["await db.creat({ name: 'a' })", /Property 'creat' does not exist[^]*Did you mean 'create'\?/],
      ['await db.create({})', /Property 'name' is missing/],
      ['await db.create({ name: 7 })', /Type 'number' is not assignable to type 'string'/],
      ["db.create({ name: 'a' })", /BEDS_CHECK_FORGOTTEN_AWAIT[^]*what to do: Write `await`/],
      ["return db.create({ name: 'a' }).name", /type 'Promise<[^]*what to do: Write `await`/],
      [
        "[1].forEach(async () => void (await db.create({ name: 'a' })))",
        /\[1\]\.forEach\(…\) does not await what its function does/,
      ],
      ["[1].map(() => db.create({ name: 'a' }))", /\[1\]\.map\(…\) is a list of promises that nobody awaits/],
      ["const late = db.create({ name: 'a' })", /late is a promise that nobody awaits/],
    ] as const) {
      await withMistake(/,?\n\}\);\n$/, asks(call), async () => {
        const { code, text } = await beds(['check']);
        assert.equal(code, 1, `${call}\n${text}`);
        assert.match(text, new RegExp(`^template\\.ts:${lineOf(`      ${call};`)}:\\d+ BEDS_CHECK_`), text);
        assert.match(text, message);
      });
    }
  });

  it('check says which operation answers with something else than it declares, in one line', async () => {
    const operations = `,
  operations: ({ query }) => ({
    first: query({ output: { name: t.string() } }, async ({ db }) => {
      const name = db.fetch();
      return { name, more: 1 };
    }),
  }),
});
`;
    await withMistake(/,?\n\}\);\n$/, operations, async () => {
      const { code, text } = await beds(['check']);
      assert.equal(code, 1, text);
      const said = `first answers with something else than it declares: output.name is a promise: await it; output.more is not declared (TS2322)`;
      const [, message, hint] = text.split('\n');
      assert.equal(message, `  ${said}`, text);
      assert.match(hint ?? '', /what to do: Write `await`/);
    });
  });

  it('db apply makes the objects; check compares them, and introspect writes them', async (t) => {
    const env = { BEDS_MARIADB_ADMIN_URL: adminUrl };
    const applied = await beds(['db', 'apply'], env);
    assert.match(applied.text, /^7 files applied, 0 unchanged$/m);
    const checked = await beds(['check'], env);
    assert.equal(checked.code, 0, checked.text);
    assert.ok(!checked.text.includes('no database was asked'), checked.text);

    // A host elsewhere has an account of its own, which its configuration names: it may use nothing until it is named.
    const [hostAccount, password] = [`h_${randomBytes(4).toString('hex')}`, randomBytes(12).toString('hex')];
    await dba.query(`CREATE USER '${hostAccount}'@'%' IDENTIFIED BY '${password}'`);
    t.after(() => dba.query(`DROP USER '${hostAccount}'@'%'`));
    const url = Object.assign(new URL(adminUrl), { username: hostAccount, password });
    const asHost = { BEDS_STORES_MAIN_URL: url.href };
    await dba.query(`GRANT CREATE TEMPORARY TABLES ON ${database}.* TO '${hostAccount}'@'%'`);
    const refused = await beds(['check'], asHost);
    assert.equal(refused.code, 1, refused.text);
    const remedy = /what to do: db\/800-procedure-songs_create\.sql names it: .* --account <user>\.$/m;
    assert.match(refused.text, remedy);
    const granted = await beds(['db', 'apply', '--account', hostAccount], env);
    assert.equal(granted.code, 0, granted.text);
    const asGranted = await beds(['check'], asHost);
    assert.equal(asGranted.code, 0, asGranted.text);
    const warned = await beds(['check'], { ...env, BEDS_STORES_MAIN_UNINDEXED: 'warn' });
    assert.equal(warned.code, 0, warned.text);
    const notice = 'No index serves filters by name, and orders by name of songs_song_rows';
    const at = `template\\.ts:${lineOf("songs_song_rows'")}:\\d+`;
    assert.match(warned.text, new RegExp(`^${at} BEDS_PREFLIGHT_UNINDEXED\n {2}${notice}`, 'm'));
    assert.match(warned.text, /^songs 1\.0\.0: no problems\.$/m);
    await withMistake("songs_update'", "songs_updat'", async () => {
      const { code, text } = await beds(['check'], env);
      assert.equal(code, 1);
      const place = `template\\.ts:${lineOf("songs_updat'")}:\\d+`;
      assert.match(text, new RegExp(`^${place} BEDS_PREFLIGHT_OBJECT_MISSING\n.*songs_updat`, 'm'));
      assert.match(text, /what to do: Did you mean songs_update\? Otherwise: Create songs_updat/);
    });
    const written = await beds(['introspect', 'main'], env);
    assert.equal(written.code, 0, written.text);
    assert.match(written.text, /^export const songsSongRows = view\('songs_song_rows', t\.row\(\{$/m);
    assert.match(written.text, /^ {2}name: t\.string\(\{ max: 100 \}\),$/m);
    assert.match(written.text, /^export const songsDelete = procedure\('songs_delete', \{$/m);
    assert.equal((await beds(['introspect', 'main'], env)).text, written.text);

    await dba.query('CREATE OR REPLACE SQL SECURITY DEFINER VIEW songs_song_rows AS SELECT id FROM songs_song');
    const drifted = await beds(['check'], env);
    assert.match(drifted.text, /BEDS_PREFLIGHT_COLUMN_MISSING\n {2}The view songs_song_rows has no column name\./);
    assert.equal((await beds(['db', 'apply', '--force'], env)).code, 0);
    // A routine that is made anew stays granted to hosts that are not of this project.
    const again = await beds(['check'], asHost);
    assert.equal(again.code, 0, again.text);
  });

  it('does the same for MongoDB: a catalogue, its objects, their definitions', async () => {
    const [env, tunes] = [{ BEDS_MONGODB_URL: databaseUrl(mongodb.url, database) }, join(project, 'tunes')];
    const created = await beds(['create', 'tunes', '--database', 'mongodb'], {}, project);
    assert.equal(created.code, 0, created.text);
    const applied = await beds(['db', 'apply'], env, tunes);
    assert.match(applied.text, /^8 files applied, 0 unchanged$/m);
    const checked = await beds(['check'], env, tunes);
    assert.equal(checked.code, 0, checked.text);
    assert.ok(!checked.text.includes('no database was asked'), checked.text);
    const written = await beds(['introspect', 'main', 'tunes_*'], env, tunes);
    assert.match(written.text, /^export const tunesTuneRows = view\('tunes_tune_rows', t\.row\(\{$/m);
    assert.match(written.text, /^export const tunesCreate = procedure\('tunes_create', \{[\s\S]*\}, t\.row\(\{$/m);
  });

  it('dev brings each save live on a host that runs, says by its line what is wrong, and ends', async (t) => {
    const stores = { main: { kind: 'mysql', url: adminUrl, poolSize: 4 } };
    const host = await startTestHost(t, { services, config: { stores } });
    const env = environment({ BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix });
    const child = spawn(process.execPath, [command, 'dev'], { cwd: songs, env, stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => child.kill('SIGKILL'));
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (text += part.toString()));
    const said = (what: RegExp): Promise<unknown> =>
      eventually(`${String(what)} in:\n${text}`, () => what.test(text), LONGEST_MS);
    await said(/songs 1\.0\.0 is live[\s\S]*Watching songs/);
    const sound = readFileSync(template, 'utf8');

    writeFileSync(template, sound.replace("'1.0.0'", "'1.0.1'"));
    await said(/songs 1\.0\.1 is live after \d+ ms/);
    writeFileSync(template, sound.replace("songs_update'", "songs_updat'").replace("'1.0.0'", "'1.0.2'"));
    await said(
      /^template\.ts:\d+:\d+ BEDS_PREFLIGHT_OBJECT_MISSING\n.*songs_updat[\s\S]*songs is not live: 1 problem/m,
    );
    const client = await host.connectClient();
    const reply = await client.request({ v: 1, id: 'a', domain: 'songs', op: 'fetch', query: {} });
    assert.equal(reply.by.version, '1.0.1', 'the version before goes on serving');
    writeFileSync(template, sound.replace("'1.0.0'", "'1.0.3'"));
    await said(/songs 1\.0\.3 is live/);

    // What it imports from elsewhere in the project counts as well.
    const shared = join(project, 'shared.ts');
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
    writeFileSync(shared, "export const version = '1.0.4';\n");
    writeFileSync(template, `import { version } from '../shared.js';\n${sound.replace("'1.0.0'", 'version')}`);
    await said(/songs 1\.0\.4 is live/);
    writeFileSync(shared, "export const version = '1.0.5';\n");
    await said(/songs 1\.0\.5 is live/);

    child.kill('SIGINT');
    await eventually('the end', () => child.exitCode !== null, LONGEST_MS);
    assert.equal(child.exitCode, 0);
  });
});
