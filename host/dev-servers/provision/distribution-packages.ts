import {
  mkdtempSync,
  rmSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import type { ServiceContext } from '../contract.js';
import { findProgram, searchPath, subfolders, runCommand } from './programs.js';
import { debianUnstable, giveOwnLoader } from './newer-servers.js';
import { cacheFolder, cachedFolder } from './package-cache.js';
import { withLock } from '../server-folder.js';

const UNPACK_TIMEOUT_MS = 120_000;
/** For a `check`, which takes a moment on an idle machine. */
export const CHECK_TIMEOUT_MS = 120_000;
/** Of another release than the system's own, these would break every program that finds them in LD_LIBRARY_PATH. */
const NEVER_UNPACKED = /^(libc6|libc-bin|libgcc-s1|libstdc\+\+6)_/;

/** What is unpacked, where to, and who is told. */
export interface UnpackContext extends Omit<ServiceContext, 'name'> {
  /** Of its folder in the cache. */
  readonly name: string;
}

/** A server, or another program, that distributions have packages of. */
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
 * Unpacks a package of the distribution, and those it needs that are not installed, into the user's cache; of Debian
 * unstable all that it needs, down to the C library. The same for root and for a plain user. Undefined where packages
 * cannot be unpacked.
 */
export async function unpackedPrograms<Programs>(
  context: UnpackContext,
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
  const entry = { cache, key: context.newer?.packageName.concat('-unstable') ?? context.name, context, isDamaged };
  return programsOf(await cachedFolder(entry, (draft) => fill(draft, context, server)));
}

async function fill<Programs>(draft: string, context: UnpackContext, server: PackagedServer<Programs>): Promise<void> {
  const work = mkdtempSync(join(draft, 'apt-'));
  const { signal, newer } = context;
  const lists = join(cacheFolder(context), newer === undefined ? 'apt-lists' : 'apt-lists-unstable');
  const ignoreInstalled = newer === undefined ? server.together : /./;
  const sources = newer === undefined ? undefined : await debianUnstable(signal);
  const apt = new PrivateApt({ folder: work, lists, ignoreInstalled, sources, signal });
  const files = await download(apt, context, newer === undefined ? server.names : [newer.packageName]);
  context.progress('unpacking', `unpacking ${context.title}`);
  const root = join(draft, 'root');
  for (const file of files) {
    if (newer === undefined && NEVER_UNPACKED.test(basename(file))) continue;
    await runCommand('dpkg-deb', { args: ['-x', file, root], timeoutMs: UNPACK_TIMEOUT_MS, signal });
  }
  if (newer !== undefined) giveOwnLoader(root);
  server.finish?.(root);
  await server.check(server.programsIn(root));
  rmSync(work, { recursive: true, force: true });
}

async function download(apt: PrivateApt, context: UnpackContext, names: readonly string[]): Promise<readonly string[]> {
  if (apt.usesSystemLists) {
    try {
      return await downloadFirst(apt, context, names);
    } catch (error) {
      if (context.signal.aborted) throw error;
    }
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
  context: UnpackContext,
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

/** How unpacked programs find the shared libraries among unpacked files. Those with a loader of their own need nothing. */
export function libraryVariables(
  { newer }: Pick<ServiceContext, 'newer'>,
  root: string,
): Readonly<Record<string, string>> {
  if (newer !== undefined) return {};
  const parents = [join(root, 'usr', 'lib'), join(root, 'lib')];
  return { LD_LIBRARY_PATH: parents.flatMap((parent) => subfolders(parent, /-linux-(gnu|musl)/)).join(':') };
}

const UPDATE_TIMEOUT_MS = 180_000;
const RESOLVE_TIMEOUT_MS = 60_000;
const DOWNLOAD_TIMEOUT_MS = 900_000;
const LISTS_FRESH_MS = 60 * 60 * 1000;
const SYSTEM_LISTS = '/var/lib/apt/lists';
const STATUS_FILE = '/var/lib/dpkg/status';
const INSTALL = ['-y', '-qq', '--no-install-recommends', '--no-remove'];

interface PrivateAptOptions {
  /** For one use; removed by the caller. */
  readonly folder: string;
  /** Package lists of our own, shared by all uses. */
  readonly lists: string;
  /** Packages whose names match count as not installed, so that a set comes from one place. */
  readonly ignoreInstalled: RegExp;
  /** Instead of the system's sources; then only with package lists of our own. */
  readonly sources: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * apt with its state in a private folder: nothing of the system is written, no lock of it is taken, no root is needed
 * and no package is installed (so no postinst starts a daemon).
 * The options are those of https://manpages.debian.org/bookworm/apt/apt.conf.5.en.html
 */
class PrivateApt {
  readonly archives: string;
  readonly #folder: string;
  readonly #ownLists: string;
  readonly #signal: AbortSignal;
  readonly #ownSources: Readonly<Record<string, string>>;
  #lists = SYSTEM_LISTS;

  constructor({ folder, lists, ignoreInstalled, sources, signal }: PrivateAptOptions) {
    this.#folder = folder;
    this.#ownLists = lists;
    this.#signal = signal;
    this.archives = join(folder, 'cache', 'archives');
    for (const each of ['cache/archives/partial', 'parts']) mkdirSync(join(folder, each), { recursive: true });
    writeFileSync(join(folder, 'status'), installedWithout(ignoreInstalled));
    this.#copyConfiguration();
    const list = join(folder, 'sources.list');
    if (sources !== undefined) writeFileSync(list, sources);
    this.#ownSources =
      sources === undefined ? {} : { 'Dir::Etc::SourceList': list, 'Dir::Etc::SourceParts': '/dev/null' };
  }

  /** Whether the package lists in use are those of the system, which may be absent or old. */
  get usesSystemLists(): boolean {
    return this.#lists === SYSTEM_LISTS && Object.keys(this.#ownSources).length === 0;
  }

  /** Changes to package lists of our own, fetched at most once an hour. A source that fails is no error if others do not. */
  async update(onWait: (pid: number) => void): Promise<void> {
    this.#lists = this.#ownLists;
    const lock = { waitMs: UPDATE_TIMEOUT_MS, signal: this.#signal, onWait };
    await withLock(`${this.#lists}.lock`, lock, async () => {
      mkdirSync(join(this.#lists, 'partial'), { recursive: true });
      const stamp = `${this.#lists}.fetched`;
      const fetchedAt = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (Date.now() - fetchedAt < LISTS_FRESH_MS) return;
      await this.#run(['update', '-qq'], UPDATE_TIMEOUT_MS).catch((error: unknown) => {
        if (!readdirSync(this.#lists).some((name) => name.includes('_Packages'))) throw error;
      });
      writeFileSync(stamp, '');
    });
  }

  /** How many bytes the package and its missing dependencies have to download; throws when it cannot be found. */
  async downloadSize(name: string): Promise<number> {
    const text = await this.#run(['install', '--print-uris', ...INSTALL, name], RESOLVE_TIMEOUT_MS);
    const sizes = text.split('\n').map((line) => Number(/^'[^']+' \S+ (\d+)/.exec(line)?.[1] ?? 0));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Downloads (and verifies, as apt does) the package and its missing dependencies; resolves to their files. */
  async download(name: string): Promise<readonly string[]> {
    await this.#run(['install', '--download-only', ...INSTALL, name], DOWNLOAD_TIMEOUT_MS);
    const names = readdirSync(this.archives).filter((file) => file.endsWith('.deb'));
    return names.map((file) => join(this.archives, file));
  }

  #run(args: readonly string[], timeoutMs: number): Promise<string> {
    const options = {
      'Debug::NoLocking': '1',
      'Dir::State::status': join(this.#folder, 'status'),
      'Dir::State::lists': this.#lists,
      'Dir::Cache': join(this.#folder, 'cache'),
      'APT::Sandbox::User': 'root',
      'APT::Get::AllowUnauthenticated': 'false',
      ...this.#ownSources,
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const env = {
      ...process.env,
      LC_ALL: 'C',
      DEBIAN_FRONTEND: 'noninteractive',
      APT_CONFIG: join(this.#folder, 'apt.conf'),
    };
    return runCommand('apt-get', { args: [...flags, ...args], timeoutMs, env, signal: this.#signal });
  }

  // The system's settings (proxies, mirrors) hold, its hooks do not: they clean and index the system's own folders.
  // Lists of hooks can only be cleared from a file, and that file must be read last.
  #copyConfiguration(): void {
    const parts = join(this.#folder, 'parts');
    const system = '/etc/apt/apt.conf.d';
    for (const name of existsSync(system) ? readdirSync(system) : []) {
      symlinkSync(join(system, name), join(parts, name));
    }
    const hooks = ['APT::Update::Pre-Invoke', 'APT::Update::Post-Invoke', 'APT::Update::Post-Invoke-Success'];
    writeFileSync(join(parts, 'zzzz-private'), hooks.map((hook) => `#clear ${hook};\n`).join(''));
    writeFileSync(join(this.#folder, 'apt.conf'), `Dir::Etc::Parts "${parts}";\n`);
  }
}

interface InstalledPackage {
  readonly paragraph: string;
  /** Its own name and those it stands for. */
  readonly names: readonly string[];
  readonly needs: readonly string[];
}

/**
 * dpkg's list of installed packages as if those that match, and all that need them, were absent. (Without the second
 * part apt finds the rest of the system broken and refuses to resolve anything.)
 */
function installedWithout(names: RegExp): string {
  if (!existsSync(STATUS_FILE)) return '';
  const paragraphs = readFileSync(STATUS_FILE, 'utf8').split('\n\n');
  let kept = paragraphs.map(parse);
  const gone = new Set<string>();
  for (;;) {
    const next = kept.filter((each) => !names.test(each.names[0] ?? '') && !each.needs.some((need) => gone.has(need)));
    if (next.length === kept.length) return kept.map((each) => each.paragraph).join('\n\n');
    const left = new Set(next);
    for (const name of kept.flatMap((each) => (left.has(each) ? [] : each.names))) gone.add(name);
    kept = next;
  }
}

function parse(paragraph: string): InstalledPackage {
  const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(paragraph)?.[1] ?? '';
  // https://www.debian.org/doc/debian-policy/ch-relationships.html: "a (>= 1) | b, c:any"
  const list = (text: string): readonly string[] =>
    text.split(/[,|]/).map((each) => each.trim().replace(/[\s:(].*$/, ''));
  return {
    paragraph,
    names: [field('Package'), ...list(field('Provides'))].filter((name) => name !== ''),
    needs: [...list(field('Depends')), ...list(field('Pre-Depends'))].filter((name) => name !== ''),
  };
}
