import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import type { CheckedArgument } from '#sdk/spec';
import { dbaErrors } from '../../errors/dba.js';
import {
  comparesField,
  isScratchName,
  type Proved,
  type ScratchDatabase,
  scratchMysql,
  scratchName,
  type Tried,
} from './scratch-data.js';

/** n.b. `_` stands for any character there. */
const PATTERN = String.raw`beds\_prove\_%`;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Whoever has a scratch schema holds a lock of its name, which the server takes away when he is gone, however that came about: by it
 * the next one knows what was left behind, and drops that first.
 */
export async function openScratchDatabase(adminUrl: string, domain: string): Promise<ScratchDatabase> {
  const name = scratchName(domain);
  const uri = adminUrl.replace(/^mariadb:/, 'mysql:');
  let dba: Connection;
  try {
    // n.b. the database that the URL names is not needed, and may not be there.
    const server = Object.assign(new URL(uri), { pathname: '/' }).href;
    dba = await createConnection({ uri: server, multipleStatements: true, connectTimeout: CONNECT_TIMEOUT_MS });
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
  const accounts = new Set<string>();
  try {
    await dropLeftOvers(dba);
    await dba.query('SELECT GET_LOCK(?, 0)', [name]);
    await dba.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
    await dba.query(`USE ${name}`);
    const [[version]] = await dba.query<RowDataPacket[]>('SELECT VERSION() AS version');
    return {
      ...{ server: String(version?.['version']), data: scratchMysql(dba) },
      lacks: (proved) => lacksZone(dba, proved),
      privileges: (runtimeUrl) => grantFailures({ dba, name }, runtimeUrl),
      plans: (proved) => explainQueries(dba, proved),
      url: Object.assign(new URL(uri), { pathname: `/${name}` }).href,
      noteAccount: (user) => void accounts.add(user),
      drop: async () => {
        await dropDatabase(dba, name, [...accounts]);
        await dba.end();
      },
    };
  } catch (cause) {
    await dba.end().catch(() => undefined);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw dbaErrors.make('BEDS_DBA_APPLY_FAILED', `A schema to prove in could not be made: ${reason}`, { cause });
  }
}

/** What asks for days and times of day is refused by a server that does not know the zone. */
async function lacksZone(dba: Connection, { specification, folder }: Proved): Promise<string | undefined> {
  const { zone } = specification.source;
  const usesZone = readdirSync(join(folder, 'db')).some((name) =>
    readFileSync(join(folder, 'db', name), 'utf8').includes('CONVERT_TZ'),
  );
  if (!usesZone) return undefined;
  const [[row]] = await dba.query<RowDataPacket[]>("SELECT CONVERT_TZ('2026-07-01', '+00:00', ?) AS local", [zone]);
  return row?.['local'] === null ? `The server does not know the time zone ${zone}. ${ZONES}` : undefined;
}

const ZONES = 'Fill its tables: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql';

async function dropLeftOvers(dba: Connection): Promise<void> {
  const [rows] = await dba.query<RowDataPacket[]>(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE ?',
    [PATTERN],
  );
  for (const row of rows) {
    const name = String(row['name']);
    if (!isScratchName(name)) continue;
    const [[lock]] = await dba.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS mine', [name]);
    if (lock?.['mine'] !== 1) continue;
    await dropDatabase(dba, name, []);
    await dba.query('SELECT RELEASE_LOCK(?)', [name]);
  }
}

/** With the accounts that may do something in it. n.b. an administrator of few rights may not see them: they can do nothing afterwards. */
async function dropDatabase(dba: Connection, name: string, known: readonly string[]): Promise<void> {
  const asked = ['mysql.procs_priv', 'mysql.tables_priv'].map(async (table) => {
    const sql = `SELECT DISTINCT User AS user, Host AS host FROM ${table} WHERE Db = ?`;
    const [rows] = await dba.query<RowDataPacket[]>(sql, [name]);
    return rows as unknown as readonly { readonly user: string; readonly host: string }[];
  });
  const found = (await Promise.allSettled(asked)).flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  const accounts = [
    ...found.filter(({ user }) => user.startsWith('beds_')),
    ...known.map((user) => ({ user, host: '%' })),
  ];
  for (const { user, host } of accounts)
    await dba.query(`DROP USER IF EXISTS ${dba.escape(user)}@${dba.escape(host)}`).catch(() => undefined);
  await dba.query(`DROP DATABASE IF EXISTS ${dba.escapeId(name)}`);
}

/* Privileges */

/** Denied: table, database, command, routine, privilege. */
const DENIED: readonly number[] = [1044, 1045, 1142, 1143, 1227, 1370, 1410, 1049];

/** What the runtime account can do and must not. */
async function grantFailures(
  { dba, name }: { readonly dba: Connection; readonly name: string },
  runtimeUrl: string,
): Promise<Tried> {
  const [tables] = await dba.query<RowDataPacket[]>("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'");
  const [routines] = await dba.query<RowDataPacket[]>(
    `SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS kind FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? AND ROUTINE_NAME LIKE '\\_%'`,
    [name],
  );
  const id = (text: unknown): string => dba.escapeId(String(text));
  const statements = [
    ...tables.flatMap((row) => {
      const table = id(Object.values(row)[0]);
      return [`SELECT 1 FROM ${table} LIMIT 0`, `DELETE FROM ${table} WHERE 1 = 0`, `DROP TABLE ${table}`];
    }),
    ...routines.map(({ name: routine, kind }) =>
      kind === 'FUNCTION' ? `SELECT ${id(routine)}()` : `CALL ${id(routine)}()`,
    ),
    'CREATE TABLE beds_may (id INT)',
    'CREATE PROCEDURE beds_may() BEGIN END',
    'SELECT 1 FROM mysql.user LIMIT 0',
    `GRANT SELECT ON ${id(name)}.* TO CURRENT_USER()`,
  ];
  const connection = await createConnection({ uri: runtimeUrl, connectTimeout: CONNECT_TIMEOUT_MS });
  const failures: string[] = [];
  try {
    for (const sql of statements) failures.push(...(await whyAllowed(connection, sql)));
  } finally {
    await connection.end();
  }
  return { tried: statements.length, failures };
}

async function whyAllowed(connection: Connection, sql: string): Promise<readonly string[]> {
  try {
    await connection.query(sql);
    return [`The runtime account may do this: ${sql}`];
  } catch (error) {
    const { errno, message } = error as { readonly errno?: number; readonly message: string };
    return DENIED.includes(errno ?? 0) ? [] : [`${sql} is not denied, but fails: ${message}`];
  }
}

/* Plans */

/**
 * How the server would read for each query of the specification. n.b. a small table may be read whole all the same: what counts is whether there
 * is an index that could serve. Where one is promised and none could, that is a failure; else it is told of.
 */
async function explainQueries(
  dba: Connection,
  { specification, folder }: Proved,
): Promise<Tried & { readonly notices: readonly string[] }> {
  const files = readdirSync(join(folder, 'db'));
  const [failures, notices]: [string[], string[]] = [[], []];
  let tried = 0;
  for (const query of specification.queries) {
    // n.b. what has no condition reads everything, as it must.
    const file = files.find((each) => new RegExp(`^\\d+-procedure-\\w+_${query.name}\\.sql$`).test(each));
    if (query.where.length === 0 || file === undefined) continue;
    const text = explaining(readFileSync(join(folder, 'db', file), 'utf8'));
    const plan = text === undefined ? undefined : await planOf(dba, text, query.args);
    if (plan === undefined) continue;
    tried += 1;
    const isPromised = query.where.some(comparesField);
    const tables = plan.filter(
      ({ type, possible_keys: could, table }) => type === 'ALL' && could === null && !String(table).startsWith('<'),
    );
    const words = tables.map(
      ({ table }) => `The query ${query.name} reads every row of ${String(table)}: no index serves its conditions.`,
    );
    (isPromised ? failures : notices).push(...words);
  }
  await dba.query('DROP PROCEDURE IF EXISTS beds_plan');
  return { tried, failures, notices };
}

/** Undefined where a rule of the query refuses these arguments. */
async function planOf(
  dba: Connection,
  text: string,
  args: readonly CheckedArgument[],
): Promise<readonly RowDataPacket[] | undefined> {
  await dba.query(text);
  const marks = parameterCount(text);
  // n.b. behind its arguments it may have who calls, with no roles.
  const values = [...args.map(sampleOf), ...Array.from({ length: marks }, () => '[]')].slice(0, marks);
  try {
    const [sets] = await dba.query<RowDataPacket[][]>(`CALL beds_plan(${values.map(() => '?').join(', ')})`, values);
    return sets[0] ?? [];
  } catch {
    return undefined;
  }
}

/** The procedure of a query, which explains instead of reading. n.b. its own SELECT stands at the first level of its body. */
function explaining(text: string): string | undefined {
  const named = text
    .replace(/DROP PROCEDURE IF EXISTS \w+;/, 'DROP PROCEDURE IF EXISTS beds_plan;')
    .replace(/CREATE PROCEDURE \w+\(/, 'CREATE PROCEDURE beds_plan(');
  const at = named.lastIndexOf('\n  SELECT\n');
  if (at < 0) return undefined;
  return `${named.slice(0, at)}\n  EXPLAIN FORMAT=TRADITIONAL SELECT\n${named.slice(at + '\n  SELECT\n'.length)}`;
}

function parameterCount(text: string): number {
  return (/CREATE PROCEDURE beds_plan\(([\s\S]*?)\n?\)\n {2}SQL SECURITY/.exec(text)?.[1]?.match(/^ *IN /gm) ?? [])
    .length;
}

function sampleOf({ type }: CheckedArgument): string | number {
  switch (type.kind) {
    case 'date':
      return '2026-01-31';
    case 'timestamp':
      return '2026-01-31 18:30:00';
    case 'time':
      return '18:30:00';
    case 'enum':
      return type.values[0] ?? '';
    case 'list':
    case 'objects':
      return '[]';
    case 'json':
      return '{}';
    default:
      return 1;
  }
}
