import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConcurrencyLimit, type LimitReason } from '../host/adapter/concurrency-limit.js';
import type { Ticking } from '../host/adapter/ticker.js';
import { far, limitScenes, thrashing } from './support/limit-scenes.js';
import { type Outcome, play, type Scene } from './support/simulated-store.js';

const MOST = 16;
const SEEDS = [1, 2, 3];
/** Where lowering must pay: of what `poolSize` calls at once get done, from the 15th second on. */
const GAIN: Readonly<Record<string, number>> = {
  'a store that thrashes': 1.3,
  'a slow store that thrashes': 1.3,
  'stalls of 1 s of a store that thrashes': 1.3,
  'load that comes and goes at a store that thrashes': 1.2,
  'noise at a store that thrashes': 1.3,
};

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sceneOf(name: string, seed = 1): Scene {
  const make = limitScenes[name];
  assert.ok(make, name);
  return { ...make(seed), seed };
}

/** What the limit gets done as a share of what `poolSize` calls at once do, from a second on. */
function share(adaptive: Outcome, fixed: Outcome, fromSecond = 0): number {
  return sum(adaptive.perSecond.slice(fromSecond)) / sum(fixed.perSecond.slice(fromSecond));
}

function timeAtMost({ limits }: Outcome): number {
  return limits.filter((limit) => limit === MOST).length / limits.length;
}

describe('a minute under the limit, against poolSize calls at once', () => {
  for (const name of Object.keys(limitScenes)) {
    it(name, (t) => {
      for (const seed of SEEDS) {
        const scene = sceneOf(name, seed);
        const adaptive = play(scene);
        const fixed = play({ ...scene, fixed: MOST });
        const [whole, late] = [share(adaptive, fixed), share(adaptive, fixed, 15)];
        t.diagnostic(`seed ${seed}: ${whole.toFixed(3)}, from 15 s on ${late.toFixed(2)}`);
        assert.ok(whole >= 0.95, `seed ${seed}: ${whole.toFixed(3)}`);
        assert.ok(late >= (GAIN[name] ?? 0), `seed ${seed}: from 15 s on ${late.toFixed(3)}`);
      }
    });
  }
});

describe('a healthy store', () => {
  for (const name of ['nothing but latency', 'stalls of 1 s', 'stalls of 5 s', 'noise at nothing but latency']) {
    it(`is never held to fewer calls, in ${name}`, () => {
      for (const seed of SEEDS) {
        const played = play(sceneOf(name, seed));
        assert.deepEqual(played.changes, []);
        assert.ok(timeAtMost(played) >= 0.9, timeAtMost(played).toFixed(3));
      }
    });
  }

  it('costs trials of fewer calls at most 3 % of its throughput', () => {
    for (const name of ['nothing but latency', 'nothing but latency, of 100 ms', 'noise at nothing but latency']) {
      const scene = sceneOf(name);
      const cost = 1 - share(play(scene), play({ ...scene, fixed: MOST }));
      assert.ok(cost <= 0.03, `${name}: ${cost.toFixed(3)}`);
    }
  });

  for (const atMs of [30_000, 130_000]) {
    it(`has all its calls back seconds after it thrashed for ${atMs / 1_000} s`, () => {
      for (const seed of SEEDS) {
        const speed: Scene['speed'] = (calls, nowMs) => (nowMs < atMs ? thrashing : far)(calls, nowMs);
        const seconds = atMs / 1_000 + 15;
        const { changes } = play({ ...sceneOf('a store that thrashes no more', seed), speed, seconds });
        const before = changes.filter((change) => change.atMs < atMs).at(-1);
        assert.ok((before?.limit ?? MOST) < MOST, 'it was lowered before');
        const back = changes.find((change) => change.atMs > atMs && change.limit === MOST);
        assert.ok(back !== undefined && back.atMs < atMs + 8_000, String(back?.atMs));
      }
    });
  }
});

/** A limit whose ticks, line and endings are given by hand. */
class ByHand {
  readonly line = { size: 50 };
  readonly reasons: LimitReason[] = [];
  raised = 0;
  nowMs = 0;
  ticking: Ticking | undefined;
  readonly limit: ConcurrencyLimit;

  constructor(adaptive = true, most = MOST) {
    this.limit = new ConcurrencyLimit({
      ...{ most, adaptive, line: this.line },
      onRaised: () => (this.raised += 1),
      onChanged: (_, reason) => this.reasons.push(reason),
      ticker: { add: (entry) => (this.ticking = entry), remove: () => (this.ticking = undefined) },
    });
  }

  /** As many calls as there may be are under way; `perTick` of them end in each tick. */
  run(ticks: number, perTick: (calls: number) => number, ending: 'done' | 'unknown' | 'undone' = 'done'): void {
    for (let tick = 0; tick < ticks; tick += 1) {
      this.limit.watch();
      while (this.limit.room > 0) this.limit.began();
      for (let count = perTick(this.limit.current); count > 0; count -= 1) {
        this.limit.ended(ending);
        if (this.limit.room > 0) this.limit.began();
      }
      this.nowMs += 10;
      this.ticking?.tick(this.nowMs);
    }
  }

  /** Fewer get more done: the limit is lowered. */
  lower(): void {
    this.run(800, crowded);
    assert.ok(this.limit.held < MOST / 2, String(this.limit.held));
  }
}

const crowded = (calls: number): number => 40 - 2 * calls;

describe('the limit', () => {
  it('is the most again when nobody waits, and then looks no more', () => {
    const hand = new ByHand();
    hand.lower();
    hand.line.size = 0;
    hand.run(15, crowded);
    assert.ok(hand.limit.held < MOST);
    hand.run(10, crowded);
    assert.equal(hand.limit.current, MOST);
    assert.equal(hand.reasons.at(-1), 'nobody waits');
    assert.equal(hand.ticking, undefined);
    hand.limit.watch();
    assert.notEqual(hand.ticking, undefined);
  });

  it('is the most again, and tells who waits, when nothing ends', () => {
    const hand = new ByHand();
    hand.lower();
    const { raised } = hand;
    hand.run(40, () => 0);
    assert.equal(hand.limit.current, MOST);
    assert.equal(hand.reasons.at(-1), 'nothing ends');
    assert.ok(hand.raised > raised);
  });

  it('is the most again when all that ends says nothing', () => {
    const hand = new ByHand();
    hand.lower();
    hand.run(40, crowded, 'unknown');
    assert.equal(hand.limit.current, MOST);
  });

  it('is the most again when less than half gets done', () => {
    const hand = new ByHand();
    hand.lower();
    hand.run(150, (calls) => Math.floor(crowded(calls) / 3));
    assert.ok(hand.reasons.includes('less than half gets done'), hand.reasons.join(', '));
  });

  it('is the most again when calls wait by fits and starts only', () => {
    const hand = new ByHand();
    hand.lower();
    for (let time = 0; time < 40; time += 1) {
      hand.line.size = 50;
      hand.run(9, crowded);
      hand.line.size = 0;
      hand.run(1, crowded);
    }
    assert.equal(hand.limit.held, MOST);
    assert.equal(hand.reasons.at(-1), 'nothing can be said');
  });

  it('is not judged by calls that a transaction keeps from a connection', () => {
    const hand = new ByHand();
    for (let tick = 0; tick < 3_000; tick += 1) {
      hand.limit.watch();
      // 8 connections are not to be had.
      while (hand.limit.room > 8) hand.limit.began();
      for (let count = 12; count > 0; count -= 1) {
        hand.limit.ended('done');
        hand.limit.began();
      }
      hand.nowMs += 10;
      hand.ticking?.tick(hand.nowMs);
    }
    assert.equal(hand.limit.held, MOST);
    assert.deepEqual(hand.reasons, []);
  });

  it('counts what the store worked for nothing as not done', () => {
    const hand = new ByHand();
    for (let tick = 0; tick < 800; tick += 1) {
      hand.run(1, (calls) => 20 - calls);
      // Of as many that end in each tick, the more are in vain the more run at once.
      for (let count = 2 * hand.limit.current; count > 0; count -= 1) {
        hand.limit.ended('undone');
        hand.limit.began();
      }
    }
    assert.ok(hand.limit.held < MOST);
  });

  it('takes a thread that was busy itself for no stall', () => {
    const hand = new ByHand();
    hand.lower();
    const { held } = hand.limit;
    hand.nowMs += 900;
    hand.run(1, () => 0);
    hand.run(2, crowded);
    assert.equal(hand.limit.held, held);
  });

  it('is always the most where it must not adapt, and where there is nothing to try', () => {
    for (const hand of [new ByHand(false), new ByHand(true, 2), new ByHand(true, 1)]) {
      const most = hand.limit.current;
      hand.run(1_000, crowded);
      assert.equal(hand.limit.current, most);
      assert.equal(hand.ticking, undefined);
    }
  });
});
