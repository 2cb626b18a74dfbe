import type { Direction, LimitTrial } from './limit-trial.js';

const LEAST = 2;
const STEP = { down: 3 / 4, up: 4 / 3 } as const;
/** Pauses between trials that changed nothing double up to this. To be too low is worse than to be too high. */
const PAUSE_MS = { first: 1_000, down: 15_000, up: 3_000 } as const;
/** Trials of fewer calls are so rare that they cost no more than this share of the throughput. */
const LOSS_SHARE = 0.02;

/** When another limit is tried, and which. */
export class TrialPace {
  readonly #most: number;
  readonly #pauseMs: Record<Direction, number> = { down: PAUSE_MS.first, up: PAUSE_MS.first };
  readonly #nextMs: Record<Direction, number> = { down: 0, up: 0 };
  /** When the last trials of fewer calls have cost little enough; nothing makes it earlier. */
  #paidMs = 0;
  /** More are tried as a step and as the most by turns: small losses add up, and what was right may be wrong altogether. */
  #isFar = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether there is anything to try. */
  get isIdle(): boolean {
    return this.#most <= LEAST;
  }

  due(nowMs: number, held: number): Direction | undefined {
    const { down, up } = this.#nextMs;
    const isUp = held < this.#most && nowMs >= up;
    const isDown = held > LEAST && nowMs >= down && nowMs >= this.#paidMs;
    if (isUp && (!isDown || up <= down)) return 'up';
    return isDown ? 'down' : undefined;
  }

  candidate(direction: Direction, held: number): number {
    if (direction === 'down') return Math.max(LEAST, Math.floor(held * STEP.down));
    this.#isFar = !this.#isFar;
    return this.#isFar ? this.#most : Math.min(this.#most, Math.ceil(held * STEP.up));
  }

  /** A candidate is held from now on: at once another step that way is tried. */
  taken(nowMs: number, direction: Direction): void {
    this.restart(nowMs);
    // n.b. where more get more done, to lower it was wrong.
    if (direction === 'up') {
      this.#pauseMs.down = PAUSE_MS.down;
      this.#nextMs.down = nowMs + PAUSE_MS.down;
    }
    this.#nextMs[direction] = nowMs;
  }

  left(nowMs: number, { direction, candidate, triedMs }: LimitTrial, held: number): void {
    // n.b. not by what was measured, which may be luck.
    if (direction === 'down') this.#paidMs = nowMs + (triedMs * (1 - candidate / held)) / LOSS_SHARE;
    this.#nextMs[direction] = nowMs + this.#pauseMs[direction];
    this.#pauseMs[direction] = Math.min(PAUSE_MS[direction], this.#pauseMs[direction] * 2);
  }

  restart(nowMs: number): void {
    this.#pauseMs.down = PAUSE_MS.first;
    this.#pauseMs.up = PAUSE_MS.first;
    this.#nextMs.down = nowMs + PAUSE_MS.first;
    this.#nextMs.up = nowMs + PAUSE_MS.first;
  }
}
