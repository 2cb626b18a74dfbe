import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MongoClient } from 'mongodb';
import type { Proof } from '#sdk/cli';
import { LEDGER, SEATS } from '#sdk/spec';
import { prove } from '../host/author/prove/prove.js';
import { privilegeFailures } from '../host/author/prove/scratch-mongodb.js';
import { beds } from './support/beds.js';
import { eventually } from './support/eventually.js';
import { filesOf, specificationOf } from './support/generated-domain.js';
import { LIBRARY } from './support/library-domain.js';
import { PlayedMongodb, refused } from './support/played-mongodb.js';
import { sharedServices, wholeFile } from './support/services.js';
import { TransactingMongodb } from './support/transacting-mongodb.js';

const { mongodb } = await sharedServices(['mongodb']);
assert.ok(mongodb);
const { url } = mongodb;
/** n.b. the server in place of MongoDB has no transactions: they are played before it, one after the other. */
const transacting = await TransactingMongodb.start(wholeFile, url);
let folders = 0;

type Files = Record<string, string>;

/** The generated files of a domain, some of them changed. n.b. inside of the checkout: a template imports the SDK. */
function domainFolder(t: TestContext, text: string, change: (files: Files) => void = () => undefined): string {
  folders += 1;
  const specification = specificationOf(text);
  const root = resolve('dist', `proved-mongodb-${String(process.pid)}-${String(folders)}`);
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const files: Files = { ...filesOf(specification, 'mongodb'), 'domain.json': text };
  change(files);
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, specification.domain, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  return join(root, specification.domain);
}

function proved(text: string, folder: string, adminUrl = transacting.url): Promise<Proof> {
  const signal = new AbortController().signal;
  return prove({
    ...{ specification: specificationOf(text), folder, kind: 'mongodb', adminUrl, signal, onStep: () => undefined },
  });
}

function edited(files: Files, ending: string, edit: readonly [string | RegExp, string]): void {
  const name = Object.keys(files).find((each) => each.endsWith(ending));
  assert.ok(name, ending);
  const text = files[name] ?? '';
  const changed = text.replace(...edit);
  assert.notEqual(changed, text, `${name} has no ${String(edit[0])}`);
  files[name] = changed;
}

async function leftBehind(): Promise<readonly string[]> {
  const client = new MongoClient(url);
  try {
    const { databases } = await client.db('admin').admin().listDatabases();
    return databases.map(({ name }) => name).filter((name) => /^beds_prove_(?:seats|ledger)_/.test(name));
  } finally {
    await client.close();
  }
}

describe('beds prove on MongoDB', { timeout: 300_000 }, () => {
  for (const [name, text] of [
    ['seats', SEATS],
    ['ledger', LEDGER],
  ] as const)
    it(`finds nothing wrong with what is generated for ${name}, and leaves nothing behind`, async (t) => {
      const { ok, steps, server, notProved } = await proved(text, domainFolder(t, text));
      assert.ok(ok, JSON.stringify(steps, undefined, 1));
      assert.match(server, /^MongoDB \d/);
      const tried = Object.fromEntries(steps.map((step) => [step.name, step.tried]));
      for (const step of ['files', 'template', 'examples', 'races', 'plans']) assert.ok(Number(tried[step]) > 0, step);
      assert.ok(Number(tried['random calls']) > 100, JSON.stringify(tried));
      // What the server in place of MongoDB cannot show is said.
      assert.match(notProved.join('\n'), /this server has no accounts/);
      assert.match(notProved.join('\n'), /keeps no validators/);
      assert.doesNotMatch(notProved.join('\n'), /no transactions/);
      assert.deepEqual(await leftBehind(), []);
    });

  it('holds where limits count what their caller does not see', async (t) => {
    const { ok, steps } = await proved(LIBRARY, domainFolder(t, LIBRARY));
    assert.ok(ok, JSON.stringify(steps, undefined, 1));
  });

  it('says by name what a server without transactions does not show, and tries the rest', async (t) => {
    const { ok, steps, notProved } = await proved(LEDGER, domainFolder(t, LEDGER), url);
    assert.ok(ok, JSON.stringify(steps, undefined, 1));
    const said = notProved.join('\n');
    assert.match(said, /no transactions: .*ledger_post.*post takes the next number of entry/);
    assert.match(said, /examples with such operations: "/);
    assert.ok(Number(steps.find((step) => step.name === 'random calls')?.tried) > 50);
    const seats = await proved(SEATS, domainFolder(t, SEATS), url);
    assert.ok(seats.ok, JSON.stringify(seats.steps, undefined, 1));
    assert.doesNotMatch(seats.notProved.join('\n'), /no transactions/);
  });

  for (const [what, expected, text, change] of [
    [
      'a file that is no JSON',
      'files',
      SEATS,
      (files) => {
        edited(files, 'procedure-seats_update.json', ['{', '{ no']);
      },
    ],
    [
      'a template that asks for what is not there',
      'template',
      SEATS,
      (files) => {
        edited(files, 'template.ts', [/'seats_scan'/, "'seats_scam'"]);
      },
    ],
    [
      'an example that comes out otherwise',
      'examples',
      SEATS,
      (files) => {
        edited(files, 'rules-_seats_rules.json', [/("name": "hold"[^]*?)"error": "conflict"/, '$1"error": "invalid"']);
      },
    ],
    [
      'a rule that is not kept',
      'random calls',
      SEATS,
      (files) => {
        edited(files, 'rules-_seats_rules.json', [/("name": "price"[^]*?)"min": "[\d.]+"/, '$1"min": "-9999"']);
      },
    ],
    [
      'an index that is promised and is not there',
      'plans',
      LEDGER,
      (files) => {
        edited(files, 'collection-ledger_entry.json', [/"indexes": \[[^]*?\n {2}\]/, '"indexes": []']);
      },
    ],
  ] as const satisfies readonly (readonly [string, string, string, (files: Files) => void])[]) {
    it(`shows ${what}`, async (t) => {
      const { ok, steps } = await proved(text, domainFolder(t, text, change));
      const wrong = steps.filter(({ failures }) => failures.length > 0).map(({ name }) => name);
      assert.ok(!ok && wrong.includes(expected), JSON.stringify(steps, undefined, 1));
      assert.deepEqual(await leftBehind(), []);
    });
  }

  it('holds what the account of a host may do, as the server tells it, against what it needs', async (t) => {
    const played = await PlayedMongodb.start(t);
    const own = (collection: string, ...actions: string[]): object => ({
      resource: { db: 'app', collection },
      actions,
    });
    const privileges = [own('beds_objects', 'find'), own('seats_event', 'find', 'insert', 'update', 'remove')];
    let more: object[] = [];
    played.on('connectionStatus', () => ({
      ok: 1,
      authInfo: {
        authenticatedUsers: [{ user: 'u', db: 'app' }],
        authenticatedUserPrivileges: [...privileges, ...more],
      },
    }));
    let allowed = '';
    for (const name of ['insert', 'create', 'find', 'usersInfo', 'createUser'])
      played.on(name, () => (allowed === name ? { ok: 1, n: 1 } : refused(13)));
    const client = new MongoClient(played.url);
    t.after(() => client.close());
    const failures = async (): Promise<readonly string[]> =>
      (await privilegeFailures(client.db(), played.url, { specification: specificationOf(SEATS), folder: '' }))
        .failures;
    assert.deepEqual(await failures(), []);
    more = [
      own('seats_event', 'dropCollection'),
      own('other', 'find'),
      { resource: { anyResource: true }, actions: ['find'] },
    ];
    const found = await failures();
    assert.equal(found.length, 3);
    assert.match(found.join('\n'), /dropCollection on .*seats_event[^]*find on .*other[^]*find on .*anyResource/);
    more = [];
    allowed = 'createUser';
    assert.deepEqual(await failures(), ['The runtime account may do this: createUser beds_may']);
  });

  it('drops what a killed run has left, and nothing of one that still works or that somebody has named', async (t) => {
    const folder = domainFolder(t, SEATS);
    const client = new MongoClient(url);
    t.after(async () => {
      for (const name of await leftBehind()) await client.db(name).dropDatabase();
      await client.db('beds_prove_seats_0000000a').dropDatabase();
      await client.close();
    });
    await client.db('beds_prove_seats_0000000a').collection('mine').insertOne({ own: true });
    const run = (): ReturnType<typeof spawn> => {
      const program = `import { prove } from ${JSON.stringify(resolve('dist/host/author/prove/prove.js'))};
import { checkSpecification, SEATS } from ${JSON.stringify(resolve('sdk/dist/spec/index.js'))};
const { checked: specification } = checkSpecification(JSON.parse(SEATS));
const signal = new AbortController().signal;
await prove({ specification, folder: ${JSON.stringify(folder)}, kind: 'mongodb', adminUrl: ${JSON.stringify(url)}, signal, onStep: () => undefined });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
      t.after(() => child.kill('SIGKILL'));
      return child;
    };
    const others = async (): Promise<number> => (await leftBehind()).length - 1;
    const killed = run();
    await eventually('a database is there', async () => (await others()) > 0);
    killed.kill('SIGKILL');
    await once(killed, 'close');
    const left = await leftBehind();
    assert.equal(left.length, 2);
    const stopped = run();
    await eventually('what was killed is gone, and another is there', async () => {
      const now = await leftBehind();
      return now.length === 2 && now.join() !== left.join();
    });
    stopped.kill('SIGSTOP');
    const kept = await leftBehind();
    assert.ok((await proved(SEATS, folder, url)).ok);
    assert.deepEqual(await leftBehind(), kept);
    assert.ok(kept.includes('beds_prove_seats_0000000a'));
  });

  it('is a command, and beds design makes and proves a domain for MongoDB', async (t) => {
    folders += 1;
    const projectRoot = resolve('dist', `proved-mongodb-${String(process.pid)}-${String(folders)}`);
    t.after(() => {
      rmSync(projectRoot, { recursive: true, force: true });
    });
    mkdirSync(join(projectRoot, 'config'), { recursive: true });
    const stores = '[stores.main]\nkind = "mysql"\n[stores.documents]\nkind = "mongodb"\n';
    writeFileSync(join(projectRoot, 'config', 'beds.toml'), stores);
    const env = { BEDS_MONGODB_URL: url };
    const design = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { stdout, stderr } = await beds(['design', 'seats', ...args, '--json'], { projectRoot, env });
      assert.match(stdout, /^\{.*\}\n$/, stderr);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const asked = await design('Seats of events.', '--store', 'documents');
    assert.equal(asked['state'], 'waiting');
    const answer = {
      ...(JSON.parse(SEATS) as object),
      store: 'documents',
      covers: [{ sentence: 1, paths: ['records.event'] }],
    };
    writeFileSync(String(asked['answer']), JSON.stringify(answer));
    assert.equal((await design('--store', 'documents'))['state'], 'done');
    const made = await design('--store', 'documents', '--yes');
    assert.equal(made['state'], 'proved', JSON.stringify(made));
    const folder = join(projectRoot, 'plugins', 'seats');
    assert.match(readFileSync(join(folder, 'db', '200-rules-_seats_rules.json'), 'utf8'), /"kind": "rules"/);
    const { code, stdout, stderr } = await beds(['prove', 'seats'], { projectRoot, env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /random calls[^]*\? not proved here: .*no accounts[^]*seats: holds on MongoDB/);
    writeFileSync(join(folder, 'db', '800-procedure-seats_create.json'), '{}');
    const bad = await beds(['prove', 'seats'], { projectRoot, env });
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /✗ .*files[^]*seats: does not hold/);
  });
});
