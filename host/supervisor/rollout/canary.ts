import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../../config/schema.js';
import type { Finding } from '../../generation/contract.js';
import { makeFinding } from '../../generation/make-finding.js';
import { judge, judgeCopies, type Outcome } from './guard.js';
import type { RolloutPlan } from './plan.js';
import type { RequestObserver } from './request-observer.js';
import type { ShadowBoard, ShadowView } from './shadow-board.js';
import { TallyWindow } from './tally-window.js';

/** A candidate and the version beside it. */
export interface Pair {
  readonly domain: string;
  readonly candidate: number;
  /** Absent where the domain is new. */
  readonly active: number | undefined;
}

export interface CanaryOptions {
  readonly pairs: readonly Pair[];
  readonly plan: Pick<RolloutPlan, 'canaryPercent' | 'shadowPercent' | 'forMs' | 'hold'>;
  readonly settings: Config['rollout'];
  readonly observer: RequestObserver;
  readonly shadows: ShadowBoard;
  /** Gives the candidates another share of the callers. */
  readonly widen: (percent: number) => Promise<void>;
}

/** A reason to end a canary; without a domain it goes for all of them. */
export interface Objection {
  readonly domain?: string;
  readonly finding: Finding;
}

export type CanaryVerdict =
  { readonly kind: 'promote' } | { readonly kind: 'end'; readonly objections: readonly Objection[] };

/** What an operator sees of a canary. */
export interface CanaryProgress {
  readonly percent: number;
  readonly shadowPercent: number;
  readonly forMs: number;
  /** Time that counts: a pause does not. */
  readonly elapsedMs: number;
  readonly paused: boolean;
  readonly pairs: readonly (Pair & { readonly of: Outcome; readonly beside: Outcome; readonly shadow: ShadowView })[];
}

const NOTHING: Outcome = { requests: 0, failures: {}, latency: [] };
const POLL_MS = 250;
/** A canary that too few callers met is widened this much, for the same time again. */
const WIDEN_FACTOR = 4;
/** One slow look may be a pause of the whole machine. */
const LOOKS_TO_TRIP = 2;

/** Watches candidates that answer a share of the callers, until they may take over or must go. */
export class Canary {
  readonly #options: CanaryOptions;
  readonly #orders = new EventEmitter<{ order: [CanaryVerdict] }>();
  /** Listens from the beginning: an operator, or a thread that ended, may be faster than `watch`. */
  readonly #ordered: Promise<CanaryVerdict>;
  readonly #against = new Map<string, number>();
  #window: TallyWindow | undefined;
  #percent: number;
  #elapsedMs = 0;
  #paused: boolean;

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#percent = options.plan.canaryPercent;
    this.#paused = options.plan.hold;
    this.#ordered = new Promise((resolve) => this.#orders.once('order', resolve));
  }

  /** Resolves with the verdict of the guards or of an operator; rejects when `signal` says that a newer version came. */
  async watch(signal: AbortSignal): Promise<CanaryVerdict> {
    const over = new AbortController();
    try {
      return await Promise.race([this.#ordered, this.#judgeOnAndOn(AbortSignal.any([signal, over.signal]))]);
    } finally {
      over.abort();
    }
  }

  promote(): void {
    this.#orders.emit('order', { kind: 'promote' });
  }

  end(objections: readonly Objection[]): void {
    this.#orders.emit('order', { kind: 'end', objections });
  }

  /** The share stays, and so do the guards. */
  pause(): void {
    this.#paused = true;
  }

  threadEnded(generation: number, reason: string): void {
    const pair = this.#options.pairs.find(({ candidate }) => candidate === generation);
    if (pair === undefined) return;
    const [firstLine = ''] = reason.split('\n');
    const finding = makeFinding('BEDS_ROLLOUT_GUARD_THREAD', `The canary ended a broker thread: ${firstLine}`);
    this.end([{ domain: pair.domain, finding }]);
  }

  get progress(): CanaryProgress {
    const { pairs, plan, shadows } = this.#options;
    const outcome = (generation: number | undefined): Outcome =>
      generation === undefined ? NOTHING : (this.#window?.outcome(generation) ?? NOTHING);
    return {
      percent: this.#percent,
      shadowPercent: plan.shadowPercent,
      forMs: plan.forMs,
      elapsedMs: Math.round(this.#elapsedMs),
      paused: this.#paused,
      pairs: pairs.map((pair) => ({
        ...pair,
        of: outcome(pair.candidate),
        beside: outcome(pair.active),
        shadow: shadows.of(pair.candidate),
      })),
    };
  }

  async #judgeOnAndOn(signal: AbortSignal): Promise<CanaryVerdict> {
    const { observer, plan, pairs } = this.#options;
    const generations = pairs.flatMap(({ candidate, active }) => [
      candidate,
      ...(active === undefined ? [] : [active]),
    ]);
    const window = new TallyWindow(await observer.observe(), generations);
    this.#window = window;
    let lookedAtMs = performance.now();
    for (;;) {
      await delay(Math.min(POLL_MS, plan.forMs), undefined, { signal });
      window.add(await observer.observe());
      // It was ended meanwhile, and must not be widened any more.
      signal.throwIfAborted();
      const nowMs = performance.now();
      if (!this.#paused) this.#elapsedMs += nowMs - lookedAtMs;
      lookedAtMs = nowMs;
      const objections = this.#judgeAll(window);
      if (objections.length > 0) return { kind: 'end', objections };
      if (this.#paused || this.#elapsedMs < plan.forMs || this.#isDoubted) continue;
      if (this.#isJudged(window)) return { kind: 'promote' };
      await this.#widen();
    }
  }

  /** The last look found a reason; the next one will tell. */
  get #isDoubted(): boolean {
    return [...this.#against.values()].some((looks) => looks > 0);
  }

  /** A reason must be there in two looks in a row. */
  #judgeAll(window: TallyWindow): readonly Objection[] {
    const { settings, shadows } = this.#options;
    return this.#options.pairs.flatMap(({ domain, candidate, active }) => {
      const beside = active === undefined ? NOTHING : window.outcome(active);
      const finding =
        judge(window.outcome(candidate), beside, settings) ?? judgeCopies(shadows.of(candidate), settings);
      const seen = finding === undefined ? 0 : (this.#against.get(domain) ?? 0) + 1;
      this.#against.set(domain, seen);
      return finding === undefined || seen < LOOKS_TO_TRIP ? [] : [{ domain, finding }];
    });
  }

  /** Whether the sample suffices, or cannot be made larger: all callers meet it already, or copies are all it gets. */
  #isJudged(window: TallyWindow): boolean {
    if (this.#percent === 0 || this.#percent >= 100) return true;
    const { pairs, settings } = this.#options;
    return pairs.every(({ candidate }) => window.outcome(candidate).requests >= settings.guardMinRequests);
  }

  async #widen(): Promise<void> {
    this.#percent = Math.min(100, this.#percent * WIDEN_FACTOR);
    this.#elapsedMs = 0;
    await this.#options.widen(this.#percent);
  }
}
