import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { sourceFiles } from './source-files.js';

export type CheckName = 'format' | 'lint' | 'types' | 'unused';

export interface CheckResult {
  readonly ok: boolean;
  readonly output: string;
}

export type CheckResults = Readonly<Record<CheckName, CheckResult>>;

/** The variable by which the test command tells the tests where the results of the checks are. */
export const CHECKS_VARIABLE = 'BEDS_TEST_CHECKS';

/** Behind the tests, and on a machine that is busy with other things as well. */
const TIMEOUT_MS = 1_800_000;

/** Checks step far back behind the tests, of which many are bounded by time, or judge by it: four of them take as much as all tests else. */
const NICENESS = 15;

/** Each check as a package's program and its arguments; the npm scripts of the same names do the same. */
const CHECKS: Readonly<Record<CheckName, readonly string[]>> = {
  format: ['prettier/bin/prettier.cjs', '--check', '--log-level=warn', ...cacheIn('format'), '.'],
  lint: ['eslint/bin/eslint.js', '--max-warnings=0', '.'],
  types: ['typescript/bin/tsc', '-b'],
  unused: ['knip/bin/knip.js', '--no-progress'],
};

function cacheIn(name: string): readonly string[] {
  return ['--cache', '--cache-strategy=content', `--cache-location=.beds/checks/${name}`];
}

/**
 * ESLint takes a file that has not changed for linted, but a rule that asks for types looks at what the file imports, too. Nobody
 * imports a test file: while nothing else has changed, what is known of the others holds.
 */
function lintCache(root: string): readonly string[] {
  const all = createHash('sha256');
  const settings = ['eslint.config.js', 'package-lock.json', 'tsconfig.base.json', 'tsconfig.json'];
  for (const path of settings) all.update(readFileSync(join(root, path)));
  for (const { path, text } of sourceFiles(root, ['host', 'sdk', 'plugins', 'bench', 'test']))
    if (!path.endsWith('.test.ts')) all.update(path).update(text);
  return cacheIn(`lint-${all.digest('hex').slice(0, 16)}`);
}

/** Runs one check over the whole project. */
export function runCheck(root: string, name: CheckName, signal?: AbortSignal): Promise<CheckResult> {
  const [program = '', ...args] = [...CHECKS[name], ...(name === 'lint' ? lintCache(root) : [])];
  const path = join(root, 'node_modules', program);
  const options = { cwd: root, timeout: TIMEOUT_MS, maxBuffer: 64 * 1_048_576, ...(signal && { signal }) };
  return new Promise((done) => {
    const { pid } = execFile(process.execPath, [path, ...args], options, (error, stdout, stderr) => {
      done({ ok: error === null, output: `${stdout}${stderr}`.trim() || (error?.message ?? '') });
    });
    if (pid !== undefined) setPriority(pid, NICENESS);
  });
}

/**
 * Emits the declarations of the SDK, which tests pack and types are checked by: once, before several would do it at the same time.
 * What is wrong with them, the check of types tells.
 */
export function emitDeclarations(root: string, signal: AbortSignal): Promise<void> {
  const program = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  return new Promise((done) => {
    execFile(process.execPath, [program, '-b', 'sdk'], { cwd: root, timeout: TIMEOUT_MS, signal }, () => done());
  });
}

export interface CheckProgress {
  readonly name: CheckName;
  readonly ok: boolean;
  readonly seconds: number;
}

/** Runs all checks at once, and tells of each when it has ended. */
export async function runChecks(
  root: string,
  onEnd: (progress: CheckProgress) => void,
  signal: AbortSignal,
): Promise<CheckResults> {
  const run = async (name: CheckName): Promise<CheckResult> => {
    const begun = performance.now();
    const result = await runCheck(root, name, signal);
    onEnd({ name, ok: result.ok, seconds: (performance.now() - begun) / 1_000 });
    return result;
  };
  const [types, format, lint, unused] = await Promise.all([run('types'), run('format'), run('lint'), run('unused')]);
  return { types, format, lint, unused };
}
