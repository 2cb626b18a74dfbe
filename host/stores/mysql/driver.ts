import mysql from 'mysql2';
import type { ConnectionOptions } from 'mysql2';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';

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
  if (url === undefined || !/^(mysql|mariadb):$/.test(url.protocol)) throw refuse(store, 'is not a mysql:// URL');
  const database = decodeURIComponent(url.pathname.slice(1));
  if (!DATABASE.test(database)) throw refuse(store, 'names no database after the slash');
  const tls = url.searchParams.get('tls') ?? 'disabled';
  if (!Object.hasOwn(TLS, tls)) throw refuse(store, `has an unknown tls; known are ${Object.keys(TLS).join(', ')}`);
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

function refuse(store: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_URL_INVALID', `The URL of the store ${store} ${problem}.`);
}
