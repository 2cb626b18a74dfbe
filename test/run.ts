import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { startServices, type Services } from '../host/dev-servers/index.js';
import { runWithNode } from './support/another-node.js';
import { type Batch, runTestFiles } from './support/run-test-files.js';
import { sourceFiles } from './support/source-files.js';
import { type CheckProgress, CHECKS_VARIABLE, emitDeclarations, runChecks } from './support/static-checks.js';
import { stopOnSignals } from './support/stop-on-signals.js';

const STATIC_CHECKS = 'test/static-checks.test.ts';
const SERVICES = 'host/dev-servers/index.js';
/** An import of a file of ours, as the compiler leaves it: those of types are gone. */
const IMPORT = /^(?:import|export)\b[^";]*"(\.[^"]+)";$/gm;
const UNIT = '--unit';
const SERVERS = '--servers';
const NODE = '--node';
const SERVERS_VARIABLE = 'BEDS_SERVERS';
/** Says that the tests run with a Node that was asked for. */
const NODE_VARIABLE = 'BEDS_TEST_NODE';
/** A server of one's own in the place of one that `--servers` provides. */
const URL_VARIABLES = ['BEDS_RABBITMQ_URL', 'BEDS_MARIADB_ADMIN_URL'];
/** They need no server, but compile, pack or measure for longer than the unit run may take. */
const NO_UNIT = ['cli-create', 'heap-limits', 'memory-of-versions', 'sdk-build-packages', 'sdk-package', 'speed-guard'];
/** Files that run at the same time: the least on a busy machine, the most while its processors are idle in part. */
const AT_ONCE = { atLeast: 2, atMost: 4 };
const UNIT_AT_ONCE = { atLeast: 4, atMost: 8 };

/** What takes longest begins first, so that nothing long is left to run alone at the end. Not to be kept exactly. */
const LONGEST = [
  'scenario-fleet',
  'scenario-accounts',
  'bench',
  'scenario-orders',
  'guides',
  'scenario-canary-outage',
  'scenario-failures',
  'sdk-cli',
  'scenario-waiting-writes',
  'scenario-boot',
  'scenario-strays',
  'scenario-killed-host',
  'scenario-roles',
  'generate-mysql-briefs',
  'scenario-killing-versions',
  'scenario-dashboard',
  'demo',
  'versions-dropped-together',
  'scenario-isolation',
  'scenario-quarantine',
  'scenario-faults',
  'dashboard-page',
  'scenario-swap',
  'scenario-signals',
  'cli-deploy',
  'scenario-trial-process',
  'scenario-canary-shadow',
  'services',
  'scenario-canary',
  'tracing',
  'scenario-canary-orders',
  'scenario-directory',
  'scenario-racing',
  'admission-directory',
  'scenario-waiting',
  'memory-alarm',
  'dead-letters',
  'amqp',
  'adapter-mongodb-played',
  'scenario-random',
  'request-age',
  'sdk-package',
  'cli-create',
  'memory-of-versions',
  'design-model',
  'admission-watch',
  'absent-roles',
  'sdk-build',
  'bootstrap',
  'admission-bundles',
  'waiting-writes',
  'spec-random',
  'heap-limits',
  'sdk-build-packages',
  'users',
  'reconcile',
];

/** Files that judge how fast something is by the clock: near the end, where they are kept apart from most others without much waiting. */
const JUDGE_BY_TIME = ['scenario-account-times', 'scenario-crowd', 'metrics-queries', 'speed-guard', 'sealed-speed'];

/**
 * Of the files that need no server these have a process of their own: they wait, measure what the process uses, change its clock or its
 * flags, or listen to all that it does. So have those of `LONGEST`. All others share a few, because loading what they test takes longer
 * than testing it.
 */
const ALONE = [
  'access',
  'adapter-waiting',
  'admission-records',
  'broker-pool',
  'call-groups',
  'canary',
  'canary-watch',
  'caller-ledger',
  'cli',
  'design',
  'dispatch',
  'envelope',
  'generation-leftovers',
  'query-plan',
  'store-drivers',
  'time',
];
/** Into so many processes. */
const BATCHES = 2;

const USAGE = `npm test [-- [--unit] [--servers <name>] [--node <version>] [<part of a file name> …] [<option of node --test> …]]

  npm test                     types, format, lint, layers and every test; servers are started where a test needs them
  npm test -- cities config    the test files with one of these in their name
  npm test -- --unit           the test files that need no server, compile no package and measure nothing: half a minute
  npm test -- --servers mysql-9 dba
                               with newer servers than the system's: mysql-9 (MySQL 9, RabbitMQ 4) or mariadb-11 (MariaDB 11,
                               RabbitMQ 4), unpacked from Debian unstable without root; BEDS_SERVERS does the same for
                               npm start
  npm test -- --node 24        with another Node, which npm has as a package; of both, without the static checks

  .ci/matrix                   every row that BEDS supports
`;

export interface TestRun {
  /** Parts of test file names, options of ours and of `node --test`. None: everything. */
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * `npm test`: every test file, and the static checks beside them; the summary is the last thing on the screen. Resolves to the exit code: 0 only if everything that was asked for ran and passed.
 */
export async function main({ args: given, projectRoot, env }: TestRun): Promise<number> {
  if (given.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { args, values } = takeOptions(given, [SERVERS, NODE]);
  const servers = values[SERVERS] ?? env[SERVERS_VARIABLE];
  const own = URL_VARIABLES.find((variable) => (env[variable] ?? '') !== '');
  if (servers !== undefined && own !== undefined) return refuse(`${own} names a server: leave it out, or ${SERVERS}`);
  const run = { args, projectRoot, env: servers === undefined ? env : { ...env, [SERVERS_VARIABLE]: servers } };
  return values[NODE] === undefined ? runHere(run) : runWithAnotherNode(values[NODE], run);
}

async function runHere({ args, projectRoot, env }: TestRun): Promise<number> {
  const isRow = env[SERVERS_VARIABLE] !== undefined || env[NODE_VARIABLE] !== undefined;
  const needsServers = serversNeeded(join(projectRoot, 'dist'));
  const isUnitRun = args.includes(UNIT);
  const filters = args.filter((arg) => !arg.startsWith('-'));
  const files = sourceFiles(projectRoot, ['test', 'plugins'])
    .map(({ path }) => path)
    .filter((path) => path.endsWith('.test.ts') && isWanted(path, filters))
    // They say the same in every row.
    .filter((path) => path !== STATIC_CHECKS || !isRow)
    .filter((path) => !isUnitRun || (isUnit(path) && !needsServers(compiledPath(projectRoot, path))));
  if (files.length === 0)
    return refuse(`no ${isUnitRun ? 'unit test' : 'test'} file has ${filters.join(' or ')} in its name`);
  const notCompiled = files.find((path) => !existsSync(compiledPath(projectRoot, path)));
  if (notCompiled !== undefined) return refuse(`${notCompiled} is not compiled; run it with npm test`);

  const workplace = mkdtempSync(join(tmpdir(), 'beds-test-'));
  const servicesDirectory = join(workplace, 'services');
  const stop = stopOnSignals();
  let services: Services | undefined;
  try {
    const checksFile = join(workplace, 'checks.json');
    const declared = files.includes(STATIC_CHECKS) ? emitDeclarations(projectRoot, stop.signal) : undefined;
    const compiled = longestFirst(files).map((path) => compiledPath(projectRoot, path));
    const batches = batchesOf(compiled, needsServers);
    if (compiled.some(needsServers)) services = await start(servicesDirectory, env, stop.signal);
    await declared;
    if (stop.exitCode() !== undefined) return stop.exitCode() ?? 1;
    // The checks run beside the tests, behind them where both want the processors; the tests of the checks come last.
    if (declared !== undefined) check(projectRoot, checksFile, stop.signal);
    const atOnce = isUnitRun ? UNIT_AT_ONCE : AT_ONCE;
    say(
      `running ${files.length} test files on Node ${process.version}, ${atOnce.atLeast} to ${atOnce.atMost} at a time`,
    );
    const code = await runTestFiles(batches, {
      ...atOnce,
      judgesByTime,
      nodeOptions: args.filter((arg) => arg.startsWith('-') && arg !== UNIT),
      cwd: projectRoot,
      env: {
        ...env,
        [CHECKS_VARIABLE]: checksFile,
        ...(services === undefined ? {} : { BEDS_TEST_SERVICES_DIR: servicesDirectory }),
      },
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

interface TakenOptions {
  /** What is left. */
  readonly args: readonly string[];
  readonly values: Readonly<Record<string, string | undefined>>;
}

/** Options with a value: `--name value` or `--name=value`. */
function takeOptions(args: readonly string[], names: readonly string[]): TakenOptions {
  const [first, ...rest] = args;
  if (first === undefined) return { args, values: {} };
  const name = names.find((each) => first === each || first.startsWith(`${each}=`));
  const isApart = first === name;
  const { args: left, values } = takeOptions(isApart ? rest.slice(1) : rest, names);
  if (name === undefined) return { args: [first, ...left], values };
  return { args: left, values: { [name]: isApart ? (rest[0] ?? '') : first.slice(name.length + 1), ...values } };
}

async function runWithAnotherNode(version: string, { args, projectRoot, env }: TestRun): Promise<number> {
  if (!/^\d+(\.\d+){0,2}$/.test(version)) return refuse(`${NODE} takes a version, as in ${NODE} 24`);
  const stop = stopOnSignals();
  try {
    const again = { ...env, [NODE_VARIABLE]: version };
    const code = await runWithNode({
      version,
      args: ['test', ...args],
      projectRoot,
      env: again,
      signal: stop.signal,
      say,
    });
    return stop.exitCode() ?? code;
  } catch (error) {
    if (!isBedsError(error)) throw error;
    return stop.exitCode() ?? refuse(`${error.code}: ${error.message}\n${error.hint ?? ''}`);
  } finally {
    stop.release();
  }
}

function isUnit(path: string): boolean {
  return path !== STATIC_CHECKS && !NO_UNIT.includes(basename(path, '.test.ts'));
}

function isWanted(path: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => path.includes(filter));
}

function longestFirst(files: readonly string[]): readonly string[] {
  const rank = (path: string): number => {
    const index = LONGEST.indexOf(basename(path, '.test.ts'));
    if (path === STATIC_CHECKS) return Infinity;
    if (judgesByTime(path)) return LONGEST.length + 1;
    return index === -1 ? LONGEST.length : index;
  };
  return files.toSorted((one, other) => (rank(one) < rank(other) ? -1 : Number(rank(one) > rank(other))));
}

function judgesByTime(path: string): boolean {
  return JUDGE_BY_TIME.includes(basename(path).split('.')[0] ?? '');
}

function compiledPath(projectRoot: string, path: string): string {
  return join(projectRoot, 'dist', path.replace(/\.ts$/, '.js'));
}

/** What is small shares processes. They begin first: together they take longer than most. */
function batchesOf(files: readonly string[], needsServers: (path: string) => boolean): readonly Batch[] {
  const known = new Set([...LONGEST, ...JUDGE_BY_TIME, ...NO_UNIT, ...ALONE, 'static-checks']);
  const isSmall = (path: string): boolean => !known.has(basename(path, '.test.js')) && !needsServers(path);
  const small = files.filter(isSmall);
  const length = Math.max(1, Math.ceil(small.length / BATCHES));
  const batches: Batch[] = [];
  for (let from = 0; from < small.length; from += length) batches.push(small.slice(from, from + length));
  return [...batches, ...files.filter((path) => !isSmall(path)).map((path) => [path])];
}

/** Tells of each check when it has ended; the file is there when all have. */
function check(projectRoot: string, file: string, signal: AbortSignal): void {
  say('checking types, format, lint and what is unused, beside the tests');
  const tell = ({ name, ok, seconds }: CheckProgress): void => {
    if (!signal.aborted) say(`${name}: ${ok ? 'nothing wrong' : 'failed'} after ${seconds.toFixed(1)} s`);
  };
  void runChecks(projectRoot, tell, signal).then((results) => {
    if (signal.aborted) return;
    const failed = Object.entries(results).filter(([, { ok }]) => !ok);
    if (failed.length > 0) say(`${failed.map(([name]) => name).join(', ')} failed: the last tests say where`);
    // n.b. in one step: who waits for it reads it at once.
    writeFileSync(`${file}.draft`, JSON.stringify(results));
    renameSync(`${file}.draft`, file);
  });
}

/** Tells whether a compiled test file, or what it uses of the tests, imports the module that starts servers. */
function serversNeeded(compiled: string): (path: string) => boolean {
  const known = new Map<string, boolean>();
  const needsServers = (path: string): boolean => {
    if (path === join(compiled, SERVICES)) return true;
    if (!path.startsWith(join(compiled, 'test')) || !existsSync(path)) return false;
    const before = known.get(path);
    if (before !== undefined) return before;
    // Of a circle too.
    known.set(path, false);
    const imports = [...readFileSync(path, 'utf8').matchAll(IMPORT)].map(([, to = '']) => join(dirname(path), to));
    const isNeeded = imports.some(needsServers);
    known.set(path, isNeeded);
    return isNeeded;
  };
  return needsServers;
}

function start(directory: string, environment: TestRun['env'], signal: AbortSignal): Promise<Services> {
  return startServices({
    directory,
    need: ['rabbitmq', 'mariadb', 'mongodb'],
    environment,
    provision: { servers: environment[SERVERS_VARIABLE] },
    signal,
    onProgress: ({ type, words }) => {
      // Nothing may come after the summary.
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
