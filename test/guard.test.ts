import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FailureClass } from '../host/request/observations.js';
import {
  type GuardSettings,
  judge,
  judgeCopies,
  judgeStrays,
  lowerBound,
  type Outcome,
  ownFailures,
  percentile95Ms,
} from '../host/deploy/watch/guard.js';
import { TallyWindow } from '../host/deploy/watch/tally-window.js';
import { LATENCY_BOUNDS_MS, latencyBucket, type Tally } from '../host/request/observations.js';

const SETTINGS: GuardSettings = {
  ...{ guardMinRequests: 20, guardErrorPercent: 5, guardMaxErrorPercent: 50 },
  ...{ guardP95Ratio: 3, guardMaxP95Ms: 10_000 },
};

type Failures = Partial<Record<FailureClass, number>>;

/** So many requests, all of which took as long, or by bucket. */
function outcome(requests: number, failures: Failures = {}, tookMs = 2): Outcome {
  return { requests, failures, latency: latencies([tookMs, requests]) };
}

function latencies(...counts: readonly (readonly [tookMs: number, requests: number])[]): readonly number[] {
  const buckets = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  for (const [tookMs, requests] of counts) buckets[latencyBucket(tookMs)] = requests;
  return buckets;
}

function codeOf(candidate: Outcome, active: Outcome, settings: Partial<GuardSettings> = {}): string | undefined {
  return judge(candidate, active, { ...SETTINGS, ...settings })?.code;
}

const ERRORS = 'BEDS_ROLLOUT_GUARD_ERRORS';
const REFUSALS = 'BEDS_ROLLOUT_GUARD_REFUSALS';
const LATENCY = 'BEDS_ROLLOUT_GUARD_LATENCY';

describe('the lower bound of a rate', () => {
  it('is that of the 95 % Wilson interval', () => {
    const known = [
      [0, 0, 0],
      [0, 20, 0],
      [2, 20, 0.0279],
      [4, 20, 0.0807],
      [10, 100, 0.0552],
      [50, 100, 0.4038],
      [20, 20, 0.8389],
    ] as const;
    for (const [failed, requests, bound] of known) {
      assert.equal(lowerBound(failed, requests).toFixed(4), bound.toFixed(4), `${failed} of ${requests}`);
    }
  });

  it('comes closer to the rate with more requests, and never passes it', () => {
    const bounds = [10, 100, 1_000, 10_000].map((requests) => lowerBound(requests / 5, requests));
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
    );
    assert.ok(bounds.every((bound) => bound < 0.2));
    assert.ok((bounds.at(-1) ?? 0) > 0.19);
  });
});

describe('the 95th percentile', () => {
  it('is the bound of the bucket that holds it', () => {
    assert.equal(percentile95Ms([]), 0);
    const boundOf = (ms: number): number => LATENCY_BOUNDS_MS[latencyBucket(ms)] ?? Infinity;
    assert.equal(percentile95Ms(latencies([4, 100])), boundOf(4));
    assert.equal(percentile95Ms(latencies([4, 95], [200, 5])), boundOf(4));
    assert.equal(percentile95Ms(latencies([4, 94], [200, 6])), boundOf(200));
    assert.ok(boundOf(200) >= 200 && boundOf(200) <= 250, 'a quarter too much at most');
  });

  it('is infinite when it lies beyond the last bucket', () => {
    assert.equal(percentile95Ms(latencies([1_000_000, 3])), Infinity);
  });
});

describe('the guard', () => {
  const trips: readonly (readonly [string, Outcome, Outcome, string | undefined])[] = [
    ['few requests, all of which failed', outcome(19, { fault: 19 }), outcome(400), undefined],
    ['a failure rate that may be chance', outcome(20, { fault: 2 }), outcome(400), undefined],
    ['a failure rate that is none', outcome(20, { fault: 4 }), outcome(400), ERRORS],
    ['the same rate of more requests', outcome(200, { fault: 20 }), outcome(4_000), ERRORS],
    [
      'as many failures as the serving version has',
      outcome(200, { fault: 40 }),
      outcome(1_000, { fault: 200 }),
      undefined,
    ],
    [
      'fewer failures than the serving version has',
      outcome(200, { fault: 20 }),
      outcome(1_000, { fault: 200 }),
      undefined,
    ],
    [
      'five points more than the serving version has',
      outcome(9_000, { fault: 2_300 }),
      outcome(9_000, { fault: 1_800 }),
      undefined,
    ],
    [
      'seven points more than the serving version has',
      outcome(9_000, { fault: 2_430 }),
      outcome(9_000, { fault: 1_800 }),
      ERRORS,
    ],
    [
      'most of its requests, though the serving version fails too',
      outcome(200, { fault: 190 }),
      outcome(1_000, { fault: 950 }),
      ERRORS,
    ],
    [
      'all kinds of failures of its own together',
      outcome(100, { fault: 6, timeout: 5, unavailable: 6 }),
      outcome(400),
      ERRORS,
    ],
    ['mistakes of callers that are usual', outcome(200, { invalid: 60 }), outcome(1_000, { invalid: 300 }), undefined],
    ['mistakes of callers that only it finds', outcome(200, { invalid: 60 }), outcome(1_000), REFUSALS],
    [
      'one class of mistakes in place of another',
      outcome(200, { conflict: 60 }),
      outcome(1_000, { invalid: 300 }),
      REFUSALS,
    ],
    ['mistakes of callers with nothing to compare', outcome(200, { 'not-found': 60 }), outcome(19), undefined],
    ['faults with nothing to compare', outcome(200, { fault: 60 }), outcome(0), ERRORS],
    ['a slower version', outcome(100, {}, 100), outcome(400, {}, 20), LATENCY],
    ['a version that is not three times as slow', outcome(100, {}, 50), outcome(400, {}, 20), undefined],
    ['a slower version by a few requests', outcome(99, {}, 100), outcome(400, {}, 20), undefined],
    ['a slower version beside one that hardly answered', outcome(100, {}, 100), outcome(99, {}, 20), undefined],
    ['a few milliseconds that are many times more', outcome(100, {}, 6), outcome(400, {}, 1), undefined],
    ['a version that is slow whatever the other does', outcome(100, {}, 12_000), outcome(0), LATENCY],
    [
      'a database that fails both',
      outcome(98, { unavailable: 63 }),
      outcome(100, { unavailable: 60, timeout: 2 }),
      undefined,
    ],
    [
      'faults of its own while a database fails both',
      outcome(100, { unavailable: 30, fault: 70 }),
      outcome(100, { unavailable: 90 }),
      ERRORS,
    ],
    ['a trigger that fails both', outcome(98, { 'store-fault': 82 }), outcome(900, { 'store-fault': 843 }), undefined],
    ['a trigger that it alone meets', outcome(98, { 'store-fault': 82 }), outcome(900), ERRORS],
    ['deadlines that it alone overruns', outcome(100, { timeout: 60 }), outcome(100), ERRORS],
    ['deadlines that it overruns with nothing to compare', outcome(100, { timeout: 60 }), outcome(0), ERRORS],
    [
      'a version that is slow beside one that is as slow',
      outcome(100, {}, 12_000),
      outcome(400, {}, 12_000),
      undefined,
    ],
    ['a good version', outcome(1_000, { fault: 3 }), outcome(9_000, { fault: 20 }), undefined],
  ];
  for (const [what, candidate, active, code] of trips) {
    it(`${code === undefined ? 'lets pass' : 'objects to'} ${what}`, () => {
      assert.equal(codeOf(candidate, active), code);
    });
  }

  it('objects to faults that no request ended with, at most one for each request or copy', () => {
    const code = (
      candidate: Outcome & { readonly copies?: number },
      active: Outcome = outcome(400),
    ): string | undefined => judgeStrays({ copies: 0, ...candidate }, active, SETTINGS)?.code;
    const leaving = (requests: number, fault: number): Outcome => ({ ...outcome(requests), strays: { fault } });
    assert.equal(code(leaving(100, 100)), ERRORS);
    assert.equal(code(leaving(100, 100), leaving(400, 400)), ERRORS, 'as with failed requests');
    assert.equal(code(leaving(100, 20), leaving(400, 80)), undefined);
    assert.equal(code(leaving(100, 20)), ERRORS);
    assert.equal(code(leaving(1_000, 20)), undefined);
    assert.equal(code(leaving(0, 19)), undefined);
    assert.equal(code(leaving(0, 20)), ERRORS, 'though nobody asks');
    assert.equal(code({ ...leaving(0, 50), copies: 1_000 }), undefined);
    assert.equal(code({ ...leaving(0, 500), copies: 1_000 }), ERRORS);
    assert.equal(code({ ...outcome(100), strays: { unavailable: 100 } }), undefined, 'they are of a database');
  });

  it('names both rates, and both times', () => {
    const rates = judge(outcome(40, { fault: 8 }), outcome(400, { fault: 2 }), SETTINGS);
    assert.match(rates?.message ?? '', /20\.0 % \(8 of 40\) .*, against 0\.5 % \(2 of 400\) of the serving version/);
    const times = judge(outcome(100, {}, 100), outcome(400, {}, 20), SETTINGS);
    assert.match(times?.message ?? '', /up to \d+ ms, against \d+ ms of the serving version/);
    const alone = judge(outcome(40, { fault: 39 }), outcome(0), SETTINGS);
    assert.match(alone?.message ?? '', /97\.5 % \(39 of 40\) of its requests failed/);
  });

  it('follows the configuration', () => {
    const [bad, good] = [outcome(100, { fault: 20 }), outcome(400)];
    assert.equal(codeOf(bad, good, { guardErrorPercent: 15 }), undefined);
    assert.equal(codeOf(bad, good, { guardMinRequests: 101 }), undefined);
    assert.equal(codeOf(bad, good, { guardErrorPercent: 100, guardMaxErrorPercent: 10 }), ERRORS);
    assert.equal(codeOf(outcome(100, {}, 100), outcome(400, {}, 20), { guardP95Ratio: 6 }), undefined);
    assert.equal(codeOf(outcome(100, {}, 100), outcome(0), { guardMaxP95Ms: 90 }), LATENCY);
  });

  it('counts mistakes of callers apart', () => {
    const failures = { invalid: 1, forbidden: 2, 'not-found': 4, conflict: 8, fault: 16, timeout: 32, overloaded: 64 };
    assert.equal(ownFailures(outcome(200, failures)), 112);
  });

  it('objects to copies that failed where the serving version answered', () => {
    const code = (compared: number, failed: number): string | undefined =>
      judgeCopies({ compared, failed }, SETTINGS)?.code;
    assert.equal(code(19, 19), undefined);
    assert.equal(code(20, 2), undefined);
    assert.equal(code(20, 4), ERRORS);
    assert.equal(code(400, 20), undefined);
  });
});

describe('the window of a canary', () => {
  const tally = (generation: number, requests: number, fault = 0): Tally => ({
    ...{ generation, requests },
    ...{ failures: fault === 0 ? {} : { fault }, latency: latencies([2, requests]) },
  });

  it('drops what came last, and only that', () => {
    const window = new TallyWindow(new Map([['t-1', [tally(1, 100, 10)]]]), [1]);
    window.add(new Map([['t-1', [tally(1, 130, 12)]]]));
    assert.deepEqual([window.latest(1).requests, window.latest(1).failures], [30, { fault: 2 }]);
    window.keep();
    assert.equal(window.latest(1).requests, 0);
    window.add(new Map([['t-1', [tally(1, 180, 60)]]]));
    assert.equal(window.outcome(1).requests, 80);
    window.drop();
    window.add(new Map([['t-1', [tally(1, 190, 61)]]]));
    assert.deepEqual([window.outcome(1).requests, window.outcome(1).failures], [40, { fault: 3 }]);
    assert.equal(percentile95Ms(window.outcome(1).latency), LATENCY_BOUNDS_MS[latencyBucket(2)]);
  });

  it('counts what happened since it was opened, on all threads, and keeps what an ended thread did', () => {
    const window = new TallyWindow(new Map([['t-1', [tally(1, 100, 10)]]]), [1, 2]);
    assert.equal(window.outcome(1).requests, 0);
    window.add(
      new Map([
        ['t-1', [tally(1, 130, 12), tally(2, 5, 1)]],
        ['t-2', [tally(2, 7)]],
      ]),
    );
    window.add(new Map([['t-3', [tally(2, 3, 3)]]]));
    assert.deepEqual([window.outcome(1).requests, window.outcome(1).failures], [30, { fault: 2 }]);
    assert.deepEqual([window.outcome(2).requests, window.outcome(2).failures], [15, { fault: 4 }]);
    assert.equal(percentile95Ms(window.outcome(2).latency), LATENCY_BOUNDS_MS[latencyBucket(2)]);
  });
});
