import type { ErrorStatus } from '@beds/sdk';
import type { Tally } from '../request/observations.js';

/** How a request ended: `ok`, or the class of its error. `stray`: a fault that no request ended with. */
export type RequestOutcome = 'ok' | ErrorStatus | 'stray';

export interface OutcomeCount {
  readonly generation: number;
  readonly outcome: RequestOutcome;
  /** More than the last time; above 0. */
  readonly count: number;
}

type Seen = ReadonlyMap<RequestOutcome, number>;

/** Turns what threads count since they prepared a generation into increments, which no thread that ends takes back. */
export class RequestTotals {
  readonly #seen = new Map<string, Map<number, Seen>>();

  /** What came to the tallies of a thread since they were looked at last. */
  add(thread: string, tallies: readonly Tally[]): readonly OutcomeCount[] {
    return tallies.flatMap((tally) => this.#more(thread, tally));
  }

  /** The same for the last tally of a generation in a thread. */
  addLast(thread: string, tally: Tally): readonly OutcomeCount[] {
    const more = this.#more(thread, tally);
    this.#seen.get(thread)?.delete(tally.generation);
    return more;
  }

  /** The thread has ended. */
  forget(thread: string): void {
    this.#seen.delete(thread);
  }

  #more(thread: string, tally: Tally): readonly OutcomeCount[] {
    const { generation } = tally;
    const ofThread = this.#seen.get(thread) ?? new Map<number, Seen>();
    this.#seen.set(thread, ofThread);
    const before = ofThread.get(generation);
    const now = outcomesOf(tally);
    ofThread.set(generation, now);
    return [...now].flatMap(([outcome, total]) => {
      const count = total - (before?.get(outcome) ?? 0);
      return count > 0 ? [{ generation, outcome, count }] : [];
    });
  }
}

function outcomesOf({ requests, failures, strays = {} }: Tally): Seen {
  const failed = Object.entries(failures) as [ErrorStatus, number][];
  const ok = failed.reduce((left, [, count]) => left - count, requests);
  const stray = Object.values(strays).reduce((sum, count) => sum + count, 0);
  return new Map<RequestOutcome, number>([['ok', ok], ...failed, ...(stray === 0 ? [] : [['stray', stray] as const])]);
}
