import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LimitTrial } from '../host/adapter/limit-trial.js';
import { LimitWindow } from '../host/adapter/limit-window.js';

const QUIET = 0.001 ** 2;
const NOISY = 0.17 ** 2;

/** What is decided after each pair, with a candidate that gets `share` of what the limit does done. */
function verdicts(direction: 'down' | 'up', share: number, { noise = QUIET, lost = 0 } = {}): readonly unknown[] {
  const trial = new LimitTrial({ direction, candidate: 12, before: 1, lost });
  const seen: unknown[] = [];
  while (seen.length < 20 && seen.at(-1) === undefined) {
    trial.ofCandidate(share, 200);
    seen.push(trial.ofLimit(1, noise));
  }
  return seen;
}

describe('a candidate', () => {
  it('is taken after three pairs, fewer calls where they cost nothing and more where they bring something', () => {
    assert.deepEqual(verdicts('down', 1), [undefined, undefined, 'take']);
    assert.deepEqual(verdicts('down', 0.98), [undefined, undefined, 'take']);
    assert.deepEqual(verdicts('up', 1.1), [undefined, undefined, 'take']);
  });

  it('is left after the first bad pair', () => {
    assert.deepEqual(verdicts('down', 0.95), ['leave']);
    assert.deepEqual(verdicts('up', 1.03), ['leave']);
  });

  it('needs more pairs the more windows waver, and is left when eight do not decide', () => {
    assert.equal(verdicts('down', 1.3, { noise: NOISY }).length, 3);
    assert.deepEqual(verdicts('down', 1, { noise: NOISY }), [...Array.from({ length: 7 }, () => undefined), 'leave']);
    const pairs = verdicts('down', 1.1, { noise: 0.1 ** 2 });
    assert.equal(pairs.at(-1), 'take');
  });

  it('has no hope below 0.7 of what the limit got done last', () => {
    const trial = new LimitTrial({ direction: 'down', candidate: 12, before: 1, lost: 0 });
    assert.equal(trial.hopeless, 0.7);
    trial.ofCandidate(1, 200);
    assert.equal(trial.hopeless, 0);
    trial.ofLimit(2, NOISY);
    assert.equal(trial.hopeless, 1.4);
  });

  it('pays for what steps before it lost', () => {
    assert.deepEqual(verdicts('down', 0.98, { lost: Math.log(0.98) }), ['leave']);
    assert.deepEqual(verdicts('down', 1, { lost: Math.log(0.98) }), [undefined, undefined, 'take']);
  });

  it('is compared with both windows beside it, so that a trend does not count', () => {
    const trial = new LimitTrial({ direction: 'down', candidate: 12, before: 1, lost: 0 });
    let throughput = 1;
    const next = (): number => (throughput *= 0.9);
    for (let pair = 1; pair <= 3; pair += 1) {
      trial.ofCandidate(next(), 200);
      const verdict = trial.ofLimit(next(), QUIET);
      assert.equal(verdict, pair < 3 ? undefined : 'take');
    }
    assert.equal(trial.triedMs, 600);
  });
});

describe('a window', () => {
  function began(setting: Partial<Parameters<LimitWindow['begin']>[1]> = {}): LimitWindow {
    const window = new LimitWindow();
    window.begin(0, { limit: 4, underWay: 0, hopeless: 0, ...setting });
    return window;
  }
  function end(window: LimitWindow, count: number, ending: 'done' | 'unknown' = 'done'): void {
    for (let ended = 0; ended < count; ended += 1) window.ended(ending);
  }

  it('is over after 200 ms and eight endings for each call', () => {
    const window = began();
    end(window, 31);
    assert.equal(window.look(210, 4), undefined);
    end(window, 1);
    assert.equal(window.look(220, 4), 32 / 220);
  });

  it('says nothing when two seconds are not enough', () => {
    const window = began();
    end(window, 31);
    assert.equal(window.look(1_990, 4), undefined);
    assert.equal(window.look(2_000, 4), 'void');
  });

  it('counts nothing before the calls of another limit have ended', () => {
    const window = began({ underWay: 8 });
    end(window, 15);
    assert.equal(window.look(300, 4), undefined);
    end(window, 1);
    // Enough have ended, but more than the limit are under way yet.
    assert.equal(window.look(310, 5), undefined);
    assert.equal(window.look(320, 4), undefined);
    end(window, 32);
    assert.equal(window.look(420, 4), undefined);
    assert.equal(window.look(520, 4), 32 / 200);
    const stuck = began({ underWay: 8 });
    assert.equal(stuck.look(2_000, 4), 'void');
  });

  it('says nothing when a quarter of what ended says nothing', () => {
    const window = began();
    end(window, 32);
    end(window, 8, 'unknown');
    assert.equal(window.look(210, 4), 32 / 210);
    end(window, 1, 'unknown');
    assert.equal(window.look(220, 4), 'void');
  });

  it('is cut short where it is hopeless', () => {
    const window = began({ hopeless: 0.1 });
    end(window, 8);
    assert.equal(window.look(200, 4), 8 / 200);
    const early = began({ hopeless: 0.1 });
    end(early, 7);
    assert.equal(early.look(200, 4), undefined);
  });
});
