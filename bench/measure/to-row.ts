import type { Row, Target } from '../contract.js';
import type { Rounds } from './interleave.js';

/** Names of a figure, and how it is read off a sample. */
export interface Figure<S> extends Pick<Row, 'question' | 'case' | 'subject' | 'against' | 'unit'> {
  readonly of: (sample: S) => number;
  readonly target?: Target;
}

export function toRow<S>(rounds: Rounds<S>, { of, target, ...names }: Figure<S>): Row {
  const values = rounds.subject.map(of);
  const againstValues = rounds.against.map(of);
  const ratios = values.map((value, round) => value / (againstValues[round] ?? Number.NaN));
  const value = median(values);
  const ratio = median(ratios);
  const row: Row = {
    ...names,
    value: rounded(value),
    againstValue: rounded(median(againstValues)),
    ratio: rounded(ratio),
    spread: [rounded(Math.min(...ratios)), rounded(Math.max(...ratios))],
  };
  return target === undefined ? row : { ...row, target, met: isMet(target, { value, ratio }) };
}

function isMet(target: Target, { value, ratio }: { readonly value: number; readonly ratio: number }): boolean {
  const { ratioAtLeast = -Infinity, ratioAtMost = Infinity, valueAtLeast = -Infinity, valueAtMost = Infinity } = target;
  return ratio >= ratioAtLeast && ratio <= ratioAtMost && value >= valueAtLeast && value <= valueAtMost;
}

/** Further digits would say nothing. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
