import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { sleep } from '#sdk/time';
import type {
  InstalledServer,
  LaunchPlan,
  ServerCommand,
  ServerDefinition,
  ServerPlace,
  ServiceContext,
} from './contract.js';
import { javaCommand, provideJavaServer } from './mongo-java-server.js';
import { LOOPBACK } from './ports.js';
import { findProgram, searchPath } from './provision/programs.js';
import { cacheFolder } from './provision/package-cache.js';
import { makePrivateFolder, readJson, writePrivateFile } from './server-folder.js';

const PROBE_TIMEOUT_MS = 3_000;
/** Without a byte for this long the download counts as impossible here. */
const STALL_TIMEOUT_MS = 15_000;
const TOTAL_TIMEOUT_MS = 600_000;
const ASK_AGAIN_AFTER_MS = 24 * 60 * 60 * 1000;

/** Prints the program's path as its last line; downloads it first when it is not there. */
const SCRIPT = `
const { MongoBinary } = require(process.argv[1]);
MongoBinary.getPath({ downloadDir: process.argv[2] }).then(
  (path) => console.log('\\nmongod=' + path),
  (error) => { console.error(error.message); process.exit(1); },
);`;

export const mongodb: ServerDefinition = {
  name: 'mongodb',
  title: 'MongoDB',
  urlVariable: 'BEDS_MONGODB_URL',
  portCount: 1,
  // MongoDB itself is in no distribution's archive; a JDK and Maven are what the server in its place needs.
  packages: {
    apt: 'default-jdk-headless maven',
    dnf: 'java-17-openjdk-devel maven',
    apk: 'openjdk17 maven',
    pacman: 'jdk-openjdk maven',
    brew: 'openjdk maven',
  },
  install: async (context) => {
    const found = findProgram(['mongod'], searchPath(context.provision));
    if (found !== undefined) return mongod('path', found);
    const downloaded = await downloadMongod(context);
    if (downloaded !== undefined) return mongod('mongodb-memory-server', downloaded);
    const server = await provideJavaServer(context);
    if (server === undefined) return undefined;
    const source = 'mongo-java-server';
    return { source, kind: source, plan: (place) => Promise.resolve(plan(place, javaCommand(server, place))) };
  },
};

function mongod(source: 'path' | 'mongodb-memory-server', program: string): InstalledServer {
  return { source, kind: 'mongod', plan: (place) => Promise.resolve(plan(place, mongodCommand(program, place))) };
}

/** https://www.mongodb.com/docs/manual/reference/program/mongod/#options */
function mongodCommand(command: string, { folder, ports: [port = 0] }: ServerPlace): ServerCommand {
  const data = makePrivateFolder(join(folder, 'data-mongod'));
  const network = ['--bind_ip', LOOPBACK, '--port', String(port), '--nounixsocket'];
  const args = ['--dbpath', data, ...network, '--wiredTigerCacheSizeGB', '0.25'];
  return { command, args, env: { PATH: '/usr/bin:/bin', HOME: folder, LC_ALL: 'C' }, cwd: folder };
}

function plan({ ports: [port = 0] }: ServerPlace, command: ServerCommand): LaunchPlan {
  const url = `mongodb://${LOOPBACK}:${String(port)}/beds?directConnection=true`;
  return { url, port, commands: [command], probe: () => versionOf(url) };
}

async function versionOf(url: string): Promise<string> {
  // Not before a server starts: who only looks for one that runs needs no driver, and it takes 0.15 s to load.
  const { MongoClient } = await import('mongodb');
  const limits = { serverSelectionTimeoutMS: PROBE_TIMEOUT_MS, connectTimeoutMS: PROBE_TIMEOUT_MS };
  const client = new MongoClient(url, limits);
  try {
    const info = await client.db('admin').command({ buildInfo: 1 });
    return String(info['version'] ?? 'unknown');
  } finally {
    await client.close().catch(() => undefined);
  }
}

/**
 * The real server by way of mongodb-memory-server-core; undefined where its archive cannot be reached, which is
 * remembered for a day.
 */
async function downloadMongod(context: ServiceContext): Promise<string | undefined> {
  const library = locateLibrary();
  if (library === undefined || context.provision.downloads === false) return undefined;
  const cache = cacheFolder(context);
  const note = join(cache, 'mongod-download-failed.json');
  const failedAt = (readJson(note) as { readonly at?: string } | undefined)?.at;
  if (failedAt !== undefined && Date.now() - Date.parse(failedAt) < ASK_AGAIN_AFTER_MS) return undefined;
  const folder = join(cache, 'mongod');
  mkdirSync(folder, { recursive: true });
  const program = await runDownload({ library, folder, context });
  if (program === undefined) {
    const at = new Date().toISOString();
    writePrivateFile(note, JSON.stringify({ at, why: 'MongoDB’s archive could not be reached' }));
    context.progress('fallback', "MongoDB's own archive cannot be reached from here; asking again in a day");
  } else rmSync(note, { force: true });
  return program;
}

function locateLibrary(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('mongodb-memory-server-core/lib/util/MongoBinary');
  } catch {
    return undefined;
  }
}

interface Download {
  readonly library: string;
  readonly folder: string;
  readonly context: ServiceContext;
}

// In a process of its own because the library has no way to stop a download, and writes to the console.
async function runDownload({ library, folder, context }: Download): Promise<string | undefined> {
  // n.b. without the first variable the library does not check the certificate of the server it downloads from; with the
  // second it compares the archive with the checksum that MongoDB publishes beside it, whatever the environment says.
  const env = { ...process.env, npm_config_strict_ssl: 'true', MONGOMS_MD5_CHECK: 'true' };
  const child = spawn(process.execPath, ['-e', SCRIPT, library, folder], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = once(child, 'close').catch(() => undefined);
  const done = new AbortController();
  const watched = watch(folder, AbortSignal.any([done.signal, context.signal]), context);
  await Promise.race([ended, watched]);
  done.abort();
  child.kill('SIGKILL');
  await ended;
  return /^mongod=(.+)$/m.exec(output)?.[1];
}

/** Resolves when nothing has arrived for too long. */
async function watch(folder: string, signal: AbortSignal, context: ServiceContext): Promise<void> {
  const startedAt = Date.now();
  let lastChangeAt = startedAt;
  let bytes = folderBytes(folder);
  let told = false;
  while (Date.now() - lastChangeAt < STALL_TIMEOUT_MS && Date.now() - startedAt < TOTAL_TIMEOUT_MS) {
    await sleep(500, signal);
    if (signal.aborted) return;
    const now = folderBytes(folder);
    if (now !== bytes) lastChangeAt = Date.now();
    // A lock file of some bytes is no download.
    if (now > 100_000 && !told) {
      context.progress('downloading', 'downloading MongoDB (first time only, about 100 MB)');
      told = true;
    }
    bytes = now;
  }
}

function folderBytes(folder: string): number {
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
  return sizes.reduce((sum, size) => sum + size, 0);
}
