import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { withTimeout } from '#sdk/time';
import type { Sample } from '../contract.js';

export interface Load {
  /** Operations under way at any time; the next begins when one ends. */
  readonly inFlight: number;
  readonly durationMs: number;
}

/** What a closed loop came to. */
export interface LoopSample extends Sample {
  readonly operations: number;
}

/** Beyond the slice itself; whoever answers nothing for so long has stopped. */
const DRAIN_TIMEOUT_MS = 15_000;

/** Runs an operation over and over, with a fixed number under way. Rejects with the first failure, or when answers stop. */
export async function closedLoop(operation: () => Promise<unknown>, load: Load): Promise<LoopSample> {
  const { inFlight, durationMs } = load;
  const latenciesMs: number[] = [];
  const startedAt = performance.now();
  const until = startedAt + durationMs;
  const lane = async (): Promise<void> => {
    for (let askedAt = performance.now(); askedAt < until;) {
      await operation();
      const now = performance.now();
      latenciesMs.push(now - askedAt);
      askedAt = now;
    }
  };
  const lanes = Promise.all(Array.from({ length: inFlight }, lane));
  const message = `operations were still unanswered ${DRAIN_TIMEOUT_MS} ms after their slice`;
  await withTimeout(lanes, durationMs + DRAIN_TIMEOUT_MS, () => new assert.AssertionError({ message }));
  const seconds = (performance.now() - startedAt) / 1_000;
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number => latenciesMs[Math.floor((latenciesMs.length - 1) * share)] ?? 0;
  const operations = latenciesMs.length;
  return { operations, perSecond: operations / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** One operation of a load; `mark` is unique, and a write leaves it in the table. */
export type Ask = (mark: string) => Promise<unknown>;

export interface SteadyLoadOptions {
  /** Taken in turn. Those of `writes` leave their mark. */
  readonly reads: readonly Ask[];
  readonly writes: readonly Ask[];
  readonly perSecond: number;
  /** What every mark begins with. */
  readonly prefix: string;
}

export interface LoadSample {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Longest time without any answer. */
  readonly pauseMs: number;
  readonly failed: number;
  /** Marks of writes that were answered with success. */
  readonly written: readonly string[];
  /** Codes or messages of failures, each once. */
  readonly reasons: readonly string[];
}

const TICK_MS = 4;
/** One operation in so many writes. */
const WRITE_EVERY = 4;

/** Asks at a constant rate, whatever the answers do: who is slow is asked just as often, so that no pause stays hidden. */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #latenciesMs: number[] = [];
  readonly #written: string[] = [];
  readonly #reasons = new Set<string>();
  readonly #startedAt = performance.now();
  #asked = 0;
  #answered = 0;
  #failed = 0;
  #lastAt = this.#startedAt;
  #pauseMs = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      const due = ((performance.now() - this.#startedAt) * options.perSecond) / 1_000;
      while (this.#asked < due) this.#ask();
    }, TICK_MS);
  }

  /** Asks no more; what is still unanswered after a while counts as failed. */
  async stop(): Promise<LoadSample> {
    clearInterval(this.#timer);
    const untilMs = performance.now() + DRAIN_TIMEOUT_MS;
    while (this.#answered < this.#asked && performance.now() < untilMs) await delay(TICK_MS);
    const unanswered = this.#asked - this.#answered;
    if (unanswered > 0) this.#reasons.add('not answered');
    const sorted = this.#latenciesMs.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    return {
      count: this.#asked,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      pauseMs: this.#pauseMs,
      failed: this.#failed + unanswered,
      written: this.#written,
      reasons: [...this.#reasons],
    };
  }

  #ask(): void {
    const { reads, writes, prefix } = this.#options;
    const n = this.#asked++;
    const isWrite = n % WRITE_EVERY === 0;
    const turn = Math.floor(isWrite ? n / WRITE_EVERY : n);
    const asks = isWrite ? writes : reads;
    const mark = `${prefix}-${String(n)}`;
    const askedAt = performance.now();
    const work = asks[turn % asks.length]?.(mark) ?? Promise.resolve();
    void work.then(
      () => {
        if (isWrite) this.#written.push(mark);
        this.#note(askedAt);
      },
      (error: unknown) => {
        this.#failed += 1;
        this.#reasons.add(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
        this.#note(askedAt);
      },
    );
  }

  #note(askedAt: number): void {
    const now = performance.now();
    this.#answered += 1;
    this.#latenciesMs.push(now - askedAt);
    this.#pauseMs = Math.max(this.#pauseMs, now - this.#lastAt);
    this.#lastAt = now;
  }
}
