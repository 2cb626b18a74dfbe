import { join } from 'node:path';
import type { LaunchPlan, ServerPlace } from '../contract.js';
import { LOOPBACK } from '../free-port.js';
import { makePrivateFolder } from '../private-file.js';
import { probeMongodb } from './probe.js';

export function mongodbUrl(port: number): string {
  return `mongodb://${LOOPBACK}:${String(port)}/beds?directConnection=true`;
}

/** https://www.mongodb.com/docs/manual/reference/program/mongod/#options */
export function planMongod(program: string, place: ServerPlace): LaunchPlan {
  const [port = 0] = place.ports;
  const data = makePrivateFolder(join(place.folder, 'data-mongod'));
  const url = mongodbUrl(port);
  const network = ['--bind_ip', LOOPBACK, '--port', String(port), '--nounixsocket'];
  const args = ['--dbpath', data, ...network, '--wiredTigerCacheSizeGB', '0.25'];
  const env = { PATH: '/usr/bin:/bin', HOME: place.folder, LC_ALL: 'C' };
  return {
    url,
    port,
    commands: [{ command: program, args, env, cwd: place.folder }],
    probe: () => probeMongodb(url, port),
  };
}
