#!/usr/bin/env node
/**
 * The door of every command: `node host/bootstrap.mjs <command>`. Plain JavaScript, because it runs before anything is
 * installed or compiled: it does both when they are missing or stale, then hands over to dist/ in this process, so that
 * signals and the exit code need no forwarding. Compiling strips types and takes a second; `npm test` checks them.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LEAST_NODE = [20, 19];
const LOCK = join(ROOT, '.beds', 'setup.lock');
const LOCK_WAIT_MS = 15 * 60_000;
const STAMP = join(ROOT, 'dist', '.built');
const STARTED = join(ROOT, '.beds', 'compiling');
/** A whole new build on its way into place. */
const STAGED = join(ROOT, '.beds', 'next-build');
const SOURCES = ['host', 'sdk', 'plugins', 'bench', 'test'];
const NOT_SOURCES = ['node_modules', 'dist', '.beds', 'fixtures', 'peers', 'results'];
/** The page of the dashboard: bundled for browsers. */
const PAGE = join(ROOT, 'host', 'dashboard', 'app');
/** What threads run. */
const THREADS = join(ROOT, 'host', 'threads');
/** Bundles come and go in them: that they are newer says nothing. */
const NOT_BY_TIME = [join(ROOT, 'plugins'), join(ROOT, 'host', 'author', 'package')];
const EXIT_GRACE_MS = 5_000;
/** For those who work on the project: what ends when everything is installed and compiled, and programs of their own. */
const SETUP = 'setup';
const OWN_PROGRAMS = { __proto__: null, test: ['test', 'run.js'], bench: ['bench', 'main.js'] };

/** A failure whose text is all that the user needs. */
class SetupError extends Error {}

const say = (text) => process.stderr.write(`beds: ${text}\n`);

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [leastMajor, leastMinor] = LEAST_NODE;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  throw new SetupError(
    `Node ${LEAST_NODE.join('.')} or newer is needed, this is ${process.versions.node} (${process.execPath}).`,
  );
}

/** Why packages must be installed, or undefined. Compares what is installed with the lock file, not times. */
function whyInstall() {
  const installed = readJson(join(ROOT, 'node_modules', '.package-lock.json'));
  if (installed === undefined) return 'the packages are not installed yet';
  const wanted = readJson(join(ROOT, 'package-lock.json'))?.packages ?? {};
  const stale = Object.entries(wanted).find(
    ([path, entry]) =>
      path.startsWith('node_modules/') &&
      !entry.link &&
      !entry.optional &&
      installed.packages?.[path]?.version !== entry.version,
  );
  if (stale === undefined) return undefined;
  return `package-lock.json wants ${stale[0].replace('node_modules/', '')} ${stale[1].version}, which is not installed`;
}

/** Why the sources must be compiled, or undefined. */
function whyCompile() {
  const built = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs;
  if (built === undefined) return 'the sources are not compiled yet';
  if (existsSync(STAGED)) return 'the last build was interrupted';
  const newer = SOURCES.flatMap((folder) => newerThan(built, join(ROOT, folder)))[0];
  const settings = ['tsconfig.json', 'tsconfig.base.json', 'package-lock.json'].map((name) => join(ROOT, name));
  const changed = newer ?? settings.find((path) => statSync(path).mtimeMs > built);
  return changed === undefined ? undefined : `${relative(ROOT, changed)} has changed`;
}

/** The first file or folder below that is newer; a removed file makes its folder newer. Bundles are not sources. */
function newerThan(time, folder) {
  const ours = entriesOf(folder);
  const changed = ours
    .filter((entry) => entry.isFile() && (/\.ts$|^tsconfig/.test(entry.name) || folder.startsWith(PAGE)))
    .map((entry) => join(folder, entry.name))
    .find((path) => statSync(path).mtimeMs > time);
  if (changed !== undefined) return [changed];
  if (!NOT_BY_TIME.includes(folder) && statSync(folder).mtimeMs > time) return [folder];
  return ours.filter((entry) => entry.isDirectory()).flatMap((entry) => newerThan(time, join(folder, entry.name)));
}

/** Every source below. */
function sourcesIn(folder) {
  return entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return path === PAGE ? [] : sourcesIn(path);
    return /(?<!\.d)\.ts$/.test(entry.name) ? [path] : [];
  });
}

function entriesOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !NOT_SOURCES.includes(name));
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

async function install(reason) {
  say(`${reason}: installing them with \`npm ci\` (once, a minute or so)`);
  const npm = process.env['npm_execpath'];
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const byNpm = npm !== undefined && /npm-cli\.c?js$/.test(npm);
  const code = byNpm ? await run(process.execPath, [npm, ...args]) : await run('npm', args);
  if (code === 0) return;
  throw new SetupError(
    '`npm ci` failed; what it printed is above. It needs the network (or a filled npm cache) once: check the connection, ' +
      `the proxy and the registry of \`npm config get registry\`, then run \`npm ci\` in ${ROOT} by hand.`,
  );
}

/** Throws where an own program asks, or nothing was built before; else a failure leaves the last build as it was. */
async function compile(reason, isOwn) {
  say(`${reason}: compiling`);
  // Made before the time is taken: a folder that appears below sdk/ would make sdk/ look changed.
  mkdirSync(join(ROOT, 'sdk', 'dist'), { recursive: true });
  // n.b. its time is the file system's, whose clock the sources are compared by: another one may be a few milliseconds off.
  writeFileSync(STARTED, '');
  putInPlace();
  const outputs = await stripTypes();
  if (outputs === undefined) {
    const builtAt = statSync(STAMP, { throwIfNoEntry: false })?.mtime;
    if (isOwn || builtAt === undefined) {
      throw new SetupError('the sources do not compile; see the compiler output above.');
    }
    say(`the sources do not compile (see above); continuing with the last build, of ${builtAt.toLocaleString('sv')}`);
    return;
  }
  stage(outputs);
  putInPlace();
  removeOrphans(new Set(outputs.map(({ path }) => path)));
  // n.b. with the time before compiling: a file saved meanwhile counts as newer.
  renameSync(STARTED, STAMP);
}

/** The JavaScript of every source with its source map; undefined when one does not parse, which esbuild has told then. */
async function stripTypes() {
  // Not imported before it is surely installed.
  const { buildSync } = await import('esbuild');
  const sources = SOURCES.flatMap((folder) => sourcesIn(join(ROOT, folder))).map((path) => relative(ROOT, path));
  try {
    const { outputFiles } = buildSync({
      absWorkingDir: ROOT,
      entryPoints: sources.map((path) => ({ in: path, out: outputOf(path) })),
      outdir: ROOT,
      write: false,
      // As in tsconfig.base.json; what else matters of it esbuild reads by itself.
      target: 'es2023',
      sourcemap: true,
      sourcesContent: false,
      logLevel: 'error',
    });
    return [
      ...outputFiles,
      ...(existsSync(PAGE) ? bundlePage(buildSync) : []),
      ...(existsSync(THREADS) ? bundleThreads(buildSync) : []),
    ];
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    return undefined;
  }
}

/** The page of the dashboard, as its server hands it out: a script and a style with all that they need, and the document. */
function bundlePage(buildSync) {
  const outdir = join(ROOT, 'dist', 'host', 'dashboard', 'app');
  const { outputFiles } = buildSync({
    absWorkingDir: PAGE,
    entryPoints: ['main.tsx', 'style.css', 'index.html', 'icon.svg'],
    outdir,
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome110', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    loader: { '.html': 'copy', '.svg': 'copy' },
    legalComments: 'none',
    logLevel: 'error',
  });
  return outputFiles;
}

/**
 * What the host's threads run, in few files with all that it imports: to find and read some two hundred modules one by one is most
 * of the work of starting one. A type of broker is a file beside the thread's, which loads those that it needs.
 */
function bundleThreads(buildSync) {
  const brokers = join(ROOT, 'host', 'brokers');
  const types = entriesOf(brokers).filter(({ name }) => existsSync(join(brokers, name, 'broker.ts')));
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: [
      { in: 'host/threads/main.ts', out: 'main' },
      { in: 'host/deploy/admit/probe-thread.ts', out: 'probe-thread' },
      ...types.map(({ name }) => ({ in: `host/brokers/${name}/broker.ts`, out: `${name}/broker` })),
    ],
    outdir: join(ROOT, 'dist', 'threads'),
    write: false,
    bundle: true,
    // What is imported later is loaded then: each driver costs as much as all else.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    // n.b. one copy of amqplib, also for what calls domains of others: the one whose decoder is guarded.
    alias: { ...doorsOfTheSdk(), amqplib: './host/amqp/guarded-amqplib.ts' },
    // For packages in CommonJS.
    banner: {
      js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
    },
    legalComments: 'none',
    logLevel: 'error',
  });
  return outputFiles;
}

/** The source behind each name under which the host imports the SDK: what is compiled of it may be older. */
function doorsOfTheSdk() {
  const { imports } = readJson(join(ROOT, 'package.json'));
  const { name, exports } = readJson(join(ROOT, 'sdk', 'package.json'));
  const doors = Object.entries(exports).map(([door, path]) => [join(name, door), `./${join('sdk', path)}`]);
  return Object.fromEntries(
    [...Object.entries(imports), ...doors].map(([door, path]) => [
      door,
      path.replace('/sdk/dist/', '/sdk/').replace(/\.js$/, '.ts'),
    ]),
  );
}

/** Where a source is compiled to, without the ending. */
function outputOf(source) {
  const [top, ...rest] = source.replace(/\.ts$/, '').split(sep);
  return top === 'sdk' ? join('sdk', 'dist', ...rest) : join('dist', top, ...rest);
}

/** Writes what differs from the build in place beside it, so that no moment has half of a build only. */
function stage(outputs) {
  const draft = `${STAGED}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  for (const { path, contents } of outputs) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    const staged = join(draft, relative(ROOT, path));
    mkdirSync(dirname(staged), { recursive: true });
    writeFileSync(staged, contents);
  }
  renameSync(draft, STAGED);
}

/** Moves a staged build into place, file by file: a process that runs meanwhile never meets half a file. */
function putInPlace() {
  if (!existsSync(STAGED)) return;
  for (const staged of filesIn(STAGED)) {
    const path = join(ROOT, relative(STAGED, staged));
    mkdirSync(dirname(path), { recursive: true });
    renameSync(staged, path);
  }
  rmSync(STAGED, { recursive: true, force: true });
}

/** Removes what was compiled of sources that are gone, the declarations of `tsc` too. */
function removeOrphans(outputs) {
  const compiled = [join(ROOT, 'dist'), join(ROOT, 'sdk', 'dist')].flatMap(filesIn);
  for (const path of compiled) {
    const code = path.replace(/\.(js|js\.map|d\.ts|d\.ts\.map)$/, '.js');
    if (code.endsWith('.js') && !outputs.has(code)) rmSync(path);
  }
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Runs a program to its end with our terminal; its output goes to stderr, so that stdout is the command's alone. */
function run(command, args) {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
    child.once('error', (error) => failed(new SetupError(`${command} cannot be run: ${error.message}`)));
    child.once('exit', (code, signal) => {
      if (signal !== null) failed(new SetupError(`${command} was ended by ${signal}.`));
      else done(code ?? 1);
    });
  });
}

/** Installs and compiles what is missing; only one process of a checkout does at a time. */
async function setUp(isOwn) {
  if (whyInstall() === undefined && whyCompile() === undefined) return;
  await takeLock();
  try {
    const missing = whyInstall();
    if (missing !== undefined) await install(missing);
    const stale = whyCompile();
    if (stale !== undefined) await compile(stale, isOwn);
  } finally {
    rmSync(LOCK, { force: true });
  }
}

async function takeLock() {
  mkdirSync(dirname(LOCK), { recursive: true });
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (let told = false; ; told = true) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (dropStaleLock()) continue;
    if (!told) say('another command is setting up this checkout; waiting for it');
    if (Date.now() > deadline) throw new SetupError(`${LOCK} is still held; delete it if no command runs.`);
    await delay(200);
  }
}

/** Removes the lock of a process that is gone. */
function dropStaleLock() {
  const owner = readLock(LOCK);
  if (owner === undefined || isAlive(owner)) return false;
  const aside = `${LOCK}.${process.pid}`;
  try {
    renameSync(LOCK, aside);
  } catch {
    return true;
  }
  // Between reading and renaming, another process may have replaced the stale lock with its own.
  if (readLock(aside) === owner) rmSync(aside, { force: true });
  else renameSync(aside, LOCK);
  return true;
}

function readLock(path) {
  try {
    return Number(readFileSync(path, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

async function main() {
  checkNode();
  const [command, ...rest] = process.argv.slice(2);
  const own = OWN_PROGRAMS[command];
  await setUp(own !== undefined || command === SETUP);
  if (command === SETUP) return;
  process.setSourceMapsEnabled(true);
  const program = await import(pathToFileURL(join(ROOT, 'dist', ...(own ?? ['host', 'cli', 'main.js']))).href);
  const args = own === undefined ? process.argv.slice(2) : rest;
  process.exitCode = await program.main({ args, projectRoot: ROOT, cwd: startedIn(), env: process.env });
  // Whatever a command forgot to close must not keep the terminal.
  setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
}

/** npm runs scripts in the project's root; paths are meant from where the user is. */
function startedIn() {
  const { INIT_CWD, npm_lifecycle_event: script } = process.env;
  return script !== undefined && INIT_CWD !== undefined && process.cwd() === ROOT ? INIT_CWD : process.cwd();
}

function failed(error) {
  const notWritable = ['EACCES', 'EPERM', 'EROFS'].includes(error.code) && error.path !== undefined;
  if (error instanceof SetupError) say(error.message);
  else if (notWritable) {
    say(`${error.path} cannot be written by ${userInfo().username}; run the command once as the owner of ${ROOT}.`);
  } else process.stderr.write(`${error.stack ?? error}\n`);
  process.exit(1);
}

await main().catch(failed);
