import { ConcurrencyLimit, type LimitReason } from '../../host/adapter/concurrency-limit.js';
import type { Ticking } from '../../host/adapter/ticker.js';

/** A store, its load and the time, all played: a minute passes in some milliseconds, and passes the same way again. */
export interface Scene {
  readonly seconds: number;
  /** How fast each of `calls` at once goes on; 1: as if it were alone. */
  readonly speed: (calls: number, nowMs: number) => number;
  /** Milliseconds that a call takes when it is alone. */
  readonly workMs: (random: () => number) => number;
  /** Callers of each thread, with one call at a time each. */
  readonly callers: (nowMs: number) => number;
  /** Of a call, from when it is made. */
  readonly timeoutMs?: number;
  readonly poolSize?: number;
  /** Calls at once, where the limit does not adapt. */
  readonly fixed?: number;
  /** Broker threads, each with a limit of its own. */
  readonly threads?: number;
  readonly seed?: number;
}

export interface Outcome {
  /** Calls done in each second. */
  readonly perSecond: readonly number[];
  /** What the limit of the first thread was, trials included, every 10 ms. */
  readonly limits: readonly number[];
  /** Its changes, without trials. */
  readonly changes: readonly { readonly atMs: number; readonly limit: number; readonly reason: LimitReason }[];
}

const POOL_SIZE = 16;
const TICK_MS = 10;
/** What giving a connection up and opening another takes. */
const REPLACE_MS = 5;

interface Call {
  readonly lane: Lane;
  readonly endsAtMs: number;
  leftMs: number;
  isGivenUp: boolean;
}

/** What a broker thread has for the store. */
interface Lane {
  readonly limit: ConcurrencyLimit;
  readonly line: Set<Call>;
  callers: number;
  ticking: Ticking | undefined;
}

/** Mulberry32: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function play(scene: Scene): Outcome {
  return new Play(scene).run();
}

class Play {
  readonly #scene: Scene;
  readonly #random: () => number;
  readonly #lanes: readonly Lane[];
  readonly #running = new Set<Call>();
  readonly #perSecond: number[];
  readonly #limits: number[] = [];
  readonly #changes: Outcome['changes'][number][] = [];
  #nowMs = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#random = randomOf(scene.seed ?? 1);
    this.#perSecond = new Array<number>(scene.seconds).fill(0);
    this.#lanes = Array.from({ length: scene.threads ?? 1 }, (_, index) => this.#lane(index));
  }

  run(): Outcome {
    for (let tickMs = TICK_MS; tickMs <= this.#scene.seconds * 1_000; tickMs += TICK_MS) {
      const callers = this.#scene.callers(this.#nowMs);
      for (const lane of this.#lanes) {
        for (; lane.callers < callers; lane.callers += 1) this.#make(lane);
      }
      this.#advance(tickMs);
      this.#expire();
      for (const { ticking } of this.#lanes) ticking?.tick(this.#nowMs);
      this.#limits.push(this.#lanes[0]?.limit.current ?? 0);
    }
    return { perSecond: this.#perSecond, limits: this.#limits, changes: this.#changes };
  }

  #lane(index: number): Lane {
    const { fixed, poolSize = POOL_SIZE } = this.#scene;
    const line = new Set<Call>();
    const limit = new ConcurrencyLimit({
      most: fixed ?? poolSize,
      adaptive: fixed === undefined,
      line,
      onRaised: () => this.#serve(lane),
      onChanged: (held, reason) => {
        if (index === 0) this.#changes.push({ atMs: this.#nowMs, limit: held, reason });
      },
      ticker: {
        add: (entry) => (lane.ticking = entry),
        remove: () => (lane.ticking = undefined),
      },
    });
    const lane: Lane = { limit, line, callers: 0, ticking: undefined };
    return lane;
  }

  #make(lane: Lane): void {
    const endsAtMs = this.#nowMs + (this.#scene.timeoutMs ?? Infinity);
    lane.line.add({ lane, endsAtMs, leftMs: this.#scene.workMs(this.#random), isGivenUp: false });
    this.#serve(lane);
    if (lane.line.size > 0) lane.limit.watch();
  }

  #serve({ limit, line }: Lane): void {
    for (const call of line) {
      if (limit.room <= 0) return;
      line.delete(call);
      limit.began();
      this.#running.add(call);
    }
  }

  /** From one ending to the next. */
  #advance(untilMs: number): void {
    while (this.#nowMs < untilMs) {
      const speed = this.#scene.speed(this.#running.size, this.#nowMs);
      let first: Call | undefined;
      let firstMs = untilMs - this.#nowMs;
      for (const call of this.#running) {
        const inMs = call.isGivenUp ? call.leftMs : call.leftMs / speed;
        if (inMs < firstMs) [first, firstMs] = [call, inMs];
      }
      this.#nowMs = first === undefined ? untilMs : this.#nowMs + firstMs;
      for (const call of this.#running) call.leftMs -= call.isGivenUp ? firstMs : firstMs * speed;
      if (first !== undefined) this.#end(first);
    }
  }

  #end(call: Call): void {
    const { lane, isGivenUp } = call;
    this.#running.delete(call);
    lane.limit.ended(isGivenUp ? 'unknown' : 'done');
    const second = Math.floor(this.#nowMs / 1_000);
    if (!isGivenUp && second < this.#perSecond.length) this.#perSecond[second] = (this.#perSecond[second] ?? 0) + 1;
    this.#serve(lane);
    if (!isGivenUp) this.#repeat(lane);
  }

  /** Deadlines are told with the tick, as the adapters do. */
  #expire(): void {
    const isOver = (call: Call): boolean => !call.isGivenUp && call.endsAtMs <= this.#nowMs;
    for (const call of [...this.#running].filter(isOver)) {
      call.isGivenUp = true;
      call.leftMs = REPLACE_MS;
      this.#repeat(call.lane);
    }
    for (const lane of this.#lanes) {
      const late: Call[] = [];
      for (const call of lane.line) {
        if (!isOver(call)) break;
        late.push(call);
      }
      for (const call of late) {
        lane.line.delete(call);
        this.#repeat(lane);
      }
    }
  }

  /** Its caller makes the next call, unless it has gone. */
  #repeat(lane: Lane): void {
    if (lane.callers <= this.#scene.callers(this.#nowMs)) this.#make(lane);
    else lane.callers -= 1;
  }
}
