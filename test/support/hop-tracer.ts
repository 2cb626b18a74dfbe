import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';
import { join } from 'node:path';
import { getEnvironmentData, isMainThread, setEnvironmentData, threadId } from 'node:worker_threads';

/**
 * Loaded before anything else in each thread of a host (`node --import`): notes which functions of the host are entered. A line
 * of the thread's file is one of them: when (milliseconds since 1970), the number of the timer that it follows from (0: none),
 * its file, its name.
 */
const DIRECTORY = 'BEDS_HOPS';
const FLUSH_MS = 25;
/** What comes back again and again belongs to no request, nor what follows from it: signs of life, deadlines that are looked at. */
const PERIODIC = -1;

// n.b. broker threads get an empty environment.
if (isMainThread) setEnvironmentData(DIRECTORY, process.env[DIRECTORY]);
const directory = getEnvironmentData(DIRECTORY);

if (typeof directory === 'string') {
  const root = new URL('../../host/', import.meta.url).href;
  register('./hop-hooks.js', import.meta.url, { data: { root, copies: join(directory, 'copies') } });
  trace(join(directory, 'ways', `${String(process.pid)}-${String(threadId)}.hops`));
}

type StartTimer = (work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => NodeJS.Timeout;

function trace(path: string): void {
  const timers = new AsyncLocalStorage<number>();
  let last = 0;
  let lines: string[] = [];
  const { setInterval, setTimeout } = globalThis;
  const started = (start: StartTimer, numberOf: () => number): StartTimer =>
    Object.defineProperties(
      (work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
        start(() => timers.run(numberOf(), work, ...args), ms),
      Object.getOwnPropertyDescriptors(start),
    );
  globalThis.setInterval = started(setInterval, () => PERIODIC) as typeof setInterval;
  globalThis.setTimeout = started(setTimeout, () => (last += 1)) as typeof setTimeout;
  Object.defineProperty(globalThis, 'bedsHopTracer', {
    value: (file: string, name: string) => {
      const timer = timers.getStore() ?? 0;
      if (timer !== PERIODIC) lines.push(`${String(Date.now())} ${String(timer)} ${file} ${name}`);
    },
  });
  setInterval(() => {
    if (lines.length === 0) return;
    const text = lines.join('\n');
    lines = [];
    appendFileSync(path, `${text}\n`);
  }, FLUSH_MS).unref();
}
