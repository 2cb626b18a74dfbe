import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connect } from 'amqplib';
import type { LaunchPlan, ProvisionOptions, ServerDefinition, ServerPlace } from './contract.js';
import { LOOPBACK } from './ports.js';
import { findProgram, searchPath, subfolders, runCommand } from './provision/programs.js';
import { CHECK_TIMEOUT_MS, libraryVariables, unpackedPrograms } from './provision/distribution-packages.js';
import { makePrivateFolder, writePrivateFile } from './server-folder.js';

const CONNECT_TIMEOUT_MS = 3_000;

export const rabbitmq: ServerDefinition = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  urlVariable: 'BEDS_RABBITMQ_URL',
  // The broker's, epmd's and the one for distribution.
  portCount: 3,
  packages: {
    apt: 'rabbitmq-server',
    dnf: 'rabbitmq-server',
    apk: 'rabbitmq-server',
    pacman: 'rabbitmq',
    brew: 'rabbitmq',
  },
  install: async (context) => {
    const installed = context.newer === undefined ? findInstalled(context.provision) : undefined;
    const programs =
      installed ??
      (await unpackedPrograms(context, {
        names: ['rabbitmq-server'],
        together: /^(erlang|rabbitmq)/,
        finish: makeErlangWrappers,
        programsIn: (root) => programsIn(root, libraryVariables(context, root)),
        check: ({ erl, env }) => {
          const args = ['-noshell', '-boot', 'start_clean', '-eval', 'crypto:start(), halt(0).'];
          return runCommand(erl, { args, timeoutMs: CHECK_TIMEOUT_MS, env: { ...process.env, ...env } });
        },
      }));
    if (programs === undefined) return undefined;
    return {
      source: installed === undefined ? 'distribution-packages' : 'path',
      kind: 'rabbitmq',
      plan: (place) => Promise.resolve(plan(programs, place)),
    };
  },
};

interface Programs {
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

/** What the commands of RabbitMQ 4 are run by. */
const ESCRIPT_WRAPPER = `#!/bin/sh
ESCRIPT_EMULATOR="\${0%/*}/erl"
export ESCRIPT_EMULATOR
exec "\${0%/*}/../usr/lib/erlang/bin/escript" "$@"
`;

function makeErlangWrappers(root: string): void {
  const folder = join(root, 'beds');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'erl'), ERLANG_WRAPPER, { mode: 0o755 });
  writeFileSync(join(folder, 'escript'), ESCRIPT_WRAPPER, { mode: 0o755 });
}

function programsIn(root: string, libraries: Programs['env']): Programs {
  const runtime = subfolders(join(root, 'usr', 'lib', 'erlang'), /^erts-/).at(-1) ?? '';
  const scripts = join(root, 'usr', 'lib', 'rabbitmq', 'bin');
  return {
    erl: join(root, 'beds', 'erl'),
    epmd: join(runtime, 'bin', 'epmd'),
    server: join(scripts, 'rabbitmq-server'),
    control: join(scripts, 'rabbitmqctl'),
    env: { PATH: [join(root, 'beds'), '/usr/bin', '/bin'].join(':'), ...libraries },
  };
}

/** Installed programs; undefined unless all of them are there. */
function findInstalled(options: ProvisionOptions): Programs | undefined {
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

/**
 * A broker that shares nothing with another on this machine: own ports, own epmd, own cookie, own data.
 * https://www.rabbitmq.com/docs/configure#supported-environment-variables
 */
function plan(programs: Programs, place: ServerPlace): LaunchPlan {
  const [port = 0, epmdPort = 0, distributionPort = 0] = place.ports;
  writeConfiguration(place, port);
  const env = environment(programs, place, { epmdPort, distributionPort });
  const url = `amqp://beds:${place.password}@${LOOPBACK}:${String(port)}/beds`;
  const epmdArgs = ['-port', String(epmdPort), '-address', LOOPBACK];
  return {
    url,
    port,
    commands: [
      { command: programs.epmd, args: epmdArgs, env, cwd: place.folder },
      { command: programs.server, args: [], env, cwd: place.folder },
    ],
    control: { command: programs.control, env },
    probe: () => versionOf(url),
  };
}

function writeConfiguration(place: ServerPlace, port: number): void {
  const lines = [
    `listeners.tcp.1 = ${LOOPBACK}:${String(port)}`,
    // Made at the first start instead of `guest`. https://www.rabbitmq.com/docs/access-control#default-state
    'default_user = beds',
    `default_pass = ${place.password}`,
    'default_vhost = beds',
    'default_user_tags.administrator = true',
    'log.console = true',
    'log.console.level = info',
    'log.file = false',
  ];
  writePrivateFile(join(place.folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
  writePrivateFile(join(place.folder, 'enabled_plugins'), '[].\n');
  writePrivateFile(join(place.folder, 'environment.conf'), '');
  const home = makePrivateFolder(join(place.folder, 'home'));
  const cookie = join(home, '.erlang.cookie');
  if (!existsSync(cookie)) writePrivateFile(cookie, randomBytes(24).toString('hex'), 0o400);
}

function environment(
  programs: Programs,
  place: ServerPlace,
  ports: { readonly epmdPort: number; readonly distributionPort: number },
): Readonly<Record<string, string>> {
  const inFolder = (name: string): string => join(place.folder, name);
  return {
    ...programs.env,
    HOME: inFolder('home'),
    LANG: 'C.UTF-8',
    // With this the script becomes the broker instead of waiting for it, so that signals reach it.
    RUNNING_UNDER_SYSTEMD: 'true',
    ERL_EPMD_PORT: String(ports.epmdPort),
    ERL_EPMD_ADDRESS: LOOPBACK,
    ERL_CRASH_DUMP: '/dev/null',
    RABBITMQ_NODENAME: 'beds@localhost',
    RABBITMQ_DIST_PORT: String(ports.distributionPort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: inFolder('advanced.config'),
    RABBITMQ_CONF_ENV_FILE: inFolder('environment.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('enabled_plugins'),
    RABBITMQ_MNESIA_BASE: inFolder('data'),
    RABBITMQ_LOG_BASE: inFolder('log'),
    RABBITMQ_LOGS: '-',
  };
}

async function versionOf(url: string): Promise<string> {
  const connection = await connect(url, { timeout: CONNECT_TIMEOUT_MS });
  connection.on('error', () => undefined);
  const properties = connection.connection.serverProperties as { readonly version?: string };
  await connection.close().catch(() => undefined);
  return properties.version ?? 'unknown';
}
