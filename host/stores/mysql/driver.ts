import type { BedsError } from '@beds/sdk';
import mysql, { type ConnectionOptions } from 'mysql2';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';
import type { StoreCapabilities } from '../contract.js';

/** What the driver tells of a result column, as far as we read it. */
export interface DriverField {
  readonly name: string;
  readonly columnType?: number;
  readonly columnLength?: number;
  readonly characterSet?: number;
  /** `json`, where MariaDB says that the text is JSON. */
  readonly extendedFormat?: string;
}

const JSON_TEXT = 245;

/** Whether the server says that the text is JSON. */
export function isJsonField({ columnType, extendedFormat }: DriverField): boolean {
  return columnType === JSON_TEXT || extendedFormat === 'json';
}

/** What a statement without rows answers. */
export interface DriverHeader {
  readonly affectedRows: number;
  readonly serverStatus: number;
}

export type DriverRow = Record<string, unknown>;
export type DriverResult = DriverHeader | DriverRow[] | (DriverHeader | DriverRow[])[];
export type DriverFields = readonly DriverField[] | readonly (readonly DriverField[] | undefined)[] | undefined;
type Answer = (error: Error | null, result: DriverResult, fields: DriverFields) => void;

/** n.b. what a statement has brought so far, which the driver's interface does not show. */
export interface DriverCommand {
  readonly _rows: readonly (DriverRow[] | DriverHeader)[];
  readonly _fields: readonly (readonly DriverField[] | undefined)[];
}

/** The part of a mysql2 connection that we use. */
export interface DriverConnection {
  readonly threadId: number;
  readonly stream: { destroy(): void; on(event: 'data', listener: (chunk: Buffer) => void): unknown };
  execute(sql: string, values: readonly unknown[], done: Answer): DriverCommand;
  query(sql: string, done: Answer): unknown;
  reset(done: (error: Error | null) => void): unknown;
  end(done: (error: Error | null) => void): unknown;
  destroy(): void;
  on(event: 'error' | 'end', listener: () => void): unknown;
  once(event: 'connect', listener: () => void): unknown;
  once(event: 'error', listener: (error: Error) => void): unknown;
}

/** Runs text of our own, without values. */
export function query(connection: DriverConnection, sql: string): Promise<DriverResult> {
  return new Promise((resolve, reject) => {
    connection.query(sql, (error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}

export type Connect = () => DriverConnection;

// Every statement's text is ours and names one object; what varies is the shape of a view query.
const MAX_PREPARED_STATEMENTS = 256;
const DATABASE = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const TLS: Readonly<Record<string, NonNullable<ConnectionOptions['ssl']> | undefined>> = {
  disabled: undefined,
  required: { rejectUnauthorized: false },
  // https://sidorares.github.io/node-mysql2/docs/examples/connections/create-connection#ssl
  'verify-ca': { rejectUnauthorized: true },
  'verify-identity': { rejectUnauthorized: true, verifyIdentity: true },
};

export interface Endpoint {
  readonly database: string;
  readonly connect: Connect;
}

/**
 * Reads `mysql://user:password@host:port/database?tls=disabled|required|verify-ca|verify-identity` (or `mariadb://`).
 * Only `tls` is taken from the query: the driver's own options would let a URL switch safeguards off.
 * Throws BEDS_STORE_URL_INVALID, without any part of the URL.
 */
export function readEndpoint(store: string, config: StoreConfig): Endpoint {
  const url = URL.canParse(config.url) ? new URL(config.url) : undefined;
  if (url === undefined || !/^(mysql|mariadb):$/.test(url.protocol)) throw refuseUrl(store, 'is not a mysql:// URL');
  const database = decodeURIComponent(url.pathname.slice(1));
  if (!DATABASE.test(database)) throw refuseUrl(store, 'names no database after the slash');
  const tls = url.searchParams.get('tls') ?? 'disabled';
  if (!Object.hasOwn(TLS, tls)) throw refuseUrl(store, `has an unknown tls; known are ${Object.keys(TLS).join(', ')}`);
  const ssl = TLS[tls];
  const options: ConnectionOptions = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 3306 : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database,
    connectTimeout: config.connectTimeoutMs,
    charset: 'utf8mb4',
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    // n.b. what the driver cannot parse ends its connection.
    jsonStrings: true,
    maxPreparedStatements: MAX_PREPARED_STATEMENTS,
    // n.b. without it mysql2 offers the server to read local files, which BEDS never does.
    flags: ['-LOCAL_FILES'],
    ...(ssl === undefined ? {} : { ssl: { ...(ssl as object) } }),
  };
  return { database, connect: () => mysql.createConnection(options) as unknown as DriverConnection };
}

function refuseUrl(store: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_URL_INVALID', `The URL of the store ${store} ${problem}.`);
}

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

type Code = Parameters<typeof storeErrors.make>[0];

/** The part of a mysql2 error that we read. Its `message` and `sql` may quote values: they go no further than here. */
interface ServerError {
  readonly errno?: number;
  readonly code?: string;
  readonly sqlState?: string;
  readonly sqlMessage?: string;
  readonly message?: string;
}

// Numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/ and
// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
const BY_NUMBER: readonly (readonly [Code, readonly number[]])[] = [
  ['BEDS_STORE_CONFLICT', [1022, 1062, 1169, 1451, 1452, 1557, 1586, 1761, 1762]],
  [
    'BEDS_STORE_INVALID_VALUE',
    [1048, 1263, 1264, 1265, 1267, 1292, 1364, 1366, 1367, 1406, 1411, 1441, 1690, 3140, 3819, 3854, 3988, 4025, 4078],
  ],
  ['BEDS_STORE_DENIED', [1044, 1045, 1142, 1143, 1227, 1370, 1410, 1419, 1698, 1792]],
  ['BEDS_STORE_OBJECT_CHANGED', [1054, 1146, 1305, 1318, 1347, 1356, 1412, 1449]],
  ['BEDS_STORE_DEADLOCK', [1020, 1205, 1213, 3058, 3572]],
  ['BEDS_STORE_TIMEOUT', [1028, 1317, 1969, 3024]],
  [
    'BEDS_STORE_UNAVAILABLE',
    [1040, 1049, 1053, 1077, 1079, 1129, 1130, 1203, 1226, 1290, 1836, 1927, 2002, 2006, 2013],
  ],
];
const CODES = new Map<number, Code>(BY_NUMBER.flatMap(([code, numbers]) => numbers.map((n) => [n, code] as const)));
const CANNOT_WRITE_IN_READ_ONLY = 1792;
const SHUTDOWN = 1053;
const KILLED = 1927;
const MAX_REFUSAL_CHARACTERS = 256;

/**
 * The connection is gone and with it the answer: what was sent may or may not have been done. n.b. a server that shuts down says
 * so of a statement that it kills, be it after its COMMIT.
 */
export function isConnectionLoss(error: unknown): boolean {
  const { errno, message } = error as ServerError;
  // A command that mysql2 refused to send was certainly not done.
  if (message?.startsWith("Can't add new command") === true) return false;
  return errno === undefined || errno < 1000 || errno === KILLED || errno === SHUTDOWN;
}

const NO_SUCH_SAVEPOINT = 1305;

/** n.b. the same number says of a routine that it is not there. */
export function isSavepointLost(error: unknown): boolean {
  const { errno, sqlMessage } = error as ServerError;
  return errno === NO_SUCH_SAVEPOINT && sqlMessage?.startsWith('SAVEPOINT') === true;
}

/** The catalogued error for what the driver reported, without anything of the request in it. */
export function toStoreError(error: unknown, args: readonly string[] = []): BedsError {
  const { errno, sqlState, sqlMessage, code } = error as ServerError;
  if (sqlState === '45000' && errno !== undefined && CODES.get(errno) === undefined) return refused(sqlMessage ?? '');
  if (errno === CANNOT_WRITE_IN_READ_ONLY) {
    return storeErrors.make('BEDS_STORE_DENIED', 'A read may not call an object that writes.');
  }
  if (errno === undefined || errno < 1000) {
    const reason = typeof code === 'string' && /^[A-Z_]{1,40}$/.test(code) ? ` (${code})` : '';
    return storeErrors.make('BEDS_STORE_UNAVAILABLE', `The database cannot be reached${reason}.`);
  }
  const mapped = CODES.get(errno);
  if (mapped === 'BEDS_STORE_INVALID_VALUE') {
    const field = columnOf(sqlMessage ?? '', args);
    return storeErrors.make(mapped, undefined, field === undefined ? {} : { field });
  }
  if (mapped !== undefined) return storeErrors.make(mapped);
  return storeErrors.make('BEDS_STORE_FAULT', `The database reported error ${errno} (${sqlState ?? 'no state'}).`);
}

/** SIGNAL SQLSTATE '45000' is how a routine talks to the caller: https://mariadb.com/kb/en/signal/ */
function refused(text: string): BedsError {
  const clean = text.replace(/\p{C}/gu, ' ').slice(0, MAX_REFUSAL_CHARACTERS).trim();
  return storeErrors.make('BEDS_STORE_REFUSED', clean === '' ? undefined : clean);
}

// The text around the name may quote a value, so a name counts only if the object has an argument of that name.
function columnOf(text: string, args: readonly string[]): string | undefined {
  const match =
    /(?:column|parameter) (?:`[^`]*`\.`[^`]*`\.)?[`']([A-Za-z_][A-Za-z0-9_]{0,63})[`'](?: at row \d+)?$/.exec(text);
  return match?.[1] !== undefined && args.includes(match[1]) ? match[1] : undefined;
}
