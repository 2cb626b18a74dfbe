import { writeSync } from 'node:fs';
import { after } from 'node:test';
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

// What a test starts, processes and threads, may load this module too.
if (isMainThread && process.argv[1] === process.env[TEST_FILE_VARIABLE]) {
  // n.b. threads are not among the resources that Node lists.
  process.on('worker', (thread) => {
    threads += 1;
    thread.once('exit', () => (threads -= 1));
  });
  after(expectEnd);
}
