import { setTimeout as delay } from 'node:timers/promises';
import { startBedsContender } from '../context/echo-contenders.js';
import { type HostSettings, startHostUnderTest } from '../context/host-under-test.js';
import { makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Scenario } from '../contract.js';
import { pairOf, takeTurns, toRow } from '../measure/rounds.js';

const FEW = '1 domain';
const MANY_DOMAINS = 20;
const SMOKE_DOMAINS = 3;
/** A start takes seconds, and says the same each time. */
const MOST_ROUNDS = 3;
const IN_FLIGHT = 500;
/** What was needed once to start is let go of. */
const REST_MS = 500;
const MEGABYTE = 1_048_576;

interface StartSample {
  readonly startMs: number;
  readonly restBytes: number;
  readonly loadBytes: number;
}

const FIGURES = [
  { case: 'start to serving', unit: 'ms', of: ({ startMs }: StartSample) => startMs },
  { case: 'memory at rest', unit: 'MB', of: ({ restBytes }: StartSample) => restBytes / MEGABYTE },
  { case: 'memory under load', unit: 'MB', of: ({ loadBytes }: StartSample) => loadBytes / MEGABYTE },
] as const;

/** How long a host takes until it serves, and the memory of its process. */
export const startScenario: Scenario = {
  name: 'start',
  description: 'time until a host serves, and its memory at rest and under load: 20 domains against 1',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 180_000,
  run: async (context) => {
    const main = await makeMysqlStore(context);
    const settings = { stores: { main: { kind: 'mysql' as const, url: main.runtimeUrl } }, poolSize: 4 };
    let number = 0;
    const contender = (title: string, copies: number) => (durationMs: number) => {
      context.say(`a host with ${title}`);
      const node = `start${String(++number)}`;
      return once(context, { ...settings, node, domains: [], copies }, durationMs);
    };
    const { effort, signal } = context;
    const copies = effort.isSmoke ? SMOKE_DOMAINS : MANY_DOMAINS;
    const many = `${String(copies)} domains`;
    const contenders = new Map([
      [many, contender(many, copies)],
      [FEW, contender(FEW, 1)],
    ]);
    const turns = await takeTurns(contenders, {
      effort: { ...effort, rounds: Math.min(MOST_ROUNDS, effort.rounds) },
      signal,
    });
    const rounds = pairOf(turns, many, FEW);
    return FIGURES.map((figure) => toRow(rounds, { scenario: 'start', subject: many, against: FEW, ...figure }));
  },
};

/** One host from its start to its end. */
async function once(context: BenchContext, settings: HostSettings, durationMs: number): Promise<StartSample> {
  const undone: (() => Promise<unknown>)[] = [];
  const own: BenchContext = { ...context, atEnd: (undo) => undone.push(undo) };
  try {
    const host = await startHostUnderTest(own, settings);
    await delay(REST_MS);
    const restBytes = await host.process.memoryBytes();
    const domains = Array.from({ length: settings.copies ?? 0 }, (_, n) => `many${String(n + 1)}`);
    const contender = await startBedsContender(own, { title: 'load', kind: 'default', hosts: [host], domains });
    await contender.with(IN_FLIGHT)(durationMs);
    return { startMs: host.startMs, restBytes, loadBytes: await host.process.memoryBytes() };
  } finally {
    for (const undo of undone.toReversed()) await undo();
  }
}
