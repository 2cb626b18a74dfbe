import { spawn } from 'node:child_process';

/** Longest a test file may take. */
const FILE_TIMEOUT_MS = 300_000;

const OPTIONS = [
  '--enable-source-maps',
  `--import=${new URL('./expect-end.js', import.meta.url).href}`,
  '--test',
  `--test-timeout=${FILE_TIMEOUT_MS}`,
  '--test-reporter=spec',
];

export interface TestFilesOptions {
  /** Test files that run at the same time. */
  readonly concurrency: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs compiled test files, and further options, under the test runner of Node. Resolves to its exit code. */
export function runTestFiles(args: readonly string[], options: TestFilesOptions): Promise<number> {
  const { cwd, env, concurrency } = options;
  const all = [...OPTIONS, `--test-concurrency=${concurrency}`, ...args];
  const child = spawn(process.execPath, all, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const forward = (signal: NodeJS.Signals): boolean => child.kill(signal);
  process.on('SIGTERM', forward).on('SIGINT', forward);
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code) => {
      process.off('SIGTERM', forward).off('SIGINT', forward);
      done(code ?? 1);
    });
  });
}
