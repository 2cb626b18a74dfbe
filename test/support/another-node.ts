import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { cacheFolder, cachedFolder } from '../../host/dev-servers/provision/package-cache.js';
import { runCommand } from '../../host/dev-servers/provision/programs.js';

const INSTALL_TIMEOUT_MS = 600_000;
const VERSION_TIMEOUT_MS = 60_000;

export interface NodeRun {
  /** `24`, or as much of a version as is wanted. */
  readonly version: string;
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly say: (words: string) => void;
}

/** Runs a command of the checkout with another Node, which all that it starts finds on its PATH. Resolves to the exit code. */
export async function runWithNode({ args, projectRoot, env, signal, ...wanted }: NodeRun): Promise<number> {
  const node = await provideNode({ ...wanted, signal });
  const path = [dirname(node), env['PATH'] ?? ''].join(delimiter);
  const child = spawn(node, [join(projectRoot, 'host', 'bootstrap.mjs'), ...args], {
    cwd: projectRoot,
    env: { ...env, PATH: path },
    stdio: 'inherit',
  });
  // n.b. a Ctrl-C in the terminal reaches it anyway; a second signal changes nothing.
  signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** npm has each version of Node as a package, with a checksum. Kept in the user's cache, beside the servers. */
async function provideNode({ version, signal, say }: Pick<NodeRun, 'version' | 'signal' | 'say'>): Promise<string> {
  const place = { provision: {}, folder: join(homedir(), '.beds') };
  const programIn = (folder: string): string => join(folder, 'bin', 'node');
  const isDamaged = async (folder: string): Promise<boolean> => {
    const found = await runCommand(programIn(folder), { args: ['--version'], timeoutMs: VERSION_TIMEOUT_MS }).catch(
      () => '',
    );
    return !`${found.trim()}.`.startsWith(`v${version}.`);
  };
  const context = { progress: (_type: string, words: string) => say(words), signal };
  const folder = await cachedFolder(
    { cache: cacheFolder(place), key: `node-${version}`, context, isDamaged },
    (draft) => {
      say(`downloading Node ${version} (first time only)`);
      return installNode(version, draft, signal);
    },
  );
  return programIn(folder);
}

async function installNode(version: string, into: string, signal: AbortSignal): Promise<void> {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = mkdtempSync(join(tmpdir(), 'beds-node-'));
  try {
    const args = ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', folder, `${name}@${version}`];
    await runCommand('npm', { args, timeoutMs: INSTALL_TIMEOUT_MS, cwd: folder, signal });
    cpSync(join(folder, 'node_modules', name), into, { recursive: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
