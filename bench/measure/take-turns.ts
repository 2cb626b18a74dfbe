import type { Bed } from '../contract.js';
import type { Contender, Rounds } from './interleave.js';

/** The slices of every contender; those of one index were of one round. */
export type Turns<S> = ReadonlyMap<string, readonly S[]>;

/**
 * A B C, B C A, …: each round begins with another one, so that nobody always runs behind the same neighbour. The first
 * round warms up and is not kept.
 */
export async function takeTurns<S>(
  contenders: ReadonlyMap<string, Contender<S>>,
  { effort, signal }: Pick<Bed, 'effort' | 'signal'>,
): Promise<Turns<S>> {
  const names = [...contenders.keys()];
  const turns = new Map<string, S[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= effort.rounds; round++) {
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
  { effort, signal }: Pick<Bed, 'effort' | 'signal'>,
  slices: number,
): Promise<void> {
  await takeTurns(contenders, { effort: { ...effort, rounds: 0, sliceMs: effort.sliceMs * slices }, signal });
}

/** Two of them side by side. */
export function pairOf<S>(turns: Turns<S>, subject: string, against: string): Rounds<S> {
  return { subject: turns.get(subject) ?? [], against: turns.get(against) ?? [] };
}
