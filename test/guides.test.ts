import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { eventually } from './support/eventually.js';
import { installSdk, packSdk, packTools, unpack } from './support/packed-sdk.js';
import { sharedServices, temporaryDirectory, wholeFile } from './support/services.js';

/** A fenced block of a page. `file`: it is that file; `same`: it shows that file; `until`: its command goes on, and is done when that is printed. */
interface Block {
  readonly line: number;
  readonly language: string;
  readonly options: Readonly<Record<string, string>>;
  readonly text: string;
}

const BLOCK = /^```(\w+)?([^\n]*)\n([\s\S]*?)^```$/gm;
const COMMAND_TIMEOUT_MS = 60_000;
const START_TIMEOUT_MS = 120_000;

function blocksOf(page: string): readonly Block[] {
  const text = readFileSync(page, 'utf8');
  return [...text.matchAll(BLOCK)].map(({ 1: language = '', 2: rest = '', 3: block = '', index }) => ({
    line: text.slice(0, index).split('\n').length,
    language,
    options: Object.fromEntries([...rest.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value])),
    text: block,
  }));
}

/** One shell for a whole page: what a block sets, the next one has. */
class Shell {
  readonly #bash: ChildProcess;
  #printed = '';
  #commands = 0;

  constructor(cwd: string, env: NodeJS.ProcessEnv) {
    this.#bash = spawn('bash', ['--noprofile', '--norc'], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#bash.stdout, this.#bash.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#printed += text));
  }

  /** Resolves to what the command printed on both streams, and its status. */
  async run(command: string): Promise<{ readonly printed: string; readonly status: number }> {
    const mark = `ended-${(this.#commands += 1)}`;
    this.#printed = '';
    // What is typed where a password is asked for.
    const input = /^beds (?:users create|login) /.test(command) ? "<<< 'correct horse battery'" : '</dev/null';
    this.#bash.stdin?.write(`{ ${command.replace(/ # fails$/, '')}\n} ${input} 2>&1; echo "${mark} $?"\n`);
    const end = new RegExp(`^([\\s\\S]*)${mark} (\\d+)\n`);
    await eventually(command, () => end.test(this.#printed), COMMAND_TIMEOUT_MS);
    const [, printed = '', status] = end.exec(this.#printed) ?? [];
    return { printed, status: Number(status) };
  }

  end(): void {
    this.#bash.kill();
  }
}

/** `…` stands for anything within a line, and alone for any lines. */
function patternOf(expected: string): RegExp {
  const lines = (expected === '' ? [] : expected.split('\n')).map((line) => {
    if (line === '…') return '(?:.*\n)*';
    return `${line.split('…').map(escape).join('.*')}\n`;
  });
  return new RegExp(`^${lines.join('')}$`);
}

function escape(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&');
}

/** Each `$` line with what it prints. */
function commandsOf({ text }: Block): readonly { readonly command: string; readonly expected: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [command = '', ...expected] = part.trimEnd().split('\n');
      return { command, expected: expected.join('\n') };
    });
}

describe('your own project', () => {
  const page = 'sdk/docs/your-own-project.md';
  const home = temporaryDirectory(wholeFile);
  const [checkout, project] = [join(home, 'beds'), join(home, 'shop')];
  let [env, shell]: [NodeJS.ProcessEnv, Shell | undefined] = [{}, undefined];
  let host: ChildProcess | undefined;
  let dropDatabase = (): Promise<void> => Promise.resolve();

  before(async () => {
    const { rabbitmq, mariadb, mongodb } = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
    assert.ok(mariadb);
    // n.b. what all nodes shall run is kept in the store of the admin node, and that of another host is not this one's.
    const database = `guides_${randomBytes(4).toString('hex')}`;
    const dba = await createConnection({ uri: mariadb.url });
    await dba.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
    dropDatabase = async () => {
      await dba.query(`DROP DATABASE ${database}`);
      await dba.end();
    };
    const databaseUrl = new URL(mariadb.url);
    databaseUrl.pathname = `/${database}`;
    mkdirSync(project);
    for (const part of ['config', 'plugins']) {
      const filter = (path: string): boolean => !path.endsWith('.mjs');
      cpSync(part, join(checkout, part), { recursive: true, filter });
    }
    writeFileSync(
      join(checkout, 'package.json'),
      JSON.stringify({ type: 'module', scripts: { beds: 'node beds.mjs' } }),
    );
    // A checkout of its own with the code of this one. n.b. npm tells where it was called.
    const cli = JSON.stringify(resolve('dist', 'host', 'cli', 'main.js'));
    writeFileSync(
      join(checkout, 'beds.mjs'),
      `import { main } from ${cli};
const { INIT_CWD: cwd = import.meta.dirname } = process.env;
process.exitCode = await main({ args: process.argv.slice(2), projectRoot: import.meta.dirname, cwd, env: process.env });\n`,
    );
    env = {
      PATH: process.env['PATH'],
      HOME: home,
      BEDS_RABBITMQ_URL: rabbitmq?.url,
      BEDS_MARIADB_ADMIN_URL: databaseUrl.href,
      BEDS_MONGODB_URL: mongodb?.url,
      BEDS_AMQP_PREFIX: `t${randomBytes(4).toString('hex')}`,
    };
    // What `npm start` runs.
    host = spawn(process.execPath, ['beds.mjs', 'demo'], { cwd: checkout, env, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    host.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    // What `npm pack` and `npm install` do; nothing is fetched for it.
    installSdk(packSdk(home), project, ['esbuild', 'typescript', 'mysql2', 'mongodb', '@types/node']);
    unpack(packTools(home), project, '@beds/tools');
    mkdirSync(join(project, 'node_modules', '.bin'));
    const bin = (name: string, program: string): void => {
      const text = `#!/bin/sh\nexec ${program} "$@"\n`;
      writeFileSync(join(project, 'node_modules', '.bin', name), text, { mode: 0o755 });
    };
    bin('beds', `node ${join(project, 'node_modules/@beds/sdk/dist/cli/beds.js')}`);
    bin('esbuild', join(project, 'node_modules/esbuild/bin/esbuild'));
    writeFileSync(join(project, 'package.json'), '{ "devDependencies": { "@beds/sdk": "*" } }');
    await eventually('the host serves', () => said.includes('The host goes on serving'), START_TIMEOUT_MS);
    shell = new Shell(project, env);
  });
  after(async () => {
    shell?.end();
    if (host?.exitCode === null) {
      host.kill('SIGINT');
      await eventually('the host has ended', () => host?.exitCode !== null, START_TIMEOUT_MS);
    }
    await dropDatabase();
  });

  // n.b. `sh` sets up the checkout and installs from the registry: `before` does the same without a network.
  for (const block of blocksOf(page).filter(({ language }) => language !== 'sh')) {
    const { line, language, options, text } = block;
    const { file, same, until } = options;
    if (file !== undefined) {
      it(`line ${line}: ${file} is written`, () => {
        mkdirSync(dirname(join(project, file)), { recursive: true });
        // n.b. the host has exchanges of its own here, beside those of other tests.
        const exchange = `name: 'shop', exchange: '${env['BEDS_AMQP_PREFIX']}.request'`;
        writeFileSync(join(project, file), text.replace("name: 'shop'", exchange));
      });
    } else if (same !== undefined) {
      it(`line ${line}: ${same} is as shown`, () => assert.equal(readFileSync(join(project, same), 'utf8'), text));
    } else if (until !== undefined) {
      it(`line ${line}: a command that goes on prints what the page says`, async (t) => {
        const [{ command, expected } = { command: '', expected: '' }] = commandsOf(block);
        // n.b. without npx, so that a signal reaches it.
        const script = `exec ${command.replace('npx ', 'node_modules/.bin/')} 2>&1`;
        const child = spawn('bash', ['-c', script], {
          ...{ cwd: project, stdio: ['ignore', 'pipe', 'inherit'] },
          // What the page has exported.
          env: { ...env, BEDS_AMQP_URL: env['BEDS_RABBITMQ_URL'] },
        });
        t.after(() => child.kill('SIGINT'));
        let printed = '';
        child.stdout?.setEncoding('utf8').on('data', (part: string) => (printed += part));
        await eventually(until, () => printed.includes(until) && printed.endsWith('\n'), COMMAND_TIMEOUT_MS);
        assert.match(printed, patternOf(expected));
      });
    } else {
      assert.equal(language, 'console', `${page}:${line}`);
      it(`line ${line}: each command prints what the page says`, async () => {
        assert.ok(shell !== undefined);
        for (const { command, expected } of commandsOf(block)) {
          const { printed, status } = await shell.run(command);
          assert.equal(status === 0, !mayFail(command, expected), `${command}\n${printed}`);
          assert.match(printed, patternOf(expected), command);
        }
      });
    }
  }

  // The pages of the checkout call their example songs as the guide does.
  for (const { page: readme, domain } of [
    { page: 'README.md', domain: 'airs' },
    { page: 'plugins/README.md', domain: 'tunes' },
  ]) {
    const blocks = blocksOf(readme).filter(({ language }) => language === 'sh' || language === 'ts');
    for (const { line, language, text } of blocks) {
      // One of its records as well: a song of songs.
      const own = text.replaceAll('song', domain.replace(/s$/, ''));
      if (language === 'ts' && readme === 'plugins/README.md') {
        it(`${readme}:${line} is added to the template`, () => {
          edit(domain, [
            ["version: '1.0.0'", "version: '1.1.0'"],
            ['defineDomain,', 'defineDomain, notFound,'],
            [/\}\);\n$/, `${own}});\n`],
          ]);
        });
      }
      const commands = own.split('\n').filter((command) => /^(?:npm run (?:-s )?beds|rm) /.test(command));
      if (language !== 'sh' || commands.length === 0) continue;
      it(`${readme}:${line}: each command does what is said beside it`, async () => {
        if (own.includes('errors BEDS_PREFLIGHT_OBJECT_MISSING')) {
          edit(domain, [
            ["version: '1.1.0'", "version: '1.2.0'"],
            [`${domain}_update'`, `${domain}_updat'`],
          ]);
        }
        const inCheckout = new Shell(checkout, { ...env, PATH: `${dirname(process.execPath)}:${String(env['PATH'])}` });
        try {
          for (const command of commands) await runAsSaid(inCheckout, command);
        } finally {
          inCheckout.end();
        }
      });
    }
  }

  it('sdk/README.md: each command of its shell block does what is said beside it', async (t) => {
    const [block, ...others] = blocksOf('sdk/README.md').filter(({ language }) => language === 'sh');
    assert.ok(block !== undefined && others.length === 0);
    const own = join(home, 'own');
    mkdirSync(own);
    symlinkSync(join(project, 'node_modules'), join(own, 'node_modules'));
    writeFileSync(join(own, 'package.json'), '{ "devDependencies": { "@beds/sdk": "*" } }');
    // n.b. the first line installs from the registry; `before` has done that.
    const [install = '', ...lines] = block.text.replaceAll('songs', 'hymns').trimEnd().split('\n');
    assert.match(install, /^npm install /);
    const ownEnv = { ...env, BEDS_AMQP_URL: env['BEDS_RABBITMQ_URL'] };
    const inOwn = new Shell(own, ownEnv);
    const accounts = readFileSync(join(checkout, '.beds', 'runtime-accounts.json'), 'utf8');
    const { user } = (JSON.parse(accounts) as { stores: { main: { user: string } } }).stores.main;
    t.after(() => inOwn.end());
    const printed = new Map<string, string>();
    for (const line of lines) {
      const [command = ''] = line.split(/\s+# /);
      const [, , name = ''] = command.split(' ');
      if (name === 'dev') {
        const child = spawn('bash', ['-c', `exec ${command.replace('npx ', 'node_modules/.bin/')} 2>&1`], {
          ...{ cwd: own, env: ownEnv, stdio: ['ignore', 'pipe', 'inherit'] },
        });
        t.after(() => child.kill('SIGKILL'));
        let said = '';
        child.stdout?.setEncoding('utf8').on('data', (part: string) => (said += part));
        await eventually(command, () => said.includes('Watching'), COMMAND_TIMEOUT_MS);
        child.kill('SIGINT');
        await eventually(`${command} ends`, () => child.exitCode === 0, COMMAND_TIMEOUT_MS);
        printed.set(name, said);
        continue;
      }
      const ran = await inOwn.run(command);
      assert.equal(ran.status, 0, `${command}\n${ran.printed}`);
      printed.set(name, ran.printed);
      // The account of the host of this test is kept in the state of its checkout.
      if (name === 'db') assert.match((await inOwn.run(`${command} --account ${user}`)).printed, /^0 files applied/m);
    }
    assert.deepEqual([...printed.keys()], ['create', 'test', 'db', 'check', 'dev', 'build', 'introspect']);
    for (const file of ['tsconfig.json', 'config/beds.toml', 'hymns/template.ts', 'hymns/dist/hymns-1.0.0.mjs'])
      assert.ok(existsSync(join(own, file)), file);
    assert.match(printed.get('test') ?? '', /fail 0/);
    assert.match(printed.get('db') ?? '', /^7 files applied, 0 unchanged$/m);
    assert.match(printed.get('check') ?? '', /^hymns 1\.0\.0: no problems\.$/m);
    assert.match(printed.get('dev') ?? '', /hymns 1\.0\.0 is live/);
    assert.match(printed.get('introspect') ?? '', /view\('hymns_hymn_rows'/);
  });

  function edit(domain: string, changes: readonly (readonly [from: string | RegExp, to: string])[]): void {
    const path = join(checkout, 'plugins', domain, 'template.ts');
    let text = readFileSync(path, 'utf8');
    for (const [from, to] of changes) {
      assert.match(text, typeof from === 'string' ? new RegExp(escape(from)) : from);
      text = text.replace(from, to);
    }
    writeFileSync(path, text);
  }
});

const SAID_TIMEOUT_MS = 30_000;

/** A code in the comment is what the command fails with. n.b. what was dropped is live a little later. */
async function runAsSaid(shell: Shell, line: string): Promise<void> {
  const [command = '', comment = ''] = line.split(/\s+# /);
  const [code] = /\bBEDS_\w+/.exec(comment) ?? [];
  const until = Date.now() + SAID_TIMEOUT_MS;
  for (;;) {
    const { printed, status } = await shell.run(command);
    if (code === undefined ? status === 0 : status !== 0 && printed.includes(code)) return;
    assert.ok(Date.now() < until, `${line}\n${printed}`);
    await setTimeout(250);
  }
}

/** A command that fails on purpose: the page says so, or counts what is wrong. */
function mayFail(command: string, expected: string): boolean {
  return command.endsWith('# fails') || /: \d+ problems?\.$/.test(expected);
}

describe('the blocks of the pages', () => {
  const PAGES = ['README.md', 'sdk/README.md', 'plugins/README.md', 'sdk/docs/client.md', 'host/PROTOCOL.md'];
  const isProgram = ({ text }: Block): boolean => text.startsWith('import ');

  for (const page of PAGES) {
    for (const { line, text } of blocksOf(page).filter(({ language }) => language === 'json'))
      it(`${page}:${line} is JSON`, () => assert.equal(typeof JSON.parse(text), 'object'));
  }

  // n.b. what does not begin with an import is a part of a program, shown beside what it belongs to.
  it('in TypeScript compile, where they are whole programs', async (t) => {
    const root = temporaryDirectory(t);
    for (const folder of ['plugins', 'node_modules']) symlinkSync(resolve(folder), join(root, folder));
    let programs = 0;
    for (const page of PAGES) {
      const folder = join(root, dirname(page));
      // A link, so that the pages find the domains as they do in the checkout.
      if (folder.endsWith('plugins')) continue;
      mkdirSync(folder, { recursive: true });
      for (const block of blocksOf(page).filter(({ language }) => language === 'ts')) {
        if (!isProgram(block)) continue;
        const isTemplate = block.text.includes('export default defineDomain');
        writeFileSync(join(folder, isTemplate ? 'template.ts' : `line-${block.line}.ts`), block.text);
        programs += 1;
      }
    }
    assert.ok(programs >= 7, String(programs));
    // What the pages' programs have around them.
    writeFileSync(
      join(root, 'around.d.ts'),
      'declare const signal: AbortSignal;\ndeclare function use(value: unknown): void;\n',
    );
    const settings = {
      extends: resolve('sdk', 'tsconfig.template.json'),
      compilerOptions: { types: ['node'], typeRoots: [resolve('node_modules/@types')] },
      include: ['around.d.ts', '*.ts', 'sdk/**/*.ts'],
    };
    writeFileSync(join(root, 'tsconfig.json'), JSON.stringify(settings));
    writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
    const compiler = resolve('node_modules', 'typescript', 'bin', 'tsc');
    await promisify(execFile)(process.execPath, [compiler, '-p', root]).catch((error: unknown) =>
      assert.fail((error as { readonly stdout: string }).stdout),
    );
  });
});
