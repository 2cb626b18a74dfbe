import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../../config/schema.js';
import { hasDoubtful, isBothFailing, judge, judgeCopies, judgeStrays, type Outcome } from './guard.js';
import type { Objection, RolloutPlan } from '../state.js';
import type { RequestObserver } from './request-observer.js';
import type { ShadowBoard } from './shadow-board.js';
import type { Surroundings } from './surroundings.js';
import { TallyWindow } from './tally-window.js';
import type { ShadowView } from '../../admin/shown.js';

/** A candidate and the version beside it. */
export interface Pair {
  readonly domain: string;
  readonly candidate: number;
  /** Absent where the domain is new. */
  readonly active: number | undefined;
}

export interface CanaryOptions {
  readonly pairs: readonly Pair[];
  readonly plan: Pick<RolloutPlan, 'canaryPercent' | 'shadowPercent' | 'forMs'>;
  /** Its time stands still; the share stays, and so do the guards. */
  readonly isHeld: () => boolean;
  readonly settings: Config['rollout'];
  readonly observer: RequestObserver;
  readonly shadows: ShadowBoard;
  /** Gives the candidates another share of the callers. */
  readonly widen: (percent: number) => Promise<void>;
  /** Default: nothing outside of the versions ever fails. */
  readonly surroundings?: Pick<Surroundings, 'seemAway' | 'ask'>;
  /** It waits for what is not in the versions, and for what; undefined: it goes on. */
  readonly onWait?: (reason: string | undefined) => void;
  /** After what is not in the versions is back, nothing is judged for this time. Default 5 s. */
  readonly recoveryMs?: number;
}

/** What an operator sees of a canary. */
export interface CanaryProgress {
  readonly percent: number;
  readonly shadowPercent: number;
  readonly forMs: number;
  /** Time that counts: a pause does not. */
  readonly elapsedMs: number;
  readonly paused: boolean;
  /** What it waits for, that is not in the versions: its time stands still, and nothing is judged. */
  readonly waits?: string;
  readonly pairs: readonly (Pair & { readonly of: Outcome; readonly beside: Outcome; readonly shadow: ShadowView })[];
}

const NOTHING: Outcome = { requests: 0, failures: {}, latency: [] };
const POLL_MS = 250;
/** A canary that too few callers met is widened this much, for the same time again. */
const WIDEN_FACTOR = 4;
/** One slow look may be a pause of the whole machine. */
const LOOKS_TO_TRIP = 2;
/** A wait that is shorter is not worth a line. */
const LOOKS_TO_WAIT = 2;
/** What began while a store was away ends some time after it is back, and pools of threads connect again. */
const RECOVERY_MS = 5_000;
const RECOVERS = 'What was away is back; what began meanwhile still ends.';
const FAILS_ALIKE = 'The serving version fails as well, in the same way.';

interface Copies {
  readonly compared: number;
  readonly failed: number;
}

const NO_COPIES: Copies = { compared: 0, failed: 0 };

/** Watches candidates that answer a share of the callers, until they may take over or must go. */
export class Canary {
  readonly #options: CanaryOptions;
  readonly #against = new Map<string, number>();
  #window: TallyWindow | undefined;
  #percent: number;
  #elapsedMs = 0;
  #waits: string | undefined;
  #looksWaited = 0;
  #troubledAtMs = -Infinity;
  /** Copies of each candidate that were compared while nothing outside failed, and those that count for nothing. */
  readonly #keptCopies = new Map<number, Copies>();
  readonly #droppedCopies = new Map<number, Copies>();

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#percent = options.plan.canaryPercent;
  }

  get progress(): CanaryProgress {
    const { pairs, plan, shadows, isHeld } = this.#options;
    const outcome = (generation: number | undefined): Outcome =>
      generation === undefined ? NOTHING : (this.#window?.outcome(generation) ?? NOTHING);
    return {
      percent: this.#percent,
      shadowPercent: plan.shadowPercent,
      forMs: plan.forMs,
      elapsedMs: Math.round(this.#elapsedMs),
      paused: isHeld(),
      ...(this.#waits === undefined ? {} : { waits: this.#waits }),
      pairs: pairs.map((pair) => ({
        ...pair,
        of: outcome(pair.candidate),
        beside: outcome(pair.active),
        shadow: shadows.of(pair.candidate),
      })),
    };
  }

  /** Resolves with what speaks against it, nothing: it may take over. Rejects when `signal` says that it is over. */
  async watch(signal: AbortSignal): Promise<readonly Objection[]> {
    const { observer, plan, pairs, isHeld } = this.#options;
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
      if (await this.#isDisturbed(window)) {
        this.#drop(window);
        lookedAtMs = performance.now();
        continue;
      }
      this.#keep(window);
      if (!isHeld()) this.#elapsedMs += nowMs - lookedAtMs;
      lookedAtMs = nowMs;
      const objections = this.#judgeAll(window);
      if (objections.length > 0) return objections;
      if (isHeld() || this.#elapsedMs < plan.forMs || this.#isDoubted) continue;
      // Nobody may have noticed yet that a database stands still: who waits for it has no answer to be counted.
      if (await this.#isTroubled(true)) continue;
      signal.throwIfAborted();
      if (this.#isJudged(window)) return [];
      await this.#widen();
    }
  }

  /** Whether what was seen since the last look may be the doing of what is not in the versions. */
  async #isDisturbed(window: TallyWindow): Promise<boolean> {
    const latest = this.#options.pairs.map(({ candidate, active }) => ({
      of: window.latest(candidate),
      beside: active === undefined ? NOTHING : window.latest(active),
      copies: this.#copiesOf(candidate).failed - (this.#keptCopies.get(candidate) ?? NO_COPIES).failed,
    }));
    const isDoubtful = latest.some(({ of, beside, copies }) => hasDoubtful(of) || hasDoubtful(beside) || copies > 0);
    if (await this.#isTroubled(isDoubtful || this.#waits !== undefined)) return true;
    if (isDoubtful && latest.some(({ of, beside }) => isBothFailing(of, beside))) {
      this.#waitFor(FAILS_ALIKE);
      return true;
    }
    // n.b. in any case: what began while it was away ends late, and most of it well.
    if (performance.now() - this.#troubledAtMs < (this.#options.recoveryMs ?? RECOVERY_MS)) {
      if (this.#waits !== undefined) this.#waitFor(RECOVERS);
      return true;
    }
    this.#waitFor(undefined);
    return false;
  }

  /** Whether something that the versions need is away. */
  async #isTroubled(mustAsk: boolean): Promise<boolean> {
    const { surroundings } = this.#options;
    const reason = mustAsk || surroundings?.seemAway === true ? await surroundings?.ask() : undefined;
    if (reason === undefined) return false;
    this.#troubledAtMs = performance.now();
    this.#waitFor(reason);
    return true;
  }

  #waitFor(reason: string | undefined): void {
    const wasSaid = this.#looksWaited >= LOOKS_TO_WAIT;
    this.#waits = reason;
    this.#looksWaited = reason === undefined ? 0 : this.#looksWaited + 1;
    const isSaid = this.#looksWaited >= LOOKS_TO_WAIT;
    if (isSaid !== wasSaid) this.#options.onWait?.(reason);
  }

  #keep(window: TallyWindow): void {
    window.keep();
    for (const { candidate } of this.#options.pairs) this.#keptCopies.set(candidate, this.#copiesOf(candidate));
  }

  /** Neither side is judged by it, and what was against a version before must be there again. */
  #drop(window: TallyWindow): void {
    window.drop();
    this.#against.clear();
    for (const { candidate } of this.#options.pairs) {
      const all = this.#options.shadows.of(candidate);
      const kept = this.#keptCopies.get(candidate) ?? NO_COPIES;
      const dropped = { compared: all.compared - kept.compared, failed: all.failed - kept.failed };
      this.#droppedCopies.set(candidate, dropped);
    }
  }

  #copiesOf(candidate: number): Copies {
    const { compared, failed } = this.#options.shadows.of(candidate);
    const dropped = this.#droppedCopies.get(candidate) ?? NO_COPIES;
    return { compared: compared - dropped.compared, failed: failed - dropped.failed };
  }

  /** The last look found a reason; the next one will tell. */
  get #isDoubted(): boolean {
    return [...this.#against.values()].some((looks) => looks > 0);
  }

  /** A reason must be there in two looks in a row. */
  #judgeAll(window: TallyWindow): readonly Objection[] {
    const { settings } = this.#options;
    return this.#options.pairs.flatMap(({ domain, candidate, active }) => {
      const of = window.outcome(candidate);
      const beside = active === undefined ? NOTHING : window.outcome(active);
      const copies = this.#copiesOf(candidate);
      const finding =
        judgeStrays({ ...of, copies: copies.compared }, beside, settings) ??
        judge(of, beside, settings) ??
        judgeCopies(copies, settings);
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
