import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, type LogLine, startTestHost, type TestHost, type TransitionLine } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const ENDED = 'broker thread ended; it is replaced';
const DEADLINE_MS = 30_000;
/** Longer than a removal takes: there is no event for one that changes nothing. */
const REMOVAL_MS = 800;
const HARMS: Readonly<Record<string, string>> = {
  loop: 'for (;;);',
  memory: 'const all = []; for (;;) all.push(new Array(1000).fill(all.length));',
  throw: `setImmediate(() => { throw new Error('nobody catches this'); }); await new Promise(() => undefined);`,
};

function harmful(version: string, run = HARMS['throw'] ?? ''): BundleOptions {
  return notesBundle({ version, operations: { poison: { mode: 'read', run } } });
}

async function start(t: Teardown, more: Readonly<Record<string, unknown>> = {}): Promise<TestHost> {
  const supervisor = { stallTimeoutMs: 1_000, drainTimeoutMs: 3_000, restartIntensity: 8 };
  const threads = { default: { count: 2, heapMb: 64 } };
  return startTestHost(t, { services, config: { supervisor, threads, ...more } });
}

function connect(host: TestHost): Promise<BedsClient> {
  return host.connectClient({ batching: false, defaultDeadlineMs: DEADLINE_MS });
}

function read(client: BedsClient, operation: string, domain = 'notes'): Promise<unknown> {
  return client.domain(domain).call(operation, {});
}

async function codeOf(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (error: unknown) => (isBedsError(error) ? error.code : `untyped: ${String(error)}`),
  );
}

/** Asks what does harm, one request at a time, until the version is in quarantine. */
async function harm(host: TestHost, client: BedsClient, version = '1.1.0'): Promise<LogLine> {
  const isQuarantined = ({ msg }: LogLine): boolean => msg === `notes ${version} quarantined`;
  const from = host.log.length;
  for (let asked = 0; asked < 8 && !host.log.slice(from).some(isQuarantined); asked += 1)
    await codeOf(read(client, 'poison'));
  await eventually('it is quarantined', () => host.log.slice(from).some(isQuarantined));
  return host.log.slice(from).find(isQuarantined) as LogLine;
}

async function serves(client: BedsClient, version: string, domain = 'notes'): Promise<void> {
  let last = '';
  await eventually(
    `${domain} ${version} serves`,
    async () => (last = await codeOf(read(client, 'version', domain))) === `answered "${version}"`,
  ).catch((error: unknown) => assert.fail(`${String(error)}; last: ${last}`));
}

/** Asks a domain all the time; the returned function ends it and gives what was answered. */
function keepAsking(t: Teardown, client: BedsClient, domain: string): () => Promise<ReadonlySet<string>> {
  let isOver = false;
  // A test that fails in between closes the client: what rejects at once must not be asked for ever.
  t.after(() => {
    isOver = true;
  });
  const seen = new Set<string>();
  const asking = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      seen.add(await codeOf(client.domain(domain).call('slow', { ms: 20 })));
      // Paces the load: the others shall have their turn.
      await delay(1);
    }
  });
  return async () => {
    isOver = true;
    await Promise.all(asking);
    return seen;
  };
}

describe('a version that ends threads again and again', () => {
  for (const [kind, run] of Object.entries(HARMS)) {
    it(`is quarantined, and the one before serves, when it does so by ${kind}; other domains are served all the time`, async (t) => {
      const host = await start(t);
      const client = await connect(host);
      await writeBundle(host.pluginsDirectory, notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
      await writeBundle(host.pluginsDirectory, notesBundle());
      await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
      const { hash } = await writeBundle(host.pluginsDirectory, harmful('1.1.0', run));
      await host.active('notes', '1.1.0');
      const stop = keepAsking(t, client, 'tasks');
      const line = await harm(host, client);
      await serves(client, '1.0.0');
      const ends = JSON.stringify(host.log.filter(({ msg }) => msg === ENDED));
      assert.deepEqual([...(await stop())], ['answered {"waited":20}'], ends);
      assert.match(JSON.stringify(line['findings']), /BEDS_ROLLOUT_STRIKES/);
      // n.b. the first thread that has it answers; it is active when all have it.
      const findBack = (): TransitionLine | undefined =>
        host
          .transitions()
          .slice(host.transitions().indexOf(line as TransitionLine))
          .find(({ state, version }) => state === 'active' && version === '1.0.0');
      await eventually('1.0.0 is active again', findBack);
      const back = findBack();
      assert.equal(back?.['cause'], 'quarantine', JSON.stringify([host.transitions(), ends]));
      assert.ok(back.time - Number(line['time']) < 5_000, `${String(back.time - Number(line['time']))} ms`);
      t.diagnostic(`the one before served ${String(back.time - Number(line['time']))} ms after the last strike`);
      for (const end of host.log.filter(({ msg }) => msg === ENDED)) {
        assert.deepEqual([end['domain'], end['version'], end['hash']], ['notes', '1.1.0', hash], JSON.stringify(end));
      }
      // The file that did harm is tidied up: that ends nothing.
      await rm(join(host.pluginsDirectory, 'notes.mjs'));
      await quietFor(REMOVAL_MS);
      await serves(client, '1.0.0');
    });
  }

  it('leaves callers with an answer to come back when there is no other, also after a restart, until a good one comes', async (t) => {
    const host = await start(t);
    const client = await connect(host);
    const { hash } = await writeBundle(host.pluginsDirectory, harmful('1.1.0'));
    await host.active('notes', '1.1.0');
    await harm(host, client);
    await eventually('it is withheld', async () => (await codeOf(read(client, 'version'))) === 'BEDS_REQUEST_WITHHELD');
    await host.host.stop();
    const from = host.log.length;
    await host.startAgain();
    assert.equal(await codeOf(read(client, 'version')), 'BEDS_REQUEST_WITHHELD');
    const refused = host.log.slice(from).find(({ msg }) => msg === 'notes 1.1.0 quarantined');
    assert.match(JSON.stringify(refused?.['findings']), /BEDS_ROLLOUT_QUARANTINED/);

    // The same bytes under another name, and by order.
    await writeBundle(host.pluginsDirectory, { ...harmful('1.1.0'), name: 'other.mjs' });
    const orders = new RolloutOrders(t, host);
    const count = (): number => host.log.slice(from).filter(({ msg }) => msg === 'notes 1.1.0 quarantined').length;
    await eventually('refused once more', () => count() >= 2);
    await orders.deploy([harmful('1.1.0')]);
    await eventually('refused a third time', () => count() >= 3);
    assert.equal(await codeOf(read(client, 'version')), 'BEDS_REQUEST_WITHHELD');

    // Lifting what is withheld serves it again; it may do harm again.
    await orders.order('quarantine', 'lift', hash.slice(0, 8));
    await serves(client, '1.1.0');
    await harm(host, client);
    await eventually('it is withheld', async () => (await codeOf(read(client, 'version'))) === 'BEDS_REQUEST_WITHHELD');
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.2.0' }));
    await serves(client, '1.2.0');
  });

  it('keeps its strikes over a restart, and a damaged memory of them is set aside with a fault', async (t) => {
    const host = await start(t);
    const client = await connect(host);
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const { hash } = await writeBundle(host.pluginsDirectory, harmful('1.1.0'));
    await host.active('notes', '1.1.0');
    await codeOf(read(client, 'poison'));
    await host.host.stop();
    const again = await host.startAgain();
    await codeOf(read(client, 'poison'));
    await host.logged('the quarantine', ({ msg }) => msg === 'notes 1.1.0 quarantined');
    await serves(client, '1.0.0');
    await again.stop();
    const directory = join(host.pluginsDirectory, '..', host.config.state.directory);
    await writeFile(join(directory, 'domains.json'), '{"v":1,"doma');
    const from = host.log.length;
    await host.startAgain();
    await serves(client, '1.0.0');
    const fault = host.log.slice(from).find(({ msg }) => msg === 'fault in state file');
    assert.match(JSON.stringify(fault), /BEDS_ROLLOUT_STATE_UNREADABLE/);
    assert.equal(host.log.slice(from).filter((line) => line['hash'] === hash && line['state'] === 'active').length, 0);
  });

  it('does not cost the newer version that was on its way', async (t) => {
    const host = await start(t);
    const client = await connect(host);
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    await writeBundle(host.pluginsDirectory, harmful('1.1.0'));
    await host.active('notes', '1.1.0');
    const options = notesBundle({ version: '1.2.0' });
    const later = { kind: 'procedure', name: 'note_later', args: {} };
    await writeBundle(host.pluginsDirectory, { ...options, objects: { ...options.objects, later } });
    await host.logged('it waits', ({ msg }) => msg === 'notes 1.2.0 waiting');
    await harm(host, client);
    await serves(client, '1.0.0');
    await host.dba.query('CREATE PROCEDURE note_later() SELECT 1 AS one');
    await host.dba.query(`GRANT EXECUTE ON PROCEDURE note_later TO '${host.prefix}'@'%'`);
    await serves(client, '1.2.0');
  });
});

describe('the blame for a thread that ended', () => {
  it('goes by the stack, even if another domain ran last', async (t) => {
    const host = await start(t);
    const client = await connect(host);
    const run = `setTimeout(() => { throw new Error('thrown late'); }, 300); return 'set';`;
    const { hash } = await writeBundle(host.pluginsDirectory, harmful('1.0.0', run));
    await writeBundle(host.pluginsDirectory, notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
    await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
    assert.equal(await read(client, 'poison'), 'set');
    const stop = keepAsking(t, client, 'tasks');
    const line = await host.logged('the end of the thread', ({ msg }) => msg === ENDED);
    assert.deepEqual([...(await stop())], ['answered {"waited":20}']);
    assert.deepEqual([line['domain'], line['hash']], ['notes', hash]);
  });

  it('names the lost thread alone when one of a hundred requests loops; the others are answered on their connections', async (t) => {
    const host = await start(t);
    const client = await connect(host);
    const { hash } = await writeBundle(host.pluginsDirectory, harmful('1.0.0', HARMS['loop']));
    await host.active('notes', '1.0.0');
    const from = host.log.length;
    const all = Array.from({ length: 100 }, (_, index) => codeOf(read(client, index === 40 ? 'poison' : 'version')));
    const counts = new Map<string, number>();
    for (const code of await Promise.all(all)) counts.set(code, (counts.get(code) ?? 0) + 1);
    assert.deepEqual(Object.fromEntries(counts), { 'answered "1.0.0"': 99, BEDS_REQUEST_POISON: 1 });
    const ends = host.log.slice(from).filter(({ msg }) => msg === ENDED);
    for (const end of ends) assert.deepEqual([end['domain'], end['version'], end['hash']], ['notes', '1.0.0', hash]);
    const lost = host.log.slice(from).filter(({ msg }) => /^connection (waiting|closed|blocked)$/.test(msg));
    assert.deepEqual(lost, []);
  });
});
