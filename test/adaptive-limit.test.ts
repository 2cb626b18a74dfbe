import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import type { TestContext } from 'node:test';
import { AdaptiveLimit } from '../host/adapter/adaptive-limit.js';

const MOST = 16;

/** Calls answered in a second, with so many in the server. */
type Server = (calls: number) => number;

const ample: Server = (calls) => calls * 200;
/** Beyond four it does no more, only slower. */
const saturated: Server = (calls) => Math.min(calls, 4) * 200;
/** Each call more keeps the others from their work, as waiting for the same rows does. */
const contended: Server = (calls) => 1_000 / (1 + Math.max(0, calls - 3) / 4);

interface Played {
  readonly limit: AdaptiveLimit;
  /** The limit at the end of each tenth of a second. */
  run(server: Server, seconds: number): readonly number[];
  readonly line: { size: number };
  readonly raised: { count: number };
}

/** A limit whose time and server are played: with enough calls that wait, as many are in the server as it lets in. */
function play(t: TestContext, most = MOST): Played {
  mock.timers.enable({ apis: ['setInterval'] });
  t.after(() => mock.timers.reset());
  let nowMs = 0;
  t.mock.method(performance, 'now', () => nowMs);
  const line = { size: 100 };
  const raised = { count: 0 };
  const limit = new AdaptiveLimit(most, line, () => (raised.count += 1));
  // The n-th window always differs a little from the one before, as it does in life.
  let owed = 0;
  const run = (server: Server, seconds: number): readonly number[] => {
    const seen: number[] = [];
    for (let tick = 0; tick < seconds * 100; tick += 1) {
      limit.watch();
      owed += (server(limit.current) / 100) * (1 + Math.sin(nowMs) / 20);
      for (; owed >= 1; owed -= 1) limit.ended();
      nowMs += 10;
      limit.tick(nowMs);
      if (tick % 10 === 9) seen.push(limit.current);
    }
    return seen;
  };
  return { limit, run, line, raised };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('the limit of calls in a server', () => {
  it('stays at the most where more calls get more done', (t) => {
    const { run } = play(t);
    assert.ok(mean(run(ample, 60)) > MOST * 0.95);
  });

  it('goes down to what gets as much done, and no further', (t) => {
    const { run } = play(t);
    run(saturated, 20);
    const settled = mean(run(saturated, 30));
    assert.ok(settled >= 4 && settled <= 7, String(settled));
  });

  it('goes down to what gets more done where calls are in each other\u2019s way', (t) => {
    const { run } = play(t);
    run(contended, 20);
    const settled = mean(run(contended, 30));
    assert.ok(settled >= 2 && settled <= 5, String(settled));
  });

  it('is back at the most within seconds when the server can do more again', (t) => {
    const { run, raised } = play(t);
    run(contended, 30);
    const seen = run(ample, 5);
    assert.equal(seen.at(-1), MOST, seen.join(' '));
    assert.ok(raised.count > 0);
  });

  it('is the most as soon as nobody waits', (t) => {
    const { limit, run, line } = play(t);
    run(contended, 20);
    assert.ok(limit.current < MOST);
    line.size = 0;
    run(() => 50, 0.3);
    assert.equal(limit.current, MOST);
  });

  it('is halved when calls take too long, and comes back in seconds', (t) => {
    const { limit, run } = play(t);
    run((calls) => {
      limit.timedOut();
      return calls * 20;
    }, 5);
    assert.equal(limit.current, 2);
    assert.equal(run(ample, 5).at(-1), MOST);
  });

  it('does not hold up calls that wait for calls that wait', (t) => {
    const { limit, run } = play(t);
    run(contended, 20);
    assert.ok(limit.current < MOST);
    run(() => 0, 1.6);
    assert.equal(limit.current, MOST);
  });

  it('of one connection is one', (t) => {
    const { run } = play(t, 1);
    assert.deepEqual([...new Set(run(contended, 5))], [1]);
  });
});
