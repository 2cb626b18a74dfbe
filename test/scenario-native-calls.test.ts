import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReplyEnvelope } from '#sdk/template';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { startTestHost, type TestHost } from './support/host.js';
import { type HostProcess, startHostProcess } from './support/host-process.js';
import { notesBundle } from './support/notes-domain.js';
import { PlainCaller } from './support/plain-caller.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
/** Two terminations, the time until RabbitMQ misses the thread's heartbeats, and a busy machine. */
const ANSWERED_MS = 90_000;
const ENDED_MS = 30_000;
/** What 400 such calls take of the threads of Node is minutes. */
const SWAPPED_MS = 20_000;
/** Hours, which nothing interrupts, and nothing in the arguments tells. */
const NATIVE_LOOP = `Buffer.alloc(40_000_000, 'a').indexOf('a'.repeat(1_000_000) + 'b' + 'a'.repeat(1_000_000));`;

const WEB_KEY = `const key = await crypto.subtle.importKey('raw', Buffer.from('a'), 'PBKDF2', false, ['deriveBits']);`;
const TOO_MUCH: Readonly<Record<string, string>> = {
  pbkdf2: `crypto.pbkdf2('a', 'b', 2e9, 64, 'sha512', () => {});`,
  pbkdf2Sync: `crypto.pbkdf2Sync('a', 'b', 2e9, 64, 'sha512');`,
  'a long key': `crypto.pbkdf2Sync('a', 'b', 1e6, 1e6, 'sha512');`,
  'a promise of pbkdf2': `await util.promisify(crypto.pbkdf2)('a', 'b', 2e9, 64, 'sha512');`,
  scrypt: `crypto.scrypt('a', 'b', 64, { cost: 2 ** 14, parallelization: 2 ** 14 }, () => {});`,
  scryptSync: `crypto.scryptSync('a', 'b', 64, { N: 2 ** 20, r: 8, p: 8, maxmem: 2 ** 33 });`,
  generatePrimeSync: `crypto.generatePrimeSync(4_000, { safe: true });`,
  checkPrimeSync: `crypto.checkPrimeSync(2n ** 20_000n);`,
  generateKeyPair: `crypto.generateKeyPair('rsa', { modulusLength: 16_384 }, () => {});`,
  createDiffieHellman: `crypto.createDiffieHellman(8_192);`,
  'deriveBits of the global': `${WEB_KEY} await globalThis.crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: Buffer.from('x'), iterations: 4e9 }, key, 256);`,
  'generateKey of webcrypto': `await crypto.webcrypto.subtle.generateKey({ name: 'RSA-OAEP', modulusLength: 16_384, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }, true, ['encrypt', 'decrypt']);`,
};

function tasks(options: BundleOptions): BundleOptions {
  const head = `\nimport crypto from 'node:crypto';\nimport util from 'node:util';\n`;
  return notesBundle({ domain: 'tasks', name: 'tasks.mjs', head, ...options });
}

/** n.b. a process of its own: it cannot end as others do while such a call goes on. */
async function start(t: Teardown): Promise<{ readonly host: TestHost; readonly child: HostProcess }> {
  const supervisor = { stallTimeoutMs: 1_000, drainTimeoutMs: 2_000 };
  const host = await startTestHost(t, {
    services,
    isStarted: false,
    config: { threads: { default: { count: 1 } }, supervisor, plugins: { probeTimeoutMs: 10_000 } },
  });
  await writeBundle(host.pluginsDirectory, notesBundle());
  const child = startHostProcess(t, {
    ...host,
    config: { ...host.config, amqp: { ...host.config.amqp, heartbeatSeconds: 5 } },
  });
  await child.serving;
  await child.logged('notes serve', ({ msg }) => msg === 'notes 1.0.0 active');
  return { host, child };
}

async function assertEnds(child: HostProcess): Promise<void> {
  const stoppedAt = performance.now();
  await child.stop();
  assert.ok(performance.now() - stoppedAt < ENDED_MS);
}

describe('a call into native code that never ends', { timeout: 300_000 }, () => {
  it('costs its thread, which is left behind: others are answered, it is not run for ever, and the host can end', async (t) => {
    const { host, child } = await start(t);
    await writeBundle(host.pluginsDirectory, tasks({ operations: { loop: { mode: 'read', run: NATIVE_LOOP } } }));
    await child.logged('tasks serve', ({ msg }) => msg === 'tasks 1.0.0 active');
    const caller = await PlainCaller.open(host);
    const meta = { deadlineMs: ANSWERED_MS };
    const ask = (domain: string, op: string): Promise<ReplyEnvelope> =>
      caller.ask({ routingKey: `${domain}.${op}`, body: { v: 1, id: op, domain, op, payload: {}, meta } }, ANSWERED_MS);
    const loops = ask('tasks', 'loop');
    const lost = await child.logged('it is left', ({ msg }) => msg === 'broker thread ended; it is replaced');
    assert.match(String(lost['reason']), /no sign of life for 1000 ms; it does not end/);
    const [reply, beside] = await Promise.all([loops, ask('notes', 'version')]);
    assert.equal(reply.ok ? 'ok' : reply.error.code, 'BEDS_REQUEST_POISON');
    assert.ok(beside.ok);
    await assertEnds(child);
  });

  it('is not begun where it can be told by its arguments, and keeps no swap waiting where there are many', async (t) => {
    const { host, child } = await start(t);
    const tried = Object.entries(TOO_MUCH).map(([name, code]) => `['${name}', async () => { ${code} }]`);
    const operations = {
      tooMuch: {
        mode: 'read',
        run: `const begun = [];
          for (const [name, work] of [${tried.join(', ')}]) await work().then(() => begun.push(name), (error) => error instanceof RangeError || begun.push(name + error));
          return begun;`,
      },
      many: {
        mode: 'read',
        run: `for (let n = 0; n < 400; n += 1) crypto.pbkdf2('a', 'b', 1_000_000, 64, 'sha512', () => {}); return VERSION;`,
      },
    } as const;
    await writeBundle(host.pluginsDirectory, tasks({ operations }));
    await child.logged('tasks serve', ({ msg }) => msg === 'tasks 1.0.0 active');
    const caller = await PlainCaller.open(host);
    const ask = (op: string): Promise<ReplyEnvelope> =>
      caller.ask({ routingKey: `tasks.${op}`, body: { v: 1, id: op, domain: 'tasks', op, payload: {} } }, SWAPPED_MS);
    const begun = await ask('tooMuch');
    assert.deepEqual(begun.ok && begun.data, []);
    assert.ok((await ask('many')).ok);
    const droppedAt = performance.now();
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0' }));
    await child.logged('the next version serves', ({ msg }) => msg === 'notes 1.1.0 active');
    assert.ok(performance.now() - droppedAt < SWAPPED_MS);
    await assertEnds(child);
  });

  it('in a self-test is found, and the host can end', async (t) => {
    const { host, child } = await start(t);
    await writeBundle(host.pluginsDirectory, tasks({ body: { selfTest: NATIVE_LOOP } }));
    await child.logged('it is refused', ({ msg }) => msg === 'tasks 1.0.0 rejected');
    await assertEnds(child);
  });
});
