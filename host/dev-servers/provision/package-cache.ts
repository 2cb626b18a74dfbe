import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceContext } from '../contract.js';
import { withLock } from '../server-folder.js';

/** Its presence says that everything else in the folder is there. It is written last and renamed along. */
const MARKER = 'complete.json';
const FILL_WAIT_MS = 900_000;

export interface CacheEntry {
  readonly cache: string;
  readonly key: string;
  readonly context: Pick<ServiceContext, 'progress' | 'signal'>;
  /** Whether a folder that is whole can be used no more. */
  readonly isDamaged?: (folder: string) => Promise<boolean>;
}

/**
 * A folder of the user's cache that is either whole or absent. `fill` writes into a draft which then takes the name,
 * so an interrupted fill is never used; of two checkouts that need it at once, one fills and one waits. Servers of other
 * commands may run from it: a damaged one stays where it is until another takes its place.
 */
export async function cachedFolder(
  { cache, key, context, isDamaged = () => Promise.resolve(false) }: CacheEntry,
  fill: (draft: string) => Promise<void>,
): Promise<string> {
  const folder = join(cache, key);
  const isUsable = async (): Promise<boolean> => hasCachedFolder(cache, key) && !(await isDamaged(folder));
  if (await isUsable()) return folder;
  const onWait = (pid: number): void => {
    context.progress('waiting', `process ${String(pid)} is downloading the same; waiting for it`);
  };
  await withLock(`${folder}.lock`, { waitMs: FILL_WAIT_MS, signal: context.signal, onWait }, async () => {
    if (await isUsable()) return;
    // Left by a command that was killed: whoever has the lock is the only one at work here.
    const [draft, replaced] = [`${folder}.draft`, `${folder}.replaced`];
    for (const left of [draft, replaced]) rmSync(left, { recursive: true, force: true });
    mkdirSync(draft, { recursive: true, mode: 0o755 });
    await fill(draft);
    writeFileSync(join(draft, MARKER), JSON.stringify({ key, at: new Date().toISOString() }));
    if (existsSync(folder)) renameSync(folder, replaced);
    renameSync(draft, folder);
    rmSync(replaced, { recursive: true, force: true });
  });
  return folder;
}

export function hasCachedFolder(cache: string, key: string): boolean {
  return existsSync(join(cache, key, MARKER));
}

/** Per user and outside the checkout, so that a second checkout downloads nothing; by distribution, because of libraries. */
export function cacheFolder(context: Pick<ServiceContext, 'provision' | 'folder'>): string {
  const configured = context.provision.cacheDirectory;
  const system = `${distribution()}-${process.arch}`;
  if (configured !== undefined) return join(configured, system);
  const base = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  for (const parent of [join(base, 'beds'), sharedTemporary(), join(context.folder, 'packages')]) {
    if (canHoldPackages(parent)) return join(parent, system);
  }
  return join(context.folder, 'packages', system);
}

function sharedTemporary(): string {
  return join(tmpdir(), `beds-${String(process.getuid?.() ?? 0)}`);
}

// n.b. RabbitMQ's shell scripts do not quote their own path: a folder with a space in it cannot hold them.
function canHoldPackages(folder: string): boolean {
  if (/\s/.test(folder)) return false;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    const stat = lstatSync(folder);
    return stat.isDirectory() && (process.getuid === undefined || stat.uid === process.getuid());
  } catch {
    return false;
  }
}

function distribution(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    const field = (name: string): string => new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
    return `${field('ID')}-${field('VERSION_ID')}`.replaceAll(/[^\w.-]/g, '');
  } catch {
    return process.platform;
  }
}
