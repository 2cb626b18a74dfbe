import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { backoffMs, settlesWithin, sleep, withTimeout } from '#sdk/time';

/** What nobody handled while the test ran. */
function unhandled(t: TestContext): unknown[] {
  const seen: unknown[] = [];
  const note = (reason: unknown): void => void seen.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  return seen;
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

const late = (): Error => new Error('late');

describe('a wait with a bound', () => {
  it('ends as the work does, and leaves no timer behind', async () => {
    const before = timers();
    assert.equal(await withTimeout(Promise.resolve(1), 60_000, late), 1);
    await assert.rejects(withTimeout(Promise.reject(new Error('bad')), 60_000, late), { message: 'bad' });
    assert.equal(await settlesWithin(Promise.resolve(), 60_000), true);
    assert.equal(await settlesWithin(Promise.reject(new Error('bad')), 60_000), true);
    assert.equal(timers(), before);
  });

  it('ends when the time is over, and what fails afterwards is nobody’s unhandled rejection', async (t) => {
    const seen = unhandled(t);
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<void>((_resolve, reject) => (fail = reject));
    await assert.rejects(withTimeout(work, 1, late), { message: 'late' });
    assert.equal(await settlesWithin(work, 1), false);
    fail(new Error('too late'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(seen, []);
  });
});

describe('a pause', () => {
  it('ends when it is given up, before or meanwhile', async () => {
    const stop = new AbortController();
    const pause = sleep(60_000, stop.signal);
    stop.abort();
    await pause;
    await sleep(60_000, stop.signal);
  });

  it('between attempts grows to a bound, and is at random', () => {
    const range = { minMs: 100, maxMs: 5_000 };
    const most = (attempt: number): number =>
      Math.max(...Array.from({ length: 1_000 }, () => backoffMs(attempt, range)));
    assert.ok(most(0) <= 100 && most(0) > 80);
    assert.ok(most(3) <= 800 && most(3) > 640);
    assert.ok(most(1_000) <= 5_000 && most(1_000) > 4_000);
  });
});
