import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { eventually } from './support/host.js';
import { begin, codeOf, HOG, loseHost, read, TEST_MS } from './support/lives.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

describe('a version that ends the whole host', () => {
  it(
    'does so once: the next start tries it apart, answers its request, serves the version before and all others',
    { timeout: TEST_MS },
    async (t) => {
      const { host, client, next, oom } = await begin(
        t,
        { services },
        notesBundle(),
        notesBundle({ domain: 'tasks', name: 'tasks.mjs' }),
      );
      const first = next();
      await first.serving;
      const { hash } = await writeBundle(
        host.pluginsDirectory,
        notesBundle({ version: '1.1.0', operations: { hog: { mode: 'read', run: HOG } } }),
      );
      await first.logged('1.1.0 serves', ({ msg }) => msg === 'notes 1.1.0 active');
      const asked = codeOf(read(client, 'hog'));
      assert.equal(await first.ended, 'SIGKILL');
      const second = next();
      await second.serving;
      assert.equal(await codeOf(read(client, 'version', 'tasks')), 'answered "1.0.0"');
      assert.equal(await asked, 'BEDS_REQUEST_POISON');
      await second.logged('it is in quarantine', ({ msg }) => msg === 'notes 1.1.0 quarantined');
      await second.logged('the version before serves', ({ msg }) => msg === 'notes 1.0.0 active');
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
      await second.logged('it is back', ({ msg }) => msg === 'notes is served by the threads again');
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
      assert.equal(oom.killed.filter((pid) => pid === second.pid).length, 0);
      const quarantined = second.log.find(({ msg }) => msg === 'notes 1.1.0 quarantined');
      assert.equal(quarantined?.['hash'], hash);
      assert.match(JSON.stringify(quarantined), /BEDS_ROLLOUT_ENDED_PROCESS/);
      await second.stop();
    },
  );
});

describe('a host that somebody kills', () => {
  it(
    'convicts nobody: what was under way runs again, once, and every version stays',
    { timeout: TEST_MS },
    async (t) => {
      const { client, next } = await begin(
        t,
        { services },
        notesBundle(),
        notesBundle({ domain: 'tasks', name: 'tasks.mjs' }),
      );
      const first = next();
      await first.serving;
      const slow = (ms: number, domain: string): Promise<string> => codeOf(client.domain(domain).call('slow', { ms }));
      const asked = ['notes', 'tasks'].flatMap((domain) => Array.from({ length: 10 }, () => slow(300, domain)));
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"', 'they run');
      await first.kill();
      const second = next();
      await second.serving;
      assert.deepEqual([...new Set(await Promise.all(asked))], ['answered {"waited":300}']);
      for (const domain of ['notes', 'tasks']) {
        await second.logged('it is back', ({ msg }) => msg === `${domain} is served by the threads again`);
        assert.equal(await codeOf(read(client, 'version', domain)), 'answered "1.0.0"');
      }
      assert.deepEqual(
        second.log.filter(({ msg }) => /quarantined|thread ended/.test(msg)),
        [],
      );
      await second.stop();
    },
  );

  it(
    'keeps who is suspected over starts that are killed before they have tried it',
    { timeout: TEST_MS },
    async (t) => {
      const lives = await loseHost(t, services, {
        bundle: notesBundle({ version: '1.1.0', operations: { hog: { mode: 'read', run: HOG } } }),
        ask: async (client) => void codeOf(read(client, 'hog')),
      });
      const { client, next, oom } = lives;
      for (let life = 0; life < 2; life += 1) {
        const early = next();
        await early.logged('it knows', ({ msg }) => msg === 'tried in a process of its own');
        await early.kill();
      }
      const last = next();
      await last.logged('it says so', ({ msg }) => msg === 'fault in start');
      await last.serving;
      await last.logged('it is in quarantine', ({ msg }) => msg === 'notes 1.1.0 quarantined');
      await last.logged('the one before serves', ({ msg }) => msg === 'notes 1.0.0 active');
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
      assert.ok(!oom.killed.includes(last.pid));
    },
  );
});

describe('two suspects at once', () => {
  it(
    'are distinguished: the one at fault is quarantined, the other is answered, also one that is called by it',
    { timeout: TEST_MS },
    async (t) => {
      const { host, client, next, oom } = await begin(
        t,
        { services },
        notesBundle({ operations: { hog: { mode: 'read', run: HOG } } }),
        notesBundle({
          domain: 'tasks',
          name: 'tasks.mjs',
          peers: ['notes'],
          operations: {
            far: { mode: 'read', run: `return ctx.domain('notes').call('version', {});` },
          },
        }),
      );
      const first = next();
      await first.serving;
      const slow = codeOf(client.domain('tasks').call('slow', { ms: 2_000 }));
      assert.equal(await codeOf(read(client, 'far', 'tasks')), 'answered "1.0.0"', 'it runs');
      const hog = codeOf(read(client, 'hog'));
      assert.equal(await first.ended, 'SIGKILL');
      const second = next();
      await second.serving;
      assert.deepEqual([await hog, await slow], ['BEDS_REQUEST_POISON', 'answered {"waited":2000}']);
      await second.logged('it is in quarantine', ({ msg }) => msg === 'notes 1.0.0 quarantined');
      await eventually(
        'notes is withheld',
        async () => (await codeOf(read(client, 'version'))) === 'BEDS_REQUEST_WITHHELD',
      );
      assert.equal(await codeOf(read(client, 'version', 'tasks')), 'answered "1.0.0"');
      assert.ok(!oom.killed.includes(second.pid));
      // What has no reply address is kept for whoever looks.
      const channel = await host.plainChannel();
      const dead = await channel.get(`${host.prefix}.dead`);
      assert.ok(dead !== false && dead.content.includes('"hog"'));
    },
  );
});

describe('a message of many requests of which one ends the host, on a quorum queue', () => {
  it(
    'costs that one; the others are answered, and a write that was under way is not run twice',
    { timeout: TEST_MS },
    async (t) => {
      const hog = { mode: 'read', run: HOG } as const;
      const { host, next, oom } = await begin(
        t,
        { services, topology: { readQueueType: 'quorum' } },
        notesBundle({
          operations: { hog },
          body: {
            createRecord: `const made = await ctx.call('create', { text: payload.text, mark: 'once' });
              await new Promise((resolve) => setTimeout(resolve, 60_000));
              return made;`,
          },
        }),
      );
      const first = next();
      await first.serving;
      const client = await host.connectClient({ defaultDeadlineMs: TEST_MS });
      const write = codeOf(client.domain('notes').create({ text: 'under way' }));
      const isWritten = async (): Promise<boolean> => {
        const [rows] = await host.dba.query(`SELECT id FROM note WHERE mark = 'once'`);
        return Array.isArray(rows) && rows.length > 0;
      };
      await eventually('it is written', isWritten);
      const asked = Array.from({ length: 21 }, (_, index) => codeOf(read(client, index === 10 ? 'hog' : 'version')));
      assert.equal(await first.ended, 'SIGKILL');
      const second = next();
      await second.serving;
      const answers = await Promise.all(asked);
      assert.equal(answers[10], 'BEDS_REQUEST_POISON');
      const others = new Set(answers.filter((_, index) => index !== 10));
      // Nothing of the domain is left to serve once that is known.
      assert.ok(
        [...others].every((code) => code === 'answered "1.0.0"' || code === 'BEDS_REQUEST_WITHHELD'),
        [...others].join(),
      );
      assert.ok(others.has('answered "1.0.0"') || others.has('BEDS_REQUEST_WITHHELD'));
      assert.equal(await write, 'BEDS_REQUEST_INDETERMINATE');
      const [rows] = await host.dba.query(`SELECT id FROM note WHERE mark = 'once'`);
      assert.equal((rows as readonly unknown[]).length, 1);
      assert.ok(!oom.killed.includes(second.pid));
    },
  );
});
