import { storeErrors } from '../errors/store.js';
import type { CallOptions } from './contract.js';

/** Something that ends at its deadline. It is an entry of a list itself, so that watching it costs no object more. */
export abstract class WheelEntry {
  /** The entry before and after in the list of its tick; undefined while it is not watched. */
  previous: WheelEntry | undefined;
  next: WheelEntry | undefined;

  /** Called once, when the deadline has passed and the entry was not removed before. */
  abstract expire(): void;
}

/** Begins and ends the list of a tick. */
class Tick extends WheelEntry {
  readonly number: number;

  constructor(number: number) {
    super();
    this.number = number;
    this.previous = this;
    this.next = this;
  }

  override expire(): void {
    // A tick has no deadline of its own.
  }
}

class Expiry extends WheelEntry {
  override readonly expire: () => void;

  constructor(expire: () => void) {
    super();
    this.expire = expire;
  }
}

const TICK_MS = 10;

/**
 * Timers for many requests at the price of one: deadlines are kept by tick and looked at together, so a request costs four
 * pointers instead of a timer. A deadline fires at most two ticks late.
 */
export class TimerWheel {
  readonly #ticks = new Map<number, Tick>();
  /** The one that was added to last: most requests have the same deadline. */
  #latest = new Tick(-1);
  #size = 0;
  #last = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Calls `expire` once at `atMs`, in terms of performance.now(), unless what it gives is removed before. */
  watch(atMs: number, expire: () => void): WheelEntry {
    const entry = new Expiry(expire);
    this.add(atMs, entry);
    return entry;
  }

  /** Lets `entry` expire once at `atMs`, in terms of performance.now(), unless removed before. */
  add(atMs: number, entry: WheelEntry): void {
    if (this.#timer === undefined) this.#start();
    const tick = this.#tick(Math.max(tickOf(atMs), this.#last) + 1);
    const { previous } = tick;
    entry.previous = previous;
    entry.next = tick;
    if (previous !== undefined) previous.next = entry;
    tick.previous = entry;
    this.#size += 1;
  }

  /** False when it was not watched any more, because it expired or was removed before. */
  remove(entry: WheelEntry): boolean {
    const { previous, next } = entry;
    if (previous === undefined || next === undefined) return false;
    previous.next = next;
    next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.#size -= 1;
    return true;
  }

  #tick(number: number): Tick {
    if (this.#latest.number === number) return this.#latest;
    let tick = this.#ticks.get(number);
    if (tick === undefined) this.#ticks.set(number, (tick = new Tick(number)));
    this.#latest = tick;
    return tick;
  }

  #start(): void {
    this.#last = tickOf(performance.now());
    this.#timer = setInterval(() => {
      this.#advance();
    }, TICK_MS);
  }

  #advance(): void {
    const now = tickOf(performance.now());
    while (this.#last < now) {
      // n.b. before its entries expire: what they add belongs to a later tick.
      this.#last += 1;
      this.#expire(this.#last);
    }
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#ticks.clear();
    this.#latest = new Tick(-1);
  }

  #expire(number: number): void {
    const tick = this.#ticks.get(number);
    if (tick === undefined) return;
    this.#ticks.delete(number);
    // n.b. one that expires may remove others of the same tick.
    for (let entry = tick.next; entry !== undefined && entry !== tick; entry = tick.next) {
      this.remove(entry);
      entry.expire();
    }
  }
}

function tickOf(ms: number): number {
  return Math.floor(ms / TICK_MS);
}

/** The one of this thread: modules are loaded once in each. */
export const timerWheel = new TimerWheel();

type Lose = (reason: Error) => void;

/** The time of one call. It is over, at most two ticks late, when the time is or when the caller has given up. */
export class Deadline extends WheelEntry {
  readonly #endsAtMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #losers: Lose[] = [];
  #reason: Error | undefined;

  constructor({ timeoutMs, signal }: Pick<CallOptions, 'timeoutMs' | 'signal'>) {
    super();
    this.#endsAtMs = performance.now() + timeoutMs;
    this.#signal = signal;
    timerWheel.add(this.#endsAtMs, this);
    if (signal?.aborted === true) this.expire();
    else signal?.addEventListener('abort', this.#giveUp, { once: true });
  }

  /** BEDS_STORE_TIMEOUT, the one that everything that waits fails with; undefined while there is time. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** Milliseconds left, at least 1. Throws BEDS_STORE_TIMEOUT when none are. */
  remainingMs(): number {
    const leftMs = this.#endsAtMs - performance.now();
    if (leftMs <= 0) this.expire();
    if (this.#reason !== undefined) throw this.#reason;
    return Math.max(1, leftMs);
  }

  /** To be asked just before the work is sent: false when there is no time for it. */
  mayStart(): boolean {
    if (performance.now() >= this.#endsAtMs) this.expire();
    return this.#reason === undefined;
  }

  /** Settles as `work` does, or with `reason` when the time is over. `onEnded` is told when the work has really ended. */
  race<T>(work: Promise<T>, onEnded?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose: Lose = reject;
      this.onOver(lose);
      work.then(
        (value) => {
          this.#forget(lose);
          onEnded?.();
          resolve(value);
        },
        (error: unknown) => {
          this.#forget(lose);
          onEnded?.();
          lose(error as Error);
        },
      );
    });
  }

  /** Calls `lose` once if the time is over before `end()`; at once if it is over already. */
  onOver(lose: Lose): void {
    if (this.#reason === undefined) this.#losers.push(lose);
    else lose(this.#reason);
  }

  /** Nothing happens any more when the time is over. */
  end(): void {
    timerWheel.remove(this);
    this.#signal?.removeEventListener('abort', this.#giveUp);
    this.#losers.length = 0;
  }

  override expire(): void {
    if (this.#reason !== undefined) return;
    this.#reason = storeErrors.make('BEDS_STORE_TIMEOUT');
    timerWheel.remove(this);
    for (const lose of this.#losers.splice(0)) lose(this.#reason);
  }

  readonly #giveUp = (): void => this.expire();

  #forget(lose: Lose): void {
    const at = this.#losers.lastIndexOf(lose);
    if (at >= 0) this.#losers.splice(at, 1);
  }
}

export interface LineLimits {
  readonly queueLimit: number;
  readonly acquireTimeoutMs: number;
}

/** Calls that wait for their turn, first come first served: a bounded number, for a bounded time. */
export class WaitingLine<T> {
  readonly #limits: LineLimits;
  readonly waiters: ReadonlySet<unknown>;
  readonly #waiters = new Set<Waiter<T>>();

  constructor(limits: LineLimits) {
    this.#limits = limits;
    this.waiters = this.#waiters;
  }

  /** BEDS_STORE_OVERLOADED when the line is full, `inVain` after `acquireTimeoutMs`, the deadline's reason after that. */
  wait(deadline: Deadline, inVain: () => Error): Promise<T> {
    const { queueLimit, acquireTimeoutMs } = this.#limits;
    if (this.#waiters.size >= queueLimit) return Promise.reject(storeErrors.make('BEDS_STORE_OVERLOADED'));
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        timerWheel.remove(patience);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter<T> = {
        resolve: (what) => {
          leave();
          resolve(what);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const patience = timerWheel.watch(performance.now() + acquireTimeoutMs, () => waiter.reject(inVain()));
      this.#waiters.add(waiter);
      deadline.onOver(waiter.reject);
    });
  }

  /** Gives what the first one waits for; false when nobody does. */
  serve(what: T): boolean {
    const [first] = this.#waiters;
    first?.resolve(what);
    return first !== undefined;
  }

  /** Tells the first one that it waits in vain. */
  refuse(error: Error): void {
    const [first] = this.#waiters;
    first?.reject(error);
  }

  /** Tells all. */
  dismiss(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }
}

interface Waiter<T> {
  readonly resolve: (what: T) => void;
  readonly reject: (error: Error) => void;
}
