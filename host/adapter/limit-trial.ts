export type Direction = 'down' | 'up';

const PAIRS = { least: 3, most: 8 } as const;
/** So many standard errors make sure. */
const SURE = 2;
/**
 * Logarithms of what a candidate gets done as a share of what the limit does. `wanted` must be reached, `sure` must be reached
 * surely: fewer calls are taken where they cost nothing, more where they bring something.
 */
const SHARE = {
  down: { wanted: Math.log(0.97), sure: Math.log(0.94) },
  up: { wanted: Math.log(1.05), sure: 0 },
} as const;
/** Variance of a window against its two neighbours, in variances of a window. */
const AGAINST_TWO = 1.5;
const HOPELESS = 0.7;

export interface TrialSetting {
  readonly direction: Direction;
  readonly candidate: number;
  /** What the limit got done in the window before; calls a millisecond, as everywhere here. */
  readonly before: number;
  /** What steps down before this one have lost since the best; a logarithm, at most 0. */
  readonly lost: number;
}

/** A candidate and the limit in turns, so that what changes meanwhile meets both: limit, candidate, limit, candidate, limit … */
export class LimitTrial {
  readonly direction: Direction;
  readonly candidate: number;
  readonly #lost: number;
  #before: number;
  #ofCandidate: number | undefined;
  #sum = 0;
  #pairs = 0;
  #triedMs = 0;

  constructor({ direction, candidate, before, lost }: TrialSetting) {
    this.direction = direction;
    this.candidate = candidate;
    this.#before = before;
    this.#lost = lost;
  }

  /** Whether the window is the candidate's. */
  get isCandidates(): boolean {
    return this.#ofCandidate === undefined;
  }

  /** A candidate that gets less done than this needs no longer look. */
  get hopeless(): number {
    return this.isCandidates ? this.#before * HOPELESS : 0;
  }

  /** What the candidate got done as a share of what the limit did: mean of the pairs, a logarithm. */
  get share(): number {
    return this.#sum / this.#pairs;
  }

  /** How long the candidate was in force. */
  get triedMs(): number {
    return this.#triedMs;
  }

  ofCandidate(throughput: number, tookMs: number): void {
    this.#ofCandidate = throughput;
    this.#triedMs += tookMs;
  }

  /** The window after one of the candidate. `noise` is the variance of the logarithm of a window's throughput. */
  ofLimit(throughput: number, noise: number): 'take' | 'leave' | undefined {
    const beside = (Math.log(this.#before) + Math.log(throughput)) / 2;
    this.#sum += Math.log(this.#ofCandidate ?? throughput) - beside;
    this.#pairs += 1;
    this.#before = throughput;
    this.#ofCandidate = undefined;
    return this.#verdict(noise);
  }

  #verdict(noise: number): 'take' | 'leave' | undefined {
    const { wanted, sure } = SHARE[this.direction];
    const share = this.direction === 'down' ? this.share + this.#lost : this.share;
    const doubt = SURE * Math.sqrt((noise * AGAINST_TWO) / this.#pairs);
    if (share + doubt < wanted) return 'leave';
    if (this.#pairs >= PAIRS.least && share >= wanted && share - doubt >= sure) return 'take';
    return this.#pairs < PAIRS.most ? undefined : 'leave';
  }
}
