import type { BedsError } from '@beds/sdk';
import mysql, { type ConnectionOptions } from 'mysql2';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';
import type { StoreCapabilities } from '../contract.js';
import { cleanRefusal, refusalOf } from '../refusals.js';

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
  /** How many warnings there are. */
  readonly warningStatus?: number;
}

export type DriverRow = Record<string, unknown>;
export type DriverResult = DriverHeader | DriverRow[] | (DriverHeader | DriverRow[])[];
export type DriverFields = readonly DriverField[] | readonly (readonly DriverField[] | undefined)[] | undefined;
export type Answer = (error: Error | null, result: DriverResult, fields: DriverFields) => void;

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
  query(sql: string, done: Answer): DriverCommand;
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
const KEEP_ALIVE_MS = 10_000;
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
 * Only `tls` may stand in the query: the driver's own options would let a URL switch safeguards off, and who writes `ssl=true` must not
 * be served without TLS.
 * Throws BEDS_STORE_URL_INVALID, without any part of the URL.
 */
export function readEndpoint(store: string, config: StoreConfig): Endpoint {
  const url = URL.canParse(config.url) ? new URL(config.url) : undefined;
  if (url === undefined || !/^(mysql|mariadb):$/.test(url.protocol)) throw refuseUrl(store, 'is not a mysql:// URL');
  const database = decodeURIComponent(url.pathname.slice(1));
  if (!DATABASE.test(database)) throw refuseUrl(store, 'names no database after the slash');
  const other = [...url.searchParams.keys()].find((name) => name !== 'tls');
  if (other !== undefined) {
    const name = /^[\w-]{1,40}$/.test(other) ? other : 'an option';
    throw refuseUrl(store, `has ${name}; only tls may stand after the question mark`);
  }
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
    // n.b. who waits for an answer sends nothing: of a peer that is gone only this tells, within seconds.
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    // n.b. without it mysql2 offers the server to read local files, which BEDS never does.
    flags: ['-LOCAL_FILES'],
    ...(ssl === undefined ? {} : { ssl: { ...(ssl as object) } }),
  };
  return { database, connect: () => mysql.createConnection(options) as unknown as DriverConnection };
}

function refuseUrl(store: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_URL_INVALID', `The URL of the store ${store} ${problem}.`);
}

/**
 * n.b. others change what is read (`PAD_CHAR_TO_FULL_LENGTH`, `EMPTY_STRING_IS_NULL`) or what is taken for a block (`ORACLE`), and without
 * a strict one arguments are cut to what fits. A routine has the one that it was made with.
 */
export const SQL_MODE = `sql_mode='STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`;

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
  /** The DBA's procedure `beds_left` tells how many variables are left in a session: MySQL does not show them. */
  readonly countsVariables: boolean;
  /** n.b. it keeps JSON as LONGTEXT: https://mariadb.com/kb/en/json-data-type/ */
  readonly isMariaDb: boolean;
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
  await works(`SET SESSION ${SQL_MODE}`);
  const rows = (await query(connection, 'SELECT VERSION() AS version')) as DriverRow[];
  const readOnlyVariable = await first(READ_ONLY_VARIABLES, (name) => works(`SET SESSION ${name}=0`));
  const limitVariable = await first(LIMIT_VARIABLES, ({ name }) => works(`SET SESSION ${name}=0`));
  const transactions = await works('START TRANSACTION');
  // n.b. a server that refuses the block below would leave the session in this transaction, and its snapshot to its first borrowers.
  await works('ROLLBACK');
  const version = String(rows[0]?.['version']);
  const isMariaDb = /mariadb/i.test(version);
  return {
    version,
    isMariaDb,
    countsVariables: !isMariaDb && (await works('CALL beds_left()')),
    readOnlyVariable,
    limitVariable,
    tracksState: await works('SET SESSION session_track_state_change=1'),
    // n.b. a COMMIT would be taken for a routine's own later.
    blocks: await works('BEGIN NOT ATOMIC START TRANSACTION; ROLLBACK; END'),
    capabilities: {
      transactions,
      readOnlyReads: readOnlyVariable !== undefined,
      // MySQL's max_execution_time bounds SELECT only, and KILL is refused while a routine runs as its definer.
      statementDeadline: limitVariable?.name === 'max_statement_time' || (await works('CALL beds_stop(0)')),
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

/** What MySQL says of a pattern, which may be the caller's: 3685 to 3699. */
const REGULAR_EXPRESSION = Array.from({ length: 15 }, (_, index) => 3685 + index);

// Numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/ and
// https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
const BY_NUMBER: readonly (readonly [Code, readonly number[]])[] = [
  ['BEDS_STORE_CONFLICT', [1022, 1062, 1169, 1451, 1452, 1557, 1586, 1761, 1762]],
  [
    'BEDS_STORE_INVALID_VALUE',
    [
      1048,
      1138,
      1139,
      1153,
      1263,
      1264,
      1265,
      1267,
      1270,
      1271,
      1292,
      1364,
      1365,
      1366,
      1367,
      1369,
      1406,
      1411,
      1416,
      1441,
      1526,
      1591,
      1690,
      1748,
      3037,
      3055,
      3140,
      3141,
      3150,
      3151,
      3157,
      3158,
      3616,
      3617,
      3643,
      3673,
      3819,
      3854,
      3988,
      4025,
      4078,
      6138,
      ...REGULAR_EXPRESSION,
    ],
  ],
  [
    'BEDS_STORE_DENIED',
    [1044, 1045, 1142, 1143, 1227, 1370, 1410, 1419, 1698, 1792, 1820, 1862, 3118, 3159, 3955, 4150, 4151],
  ],
  // 1176, 1191: an index that the object names or needs is not there.
  ['BEDS_STORE_OBJECT_CHANGED', [1054, 1146, 1176, 1191, 1305, 1318, 1347, 1356, 1412, 1449]],
  ['BEDS_STORE_DEADLOCK', [1020, 1205, 1213, 1614, 1615, 3058, 3101, 3572]],
  ['BEDS_STORE_TIMEOUT', [1028, 1317, 1969, 3024]],
  ['BEDS_STORE_OVERLOADED', [1037, 1038, 1041, 1135, 1206, 1461, 1637, 3170]],
  [
    'BEDS_STORE_UNAVAILABLE',
    [
      1021, 1026, 1040, 1047, 1049, 1053, 1077, 1079, 1114, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1203,
      1223, 1226, 1836, 1874, 1881, 1927, 2002, 2006, 2013, 3100, 3168, 3169, 4031,
    ],
  ],
];
const CODES = new Map<number, Code>(BY_NUMBER.flatMap(([code, numbers]) => numbers.map((n) => [n, code] as const)));
const CANNOT_WRITE_IN_READ_ONLY = 1792;
const TEMPORARY =
  'A routine that makes a temporary table and otherwise reads is called where it is declared READS SQL DATA, outside of transactions.';
const PACKET_TOO_LARGE = 1153;
const SEND_LESS =
  'Send less in one call. DBAs: max_allowed_packet of the server is the bound; new connections have a new one.';
const NO_MORE_PREPARED = 1461;
const TABLE_EXISTS = 1050;
const OPTION_PREVENTS = 1290;
/** Broken off by the server: by a shutdown, by a KILL, in the middle of a packet, or of a COMMIT. */
const BROKEN_OFF = new Set([1053, 1158, 1159, 1160, 1161, 1180, 1184, 1927, 3169]);
/** There are as many connections as the server, or the account, may have. */
const NO_MORE_CONNECTIONS = new Set([1040, 1203, 1226]);
/** Refused before anything was done, for what is the matter with this server or connection: read-only, out of the cluster, idle too long. */
const NOT_HERE = new Set([1047, 1836, 1874, 1881, 3100, 4031]);
/** SIGNAL and RESIGNAL of a condition that the server has no number of its own for. */
const SIGNALLED = new Set([1642, 1643, 1644]);

/** How the server's own texts begin, in the language that a session has: under these numbers a routine may say something else. */
const OWN_TEXTS: Readonly<Partial<Record<number, RegExp>>> = {
  1020: /^Record has changed/,
  1048: /^Column '/,
  1050: /^Table '/,
  1062: /^Duplicate entry /,
  1146: /^Table '/,
  1153: /^Got a packet bigger/,
  1205: /^Lock wait timeout/,
  1213: /^(Deadlock found|Lock deadlock|WSREP)/,
  1264: /^Out of range value/,
  1305: /^(FUNCTION|PROCEDURE|SAVEPOINT|PACKAGE)/,
  1317: /^Query execution was interrupted/,
  1406: /^Data too long/,
  1451: /^Cannot delete or update a parent row/,
  1452: /^Cannot add or update a child row/,
  1792: /^Cannot execute statement in a READ ONLY/,
  1969: /^Query( execution was)? interrupted/,
  3024: /^Query execution was interrupted/,
};

/**
 * The connection is gone, or was broken off, and with it the answer: what was sent may or may not have been done. n.b. a server that
 * shuts down says so of a statement that it kills, be it after its COMMIT.
 */
export function isConnectionLoss(error: unknown): boolean {
  const { errno, message, sqlState } = error as ServerError;
  // A command that mysql2 refused to send was certainly not done; and a routine may give its words any number.
  if (message?.startsWith("Can't add new command") === true || isOfRoutine(sqlState)) return false;
  return errno === undefined || errno < 1000 || BROKEN_OFF.has(errno);
}

const noMoreConnections = new WeakSet<object>();
const refusedToRead = new WeakSet<object>();
const tableThere = new WeakSet<object>();
const notHere = new WeakSet<object>();

/** Whether it says that there are as many connections as the server, or the account, may have. */
export function hasNoMoreConnections(error: unknown): boolean {
  return typeof error === 'object' && error !== null && noMoreConnections.has(error);
}

/** Whether nothing was done, and the same may be done on a new connection, which may lead to another server. */
export function isNotHere(error: unknown): boolean {
  return typeof error === 'object' && error !== null && notHere.has(error);
}

/** Whether a routine made a table that was there: a temporary one, it may be, that it left in the session the time before. */
export function isTableThere(error: unknown): boolean {
  return typeof error === 'object' && error !== null && tableThere.has(error);
}

/** Whether it is said of a routine that writes, or makes a temporary table, in a READ ONLY transaction. */
export function isRefusedToRead(error: unknown): boolean {
  return typeof error === 'object' && error !== null && refusedToRead.has(error);
}

/** The column of a result, by whose name the driver has given up the connection: every object of JavaScript has one. */
const PRIVATE_NAME = /^The field name \((\w+)\) can't be the same as an object's private property/;

/** Says of which column's name rows cannot be made; undefined: it is something else. */
export function sayImpossibleColumn(error: unknown): string | undefined {
  const { errno, message = '' } = error as ServerError;
  const column = errno === undefined ? PRIVATE_NAME.exec(message)?.[1] : undefined;
  return column === undefined ? undefined : `The database gave a column named ${column}, which no row can have here.`;
}

/** n.b. the number is that of every option: https://mariadb.com/kb/en/e1290/ */
function isReadOnlyServer({ errno, sqlMessage }: ServerError): boolean {
  return errno === OPTION_PREVENTS && /read[-_]only/i.test(sqlMessage ?? '');
}

const FROM_ENGINE = 1030;

/** n.b. the number stands for everything that an engine may report; 28 is ENOSPC: https://mariadb.com/kb/en/operating-system-error-codes/ */
function isDiskFull({ errno, sqlMessage }: ServerError): boolean {
  return errno === FROM_ENGINE && /^Got error 28\b/.test(sqlMessage ?? '');
}

const NO_SUCH_SAVEPOINT = 1305;

/** n.b. the same number says of a routine that it is not there. */
export function isSavepointLost(error: unknown): boolean {
  const { errno, sqlMessage } = error as ServerError;
  return errno === NO_SUCH_SAVEPOINT && sqlMessage?.startsWith('SAVEPOINT') === true;
}

/** The values of a call are more than the server takes in one packet. */
export function packetTooLarge(maxBytes?: number): BedsError {
  const most = maxBytes === undefined ? '' : ` ${maxBytes.toLocaleString('en')} bytes`;
  const message = `The values of the call are larger than what the database takes at once (max_allowed_packet${most}).`;
  return storeErrors.make('BEDS_STORE_INVALID_VALUE', message, { hint: SEND_LESS });
}

/** Why a server lets nobody in, by its number or the driver's code. */
export const NOT_LET_IN: Readonly<Record<string, string>> = {
  1040: 'the server gives no more connections',
  1044: 'the account may not use this database, or there is none of this name',
  1045: 'the server refuses the account, its password, or a connection without TLS',
  1049: 'there is no database of this name',
  1129: 'the server takes no connections of this machine after too many that failed',
  1130: 'the server lets no account in from this machine',
  1203: 'the server gives the account no more connections',
  1226: 'the server gives the account no more connections',
  1698: 'the server refuses the account or its password',
  1820: 'the password of the account has expired',
  1862: 'the password of the account has expired',
  3118: 'the account is locked',
  3159: 'the server wants TLS: ?tls=required at the end of the URL',
  4151: 'the account is locked',
  AUTH_SWITCH_PLUGIN_ERROR:
    'the account signs in by a method that is not known here: the DBA gives it caching_sha2_password or mysql_native_password',
};

/** The catalogued error for what the driver reported, without anything of the request in it. */
export function toStoreError(error: unknown, args: readonly string[] = []): BedsError {
  const told = catalogued(error as ServerError, args);
  const { errno = 0 } = error as ServerError;
  if (errno === CANNOT_WRITE_IN_READ_ONLY) refusedToRead.add(told);
  if (errno === TABLE_EXISTS) tableThere.add(told);
  if (told.code !== 'BEDS_STORE_UNAVAILABLE') return told;
  if (NO_MORE_CONNECTIONS.has(errno)) noMoreConnections.add(told);
  if (NOT_HERE.has(errno) || isReadOnlyServer(error as ServerError)) notHere.add(told);
  return told;
}

/** The same of a view. n.b. who reads it gives it no values: what it cannot compute with is in its rows. */
export function toViewError(error: unknown): BedsError {
  const told = toStoreError(error);
  if (told.code !== 'BEDS_STORE_INVALID_VALUE' || (error as ServerError).errno === PACKET_TOO_LARGE) return told;
  return storeErrors.make('BEDS_STORE_VALUE_UNFIT', 'The view computes with values that the database does not take.', {
    hint: 'Have the DBA correct the view or its rows, such as a sum that is larger than its type.',
  });
}

function catalogued(error: ServerError, args: readonly string[]): BedsError {
  const { errno, sqlMessage = '', sqlState = 'no state', code } = error;
  const impossible = sayImpossibleColumn(error);
  if (impossible !== undefined)
    return storeErrors.make('BEDS_STORE_VALUE_UNFIT', impossible, { hint: 'Have the DBA give it another name.' });
  if (errno === undefined || (errno < 1000 && !isOfRoutine(sqlState))) {
    const reason = typeof code === 'string' && /^[A-Z_]{1,40}$/.test(code) ? ` (${code})` : '';
    return storeErrors.make('BEDS_STORE_UNAVAILABLE', `The database cannot be reached${reason}.`);
  }
  const mapped = CODES.get(errno);
  if (isSaidByRoutine(error)) return refused(sqlMessage, mapped);
  if (errno === CANNOT_WRITE_IN_READ_ONLY) {
    return storeErrors.make('BEDS_STORE_DENIED', 'A read may not call an object that writes.', { hint: TEMPORARY });
  }
  if (errno === PACKET_TOO_LARGE) return packetTooLarge();
  if (mapped === 'BEDS_STORE_INVALID_VALUE') {
    const field = columnOf(sqlMessage, args);
    return storeErrors.make(mapped, undefined, field === undefined ? {} : { field });
  }
  if (errno === NO_MORE_PREPARED) {
    const hint = 'Try again. DBAs: raise max_prepared_stmt_count of the server.';
    return storeErrors.make('BEDS_STORE_OVERLOADED', 'The database keeps no more prepared statements.', { hint });
  }
  if (isReadOnlyServer(error))
    return storeErrors.make('BEDS_STORE_UNAVAILABLE', 'The database takes no writes: it is read-only.');
  if (NO_MORE_CONNECTIONS.has(errno))
    return storeErrors.make('BEDS_STORE_UNAVAILABLE', 'The database gives the runtime account no more for now.');
  if (mapped !== undefined) return storeErrors.make(mapped);
  if (isDiskFull(error)) return storeErrors.make('BEDS_STORE_UNAVAILABLE', 'The disk of the database is full.');
  return storeErrors.make('BEDS_STORE_FAULT', `The database reported error ${errno} (${sqlState}).`);
}

/**
 * SIGNAL is how a routine, its handler or a trigger talks to the caller, under any state and number: https://mariadb.com/kb/en/signal/
 * The server's own errors have no state 45xxx, and numbers from 1000 to 1999, from 3000 to 4999 and of five digits up to 19999.
 */
function isSaidByRoutine({ errno = 0, sqlState, sqlMessage = '' }: ServerError): boolean {
  if (SIGNALLED.has(errno) || isOfRoutine(sqlState)) return true;
  const isOwn = errno < 2000 || (errno >= 3000 && errno < 5000) || (errno >= 6000 && errno < 20_000);
  return !isOwn || OWN_TEXTS[errno]?.test(sqlMessage) === false;
}

function isOfRoutine(sqlState: string | undefined): boolean {
  return sqlState?.startsWith('45') === true;
}

/**
 * The words of the DBA, which may begin with their class: `[conflict] …`. Else a number may say that it is a conflict or a value;
 * what it says of the server is not true.
 */
function refused(text: string, mapped: Code | undefined): BedsError {
  const isOfRequest = mapped === 'BEDS_STORE_CONFLICT' || mapped === 'BEDS_STORE_INVALID_VALUE';
  return refusalOf(text) ?? storeErrors.make(isOfRequest ? mapped : 'BEDS_STORE_REFUSED', cleanRefusal(text));
}

// The text around the name may quote a value, so a name counts only if the object has an argument of that name.
function columnOf(text: string, args: readonly string[]): string | undefined {
  const match =
    /(?:column|parameter) (?:`[^`]*`\.`[^`]*`\.)?[`']([A-Za-z_][A-Za-z0-9_]{0,63})[`'](?: at row \d+)?$/.exec(text) ??
    /^CONSTRAINT `(?:[^`.]*\.)?([A-Za-z_][A-Za-z0-9_]{0,63})` failed/.exec(text);
  return match?.[1] !== undefined && args.includes(match[1]) ? match[1] : undefined;
}
