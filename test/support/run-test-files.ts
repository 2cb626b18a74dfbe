import { spawn, type ChildProcess } from 'node:child_process';
import { cpus, getPriority } from 'node:os';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { TEST_FILE_VARIABLE } from './expect-end.js';

/** Longest that the files of one process may take. */
const FILE_TIMEOUT_MS = 600_000;

const OPTIONS = [`--import=${fileURLToPath(new URL('./expect-end.js', import.meta.url))}`, '--test-reporter=spec'];
const TOGETHER = fileURLToPath(new URL('./together.js', import.meta.url));

const LAST_WORDS_MS = 2_000;
const LOOK_MS = 500;
/** From this share on what is idle is enough for one more file. */
const ENOUGH_IDLE = 0.35;

const PROCESSOR = 'processor_ms';
const TOTAL = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms|processor_ms) ([\d.]+)\n/gm;
const FAILURES = '✖ failing tests:';

export interface TestFilesOptions {
  /** Options of Node's test runner. */
  readonly nodeOptions: readonly string[];
  /** So many files run at the same time, whatever else the machine does. */
  readonly atLeast: number;
  /** So many do while the processors are idle in part: much of a test is waiting. */
  readonly atMost: number;
  /** Tells whether a file judges by time: beside it no more run than `atLeast`. */
  readonly judgesByTime: (file: string) => boolean;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Test files that share a process. */
export type Batch = readonly string[];

interface Ended {
  /** The names of its files. */
  readonly name: string;
  readonly files: number;
  readonly ok: boolean;
  readonly seconds: number;
  readonly output: string;
}

/** Runs compiled test files, each batch in a process of its own, in the order given. Resolves to the exit code of the whole. */
export async function runTestFiles(batches: readonly Batch[], options: TestFilesOptions): Promise<number> {
  const running = new Map<ChildProcess, Promise<void>>();
  /** Of those that run. */
  const judging = new Set<ChildProcess>();
  const totals = new Map<string, number>();
  const failed: Ended[] = [];
  const begunMs = performance.now();
  const count = batches.flat().length;
  let isStopped = false;
  const stop = (signal: NodeJS.Signals): void => {
    isStopped = true;
    for (const child of running.keys()) child.kill(signal);
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  const end = (ended: Ended, done: number): void => {
    let processorMs = 0;
    for (const [, name = '', count] of ended.output.matchAll(TOTAL)) {
      totals.set(name, (totals.get(name) ?? 0) + Number(count));
      if (name === PROCESSOR) processorMs = Number(count);
    }
    if (!ended.ok) {
      failed.push(ended);
      // A process that was lost has told no result, or none of what cost it.
      if (!ended.output.includes(FAILURES)) totals.set('fail', (totals.get('fail') ?? 0) + 1);
    }
    const took = `${ended.seconds.toFixed(1)} s, ${(processorMs / 1_000).toFixed(1)} s of processors`;
    write(`${ended.name}, ${String(done)} of ${String(count)}, ${took}\n`);
    write(ended.output.replace(TOTAL, '').trimEnd() + '\n\n');
  };
  let ended = 0;
  for (const batch of batches) {
    const judges = batch.some(options.judgesByTime);
    const most = (): number => (judges || judging.size > 0 ? options.atLeast : options.atMost);
    for (let isIdle = false; running.size >= (isIdle ? most() : options.atLeast);) {
      const before = processorTimes();
      await Promise.race([...running.values(), delay(LOOK_MS)]);
      isIdle = idleShareSince(before) >= ENOUGH_IDLE;
    }
    if (isStopped) break;
    const child = startBatch(batch, options);
    const over = outcomeOf(child, batch).then((outcome) => {
      running.delete(child);
      judging.delete(child);
      ended += outcome.files;
      end(outcome, ended);
    });
    running.set(child, over);
    if (judges) judging.add(child);
  }
  await Promise.all(running.values());
  process.off('SIGTERM', stop).off('SIGINT', stop);
  totals.set('duration_ms', performance.now() - begunMs);
  for (const [name, count] of totals) write(`ℹ ${name} ${String(Math.round(count))}\n`);
  if (failed.length > 0) write(`\n${FAILURES}\n`);
  for (const { name, output } of failed) write(`\n${name}\n${failuresIn(output)}\n`);
  return failed.length === 0 && !isStopped ? 0 : 1;
}

function startBatch(batch: Batch, { cwd, env, nodeOptions }: TestFilesOptions): ChildProcess {
  const [main = '', ...rest] = batch.length === 1 ? batch : [TOGETHER, ...batch];
  return spawn(process.execPath, [...OPTIONS, ...nodeOptions, main, ...rest], {
    cwd,
    env: { ...env, [TEST_FILE_VARIABLE]: main },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function outcomeOf(child: ChildProcess, batch: Batch): Promise<Ended> {
  const name = batch.map((path) => basename(path, '.test.js')).join(', ');
  const begunMs = performance.now();
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const timer = setTimeout(() => {
    output += `\n${name} took longer than ${String(FILE_TIMEOUT_MS / 1_000)} s, and was ended.\n`;
    child.kill('SIGKILL');
  }, FILE_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      const ok = code === 0;
      const tell = (): void => {
        if (!ok && !output.includes(FAILURES)) output += `\n✖ ${name} ended with ${String(code ?? signal)}\n`;
        resolve({ name, files: batch.length, ok, output, seconds: (performance.now() - begunMs) / 1_000 });
      };
      // n.b. what it started and left behind may hold its output open for ever.
      const last = setTimeout(tell, LAST_WORDS_MS);
      child.once('close', () => {
        clearTimeout(last);
        tell();
      });
    });
  });
}

function failuresIn(output: string): string {
  const [, failures = output] = output.split(FAILURES);
  return failures.trim();
}

function write(text: string): void {
  const isColoured = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  const green = (line: string): string => styleText('green', line);
  const red = (line: string): string => styleText('red', line);
  process.stdout.write(isColoured ? text.replace(/^\s*✔.*$/gm, green).replace(/^\s*✖.*$/gm, red) : text);
}

interface ProcessorTimes {
  readonly idleMs: number;
  readonly allMs: number;
}

function processorTimes(): ProcessorTimes {
  const times = cpus().map((each) => each.times);
  const allMs = times.reduce((sum, { user, nice, sys, irq, idle }) => sum + user + nice + sys + irq + idle, 0);
  // n.b. the checks stand back behind the tests: they use what is idle, and that is left for tests.
  const givesWay = getPriority() <= 0;
  const idleMs = times.reduce((sum, { idle, nice }) => sum + idle + (givesWay ? nice : 0), 0);
  return { idleMs, allMs };
}

/** What part of the processors' time nobody used. Of a moment it tells nothing. */
function idleShareSince(before: ProcessorTimes): number {
  const now = processorTimes();
  const allMs = now.allMs - before.allMs;
  return allMs < LOOK_MS ? 0 : (now.idleMs - before.idleMs) / allMs;
}
