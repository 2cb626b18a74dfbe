import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { join as joinPosix } from 'node:path/posix';
import { after, describe, it } from 'node:test';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import * as authors from '@beds/sdk';
import * as builder from '@beds/sdk/build';
import * as client from '@beds/sdk/client';
import * as testing from '@beds/sdk/testing';
import { publint } from 'publint';
import { installSdk, packSdk, packTools, unpack } from './support/packed-sdk.js';

/** Ways to resolve an import that know no ES modules: the SDK is one, and asks for a Node that has them. */
const WITHOUT_ESM = ['node10', 'node16-cjs'];
/** Of what a program installs that only calls. */
const MOST_BYTES = 3_000_000;

describe('the package @beds/sdk', () => {
  const directory = mkdtempSync(join(tmpdir(), 'beds-test-'));
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const file = packSdk(directory);
  const tarball = new Uint8Array(readFileSync(file));
  const content = createPackageFromTarballData(tarball);
  const prefix = '/node_modules/@beds/sdk/';

  it('has every file that its package.json names, in the form that it says', async () => {
    const { messages } = await publint({ pack: { tarball: tarball.buffer } });
    assert.deepEqual(messages, []);
  });

  it('gives types to whoever imports one of its doors', async () => {
    const result = await checkPackage(content, {
      excludeEntrypoints: ['./domain.schema.json', './tsconfig.template.json'],
    });
    assert.ok(result.types !== false, 'it has no types');
    const problems = result.problems.filter(
      (problem) => !('resolutionKind' in problem && WITHOUT_ESM.includes(problem.resolutionKind)),
    );
    assert.deepEqual(problems, []);
  });

  it('offers what authors and callers write with, and nothing else', () => {
    assert.deepEqual(Object.keys(authors).sort(), [
      ...[
        'conflict',
        'defineDomain',
        'fn',
        'invalid',
        'isBedsError',
        'notFound',
        'notSupported',
        'operationsOf',
        'peer',
      ],
      ...['procedure', 'refused', 't', 'view'],
    ]);
    assert.deepEqual(Object.keys(builder).sort(), ['buildErrors', 'buildTemplate']);
    assert.deepEqual(Object.keys(client).sort(), ['Session', 'clientErrors', 'connectBeds', 'signIn']);
    assert.deepEqual(Object.keys(testing).sort(), ['testDomain', 'testingErrors']);
  });

  it('holds its sources, what was compiled of them and what a reader needs, and nothing else', () => {
    const names = content.listFiles().map((path) => path.replace(prefix, ''));
    const isCompiled = (name: string): boolean => {
      const source = /^dist\/(.*)\.(js|d\.ts|js\.map)$/.exec(name)?.[1];
      return source !== undefined && names.includes(`${source}.ts`);
    };
    const others = names.filter((name) => !isCompiled(name));
    const rest = others.filter(
      (name) => !(name.endsWith('.ts') && names.includes(`dist/${name.replace(/\.ts$/, '.js')}`)),
    );
    assert.deepEqual(rest.sort(), [
      'LICENSE',
      'README.md',
      'domain.schema.json',
      'package.json',
      'tsconfig.template.json',
    ]);
    assert.equal(content.readFile(`${prefix}LICENSE`), readFileSync('LICENSE', 'utf8'));
  });

  it('has each source that a source map names', () => {
    const files = new Set(content.listFiles());
    const maps = [...files].filter((path) => path.endsWith('.map'));
    assert.ok(maps.length > 0);
    for (const path of maps) {
      const { sources } = JSON.parse(content.readFile(path)) as { readonly sources: readonly string[] };
      for (const source of sources) assert.ok(files.has(joinPosix(dirname(path), source)), `${path} names ${source}`);
    }
  });

  it('lets a program that only calls do without a builder, and fits with the strictest compiler', () => {
    const project = join(directory, 'caller');
    mkdirSync(project);
    installSdk(file, project, ['@types/node']);
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
    const call = `import { isBedsError } from '@beds/sdk';
import { connectBeds } from '@beds/sdk/client';
const options = { url: 'amqp://127.0.0.1:1', name: 'caller', connectTimeoutMs: 100 };
const answer = await connectBeds(options).catch((error: unknown) => error);
console.log(isBedsError(answer) ? answer.code : 'no error');
`;
    writeFileSync(join(project, 'call.ts'), call);
    const options = {
      target: 'ES2023',
      module: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      types: ['node'],
    };
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...options, skipLibCheck: false } }),
    );
    compile(project);
    assert.equal(run(project, 'call.js'), 'BEDS_CLIENT_UNAVAILABLE\n');
    const build = `import { buildTemplate } from '@beds/sdk/build';
await buildTemplate({ entry: 'call.ts', outDir: 'out' }).catch((error) => console.log(error.code, error.hint));`;
    writeFileSync(join(project, 'build.mjs'), build);
    assert.equal(
      run(project, 'build.mjs'),
      'BEDS_BUILD_NO_ESBUILD Run `npm install --save-dev esbuild` in your project.\n',
    );
    const [kilobytes = ''] = execFileSync('du', ['-sk', '--exclude=@types', 'node_modules'], {
      cwd: project,
      encoding: 'utf8',
    }).split('\t');
    assert.ok(Number(kilobytes) * 1024 < MOST_BYTES, `${kilobytes} kB`);
  });
});

describe('the package @beds/tools', () => {
  const directory = mkdtempSync(join(tmpdir(), 'beds-test-'));
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const file = packTools(directory);
  const tarball = new Uint8Array(readFileSync(file));

  it('has what its package.json names, with types', async () => {
    const { messages } = await publint({ pack: { tarball: tarball.buffer } });
    assert.deepEqual(messages, []);
    const content = createPackageFromTarballData(tarball);
    const result = await checkPackage(content);
    assert.ok(result.types !== false, 'it has no types');
    const { version } = JSON.parse(readFileSync('sdk/package.json', 'utf8')) as { readonly version: string };
    assert.equal(content.packageVersion, version);
  });

  it('is what the command beds asks for where it is not installed, and lets it create and check a domain', () => {
    const project = join(directory, 'author');
    mkdirSync(project);
    installSdk(packSdk(directory), project, ['@types/node', 'esbuild', '@esbuild', 'typescript']);
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
    const beds = (...args: readonly string[]): string => {
      const { stdout, stderr } = spawnSync(process.execPath, ['node_modules/@beds/sdk/dist/cli/beds.js', ...args], {
        cwd: project,
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
      });
      return stdout + stderr;
    };
    assert.match(beds('create', 'shop'), /npm install --save-dev @beds\/tools/);
    unpack(file, project, '@beds/tools');
    assert.match(beds('create', 'shop'), /npx beds check/);
    assert.match(beds('check'), /shop\/template\.ts:\d+:\d+ BEDS_ADMISSION_STORE_UNKNOWN/);
  });
});

function compile(project: string): void {
  try {
    execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], { encoding: 'utf8' });
  } catch (error) {
    assert.fail((error as { readonly stdout: string }).stdout);
  }
}

function run(project: string, file: string): string {
  return execFileSync(process.execPath, [file], { cwd: project, encoding: 'utf8' });
}
