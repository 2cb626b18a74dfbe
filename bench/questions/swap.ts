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
import { type SwapSlice, toSwapRows } from '../measure/swap-rows.js';

const THREADS = 2;
const PER_SECOND = 400;
const BUNDLE_BYTES = 60_000;
/** Of a round with the usual length of a slice; five rounds make 200. */
const SWAPS_PER_MS = 40 / 700;
const IDLE_SHARE = 1 / 5;
/** Between a version that serves and the next drop. */
const REST_MS = 100;

interface Stand {
  readonly bed: Bed;
  readonly host: HostUnderTest;
  readonly store: MysqlBenchStore;
  readonly versions: Versions;
  readonly asks: { readonly reads: readonly Ask[]; readonly writes: readonly Ask[] };
}

/** What callers notice when a domain that they use is replaced again and again, and how long it takes. */
export const swapQuestion: Question = {
  name: 'swap',
  words: 'a new version of a busy domain, again and again, against the same load without',
  need: ['rabbitmq', 'mariadb'],
  longestMs: 240_000,
  run: async (bed) => {
    const stand = await prepare(bed);
    const swaps = Math.max(2, Math.round(bed.effort.sliceMs * SWAPS_PER_MS));
    const slices: SwapSlice[] = [];
    for (let round = 0; round <= bed.effort.rounds; round += 1) {
      // The first round warms up, with less.
      const slice = await runRound(stand, round === 0 ? Math.ceil(swaps * IDLE_SHARE) : swaps, `m${String(round)}`);
      if (round > 0) slices.push(slice);
    }
    const { rows, words } = toSwapRows(slices);
    words.forEach(bed.say);
    return rows satisfies readonly Row[];
  },
};

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
async function runRound(stand: Stand, swaps: number, prefix: string): Promise<SwapSlice> {
  stand.bed.say(`${String(swaps)} swaps under load, then the same load without`);
  const startedAt = performance.now();
  let steps: readonly Step[] = [];
  const swapping = await underLoad(stand, `${prefix}s`, async () => {
    steps = await swapMany(stand, swaps);
  });
  const tookMs = performance.now() - startedAt;
  const calm = await underLoad(stand, `${prefix}c`, () => delay(tookMs, undefined, { signal: stand.bed.signal }));
  const idleSteps = await swapMany(stand, Math.ceil(swaps * IDLE_SHARE));
  return { swapping, calm, steps, idleSteps };
}

async function swapMany({ bed, host, versions }: Stand, count: number): Promise<readonly Step[]> {
  const steps: Step[] = [];
  for (let n = 0; n < count; n += 1) {
    bed.signal.throwIfAborted();
    const version = await versions.drop();
    steps.push(...(await host.served(version)));
    const last = steps.findLast((step) => step.version === version);
    assert.equal(last?.state, 'active', `${version} serves: ${JSON.stringify(last)}`);
    await delay(REST_MS);
  }
  return steps;
}

async function underLoad(stand: Stand, prefix: string, work: () => Promise<unknown>): Promise<SwapSlice['calm']> {
  const load = new SteadyLoad({ ...stand.asks, perSecond: PER_SECOND, prefix });
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
