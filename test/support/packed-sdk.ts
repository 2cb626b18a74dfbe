import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const LONGEST_MS = 240_000;

/** What `npm pack` makes of the SDK, in `directory`. Nothing is fetched for it, and nothing compiled but the SDK. */
export function packSdk(directory: string): string {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'sdk'], { cwd: ROOT, timeout: LONGEST_MS });
  return pack('sdk', directory);
}

/** What `npm pack` makes of @beds/tools. */
export function packTools(directory: string): string {
  execFileSync(process.execPath, ['dist/host/author/bundle.js'], { cwd: ROOT, timeout: LONGEST_MS });
  return pack('host/author/package', directory);
}

function pack(folder: string, directory: string): string {
  const args = ['pack', `./${folder}`, `--pack-destination=${directory}`, '--json', '--offline', '--ignore-scripts'];
  const packed = JSON.parse(execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', timeout: LONGEST_MS })) as unknown;
  const [{ filename }] = packed as [{ readonly filename: string }];
  return join(directory, filename);
}

interface PackageJson {
  readonly dependencies: Readonly<Record<string, string>>;
}

/**
 * Puts a packed SDK into node_modules of a project as npm would: with what it depends on, and with `others`, which the project
 * has beside it. They are taken from this repository, so that nothing is fetched.
 */
export function installSdk(tarball: string, project: string, others: readonly string[]): void {
  rmSync(join(project, 'node_modules'), { recursive: true, force: true });
  const { dependencies } = unpack(tarball, project, '@beds/sdk');
  for (const name of Object.keys(dependencies)) {
    // A copy, because a link leads into the node_modules of this repository, where all else is as well.
    cpSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name), { recursive: true });
  }
  for (const name of others) {
    const link = join(project, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), link);
  }
}

/** Puts a packed package into node_modules of a project, alone. */
export function unpack(tarball: string, project: string, name: string): PackageJson {
  const target = join(project, 'node_modules', name);
  mkdirSync(target, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  return JSON.parse(readFileSync(join(target, 'package.json'), 'utf8')) as PackageJson;
}
