import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { BenchContext } from '../contract.js';

/** The sources stay where they are when the rest is compiled; the libraries are installed beside them. */
const PEERS_FOLDER = fileURLToPath(new URL('../../../bench/peers/', import.meta.url));
const INSTALL_TIMEOUT_MS = 180_000;
const WHY_CHARACTERS = 300;

interface Lock {
  readonly packages?: Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>;
}

/** A program of processes/ that serves and asks with a library of others. */
export interface Peer {
  readonly title: string;
  readonly program: string;
  /** The package whose version is printed. */
  readonly packageName: string;
}

export const PEERS: readonly Peer[] = [
  { title: 'Moleculer', program: 'moleculer-echo', packageName: 'moleculer' },
  { title: 'NestJS', program: 'nest-echo', packageName: '@nestjs/microservices' },
  { title: 'rabbitmq-client', program: 'rabbitmq-client-echo', packageName: 'rabbitmq-client' },
];

/** Every library of bench/peers that is measured. */
const PACKAGES = [...PEERS.map(({ packageName }) => packageName), 'dataloader'];

/** Installs the libraries where that is allowed and needed. Resolves to why there are none, or to undefined. */
export async function installPeers({ install, say, signal }: BenchContext): Promise<string | undefined> {
  if (isInstalled()) return undefined;
  if (!install) return 'they are not installed, and --no-install was given';
  say('installing the peers with `npm ci` in bench/peers (once)');
  const npm = process.env['npm_execpath'];
  const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts'];
  const byNpm = npm !== undefined && /npm-cli\.c?js$/.test(npm);
  const [file, all] = byNpm ? [process.execPath, [npm, ...args]] : ['npm', args];
  try {
    await promisify(execFile)(file, all, { cwd: PEERS_FOLDER, timeout: INSTALL_TIMEOUT_MS, signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', message } = error as { readonly stderr?: string; readonly message: string };
    const lines = stderr.split('\n').filter((line) => line.startsWith('npm error'));
    return `they could not be installed: ${(lines.join('; ') || message).slice(0, WHY_CHARACTERS)}`;
  }
}

/** Names and versions as they are installed. */
export function peerVersions(): Readonly<Record<string, string>> {
  const installed = Object.entries(readLock(join('node_modules', '.package-lock.json')).packages ?? {});
  const versions = PACKAGES.flatMap((packageName): [string, string][] => {
    const version = installed.find(([path]) => path.endsWith(`node_modules/${packageName}`))?.[1].version;
    return version === undefined ? [] : [[packageName, version]];
  });
  return Object.fromEntries(versions);
}

function isInstalled(): boolean {
  const { packages: installed = {} } = readLock(join('node_modules', '.package-lock.json'));
  const wanted = Object.entries(readLock('package-lock.json').packages ?? {});
  return wanted.every(
    ([path, { version, optional }]) => path === '' || optional === true || installed[path]?.version === version,
  );
}

function readLock(path: string): Lock {
  const file = join(PEERS_FOLDER, path);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Lock) : {};
}

/**
 * Imports a library of bench/peers. The product does not depend on it, so the compiler does not know it either: `T` is
 * the part that is used, written by hand after its installed source. `folder` is where it is installed, below bench/peers.
 */
export async function peerLibrary<T>(name: string, folder = ''): Promise<T> {
  const { load } = (await import(pathToFileURL(join(PEERS_FOLDER, folder, 'load.mjs')).href)) as {
    readonly load: (name: string) => Promise<unknown>;
  };
  return (await load(name)) as T;
}
