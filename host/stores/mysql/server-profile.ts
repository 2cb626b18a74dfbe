import type { StoreCapabilities } from '../contract.js';
import { query } from './driver.js';
import type { DriverConnection, DriverRow } from './driver.js';

/** What the server can do, found by trying. Names of variables differ between MySQL and the MariaDB versions. */
export interface ServerProfile {
  readonly version: string;
  readonly capabilities: StoreCapabilities;
  /** The session variable that makes transactions READ ONLY. */
  readonly readOnlyVariable: string | undefined;
  /** Sets the server's own bound on statements. */
  readonly limitVariable: { readonly name: string; readonly unitMs: number } | undefined;
  /** The server says after each statement whether it left something behind in the session. */
  readonly tracksState: boolean;
  /** BEGIN NOT ATOMIC: a transaction in one round trip. https://mariadb.com/kb/en/begin-end/ */
  readonly blocks: boolean;
  /** MariaDB keeps JSON as LONGTEXT: https://mariadb.com/kb/en/json-data-type/ */
  readonly jsonIsText: boolean;
}

const READ_ONLY_VARIABLES = ['transaction_read_only', 'tx_read_only'] as const;
const LIMIT_VARIABLES = [
  { name: 'max_statement_time', unitMs: 1_000 },
  { name: 'max_execution_time', unitMs: 1 },
] as const;

export async function profileServer(connection: DriverConnection): Promise<ServerProfile> {
  const works = async (sql: string): Promise<boolean> => {
    try {
      await query(connection, sql);
      return true;
    } catch (error) {
      // Only the server's own refusal is an answer; a lost connection is not.
      if ((error as { readonly sqlState?: string }).sqlState === undefined) throw error;
      return false;
    }
  };
  const rows = (await query(connection, 'SELECT VERSION() AS version')) as DriverRow[];
  const readOnlyVariable = await first(READ_ONLY_VARIABLES, (name) => works(`SET SESSION ${name}=0`));
  const limitVariable = await first(LIMIT_VARIABLES, ({ name }) => works(`SET SESSION ${name}=0`));
  const transactions = await works('START TRANSACTION');
  // n.b. a server that refuses the block below would leave the session in this transaction, and its snapshot to its first borrowers.
  await works('ROLLBACK');
  const version = String(rows[0]?.['version']);
  return {
    version,
    jsonIsText: /mariadb/i.test(version),
    readOnlyVariable,
    limitVariable,
    tracksState: await works('SET SESSION session_track_state_change=1'),
    blocks: await works('BEGIN NOT ATOMIC START TRANSACTION; COMMIT; END'),
    capabilities: {
      transactions,
      readOnlyReads: readOnlyVariable !== undefined,
      // MySQL's max_execution_time bounds SELECT only, and KILL is refused while a routine runs as its definer.
      statementDeadline: limitVariable?.name === 'max_statement_time',
      nativeViews: true,
      // A server started with --skip-grant-tables refuses this one.
      accessControl: await works('SHOW GRANTS'),
    },
  };
}

async function first<T>(candidates: readonly T[], works: (candidate: T) => Promise<boolean>): Promise<T | undefined> {
  for (const candidate of candidates) if (await works(candidate)) return candidate;
  return undefined;
}
