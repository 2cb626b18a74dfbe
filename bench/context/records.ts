/** Records that are there before anything is measured, with keys from 1 on. */
export const RECORD_COUNT = 5_000;

/** A prime, so that neighbours in time are not neighbours in the index, and every key has its turn. */
const STRIDE = 7_919;

/** The key that the n-th read asks for. */
export function keyOf(n: number): number {
  return ((n * STRIDE) % RECORD_COUNT) + 1;
}

/** What the n-th record holds besides its key. */
export function fieldsOf(n: number): { readonly name: string; readonly amount: number; readonly note: string } {
  return { name: `record ${n}`, amount: n % 1_000, note: 'a note of a length that notes often have, give or take' };
}

/** Calls of a fan-out to each of the two databases; 48 in all. */
export const FANOUT_KEYS = 24;

/** Keys that the n-th fan-out asks both databases for. */
export function nextKeys(n: number): readonly number[] {
  return Array.from({ length: FANOUT_KEYS }, (_, index) => keyOf(n * FANOUT_KEYS + index));
}
