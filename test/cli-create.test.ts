import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { defaultFileText } from '../host/config/write-files.js';
import { EXIT } from '#sdk/cli';
import { generateMysql } from '#sdk/generate';
import { checkSpecification } from '#sdk/spec';
import { main } from '../host/cli/main.js';
import { BRIEFS } from './support/brief-checks.js';

const run = promisify(execFile);

/** A checkout without domains, with the packages and settings of this one. */
function checkout(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'beds-create-'));
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  mkdirSync(join(root, 'config'));
  writeFileSync(join(root, 'config', 'beds.toml'), defaultFileText());
  writeFileSync(join(root, 'package.json'), '{ "type": "module", "dependencies": { "@beds/sdk": "*" } }');
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  const compilerOptions = {
    rootDir: '.',
    outDir: 'dist',
    typeRoots: [resolve('node_modules/@types')],
  };
  const settings = { extends: resolve('tsconfig.base.json'), compilerOptions, include: ['plugins'] };
  writeFileSync(join(root, 'tsconfig.json'), JSON.stringify(settings));
  return root;
}

interface Ran {
  readonly code: number;
  readonly text: string;
}

async function beds(root: string, ...args: readonly string[]): Promise<Ran> {
  let text = '';
  const stream = {
    write: (part: string): void => {
      text += part;
    },
  };
  const code = await main({ args, projectRoot: root, cwd: root, env: {}, streams: { stdout: stream, stderr: stream } });
  return { code, text };
}

/** Runs a program of the installed packages; rejects with its output when it fails. */
function tool(root: string, program: string, ...args: readonly string[]): Promise<unknown> {
  return run(process.execPath, [resolve('node_modules', program), ...args], { cwd: root, timeout: 120_000 });
}

describe('beds create', () => {
  // A domain of somebody else is checked against the declarations of the SDK.
  before(() => tool('.', 'typescript/bin/tsc', '-b', 'sdk'));

  for (const store of ['main', 'documents']) {
    it(`starts a domain in store ${store} that compiles, is formatted, passes its test and builds`, async (t) => {
      const root = checkout(t);
      const created = await beds(root, 'create', 'sea-notes', '--store', store);
      assert.equal(created.code, EXIT.ok, created.text);
      assert.match(created.text, /^plugins\/sea-notes\/template\.ts$/m);
      for (const step of ['test sea-notes', 'db apply sea-notes', 'build sea-notes --file --out plugins'])
        assert.ok(created.text.includes(step), step);
      assert.ok(readdirSync(join(root, 'plugins', 'sea-notes', 'db')).length >= 5);

      await tool(root, 'prettier/bin/prettier.cjs', '--config', resolve('.prettierrc.json'), '--check', 'plugins');
      await tool(root, 'typescript/bin/tsc', '-p', '.');
      await run(process.execPath, ['--test', 'dist/plugins/sea-notes/sea-notes.test.js'], {
        cwd: root,
        timeout: 60_000,
        env: { PATH: process.env['PATH'] },
      });
      const built = await beds(root, 'build', 'sea-notes', '--file', '--out', 'out');
      assert.equal(built.code, EXIT.ok, built.text);
      assert.ok(existsSync(join(root, 'out', 'sea-notes-1.0.0.mjs')));
    });
  }

  for (const { store, file } of [
    { store: 'main', file: 'db/110-table-categories_category.sql' },
    { store: 'documents', file: 'db/200-rules-_categories_rules.json' },
  ])
    it(`begins with a specification that has no problems, and from which the rest comes, in store ${store}`, async (t) => {
      const root = checkout(t);
      await beds(root, 'create', 'categories', '--store', store);
      const document = join(root, 'plugins', 'categories', 'domain.json');
      assert.match((await beds(root, 'spec', 'check', 'categories')).text, /domain\.json: no problems/);
      assert.match((await beds(root, 'generate', '--check', 'categories')).text, /categories: all files are as made/);
      const { records } = JSON.parse(readFileSync(document, 'utf8')) as { records: { name: string }[] };
      assert.equal(records[0]?.name, 'category');
      // What an author has made of its package stays.
      const own = join(root, 'plugins', 'categories', 'package.json');
      writeFileSync(own, readFileSync(own, 'utf8').replace('1.0.0', '1.0.1'));
      writeFileSync(document, readFileSync(document, 'utf8').replace('What it is called', 'Its title'));
      const again = await beds(root, 'generate', 'categories');
      assert.ok(again.text.split('\n').includes(`plugins/categories/${file}`), again.text);
      assert.match(readFileSync(own, 'utf8'), /1\.0\.1/);
    });

  it('refuses a name that is taken, a name that cannot be one, and a store that is not there', async (t) => {
    const root = checkout(t);
    assert.equal((await beds(root, 'create', 'notes')).code, EXIT.ok);
    const taken = await beds(root, 'create', 'notes');
    assert.equal(taken.code, EXIT.failed);
    assert.match(taken.text, /BEDS_CLI_TARGET_EXISTS: plugins\/notes exists already/);
    for (const name of ['Notes', '../up', 'a_b', '9', 'a'.repeat(31)])
      assert.equal((await beds(root, 'create', name)).code, EXIT.usage);
    const nowhere = await beds(root, 'create', 'more', '--store', 'mian');
    assert.match(nowhere.text, /The configuration has no store mian\. Did you mean main\?/);
    assert.ok(!existsSync(join(root, 'plugins', 'more')));
  });
});

describe('what is generated of every brief', () => {
  it('compiles, and its template passes the test that comes with it', async (t) => {
    const root = checkout(t);
    const domains = readdirSync(BRIEFS)
      .filter((name) => /^\d\d-[a-z-]+\.json$/.test(name))
      .flatMap((name) => {
        const { checked } = checkSpecification(JSON.parse(readFileSync(join(BRIEFS, name), 'utf8')));
        const { files } = checked === undefined ? {} : generateMysql(checked);
        return checked === undefined || files === undefined ? [] : [{ domain: checked.domain, files }];
      });
    assert.ok(domains.length >= 11, String(domains.length));
    for (const { domain, files } of domains) {
      mkdirSync(join(root, 'plugins', domain), { recursive: true });
      for (const [name, text] of Object.entries(files))
        if (!name.includes('/')) writeFileSync(join(root, 'plugins', domain, name), text);
    }
    const tested = await beds(root, 'test', ...domains.map(({ domain }) => domain));
    assert.equal(tested.code, EXIT.ok, tested.text);
    assert.ok(Number(/^ℹ pass (\d+)$/m.exec(tested.text)?.[1]) > 200, tested.text.slice(-400));
    await tool(root, 'typescript/bin/tsc', '-p', '.', '--noEmit').catch((error: unknown) =>
      assert.fail((error as { readonly stdout: string }).stdout),
    );
  });
});

describe('beds build', () => {
  it('refuses a folder without a template, with the reason', async (t) => {
    const { code, text } = await beds(checkout(t), 'build', 'nowhere');
    assert.equal(code, EXIT.usage);
    assert.match(text, /BEDS_CLI_ARGUMENT_INVALID: There is no template\.ts in .*nowhere/);
  });
});
