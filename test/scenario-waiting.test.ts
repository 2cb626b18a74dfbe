import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Collection, MongoClient } from 'mongodb';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import type { Entry } from './support/mongodb-store.js';
import { eventually, startTestHost, type TestHost, type TransitionLine } from './support/host.js';
import { databaseUrl } from './support/mongodb-url.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

/** A waiting version asks again every second. */
const SOON_MS = 30_000;
const string = { type: 'string' } as const;

const ORDERS = [
  ['object', 'column', 'grant'],
  ['object', 'grant', 'column'],
  ['column', 'object', 'grant'],
  ['column', 'grant', 'object'],
  ['grant', 'object', 'column'],
  ['grant', 'column', 'object'],
] as const;
type Missing = (typeof ORDERS)[number][number];

/** A domain on objects of its own, so that several can wait in one database. */
function bundleOf(domain: string, options: BundleOptions = {}): BundleOptions {
  return {
    form: 'file',
    domain,
    name: `${domain}.mjs`,
    objects: {
      fetch: { kind: 'view', name: `${domain}_list`, columns: { id: idOf(options.store), text: string, mark: string } },
      create: { kind: 'procedure', name: `${domain}_create`, args: { text: string } },
      change: { kind: 'procedure', name: `${domain}_change`, args: { text: string } },
    },
    body: { fetchRecords: `return ctx.view('fetch', query);` },
    ...options,
  };
}

function idOf(store = 'main'): object {
  return { type: store === 'main' ? 'integer' : 'string' };
}

function served(host: TestHost, domain: string, version: string): Promise<unknown> {
  const line = `${domain} ${version} active`;
  return host.logged(line, ({ msg }) => msg === line, SOON_MS);
}

/** What a DBA runs, by what is missing before. */
function statementsOf(host: TestHost, domain: string): Readonly<Record<Missing | 'base', readonly string[]>> {
  const account = `'${host.prefix}'@'%'`;
  const procedure = (name: string): string =>
    `CREATE PROCEDURE ${domain}_${name}(IN text VARCHAR(200)) SQL SECURITY DEFINER BEGIN SELECT text; END`;
  const grant = (name: string): string => `GRANT EXECUTE ON PROCEDURE ${host.prefix}.${domain}_${name} TO ${account}`;
  return {
    base: [
      `CREATE VIEW ${domain}_list AS SELECT id, text FROM note`,
      `GRANT SELECT ON ${host.prefix}.${domain}_list TO ${account}`,
      procedure('change'),
    ],
    object: [procedure('create'), grant('create')],
    column: [`CREATE OR REPLACE VIEW ${domain}_list AS SELECT id, text, mark FROM note`],
    grant: [grant('change')],
  };
}

async function apply(host: TestHost, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await host.dba.query(statement);
}

const LINES: Readonly<Record<Missing, (domain: string) => string>> = {
  object: (domain) => `There is no procedure ${domain}_create, or the runtime account may not see it.`,
  column: (domain) => `The view ${domain}_list has no column mark.`,
  grant: (domain) => `There is no procedure ${domain}_change, or the runtime account may not see it.`,
};

function waitingOf(host: TestHost, domain: string): readonly TransitionLine[] {
  return host.transitions().filter((line) => line.domain === domain && line.state === 'waiting');
}

function messagesOf(line: TransitionLine | undefined): readonly string[] {
  return (line?.findings ?? []).map(({ message }) => message);
}

function statesOf(host: TestHost, domain: string): readonly string[] {
  return host
    .transitions()
    .filter((line) => line.domain === domain)
    .map(({ version, state }) => `${version} ${state}`);
}

/** The queues of domains that the support does not know of go with the domains; all bundles at once would be no removal. */
async function retire(host: TestHost, paths: readonly string[]): Promise<void> {
  const isRetired = (domain: string): boolean => statesOf(host, domain).at(-1)?.endsWith(' retired') === true;
  const domains = (): readonly string[] => {
    const active = host.transitions().filter(({ state }) => state === 'active');
    return [...new Set(active.map(({ domain }) => domain))];
  };
  const [last = '', ...others] = paths;
  await Promise.all(others.map((path) => rm(path)));
  await eventually('all but one are retired', () => domains().filter(isRetired).length >= others.length, SOON_MS);
  await rm(last);
  await eventually('all domains are retired', () => domains().every(isRetired), SOON_MS);
}

describe('versions that wait for the DBA, on MariaDB', () => {
  it('list line by line what is missing and serve when it is delivered, in whatever order, all at once', async (t) => {
    const host = await startTestHost(t, { services });
    const plans = ORDERS.map((order, index) => ({ order, domain: `wait${index}` }));
    for (const { domain } of plans) await apply(host, statementsOf(host, domain).base);
    const bundles = await Promise.all(plans.map(({ domain }) => writeBundle(host.pluginsDirectory, bundleOf(domain))));
    for (let step = 0; step < 3; step += 1) {
      await eventually(
        `every domain waits, step ${step}`,
        () => plans.every(({ domain }) => waitingOf(host, domain).length > step),
        SOON_MS,
      );
      for (const { domain, order } of plans) {
        const open = order.slice(step).map((missing) => LINES[missing](domain));
        const noted = waitingOf(host, domain);
        assert.equal(noted.length, step + 1, `${domain}: each change is noted once`);
        assert.deepEqual([...messagesOf(noted[step])].sort(), open.sort());
      }
      await Promise.all(
        plans.map(({ domain, order }) => {
          const missing = order[step] ?? assert.fail();
          return apply(host, statementsOf(host, domain)[missing]);
        }),
      );
    }
    await Promise.all(plans.map(({ domain }) => served(host, domain, '1.0.0')));
    const client = await host.connectClient();
    for (const { domain } of plans) {
      assert.deepEqual((await client.domain(domain).fetch({})).rows, []);
      assert.deepEqual(
        statesOf(host, domain).filter((state) => state.endsWith('waiting')),
        ['1.0.0 waiting', '1.0.0 waiting', '1.0.0 waiting'],
      );
    }
    await retire(
      host,
      bundles.map(({ path }) => path),
    );
  });

  it('give way at once to a newer drop, also to one that waits itself', async (t) => {
    const host = await startTestHost(t, { services });
    const domain = 'late';
    await apply(host, statementsOf(host, domain).base);
    await writeBundle(host.pluginsDirectory, bundleOf(domain, { version: '1.0.0' }));
    await eventually('1.0.0 waits', () => waitingOf(host, domain).length === 1, SOON_MS);

    await writeBundle(host.pluginsDirectory, bundleOf(domain, { version: '1.1.0' }));
    await eventually('1.1.0 waits', () => waitingOf(host, domain).at(-1)?.version === '1.1.0', SOON_MS);
    const objects = { fetch: { kind: 'view', name: `${domain}_list`, columns: { id: idOf(), text: string } } };
    const { path } = await writeBundle(host.pluginsDirectory, bundleOf(domain, { version: '1.2.0', objects }));
    await served(host, domain, '1.2.0');
    const active = host.transitions().find(({ state }) => state === 'active');
    const received = host.transitions().find(({ version }) => version === '1.2.0');
    const tookMs = (active?.time ?? Infinity) - (received?.time ?? 0);
    t.diagnostic(`the newer drop served ${tookMs} ms after it was received`);

    const { object, column, grant } = statementsOf(host, domain);
    await apply(host, [...object, ...column, ...grant]);
    await writeBundle(host.pluginsDirectory, bundleOf('other', { objects }));
    await served(host, 'other', '1.0.0');
    const states = statesOf(host, domain);
    assert.ok(!states.includes('1.0.0 active') && !states.includes('1.1.0 active'), states.join(', '));
    assert.equal(states.at(-1), '1.2.0 active');
    await retire(host, [path, `${host.pluginsDirectory}/other.mjs`]);
  });

  it('leave the version that serves in service, and take over from it when all is there', async (t) => {
    const host = await startTestHost(t, { services });
    const domain = 'next';
    const { base, object, column, grant } = statementsOf(host, domain);
    await apply(host, base);
    const objects = { fetch: { kind: 'view', name: `${domain}_list`, columns: { id: idOf(), text: string } } };
    await writeBundle(host.pluginsDirectory, bundleOf(domain, { version: '1.0.0', objects }));
    await served(host, domain, '1.0.0');
    const { path } = await writeBundle(host.pluginsDirectory, bundleOf(domain, { version: '2.0.0' }));
    await eventually('2.0.0 waits', () => waitingOf(host, domain).length === 1, SOON_MS);
    const client = await host.connectClient({ batching: false });
    const fetch = { v: 1, id: 'a', domain, op: 'fetch', payload: {} } as const;
    assert.equal((await client.request(fetch)).by?.version, '1.0.0');
    await apply(host, [...grant, ...column, ...object]);
    await served(host, domain, '2.0.0');
    assert.equal((await client.request({ ...fetch, id: 'b' })).by?.version, '2.0.0');
    await retire(host, [path]);
  });
});

describe('versions that wait for the DBA, on MongoDB', () => {
  it('list the catalogue entries that are missing and serve when they are delivered', async (t) => {
    const { url, entries } = await documentStore(t);
    const host = await startTestHost(t, {
      services,
      config: { stores: { documents: { kind: 'mongodb', url } } },
    });
    const domains = ['leaf', 'stem'];
    const bundles = await Promise.all(
      domains.map((domain) => writeBundle(host.pluginsDirectory, bundleOf(domain, { store: 'documents' }))),
    );
    const absent = (kind: string, name: string): string =>
      `There is no ${kind} ${name}, or the runtime account may not see it.`;
    const view = (name: string, columns: object): Entry => ({
      ...{ _id: name, kind: 'view', on: 'leaf', body: { pipeline: [] } },
      columns: { id: { type: 'string', as: 'objectId', from: '_id' }, ...columns },
    });
    const routine = (name: string): Entry => ({
      ...{ _id: name, kind: 'procedure', on: 'leaf', op: 'insertOne', args: { text: 'string' } },
      body: { document: { text: { $arg: 'text' } } },
    });
    const steps: readonly (readonly [
      deliver: readonly ((domain: string) => Entry)[],
      open: (domain: string) => string[],
    ])[] = [
      [
        [],
        (domain) => [
          absent('procedure', `${domain}_change`),
          absent('procedure', `${domain}_create`),
          absent('view', `${domain}_list`),
        ],
      ],
      [
        [(domain) => routine(`${domain}_create`)],
        (domain) => [absent('procedure', `${domain}_change`), absent('view', `${domain}_list`)],
      ],
      [
        [(domain) => view(`${domain}_list`, { text: 'string' })],
        (domain) => [`The view ${domain}_list has no column mark.`, absent('procedure', `${domain}_change`)],
      ],
      [
        [(domain) => view(`${domain}_list`, { text: 'string', mark: 'string' })],
        (domain) => [absent('procedure', `${domain}_change`)],
      ],
    ];
    for (const [step, [deliver, open]] of steps.entries()) {
      for (const domain of domains) {
        for (const entry of deliver)
          await entries.replaceOne({ _id: entry(domain)._id }, entry(domain), { upsert: true });
      }
      await eventually(
        `both domains wait, step ${step}`,
        () => domains.every((domain) => waitingOf(host, domain).length > step),
        SOON_MS,
      );
      for (const domain of domains) {
        assert.equal(waitingOf(host, domain).length, step + 1);
        assert.deepEqual([...messagesOf(waitingOf(host, domain)[step])].sort(), open(domain).sort());
      }
    }
    for (const domain of domains) await entries.insertOne(routine(`${domain}_change`));
    await Promise.all(domains.map((domain) => served(host, domain, '1.0.0')));
    const client = await host.connectClient();
    assert.deepEqual((await client.domain('leaf').fetch({})).rows, []);
    await retire(
      host,
      bundles.map(({ path }) => path),
    );
  });
});

interface DocumentStore {
  readonly url: string;
  readonly entries: Collection<Entry>;
}

async function documentStore(t: TestContext): Promise<DocumentStore> {
  assert.ok(services.mongodb);
  const url = databaseUrl(services.mongodb.url, `t${randomBytes(5).toString('hex')}`);
  const client = new MongoClient(url);
  t.after(async () => {
    await client.db().dropDatabase();
    await client.close();
  });
  return { url, entries: client.db().collection<Entry>('beds_objects') };
}

describe('a stage that takes nothing', { timeout: 120_000 }, () => {
  it('is waited for, and what came meanwhile serves when there is room again', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, { version: '1.0.0', form: 'file', name: 'notes.mjs', objects: {} });
    await served(host, 'notes', '1.0.0');
    const stage = join(dirname(host.pluginsDirectory), '.beds', 'stage');
    await rm(stage, { recursive: true });
    // n.b. as a disk that is full refuses it, also where this test runs as root.
    await writeFile(stage, '');
    await writeBundle(host.pluginsDirectory, { version: '1.1.0', form: 'file', name: 'notes.mjs', objects: {} });
    const waits = await host.logged('it waits', ({ msg }) => msg === 'notes 1.1.0 waiting', SOON_MS);
    assert.match(JSON.stringify(waits['findings']), /could not be copied to the stage \((EEXIST|ENOTDIR)\)/);
    await rm(stage);
    await mkdir(stage, { mode: 0o700 });
    await served(host, 'notes', '1.1.0');
    assert.ok(!host.transitions().some(({ state }) => state === 'rejected'));
  });
});
