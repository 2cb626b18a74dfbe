import { execFile } from 'node:child_process';
import { join } from 'node:path';

export type CheckName = 'format' | 'lint' | 'types' | 'unused';

export interface CheckResult {
  readonly ok: boolean;
  readonly output: string;
}

export type CheckResults = Readonly<Record<CheckName, CheckResult>>;

/** The variable by which the test command tells the tests where the results of the checks are. */
export const CHECKS_VARIABLE = 'BEDS_TEST_CHECKS';

const TIMEOUT_MS = 300_000;

/** Each check as a package's program and its arguments; the npm scripts of the same names do the same. */
const CHECKS: Readonly<Record<CheckName, readonly string[]>> = {
  format: ['prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'],
  lint: ['eslint/bin/eslint.js', '--max-warnings=0', '.'],
  types: ['typescript/bin/tsc', '-b'],
  unused: ['knip/bin/knip.js', '--no-progress'],
};

/** Runs one check over the whole project. */
export function runCheck(root: string, name: CheckName): Promise<CheckResult> {
  const [program = '', ...args] = CHECKS[name];
  const path = join(root, 'node_modules', program);
  const options = { cwd: root, timeout: TIMEOUT_MS, maxBuffer: 64 * 1_048_576 };
  return new Promise((done) => {
    execFile(process.execPath, [path, ...args], options, (error, stdout, stderr) => {
      done({ ok: error === null, output: `${stdout}${stderr}`.trim() || (error?.message ?? '') });
    });
  });
}

export interface CheckProgress {
  readonly name: CheckName;
  readonly ok: boolean;
  readonly seconds: number;
}

/** Runs all checks at once, and tells of each when it has ended. */
export async function runChecks(root: string, onEnd: (progress: CheckProgress) => void): Promise<CheckResults> {
  const run = async (name: CheckName): Promise<CheckResult> => {
    const begun = performance.now();
    const result = await runCheck(root, name);
    onEnd({ name, ok: result.ok, seconds: (performance.now() - begun) / 1_000 });
    return result;
  };
  const [types, format, lint, unused] = await Promise.all([run('types'), run('format'), run('lint'), run('unused')]);
  return { types, format, lint, unused };
}
