import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeNames } from '../../host/amqp/names.js';
import { Child } from '../context/child.js';
import { newPrefix, startHostUnderTest } from '../context/host-under-test.js';
import { BODY, type EchoPlace } from '../context/serve-echo.js';
import { makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Scenario } from '../contract.js';
import { toRow } from '../measure/rounds.js';
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
export const backlogScenario: Scenario = {
  name: 'backlog',
  description: 'messages that waited for a host: how fast it takes them, and its memory meanwhile',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 420_000,
  run: async (context) => {
    const beds = await drainHost(context);
    const bare = await drainBare(context);
    const named = { scenario: 'backlog', case: `${context.effort.backlog.toLocaleString('en')} messages` };
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
async function drainHost(context: BenchContext): Promise<DrainSample> {
  const main = await makeMysqlStore(context);
  const prefix = newPrefix();
  const settings = {
    prefix,
    domains: ['echo'],
    poolSize: 2,
    stores: { main: { kind: 'mysql' as const, url: main.runtimeUrl } },
  };
  const first = await startHostUnderTest(context, settings);
  await first.client.close();
  await first.process.stop();
  const caller = await fill(context, {
    route: { exchange: first.exchange, routingKey: 'echo.echo' },
    queue: makeNames(prefix).queue('echo', 'read'),
    declare: false,
  });
  context.say('a host takes them');
  const { process: server } = await startHostUnderTest(context, settings);
  return drained(context, { caller, server });
}

async function drainBare(context: BenchContext): Promise<DrainSample> {
  const queue = `${newPrefix()}.backlog`;
  const caller = await fill(context, { route: { exchange: '', routingKey: queue }, queue, declare: true });
  context.say('a bare amqplib server takes them');
  const server = new Child({ program: 'bare-echo', logFile: join(context.folder, 'bare-echo.log') });
  context.atEnd(() => server.stop());
  await server.call('serve', { url: urlOf(context), name: queue, prefetch: 200 } satisfies EchoPlace);
  return drained(context, { caller, server });
}

async function fill(context: BenchContext, start: Omit<BacklogStart, 'url' | 'body'>): Promise<Child> {
  const caller = new Child({ program: 'backlog-caller', logFile: join(context.folder, 'backlog-caller.log') });
  context.atEnd(() => caller.stop());
  await caller.call('start', { ...start, url: urlOf(context), body: BODY.toString() } satisfies BacklogStart);
  const { backlog } = context.effort;
  context.say(`${backlog.toLocaleString('en')} messages are put in a queue`);
  for (let left = backlog; left > 0; left -= STEP) {
    context.signal.throwIfAborted();
    await caller.call('fill', { count: Math.min(STEP, left) });
  }
  return caller;
}

/** Looks on until every message is answered. */
async function drained(
  context: BenchContext,
  { caller, server }: { readonly caller: Child; readonly server: Child },
): Promise<DrainSample> {
  const { backlog } = context.effort;
  let firstHalfBytes = 0;
  let secondHalfBytes = 0;
  let seen = -1;
  let seenAtMs = performance.now();
  for (;;) {
    context.signal.throwIfAborted();
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

function urlOf({ services }: BenchContext): string {
  assert.ok(services.rabbitmq, 'RabbitMQ is needed');
  return services.rabbitmq.url;
}
