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
