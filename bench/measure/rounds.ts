import type { BenchContext, Row, Target } from '../contract.js';

/** One side of a comparison: runs one slice and says what it came to. */
export type Contender<S> = (durationMs: number) => Promise<S>;

export interface Pair<S> {
  readonly subject: Contender<S>;
  readonly against: Contender<S>;
}

/** The slices of both sides; those of one index were neighbours in time. */
export interface Rounds<S> {
  readonly subject: readonly S[];
  readonly against: readonly S[];
}

/** Two contenders by turns: whatever else the machine does meets both sides alike. */
export async function interleave<S>({ subject, against }: Pair<S>, context: Turning): Promise<Rounds<S>> {
  const turns = await takeTurns(new Map(Object.entries({ subject, against })), context);
  return pairOf(turns, 'subject', 'against');
}

type Turning = Pick<BenchContext, 'effort' | 'signal'>;

/** The slices of every contender; those of one index were of one round. */
export type Turns<S> = ReadonlyMap<string, readonly S[]>;

/**
 * A B C, B C A, …: each round begins with another one, so that nobody always runs behind the same neighbour. The first
 * round warms up and is not kept; a smoke run goes without.
 */
export async function takeTurns<S>(
  contenders: ReadonlyMap<string, Contender<S>>,
  { effort, signal }: Turning,
): Promise<Turns<S>> {
  const names = [...contenders.keys()];
  const turns = new Map<string, S[]>(names.map((name) => [name, []]));
  for (let round = effort.isSmoke ? 1 : 0; round <= effort.rounds; round++) {
    const first = round % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      signal.throwIfAborted();
      const sample = await contenders.get(name)?.(effort.sliceMs);
      if (round > 0 && sample !== undefined) turns.get(name)?.push(sample);
    }
  }
  return turns;
}

/** Keeps everybody busy for so many slices, until V8 has compiled what they run. */
export async function warmUp<S>(
  contenders: ReadonlyMap<string, Contender<S>>,
  { effort, signal }: Turning,
  slices: number,
): Promise<void> {
  await takeTurns(contenders, { effort: { ...effort, rounds: 0, sliceMs: effort.sliceMs * slices }, signal });
}

/** Two of them side by side. */
export function pairOf<S>(turns: Turns<S>, subject: string, against: string): Rounds<S> {
  return { subject: turns.get(subject) ?? [], against: turns.get(against) ?? [] };
}

/** Names of a figure, and how it is read off a sample. */
export interface Figure<S> extends Pick<Row, 'scenario' | 'case' | 'subject' | 'against' | 'unit'> {
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
