import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';
import type { AuthorContext } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { findDomains, projectOf } from './domains.js';

const TEST_FILE = /\.test\.[jt]s$/;

export const testCommand: Command<AuthorContext> = {
  name: 'test',
  summary: 'Run the tests of a domain: no broker, no database.',
  usage: 'test [domain…]',
  options: {},
  details:
    'Runs the files *.test.ts beside template.ts with the test runner of Node. Each is bundled first, so no other tool is ' +
    'needed. Failures name the lines of your files. Name domains as for `beds build`.',
  run: async (context) => {
    const domains = await findDomains(context, 'template');
    const files = domains.flatMap(({ folder }) => testFiles(folder));
    if (files.length === 0) {
      const names = domains.map(({ name }) => name).join(', ');
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `${names} has no *.test.ts beside template.ts.`);
    }
    const root = projectOf(domains[0]?.folder ?? context.cwd);
    // n.b. within the project, so that the packages of the project are found.
    mkdirSync(join(root, '.beds'), { recursive: true });
    const directory = mkdtempSync(join(root, '.beds', 'tests-'));
    try {
      return await runTests(await bundleTests(files, { root, directory }), context);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

function testFiles(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => TEST_FILE.test(name))
    .sort()
    .map((name) => join(folder, name));
}

async function bundleTests(
  files: readonly string[],
  { root, directory }: { readonly root: string; readonly directory: string },
): Promise<readonly string[]> {
  const outputs = files.map((file) => relative(root, file).replaceAll(/[\\/]/g, '.').replace(/\.ts$/, ''));
  await build({
    absWorkingDir: root,
    entryPoints: files.map((file, index) => ({ in: file, out: outputs[index] ?? '' })),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    sourcemap: 'inline',
    logLevel: 'error',
  });
  return outputs.map((name) => join(directory, `${name}.mjs`));
}

/** Resolves to the exit code. */
async function runTests(files: readonly string[], { env, out, signal }: AuthorContext): Promise<number> {
  const colours = out.interactive ? { FORCE_COLOR: '1' } : {};
  // n.b. a test that runs this command is no runner of what this runs; Node 20 prints otherwise than newer ones by itself.
  const { NODE_TEST_CONTEXT: _, ...rest }: NodeJS.ProcessEnv = { ...process.env, ...env, ...colours };
  const child = spawn(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=spec', ...files], {
    env: rest,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  });
  const lines = (text: string): void => out.line(text.replace(/\n$/, ''));
  child.stdout.setEncoding('utf8').on('data', lines);
  child.stderr.setEncoding('utf8').on('data', lines);
  const [code] = (await once(child, 'close')) as [number | null];
  return code === 0 ? EXIT.ok : EXIT.failed;
}
