import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseManifest } from '#sdk/template';
import type { BedsClient } from '@beds/sdk/client';
import { verifyBundle } from '../host/deploy/admit/verify.js';
import { describeBundle, writeBundle } from './support/bundles.js';
import { startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { PlainCaller } from './support/plain-caller.js';
import { sharedServices } from './support/services.js';
import { HIDDEN, waysOutHead, WRITTEN } from './support/ways-out.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

describe('a way out that is written in a template', () => {
  for (const [what, code] of Object.entries(WRITTEN)) {
    it(`is found before any of it runs, with its line: ${what}`, async () => {
      const { files, hash } = describeBundle({ head: `\nexport const found = () => {\n  ${code};\n};` });
      const manifestText = files.get('manifest.json') ?? '';
      const parsed = parseManifest(manifestText);
      assert.ok(parsed.ok);
      const text = Buffer.from(files.get('index.mjs') ?? '');
      const bundle = { hash, manifest: parsed.manifest, manifestText, files: new Map([['index.mjs', text]]) };
      const verified = await verifyBundle(bundle);
      assert.ok(!verified.ok);
      const said = verified.findings.map(({ code: name, message }) => `${name} ${message}`).join('\n');
      assert.match(said, /^BEDS_ADMISSION_(PROCESS_FORBIDDEN|IMPORT_DYNAMIC|EVAL)/);
      if (!code.startsWith("void import('")) assert.match(said, /index\.mjs:5\b/);
    });
  }
});

describe('a template that looks for a way out', () => {
  const ends: (() => unknown)[] = [];
  // n.b. what `after` is told within `before` would happen at its end.
  const teardown = { after: (end: () => unknown) => void ends.push(end) };
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });
  let host: TestHost;
  let client: BedsClient;

  before(async () => {
    host = await startTestHost(teardown, {
      services,
      config: { threads: { default: { count: 1 } } },
    });
    const operations = {
      look: { mode: 'read', args: { way: { type: 'string' } }, run: `return await tryWay(input.way, ctx);` },
      loaded: { mode: 'read', run: 'return atLoad;' },
    } as const;
    // The same once more while it loads: in the probe, where a find makes the version fail, and in each thread.
    const head = `${waysOutHead()}
      const atLoad = [];
      const other = { view: async () => ({ rows: [] }), call: async () => { throw new Error('none'); }, self: {}, log: {}, deadline: {} };
      const looked = Promise.all(Object.keys(WAYS).map(async (name) => {
        const found = await tryWay(name, other);
        if (found !== '') atLoad.push(name + ': ' + found);
      }));`;
    const body = { selfTest: `await looked; if (atLoad.length > 0) throw new Error(atLoad.join(' | '));` };
    await writeBundle(host.pluginsDirectory, notesBundle({ head, body, operations }));
    await host.active('notes', '1.0.0');
    client = await host.connectClient({ defaultDeadlineMs: 20_000 });
  });

  for (const way of Object.keys(HIDDEN)) {
    it(`finds nothing in a request: ${way}`, async () => {
      assert.equal(await client.domain('notes').call('look', { way }), '');
    });
  }

  it('finds nothing while it loads, in the probe and in a broker thread', async () => {
    assert.deepEqual(await client.domain('notes').call('loaded', {}), []);
  });
});

describe('a template with a way out at its top level', () => {
  it('is rejected, and does nothing of what it wanted to', async (t) => {
    const host = await startTestHost(t, { services, config: { threads: { default: { count: 1 } } } });
    const directory = mkdtempSync(join(tmpdir(), 'beds-way-out-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const mark = join(directory, 'ran');
    const command = JSON.stringify(`id > ${mark}`);
    const head = `process.getBuiltinModule('child_process').execSync(${command});`;
    await writeBundle(host.pluginsDirectory, notesBundle({ head }));
    const line = await host.logged('the refusal', ({ msg }) => msg === 'notes 1.0.0 rejected');
    assert.match(JSON.stringify(line['findings']), /BEDS_ADMISSION_PROCESS_FORBIDDEN.*process\.getBuiltinModule/);
    const hidden = `const name = ['get', 'BuiltinModule'].join(''); process[name]('child_process').execSync(${command});`;
    await writeBundle(host.pluginsDirectory, notesBundle({ head: hidden, version: '1.1.0' }));
    const second = await host.logged('the other refusal', ({ msg }) => msg === 'notes 1.1.0 rejected');
    assert.match(JSON.stringify(second['findings']), /BEDS_ADMISSION_LOAD_THROWS/);
    assert.equal(existsSync(mark), false);
  });
});

describe('a template that changes RegExp.prototype, which stays open', () => {
  it('sees no request of others as it came, no password, and lets no forbidden key through', async (t) => {
    const host = await startTestHost(t, { services, config: { threads: { default: { count: 1 } } } });
    const head = `
      const seen = [];
      for (const name of ['exec', 'test', ...['replace', 'split', 'match', 'matchAll', 'search'].map((way) => Symbol[way])]) {
        const was = RegExp.prototype[name];
        RegExp.prototype[name] = function (...args) {
          seen[seen.length] = args.map(String).join(' ');
          return name === 'test' && String(args[0]).startsWith('{') ? false : Reflect.apply(was, this, args);
        };
      }`;
    const operations = { seen: { mode: 'read', run: 'return seen.splice(0);' } } as const;
    await writeBundle(host.pluginsDirectory, notesBundle({ head, operations }));
    await writeBundle(host.pluginsDirectory, notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
    await Promise.all([host.active('notes', '1.0.0'), host.active('tasks', '1.0.0')]);
    const client = await host.connectClient();
    await host.dba.query(`KILL HARD CONNECTION USER '${host.prefix}'`).catch(() => undefined);
    await client.domain('tasks').create({ text: 'canary', mark: 'canary' });
    const caller = await PlainCaller.open(host);
    const body = '{"v":1,"id":"1","domain":"tasks","op":"create","payload":{"__proto__":{"text":"x"}}}';
    const reply = await caller.ask({ routingKey: 'tasks.create', body });
    assert.equal(reply.ok ? '' : reply.error.code, 'BEDS_REQUEST_FORBIDDEN_KEY');
    const seen = (await client.domain('notes').call('seen', {})) as readonly string[];
    const passwords = [host.config.amqp.url, ...Object.values(host.config.stores).map(({ url }) => url)]
      .map((url) => new URL(url).password)
      .filter((password) => password !== '');
    assert.ok(seen.length > 0 && passwords.length > 1);
    assert.deepEqual(
      seen.filter((text) => ['canary', ...passwords].some((secret) => text.includes(secret))),
      [],
    );
  });
});
