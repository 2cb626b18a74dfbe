import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoisonMemory, RestartLimit, Watchdog } from '../host/threads/pool.js';
import type { ThreadHandle } from '../host/threads/handle.js';
import { CrashBreadcrumbs } from '../host/threads/trail.js';
import { eventually } from './support/eventually.js';

describe('the limit of restarts', () => {
  it('allows as many within the period as it says, and no more', () => {
    const limit = new RestartLimit({ intensity: 2, periodMs: 1_000 });
    assert.deepEqual([limit.allows(0), limit.allows(1), limit.allows(2)], [true, true, false]);
  });

  it('forgets those that are longer ago than the period', () => {
    const limit = new RestartLimit({ intensity: 1, periodMs: 1_000 });
    assert.deepEqual([limit.allows(0), limit.allows(1_000), limit.allows(1_999)], [true, true, false]);
  });
});

describe('the messages to threads that join', () => {
  it('is every recent end of a thread, and no old one', () => {
    const memory = new PoisonMemory();
    memory.add({ poisonDigest: 1 }, 0);
    memory.add({ poisonDigest: 2 }, 30_000);
    assert.deepEqual(memory.current(59_999), [{ poisonDigest: 1 }, { poisonDigest: 2 }]);
    assert.deepEqual(memory.current(60_000), [{ poisonDigest: 2 }]);
  });
});

describe('a request that ran when its thread ended', () => {
  it('is blamed at once where its own code was entered last, and else not before three threads ended under it', () => {
    const memory = new PoisonMemory();
    const attribute = (name: string, suspect: number, isSuspectLast: boolean): number =>
      memory.attribute({ name, suspect, isSuspectLast });
    assert.equal(attribute('a', 0, true), 0);
    assert.equal(attribute('a', 7, true), 7);
    const ends = ['a', 'a', 'b', 'c'].map((name) => attribute(name, 8, false));
    assert.deepEqual(ends, [0, 0, 0, 8]);
  });
});

describe('the notes in shared memory', () => {
  it('are seen on the other side', () => {
    const own = new CrashBreadcrumbs();
    const other = new CrashBreadcrumbs(own.buffer);
    assert.deepEqual([other.beats, other.lastEntered, other.suspect], [0, 0, 0]);
    own.beat();
    own.enter(7);
    own.trying(-5);
    assert.deepEqual([other.beats, other.lastEntered, other.suspect], [1, 7, -5]);
    own.trying(0);
    assert.equal(other.suspect, 0);
  });
});

interface FakeThread {
  state: string;
  beats: number;
}

describe('the watchdog', () => {
  it('notices the thread that is ready and silent, and no other', async (t) => {
    const alive: FakeThread = { state: 'ready', beats: 0 };
    const silent: FakeThread = { state: 'ready', beats: 3 };
    const starting: FakeThread = { state: 'starting', beats: 0 };
    const stalled: unknown[] = [];
    const beating = setInterval(() => (alive.beats += 1), 5);
    const watchdog = new Watchdog({
      intervalMs: 20,
      stallTimeoutMs: 200,
      threads: () => [alive, silent, starting] as unknown as readonly ThreadHandle[],
      onStall: (thread) => {
        silent.state = 'ended';
        stalled.push(thread);
      },
    });
    t.after(() => {
      clearInterval(beating);
      watchdog.close();
    });
    await eventually('a thread is noticed', () => stalled.length > 0);
    const beats = alive.beats;
    await eventually('more time than the timeout passed', () => alive.beats > beats + 60);
    assert.deepEqual(stalled, [silent]);
  });
});
