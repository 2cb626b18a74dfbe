import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

/** One of the two programs that the door leads to. */
const program = (file: string): string => `
interface Start { readonly args: readonly string[]; readonly cwd: string }

export async function main({ args, cwd }: Start): Promise<number> {
  const stopped = new Promise((done) => process.on('SIGTERM', done));
  console.log(JSON.stringify({ file: '${file}', args, cwd }));
  if (args[0] === 'throw') throw new Error('thrown on purpose');
  if (args[0] === 'leak' || args[0] === 'wait') setInterval(() => {}, 1000);
  if (args[0] === 'wait') await stopped;
  return args[0] === 'fail' ? 7 : 0;
}
`;

const BROKEN = 'export const a = 1;\nexport const b = ;\n';
const BROKEN_IS_NAMED = /host\/main\.ts:2:17[^]*\nbeds: the sources do not compile/;

/** Stands in for npm: installs the compiler of this checkout, or is offline. */
const NPM = `
const { appendFileSync, copyFileSync, mkdirSync, existsSync, symlinkSync } = require('node:fs');
appendFileSync('installed.log', process.argv.slice(2).join(' ') + '\\n');
if (process.env.FAKE_OFFLINE) { console.error('npm error network'); process.exit(1); }
mkdirSync('node_modules', { recursive: true });
if (!existsSync('node_modules/esbuild')) symlinkSync('${resolve('node_modules/esbuild')}', 'node_modules/esbuild');
copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
setTimeout(() => {}, 300);
`;

const LOCK_FILE = (version: string): string =>
  JSON.stringify({
    packages: {
      '': {},
      'node_modules/esbuild': { version },
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
    for (const folder of ['host/cli', 'sdk/wire', 'plugins', 'bench', 'test'])
      mkdirSync(this.path(folder), { recursive: true });
    copyFileSync('host/bootstrap.mjs', this.path('host/bootstrap.mjs'));
    this.write('package-lock.json', LOCK_FILE('0.28.0'));
    this.write('npm-cli.cjs', NPM);
    for (const path of ['tsconfig.json', 'tsconfig.base.json']) this.write(path, '{}');
    this.write('package.json', '{ "type": "module" }');
    this.write('host/cli/main.ts', program('main.js'));
    this.write('test/run.ts', program('run.js'));
    this.write('host/main.ts', '');
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

  /** How many times the packages were installed. */
  installed(): number {
    return readFileSync(this.path('installed.log'), 'utf8').trim().split('\n').length;
  }

  start(
    args: readonly string[],
    { env = {}, door = 'host/bootstrap.mjs', cwd = this.root }: StartOptions = {},
  ): Running {
    const child = spawn(process.execPath, [this.path(door), ...args], {
      cwd,
      env: { PATH: process.env['PATH'], npm_execpath: this.path('npm-cli.cjs'), ...env },
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
    assert.match(first.stderr, /the sources are not compiled yet: compiling\n/);
    assert.deepEqual(JSON.parse(first.stdout), { file: 'main.js', args: ['status', '--json'], cwd: checkout.root });
    assert.equal(readFileSync(checkout.path('installed.log'), 'utf8'), 'ci --include=dev --no-audit --no-fund\n');

    const second = await checkout.run(['status']);
    assert.equal(second.stderr, '');
    assert.equal(checkout.installed(), 1);
  });

  it('compiles again after a change, and installs again after a change of the lock file', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('host/main.ts');
    assert.match((await checkout.run(['a'])).stderr, /host\/main\.ts has changed: compiling/);
    checkout.write('package-lock.json', LOCK_FILE('0.28.1'));
    const { stderr } = await checkout.run(['a']);
    assert.match(stderr, /wants esbuild 0\.28\.1, which is not installed: installing[^]* has changed: compiling/);
    assert.equal(checkout.installed(), 2);
  });

  it('runs what was just saved, right or wrong by its types, and names the lines of the sources', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('host/cli/main.ts', `const wrong: number = 'text';\n${program('edited.js')}`);
    const { stdout, stderr } = await checkout.run(['throw']);
    assert.match(stdout, /edited\.js/);
    assert.match(stderr, /thrown on purpose\n\s+at \S*main \(\S+host\/cli\/main\.ts:8:\d+\)/);
  });

  it('removes what was compiled of a source that is gone', async (t) => {
    const checkout = new Checkout(t);
    const compiled = ['dist/host/gone.js', 'dist/host/gone.js.map', 'sdk/dist/wire/gone.js', 'sdk/dist/wire/gone.d.ts'];
    const left = (): readonly string[] => compiled.filter((path) => existsSync(checkout.path(path)));
    for (const path of ['host/gone.ts', 'sdk/wire/gone.ts']) checkout.write(path, 'export const a = 1;');
    await checkout.run(['a']);
    checkout.write('sdk/dist/wire/gone.d.ts', 'export declare const a = 1;');
    assert.deepEqual(left(), compiled);
    for (const path of ['host/gone.ts', 'sdk/wire/gone.ts']) rmSync(checkout.path(path));
    assert.equal((await checkout.run(['a'])).code, 0);
    assert.deepEqual(left(), []);
  });

  it('makes one file of all that a thread runs, and one of each type of broker beside it', async (t) => {
    const checkout = new Checkout(t);
    for (const folder of ['host/threads', 'host/deploy/admit', 'host/brokers/parrot'])
      mkdirSync(checkout.path(folder), { recursive: true });
    checkout.write('package.json', '{ "type": "module", "imports": { "#sdk/time": "./sdk/dist/time.js" } }');
    checkout.write('sdk/package.json', '{ "name": "@beds/sdk", "exports": { ".": "./dist/wire/words.js" } }');
    checkout.write('sdk/time.ts', `export const today = 'today';`);
    checkout.write('sdk/wire/words.ts', `export const word = 'hello';`);
    checkout.write(
      'host/threads/main.ts',
      `import { word } from '@beds/sdk';
      const { say } = await import(new URL('./parrot/broker.js', import.meta.url).href);
      say(word);`,
    );
    checkout.write(
      'host/brokers/parrot/broker.ts',
      `import { today } from '#sdk/time';
      export const say = (word: string) => console.log(word, today);`,
    );
    checkout.write('host/deploy/admit/probe-thread.ts', '');
    assert.equal((await checkout.run(['a'])).code, 0);
    // n.b. nothing that is compiled file by file is left for it to import.
    for (const folder of ['dist/host', 'sdk/dist']) rmSync(checkout.path(folder), { recursive: true });
    const thread = spawn(process.execPath, [checkout.path('dist/threads/main.js')], { timeout: 30_000 });
    let said = '';
    thread.stdout.on('data', (text: Buffer) => (said += text.toString()));
    await new Promise((done) => thread.once('close', done));
    assert.equal(said, 'hello today\n');

    rmSync(checkout.path('host/brokers/parrot'), { recursive: true });
    checkout.touch('host/main.ts');
    await checkout.run(['a']);
    assert.ok(!existsSync(checkout.path('dist/threads/parrot/broker.js')));
  });

  it('does not take a dropped bundle for a changed source', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('plugins/cities.mjs');
    assert.equal((await checkout.run(['a'])).stderr, '');
  });

  it('runs nothing when the sources do not compile', async (t) => {
    const checkout = new Checkout(t);
    checkout.write('host/main.ts', BROKEN);
    const { code, stdout, stderr } = await checkout.run(['a']);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, BROKEN_IS_NAMED);
    assert.equal((await checkout.run(['a'])).code, 1);
  });

  it('goes on with the last good build when the sources no longer compile, but tests nothing', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    checkout.touch('host/main.ts', BROKEN);
    for (const args of [['test'], ['status'], ['status']]) {
      const { code, stdout, stderr } = await checkout.run(args);
      const goesOn = args[0] !== 'test';
      assert.deepEqual([code, stdout === ''], goesOn ? [0, false] : [1, true], stderr);
      assert.match(stderr, BROKEN_IS_NAMED);
      assert.equal(/\(see above\); continuing with the last build, of \d{4}-\d\d-\d\d /.test(stderr), goesOn);
    }
    checkout.touch('host/main.ts');
    assert.match((await checkout.run(['test'])).stdout, /run\.js/);
  });

  it('keeps the last good build when the compiler was interrupted', async (t) => {
    const checkout = new Checkout(t);
    await checkout.run(['a']);
    // Of one build half is in place; the next one was not written to its end.
    const staged = checkout.path('.beds/next-build/dist/host/cli');
    mkdirSync(staged, { recursive: true });
    renameSync(checkout.path('dist/host/cli/main.js'), join(staged, 'main.js'));
    mkdirSync(checkout.path('.beds/next-build.draft/dist/test'), { recursive: true });
    checkout.write('.beds/next-build.draft/dist/test/run.js', 'half a fi');
    checkout.touch('host/main.ts', BROKEN);
    assert.equal((await checkout.run(['a'])).code, 0);
    checkout.touch('host/main.ts');
    assert.match((await checkout.run(['test'])).stdout, /run\.js/);
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
    assert.equal(checkout.installed(), 1);
    assert.equal(both.filter(({ stderr }) => stderr.includes(': compiling')).length, 1);
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
