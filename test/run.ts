import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { startServices, type Services } from '../host/services/index.js';
import { reachedFrom } from './support/imports.js';
import { runTestFiles, TEST_CONCURRENCY } from './support/run-test-files.js';
import { sourceFiles, type SourceFile } from './support/source-files.js';
import { CHECKS_VARIABLE, runChecks } from './support/static-checks.js';
import { stopOnSignals } from './support/stop-on-signals.js';

const STATIC_CHECKS = 'test/static-checks.test.ts';
const SERVICES_DIRECTORY = 'host/services/';

export interface TestRun {
  /** Parts of test file names, and options of `node --test`. None: everything. */
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * `npm test`: static checks, then the servers, then every test file under the test runner of Node, whose summary is the
 * last thing on the screen. Resolves to the exit code: 0 only if everything that was asked for ran and passed.
 */
export async function main({ args, projectRoot, env }: TestRun): Promise<number> {
  const sources = sourceFiles(projectRoot, ['host', 'test', 'plugins']);
  const filters = args.filter((arg) => !arg.startsWith('-'));
  const files = sources.map(({ path }) => path).filter((path) => path.endsWith('.test.ts') && isWanted(path, filters));
  if (files.length === 0) return refuse(`no test file has ${filters.join(' or ')} in its name`);
  const notCompiled = files.find((path) => !existsSync(compiledPath(projectRoot, path)));
  if (notCompiled !== undefined) return refuse(`${notCompiled} is not compiled; run it with npm test`);

  const workplace = mkdtempSync(join(tmpdir(), 'beds-test-'));
  const servicesDirectory = join(workplace, 'services');
  const stop = stopOnSignals();
  let services: Services | undefined;
  try {
    const checks = files.includes(STATIC_CHECKS) ? await check(projectRoot, workplace) : {};
    if (needServices(files, sources)) services = await start(servicesDirectory, env, stop.signal);
    if (stop.exitCode() !== undefined) return stop.exitCode() ?? 1;
    say(`running ${files.length} test files, ${TEST_CONCURRENCY} at a time`);
    const compiled = files.map((path) => compiledPath(projectRoot, path));
    const code = await runTestFiles([...args.filter((arg) => arg.startsWith('-')), ...compiled], {
      cwd: projectRoot,
      env: { ...env, ...checks, ...(services === undefined ? {} : { BEDS_TEST_SERVICES_DIR: servicesDirectory }) },
    });
    return stop.exitCode() ?? code;
  } catch (error) {
    if (!isBedsError(error)) throw error;
    return stop.exitCode() ?? refuse(`${error.code}: ${error.message}\n${error.hint ?? ''}`);
  } finally {
    await services?.close();
    stop.release();
    rmSync(workplace, { recursive: true, force: true });
  }
}

function isWanted(path: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => path.includes(filter));
}

function compiledPath(projectRoot: string, path: string): string {
  return join(projectRoot, 'dist', path.replace(/\.ts$/, '.js'));
}

async function check(projectRoot: string, workplace: string): Promise<Record<string, string>> {
  say('checking types, format and lint');
  const results = await runChecks(projectRoot, ({ name, ok, seconds }) => {
    say(`${name}: ${ok ? 'nothing wrong' : 'failed'} after ${seconds.toFixed(1)} s`);
  });
  const failed = Object.entries(results).filter(([, { ok }]) => !ok);
  if (failed.length > 0) say(`${failed.map(([name]) => name).join(', ')} failed: the tests below say where`);
  const file = join(workplace, 'checks.json');
  writeFileSync(file, JSON.stringify(results));
  return { [CHECKS_VARIABLE]: file };
}

/** Whether any of the test files can reach the module that knows the servers. */
function needServices(files: readonly string[], sources: readonly SourceFile[]): boolean {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  return files.some((file) => [...reachedFrom(file, byPath)].some((path) => path.startsWith(SERVICES_DIRECTORY)));
}

function start(directory: string, environment: TestRun['env'], signal: AbortSignal): Promise<Services> {
  return startServices({
    directory,
    need: ['rabbitmq', 'mariadb', 'mongodb'],
    environment,
    signal,
    onProgress: ({ type, words }) => {
      // Nothing may come after the summary of the test runner.
      if (type !== 'stopped') say(words);
    },
  });
}

function refuse(text: string): number {
  say(text);
  return 1;
}

function say(text: string): void {
  process.stderr.write(`beds test: ${text}\n`);
}
