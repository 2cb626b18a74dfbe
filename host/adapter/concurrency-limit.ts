import type { Ending } from './ending.js';
import { LimitTrial } from './limit-trial.js';
import { LimitWindow } from './limit-window.js';
import { ThroughputRecord } from './throughput-record.js';
import { ticker as sharedTicker, type Ticking } from './ticker.js';
import { TrialPace } from './trial-pace.js';

export type LimitReason =
  | 'fewer get as much done'
  | 'more get more done'
  | 'less than half gets done'
  | 'nothing ends'
  | 'nothing can be said'
  | 'nobody waits';

export interface LimitOptions {
  /** Calls at once, as long as nothing speaks for fewer. */
  readonly most: number;
  /** false: always the most. */
  readonly adaptive: boolean;
  /** Who waits for a turn. */
  readonly line: { readonly size: number };
  /** More may go than a moment ago. */
  readonly onRaised: () => void;
  /** Another limit is held; not told of trials. */
  readonly onChanged: (limit: number, reason: LimitReason) => void;
  readonly ticker?: Pick<typeof sharedTicker, 'add' | 'remove'>;
}

/** A tick so late says that this thread was busy itself. */
const LATE_MS = 100;
const EMPTY_MS = 200;
/** A lowered limit that nothing has confirmed for so long is given up. */
const UNCONFIRMED_MS = 3_000;
const QUIET = { leastMs: 200, latencies: 5 } as const;
const COLLAPSE = 0.5;

/**
 * How many calls a store works on at once: the most, unless fewer get as much done, which is found by trying them against each
 * other while calls wait. Whatever makes that doubtful brings the most back. See host/README.md for what it rests on.
 */
export class ConcurrencyLimit implements Ticking {
  readonly #options: LimitOptions;
  readonly #ticker: Pick<typeof sharedTicker, 'add' | 'remove'>;
  readonly #pace: TrialPace;
  readonly #window = new LimitWindow();
  readonly #record = new ThroughputRecord();
  #held: number;
  #current: number;
  #working = 0;
  #done = 0;
  #trial: LimitTrial | undefined;
  #isWatching = false;
  /** Times of ticks; undefined: before the first. */
  #tickedMs: number | undefined;
  #setMs = 0;
  #confirmedMs = 0;
  #emptySinceMs: number | undefined;
  #quietSinceMs = 0;
  #quietAt = 0;
  /** Calls done in a millisecond when the limit was lowered. */
  #whenTaken = 0;
  /** What steps down have lost since the best; a logarithm. */
  #lost = 0;

  constructor(options: LimitOptions) {
    this.#options = options;
    this.#ticker = options.ticker ?? sharedTicker;
    this.#pace = new TrialPace(options.most);
    this.#held = options.most;
    this.#current = options.most;
  }

  /** What holds between trials. */
  get held(): number {
    return this.#held;
  }

  /** What holds now: in a trial, the candidate in turns. */
  get current(): number {
    return this.#current;
  }

  /** Calls that may begin before it is full; below 0 after the limit was lowered. */
  get room(): number {
    return this.#current - this.#working;
  }

  /** A call has to wait: until none does for a while, the limit is looked after. */
  watch(): void {
    if (this.#isWatching || !this.#options.adaptive || this.#pace.isIdle) return;
    this.#isWatching = true;
    this.#tickedMs = undefined;
    this.#ticker.add(this);
  }

  began(): void {
    this.#working += 1;
  }

  ended(ending: Ending): void {
    this.#working -= 1;
    if (ending === 'done') this.#done += 1;
    this.#window.ended(ending);
  }

  tick(nowMs: number): void {
    const before = this.#tickedMs;
    this.#tickedMs = nowMs;
    if (before === undefined) this.#reset(nowMs, 'nobody waits');
    else if (nowMs - before > LATE_MS) {
      // n.b. what ended meanwhile is heard of now, all at once.
      this.#quietSinceMs = nowMs;
      this.#lookAgain(nowMs);
    } else if (this.#options.line.size === 0) this.#empty(nowMs);
    else this.#busy(nowMs);
  }

  #empty(nowMs: number): void {
    this.#emptySinceMs ??= nowMs;
    this.#lookAgain(nowMs);
    if (nowMs - this.#emptySinceMs < EMPTY_MS) return;
    this.#reset(nowMs, 'nobody waits');
    this.#isWatching = false;
    this.#ticker.remove(this);
  }

  #busy(nowMs: number): void {
    this.#emptySinceMs = undefined;
    const seen = this.#window.look(nowMs, this.#working);
    if (this.#isQuiet(nowMs)) this.#reset(nowMs, 'nothing ends');
    else if (seen === 'void' || nowMs - this.#confirmedMs > UNCONFIRMED_MS) this.#reset(nowMs, 'nothing can be said');
    else if (seen !== undefined) this.#judge(nowMs, seen);
  }

  #isQuiet(nowMs: number): boolean {
    if (this.#done !== this.#quietAt) {
      this.#quietAt = this.#done;
      this.#quietSinceMs = nowMs;
    }
    const { usual } = this.#record;
    const latencyMs = usual === 0 ? UNCONFIRMED_MS : this.#held / usual;
    return nowMs - this.#quietSinceMs > Math.max(QUIET.leastMs, QUIET.latencies * latencyMs);
  }

  #judge(nowMs: number, throughput: number): void {
    this.#confirmedMs = nowMs;
    const trial = this.#trial;
    if (trial?.isCandidates === true) {
      trial.ofCandidate(throughput, nowMs - this.#setMs);
      this.#set(nowMs, this.#held);
      return;
    }
    if (this.#held < this.#options.most && throughput < this.#whenTaken * COLLAPSE) {
      this.#reset(nowMs, 'less than half gets done');
      return;
    }
    this.#record.note(throughput);
    if (trial === undefined) {
      this.#rest(nowMs, throughput);
      return;
    }
    const verdict = trial.ofLimit(throughput, this.#record.noise);
    if (verdict === undefined) this.#set(nowMs, trial.candidate);
    else this.#conclude(nowMs, trial, verdict);
  }

  /** A window between trials. */
  #rest(nowMs: number, throughput: number): void {
    if (this.#record.hasChanged()) this.#pace.restart(nowMs);
    const direction = this.#pace.due(nowMs, this.#held);
    if (direction === undefined) {
      this.#lookAgain(nowMs);
      return;
    }
    const candidate = this.#pace.candidate(direction, this.#held);
    this.#trial = new LimitTrial({ direction, candidate, before: throughput, lost: this.#lost });
    this.#set(nowMs, candidate);
  }

  #conclude(nowMs: number, trial: LimitTrial, verdict: 'take' | 'leave'): void {
    this.#trial = undefined;
    if (verdict === 'leave') {
      this.#pace.left(nowMs, trial, this.#held);
      this.#lookAgain(nowMs);
      return;
    }
    const { direction, candidate, share } = trial;
    this.#lost = Math.min(0, this.#lost + share);
    this.#record.multiply(Math.exp(share));
    this.#whenTaken = this.#record.usual;
    this.#pace.taken(nowMs, direction);
    this.#held = candidate;
    this.#set(nowMs, candidate);
    this.#options.onChanged(candidate, direction === 'down' ? 'fewer get as much done' : 'more get more done');
  }

  /** Back to the most; everything that was found is doubtful. */
  #reset(nowMs: number, reason: LimitReason): void {
    const isLowered = this.#held < this.#options.most;
    this.#held = this.#options.most;
    this.#trial = undefined;
    this.#confirmedMs = nowMs;
    this.#quietSinceMs = nowMs;
    this.#lost = 0;
    this.#record.forget();
    this.#pace.restart(nowMs);
    this.#set(nowMs, this.#held);
    if (isLowered) this.#options.onChanged(this.#held, reason);
  }

  #set(nowMs: number, limit: number): void {
    const isRaised = limit > this.#current;
    this.#current = limit;
    this.#setMs = nowMs;
    this.#window.begin(nowMs, { limit, underWay: this.#working, hopeless: this.#trial?.hopeless ?? 0 });
    if (isRaised) this.#options.onRaised();
  }

  /** The window begins anew under the same limit. */
  #lookAgain(nowMs: number): void {
    this.#window.begin(nowMs, { limit: this.#current, underWay: 0, hopeless: this.#trial?.hopeless ?? 0 });
  }
}
