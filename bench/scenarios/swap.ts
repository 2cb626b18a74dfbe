import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Versions } from '../context/bundles.js';
import type { Step } from '../context/child.js';
import { type HostUnderTest, startHostUnderTest } from '../context/host-under-test.js';
import { fieldsOf, keyOf } from '../context/records.js';
import { makeMysqlStore, type MysqlBenchStore } from '../context/stores.js';
import type { BenchContext, Scenario, Row, Target } from '../contract.js';
import { type Ask, type LoadSample, SteadyLoad } from '../measure/load.js';
import { type Figure, toRow } from '../measure/rounds.js';

const THREADS = 2;
const BUNDLE_BYTES = 60_000;
const IDLE_SHARE = 1 / 4;
/** Of the requests, in a smoke run: a busy machine would take all its time to answer the others. */
const SMOKE_SHARE = 1 / 10;

/** How often versions come, and how much is asked meanwhile. */
interface Pace {
  readonly description: string;
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
  description: 'a swap every 1.5 s',
  perSecond: 500,
  swapsPerMs: 8 / 700,
  everyMs: 1_500,
  restMs: 0,
  promise: { p99RatioAtMost: 2, totalMsAtMost: 150, flipMsAtMost: 5 },
};
/** Nobody deploys like that: it shows what a swap costs where it can hardly be measured otherwise. */
const HURRIED: Pace = {
  description: 'swaps without a break',
  perSecond: 400,
  swapsPerMs: 24 / 700,
  everyMs: 0,
  restMs: 100,
  promise: {},
};

interface Setup {
  readonly context: BenchContext;
  readonly host: HostUnderTest;
  readonly store: MysqlBenchStore;
  readonly versions: Versions;
  readonly asks: { readonly reads: readonly Ask[]; readonly writes: readonly Ask[] };
}

type PacedSetup = Setup & Pace;

/** What callers notice when a domain that they use is replaced again and again, and how long it takes. */
export const swapScenario: Scenario = {
  name: 'swap',
  description: 'a new version of a busy domain, again and again, against the same load without',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 360_000,
  run: async (context) => {
    const setup = await prepare(context);
    return [...(await runPace(setup, STATED, 'm')), ...(await runPace(setup, HURRIED, 'h'))];
  },
};

async function runPace(setup: Setup, pace: Pace, prefix: string): Promise<readonly Row[]> {
  const { effort, say } = setup.context;
  const { isSmoke } = effort;
  const perSecond = isSmoke ? pace.perSecond * SMOKE_SHARE : pace.perSecond;
  const description = `${pace.description}, ${String(perSecond)}/s`;
  const swaps = Math.max(isSmoke ? 1 : 2, Math.round(effort.sliceMs * pace.swapsPerMs));
  const slices: SwapSlice[] = [];
  for (let round = isSmoke ? 1 : 0; round <= effort.rounds; round += 1) {
    // The first round warms up, with less.
    const count = round === 0 ? Math.ceil(swaps * IDLE_SHARE) : swaps;
    const slice = await runRound({ ...setup, ...pace, perSecond, description }, count, `${prefix}${String(round)}`);
    if (round > 0) slices.push(slice);
  }
  const { rows, lines } = toSwapRows(slices, { ...pace, description });
  for (const line of lines) say(`${description}: ${line}`);
  return rows;
}

async function prepare(context: BenchContext): Promise<Setup> {
  const store = await makeMysqlStore(context);
  const host = await startHostUnderTest(context, {
    domains: ['records'],
    stores: { main: { kind: 'mysql', url: store.runtimeUrl } },
    poolSize: 8,
    threads: THREADS,
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
  return { context, host, store, versions, asks };
}

/** Swaps under load, as long the same load alone, then some swaps with nothing else to do. */
async function runRound(setup: PacedSetup, swaps: number, prefix: string): Promise<SwapSlice> {
  setup.context.say(`${setup.description}: ${String(swaps)} swaps under load, then the same load without`);
  const startedAt = performance.now();
  let steps: readonly Step[] = [];
  const swapping = await underLoad(setup, `${prefix}s`, async () => {
    steps = await swapMany(setup, swaps);
  });
  const tookMs = performance.now() - startedAt;
  const calm = await underLoad(setup, `${prefix}c`, () => delay(tookMs, undefined, { signal: setup.context.signal }));
  const idleSteps = await swapMany({ ...setup, everyMs: 0, restMs: HURRIED.restMs }, Math.ceil(swaps * IDLE_SHARE));
  return { swapping, calm, steps, idleSteps };
}

async function swapMany(setup: PacedSetup, count: number): Promise<readonly Step[]> {
  const { context, host, versions } = setup;
  const steps: Step[] = [];
  for (let n = 0; n < count; n += 1) {
    context.signal.throwIfAborted();
    const droppedAt = performance.now();
    const version = await versions.drop();
    steps.push(...(await host.served(version)));
    const last = steps.findLast((step) => step.version === version);
    assert.equal(last?.state, 'active', `${version} serves: ${JSON.stringify(last)}`);
    await delay(Math.max(setup.restMs, setup.everyMs - (performance.now() - droppedAt)));
  }
  return steps;
}

async function underLoad(setup: PacedSetup, prefix: string, work: () => Promise<unknown>): Promise<SwapSlice['calm']> {
  const load = new SteadyLoad({ ...setup.asks, perSecond: setup.perSecond, prefix });
  let sample: LoadSample | undefined;
  try {
    await work();
  } finally {
    sample = await load.stop();
  }
  if (sample.reasons.length > 0) setup.context.say(`failures: ${sample.reasons.join('; ')}`);
  const found = await setup.store.namesLike(prefix);
  const { written, ...figures } = sample;
  return {
    ...figures,
    lost: written.filter((mark) => !found.has(mark)).length,
    duplicated: [...found.values()].filter((count) => count > 1).length,
  };
}

export type SwapLoad = Omit<LoadSample, 'written'> & {
  /** Writes that were answered with success and are not in the table. */
  readonly lost: number;
  /** Marks that are there more than once. */
  readonly duplicated: number;
};

/** One round: a load with swaps, the same load without, and swaps without load. */
export interface SwapSlice {
  readonly swapping: SwapLoad;
  readonly calm: SwapLoad;
  readonly steps: readonly Step[];
  readonly idleSteps: readonly Step[];
}

/** Bounds that hold at a pace; what is not named is only reported. */
export interface SwapPromise {
  readonly p99RatioAtMost?: number;
  /** From the complete drop to the version that serves; the median. */
  readonly totalMsAtMost?: number;
  /** Of the activation on all threads; the median. */
  readonly flipMsAtMost?: number;
}

type Of<S> = Pick<Figure<S>, 'unit' | 'of' | 'target'>;

const loadFigures = ({ p99RatioAtMost }: SwapPromise): readonly Of<SwapLoad>[] => [
  { unit: 'ms p50', of: ({ p50Ms }) => p50Ms },
  {
    unit: 'ms p99',
    of: ({ p99Ms }) => p99Ms,
    ...(p99RatioAtMost === undefined ? {} : { target: { ratioAtMost: p99RatioAtMost } }),
  },
  { unit: 'ms longest without an answer', of: ({ pauseMs }) => pauseMs },
];

const COUNTS = ['failed', 'lost', 'duplicated'] as const;

const swapFigures = ({ totalMsAtMost, flipMsAtMost }: SwapPromise): readonly Of<Swaps>[] => [
  { unit: 'ms complete → active, median', of: ({ totalsMs }) => at(totalsMs, 0.5), ...below(totalMsAtMost) },
  { unit: 'ms complete → active, p95', of: ({ totalsMs }) => at(totalsMs, 0.95) },
  { unit: 'ms activation on all threads, median', of: ({ flipsMs }) => at(flipsMs, 0.5), ...below(flipMsAtMost) },
];

function below(bound: number | undefined): { readonly target?: Target } {
  return bound === undefined ? {} : { target: { valueAtMost: bound } };
}

interface Swaps {
  readonly totalsMs: readonly number[];
  readonly flipsMs: readonly number[];
}

/** The rows of the scenario, and a line that says where the time of a swap goes. */
function toSwapRows(
  slices: readonly SwapSlice[],
  pace: { readonly description: string; readonly promise: SwapPromise },
): { readonly rows: readonly Row[]; readonly lines: readonly string[] } {
  const swaps = slices.flatMap(({ steps }) => activeOf(steps)).length;
  const load = {
    scenario: 'swap',
    case: `${String(swaps)} swaps: ${pace.description}`,
    subject: 'load with swaps',
    against: 'without',
  };
  const loads = { subject: slices.map(({ swapping }) => swapping), against: slices.map(({ calm }) => calm) };
  const each = { ...load, subject: 'swap under load', against: 'swap without load' };
  const swapped = {
    subject: slices.map(({ steps }) => timesOf(steps)),
    against: slices.map(({ idleSteps }) => timesOf(idleSteps)),
  };
  const rows = [
    ...loadFigures(pace.promise).map((figure) => toRow(loads, { ...load, ...figure })),
    ...COUNTS.map((unit) => countRow(load, unit, slices)),
    ...swapFigures(pace.promise).map((figure) => toRow(swapped, { ...each, ...figure })),
  ];
  const lines = [
    `under load: ${stagesOf(slices.flatMap(({ steps }) => steps))}`,
    `without load: ${stagesOf(slices.flatMap(({ idleSteps }) => idleSteps))}`,
  ];
  return { rows, lines };
}

type Names = Pick<Row, 'scenario' | 'case' | 'subject' | 'against'>;

/** Of all rounds together; equal counts, also of nothing, are a ratio of 1. */
function countRow(names: Names, unit: (typeof COUNTS)[number], slices: readonly SwapSlice[]): Row {
  const value = slices.reduce((sum, { swapping }) => sum + swapping[unit], 0);
  const againstValue = slices.reduce((sum, { calm }) => sum + calm[unit], 0);
  const ratio = value === againstValue ? 1 : value / Math.max(1, againstValue);
  const target: Target = { valueAtMost: 0 };
  return { ...names, unit, value, againstValue, ratio, spread: [ratio, ratio], target, met: value === 0 };
}

function timesOf(steps: readonly Step[]): Swaps {
  const active = activeOf(steps);
  return { totalsMs: active.map(({ ms = NaN }) => ms), flipsMs: active.map((step) => flipOf(step, steps)) };
}

function activeOf(steps: readonly Step[]): readonly Step[] {
  return steps.filter(({ state }) => state === 'active');
}

/** What the host says; otherwise from the moment at which all threads were prepared. */
function flipOf({ flipMs, version, at: activeAt }: Step, steps: readonly Step[]): number {
  const prepared = steps.find((step) => step.version === version && step.state === 'prepared');
  return flipMs ?? activeAt - (prepared?.at ?? NaN);
}

/** Medians of the way from one state to the next. */
function stagesOf(steps: readonly Step[]): string {
  const last = new Map<string, Step>();
  const spent = new Map<string, number[]>();
  for (const step of steps.filter(({ state }) => ON_THE_WAY.has(state))) {
    const before = last.get(step.version);
    const tookMs = before === undefined ? (step.ms ?? NaN) : step.at - before.at;
    spent.set(step.state, [...(spent.get(step.state) ?? []), tookMs]);
    last.set(step.version, step);
  }
  return [...spent]
    .map(([state, tookMs]) => `${state} ${at(tookMs, 0.5).toFixed(1)}`)
    .join(', ')
    .concat(' ms');
}

const ON_THE_WAY: ReadonlySet<string> = new Set(['received', 'verified', 'probed', 'prepared', 'active']);

function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}
