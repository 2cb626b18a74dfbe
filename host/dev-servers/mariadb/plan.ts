import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LaunchPlan, ServerPlace } from '../contract.js';
import { LOOPBACK } from '../free-port.js';
import { makePrivateFolder, writePrivateFile } from '../private-file.js';
import { makeFirstData } from './first-data.js';
import type { FirstData } from './first-data.js';
import { probeMariadb } from './probe.js';

/** sun_path has 108 bytes, the last of them 0. https://man7.org/linux/man-pages/man7/unix.7.html; macOS has 104. */
const MAX_SOCKET_PATH_BYTES = 100;

export async function planMariadb(programs: FirstData['programs'], place: ServerPlace): Promise<LaunchPlan> {
  const [port = 0] = place.ports;
  const data = join(place.folder, 'data');
  // n.b. a server that starts deletes what it takes for leftovers in its temporary folder: the tables of another one that runs.
  const temporary = makePrivateFolder(join(place.folder, 'tmp'));
  const base = [...baseOptions(programs), `--tmpdir=${temporary}`];
  await makeFirstData({ programs, data, options: base });
  const startFile = join(place.folder, 'start.sql');
  writePrivateFile(startFile, startSql(place.password, programs.kind));
  const args = [...base, ...serverOptions(place, port), `--datadir=${data}`, `--init-file=${startFile}`];
  if (programs.kind === 'mysql') args.push('--mysqlx=OFF', '--skip-log-bin');
  else args.push('--skip-feedback');
  const url = `mysql://beds_admin:${place.password}@${LOOPBACK}:${String(port)}/beds`;
  const env = { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', ...programs.env };
  return {
    url,
    port,
    commands: [{ command: programs.server, args, env, cwd: place.folder }],
    probe: () => probeMariadb(url, port),
  };
}

function baseOptions(programs: FirstData['programs']): readonly string[] {
  const options = ['--no-defaults', `--basedir=${programs.base}`];
  if (programs.kind === 'mariadb') options.push(`--lc-messages-dir=${programs.share}`);
  if ('LD_LIBRARY_PATH' in programs.env) options.push(`--plugin-dir=${join(programs.base, 'lib', 'mysql', 'plugin')}`);
  // It refuses to run as root unless told to.
  if (process.getuid?.() === 0) options.push('--user=root');
  return options;
}

/** Small and quick, and no transaction is lost by kill -9 of the server (or, with flush 1, of the machine). */
function serverOptions(place: ServerPlace, port: number): readonly string[] {
  return [
    `--bind-address=${LOOPBACK}`,
    `--port=${String(port)}`,
    `--socket=${socketPath(place.folder)}`,
    `--pid-file=${join(place.folder, 'server.pid')}`,
    '--skip-name-resolve',
    '--character-set-server=utf8mb4',
    '--max-connections=400',
    '--innodb-buffer-pool-size=128M',
    '--innodb-log-file-size=48M',
    '--innodb-flush-log-at-trx-commit=1',
    '--performance-schema=OFF',
  ];
}

function socketPath(folder: string): string {
  const path = join(folder, 'server.sock');
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  return join(tmpdir(), `beds-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}.sock`);
}

/** Run at every start, one statement a line (MySQL reads it so). */
function startSql(password: string, kind: 'mariadb' | 'mysql'): string {
  const account = "'beds_admin'@'%'";
  const lines = [
    'CREATE DATABASE IF NOT EXISTS beds CHARACTER SET utf8mb4;',
    `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${password}';`,
    `ALTER USER ${account} IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON *.* TO ${account} WITH GRANT OPTION;`,
  ];
  if (kind === 'mysql') lines.push(`ALTER USER 'root'@'localhost' IDENTIFIED BY '${password}';`);
  return `${lines.join('\n')}\n`;
}
