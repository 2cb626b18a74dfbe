import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configSchema } from '../host/config/schema.js';
import { LATENCY_BOUNDS_MS, type Tally } from '../host/request/observations.js';
import { Canary, type CanaryOptions } from '../host/deploy/watch/canary.js';
import { RequestObserver } from '../host/deploy/watch/request-observer.js';
import { ShadowBoard } from '../host/deploy/watch/shadow-board.js';
import type { ThreadTallies } from '../host/deploy/watch/tally-window.js';

const TEST_MS = 10_000;

/** Says what a test wants it to have seen, look by look; the last one again and again. */
class ScriptedObserver extends RequestObserver {
  looks = 0;
  onLook: () => Promise<void> = () => Promise.resolve();
  readonly #script: readonly (readonly Tally[])[];

  constructor(script: readonly (readonly Tally[])[]) {
    const never = (): never => assert.fail('no thread is asked');
    super({ pool: never, onCallers: never, onShadows: never, onTallies: never, onUsage: never });
    this.#script = script;
  }

  override async observe(): Promise<ThreadTallies> {
    const tallies = this.#script[Math.min(this.looks, this.#script.length - 1)] ?? [];
    this.looks += 1;
    await this.onLook();
    return new Map([['t-1', tallies]]);
  }
}

function tally(generation: number, requests: number, fault = 0): Tally {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  return { generation, requests, failures: { fault }, latency };
}

interface Watched {
  readonly canary: Canary;
  readonly observer: ScriptedObserver;
  readonly widened: readonly number[];
  readonly outside: Outside;
  readonly said: readonly (string | undefined)[];
  /** An operator holds it back. */
  readonly order: { isHeld: boolean };
}

interface Outside {
  /** What comes out when somebody asks. */
  ask: string | undefined;
  asked: number;
}

function makeCanary(plan: Partial<CanaryOptions['plan']>, ...script: readonly (readonly Tally[])[]): Watched {
  const observer = new ScriptedObserver(script);
  const widened: number[] = [];
  const outside: Outside = { ask: undefined, asked: 0 };
  const said: (string | undefined)[] = [];
  const order = { isHeld: false };
  const canary = new Canary({
    pairs: [{ domain: 'notes', candidate: 2, active: 1 }],
    plan: { canaryPercent: 5, shadowPercent: 0, forMs: 20, ...plan },
    isHeld: () => order.isHeld,
    settings: configSchema.parse({}).rollout,
    shadows: new ShadowBoard(),
    observer,
    widen: async (percent) => void widened.push(percent),
    surroundings: {
      seemAway: false,
      ask: async () => {
        outside.asked += 1;
        return outside.ask;
      },
    },
    onWait: (reason) => said.push(reason),
    recoveryMs: 600,
  });
  return { canary, observer, widened, outside, said, order };
}

const NOTHING: readonly Tally[] = [];
const GOOD = [tally(1, 400), tally(2, 40)];
const BAD = [tally(1, 400), tally(2, 40, 10)];

describe('the watch over a canary', { timeout: TEST_MS }, () => {
  const { signal } = new AbortController();

  it('promotes what held its time', async () => {
    const { canary } = makeCanary({}, NOTHING, GOOD);
    assert.deepEqual(await canary.watch(signal), []);
  });

  it('promotes nothing while there is a reason against it, though its time is over', async () => {
    const { canary } = makeCanary({}, NOTHING, BAD);
    const [objection] = await canary.watch(signal);
    assert.equal(objection?.finding.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
  });

  it('forgives what only one look found', async () => {
    const { canary, observer } = makeCanary({}, NOTHING, BAD, [tally(1, 800, 200), tally(2, 80, 10)]);
    assert.deepEqual(await canary.watch(signal), []);
    assert.equal(observer.looks, 3);
  });

  it('holds a canary deployed with hold, though no time is given', async () => {
    const { canary, observer, order } = makeCanary({ forMs: 0 }, NOTHING, GOOD);
    order.isHeld = true;
    const verdict = canary.watch(signal);
    observer.onLook = async () => {
      if (observer.looks === 5) order.isHeld = false;
    };
    assert.deepEqual(await verdict, []);
    assert.ok(observer.looks >= 5);
  });

  it('widens what nobody called, until everybody could', async () => {
    const { canary, widened } = makeCanary({}, NOTHING);
    assert.deepEqual(await canary.watch(signal), []);
    assert.deepEqual(widened, [20, 80, 100]);
  });

  it('widens nothing any more when it is over, also when it was looking just then', async () => {
    const { canary, observer, widened } = makeCanary({}, NOTHING);
    let goOn: () => void = () => undefined;
    observer.onLook = () => (observer.looks < 2 ? Promise.resolve() : new Promise((resolve) => (goOn = resolve)));
    const over = new AbortController();
    const verdict = canary.watch(over.signal);
    while (observer.looks < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    over.abort();
    goOn();
    await assert.rejects(verdict, { name: 'AbortError' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(widened, []);
  });

  it('judges nothing while something outside is away, nor what came of that', async () => {
    const { canary, observer, outside, said } = makeCanary({}, NOTHING, BAD, BAD, BAD, BAD, [
      tally(1, 800),
      tally(2, 80, 10),
    ]);
    outside.ask = 'Store main does not answer.';
    const verdict = canary.watch(signal);
    observer.onLook = async () => {
      if (observer.looks === 5) {
        assert.equal(canary.progress.waits, 'Store main does not answer.');
        assert.equal(canary.progress.elapsedMs, 0);
        outside.ask = undefined;
      }
    };
    assert.deepEqual(await verdict, []);
    assert.deepEqual(said, ['Store main does not answer.', undefined]);
    assert.equal(canary.progress.pairs[0]?.of.failures.fault ?? 0, 0);
    assert.equal(canary.progress.waits, undefined);
  });

  it('judges nobody by what ends late after something outside is back', async () => {
    const slow = (generation: number, requests: number, slowOnes: number): Tally => {
      const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
      latency[0] = requests - slowOnes;
      latency[LATENCY_BOUNDS_MS.length - 1] = slowOnes;
      return { generation, requests, failures: {}, latency };
    };
    const before = [slow(1, 2_000, 0), slow(2, 200, 0)];
    const late = [slow(1, 2_000, 0), slow(2, 400, 200)];
    const { canary, observer, outside } = makeCanary(
      { forMs: 300 },
      NOTHING,
      before,
      [tally(1, 2_000, 1), ...before.slice(1)],
      late,
    );
    const verdict = canary.watch(signal);
    observer.onLook = async () => {
      outside.ask = observer.looks === 3 ? 'Store main does not answer.' : undefined;
    };
    assert.deepEqual(await verdict, []);
    assert.deepEqual(canary.progress.pairs[0]?.of.latency, before[1]?.latency);
    // n.b. on a busy machine a shorter time is over before there are as many looks as a verdict takes.
    const alone = makeCanary({ forMs: TEST_MS }, NOTHING, before, late);
    assert.equal((await alone.canary.watch(signal))[0]?.finding.code, 'BEDS_ROLLOUT_GUARD_LATENCY');
  });

  it('asks nobody as long as nothing fails, and once more before it promotes', async () => {
    const { canary, observer, outside } = makeCanary({ forMs: 400 }, NOTHING, GOOD);
    outside.ask = 'Store main does not answer.';
    const verdict = canary.watch(signal);
    observer.onLook = async () => {
      if (observer.looks === 2) assert.equal(outside.asked, 0);
      if (observer.looks === 6) outside.ask = undefined;
    };
    assert.deepEqual(await verdict, []);
    assert.ok(observer.looks >= 6 && outside.asked > 0);
  });

  it('waits where both versions fail alike, and judges a version that fails alone', async () => {
    const failing = (generation: number, requests: number, timeout: number): Tally => ({
      ...tally(generation, requests),
      failures: { timeout },
    });
    const alike = makeCanary(
      { forMs: 300 },
      NOTHING,
      [failing(1, 100, 90), failing(2, 100, 90)],
      [failing(1, 500, 90), failing(2, 500, 90)],
    );
    assert.deepEqual(await alike.canary.watch(signal), []);
    assert.equal(alike.canary.progress.pairs[0]?.of.failures.timeout ?? 0, 0);
    const alone = makeCanary({}, NOTHING, [failing(1, 100, 0), failing(2, 100, 90)]);
    assert.notDeepEqual(await alone.canary.watch(signal), []);
  });
});
