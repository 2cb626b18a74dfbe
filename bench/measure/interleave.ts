import type { Bed } from '../contract.js';

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

/** A B A B …: whatever else the machine does meets both sides alike. The first round warms up and is not kept. */
export async function interleave<S>(
  pair: Pair<S>,
  { effort, signal }: Pick<Bed, 'effort' | 'signal'>,
): Promise<Rounds<S>> {
  const subject: S[] = [];
  const against: S[] = [];
  for (let round = 0; round <= effort.rounds; round++) {
    signal.throwIfAborted();
    const ours = await pair.subject(effort.sliceMs);
    signal.throwIfAborted();
    const theirs = await pair.against(effort.sliceMs);
    if (round === 0) continue;
    subject.push(ours);
    against.push(theirs);
  }
  return { subject, against };
}
