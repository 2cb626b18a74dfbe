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
/** Longer than any test: nothing interrupts it. */
const NATIVE_LOOP = `crypto.pbkdf2Sync('a', 'b', 2_000_000_000, 64, 'sha512');`;

function tasks(options: BundleOptions): BundleOptions {
  const head = `\nimport crypto from 'node:crypto';\n`;
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

  it('in a self-test is found, and the host can end', async (t) => {
    const { host, child } = await start(t);
    await writeBundle(host.pluginsDirectory, tasks({ body: { selfTest: NATIVE_LOOP } }));
    await child.logged('it is refused', ({ msg }) => msg === 'tasks 1.0.0 rejected');
    await assertEnds(child);
  });
});
