import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** Names the test file to the process that it runs in. */
export const TEST_FILE_VARIABLE = 'BEDS_TEST_FILE';

const LIMIT_MS = 20_000;
/** Servers that a file started for itself are stopped after its last test, within bounds of their own. */
const LIMIT_WITH_CHILDREN_MS = 60_000;

let threads = 0;

/** The process of a test file fails, and says what keeps it, when it does not end by itself soon after its last test. */
function expectEnd(): void {
  setTimeout(() => {
    if (!process.getActiveResourcesInfo().includes('ProcessWrap')) fail();
    setTimeout(fail, LIMIT_WITH_CHILDREN_MS - LIMIT_MS).unref();
  }, LIMIT_MS).unref();
}

/** n.b. two of the pipes are the process's own output. */
function fail(): never {
  const alive = [...process.getActiveResourcesInfo(), `${threads} threads`].join(', ');
  writeSync(2, `The process did not end after its last test; alive: ${alive}.\n`);
  // eslint-disable-next-line n/no-process-exit -- it does not end by itself, and the test runner would hold back an error.
  process.exit(1);
}

/** Of the clock by which the system counts processor time. */
const TICK_MS = 10;

/** What the file took of the processors, with all that it started and that has ended, as a line of the test reporter's. */
function tellProcessorTime(): void {
  const { user, system } = process.cpuUsage();
  writeSync(2, `ℹ processor_ms ${String(Math.round((user + system) / 1_000 + childrenMs()))}\n`);
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: `cutime` and `cstime`. Elsewhere they are not told. */
function childrenMs(): number {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(13, 15);
    return (Number(user) + Number(system)) * TICK_MS;
  } catch {
    return 0;
  }
}

// What a test starts, processes and threads, may load this module too.
if (isMainThread && process.argv[1] === process.env[TEST_FILE_VARIABLE]) {
  // Here, and not as an option of Node: all that the file starts would read the maps of all that it loads.
  process.setSourceMapsEnabled(true);
  // n.b. threads are not among the resources that Node lists.
  process.on('worker', (thread) => {
    threads += 1;
    thread.once('exit', () => (threads -= 1));
  });
  process.on('exit', tellProcessorTime);
  const { after } = await import('node:test');
  after(expectEnd);
}
