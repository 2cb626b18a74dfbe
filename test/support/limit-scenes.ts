import { randomOf, type Scene } from './simulated-store.js';

type Speed = Scene['speed'];
type Work = Scene['workMs'];

const MINUTE = 60;
const CALLERS = 60;
const NOISE_MS = 220;
const STANDING = 1e-9;

/** Most gets done by 6 at once, half as much by 16. */
export const thrashing: Speed = (calls) => (calls <= 6 ? 1 : (6 * Math.max(0.3, 1 - 0.05 * (calls - 6))) / calls);
/** Two cores and nothing to wait for. */
export const busyCores: Speed = (calls) => Math.min(1, 2 / calls);
/** Calls do not touch each other. */
export const far: Speed = () => 1;
/** Each call more brings a little less. */
export const soft: Speed = (calls) => 2 / (calls + 1);

const exponential =
  (meanMs: number): Work =>
  (random) =>
    -meanMs * Math.log(1 - random());
const about =
  (ms: number): Work =>
  (random) =>
    ms * (0.8 + 0.4 * random());
const mixed =
  (share: number): Work =>
  (random) =>
    random() < share ? 200 : 1;

const stalling =
  (speed: Speed, forMs: number): Speed =>
  (calls, nowMs) =>
    nowMs % 20_000 >= 20_000 - forMs ? STANDING : speed(calls, nowMs);

/** 30 % more or less, another for each fifth of a second or so. */
function noisy(speed: Speed, seed: number): Speed {
  const random = randomOf(seed * 77 + 5);
  const factors = Array.from({ length: 1_000 }, () => 0.7 + 0.6 * random());
  return (calls, nowMs) => speed(calls, nowMs) * (factors[Math.floor(nowMs / NOISE_MS) % factors.length] ?? 1);
}

function scene(speed: Speed, workMs: Work, rest: Partial<Scene> = {}): Scene {
  return { seconds: MINUTE, speed, workMs, callers: () => CALLERS, ...rest };
}

const comesAndGoes: Scene['callers'] = (nowMs) => (nowMs % 10_000 < 7_000 ? CALLERS : 4);
const thenFar: Speed = (calls, nowMs) => (nowMs < 30_000 ? thrashing : far)(calls, nowMs);
const thenThrashing: Speed = (calls, nowMs) => (nowMs < 30_000 ? far : thrashing)(calls, nowMs);
const second = { timeoutMs: 1_000 };
const crowd: Partial<Scene> = { ...second, callers: () => 900 };

/** What a limit must stand, each of them for a minute; `seed` decides what is left to chance. */
export const limitScenes: Readonly<Record<string, (seed: number) => Scene>> = {
  'a store that thrashes': () => scene(thrashing, exponential(5)),
  'a slow store that thrashes': () => scene(thrashing, exponential(20)),
  'two busy cores': () => scene(busyCores, exponential(2)),
  'nothing but latency': () => scene(far, about(20)),
  'nothing but latency, of 100 ms': () => scene(far, about(100)),
  'stalls of 1 s': () => scene(stalling(far, 1_000), about(20), second),
  'stalls of 5 s': () => scene(stalling(far, 5_000), about(20), second),
  'stalls of 1 s, and more callers than can be served in time': () => scene(stalling(far, 1_000), about(20), crowd),
  'stalls of 1 s of a store that thrashes': () => scene(stalling(thrashing, 1_000), exponential(5), second),
  'half of the calls of 1 ms, half of 200 ms': () => scene(far, mixed(0.5)),
  'a tenth of the calls of 200 ms': () => scene(far, mixed(0.1)),
  'load that comes and goes': () => scene(far, about(20), { callers: comesAndGoes }),
  'load that comes and goes at a store that thrashes': () =>
    scene(thrashing, exponential(5), { callers: comesAndGoes }),
  'a store that thrashes no more': () => scene(thenFar, about(20)),
  'a store that begins to thrash': () => scene(thenThrashing, about(20)),
  'noise at a store that thrashes': (seed) => scene(noisy(thrashing, seed), exponential(5)),
  'noise at two busy cores': (seed) => scene(noisy(busyCores, seed), exponential(2)),
  'noise at nothing but latency': (seed) => scene(noisy(far, seed), about(20)),
  'noise at a tenth of the calls of 200 ms': (seed) => scene(noisy(far, seed), mixed(0.1)),
  'each call more brings a little less': () => scene(soft, exponential(5)),
  'two threads at a store that thrashes': () => scene(thrashing, exponential(5), { threads: 2 }),
  'two threads at nothing but latency': () => scene(far, about(20), { threads: 2 }),
};
