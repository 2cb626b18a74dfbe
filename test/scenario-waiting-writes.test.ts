import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { ConsumeMessage } from 'amqplib';
import type { RowDataPacket } from 'mysql2';
import { askNodes } from '../host/cli/ask-nodes.js';
import type { NodeStatus } from '../host/supervisor/operate/views.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost, type TestHostOptions } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { envelope, PlainCaller } from './support/plain-caller.js';
import { privateServices, type Teardown } from './support/services.js';

const services = await privateServices({ after }, ['rabbitmq', 'mariadb']);
const { rabbitmq, mariadb } = services;
assert.ok(rabbitmq && mariadb);

async function serveNotes(t: Teardown, config: TestHostOptions['config'] = {}): Promise<TestHost> {
  const host = await startTestHost(t, { services, config });
  await writeBundle(host.pluginsDirectory, notesBundle());
  await host.active('notes', '1.0.0');
  return host;
}

function writes(caller: PlainCaller, marks: readonly string[], properties: object = {}): void {
  for (const mark of marks) {
    const body = envelope('create', { id: mark, payload: { text: 'waits', mark } });
    caller.send({ routingKey: 'notes.create', body, properties: { persistent: true, ...properties } });
  }
}

function marksOf(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}

async function status(host: TestHost, t: { readonly signal: AbortSignal }): Promise<NodeStatus> {
  const [answer] = await askNodes(
    { v: 1, op: 'status' },
    { ...host.config.broker, timeoutMs: 2_000, signal: t.signal },
  );
  assert.ok(answer);
  return answer.status;
}

/** Writes that the threads hold. */
async function held(host: TestHost, t: { readonly signal: AbortSignal }): Promise<number> {
  const { threads } = await status(host, t);
  const counts = threads.flatMap((thread) => thread.status?.waitingWrites ?? []);
  return counts.reduce((sum, { count }) => sum + count, 0);
}

/** How many rows have each mark. */
async function rowsOf(host: TestHost): Promise<ReadonlyMap<string, number>> {
  const [rows] = await host.dba.query<RowDataPacket[]>('SELECT mark, COUNT(*) AS count FROM note GROUP BY mark');
  return new Map(rows.map((row) => [row['mark'] as string, Number(row['count'])]));
}

async function assertOnce(host: TestHost, marks: readonly string[]): Promise<void> {
  await eventually('all rows are there', async () => (await rowsOf(host)).size >= marks.length, 20_000);
  assert.deepEqual([...(await rowsOf(host))].sort(), marks.map((mark): [string, number] => [mark, 1]).sort());
}

/** Takes what lies in the queue of dead letters. */
async function deadLetters(host: TestHost): Promise<readonly ConsumeMessage[]> {
  const channel = await host.plainChannel();
  const taken: ConsumeMessage[] = [];
  for (;;) {
    const message = await channel.get(`${host.prefix}.dead`, { noAck: true });
    if (message === false) return taken;
    taken.push(message as unknown as ConsumeMessage);
  }
}

void describe('writes whose store is away', () => {
  void it('are kept while the database is down, said so, and all there once when it is back', async (t) => {
    const host = await serveNotes(t);
    const caller = await PlainCaller.open(host);
    await mariadb.stop();
    const marks = marksOf('away', 100);
    writes(caller, marks);
    await eventually('all are held', async () => (await held(host, t)) === 100);
    await host.logged(
      'the wait',
      ({ msg, level }) => msg === 'writes of notes wait for store main' && level === 'warn',
    );
    await mariadb.start();
    await assertOnce(host, marks);
    await host.logged('the end of the wait', ({ msg }) => msg === 'writes of notes go on');
    await eventually('none is held', async () => (await held(host, t)) === 0);
    assert.deepEqual(await deadLetters(host), []);
  });
});
