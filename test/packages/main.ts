import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { type BuiltBundle, buildTemplate } from '@beds/sdk/build';
import { type TriedPackage, TRIED_PACKAGES } from './tried-packages.js';
import { type Trial, tryBundle, VERSIONS } from './try-bundle.js';

const TABLE = 'sdk/docs/packages.md';

/**
 * `npm run docs:packages`: installs the packages of the list from the registry of npm, tries each in a template, and writes
 * what came of it. With parts of names as arguments it only prints. With BEDS_PACKAGES_DIRECTORY nothing is installed.
 */
async function main(parts: readonly string[]): Promise<void> {
  const chosen = TRIED_PACKAGES.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
  const installed = process.env['BEDS_PACKAGES_DIRECTORY'];
  const directory = installed ?? mkdtempSync(join(tmpdir(), 'beds-packages-'));
  try {
    if (installed === undefined) install(chosen, directory);
    const built = [];
    for (const each of chosen) built.push({ each, ...(await build(each, directory)) });
    const rows: string[] = [];
    for (const { each, path, refusal, inBrowserForm = [] } of built) {
      const outcome =
        path === undefined ? refusalOf(refusal, each.instead) : outcomeOf(await tryBundle(path), each.instead);
      const form = inBrowserForm.length > 0 && outcome === 'works' ? `, in the form for browsers` : '';
      rows.push(describe(each, `${outcome}${form}`));
    }
    process.stdout.write(`${rows.join('\n')}\n`);
    if (parts.length === 0) writeFileSync(TABLE, pageOf(rows));
  } finally {
    if (installed === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

function install(packages: readonly TriedPackage[], directory: string): void {
  writeFileSync(join(directory, 'package.json'), '{ "private": true }');
  const names = packages.map(({ name, version }) => `${name}@${version}`);
  const options = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', ...options, ...names], { cwd: directory, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** The path of the bundle, or why it was not built. */
async function build(
  each: TriedPackage,
  directory: string,
): Promise<Partial<BuiltBundle> & { readonly refusal: string }> {
  const folder = join(directory, 'tried', each.name.replaceAll('/', '-'));
  mkdirSync(folder, { recursive: true });
  const entry = join(folder, 'template.ts');
  writeFileSync(entry, templateOf(each));
  try {
    return { ...(await buildTemplate({ entry, outDir: join(folder, 'out'), form: 'file' })), refusal: '' };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    return { refusal: error.message };
  }
}

function templateOf({ name, imports = `import it from '${name}';`, works }: TriedPackage): string {
  return `import { defineDomain, t, view } from '@beds/sdk';
${imports}
export default defineDomain({
  name: 'tried', version: '1.0.0', store: 'main', key: 'id',
  fetch: view('tried_list', { id: t.int() }),
  operations: ({ unsupported }) => ({ create: unsupported(), update: unsupported(), delete: unsupported() }),
  async selfTest() { if (!(await (${works}))) throw new Error('another result'); },
});
`;
}

function describe({ name, version }: TriedPackage, outcome: string): string {
  return `| \`${name}\` | ${version} | ${outcome} |`;
}

function outcomeOf(trial: Trial, instead?: string): string {
  if (trial.stage === 'admitted') return refusalOf(trial.refusal, instead);
  const { failure, held, leftovers } = trial;
  if (failure !== '') return `fails: ${failure}`;
  if (held > 1) return `works, but ${String(held)} versions stay in memory`;
  return leftovers > 0 ? `works; leaves ${String(leftovers)} timers` : 'works';
}

/** What to do instead; the first line where nothing is said of that. */
function refusalOf(text: string, instead?: string): string {
  const [, line = text] = /^The template cannot be built:\n- (.*)/.exec(text) ?? [];
  const hint = / \(((?:[A-Z]|npm).*?)(?: Through .*)?\)$/.exec(line)?.[1];
  return `no: ${instead ?? hint ?? line.split('\n')[0] ?? ''}`;
}

function pageOf(rows: readonly string[]): string {
  const works = rows.filter((row) => row.includes('| works')).length;
  return `# Packages in templates

Made by \`npm run docs:packages\`: each package is bundled into a template, admitted as a host does it, used, and swapped ${String(VERSIONS)} times in a
thread as templates run in; then memory is collected, and nothing of a version that has ended may be left. ${String(works)} of ${String(rows.length)} work. A package that is not in the
list works if it only computes: the builder says what does not fit, which import of yours brought it in, and what to do instead.

A package that cannot be used as it is in Node is taken as it is in browsers, where it has a form for them. Decorators work; esbuild writes no
\`emitDecoratorMetadata\`, so containers of objects need their tokens by name (\`@inject(Token)\`).

| package | version | in a template |
| ------- | ------- | ------------- |
${rows.join('\n')}
`;
}

await main(process.argv.slice(2));
