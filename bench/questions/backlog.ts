import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeNames } from '../../host/amqp/names.js';
import { Child } from '../bed/child.js';
import { newPrefix, startHostUnderTest } from '../bed/host-under-test.js';
import { makeMysqlStore } from '../bed/mysql-store.js';
import { BODY, type EchoPlace } from '../bed/serve-echo.js';
import type { Bed, Question } from '../contract.js';
import { toRow } from '../measure/to-row.js';
import type { BacklogProgress, BacklogStart } from '../processes/backlog-caller.js';

/** Published in one call of the process that fills the queue. */
const STEP = 20_000;
const LOOK_MS = 50;
/** Whoever answers nothing for so long has stopped. */
const STALL_MS = 20_000;
const MEGABYTE = 1_048_576;

/** What taking a backlog came to. */
interface DrainSample {
  readonly perSecond: number;
  /** Most resident memory of the server while it took the first and the second half. */
  readonly firstHalfBytes: number;
  readonly secondHalfBytes: number;
}

/** What a host does with messages that waited while it was away. */
export const backlogQuestion: Question = {
  name: 'backlog',
  words: 'messages that waited for a host: how fast it takes them, and its memory meanwhile',
  need: ['rabbitmq', 'mariadb'],
  longestMs: 420_000,
  run: async (bed) => {
    const beds = await drainHost(bed);
    const bare = await drainBare(bed);
    const named = { question: 'backlog', case: `${bed.effort.backlog.toLocaleString('en')} messages` };
    const both = { subject: [beds], against: [bare] };
    const names = { ...named, subject: 'BEDS', against: 'bare amqplib' };
    const peak = ({ firstHalfBytes, secondHalfBytes }: DrainSample): number =>
      Math.max(firstHalfBytes, secondHalfBytes) / MEGABYTE;
    const halves = { subject: [beds.secondHalfBytes], against: [beds.firstHalfBytes] };
    const halfNames = { ...named, subject: 'BEDS, second half', against: 'first half' };
    return [
      toRow(both, { ...names, unit: 'ops/s', of: ({ perSecond }) => perSecond }),
      toRow(both, { ...names, unit: 'MB', of: peak }),
      toRow(halves, { ...halfNames, unit: 'MB', of: (bytes) => bytes / MEGABYTE, target: { ratioAtMost: 1.25 } }),
    ];
  },
};

/** A host is there once, so that its queue is; then it is away while the queue fills. */
async function drainHost(bed: Bed): Promise<DrainSample> {
  const main = await makeMysqlStore(bed);
  const prefix = newPrefix();
  const settings = {
    ...{ prefix, domains: ['echo'], poolSize: 2 },
    stores: { main: { kind: 'mysql' as const, url: main.runtimeUrl } },
  };
  const first = await startHostUnderTest(bed, settings);
  await first.client.close();
  await first.process.stop();
  const caller = await fill(bed, {
    route: { exchange: first.exchange, routingKey: 'echo.echo' },
    queue: makeNames(prefix).queue('echo', 'read'),
    declare: false,
  });
  bed.say('a host takes them');
  const { process: server } = await startHostUnderTest(bed, settings);
  return drained(bed, { caller, server });
}

async function drainBare(bed: Bed): Promise<DrainSample> {
  const queue = `${newPrefix()}.backlog`;
  const caller = await fill(bed, { route: { exchange: '', routingKey: queue }, queue, declare: true });
  bed.say('a bare amqplib server takes them');
  const server = new Child({ program: 'bare-echo', logFile: join(bed.folder, 'bare-echo.log') });
  bed.atEnd(() => server.stop());
  await server.call('serve', { url: urlOf(bed), name: queue, prefetch: 200 } satisfies EchoPlace);
  return drained(bed, { caller, server });
}

async function fill(bed: Bed, start: Omit<BacklogStart, 'url' | 'body'>): Promise<Child> {
  const caller = new Child({ program: 'backlog-caller', logFile: join(bed.folder, 'backlog-caller.log') });
  bed.atEnd(() => caller.stop());
  await caller.call('start', { ...start, url: urlOf(bed), body: BODY.toString() } satisfies BacklogStart);
  const { backlog } = bed.effort;
  bed.say(`${backlog.toLocaleString('en')} messages are put in a queue`);
  for (let left = backlog; left > 0; left -= STEP) {
    bed.signal.throwIfAborted();
    await caller.call('fill', { count: Math.min(STEP, left) });
  }
  return caller;
}

/** Looks on until every message is answered. */
async function drained(
  bed: Bed,
  { caller, server }: { readonly caller: Child; readonly server: Child },
): Promise<DrainSample> {
  const { backlog } = bed.effort;
  let firstHalfBytes = 0;
  let secondHalfBytes = 0;
  let seen = -1;
  let seenAtMs = performance.now();
  for (;;) {
    bed.signal.throwIfAborted();
    const { replies, tookMs } = await caller.call<BacklogProgress>('progress');
    const bytes = await server.memoryBytes();
    if (replies * 2 <= backlog) firstHalfBytes = Math.max(firstHalfBytes, bytes);
    else secondHalfBytes = Math.max(secondHalfBytes, bytes);
    if (replies >= backlog) {
      // Where it went faster than we look, the one value stands for both.
      return { perSecond: (replies * 1_000) / tookMs, firstHalfBytes: firstHalfBytes || bytes, secondHalfBytes };
    }
    if (replies !== seen) seenAtMs = performance.now();
    seen = replies;
    assert.ok(performance.now() - seenAtMs < STALL_MS, `${String(replies)} of ${String(backlog)} were answered`);
    await delay(LOOK_MS);
  }
}

function urlOf({ services }: Bed): string {
  assert.ok(services.rabbitmq, 'RabbitMQ is needed');
  return services.rabbitmq.url;
}
