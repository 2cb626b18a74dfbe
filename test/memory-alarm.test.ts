import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { lastFirst, privateServices, sharedServices } from './support/services.js';

interface Alarmed {
  readonly host: TestHost;
  /** RabbitMQ takes nothing from who publishes, from now on or no longer. */
  alarm(isOn: boolean): Promise<void>;
}

const { rabbitmq } = await privateServices({ after }, ['rabbitmq']);
assert.ok(rabbitmq);
const server = rabbitmq;
const services = { ...(await sharedServices(['mariadb'])), rabbitmq };

async function serve(t: TestContext): Promise<Alarmed> {
  const host = await startTestHost(t, { services });
  await writeBundle(host.pluginsDirectory, notesBundle());
  await host.active('notes', '1.0.0');
  let isAlarmed = false;
  const alarm = async (isOn: boolean): Promise<void> => {
    await server.control(['set_vm_memory_high_watermark', isOn ? '0.0000001' : '0.6']);
    isAlarmed = isOn;
  };
  // A test that failed may have left it so.
  lastFirst(t, () => (isAlarmed ? alarm(false) : undefined));
  return { host, alarm };
}

describe('while RabbitMQ is short of memory', () => {
  it(
    'writes end at their deadlines, those not sent as such, and none runs afterwards',
    { timeout: 240_000 },
    async (t) => {
      const { host, alarm } = await serve(t);
      const client = await host.connectClient();
      const notes = client.domain('notes');
      await notes.create({ text: 'before', mark: 'before' });
      await alarm(true);
      const failures: string[] = [];
      const write = (mark: string): Promise<void> =>
        notes.create({ text: 'late', mark }, { deadlineMs: 1_500 }).then(
          () => assert.fail('it was answered'),
          (error: unknown) => {
            assert.ok(isBedsError(error), String(error));
            failures.push(`${error.code} ${String(error.retryable)}`);
          },
        );
      const first = write('first');
      // RabbitMQ tells those who publish, when they do.
      await delay(500);
      await Promise.all([first, ...Array.from({ length: 30 }, (_, n) => write(`late-${n}`))]);
      assert.equal(failures.filter((failure) => failure === 'BEDS_CLIENT_TIMEOUT false').length, 1);
      assert.equal(failures.filter((failure) => failure === 'BEDS_CLIENT_UNAVAILABLE true').length, 30);
      const patient = notes.create({ text: 'in time', mark: 'patient' }, { deadlineMs: 60_000 });
      await alarm(false);
      await patient;
      await notes.create({ text: 'after', mark: 'after' });
      const [rows] = await host.dba.query('SELECT DISTINCT mark FROM note ORDER BY mark');
      assert.deepEqual(rows, [{ mark: 'after' }, { mark: 'before' }, { mark: 'patient' }]);
    },
  );

  it('every command that asks or orders ends soon, and says why', { timeout: 240_000 }, async (t) => {
    const { host, alarm } = await serve(t);
    const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
    await alarm(true);
    for (const args of [
      ['status'],
      ['versions'],
      ['history'],
      ['metrics'],
      ['rollback', 'notes'],
      ['pause', 'notes'],
    ]) {
      const startedMs = performance.now();
      const { code, stderr } = await beds(args, { env });
      assert.notEqual(code, 0, args.join(' '));
      assert.match(stderr, /BEDS_ADMIN_BROKER_BLOCKED/, args.join(' '));
      assert.ok(performance.now() - startedMs < 8_000, args.join(' '));
    }
    const called = await beds(['call', 'notes.create', '{"payload":{"text":"x"}}', '--timeout', '500'], { env });
    assert.notEqual(called.code, 0);
    assert.match(called.stderr, /BEDS_CLIENT_TIMEOUT/);
    await alarm(false);
    await eventually(
      'questions are answered again',
      async () => (await beds(['versions'], { env })).code === 0,
      20_000,
    );
  });
});
