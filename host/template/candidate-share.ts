import type { CandidateRoute } from './route.js';

/** Who asks, as far as it decides who answers. */
export interface Sharer {
  /**
   * Whether the candidate answers. `decide` gets where the caller stands in the rollout of this salt: in [0, 100), the same
   * for all its requests. It is asked once for a request; the calls that the request makes find the same side.
   */
  side(salt: number, decide: (bucket: number) => boolean): boolean;
}

/** A candidate answers at most this many times its share, */
const MOST = 1.25;
/** and at least this many times, as far as there are requests, */
const LEAST = 0.5;
/** give or take so many requests of one thread. */
const SLACK = 20;

/**
 * Which requests of a domain its candidate answers in this thread. Callers stay on one side as long as that keeps the
 * share: one that asks much is answered by the active version too, and where nobody is on the candidate's side it gets
 * single requests of the others.
 */
export class CandidateShare {
  readonly percent: number;
  readonly #salt: number;
  #asked = 0;
  #taken = 0;

  constructor({ percent, salt }: Pick<CandidateRoute, 'percent' | 'salt'>) {
    this.percent = percent;
    this.#salt = salt;
  }

  /** Whether the candidate answers this request. */
  takes(caller: Sharer): boolean {
    this.#asked += 1;
    const isTaken = caller.side(this.#salt, this.#decide);
    if (isTaken) this.#taken += 1;
    return isTaken;
  }

  isSame({ percent, salt }: Pick<CandidateRoute, 'percent' | 'salt'>): boolean {
    return this.percent === percent && this.#salt === salt;
  }

  readonly #decide = (bucket: number): boolean => {
    const due = (this.#asked * this.percent) / 100;
    if (bucket < this.percent) return this.#taken + 1 <= due * MOST + SLACK;
    return this.#taken < due * LEAST - SLACK;
  };
}
