import { appendFileSync } from 'node:fs';
import { register } from 'node:module';
import { join } from 'node:path';
import { getEnvironmentData, isMainThread, setEnvironmentData, threadId } from 'node:worker_threads';

/**
 * Loaded before anything else in each thread of a host (`node --import`): notes which functions of the host are entered. A line
 * of the thread's file is one of them: when (milliseconds since 1970), its file, its name.
 */
const DIRECTORY = 'BEDS_HOPS';
const FLUSH_MS = 25;

// n.b. broker threads get an empty environment.
if (isMainThread) setEnvironmentData(DIRECTORY, process.env[DIRECTORY]);
const directory = getEnvironmentData(DIRECTORY);

if (typeof directory === 'string') {
  const root = new URL('../../host/', import.meta.url).href;
  register('./hop-hooks.js', import.meta.url, { data: { root, copies: join(directory, 'copies') } });
  trace(join(directory, 'ways', `${String(process.pid)}-${String(threadId)}.hops`));
}

function trace(path: string): void {
  let isPeriodic = false;
  let lines: string[] = [];
  const { setInterval } = globalThis;
  // What comes back again and again belongs to no request: signs of life, deadlines that are looked at.
  globalThis.setInterval = ((work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
    setInterval(() => {
      isPeriodic = true;
      try {
        work(...args);
      } finally {
        isPeriodic = false;
      }
    }, ms)) as typeof setInterval;
  Object.defineProperty(globalThis, 'bedsHopTracer', {
    value: (file: string, name: string) => {
      if (!isPeriodic) lines.push(`${String(Date.now())} ${file} ${name}`);
    },
  });
  setInterval(() => {
    if (lines.length === 0) return;
    const text = lines.join('\n');
    lines = [];
    appendFileSync(path, `${text}\n`);
  }, FLUSH_MS).unref();
}
