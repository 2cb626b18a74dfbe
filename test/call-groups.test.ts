import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { CallGroups } from '../host/stores/deadlines.js';

const options = { mode: 'read', timeoutMs: 600_000 } as const;
/** Callers, each of which asks again once it is answered. */
const AT_ONCE = 64;
const [FIRST_CALLS, MOST_CALLS] = [16, 64];

// n.b. what is tried here depends on times alone: a clock that goes on when nobody has anything to do tells them exactly.
let nowMs = 0;
mock.timers.enable({ apis: ['setInterval'] });
mock.method(performance, 'now', () => nowMs);

async function untilQuiet(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

interface Statement {
  readonly endsAtMs: number;
  readonly end: () => void;
}

type TookMs = (calls: number, before: number) => number;

/** A database whose statements take the time that is said of them. Gives how many calls each had, in the order of their ends. */
async function sizesOf(calls: number, tookMs: TookMs, isOrdered = false): Promise<readonly number[]> {
  const sizes: number[] = [];
  const open = new Set<Statement>();
  const answer = (inputs: readonly number[]): Promise<readonly number[]> =>
    new Promise((resolve) => {
      const statement: Statement = {
        endsAtMs: nowMs + tookMs(inputs.length, sizes.length),
        end: () => {
          open.delete(statement);
          sizes.push(inputs.length);
          resolve(inputs);
        },
      };
      open.add(statement);
    });
  const groups = new CallGroups<number, number>({
    ...{ firstCalls: FIRST_CALLS, mostCalls: MOST_CALLS, isPadded: true, isOrdered },
    alone: async (input) => (await answer([input]))[0] ?? -1,
    together: answer,
  });
  let asked = 0;
  let answered = 0;
  const caller = async (): Promise<void> => {
    while (asked < calls) {
      asked += 1;
      const own = asked;
      assert.equal(await groups.ask(own, options), own);
      answered += 1;
    }
  };
  const callers = Promise.all(Array.from({ length: AT_ONCE }, caller));
  while (answered < calls) {
    await untilQuiet();
    const next = [...open].sort((one, other) => one.endsAtMs - other.endsAtMs)[0];
    const stepMs = Math.min(next === undefined ? 10 : Math.max(0, next.endsAtMs - nowMs), 10);
    nowMs += stepMs;
    mock.timers.tick(stepMs);
    if (next !== undefined && next.endsAtMs <= nowMs) next.end();
  }
  await callers;
  return sizes;
}

/** How many calls the groups have that come last. */
function meanOfLast(sizes: readonly number[], share: number): number {
  const last = sizes.slice(-Math.ceil(sizes.length * share));
  return last.reduce((sum, size) => sum + size, 0) / last.length;
}

describe('groups of calls', () => {
  it('grow where the database answers quickly', async () => {
    const sizes = await sizesOf(2_000, (calls) => 1 + calls / 100);
    assert.equal(Math.max(...sizes), AT_ONCE / 2, sizes.join(' '));
  });

  for (const isOrdered of [false, true]) {
    const of = isOrdered ? 'in order' : 'in any order';
    it(`stay large where every statement is slow, whatever it asks for, and some are slower still, ${of}`, async () => {
      const sizes = await sizesOf(2_000, (_calls, before) => (before % 3 === 0 ? 80 : 20), isOrdered);
      assert.ok(meanOfLast(sizes, 0.5) > 16, sizes.join(' '));
    });

    it(`become large again after a slow beginning, ${of}`, async () => {
      const sizes = await sizesOf(2_000, (_calls, before) => Math.max(15, 200 - 4 * before), isOrdered);
      assert.ok(meanOfLast(sizes, 0.25) > 16, sizes.join(' '));
    });

    it(`are no smaller for one that took long, ${of}`, async () => {
      const sizes = await sizesOf(2_000, (_calls, before) => (before % 20 === 0 ? 200 : 4), isOrdered);
      assert.ok(Math.min(...sizes.slice(10, -10)) >= FIRST_CALLS, sizes.join(' '));
    });

    it(`are small where each call adds its own time, ${of}`, async () => {
      const sizes = await sizesOf(1_000, (calls, before) => (before % 3 === 0 ? 16 : 8) * calls, isOrdered);
      assert.ok(meanOfLast(sizes, 0.5) < 4, sizes.join(' '));
    });
  }

  it('are tried again, ever more seldom, where they were too large', async () => {
    const sizes = await sizesOf(4_000, (calls) => (calls > 2 ? 10 * calls : 5));
    const large = (part: readonly number[]): number => part.filter((calls) => calls > 2).length;
    const half = Math.floor(sizes.length / 2);
    const [first, second] = [large(sizes.slice(0, half)), large(sizes.slice(half))];
    assert.ok(second > 0 && second < first / 2, `${String(first)} and ${String(second)}: ${sizes.join(' ')}`);
  });

  it('grow again when what made them small is over', async () => {
    const sizes = await sizesOf(6_000, (calls, before) => (before < 300 ? 10 * calls : 2));
    assert.ok(meanOfLast(sizes, 0.1) > 16, sizes.join(' '));
  });
});
