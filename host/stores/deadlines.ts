import { settlesWithin } from '#sdk/time';
import { isBedsError } from '@beds/sdk';
import { storeErrors } from '../errors/store.js';
import type { CallOptions } from './contract.js';
import { resultBudget, type ResultHolder, weightOf } from './result-budget.js';

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
  readonly #holder: ResultHolder | undefined;
  readonly #losers: Lose[] = [];
  #reason: Error | undefined;

  constructor({ timeoutMs, signal, holder }: Pick<CallOptions, 'timeoutMs' | 'signal' | 'holder'>) {
    super();
    this.#holder = holder;
    this.#endsAtMs = performance.now() + timeoutMs;
    this.#signal = signal;
    timerWheel.add(this.#endsAtMs, this);
    if (signal?.aborted === true) this.expire();
    else signal?.addEventListener('abort', this.#giveUp, { once: true });
  }

  /** Whose time it is: the requests, or the call itself where nobody says which. */
  get askers(): readonly object[] {
    const holder = this.#holder;
    return holder?.holders ?? [holder ?? this];
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

/** A request may make many calls at once; one that makes more has lost count. */
const MOST_CALLS = 1_000;

/** Errors of calls that the line did not take: nobody has waited. */
const notTaken = new WeakSet<object>();

/** Calls that wait for their turn, first come first served: those of a bounded number of requests, for a bounded time. */
export class WaitingLine<T> {
  readonly #limits: LineLimits;
  readonly waiters: ReadonlySet<unknown>;
  readonly #waiters = new Set<Waiter<T>>();
  /** Waiting calls of each request. */
  readonly #askers = new Map<object, number>();

  constructor(limits: LineLimits) {
    this.#limits = limits;
    this.waiters = this.#waiters;
  }

  /** BEDS_STORE_OVERLOADED when the line is full, `inVain` after `acquireTimeoutMs`, the deadline's reason after that. */
  wait(deadline: Deadline, inVain: () => Error): Promise<T> {
    const { acquireTimeoutMs } = this.#limits;
    const { askers } = deadline;
    if (!this.#takes(askers)) {
      const full = storeErrors.make('BEDS_STORE_OVERLOADED');
      notTaken.add(full);
      return Promise.reject(full);
    }
    this.#count(askers, 1);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        if (this.#waiters.has(waiter)) this.#count(askers, -1);
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

  #takes(askers: readonly object[]): boolean {
    let room = this.#limits.queueLimit - this.#askers.size;
    for (const asker of askers) {
      const calls = this.#askers.get(asker);
      if (calls === undefined) room -= 1;
      if (room < 0 || (calls ?? 0) >= MOST_CALLS) return false;
    }
    return true;
  }

  #count(askers: readonly object[], change: number): void {
    for (const asker of askers) {
      const calls = (this.#askers.get(asker) ?? 0) + change;
      if (calls > 0) this.#askers.set(asker, calls);
      else this.#askers.delete(asker);
    }
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

/** Calls of one kind that can go to the database as one. */
export interface Grouping<Input, Result> {
  /** Most calls of a group at first, and ever: powers of two. */
  readonly firstCalls: number;
  readonly mostCalls: number;
  /** Whether a group may have any number of calls; or only powers of two, so that their statements are few. */
  readonly isPadded: boolean;
  /** Whether they take effect in the order in which they came: one group at a time, and one by one after it where it fails. */
  readonly isOrdered: boolean;
  /** What a call that keeps its order is about: it waits for those under way that are about the same. undefined: for none. */
  readonly turnOf?: (input: Input) => unknown;
  alone(input: Input, options: CallOptions): Promise<Result>;
  /** Rejects where the failure is everybody's. */
  together(inputs: readonly Input[], options: CallOptions): Promise<Together<Result>>;
}

/** For each call its result, the error that is its own, or undefined where it has to be run alone; undefined where all have. */
export type Together<Result> = readonly (Result | Error | undefined)[] | undefined;

interface Asked<Input, Result> {
  readonly input: Input;
  readonly options: CallOptions;
  readonly endsAtMs: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** While two groups are under way, or as many calls in smaller ones, others wait for a moment and go together. */
const LEAST_GROUPS = 2;
const CALLS_UNDER_WAY = 32;
/** Nobody waits longer for the groups under way, and a group that takes longer is compared with smaller ones. */
const PATIENCE_MS = 10;
const ORDERED_PATIENCE_MS = 50;
/** It is too large where it takes so much longer than one of half as many calls. */
const MOST_ADDED_MS = 5;
/** So many slow ones in a row are compared: one alone may have met whatever stops a thread or a server for a moment. */
const SLOW_GROUPS = 4;
/** So many of either size are compared, each with each; and this share of the pairs has to say the same. */
const TRIED_GROUPS = 8;
const CLEAR_SHARE = 0.75;
/** So many calls go alone after a group that failed, or are not compared after a trial; twice as many each time that follows. */
const [LEAST_REST, MOST_REST] = [32, 4_096];

/** What groups took, and those of half as many calls. They take turns: a busy machine makes both slow. */
class Trial {
  readonly #wholeMs: number[] = [];
  readonly #halfMs: number[] = [];
  isHalfNext = true;

  add(isWhole: boolean, tookMs: number): void {
    const times = isWhole ? this.#wholeMs : this.#halfMs;
    if (times.length < TRIED_GROUPS) times.push(tookMs);
  }

  get isOver(): boolean {
    return this.#wholeMs.length === TRIED_GROUPS && this.#halfMs.length === TRIED_GROUPS;
  }

  /** Whether half as many calls are clearly quicker. */
  get isTooLarge(): boolean {
    let slower = 0;
    for (const wholeMs of this.#wholeMs)
      for (const halfMs of this.#halfMs) if (wholeMs - halfMs > MOST_ADDED_MS) slower += 1;
    return slower >= CLEAR_SHARE * TRIED_GROUPS ** 2;
  }

  /** Whether most of half as many calls are quick. */
  get isHalfQuick(): boolean {
    return this.#halfMs.filter((ms) => ms <= PATIENCE_MS).length > TRIED_GROUPS / 2;
  }
}

/**
 * Calls of one kind that come in one turn, or while groups are under way, go together: a statement costs more than what it asks for.
 * One that comes by itself goes alone. Groups grow as long as nobody waits much longer for what the others ask for.
 */
export class CallGroups<Input, Result> {
  readonly #grouping: Grouping<Input, Result>;
  #waiting: Asked<Input, Result>[] = [];
  #underWay = 0;
  /** How many of those under way are about each thing. */
  readonly #turns = new Map<unknown, number>();
  #isScheduled = false;
  #patience: WheelEntry | undefined;
  #mostCalls: number;
  /** Slow groups in a row. */
  #slowGroups = 0;
  #trial: Trial | undefined;
  /** Calls of the smallest groups that were found to be too large. */
  #tooManyCalls = Infinity;
  /** So many calls go before groups of other sizes are tried again. */
  #holdCalls = 0;
  #nextHold = LEAST_REST;
  #restCalls = 0;
  #nextRest = LEAST_REST;

  constructor(grouping: Grouping<Input, Result>) {
    this.#grouping = grouping;
    this.#mostCalls = Math.min(grouping.firstCalls, grouping.mostCalls);
  }

  get isIdle(): boolean {
    return this.#underWay === 0 && this.#waiting.length === 0;
  }

  ask(input: Input, options: CallOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ input, options, endsAtMs: performance.now() + options.timeoutMs, resolve, reject });
      if (this.#isScheduled) return;
      if (this.#mayGo()) {
        this.#isScheduled = true;
        setImmediate(this.#turned);
      } else this.#beImpatient();
    });
  }

  readonly #turned = (): void => {
    this.#isScheduled = false;
    this.#go();
  };

  #beImpatient(): void {
    const patienceMs = this.#grouping.isOrdered ? ORDERED_PATIENCE_MS : PATIENCE_MS;
    this.#patience ??= timerWheel.watch(performance.now() + patienceMs, () => {
      this.#patience = undefined;
      this.#dismissLate();
      this.#begin();
      this.#go();
    });
  }

  /** Whose time is over waits no longer. */
  #dismissLate(): void {
    const nowMs = performance.now();
    for (const each of this.#waiting) if (each.endsAtMs <= nowMs) void this.#alone(each);
    this.#waiting = this.#waiting.filter(({ endsAtMs }) => endsAtMs > nowMs);
  }

  get #most(): number {
    if (this.#restCalls > 0) return 1;
    return this.#trial?.isHalfNext === true ? this.#mostCalls / 2 : this.#mostCalls;
  }

  #mayGo(): boolean {
    const most = this.#most;
    if (most > 1 && this.#grouping.isOrdered) return this.#underWay === 0;
    return most === 1 || this.#underWay < Math.max(LEAST_GROUPS, CALLS_UNDER_WAY / most);
  }

  #go(): void {
    let goesOn = true;
    while (goesOn && this.#waiting.length > 0 && this.#mayGo()) goesOn = this.#begin();
    if (this.#waiting.length > 0) this.#beImpatient();
    else if (this.#patience !== undefined) {
      timerWheel.remove(this.#patience);
      this.#patience = undefined;
    }
  }

  /** false: all that wait have to wait for others. */
  #begin(): boolean {
    const asked = this.#take();
    const [first] = asked;
    if (first === undefined) return false;
    for (const each of asked) this.#count(each, 1);
    this.#underWay += 1;
    if (this.#restCalls > 0) this.#restCalls -= 1;
    else if (this.#trial !== undefined) this.#trial.isHalfNext = !this.#trial.isHalfNext;
    if (asked.length > 1) void this.#together(asked);
    else void this.#single(first);
    return true;
  }

  /** As many as may go of those that wait for no other. */
  #take(): readonly Asked<Input, Result>[] {
    const { isPadded, turnOf } = this.#grouping;
    const waiting = this.#waiting;
    const sizeOf = (calls: number): number => (isPadded || calls < 2 ? calls : 2 ** Math.floor(Math.log2(calls)));
    const most = Math.min(waiting.length, this.#most);
    if (turnOf === undefined || this.#turns.size === 0) return waiting.splice(0, sizeOf(most));
    const free = waiting.filter(({ input }) => !this.#turns.has(turnOf(input)));
    const taken = new Set(free.slice(0, sizeOf(Math.min(free.length, most))));
    this.#waiting = waiting.filter((each) => !taken.has(each));
    return [...taken];
  }

  #count({ input }: Asked<Input, Result>, change: number): void {
    const turn = this.#grouping.turnOf?.(input);
    if (turn === undefined) return;
    const calls = (this.#turns.get(turn) ?? 0) + change;
    if (calls > 0) this.#turns.set(turn, calls);
    else this.#turns.delete(turn);
  }

  async #single(asked: Asked<Input, Result>): Promise<void> {
    const beganAtMs = performance.now();
    await this.#alone(asked);
    if (this.#grouping.turnOf !== undefined) this.#count(asked, -1);
    if (this.#mostCalls <= 2) this.#learn(1, performance.now() - beganAtMs);
    this.#underWay -= 1;
    if (this.#waiting.length > 0) this.#go();
  }

  #alone({ input, options, endsAtMs, resolve, reject }: Asked<Input, Result>): Promise<void> {
    const leftMs = endsAtMs - performance.now();
    const bounded = leftMs > options.timeoutMs - 1 ? options : { ...options, timeoutMs: leftMs };
    return this.#grouping.alone(input, bounded).then(resolve, reject);
  }

  async #together(asked: readonly Asked<Input, Result>[]): Promise<void> {
    const beganAtMs = performance.now();
    const holder = new GroupHolder(asked);
    let again = asked;
    try {
      const inputs = asked.map(({ input }) => input);
      const results = await this.#grouping.together(inputs, optionsOf(asked, beganAtMs, holder));
      holder.share(results);
      if (results === undefined) this.#rest();
      else {
        this.#learn(asked.length, performance.now() - beganAtMs);
        again = asked.filter((each, index) => !settle(each, results[index]));
      }
    } catch (error) {
      if (isBedsError(error) && error.code === 'BEDS_STORE_TIMEOUT') this.#rest();
      // The line may have room for some of them.
      else if (!notTaken.has(error as object)) {
        again = [];
        for (const { reject } of asked) reject(ownCopyOf(error));
      }
    }
    const patientUntilMs = performance.now() + ORDERED_PATIENCE_MS;
    for (const each of asked) if (!again.includes(each)) this.#count(each, -1);
    for (const each of again) {
      const running = this.#alone(each).then(() => this.#count(each, -1));
      const patienceMs = patientUntilMs - performance.now();
      if (this.#grouping.isOrdered && patienceMs > 0) await settlesWithin(running, patienceMs);
    }
    this.#underWay -= 1;
    this.#go();
  }

  #learn(calls: number, tookMs: number): void {
    this.#holdCalls -= calls;
    const isWhole = calls * 2 > this.#mostCalls;
    if (this.#trial !== undefined) {
      if (calls * 4 > this.#mostCalls) this.#try(this.#trial, isWhole, tookMs);
    } else if (isWhole && tookMs > PATIENCE_MS) this.#slowed();
    else if (isWhole) this.#wasQuick(calls);
  }

  #wasQuick(calls: number): void {
    this.#slowGroups = 0;
    if (calls > 1) this.#nextRest = LEAST_REST;
    if (calls < this.#mostCalls) return;
    this.#forgive();
    if (this.#holdCalls <= 0) this.#mostCalls = Math.min(this.#grouping.mostCalls, this.#mostCalls * 2);
  }

  #slowed(): void {
    this.#slowGroups += 1;
    if (this.#slowGroups < SLOW_GROUPS || this.#holdCalls > 0) return;
    const isDouble = this.#mostCalls === 1 || this.#mostCalls * 2 === this.#tooManyCalls;
    if (isDouble) this.#mostCalls *= 2;
    this.#startTrial();
  }

  /** n.b. as long as that finds groups that are small enough, or some that are too large, the next one follows. */
  #startTrial(): void {
    this.#slowGroups = 0;
    this.#trial = new Trial();
  }

  #try(trial: Trial, isWhole: boolean, tookMs: number): void {
    trial.add(isWhole, tookMs);
    if (!trial.isOver) return;
    this.#trial = undefined;
    if (trial.isTooLarge) {
      this.#tooManyCalls = this.#mostCalls;
      this.#mostCalls /= 2;
      if (trial.isHalfQuick || this.#mostCalls === 1) this.#hold();
      else this.#startTrial();
      return;
    }
    this.#forgive();
    const next = this.#mostCalls * 2;
    if (next > this.#grouping.mostCalls || next >= this.#tooManyCalls) this.#hold();
    else {
      this.#mostCalls = next;
      this.#startTrial();
    }
  }

  /** Groups as large as these were too large, and are so no longer. */
  #forgive(): void {
    if (this.#mostCalls < this.#tooManyCalls) return;
    this.#tooManyCalls = Infinity;
    this.#nextHold = LEAST_REST;
  }

  #hold(): void {
    this.#slowGroups = 0;
    this.#holdCalls = this.#nextHold;
    this.#nextHold = Math.min(MOST_REST, this.#nextHold * 2);
  }

  #rest(): void {
    this.#restCalls = this.#nextRest;
    this.#nextRest = Math.min(MOST_REST, this.#nextRest * 2);
    this.#mostCalls = Math.max(1, this.#mostCalls / 2);
    this.#trial = undefined;
  }
}

/** False: it has to be run alone. */
function settle<Input, Result>({ resolve, reject }: Asked<Input, Result>, result: Result | Error | undefined): boolean {
  if (result === undefined) return false;
  if (result instanceof Error) reject(result);
  else resolve(result);
  return true;
}

/** The time of the one that has the least. */
function optionsOf<Input, Result>(
  asked: readonly Asked<Input, Result>[],
  nowMs: number,
  holder: ResultHolder,
): CallOptions {
  const [first] = asked as readonly [Asked<Input, Result>];
  let { endsAtMs } = first;
  for (const each of asked) if (each.endsAtMs < endsAtMs) endsAtMs = each.endsAtMs;
  return { timeoutMs: endsAtMs - nowMs, mode: first.options.mode, holder };
}

/** What the result of a group takes is held by those for whom it came: one may have a large record, and the others small ones. */
class GroupHolder<Input, Result> implements ResultHolder {
  readonly #asked: readonly Asked<Input, Result>[];
  #bytes = 0;

  constructor(asked: readonly Asked<Input, Result>[]) {
    this.#asked = asked;
  }

  /** n.b. on demand: mostly nobody has to wait, and so nobody asks. */
  get holders(): readonly object[] {
    return [...new Set(this.#asked.map(({ options, resolve }) => options.holder ?? resolve))];
  }

  hold(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Hands on what is held. Nothing is held of what nobody is given. */
  share(results: Together<Result>): void {
    let rest = this.#bytes;
    if (rest === 0) return;
    const weights = this.#asked.map((_, at) => {
      const result = results?.[at];
      return result === undefined || result instanceof Error ? 0 : weightOf(result);
    });
    const weight = weights.reduce((sum, each) => sum + each, 0);
    for (const [at, { options }] of this.#asked.entries()) {
      const bytes = Math.floor((this.#bytes * (weights[at] ?? 0)) / Math.max(1, weight));
      if (bytes === 0 || options.holder === undefined) continue;
      options.holder.hold(bytes);
      rest -= bytes;
    }
    resultBudget.giveBack(rest);
  }
}

/** n.b. whoever is told of an error may note on it whose it is. */
function ownCopyOf(error: unknown): unknown {
  if (!isBedsError(error)) return error;
  return storeErrors.make(error.code as Parameters<typeof storeErrors.make>[0], error.message, {
    cause: error.cause,
  });
}
