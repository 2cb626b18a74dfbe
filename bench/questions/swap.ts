import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type HostUnderTest, startHostUnderTest } from '../bed/host-under-test.js';
import { makeMysqlStore, type MysqlBenchStore } from '../bed/mysql-store.js';
import type { Step } from '../bed/protocol.js';
import { fieldsOf, keyOf } from '../bed/records.js';
import { Versions } from '../bed/versions.js';
import type { Bed, Question, Row } from '../contract.js';
import { type Ask, type LoadSample, SteadyLoad } from '../measure/steady-load.js';
import { type SwapPromise, type SwapSlice, toSwapRows } from '../measure/swap-rows.js';

const THREADS = 2;
const BUNDLE_BYTES = 60_000;
const IDLE_SHARE = 1 / 4;

/** How often versions come, and how much is asked meanwhile. */
interface Pace {
  readonly words: string;
  readonly perSecond: number;
  /** Of a round with the usual length of a slice. */
  readonly swapsPerMs: number;
  /** From one drop to the next. */
  readonly everyMs: number;
  /** At least, between a version that serves and the next drop. */
  readonly restMs: number;
  readonly promise: SwapPromise;
}

/** What is promised: 200 swaps in five minutes. A run makes fewer of them, because it would take as long. */
const STATED: Pace = {
  ...{ words: 'a swap every 1.5 s, 500/s', perSecond: 500, swapsPerMs: 8 / 700, everyMs: 1_500, restMs: 0 },
  promise: { p99RatioAtMost: 2, totalMsAtMost: 150, flipMsAtMost: 5 },
};
/** Nobody deploys like that: it shows what a swap costs where it can hardly be measured otherwise. */
const HURRIED: Pace = {
  ...{ words: 'swaps without a break, 400/s', perSecond: 400, swapsPerMs: 24 / 700, everyMs: 0, restMs: 100 },
  promise: {},
};

interface Stand {
  readonly bed: Bed;
  readonly host: HostUnderTest;
  readonly store: MysqlBenchStore;
  readonly versions: Versions;
  readonly asks: { readonly reads: readonly Ask[]; readonly writes: readonly Ask[] };
}

type PacedStand = Stand & Pace;

/** What callers notice when a domain that they use is replaced again and again, and how long it takes. */
export const swapQuestion: Question = {
  name: 'swap',
  words: 'a new version of a busy domain, again and again, against the same load without',
  need: ['rabbitmq', 'mariadb'],
  longestMs: 360_000,
  run: async (bed) => {
    const stand = await prepare(bed);
    return [...(await runPace(stand, STATED, 'm')), ...(await runPace(stand, HURRIED, 'h'))];
  },
};

async function runPace(stand: Stand, pace: Pace, prefix: string): Promise<readonly Row[]> {
  const { effort, say } = stand.bed;
  const swaps = Math.max(2, Math.round(effort.sliceMs * pace.swapsPerMs));
  const slices: SwapSlice[] = [];
  for (let round = 0; round <= effort.rounds; round += 1) {
    // The first round warms up, with less.
    const count = round === 0 ? Math.ceil(swaps * IDLE_SHARE) : swaps;
    const slice = await runRound({ ...stand, ...pace }, count, `${prefix}${String(round)}`);
    if (round > 0) slices.push(slice);
  }
  const { rows, words } = toSwapRows(slices, pace);
  for (const line of words) say(`${pace.words}: ${line}`);
  return rows;
}

async function prepare(bed: Bed): Promise<Stand> {
  const store = await makeMysqlStore(bed);
  const host = await startHostUnderTest(bed, {
    domains: ['records'],
    stores: { main: { kind: 'mysql', url: store.runtimeUrl } },
    ...{ poolSize: 8, threads: THREADS },
  });
  const clients = [host.client, await host.connect({ batching: false })];
  const domains = clients.map((client) => client.domain('records'));
  let key = 0;
  const asks = {
    reads: domains.map(
      (records): Ask =>
        () =>
          records.fetch({ key: keyOf(++key) }),
    ),
    writes: domains.map(
      (records): Ask =>
        (name) =>
          records.create({ ...fieldsOf(++key), name }),
    ),
  };
  await Promise.all(asks.reads.map((read) => read('')));
  const versions = new Versions(join(host.pluginsDirectory, 'records-1.0.0.mjs'), BUNDLE_BYTES);
  return { bed, host, store, versions, asks };
}

/** Swaps under load, as long the same load alone, then some swaps with nothing else to do. */
async function runRound(stand: PacedStand, swaps: number, prefix: string): Promise<SwapSlice> {
  stand.bed.say(`${stand.words}: ${String(swaps)} swaps under load, then the same load without`);
  const startedAt = performance.now();
  let steps: readonly Step[] = [];
  const swapping = await underLoad(stand, `${prefix}s`, async () => {
    steps = await swapMany(stand, swaps);
  });
  const tookMs = performance.now() - startedAt;
  const calm = await underLoad(stand, `${prefix}c`, () => delay(tookMs, undefined, { signal: stand.bed.signal }));
  const idleSteps = await swapMany({ ...stand, everyMs: 0, restMs: HURRIED.restMs }, Math.ceil(swaps * IDLE_SHARE));
  return { swapping, calm, steps, idleSteps };
}

async function swapMany(stand: PacedStand, count: number): Promise<readonly Step[]> {
  const { bed, host, versions } = stand;
  const steps: Step[] = [];
  for (let n = 0; n < count; n += 1) {
    bed.signal.throwIfAborted();
    const droppedAt = performance.now();
    const version = await versions.drop();
    steps.push(...(await host.served(version)));
    const last = steps.findLast((step) => step.version === version);
    assert.equal(last?.state, 'active', `${version} serves: ${JSON.stringify(last)}`);
    await delay(Math.max(stand.restMs, stand.everyMs - (performance.now() - droppedAt)));
  }
  return steps;
}

async function underLoad(stand: PacedStand, prefix: string, work: () => Promise<unknown>): Promise<SwapSlice['calm']> {
  const load = new SteadyLoad({ ...stand.asks, perSecond: stand.perSecond, prefix });
  let sample: LoadSample | undefined;
  try {
    await work();
  } finally {
    sample = await load.stop();
  }
  if (sample.reasons.length > 0) stand.bed.say(`failures: ${sample.reasons.join('; ')}`);
  const found = await stand.store.namesLike(prefix);
  const { written, ...figures } = sample;
  return {
    ...figures,
    lost: written.filter((mark) => !found.has(mark)).length,
    duplicated: [...found.values()].filter((count) => count > 1).length,
  };
}
