import type { BedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';

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
