import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RowDataPacket } from 'mysql2/promise';
import { servicesErrors } from '../errors/dev-servers.js';
import type { LaunchPlan, ProvisionOptions, ServerDefinition, ServerPlace } from './contract.js';
import { LOOPBACK } from './ports.js';
import { findProgram, searchPath, runCommand } from './provision/programs.js';
import { CHECK_TIMEOUT_MS, libraryVariables, unpackedPrograms } from './provision/distribution-packages.js';
import { makePrivateFolder, writePrivateFile } from './server-folder.js';

const CONNECT_TIMEOUT_MS = 3_000;
const BOOTSTRAP_TIMEOUT_MS = 180_000;
/** sun_path has 108 bytes, the last of them 0. https://man7.org/linux/man-pages/man7/unix.7.html; macOS has 104. */
const MAX_SOCKET_PATH_BYTES = 100;

/** MariaDB, or MySQL where that is what is installed. */
export const mariadb: ServerDefinition = {
  name: 'mariadb',
  title: 'MariaDB',
  urlVariable: 'BEDS_MARIADB_ADMIN_URL',
  portCount: 1,
  packages: { apt: 'mariadb-server', dnf: 'mariadb-server', apk: 'mariadb', pacman: 'mariadb', brew: 'mariadb' },
  install: async (context) => {
    const installed = context.newer === undefined ? findInstalled(context.provision) : undefined;
    const programs =
      installed ??
      (await unpackedPrograms(context, {
        // Older releases have the version in the name of the core package; `mariadb-server` needs the right one.
        names: ['mariadb-server-core', 'mariadb-server'],
        together: /^(mariadb|mysql)-server/,
        programsIn: (root) => programsIn(root, libraryVariables(context, root)),
        check: kindOf,
      }));
    if (programs === undefined) return undefined;
    const kind = await kindOf(programs);
    return {
      source: installed === undefined ? 'distribution-packages' : 'path',
      kind,
      title: FLAVOURS[kind].title,
      plan: (place) => plan(programs, kind, place),
    };
  },
};

/** Where the two servers differ. */
const FLAVOURS = {
  mariadb: {
    title: 'MariaDB',
    base: ({ share }: Programs): readonly string[] => [`--lc-messages-dir=${share}`],
    server: ['--skip-feedback', '--innodb-log-file-size=48M', '--performance-schema=OFF'],
    /** Feeds the server what mariadb-install-db does. */
    firstData: ({ share }: Programs) => ({
      args: [
        '--bootstrap',
        '--silent-startup',
        '--log-warnings=0',
        '--enforce-storage-engine=',
        '--max_allowed_packet=8M',
        '--net_buffer_length=16K',
      ],
      input: bootstrapSql(share),
    }),
    startSql: (_password: string): readonly string[] => [],
  },
  mysql: {
    title: 'MySQL',
    base: (): readonly string[] => ['--secure-file-priv=NULL'],
    // n.b. only there it says which variables a session has: `beds_left` asks for them.
    server: ['--mysqlx=OFF', '--skip-log-bin', '--performance-schema=ON'],
    firstData: () => ({ args: ['--initialize-insecure'], input: '' }),
    startSql: (password: string): readonly string[] => [`ALTER USER 'root'@'localhost' IDENTIFIED BY '${password}';`],
  },
} as const;

interface Programs {
  readonly server: string;
  /** Folder that holds share/: the prefix it was built for, or the one it was unpacked into. */
  readonly base: string;
  /** Folder with the error messages and the SQL of the system tables. */
  readonly share: string;
  /** Of an unpacked server, which looks for them where it would be installed. */
  readonly plugins?: string;
  readonly env: Readonly<Record<string, string>>;
}

const SHARES = ['share/mariadb', 'share/mysql', 'share'];
const SYSTEM_TABLES = ['mariadb_system_tables.sql', 'mysql_system_tables.sql'];

function programsIn(root: string, env: Programs['env']): Programs {
  const base = join(root, 'usr');
  const server = findProgram(['mariadbd', 'mysqld'], [join(base, 'sbin')]) ?? join(base, 'sbin', 'mariadbd');
  return { server, base, share: findShare(base), plugins: join(base, 'lib', 'mysql', 'plugin'), env };
}

function findInstalled(options: ProvisionOptions): Programs | undefined {
  const server = findProgram(['mariadbd', 'mysqld'], searchPath(options));
  if (server === undefined) return undefined;
  const base = dirname(dirname(realpathSync(server)));
  return { server, base, share: findShare(base), env: {} };
}

function findShare(base: string): string {
  const folders = SHARES.map((each) => join(base, each));
  return folders.find((folder) => SYSTEM_TABLES.some((name) => existsSync(join(folder, name)))) ?? join(base, 'share');
}

/** MySQL makes its first data itself and differs in some options; the programs have the same names. */
async function kindOf({ server, env }: Programs): Promise<'mariadb' | 'mysql'> {
  const args = ['--no-defaults', '--version'];
  const text = await runCommand(server, { args, timeoutMs: CHECK_TIMEOUT_MS, env: { ...process.env, ...env } });
  return text.includes('MariaDB') ? 'mariadb' : 'mysql';
}

async function plan(programs: Programs, kind: keyof typeof FLAVOURS, place: ServerPlace): Promise<LaunchPlan> {
  const [port = 0] = place.ports;
  const flavour = FLAVOURS[kind];
  const data = join(place.folder, 'data');
  // n.b. a server that starts deletes what it takes for leftovers in its temporary folder: the tables of another one that runs.
  const temporary = makePrivateFolder(join(place.folder, 'tmp'));
  const base = [...baseOptions(programs), ...flavour.base(programs), `--tmpdir=${temporary}`];
  await makeFirstData(programs, { data, base, ...flavour.firstData(programs) });
  const startFile = join(place.folder, 'start.sql');
  writePrivateFile(startFile, startSql(place.password, flavour.startSql(place.password)));
  const args = [...base, ...serverOptions(place, port), ...flavour.server];
  const url = `mysql://beds_admin:${place.password}@${LOOPBACK}:${String(port)}/beds`;
  return {
    url,
    port,
    commands: [
      {
        command: programs.server,
        args: [...args, `--datadir=${data}`, `--init-file=${startFile}`],
        env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', ...programs.env },
        cwd: place.folder,
      },
    ],
    probe: () => versionOf(url),
  };
}

function baseOptions(programs: Programs): readonly string[] {
  const options = ['--no-defaults', `--basedir=${programs.base}`];
  if (programs.plugins !== undefined) options.push(`--plugin-dir=${programs.plugins}`);
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
    '--innodb-flush-log-at-trx-commit=1',
  ];
}

function socketPath(folder: string): string {
  const path = join(folder, 'server.sock');
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  return join(tmpdir(), `beds-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}.sock`);
}

/** Run at every start, one statement a line (MySQL reads it so). */
function startSql(password: string, more: readonly string[]): string {
  const account = "'beds_admin'@'%'";
  const lines = [
    'CREATE DATABASE IF NOT EXISTS beds CHARACTER SET utf8mb4;',
    `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${password}';`,
    `ALTER USER ${account} IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON *.* TO ${account} WITH GRANT OPTION;`,
  ];
  return `${[...lines, ...more].join('\n')}\n`;
}

interface FirstData {
  readonly data: string;
  /** Options of the server that also hold while it makes its first data. */
  readonly base: readonly string[];
  readonly args: readonly string[];
  readonly input: string;
}

/** Makes the system tables, once. An interrupted attempt leaves nothing that is taken for data. */
async function makeFirstData({ server, env }: Programs, { data, base, args, input }: FirstData): Promise<void> {
  if (existsSync(data)) return;
  const draft = `${data}.draft`;
  rmSync(draft, { recursive: true, force: true });
  makePrivateFolder(draft);
  await runCommand(server, {
    args: [...base, `--datadir=${draft}`, ...args],
    input,
    timeoutMs: BOOTSTRAP_TIMEOUT_MS,
    env: { ...process.env, ...env },
  });
  renameSync(draft, data);
}

// What mariadb-install-db feeds to the server, without its help tables; the script itself needs programs of other
// packages and asks who it runs as. No account is left: the administrator is made at every start.
function bootstrapSql(share: string): string {
  const files = systemTableFiles(share);
  if (files.length < 3) {
    throw servicesErrors.make('BEDS_SERVICES_START_FAILED', `The SQL of MariaDB's system tables is not in ${share}.`);
  }
  const head = 'create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n';
  const tail = "use mysql;\nDELETE FROM global_priv WHERE User IN ('root', '');\nDELETE FROM proxies_priv;\n";
  return `${head}${files.map((file) => readFileSync(file, 'utf8')).join('\n')}\n${tail}`;
}

/** The files that make the system tables, in the order in which MariaDB's own installer reads them. */
function systemTableFiles(share: string): readonly string[] {
  const parts = ['system_tables', 'performance_tables', 'system_tables_data'];
  const named = parts.map((part) => [`mariadb_${part}.sql`, `mysql_${part}.sql`]);
  const all = [...named, ['maria_add_gis_sp_bootstrap.sql'], ['mariadb_sys_schema.sql', 'mysql_sys_schema.sql']];
  const found = all.map((names) => names.map((name) => join(share, name)).find((file) => existsSync(file)));
  return found.filter((file) => file !== undefined);
}

async function versionOf(url: string): Promise<string> {
  const { createConnection } = await import('mysql2/promise');
  const connection = await createConnection({ uri: url, connectTimeout: CONNECT_TIMEOUT_MS });
  try {
    const [rows] = await connection.query<RowDataPacket[]>({ sql: 'SELECT VERSION() AS version', timeout: 3_000 });
    return String(rows[0]?.['version'] ?? 'unknown');
  } finally {
    connection.destroy();
  }
}
