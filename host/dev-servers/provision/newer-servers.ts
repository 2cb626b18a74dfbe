import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { servicesErrors } from '../../errors/dev-servers.js';
import type { NewerServer, ServiceName } from '../contract.js';
import { runCommand } from './programs.js';

const newerRabbitmq: NewerServer = { title: 'RabbitMQ 4', packageName: 'rabbitmq-server', version: /^4\./ };

/** Servers newer than those of the system, by the names that BEDS_SERVERS and `npm test -- --servers` take. MongoDB's is the same in each. */
export const newerServers: Readonly<Record<string, Readonly<Partial<Record<ServiceName, NewerServer>>>>> = {
  'mysql-9': {
    rabbitmq: newerRabbitmq,
    mariadb: { title: 'MySQL 9', packageName: 'mysql-server-core', version: /^9\./ },
  },
  'mariadb-11': {
    rabbitmq: newerRabbitmq,
    mariadb: { title: 'MariaDB 11', packageName: 'mariadb-server-core', version: /^11\..*MariaDB/ },
  },
};

/** The server in the place of `name`; undefined where the system's own does. Throws BEDS_SERVICES_SET_UNKNOWN. */
export function newerServer(set: string | undefined, name: ServiceName): NewerServer | undefined {
  if (set === undefined || set === '') return undefined;
  const servers = newerServers[set];
  if (servers !== undefined) return servers[name];
  const known = Object.keys(newerServers).join(' and ');
  throw servicesErrors.make('BEDS_SERVICES_SET_UNKNOWN', `There are no servers named ${set}; there are ${known}.`);
}

const DEBIAN_KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** A list of sources for apt: Debian unstable, from where this system has its own release. */
export async function debianUnstable(signal: AbortSignal): Promise<string> {
  const format = '$(CREATED_BY) $(COMPONENT) $(ORIGIN) $(REPO_URI)';
  const text = await runCommand('apt-get', { args: ['indextargets', '--format', format], timeoutMs: 30_000, signal });
  // n.b. where no list was downloaded yet, it does not know the origin.
  const [, uri] = /^Packages main (?:Debian|\$\(ORIGIN\)) (\S+\/debian\/?)$/m.exec(text) ?? [];
  if (uri === undefined || !existsSync(DEBIAN_KEYS)) {
    const words =
      'It is unpacked from packages of Debian unstable, and this system does not have its packages from Debian.';
    throw servicesErrors.make('BEDS_SERVICES_UNAVAILABLE', words);
  }
  return `deb [signed-by=${DEBIAN_KEYS}] ${uri} unstable main\n`;
}

/** Beside each wrapper, the program that it runs. */
const PROGRAMS = '.programs';
const LOADER = /^\x7fELF[^]*?\/(lib\w*\/ld-linux[\w.-]+)\0/;
const HEAD_BYTES = 4_096;

/**
 * Makes each program of an unpacked tree run with the tree's own loader and C library, wherever the tree is and whoever
 * runs it: no root, chroot or namespace. LD_LIBRARY_PATH cannot do that: a newer C library does not work with the system's
 * loader, which comes first. What such a program starts in turn runs with the system's, as before.
 */
export function giveOwnLoader(root: string): void {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { parentPath: folder, name } of files) {
    if (/\.so\b/.test(name)) continue;
    const file = join(folder, name);
    const loader = loaderOf(file);
    if (loader === undefined) continue;
    mkdirSync(join(folder, PROGRAMS), { recursive: true });
    renameSync(file, join(folder, PROGRAMS, name));
    writeFileSync(file, wrapper(relative(folder, root), loader), { mode: 0o755 });
  }
}

/** Undefined for what is no program. A program names its loader right behind the header of its file. */
function loaderOf(file: string): string | undefined {
  const head = Buffer.alloc(HEAD_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, head);
  } finally {
    closeSync(descriptor);
  }
  return LOADER.exec(head.toString('latin1'))?.[1];
}

// https://man7.org/linux/man-pages/man8/ld.so.8.html
function wrapper(root: string, loader: string): string {
  return `#!/bin/sh
here="\${0%/*}"
for libraries in "$here/${root}"/usr/lib/*-linux-gnu*; do :; done
exec "$here/${root}/usr/${loader}" --library-path "$libraries" --argv0 "$0" "$here/${PROGRAMS}/\${0##*/}" "$@"
`;
}
