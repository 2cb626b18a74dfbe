import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { servicesErrors } from '../../errors/services.js';
import { makePrivateFolder } from '../private-file.js';
import { runChecked } from '../provision/run-command.js';
import { systemTableFiles } from './programs.js';
import type { MariadbPrograms } from './programs.js';

const BOOTSTRAP_TIMEOUT_MS = 60_000;

export interface FirstData {
  readonly programs: MariadbPrograms & { readonly kind: 'mariadb' | 'mysql' };
  readonly data: string;
  /** Options of the server that also hold while it makes its first data. */
  readonly options: readonly string[];
}

/** Makes the system tables, once. An interrupted attempt leaves nothing that is taken for data. */
export async function makeFirstData(request: FirstData): Promise<void> {
  if (existsSync(request.data)) return;
  const draft = `${request.data}.draft`;
  rmSync(draft, { recursive: true, force: true });
  makePrivateFolder(draft);
  const { programs } = request;
  const args = [...request.options, `--datadir=${draft}`];
  const common = { timeoutMs: BOOTSTRAP_TIMEOUT_MS, env: { ...process.env, ...programs.env } };
  if (programs.kind === 'mysql') {
    await runChecked(programs.server, { ...common, args: [...args, '--initialize-insecure'] });
  } else {
    const bootstrap = ['--bootstrap', '--silent-startup', '--log-warnings=0', '--enforce-storage-engine='];
    const sizes = ['--max_allowed_packet=8M', '--net_buffer_length=16K'];
    const input = bootstrapSql(programs.share);
    await runChecked(programs.server, { ...common, args: [...args, ...bootstrap, ...sizes], input });
  }
  renameSync(draft, request.data);
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
