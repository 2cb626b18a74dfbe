import { mkdtempSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import type { ServiceContext } from '../contract.js';
import { PrivateApt } from './apt.js';
import { findProgram, searchPath, subfolders } from './find-program.js';
import { cacheFolder, cachedFolder } from './package-cache.js';
import { runCommand } from './run-command.js';

const UNPACK_TIMEOUT_MS = 120_000;
/** For a `check`, which takes a moment on an idle machine. */
export const CHECK_TIMEOUT_MS = 120_000;
/** Of another release than the system's own, these would break every program that finds them in LD_LIBRARY_PATH. */
const NEVER_UNPACKED = /^(libc6|libc-bin|libgcc-s1|libstdc\+\+6)_/;

/** A server that distributions have packages of. */
export interface PackagedServer<Programs> {
  /** Tried in this order: names differ between releases. */
  readonly names: readonly string[];
  /** Packages that must come from the same place as these, installed or not. */
  readonly together: RegExp;
  /** Makes the unpacked files usable where they are. */
  readonly finish?: (root: string) => void;
  readonly programsIn: (root: string) => Programs;
  /** Throws when the programs do not run, for instance because a library went away. */
  readonly check: (programs: Programs) => Promise<unknown>;
}

/**
 * Unpacks a package of the distribution, and those it needs that are not installed, into the user's cache. The same for
 * root and for a plain user. Undefined where packages cannot be unpacked.
 */
export async function unpackedPrograms<Programs>(
  context: ServiceContext,
  server: PackagedServer<Programs>,
): Promise<Programs | undefined> {
  const tools = ['apt-get', 'dpkg-deb'].map((name) => findProgram([name], searchPath({})));
  if (context.provision.downloads === false || tools.includes(undefined)) return undefined;
  const cache = cacheFolder(context);
  const programsOf = (folder: string): Programs => server.programsIn(join(folder, 'root'));
  const isDamaged = (folder: string): Promise<boolean> =>
    server.check(programsOf(folder)).then(
      () => false,
      // One that was not done in time says that the machine is busy, and nothing of the programs.
      (error: unknown) => !isBedsError(error) || error.code !== 'BEDS_SERVICES_COMMAND_TIMEOUT',
    );
  const entry = { cache, key: context.name, context, isDamaged };
  return programsOf(await cachedFolder(entry, (draft) => fill(draft, context, server)));
}

async function fill<Programs>(draft: string, context: ServiceContext, server: PackagedServer<Programs>): Promise<void> {
  const work = mkdtempSync(join(draft, 'apt-'));
  const lists = join(cacheFolder(context), 'apt-lists');
  const { signal } = context;
  const apt = new PrivateApt({ folder: work, lists, ignoreInstalled: server.together, signal });
  const files = await download(apt, context, server.names);
  context.progress('unpacking', `unpacking ${context.title}`);
  const root = join(draft, 'root');
  for (const file of files) {
    if (NEVER_UNPACKED.test(basename(file))) continue;
    await runCommand('dpkg-deb', { args: ['-x', file, root], timeoutMs: UNPACK_TIMEOUT_MS, signal });
  }
  server.finish?.(root);
  await server.check(server.programsIn(root));
  rmSync(work, { recursive: true, force: true });
}

async function download(
  apt: PrivateApt,
  context: ServiceContext,
  names: readonly string[],
): Promise<readonly string[]> {
  try {
    return await downloadFirst(apt, context, names);
  } catch (error) {
    if (!apt.usesSystemLists || context.signal.aborted) throw error;
  }
  // The system's lists are empty (a fresh container) or older than the archive: fetch our own.
  context.progress('downloading', `downloading the package lists for ${context.title}`);
  await apt.update((pid) => {
    // Two servers of one command may need them at once.
    if (pid !== process.pid) context.progress('waiting', `process ${String(pid)} is downloading them; waiting for it`);
  });
  return downloadFirst(apt, context, names);
}

async function downloadFirst(
  apt: PrivateApt,
  context: ServiceContext,
  names: readonly string[],
): Promise<readonly string[]> {
  let problem: unknown;
  for (const name of names) {
    const size = await apt.downloadSize(name).catch((error: unknown) => {
      problem = error;
      return undefined;
    });
    if (size === undefined) continue;
    const megabytes = Math.max(1, Math.round(size / 1e6));
    context.progress('downloading', `downloading ${context.title} (first time only, ${String(megabytes)} MB)`);
    return apt.download(name);
  }
  throw problem;
}

/** Folders of shared libraries among unpacked files, for LD_LIBRARY_PATH. */
export function libraryPath(root: string): string {
  const parents = [join(root, 'usr', 'lib'), join(root, 'lib')];
  return parents.flatMap((parent) => subfolders(parent, /-linux-(gnu|musl)/)).join(':');
}
