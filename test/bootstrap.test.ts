import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

/** Stands in for the compiler: notes that it ran, and writes the two programs that the door leads to. */
const COMPILER = `
const { appendFileSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs');
appendFileSync('compiled.log', 'x');
if (readFileSync('host/main.ts', 'utf8') === 'broken') {
  // As the real one, it writes out what has errors.
  for (const folder of ['dist/host/cli', 'dist/test']) mkdirSync(folder, { recursive: true });
  for (const file of ['dist/host/cli/main.js', 'dist/test/run.js']) writeFileSync(file, 'broken(');
  console.error('host/main.ts(1,1): broken'); process.exit(2);
}
for (const [folder, file] of [['dist/host/cli', 'main.js'], ['dist/test', 'run.js']]) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(folder + '/' + file, 'export const main = async ({ args, cwd }) => { ' +
    'const stopped = new Promise((done) => process.on("SIGTERM", done)); ' +
    'console.log(JSON.stringify({ file: "' + file + '", args, cwd })); ' +
    'if (args[0] === "leak" || args[0] === "wait") setInterval(() => {}, 1000); ' +
    'if (args[0] === "wait") await stopped; ' +
    'return args[0] === "fail" ? 7 : 0; };');
}
writeFileSync('dist/package.json', '{"type":"module"}');
setTimeout(() => {}, 300);
`;

/** Stands in for npm: installs the compiler, or is offline. */
const NPM = `
const { appendFileSync, copyFileSync, mkdirSync } = require('node:fs');
appendFileSync('installed.log', process.argv.slice(2).join(' ') + '\\n');
if (process.env.FAKE_OFFLINE) { console.error('npm error network'); process.exit(1); }
mkdirSync('node_modules/typescript/bin', { recursive: true });
copyFileSync('compiler.cjs', 'node_modules/typescript/bin/tsc');
copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

const LOCK_FILE = (version: string): string =>
  JSON.stringify({
    packages: {
      '': {},
      'node_modules/typescript': { version },
      'node_modules/@beds/sdk': { link: true },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    },
  });

class Checkout {
  readonly root: string;

  constructor(t: TestContext) {
    this.root = mkdtempSync(join(tmpdir(), 'beds-bootstrap-'));
    t.after(() => {
      rmSync(this.root, { recursive: true, force: true });
    });
    for (const folder of ['host', 'sdk', 'plugins', 'bench', 'test']) mkdirSync(this.path(folder));
    copyFileSync('host/bootstrap.mjs', this.path('host/bootstrap.mjs'));
    this.write('package-lock.json', LOCK_FILE('6.0.0'));
    this.write('compiler.cjs', COMPILER);
    this.write('npm-cli.js', NPM);
    for (const path of ['host/main.ts', 'tsconfig.json', 'tsconfig.base.json']) this.write(path, '');
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  /** Changes a source, at a time that no file system rounds away. */
  touch(name: string, text = ''): void {
    this.write(name, text);
    const later = new Date(Date.now() + 60_000);
    utimesSync(this.path(name), later, later);
  }

  count(name: 'compiled.log' | 'installed.log'): number {
    if (!existsSync(this.path(name))) return 0;
    return readFileSync(this.path(name), 'utf8')
      .trim()
      .split(name === 'compiled.log' ? '' : '\n').length;
  }

  start(
    args: readonly string[],
    { env = {}, door = 'host/bootstrap.mjs', cwd = this.root }: StartOptions = {},
  ): Running {
    const child = spawn(process.execPath, [this.path(door), ...args], {
      cwd,
      env: { PATH: process.env['PATH'], npm_execpath: this.path('npm-cli.js'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    });
    const written = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text));
    const ended = new Promise<Ended>((done) => {
      child.once('close', (code, signal) => {
        done({ code, signal, ...written });
      });
    });
    const said = new Promise<void>((done) => child.stdout.once('data', () => done()));
    return { ended, said, kill: (signal) => child.kill(signal) };
  }

  run(args: readonly string[], options?: StartOptions): Promise<Ended> {
    return this.start(args, options).ended;
  }
}

interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly door?: string;
  readonly cwd?: string;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly ended: Promise<Ended>;
  /** Resolves with the first output of the command. */
  readonly said: Promise<void>;
  readonly kill: (signal: NodeJS.Signals) => boolean;
}

describe('the door of every command', { concurrency: 2 }, () => {
  it('installs and compiles a fresh checkout once, says why, and keeps stdout for the command', async (t) => {
    const checkout = new Checkout(t);
    const first = await checkout.run(['status', '--json']);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /the packages are not installed yet: installing them with `npm ci`/);
    assert.match(first.stderr, /the sources are not compiled yet: compiling with `tsc -b`/);
    assert.deepEqual(JSON.parse(first.stdout), { file: 'main.js', args: ['status', '--json'], cwd: checkout.root });
    assert.equal(readFileSync(checkout.path('installed.log'), 'utf8'), 'ci --include=dev --no-audit --no-fund\n');

    const second = await checkout.run(['status']);
    assert.equal(second.stderr, '');
    assert.deepEqual([checkout.count('installed.log'), checkout.count('compiled.log')], [1, 1]);
  });

  it('compiles again after a change, and installs again after a change of the lock file', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('host/main.ts');
    assert.match((await checkout.run(['a'])).stderr, /host\/main\.ts has changed: compiling/);
    checkout.write('package-lock.json', LOCK_FILE('6.0.1'));
    assert.match((await checkout.run(['a'])).stderr, /wants typescript 6\.0\.1, which is not installed: installing/);
    assert.deepEqual([checkout.count('installed.log'), checkout.count('compiled.log')], [2, 3]);
  });

  it('does not take a dropped bundle for a changed source', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('plugins/cities.mjs');
    assert.equal((await checkout.run(['a'])).stderr, '');
  });

  it('runs nothing when the sources do not compile', async (t) => {
    const checkout = new Checkout(t);
    checkout.write('host/main.ts', 'broken');
    const { code, stdout, stderr } = await checkout.run(['a']);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /broken\nbeds: the sources do not compile/);
    assert.equal((await checkout.run(['a'])).code, 1);
  });

  it('goes on with the last good build when the sources no longer compile, but tests nothing', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('host/main.ts', 'broken');
    for (const args of [['test'], ['status'], ['status']]) {
      const { code, stdout, stderr } = await checkout.run(args);
      const goesOn = args[0] !== 'test';
      assert.deepEqual([code, stdout === ''], goesOn ? [0, false] : [1, true], stderr);
      assert.match(stderr, /broken\nbeds: the sources do not compile/);
      assert.equal(/\(see above\); going on with the last build, of \d{4}-\d\d-\d\d /.test(stderr), goesOn);
    }
    checkout.touch('host/main.ts');
    assert.match((await checkout.run(['test'])).stdout, /run\.js/);
    assert.ok(!existsSync(checkout.path('.beds/last-build')));
  });

  it('keeps the last good build when the compiler was interrupted', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    cpSync(checkout.path('dist'), checkout.path('.beds/last-build/dist'), { recursive: true });
    mkdirSync(checkout.path('.beds/last-build/sdk/dist'), { recursive: true });
    checkout.write('dist/host/cli/main.js', 'half a fi');
    checkout.touch('host/main.ts', 'broken');
    assert.equal((await checkout.run(['a'])).code, 0);
  });

  it('says what to do when the packages cannot be fetched', async (t) => {
    const { code, stderr } = await new Checkout(t).run(['a'], { env: { FAKE_OFFLINE: '1' } });
    assert.equal(code, 1);
    assert.match(stderr, /`npm ci` failed; .* It needs the network/);
    assert.ok(!stderr.includes('    at '), 'a stack trace was printed');
  });

  it('sets up once when two commands start at the same time', async (t) => {
    const checkout = new Checkout(t);
    const both = await Promise.all([checkout.run(['a']), checkout.run(['b'])]);
    assert.deepEqual(
      both.map(({ code }) => code),
      [0, 0],
    );
    assert.deepEqual([checkout.count('installed.log'), checkout.count('compiled.log')], [1, 1]);
    assert.ok(both.some(({ stderr }) => stderr.includes('another command is setting up this checkout')));
  });

  it('takes over the lock of a command that was killed', async (t) => {
    const checkout = new Checkout(t);
    mkdirSync(checkout.path('.beds'));
    const gone = spawn(process.execPath, ['-e', '']);
    await new Promise((done) => gone.once('exit', done));
    checkout.write('.beds/setup.lock', String(gone.pid));
    assert.equal((await checkout.run(['a'])).code, 0);
    assert.ok(!existsSync(checkout.path('.beds/setup.lock')));
  });

  it('passes the exit code and signals through, and leads `test` to the test runner', async (t) => {
    const checkout = new Checkout(t);
    assert.equal((await checkout.run(['fail'])).code, 7);
    const { stdout } = await checkout.run(['test', 'admission']);
    assert.deepEqual(JSON.parse(stdout), { file: 'run.js', args: ['admission'], cwd: checkout.root });
    const waiting = checkout.start(['wait']);
    await waiting.said;
    waiting.kill('SIGTERM');
    assert.deepEqual([(await waiting.ended).code, (await waiting.ended).signal], [0, null]);
  });

  it('ends although a command forgot to close something', async (t) => {
    assert.equal((await new Checkout(t).run(['leak'])).code, 0);
  });

  it('works through a symbolic link, from anywhere, and knows where npm was called', async (t) => {
    const checkout = new Checkout(t);
    symlinkSync(checkout.path('host/bootstrap.mjs'), checkout.path('beds'));
    const elsewhere = dirname(checkout.root);
    const linked = await checkout.run(['a'], { door: 'beds', cwd: elsewhere });
    assert.deepEqual(JSON.parse(linked.stdout), { file: 'main.js', args: ['a'], cwd: elsewhere });
    const npm = { INIT_CWD: elsewhere, npm_lifecycle_event: 'beds' };
    assert.equal((JSON.parse((await checkout.run(['a'], { env: npm })).stdout) as { cwd: string }).cwd, elsewhere);
  });
});
