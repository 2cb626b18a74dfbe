import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ProvisionOptions } from '../contract.js';
import { findProgram, searchPath } from '../provision/find-program.js';
import { runChecked } from '../provision/run-command.js';
import { libraryPath } from '../provision/unpacked-packages.js';

export interface MariadbPrograms {
  readonly server: string;
  /** Folder that holds share/: the prefix it was built for, or the one it was unpacked into. */
  readonly base: string;
  /** Folder with the error messages and the SQL of the system tables. */
  readonly share: string;
  readonly env: Readonly<Record<string, string>>;
}

const SHARES = ['share/mariadb', 'share/mysql', 'share'];
const SYSTEM_TABLES = ['mariadb_system_tables.sql', 'mysql_system_tables.sql'];

export function inUnpacked(root: string): MariadbPrograms {
  const base = join(root, 'usr');
  const server = findProgram(['mariadbd', 'mysqld'], [join(base, 'sbin')]) ?? join(base, 'sbin', 'mariadbd');
  return { server, base, share: findShare(base), env: { LD_LIBRARY_PATH: libraryPath(root) } };
}

export function findInstalled(options: ProvisionOptions): MariadbPrograms | undefined {
  const server = findProgram(['mariadbd', 'mysqld'], searchPath(options));
  if (server === undefined) return undefined;
  const base = dirname(dirname(realpathSync(server)));
  return { server, base, share: findShare(base), env: {} };
}

/** Whether the server is Oracle's MySQL, which makes its first data itself. */
export async function isMysql(programs: MariadbPrograms): Promise<boolean> {
  const args = ['--no-defaults', '--version'];
  const text = await runChecked(programs.server, { args, timeoutMs: 20_000, env: { ...process.env, ...programs.env } });
  return !text.includes('MariaDB');
}

/** The files that make the system tables, in the order in which MariaDB's own installer reads them. */
export function systemTableFiles(share: string): readonly string[] {
  const parts = ['system_tables', 'performance_tables', 'system_tables_data'];
  const named = parts.map((part) => [`mariadb_${part}.sql`, `mysql_${part}.sql`]);
  const all = [...named, ['maria_add_gis_sp_bootstrap.sql'], ['mariadb_sys_schema.sql', 'mysql_sys_schema.sql']];
  const found = all.map((names) => names.map((name) => join(share, name)).find((file) => existsSync(file)));
  return found.filter((file) => file !== undefined);
}

function findShare(base: string): string {
  const folders = SHARES.map((each) => join(base, each));
  return folders.find((folder) => SYSTEM_TABLES.some((name) => existsSync(join(folder, name)))) ?? join(base, 'share');
}
