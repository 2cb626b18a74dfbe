import assert from 'node:assert/strict';
import { serveParent } from '../context/child.js';
import { GUARDED, type Guarded } from '../guard/reference.js';
import { yardstick } from '../guard/yardstick.js';
import { BATCH, makeClientProbe } from '../probes/client-probe.js';
import { makeDispatchProbe } from '../probes/dispatch-probe.js';

export interface GuardCall {
  /** How often every operation is done instead of once, to see that the guard notices. */
  readonly handicap: number;
}

/** Rounds until V8 has compiled what it is going to compile. */
const WARM_UP_ROUNDS = 150;
/** A slice takes a fraction of a millisecond, so that most of them are not interrupted however busy the machine is. */
const SLICES = 300;
/** Bursts that allocate less than a young generation holds, so that nothing is given back meanwhile. */
const HEAP_BURSTS = 20;
const HEAP_SAMPLES = 9;

type Burst = () => Promise<unknown>;

const dispatch = await makeDispatchProbe();
const client = await makeClientProbe();

/** Each does `BATCH` operations. */
function burstsOf({ handicap }: GuardCall): Readonly<Record<Guarded, Burst>> {
  return {
    dispatch: () => dispatch.burst(BATCH * handicap),
    client: async () => {
      for (let n = 0; n < handicap; n++) await client.burst();
    },
  };
}

async function warmUp(bursts: readonly Burst[]): Promise<void> {
  for (let round = 0; round < WARM_UP_ROUNDS; round++) for (const burst of bursts) await burst();
}

/** Times of an operation as multiples of the yardstick's: the shortest slice of each, taken in turn. */
async function time(call: GuardCall): Promise<Readonly<Record<Guarded, number>>> {
  const ours = burstsOf(call);
  const bursts = [() => yardstick(dispatch.body, BATCH), ...GUARDED.map((name) => ours[name])];
  await warmUp(bursts);
  const shortestMs = bursts.map(() => Infinity);
  for (let slice = 0; slice < SLICES; slice++) {
    for (const [index, burst] of bursts.entries()) {
      const startedAtMs = performance.now();
      await burst();
      shortestMs[index] = Math.min(shortestMs[index] ?? Infinity, performance.now() - startedAtMs);
    }
  }
  const [yardstickMs = Number.NaN, dispatchMs = Number.NaN, clientMs = Number.NaN] = shortestMs;
  return { dispatch: dispatchMs / yardstickMs, client: clientMs / yardstickMs };
}

/** Bytes that an operation allocates: the median of some bursts, each after a collection. */
async function heap(call: GuardCall): Promise<Readonly<Record<Guarded, number>>> {
  const { gc } = globalThis;
  assert.ok(gc, 'needs --expose-gc');
  const ours = burstsOf(call);
  await warmUp(Object.values(ours));
  const measure = async (burst: Burst): Promise<number> => {
    const samples: number[] = [];
    for (let sample = 0; sample < HEAP_SAMPLES; sample++) {
      gc();
      const before = process.memoryUsage().heapUsed;
      for (let n = 0; n < HEAP_BURSTS; n++) await burst();
      samples.push((process.memoryUsage().heapUsed - before) / (HEAP_BURSTS * BATCH));
    }
    return samples.sort((a, b) => a - b)[HEAP_SAMPLES >> 1] ?? Number.NaN;
  };
  return { dispatch: await measure(ours.dispatch), client: await measure(ours.client) };
}

serveParent({ calls: { time, heap }, stop: () => client.stop() });
