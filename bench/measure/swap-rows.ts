import type { Step } from '../bed/protocol.js';
import type { Row, Target } from '../contract.js';
import type { LoadSample } from './steady-load.js';
import { type Figure, toRow } from './to-row.js';

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
    ...{ unit: 'ms p99', of: ({ p99Ms }) => p99Ms },
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

/** The rows of the question, and where the time of a swap goes, in words. */
export function toSwapRows(
  slices: readonly SwapSlice[],
  pace: { readonly words: string; readonly promise: SwapPromise },
): { readonly rows: readonly Row[]; readonly words: readonly string[] } {
  const swaps = slices.flatMap(({ steps }) => activeOf(steps)).length;
  const load = {
    question: 'swap',
    case: `${String(swaps)} swaps: ${pace.words}`,
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
  const words = [
    `under load: ${stagesOf(slices.flatMap(({ steps }) => steps))}`,
    `without load: ${stagesOf(slices.flatMap(({ idleSteps }) => idleSteps))}`,
  ];
  return { rows, words };
}

type Names = Pick<Row, 'question' | 'case' | 'subject' | 'against'>;

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
