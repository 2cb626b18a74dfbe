import type { Config } from '../../config/schema.js';
import { type FailureClass, IN_DOUBT, LATENCY_BOUNDS_MS, OF_CALLERS } from '../../request/observations.js';
import { type Finding, makeFinding } from '../../template/contract.js';

/** How the requests of one version ended over some time, on all threads. */
export interface Outcome {
  readonly requests: number;
  readonly failures: Readonly<Partial<Record<FailureClass, number>>>;
  /** Faults that no request ended with, see `Tally`. */
  readonly strays?: Readonly<Partial<Record<FailureClass, number>>>;
  /** Requests by latency, see LATENCY_BOUNDS_MS. */
  readonly latency: readonly number[];
}

export type GuardSettings = Pick<
  Config['rollout'],
  'guardMinRequests' | 'guardErrorPercent' | 'guardMaxErrorPercent' | 'guardP95Ratio' | 'guardMaxP95Ms'
>;

/** Refusals may be the callers' doing: they end a canary and condemn no bytes. */
interface Offence {
  /** What the requests did: a verb. */
  readonly what: string;
  readonly code: 'BEDS_ROLLOUT_GUARD_ERRORS' | 'BEDS_ROLLOUT_GUARD_REFUSALS';
}

/** Normal quantile of a two-sided 95 % interval. */
const Z = 1.96;
/** A 95th percentile needs a longer sample than a rate. */
const LATENCY_SAMPLE_FACTOR = 5;
/** Two fast versions differ by noise: a slower one must be slower by this much besides the ratio. */
const P95_FLOOR_MS = 10;
/**
 * What speaks against a candidate, compared with the version that serves over the same time; undefined: nothing (yet).
 * A rate counts by the lower bound of its Wilson interval, so that a few failures among few requests are no verdict.
 * https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
 */
export function judge(candidate: Outcome, active: Outcome, settings: GuardSettings): Finding | undefined {
  if (candidate.requests < settings.guardMinRequests) return undefined;
  return judgeErrors(candidate, active, settings) ?? judgeLatency(candidate, active, settings);
}

function judgeErrors(candidate: Outcome, active: Outcome, settings: GuardSettings): Finding | undefined {
  const worse = ({ what, code }: Offence, failed: number, before: number): Finding | undefined => {
    const least = lowerBound(failed, candidate.requests);
    if (least - rate(before, active.requests) <= settings.guardErrorPercent / 100) return undefined;
    const words =
      `${share(failed, candidate.requests)} of its requests ${what}, against ` +
      `${share(before, active.requests)} of the serving version.`;
    return makeFinding(code, words);
  };
  const own = ownFailures(candidate);
  // Both may fail because of what they share: then only the difference counts.
  const certain = isAlike(candidate, active) ? own - failuresInDoubt(candidate) : own;
  if (lowerBound(certain, candidate.requests) > settings.guardMaxErrorPercent / 100) {
    const words = `${share(certain, candidate.requests)} of its requests failed.`;
    return makeFinding('BEDS_ROLLOUT_GUARD_ERRORS', words);
  }
  const failed = worse({ what: 'failed', code: 'BEDS_ROLLOUT_GUARD_ERRORS' }, own, ownFailures(active));
  // How many mistakes of callers are usual only the serving version can tell.
  if (failed !== undefined || active.requests < settings.guardMinRequests) return failed;
  const classes = Object.entries(candidate.failures).map(([status, count]) =>
    worse(
      {
        what: `ended as '${status}'`,
        code: OF_CALLERS.has(status) ? 'BEDS_ROLLOUT_GUARD_REFUSALS' : 'BEDS_ROLLOUT_GUARD_ERRORS',
      },
      count,
      active.failures[status as FailureClass] ?? 0,
    ),
  );
  return classes.find((finding) => finding !== undefined);
}

function judgeLatency(candidate: Outcome, active: Outcome, settings: GuardSettings): Finding | undefined {
  const least = settings.guardMinRequests * LATENCY_SAMPLE_FACTOR;
  const measured = sum(candidate.latency);
  if (measured < least) return undefined;
  const p95 = percentile95Ms(candidate.latency);
  const before = percentile95Ms(active.latency);
  const isBothSlow = sum(active.latency) >= settings.guardMinRequests && before > settings.guardMaxP95Ms;
  if (p95 > settings.guardMaxP95Ms && !isBothSlow) {
    const words = `95 % of its requests took up to ${ms(p95)}; ${ms(settings.guardMaxP95Ms)} are allowed.`;
    return makeFinding('BEDS_ROLLOUT_GUARD_LATENCY', words);
  }
  if (sum(active.latency) < least || p95 <= before * settings.guardP95Ratio || p95 <= before + P95_FLOOR_MS)
    return undefined;
  const words = `95 % of its requests took up to ${ms(p95)}, against ${ms(before)} of the serving version.`;
  return makeFinding('BEDS_ROLLOUT_GUARD_LATENCY', words);
}

/**
 * What speaks against a candidate by the faults that no request ended with, such as rejections that nobody handled. They are
 * judged like failed requests, at most one for each request or copy; where nobody asks, each stands for itself.
 */
export function judgeStrays(
  candidate: Outcome & { readonly copies: number },
  active: Outcome,
  settings: GuardSettings,
): Finding | undefined {
  const strays = strayFaults(candidate);
  const sample = Math.max(candidate.requests + candidate.copies, strays);
  if (sample < settings.guardMinRequests) return undefined;
  const before = strayFaults(active);
  const least = lowerBound(strays, sample);
  const isWorse = least - rate(before, Math.max(active.requests, before)) > settings.guardErrorPercent / 100;
  if (!isWorse && least <= settings.guardMaxErrorPercent / 100) return undefined;
  const count = (faults: number, requests: number): string =>
    `${String(faults)} faults that no request ended with, beside ${String(requests)} requests`;
  const words = `It left ${count(strays, candidate.requests + candidate.copies)}; the serving version left ${count(before, active.requests)}.`;
  return makeFinding('BEDS_ROLLOUT_GUARD_ERRORS', words);
}

/** What speaks against a candidate by the copies that failed where the serving version answered. */
export function judgeCopies(
  { compared, failed }: { readonly compared: number; readonly failed: number },
  settings: GuardSettings,
): Finding | undefined {
  if (compared < settings.guardMinRequests || lowerBound(failed, compared) <= settings.guardErrorPercent / 100)
    return undefined;
  const words = `${share(failed, compared)} of the copies of reads failed where the serving version answered.`;
  return makeFinding('BEDS_ROLLOUT_GUARD_ERRORS', words);
}

/** Failures that are not the callers' own. */
export function ownFailures({ failures }: Outcome): number {
  return sum(Object.entries(failures).map(([status, count]) => (OF_CALLERS.has(status) ? 0 : count)));
}

/** Failures that may be those of a database, of RabbitMQ or of the machine. */
function failuresInDoubt({ failures }: Outcome): number {
  return sum(Object.entries(failures).map(([status, count]) => (IN_DOUBT.has(status) ? count : 0)));
}

/** Faults that no request ended with, without those that were a database's. */
export function strayFaults({ strays = {} }: Outcome): number {
  return sum(Object.entries(strays).map(([status, count]) => (IN_DOUBT.has(status) ? 0 : count)));
}

/** Whether anything failed that may have reasons outside of the code. Code may make any fault of a database that is away. */
export function hasDoubtful(outcome: Outcome): boolean {
  return ownFailures(outcome) + (outcome.failures.forbidden ?? 0) + sum(Object.values(outcome.strays ?? {})) > 0;
}

/** Whether the serving version fails for reasons that may lie outside of the code about as often: at least half as often. */
function isAlike(candidate: Outcome, active: Outcome): boolean {
  const before = rate(failuresInDoubt(active), active.requests);
  return before > 0 && before * 2 >= rate(failuresInDoubt(candidate), candidate.requests);
}

/** Whether at least half of the requests of a moment failed on both sides, for reasons that may lie outside of the code. */
export function isBothFailing(candidate: Outcome, active: Outcome): boolean {
  const isFailing = (side: Outcome): boolean => failuresInDoubt(side) * 2 >= side.requests;
  return failuresInDoubt(active) > 0 && isFailing(active) && isFailing(candidate);
}

/** Upper bound of the bucket that holds the 95th percentile; 0 without a sample. */
export function percentile95Ms(latency: readonly number[]): number {
  const wanted = sum(latency) * 0.95;
  let seen = 0;
  for (const [index, count] of latency.entries()) {
    seen += count;
    if (seen >= wanted && seen > 0) return LATENCY_BOUNDS_MS[index] ?? Infinity;
  }
  return 0;
}

/** Lower bound of the 95 % Wilson interval of a rate. */
export function lowerBound(failed: number, requests: number): number {
  if (requests === 0) return 0;
  const measured = failed / requests;
  const square = Z * Z;
  const middle = measured + square / (2 * requests);
  const width = Z * Math.sqrt((measured * (1 - measured) + square / (4 * requests)) / requests);
  return Math.max(0, (middle - width) / (1 + square / requests));
}

function rate(failed: number, requests: number): number {
  return requests === 0 ? 0 : failed / requests;
}

function share(failed: number, requests: number): string {
  return `${(rate(failed, requests) * 100).toFixed(1)} % (${String(failed)} of ${String(requests)})`;
}

function ms(value: number): string {
  return `${String(Math.round(value))} ms`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
