import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ProvisionOptions } from '../contract.js';
import { findProgram, searchPath, subfolders } from '../provision/find-program.js';
import { libraryPath } from '../provision/unpacked-packages.js';

export interface RabbitmqPrograms {
  readonly erl: string;
  readonly epmd: string;
  readonly server: string;
  readonly control: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Erlang's own `erl` has /usr/lib/erlang written into it; this one looks beside itself. */
const ERLANG_WRAPPER = `#!/bin/sh
ROOTDIR="$(cd "$(dirname "$0")/../usr/lib/erlang" && pwd)"
for BINDIR in "$ROOTDIR"/erts-*/bin; do :; done
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" \${1+"$@"}
`;

export function makeErlangWrapper(root: string): void {
  mkdirSync(join(root, 'beds'), { recursive: true });
  writeFileSync(join(root, 'beds', 'erl'), ERLANG_WRAPPER, { mode: 0o755 });
}

export function inUnpacked(root: string): RabbitmqPrograms {
  const runtime = subfolders(join(root, 'usr', 'lib', 'erlang'), /^erts-/).at(-1) ?? '';
  const scripts = join(root, 'usr', 'lib', 'rabbitmq', 'bin');
  return {
    erl: join(root, 'beds', 'erl'),
    epmd: join(runtime, 'bin', 'epmd'),
    server: join(scripts, 'rabbitmq-server'),
    control: join(scripts, 'rabbitmqctl'),
    env: { PATH: [join(root, 'beds'), '/usr/bin', '/bin'].join(':'), LD_LIBRARY_PATH: libraryPath(root) },
  };
}

/** Installed programs; undefined unless all of them are there. */
export function findInstalled(options: ProvisionOptions): RabbitmqPrograms | undefined {
  const path = searchPath(options);
  // The distributions' /usr/sbin/rabbitmq-server is a wrapper that changes to the account of the system's own broker.
  const plain = options.searchPath === undefined ? scriptFolders() : [];
  const erl = findProgram(['erl'], path);
  const server = findProgram(['rabbitmq-server'], [...plain, ...path]);
  if (erl === undefined || server === undefined) return undefined;
  const control = findProgram(['rabbitmqctl'], [dirname(server), ...path]);
  const epmd = findProgram(['epmd'], [...path, ...runtimeFolders(erl)]);
  if (control === undefined || epmd === undefined) return undefined;
  return { erl, epmd, server, control, env: { PATH: [dirname(erl), '/usr/bin', '/bin'].join(':') } };
}

function scriptFolders(): readonly string[] {
  const versions = subfolders('/usr/lib/rabbitmq/lib', /^rabbitmq_server-/).toReversed();
  return ['/usr/lib/rabbitmq/bin', ...versions.map((folder) => join(folder, 'sbin'))];
}

function runtimeFolders(erl: string): readonly string[] {
  const roots = ['/usr/lib/erlang', '/usr/lib64/erlang', '/usr/local/lib/erlang', dirname(dirname(erl))];
  return roots.flatMap((root) => [join(root, 'bin'), ...subfolders(root, /^erts-/).map((each) => join(each, 'bin'))]);
}
