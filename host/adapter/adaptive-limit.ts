import { ticker, type Ticking } from './ticker.js';

/** A window is as long as it takes for the count of what ended in it to mean something, within these bounds. */
const WINDOW_MS = { least: 250, most: 800 } as const;
const ENDED_PER_CALL = 20;
/** A short rush is left alone. */
const FIRST_PAUSE = 4;
/** Where fewer calls got less done it is left alone for longer and longer, up to so many windows. */
const MOST_PAUSE = 16;
const OTHER = { up: 'down', down: 'up' } as const;
const STEP = { down: 0.75, up: 1.5 } as const;
/** Of the throughput before: what fewer calls must still reach, and what more calls must bring. */
const WORTH = { down: 0.97, up: 1.05 } as const;
/** Where so much more or less gets done by itself, something else is asked now. */
const CHANGE = 1.25;
const OVERLOAD_SHARE = 0.1;

type Direction = 'up' | 'down';

interface Trial {
  readonly from: number;
  readonly direction: Direction;
}

/**
 * How many calls a store works on at once: `most`, unless fewer get as much done. While calls wait, as many are in the
 * server as the limit says, so by Little's law their latency is limit / throughput: fewer at the same throughput are
 * answered sooner, and leave the server to others. It is found by climbing the hill, as .NET's thread pool does
 * (Hellerstein and others, Optimizing Concurrency Levels in the .NET ThreadPool): a step, a look, and back if it was
 * wrong. Latency itself, which limits like Vegas and Gradient2 go by, says here how busy this thread is.
 */
export class AdaptiveLimit implements Ticking {
  readonly most: number;
  readonly #least: number;
  readonly #line: { readonly size: number };
  readonly #onRaised: () => void;
  #current: number;
  #isWatching = false;
  #sinceMs = 0;
  #ended = 0;
  #timedOut = 0;
  /** Whether calls waited at every tick of the window. */
  #isBusy = true;
  /** Endings in a millisecond, at the limit that holds when there is no trial. */
  #throughput = 0;
  #trial: Trial | undefined;
  #next: Direction = 'down';
  #pause = FIRST_PAUSE;
  #windowsLeft = FIRST_PAUSE;

  /** Who waits, and what to do when more of them may go. */
  constructor(most: number, line: { readonly size: number }, onRaised: () => void) {
    this.most = most;
    // n.b. a transaction may wait for a call beside it.
    this.#least = Math.min(most, 2);
    this.#line = line;
    this.#onRaised = onRaised;
    this.#current = most;
  }

  get current(): number {
    return this.#current;
  }

  /** A call has to wait: from now on until none does for a window, the limit is looked after. */
  watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    ticker.add(this);
    this.#begin(performance.now());
  }

  /** A call that was in the server has ended. */
  ended(): void {
    this.#ended += 1;
  }

  /** It took too long; counted by `ended` too. */
  timedOut(): void {
    this.#timedOut += 1;
  }

  tick(nowMs: number): void {
    if (this.#line.size === 0) this.#isBusy = false;
    const tookMs = nowMs - this.#sinceMs;
    const isEnough = this.#ended >= ENDED_PER_CALL * this.#current;
    if (tookMs < WINDOW_MS.least || (tookMs < WINDOW_MS.most && this.#isBusy && !isEnough)) return;
    this.#judge(this.#ended / tookMs);
    this.#begin(nowMs);
  }

  #judge(throughput: number): void {
    if (this.#timedOut > this.#ended * OVERLOAD_SHARE) {
      this.#forget();
      this.#set(this.#current / 2);
    } else if (!this.#isBusy || this.#ended === 0) {
      // What nobody waits for needs no limit; and calls may be waiting for calls that wait for them.
      this.#forget();
      this.#set(this.most);
      if (this.#line.size === 0) this.#stop();
    } else {
      this.#climb(throughput);
    }
  }

  #climb(throughput: number): void {
    const trial = this.#trial;
    const before = this.#throughput;
    this.#trial = undefined;
    if (trial !== undefined && throughput < before * WORTH[trial.direction]) {
      this.#set(trial.from);
      this.#next = OTHER[trial.direction];
      this.#pause = Math.min(this.#pause * 2, MOST_PAUSE);
      this.#windowsLeft = this.#pause;
      return;
    }
    // n.b. several steps down, each a little worse, must not add up.
    this.#throughput = trial?.direction === 'down' ? Math.max(throughput, before) : throughput;
    this.#windowsLeft -= 1;
    const isOther = throughput > before * CHANGE || throughput < before / CHANGE;
    if (trial !== undefined) {
      this.#pause = 1;
      this.#try(trial.direction);
    } else if (isOther && this.#current < this.most) {
      this.#pause = 1;
      this.#try('up');
    } else if (this.#windowsLeft <= 0) {
      this.#try(this.#next);
    }
  }

  #try(wanted: Direction): void {
    const atEnd = { up: this.#current === this.most, down: this.#current === this.#least };
    const direction = atEnd[wanted] ? OTHER[wanted] : wanted;
    this.#next = direction;
    this.#windowsLeft = this.#pause;
    this.#trial = { from: this.#current, direction };
    this.#set(this.#current * STEP[direction]);
  }

  #set(limit: number): void {
    const before = this.#current;
    const whole = limit < before ? Math.floor(limit) : Math.ceil(limit);
    this.#current = Math.max(this.#least, Math.min(this.most, whole));
    if (this.#current > before) this.#onRaised();
  }

  #begin(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#ended = 0;
    this.#timedOut = 0;
    this.#isBusy = true;
  }

  #forget(): void {
    this.#trial = undefined;
    this.#throughput = 0;
    this.#next = 'down';
    this.#pause = FIRST_PAUSE;
    this.#windowsLeft = FIRST_PAUSE;
  }

  #stop(): void {
    this.#isWatching = false;
    ticker.remove(this);
  }
}
