import { readdirSync, readFileSync } from 'node:fs';

const NANOSECONDS_PER_US = 1_000;

/**
 * Microseconds of processor time that the threads of processes took which are alive; undefined where nobody says so. In
 * nanoseconds, where the sum of a process itself is counted in hundredths of a second.
 * https://docs.kernel.org/scheduler/sched-stats.html
 */
export function processorTimeUs(pids: readonly number[]): number | undefined {
  let ns = 0;
  try {
    for (const pid of pids) {
      const threads = `/proc/${String(pid)}/task`;
      for (const thread of readdirSync(threads)) {
        const [onProcessor = ''] = readFileSync(`${threads}/${thread}/schedstat`, 'utf8').split(' ');
        ns += Number(onProcessor);
      }
    }
  } catch {
    return undefined;
  }
  return ns > 0 ? ns / NANOSECONDS_PER_US : undefined;
}
