import { existsSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { LaunchPlan, ServerPlace } from '../contract.js';
import { LOOPBACK } from '../free-port.js';
import { makePrivateFolder, writePrivateFile } from '../private-file.js';
import { probeRabbitmq } from './probe.js';
import type { RabbitmqPrograms } from './programs.js';

/**
 * A broker that shares nothing with another on this machine: own ports, own epmd, own cookie, own data.
 * https://www.rabbitmq.com/docs/configure#supported-environment-variables
 */
export async function planRabbitmq(programs: RabbitmqPrograms, place: ServerPlace): Promise<LaunchPlan> {
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
    probe: () => probeRabbitmq(url, port),
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
  programs: RabbitmqPrograms,
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
